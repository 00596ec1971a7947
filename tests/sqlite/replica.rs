//! The least that a restore must get right: of each page the newest copy sent, whatever size the database
//! had in between. A page that shrinking cut off and growing brought back comes back with its old content,
//! unless the growth was told.

use std::collections::HashMap;

use walbrook::database::PageSet;
use walbrook::sqlite::View;

use super::{assert_same, page};

#[derive(Default)]
pub(super) struct Replica {
    pages: HashMap<u32, Vec<u8>>,
}

impl Replica {
    /// One with everything of `view`.
    pub(super) fn of(view: &View) -> Replica {
        let mut replica = Replica::default();
        replica.take(view, &PageSet::all(view.pages()));
        replica
    }

    /// Takes the pages in `dirty` as they are in `view`.
    pub(super) fn take(&mut self, view: &View, dirty: &PageSet) {
        let mut content = vec![0; view.page_size().bytes() as usize];
        for number in dirty.iter().filter(|number| view.pages().holds(*number)) {
            view.read_page(number, &mut content).unwrap();
            self.pages.insert(number.value(), content.clone());
        }
    }

    /// Fails unless a restore to `view` gives `image`.
    pub(super) fn assert_is(&self, view: &View, image: &[u8]) {
        let mut restored = Vec::with_capacity(image.len());
        for number in 1..=view.pages().0 {
            let content = self.pages.get(&number);
            let content = content.unwrap_or_else(|| panic!("page {} was never told", page(number)));
            restored.extend_from_slice(content);
        }
        assert_same(&restored, image, view);
    }
}
