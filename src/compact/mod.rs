//! Merges the levels of a replica from its own files, when there is no database at hand that they could be written
//! from (`replica::levels`): its machine is gone, and nobody else is to write to the replica meanwhile.
//!
//! - Nothing is deleted, and no file is written over. Each file is whole before it has its name, so it may end
//!   anywhere.
//! - Everything is planned, and the header of every file that will be merged is looked at, before anything is written.
//! - A file is merged from as many as `MEMORY` allows for. Where there are more, a level gets several files, and the
//!   next level merges those.
//! - Before and after each file, the levels concerned are listed. If anything has changed there that is not ours,
//!   somebody else is at work, and this stops; a file that overlaps theirs is taken away again.

mod error;
mod input;
mod merged;
mod plan;

use std::collections::BTreeSet;

pub use error::CompactError;
pub use plan::{Goal, Merge};

use self::merged::Merged;
use crate::ltx::Header;
use crate::restore::{self, Target};
use crate::storage::{FileInfo, Storage, StorageError};
use crate::units::{Level, PageSize};

/// The most memory that files being merged take, besides a budget for what is read ahead.
const MEMORY: usize = 8 << 20;

/// A replica being compacted.
pub struct Compactor<'a> {
    storage: &'a dyn Storage,
    goal: Goal,
    /// How many files are merged into one at most.
    limit: usize,
    /// All files of the replica, so far as is known.
    files: Vec<FileInfo>,
    planned: Vec<Merge>,
}

impl<'a> Compactor<'a> {
    /// Lists the replica, plans, and looks at the header of every file that is to be merged. Writes nothing.
    ///
    /// # Errors
    /// When the replica cannot be read, its newest state cannot be restored, files are missing on a level that is to be
    /// merged, or the files do not belong together.
    pub fn open(storage: &'a dyn Storage, goal: Goal) -> Result<Compactor<'a>, CompactError> {
        let files = storage.list_all()?;
        let chain = restore::plan(&files, Target::Latest)?.files;
        let newest = *chain.last().expect("a plan is never empty");
        let page_size = merged::header(storage, newest)?.page_size;
        let limit = limit(page_size);
        let planned = plan::all(&files, goal, limit)?;
        check_headers(storage, &files, &planned, page_size)?;
        Ok(Compactor {
            storage,
            goal,
            limit,
            files,
            planned,
        })
    }

    /// The files that will be written, in this order.
    pub fn planned(&self) -> &[Merge] {
        &self.planned
    }

    /// Writes the next file; none when all are written.
    ///
    /// # Errors
    /// When files cannot be read or are damaged, the new one cannot be written, or somebody else has changed the
    /// replica. What was written before is complete, and stays.
    pub fn write_next(&mut self) -> Result<Option<(Merge, FileInfo)>, CompactError> {
        let Some(merge) = plan::next(&self.files, self.goal, self.limit)? else {
            return Ok(None);
        };
        self.check_unchanged(&merge)?;
        let header = merged::header(self.storage, *merge.newest())?;
        let content = Merged::new(self.storage, &merge, &header);
        let result = self.storage.write(merge.name, header.timestamp, &content);
        result.map_err(|error| match error {
            // Its name is taken by now.
            StorageError::InUse { .. } => CompactError::Changed {
                level: merge.name.level,
                written: None,
            },
            error => error.into(),
        })?;
        let written = self.check_alone(&merge)?;
        self.files.push(written);
        Ok(Some((merge, written)))
    }

    /// Refuses to write where the levels concerned are not as they were.
    fn check_unchanged(&self, merge: &Merge) -> Result<(), CompactError> {
        for level in merge.levels() {
            let there = self.storage.list(level)?;
            if !there
                .iter()
                .map(|file| file.name)
                .eq(self.known(level).map(|file| file.name))
            {
                return Err(CompactError::Changed {
                    level,
                    written: None,
                });
            }
        }
        Ok(())
    }

    /// Finds what was written, and nothing else that is new.
    fn check_alone(&self, merge: &Merge) -> Result<FileInfo, CompactError> {
        let mut written = None;
        let mut changed = None;
        for level in merge.levels() {
            let known: BTreeSet<_> = self.known(level).map(|file| file.name).collect();
            let there = self.storage.list(level)?;
            let (ours, others): (Vec<_>, Vec<_>) =
                there.into_iter().partition(|file| file.name == merge.name);
            written = written.or(ours.first().copied());
            let new = others.iter().filter(|file| !known.contains(&file.name));
            if let Some(other) = new.into_iter().find(|file| merge.collides(file.name)) {
                return Err(CompactError::Overlap {
                    ours: merge.name,
                    other: other.name,
                    left: self.storage.delete(&[merge.name]).err(),
                });
            }
            if !others.iter().map(|file| &file.name).eq(&known) {
                changed = Some(level);
            }
        }
        match (changed, written) {
            (None, Some(written)) => Ok(written),
            (changed, written) => Err(CompactError::Changed {
                level: changed.unwrap_or(merge.name.level),
                written: written.map(|file| file.name),
            }),
        }
    }

    /// The files of `level`, in the order of listings.
    fn known(&self, level: Level) -> impl Iterator<Item = FileInfo> {
        let mut files = self.files.clone();
        files.retain(|file| file.name.level == level);
        files.sort_unstable();
        files.into_iter()
    }
}

/// How many files with such pages are merged at once.
fn limit(page_size: PageSize) -> usize {
    (MEMORY / input::bytes_each(page_size)).max(2)
}

/// Looks whether what is to be merged is what its name says, and of one page size.
fn check_headers(
    storage: &dyn Storage,
    files: &[FileInfo],
    planned: &[Merge],
    page_size: PageSize,
) -> Result<(), CompactError> {
    let there: BTreeSet<&FileInfo> = files.iter().collect();
    let inputs = planned.iter().flat_map(|merge| &merge.inputs);
    let inputs: BTreeSet<&FileInfo> = inputs.filter(|file| there.contains(file)).collect();
    for &file in inputs {
        let header: Header = merged::header(storage, file)?;
        if header.page_size != page_size {
            return Err(CompactError::PageSizeDiffers {
                file: file.name,
                page_size: header.page_size,
                newest: page_size,
            });
        }
    }
    Ok(())
}
