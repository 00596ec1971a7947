//! The database being rebuilt beside the output, and how far it has come: from the beginning, or from where an
//! interrupted restore has left it (see `journal`).

use super::apply::Job;
use super::error::RestoreError;
use super::image::Image;
use super::journal::Journal;
use super::older::Older;
use super::output::{Side, status};
use super::plan::Plan;
use crate::ltx::{Bookmark, Checksum, Header};
use crate::storage::FileInfo;
use crate::sys::fs::parent;
use crate::units::{PageCount, PageNumber, PageSize, Txid};

/// See above.
pub(super) struct Build<'fs> {
    side: Side<'fs>,
    image: Image,
    location: String,
    page_size: PageSize,
    commit: PageCount,
    /// The TXID it will have.
    top: Txid,
    /// What the newest file says that the database is.
    noted: Option<Checksum>,
    /// What an interrupted restore was about to read on.
    current: Option<(FileInfo, Bookmark)>,
    /// Not all of it was read from files that were read whole: only what the newest file says can vouch for it.
    is_patched: bool,
    /// Files that were read, and their sizes in bytes.
    read: (usize, u64),
    /// What was there before newer files are put over it.
    below: Option<Vec<u64>>,
    /// Bytes read since it was noted.
    unnoted: u64,
}

impl<'fs> Build<'fs> {
    /// Begins, with what the newest file says of the database.
    pub(super) fn begin(job: &Job<'_, 'fs>, newest: &Header) -> Result<Build<'fs>, RestoreError> {
        let (page_size, commit) = (newest.page_size, newest.commit);
        let side = Side::create(job.fs, job.output, commit.bytes(page_size))?;
        let (top, noted) = (newest.txids.max(), newest.database());
        Ok(Build {
            side,
            image: Image::new(page_size, commit),
            location: job.storage.location(),
            page_size,
            commit,
            top,
            noted,
            current: None,
            is_patched: false,
            read: (0, 0),
            below: None,
            unnoted: 0,
        })
    }

    /// What an interrupted restore has left, if this one can go on with it. What is of no use is removed.
    pub(super) fn left_by_another(job: &Job<'_, 'fs>) -> Option<Build<'fs>> {
        let journal = Journal::load(job.fs, job.output)?;
        let Some(side) = Side::take_over(job.fs, job.output, &journal.side) else {
            let path = parent(job.output).join(&journal.side);
            if matches!(status(job.fs, &path), Ok(None)) {
                Journal::remove(job.fs, job.output);
            }
            return None;
        };
        // Dropped, it is removed.
        if journal.location != job.storage.location() || !leads_on(&journal, job.plan) {
            return None;
        }
        log::info!("going on with a restore that was interrupted");
        Some(Build {
            side,
            image: Image::with(journal.page_size, journal.commit, &journal.have),
            location: journal.location,
            page_size: journal.page_size,
            commit: journal.commit,
            top: journal.top,
            noted: journal.noted,
            current: Some(journal.current),
            is_patched: true,
            read: (0, 0),
            below: None,
            unnoted: 0,
        })
    }

    /// The TXID that it will have.
    pub(super) fn top(&self) -> Txid {
        self.top
    }

    /// Whether a file is above the one to go on with, so that all of it is there.
    pub(super) fn holds(&self, file: FileInfo) -> bool {
        let mut current = self.current.iter();
        current.any(|(current, _)| file.name.txids.max() > current.name.txids.max())
    }

    /// How many bytes of a plan need not be read, another restore having done it.
    pub(super) fn spare(&mut self, plan: &Plan) -> u64 {
        for file in plan.files.iter() {
            if file.name.txids.max() <= self.top && self.holds(*file) {
                self.count(file.size);
            }
        }
        self.read.1 + self.current.as_ref().map_or(0, |(_, at)| at.offset())
    }

    /// Counts a file of which so many bytes were read.
    pub(super) fn count(&mut self, bytes: u64) {
        self.read.0 += 1;
        self.read.1 += bytes;
    }

    /// What the newest file says that the database is makes more possible: that of what there is, the rest is told.
    pub(super) fn rely_on_checksum(&mut self, job: &Job<'_, 'fs>) -> Result<(), RestoreError> {
        if self.noted.is_none() {
            return Ok(());
        }
        let older = match job.reads_all {
            true => None,
            false => Older::look(job.fs, job.output, self.page_size, self.commit),
        };
        let there = self.side.checksum(self.page_size, self.image.pages())?;
        self.image.count_on(there, older);
        Ok(())
    }

    /// Whether pages may come from an older copy.
    pub(super) fn has_older(&self) -> bool {
        self.image.has_older()
    }

    /// Takes what is missing from the older copy, if that makes it whole. Gives whether it does.
    pub(super) fn complete_from_older(&mut self) -> Result<bool, RestoreError> {
        let Some(older) = self.image.completed_by(self.noted) else {
            return Ok(false);
        };
        let page_bytes = u64::from(self.page_size.bytes());
        let missing: Vec<u64> = self
            .commit
            .pages()
            .filter(|page| self.image.lacks(*page))
            .map(|page| page.offset(self.page_size))
            .collect();
        for run in missing.chunk_by(|a, b| a + page_bytes == *b) {
            let (offset, length) = (run[0], run.len() as u64 * page_bytes);
            self.side
                .write(|file| file.copy_range(older.path(), offset, length))?;
        }
        log::info!("{} pages are those of the older copy", missing.len());
        self.is_patched = true;
        self.image.complete();
        let copied = self.side.checksum(self.page_size, self.commit.pages())?;
        self.image.count_on(copied, None);
        Ok(true)
    }

    /// Whether an interrupted restore has read pages of `file`.
    pub(super) fn has_begun(&self, file: FileInfo) -> bool {
        let mut current = self.current.iter();
        current.any(|(current, at)| current.name == file.name && at.offset() > Header::BYTES as u64)
    }

    /// Whether only parts of `file` may be read, and much of it would be of no use.
    pub(super) fn can_take_parts(&self, file: FileInfo) -> bool {
        let had: u32 = self.image.have().iter().map(|word| word.count_ones()).sum();
        self.noted.is_some() && !self.has_begun(file) && had >= self.commit.0 / 8
    }

    /// Whether a page is missing.
    pub(super) fn lacks(&self, page: PageNumber) -> bool {
        self.image.lacks(page)
    }

    /// Says that files are read in parts.
    pub(super) fn patch(&mut self) {
        self.is_patched = true;
    }

    /// Where to go on in the next file.
    pub(super) fn take_bookmark(&mut self) -> Option<Bookmark> {
        self.current.take().map(|(_, bookmark)| bookmark)
    }

    /// The size of its pages.
    pub(super) fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// From here on files are put over what is there, `newest` being the header of the first of them.
    pub(super) fn begin_over(&mut self, newest: &Header) -> Result<(), RestoreError> {
        let high = newest.txids.max();
        if let Some(current) = self.current.clone() {
            let journal = self.journal(high, current);
            self.side.note(&journal)?;
        }
        self.commit = newest.commit;
        self.top = high;
        self.noted = newest.database();
        let size = self.commit.bytes(self.page_size);
        self.side.write(|file| file.set_len(size))?;
        let over = Image::over_another(self.page_size, self.commit);
        self.below = Some(std::mem::replace(&mut self.image, over).have().to_vec());
        Ok(())
    }

    /// All of them were.
    pub(super) fn end_over(&mut self) -> Result<(), RestoreError> {
        let mut have = self.below.take().unwrap_or_default();
        have.resize(self.image.have().len(), 0);
        for (word, more) in have.iter_mut().zip(self.image.have()) {
            *word |= more;
        }
        self.image = Image::with(self.page_size, self.commit, &have);
        match self.current.clone() {
            Some(current) => {
                let journal = self.journal(self.top, current);
                self.side.note(&journal)
            }
            None => Ok(()),
        }
    }

    /// Puts a page where it belongs, unless a newer file gave it.
    pub(super) fn put(&mut self, page: PageNumber, data: &[u8]) -> Result<(), RestoreError> {
        let image = &mut self.image;
        self.side.write(|out| image.put(out, page, data))
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self) -> Result<(), RestoreError> {
        let image = &mut self.image;
        self.side.write(|out| image.flush(out))
    }

    /// Counts so many bytes. Gives whether it is time to note how far it has come.
    pub(super) fn is_note_due(&mut self, bytes: u64, every: u64) -> bool {
        self.unnoted += bytes;
        self.unnoted >= every
    }

    /// Notes how far it has come, and in which file. What cannot be noted would be fetched anew.
    pub(super) fn note(&mut self, current: (FileInfo, Bookmark)) -> Result<(), RestoreError> {
        self.flush()?;
        self.unnoted = 0;
        let journal = self.journal(self.top, current);
        if let Err(error) = self.side.note(&journal) {
            log::debug!("{error}");
        }
        Ok(())
    }

    /// Leaves it to the next restore.
    pub(super) fn leave(mut self) {
        if self.side.keep() {
            log::warn!(
                "what was fetched is kept in {}: the next restore goes on from there",
                self.side.path().display()
            );
        }
    }

    /// The whole database, all that is needed of `plan` having been read; none where it is not what it should be, and
    /// only parts of files were read for it.
    pub(super) fn finish(self, plan: &Plan) -> Result<Option<Built<'fs>>, RestoreError> {
        let (Some(oldest), Some(newest)) = (plan.files.first(), plan.files.last()) else {
            return Err(RestoreError::NothingPlanned);
        };
        if !oldest.name.txids.is_snapshot() {
            return Err(RestoreError::NoSnapshot {
                oldest: oldest.name.txids,
            });
        }
        if let Some(page) = self.image.missing() {
            return Err(RestoreError::MissingPage { page });
        }
        if self.image.checksum() != self.noted {
            return match self.is_patched {
                true => Ok(None),
                false => Err(RestoreError::OtherDatabase { file: newest.name }),
            };
        }
        Ok(Some(Built {
            side: self.side,
            files: self.read.0,
            bytes: self.read.1,
        }))
    }

    fn journal(&self, high: Txid, current: (FileInfo, Bookmark)) -> Journal {
        Journal {
            location: self.location.clone(),
            side: self.side.name(),
            page_size: self.page_size,
            commit: self.commit,
            top: self.top,
            high,
            noted: self.noted,
            current,
            have: self.image.have().to_vec(),
        }
    }
}

/// A database that is whole, and what was read for it.
pub(super) struct Built<'fs> {
    /// The file.
    pub(super) side: Side<'fs>,
    /// How many files of the replica were read.
    pub(super) files: usize,
    /// How many bytes of them.
    pub(super) bytes: u64,
}

/// Whether what `journal` tells of is on the way to the end of `plan`.
fn leads_on(journal: &Journal, plan: &Plan) -> bool {
    let current = &journal.current.0;
    let is_current = |file: &FileInfo| file.name == current.name && file.size == current.size;
    plan.txids.max() >= journal.high && plan.files.iter().any(is_current)
}
