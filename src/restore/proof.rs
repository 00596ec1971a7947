//! Whether a file continues the very state that a copy has: where files say what the database is after them (see
//! `ltx::header`), what the copy would be is compared with that before anything is written to it.
//!
//! TXIDs alone do not tell: a replica that was deleted and begun anew has files of the same names before long. From the
//! first file on that says it, the checksum of the database is known and kept up with each file, at the cost of reading
//! the pages that it replaces, which their journal needs anyway.

use std::io;

use crate::ltx::{Checksum, Header};
use crate::sqlite::InPlace;
use crate::units::{PageCount, PageNumber};

/// What is known of the source's database in the state that the copy has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Proof {
    database: Option<Checksum>,
    /// That of page 1, which the copy has with bytes of its own.
    first_page: Option<Checksum>,
}

/// The pages of a file.
pub(super) struct Pages {
    /// Ascending.
    pub(super) numbers: Vec<PageNumber>,
    /// Of those that the database has after it.
    sum: Checksum,
    first_page: Option<Checksum>,
}

impl Pages {
    pub(super) fn new() -> Pages {
        Pages {
            numbers: Vec::new(),
            sum: Checksum::EMPTY_DATABASE,
            first_page: None,
        }
    }

    /// Adds one, of a file that leads to a database of `commit` pages.
    pub(super) fn add(&mut self, number: PageNumber, data: &[u8], commit: PageCount) {
        self.numbers.push(number);
        if !commit.holds(number) {
            return;
        }
        let checksum = Checksum::of_page(number, data);
        self.sum = self.sum.toggle(checksum);
        if number == PageNumber::FIRST {
            self.first_page = Some(checksum);
        }
    }
}

impl Proof {
    /// What is known after a file; none where the file says that its database is another one.
    pub(super) fn after(
        self,
        header: &Header,
        pages: &Pages,
        copy: &InPlace,
    ) -> io::Result<Option<Proof>> {
        let computed = match self.database {
            Some(database) => self.computed(database, header, pages, copy)?,
            None => None,
        };
        let said = header.database();
        let differs = matches!((computed, said), (Some(computed), Some(said)) if computed != said);
        Ok((!differs).then_some(Proof {
            database: computed.or(said),
            first_page: pages.first_page.or(self.first_page),
        }))
    }

    /// The checksum of the database after the file; none where that cannot be known.
    fn computed(
        self,
        database: Checksum,
        header: &Header,
        pages: &Pages,
        copy: &InPlace,
    ) -> io::Result<Option<Checksum>> {
        let (commit, page_size) = (header.commit, header.page_size);
        let lock_page = page_size.lock_page();
        let before = copy.size()? / u64::from(page_size.bytes());
        let before = PageCount(u32::try_from(before).unwrap_or(u32::MAX));
        let mut sum = database.toggle(pages.sum);
        let mut data = vec![0; page_size.bytes() as usize];
        // New pages that the file does not have are zeros in the copy.
        let grown = (before.0.saturating_add(1)..=commit.0).filter_map(PageNumber::new);
        for page in grown.filter(|page| *page != lock_page) {
            if pages.numbers.binary_search(&page).is_err() {
                sum = sum.toggle(Checksum::of_page(page, &data));
            }
        }
        let replaced = pages.numbers.iter().copied();
        let replaced = replaced.filter(|page| commit.holds(*page) && before.holds(*page));
        let cut = (commit.0.saturating_add(1)..=before.0).filter_map(PageNumber::new);
        for page in replaced.chain(cut).filter(|page| *page != lock_page) {
            let old = match (page, self.first_page) {
                (PageNumber::FIRST, None) => return Ok(None),
                (PageNumber::FIRST, Some(checksum)) => checksum,
                _ => {
                    copy.read(&mut data, page.offset(page_size))?;
                    Checksum::of_page(page, &data)
                }
            };
            sum = sum.toggle(old);
        }
        Ok(Some(sum))
    }
}
