//! Whole databases: what a view shows, and what files make of each other.

use std::collections::BTreeMap;

use walbrook::database::PageSet;
use walbrook::ltx::Decoder;
use walbrook::sqlite::View;
use walbrook::storage::FileName;
use walbrook::units::Timestamp;

/// The database in `view`.
pub(crate) fn image(view: &View) -> Vec<u8> {
    let page_size = view.page_size().bytes() as usize;
    let mut image = vec![0; page_size * view.pages().0 as usize];
    for (page, content) in PageSet::all(view.pages())
        .iter()
        .zip(image.chunks_mut(page_size))
    {
        view.read_page(page, content).unwrap();
    }
    image
}

/// The files of `chain`, one over the other.
pub(crate) fn apply(
    files: &BTreeMap<FileName, (Timestamp, Vec<u8>)>,
    chain: &[FileName],
) -> Vec<u8> {
    let mut pages = BTreeMap::new();
    let mut end = 0;
    for name in chain {
        let mut decoder = Decoder::open(&files[name].1[..]).unwrap();
        let page_size = decoder.header().page_size.bytes() as usize;
        end = decoder.header().commit.0 as usize * page_size;
        while let Some(page) = decoder.next_page().unwrap() {
            let offset = (page.number().value() as usize - 1) * page_size;
            pages.insert(offset, page.data().to_vec());
        }
        decoder.finish().unwrap();
    }
    let mut image = vec![0; end];
    for (offset, content) in pages.range(..end) {
        image[*offset..*offset + content.len()].copy_from_slice(content);
    }
    image
}
