//! Page sums: the LTX checksum of every page of a database as it was in one view.
//!
//! With them a database that was away can be compared with what it was, so that after a gap only the pages that differ
//! go out; and since LTX's checksum of a whole database is the exclusive or of those of its pages, every file
//! can say what the database is after it. They take eight bytes a page.
//!
//! The sums change when the storage has confirmed an upload, and then take what was sent: so they always are those of
//! the view that the newest confirmed file was written from, never of something in between.

use crate::ltx::Checksum;
use crate::units::{PageCount, PageNumber, PageSize};

const UNKNOWN: u64 = 0;

/// The sums of a database at one view. Pages whose sum is not known yet are possible until all of them were read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageSums {
    page_size: PageSize,
    /// By page number less one; zero, which no checksum is, where it is not known.
    sums: Vec<u64>,
    /// Of all pages known.
    total: Checksum,
    unknown: u32,
}

impl PageSums {
    /// Nothing known of a database of `pages` pages.
    pub fn unknown(page_size: PageSize, pages: PageCount) -> PageSums {
        let mut sums = PageSums {
            page_size,
            sums: Vec::new(),
            total: Checksum::EMPTY_DATABASE,
            unknown: 0,
        };
        sums.resize(pages);
        sums
    }

    /// The size of the pages.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// How many pages the database has.
    pub fn pages(&self) -> PageCount {
        PageCount(u32::try_from(self.sums.len()).unwrap_or(u32::MAX))
    }

    /// Sets the size of the database. Pages that come to it are unknown; they are among those sent.
    pub fn resize(&mut self, pages: PageCount) {
        let (before, after) = (self.pages(), pages);
        for number in (after.0..before.0).map(|index| index + 1) {
            if let Some(page) = PageNumber::new(number) {
                self.forget(page);
            }
        }
        self.sums.resize(pages.0 as usize, UNKNOWN);
        self.sums.shrink_to(pages.0 as usize);
        let lock = self.page_size.lock_page();
        let is_grown = |page: PageNumber| page.value() > before.0 && page.value() <= after.0;
        let grown = after.0.saturating_sub(before.0) - u32::from(is_grown(lock));
        let gone = (after.0..before.0).len() as u32
            - u32::from(lock.value() > after.0 && lock.value() <= before.0);
        // Those cut off were all forgotten just now.
        self.unknown = self.unknown + grown - gone;
    }

    /// Notes the sum of a page within the database.
    pub fn set(&mut self, page: PageNumber, sum: Checksum) {
        self.forget(page);
        if page == self.page_size.lock_page() {
            return;
        }
        if let Some(slot) = self.sums.get_mut(page.value() as usize - 1) {
            *slot = sum.value();
            self.total = self.total.toggle(sum);
            self.unknown -= 1;
        }
    }

    /// The sum of a page, if it is known.
    pub fn get(&self, page: PageNumber) -> Option<Checksum> {
        Checksum::from_stored(*self.sums.get(page.value() as usize - 1)?)
    }

    /// LTX's checksum of the whole database, if every page is known.
    pub fn database(&self) -> Option<Checksum> {
        (self.unknown == 0).then_some(self.total)
    }

    fn forget(&mut self, page: PageNumber) {
        let Some(slot) = self.sums.get_mut(page.value() as usize - 1) else {
            return;
        };
        if let Some(sum) = Checksum::from_stored(std::mem::replace(slot, UNKNOWN)) {
            self.total = self.total.toggle(sum);
            self.unknown += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    fn sum(number: u64) -> Checksum {
        Checksum::of_page(PageNumber::FIRST, &number.to_be_bytes())
    }

    #[test]
    fn the_database_is_known_when_every_page_is() {
        let mut sums = PageSums::unknown(PageSize::new(4096).unwrap(), PageCount(2));
        assert_eq!(sums.database(), None);
        sums.set(page(1), sum(1));
        sums.set(page(2), sum(2));
        let two = Checksum::EMPTY_DATABASE.toggle(sum(1)).toggle(sum(2));
        assert_eq!(sums.database(), Some(two));
        sums.resize(PageCount(3));
        assert_eq!(sums.database(), None, "one came to it");
        sums.resize(PageCount(1));
        assert_eq!(
            sums.database(),
            Some(Checksum::EMPTY_DATABASE.toggle(sum(1)))
        );
    }

    #[test]
    fn the_lock_page_has_no_sum() {
        let size = PageSize::new(65536).unwrap();
        let lock = size.lock_page().value();
        let mut sums = PageSums::unknown(size, PageCount(lock - 1));
        for number in 1..lock {
            sums.set(page(number), sum(number.into()));
        }
        let before = sums.database().unwrap();
        sums.resize(PageCount(lock));
        sums.set(page(lock), sum(7));
        assert_eq!(sums.database(), Some(before));
        sums.resize(PageCount(lock + 1));
        assert_eq!(sums.database(), None);
        sums.set(page(lock + 1), sum(8));
        assert_eq!(sums.database(), Some(before.toggle(sum(8))));
        sums.resize(PageCount(lock - 1));
        assert_eq!(sums.database(), Some(before));
    }

    proptest! {
        #[test]
        fn the_total_is_that_of_the_pages(
            steps in proptest::collection::vec((0..12_u32, any::<u64>(), any::<bool>()), 0..60),
        ) {
            let mut sums = PageSums::unknown(PageSize::new(512).unwrap(), PageCount(0));
            for (number, content, resizes) in steps {
                match (resizes, PageNumber::new(number)) {
                    (false, Some(page)) if page.value() <= sums.pages().0 => sums.set(page, sum(content)),
                    (false, _) => {}
                    (true, _) => sums.resize(PageCount(number)),
                }
            }
            let pages: Vec<_> = (1..=sums.pages().0).map(|number| sums.get(page(number))).collect();
            let total = pages.iter().copied().collect::<Option<Vec<_>>>().map(|known| {
                known.into_iter().fold(Checksum::EMPTY_DATABASE, Checksum::toggle)
            });
            prop_assert_eq!(sums.database(), total);
        }
    }
}
