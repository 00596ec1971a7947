//! Which pages a file may hold, in which order: strictly ascending, none above the size of the database,
//! never the lock page; and where the file starts at TXID 1, all of them.

use crate::units::{PageCount, PageNumber};

use super::error::Fault;
use super::header::Header;

/// The pages of one file as they come.
pub(super) struct PageSequence {
    commit: PageCount,
    lock_page: PageNumber,
    complete: bool,
    last: Option<PageNumber>,
}

impl PageSequence {
    /// For the file that `header` opens.
    pub(super) fn new(header: &Header) -> PageSequence {
        PageSequence {
            commit: header.commit,
            lock_page: header.page_size.lock_page(),
            complete: header.txids.is_snapshot(),
            last: None,
        }
    }

    /// The same, `last` having been the last page so far.
    pub(super) fn after(header: &Header, last: Option<PageNumber>) -> PageSequence {
        PageSequence {
            last,
            ..PageSequence::new(header)
        }
    }

    /// The last page so far.
    pub(super) fn last(&self) -> Option<PageNumber> {
        self.last
    }

    /// The next page is `page`.
    pub(super) fn admit(&mut self, page: PageNumber) -> Result<(), Fault> {
        if let Some(after) = self.last
            && page <= after
        {
            return Err(Fault::PageOrder { page, after });
        }
        if !self.commit.holds(page) {
            let commit = self.commit;
            return Err(Fault::PageRange { page, commit });
        }
        if page == self.lock_page {
            return Err(Fault::LockPage { page });
        }
        if let Some(missing) = self.due()
            && missing < page
        {
            return Err(Fault::SnapshotGap { missing });
        }
        self.last = Some(page);
        Ok(())
    }

    /// There are no more pages.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.due() {
            Some(missing) => Err(Fault::SnapshotGap { missing }),
            None => Ok(()),
        }
    }

    /// The page that must come next, if one must.
    fn due(&self) -> Option<PageNumber> {
        let follow = |after: u32| after.checked_add(1).and_then(PageNumber::new);
        let mut due = follow(self.last.map_or(0, PageNumber::value))?;
        if due == self.lock_page {
            due = follow(due.value())?;
        }
        (self.complete && self.commit.holds(due)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::super::class::Class;
    use super::*;
    use crate::units::{PageSize, Timestamp, Txid, TxidRange};

    fn run(min: u64, commit: u32, pages: &[u32]) -> Option<Class> {
        let page_size = PageSize::new(65536).unwrap();
        let txids = TxidRange::new(Txid::new(min).unwrap(), Txid::new(9).unwrap()).unwrap();
        let timestamp = Timestamp::from_millis(0);
        let header = Header::new(page_size, PageCount(commit), txids, timestamp);
        let mut sequence = PageSequence::new(&header);
        for &page in pages {
            if let Err(fault) = sequence.admit(PageNumber::new(page).unwrap()) {
                return Some(fault.class());
            }
        }
        sequence.end().err().map(|fault| fault.class())
    }

    #[test]
    fn incremental_files_hold_any_ascending_subset() {
        assert_eq!(run(2, 4, &[]), None);
        assert_eq!(run(2, 4, &[2, 4]), None);
        assert_eq!(run(2, u32::MAX, &[u32::MAX]), None);
        assert_eq!(run(2, 4, &[2, 2]), Some(Class::PageOrder));
        assert_eq!(run(2, 4, &[3, 2]), Some(Class::PageOrder));
        assert_eq!(run(2, 4, &[5]), Some(Class::PageRange));
        assert_eq!(run(2, 16_390, &[16_385]), Some(Class::LockPage));
    }

    #[test]
    fn snapshots_hold_every_page() {
        assert_eq!(run(1, 3, &[1, 2, 3]), None);
        assert_eq!(run(1, 3, &[]), Some(Class::SnapshotGap));
        assert_eq!(run(1, 3, &[2, 3]), Some(Class::SnapshotGap));
        assert_eq!(run(1, 3, &[1, 3]), Some(Class::SnapshotGap));
        assert_eq!(run(1, 3, &[1, 2]), Some(Class::SnapshotGap));
    }

    #[test]
    fn the_lock_page_is_skipped() {
        let below: Vec<u32> = (1..=16_384).collect();
        assert_eq!(run(1, 16_384, &below), None);
        assert_eq!(run(1, 16_385, &below), None);
        assert_eq!(run(1, 16_386, &below), Some(Class::SnapshotGap));
        let around: Vec<u32> = below.into_iter().chain([16_386]).collect();
        assert_eq!(run(1, 16_386, &around), None);
    }
}
