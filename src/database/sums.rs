//! Page sums: the LTX checksum of every page of a database as it was in one view.
//!
//! With them a database that was away can be compared with what it was, so that after a gap only the pages that differ
//! go out; and since LTX's checksum of a whole database is the exclusive or of those of its pages, every file
//! can say what the database is after it. They take eight bytes a page.
//!
//! The sums change when the storage has confirmed an upload, and then take what was sent: so they always are those of
//! the view that the newest confirmed file was written from, never of something in between. Not to know one only ever
//! costs something; what is in doubt is forgotten.

use super::{DestinationState, Mark, PageSet};
use crate::ltx::Checksum;
use crate::units::{PageCount, PageNumber, PageSize};

const UNKNOWN: u64 = 0;

/// A database of more pages goes without sums, which would take more than 32 MiB of memory, and of the disk at each
/// stop. With pages of 4 KiB it has more than 16 GiB, and is not one of a small machine.
const PAGES_MAX: u32 = 4 << 20;

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
    /// Whether sums are kept of a database of so many pages.
    pub fn are_kept(pages: PageCount) -> bool {
        pages.0 <= PAGES_MAX
    }

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

    /// LTX's checksum of the pages that are not in `but`, of a database of `pages` pages, if all those are known.
    pub fn rest(&self, pages: PageCount, but: &PageSet) -> Option<Checksum> {
        let lock = self.page_size.lock_page();
        let (mut total, mut unknown) = (self.total, self.unknown);
        let mut leave_out = |page| match self.get(page) {
            _ if page == lock => {}
            Some(sum) => total = total.toggle(sum),
            None => unknown -= 1,
        };
        let smaller = self.pages().min(pages);
        but.iter()
            .take_while(|page| smaller.holds(*page))
            .for_each(&mut leave_out);
        let cut_off = smaller.0..self.pages().0;
        cut_off
            .filter_map(|index| PageNumber::new(index + 1))
            .for_each(leave_out);
        let grown = self.pages().0..pages.0;
        let is_left = |page: PageNumber| page != lock && !but.contains(page);
        let knows_grown = !grown
            .filter_map(|index| PageNumber::new(index + 1))
            .any(is_left);
        (unknown == 0 && knows_grown).then_some(total)
    }

    /// Forgets the sum of a page.
    pub fn forget(&mut self, page: PageNumber) {
        let Some(slot) = self.sums.get_mut(page.value() as usize - 1) else {
            return;
        };
        if let Some(sum) = Checksum::from_stored(std::mem::replace(slot, UNKNOWN)) {
            self.total = self.total.toggle(sum);
            self.unknown += 1;
        }
    }
}

/// The sums of a database at a TXID, and how those on disk differ from them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SumsAt {
    /// The TXID.
    pub at: Mark,
    /// The sums.
    pub sums: PageSums,
    on_disk: Option<OnDisk>,
}

/// What of the sums is on disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OnDisk {
    /// The TXID that those are of.
    pub at: Mark,
    /// The pages whose sums may have changed since.
    pub changed: PageSet,
}

/// What is remembered, with a TXID, of sums that are on disk: how to make those of this TXID from them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SumsState {
    /// What is on disk.
    pub on_disk: OnDisk,
    /// How many pages the database has.
    pub pages: PageCount,
}

impl SumsAt {
    /// Sums that are not on disk.
    pub fn new(at: Mark, sums: PageSums) -> SumsAt {
        SumsAt {
            at,
            sums,
            on_disk: None,
        }
    }

    /// Moves to TXID `at`, which changes `pages`, in order those that a database of `commit` pages has, to have the
    /// sums `new`.
    pub fn advance(&mut self, at: Mark, commit: PageCount, pages: &PageSet, new: &[Checksum]) {
        self.at = at;
        self.sums.resize(commit);
        let lock = self.sums.page_size.lock_page();
        let sent = pages.iter().filter(|page| *page != lock);
        for (page, sum) in sent.zip(new) {
            self.sums.set(page, *sum);
        }
        self.note_changed(pages);
    }

    /// Moves to TXID `at`, which changes `pages`, to what is not known. The size of the database may be another.
    pub fn advance_unknown(&mut self, at: Mark, pages: &PageSet) {
        self.at = at;
        // As long as any is not known, nothing is said of the whole, nor of its size.
        self.sums.forget(PageNumber::FIRST);
        self.forget(pages);
    }

    /// Forgets the sums of `pages`.
    pub fn forget(&mut self, pages: &PageSet) {
        let size = self.sums.pages();
        for page in pages.iter().take_while(|page| size.holds(*page)) {
            self.sums.forget(page);
        }
        self.note_changed(pages);
    }

    fn note_changed(&mut self, pages: &PageSet) {
        if let Some(on_disk) = &mut self.on_disk {
            on_disk.changed.union(pages);
        }
    }

    /// What is on disk, if anything is.
    pub fn on_disk(&self) -> Option<&OnDisk> {
        self.on_disk.as_ref()
    }

    /// Notes that they are on disk as they are.
    pub fn are_on_disk(&mut self) {
        self.on_disk = Some(OnDisk {
            at: self.at,
            changed: PageSet::default(),
        });
    }

    /// What to remember of them with the TXID they are of.
    pub fn state(&self) -> Option<SumsState> {
        Some(SumsState {
            on_disk: self.on_disk.clone()?,
            pages: self.sums.pages(),
        })
    }

    /// Of sums that were read from disk, those that a run can begin with that remembers `state`: at its TXID. Where
    /// they cannot be moved to that, they are still of use `after_a_gap`, as they are.
    pub fn at_start(self, state: Option<&DestinationState>, after_a_gap: bool) -> Option<SumsAt> {
        let moved = state.and_then(|state| self.moved_to(state.acked, state.sums.as_ref()));
        moved.or_else(|| after_a_gap.then_some(self))
    }

    fn moved_to(&self, at: Mark, state: Option<&SumsState>) -> Option<SumsAt> {
        if self.at == at {
            return Some(self.clone());
        }
        let state = state.filter(|state| state.on_disk.at == self.at)?;
        let mut moved = self.clone();
        moved.at = at;
        moved.sums.resize(state.pages);
        moved.forget(&state.on_disk.changed);
        Some(moved)
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
            others in proptest::collection::vec(0..14_u32, 0..14),
            commit in 0..14_u32,
        ) {
            let mut sums = PageSums::unknown(PageSize::new(512).unwrap(), PageCount(0));
            for (number, content, resizes) in steps {
                match (resizes, PageNumber::new(number)) {
                    (false, Some(page)) if page.value() <= sums.pages().0 => sums.set(page, sum(content)),
                    (false, _) => {}
                    (true, _) => sums.resize(PageCount(number)),
                }
            }
            let mut but = PageSet::default();
            others.iter().filter_map(|number| PageNumber::new(*number)).for_each(|page| but.insert(page));
            let mut left = sums.clone();
            left.resize(PageCount(commit));
            let rest = (1..=commit).map(page).filter(|page| !but.contains(*page)).map(|page| left.get(page));
            let rest = rest.collect::<Option<Vec<_>>>();
            let rest = rest.map(|known| known.into_iter().fold(Checksum::EMPTY_DATABASE, Checksum::toggle));
            prop_assert_eq!(sums.rest(PageCount(commit), &but), rest);
            let pages: Vec<_> = (1..=sums.pages().0).map(|number| sums.get(page(number))).collect();
            let total = pages.iter().copied().collect::<Option<Vec<_>>>().map(|known| {
                known.into_iter().fold(Checksum::EMPTY_DATABASE, Checksum::toggle)
            });
            prop_assert_eq!(sums.database(), total);
        }
    }
}
