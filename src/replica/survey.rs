//! Which pages levels lack, read from the page indexes at the ends of the files below them. It is needed where nothing
//! is remembered of them: after a power cut, or where Litestream has written the replica.

use std::collections::HashMap;

use super::SettleError;
use super::settle::read_index;
use crate::database::PageSet;
use crate::storage::{FileInfo, FileName, Storage, StorageError};
use crate::units::{Level, Txid};

/// The most files that are read for a level. Beyond that, all pages are the smaller work.
const FILES_MAX: usize = 512;

/// What to read for which level. Without files for it, its pages cannot be told.
#[derive(Clone, Debug, Default)]
pub struct Survey(Vec<(Level, Option<Vec<FileInfo>>)>);

/// The pages of each level; none where they cannot be told.
#[derive(Debug)]
pub struct Surveyed(pub(super) Vec<(Level, Option<PageSet>)>);

impl Survey {
    /// Asks for the pages of the TXIDs after `last` up to `to`, for `level`, from the files below it.
    pub(super) fn add(&mut self, level: Level, files: &[FileInfo], last: Txid, to: Txid) {
        self.0.push((level, chain(files, last, to)));
    }

    /// Reads them.
    ///
    /// # Errors
    /// When the storage cannot be asked. A file that is gone or damaged is none: then the pages cannot be told.
    pub fn run(&self, storage: &dyn Storage) -> Result<Surveyed, StorageError> {
        let mut read: HashMap<FileName, Option<PageSet>> = HashMap::new();
        let mut surveyed = Vec::new();
        for (level, files) in &self.0 {
            let mut pages = files.as_ref().map(|_| PageSet::default());
            for file in files.iter().flatten() {
                let of_file = match read.get(&file.name) {
                    Some(known) => known,
                    None => {
                        let new = pages_of(storage, file)?;
                        read.entry(file.name).or_insert(new)
                    }
                };
                match (&mut pages, of_file) {
                    (Some(pages), Some(more)) => pages.union(more),
                    _ => pages = None,
                }
            }
            surveyed.push((*level, pages));
        }
        Ok(Surveyed(surveyed))
    }
}

/// Files that lead from `last` to `to` without a hole: always the one that leads furthest.
fn chain(files: &[FileInfo], last: Txid, to: Txid) -> Option<Vec<FileInfo>> {
    let mut chain = Vec::new();
    let mut reached = last;
    while reached < to {
        let next = files
            .iter()
            .filter(|file| file.name.txids.continues(Some(reached)))
            .max_by_key(|file| (file.name.txids.max(), std::cmp::Reverse(file.size)))?;
        reached = next.name.txids.max();
        chain.push(*next);
        if chain.len() > FILES_MAX {
            return None;
        }
    }
    Some(chain)
}

fn pages_of(storage: &dyn Storage, file: &FileInfo) -> Result<Option<PageSet>, StorageError> {
    let index = match read_index(storage, file) {
        Ok(Some((_, index))) => index,
        Ok(None) | Err(SettleError::Storage(StorageError::NotFound { .. })) => return Ok(None),
        Err(SettleError::Storage(error)) => return Err(error),
        // Neither is an answer to a read.
        Err(SettleError::PageSize { .. } | SettleError::LastTxid { .. }) => return Ok(None),
    };
    let mut pages = PageSet::default();
    for entry in index.iter() {
        pages.insert(entry.page);
    }
    Ok(Some(pages))
}
