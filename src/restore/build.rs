//! The database being rebuilt beside the output, and how far it has come: from the beginning, or from where an
//! interrupted restore has left it (see `journal`).

use super::apply::Job;
use super::error::RestoreError;
use super::image::Image;
use super::journal::Journal;
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
    /// The image does not know the checksum of what was there before.
    resumed: bool,
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
            image: Image::new(page_size, commit, noted.is_some()),
            location: job.storage.location(),
            page_size,
            commit,
            top,
            noted,
            current: None,
            resumed: false,
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
            resumed: true,
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

    /// How many bytes of a plan need not be read.
    pub(super) fn spared(&self, plan: &Plan) -> u64 {
        let whole = plan
            .files
            .iter()
            .filter(|file| file.name.txids.max() <= self.top && self.holds(**file));
        let begun = self.current.as_ref().map_or(0, |(_, at)| at.offset());
        whole.map(|file| file.size).sum::<u64>() + begun
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

    /// The whole database, every file of `plan` having been read.
    pub(super) fn finish(self, plan: &Plan) -> Result<Side<'fs>, RestoreError> {
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
        let checksum = match (self.resumed, self.noted) {
            (true, Some(_)) => Some(self.side.checksum(self.page_size, self.commit)?),
            _ => self.image.checksum(),
        };
        if checksum != self.noted {
            return Err(RestoreError::OtherDatabase { file: newest.name });
        }
        Ok(self.side)
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

/// Whether what `journal` tells of is on the way to the end of `plan`.
fn leads_on(journal: &Journal, plan: &Plan) -> bool {
    let current = &journal.current.0;
    let is_current = |file: &FileInfo| file.name == current.name && file.size == current.size;
    plan.txids.max() >= journal.high && plan.files.iter().any(is_current)
}
