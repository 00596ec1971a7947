//! Reads from a replica what shows which database it is of: a few pages, each as it was at several TXIDs.
//!
//! It is only asked for where nothing vouches for a database, so a few dozen small reads are well spent: pages that the
//! newest files hold, since an earlier state has them otherwise, and some from all over the newest snapshot, since
//! another database of the same application has them otherwise.

use std::collections::HashMap;

use super::SettleError;
use super::lineage::{Evidence, Trace, Version};
use super::settle::sound;
use crate::ltx::{IndexEntry, PageIndex};
use crate::storage::{FileInfo, Storage, StorageError, fetch_page, fetch_page_index};
use crate::units::{Level, PageNumber, PageSize};

/// So many of the newest files are looked into, and so many more of each level, for older versions of their pages.
const NEWEST_FILES: usize = 6;
const FILES_A_LEVEL: usize = 2;
/// So many pages are compared that changed last, no more than some from one file, in all their versions: an earlier
/// state has one of the older ones.
const CHANGED_PAGES: usize = 4;
const CHANGED_PAGES_A_FILE: usize = 2;
/// And so many from all over the snapshot, in their newest.
const SPREAD_PAGES: usize = 6;
const SPREAD_VERSIONS: usize = 2;
/// A longer page index is not read for this: it is that of a database of some 2 GB.
const INDEX_BYTES_MAX: u64 = 4 << 20;

/// What the replica of `files` shows.
///
/// # Errors
/// When the storage cannot be asked. What is gone or damaged shows nothing.
pub(super) fn gather(
    storage: &dyn Storage,
    files: &[FileInfo],
    page_size: PageSize,
) -> Result<Evidence, SettleError> {
    let mut exhibits = Vec::new();
    for file in chosen(files) {
        let index = present(sound(fetch_page_index(storage, &file, INDEX_BYTES_MAX)))?;
        if let Some(index) = index.flatten().flatten() {
            exhibits.push((file, index));
        }
    }
    let mut traces = Vec::new();
    for (page, most) in sampled(&exhibits) {
        let mut versions = Vec::new();
        let holding = exhibits
            .iter()
            .filter_map(|(file, index)| Some((file, index.find(page)?)));
        for (file, entry) in holding.take(most) {
            let content = present(sound(fetch_page(storage, file.name, entry, page_size)))?;
            if let Some(content) = content.flatten() {
                versions.push(Version {
                    txids: file.name.txids,
                    time: file.created,
                    content,
                });
            }
        }
        traces.extend(Trace::new(page, versions));
    }
    Ok(Evidence { traces })
}

/// The files to look into, newest first.
fn chosen(files: &[FileInfo]) -> Vec<FileInfo> {
    let mut sorted = files.to_vec();
    sorted.sort_by_key(|file| (std::cmp::Reverse(file.name.txids.max()), file.name.level));
    let mut taken: HashMap<Level, usize> = HashMap::new();
    let mut chosen = Vec::new();
    for file in sorted {
        let of_level = taken.entry(file.name.level).or_default();
        let is_new = chosen.len() < NEWEST_FILES && file.name.level != Level::SNAPSHOT;
        if is_new || *of_level < FILES_A_LEVEL {
            *of_level += 1;
            chosen.push(file);
        }
    }
    chosen
}

/// The pages to compare, and in how many versions: the first one, some that changed last, and some from all over.
fn sampled(exhibits: &[(FileInfo, PageIndex)]) -> Vec<(PageNumber, usize)> {
    let mut pages = vec![PageNumber::FIRST];
    let (snapshots, others): (Vec<_>, Vec<_>) = exhibits
        .iter()
        .partition(|(file, _)| file.name.level == Level::SNAPSHOT);
    for (file, index) in others {
        let older: Vec<_> = exhibits
            .iter()
            .filter(|(other, _)| other.name.txids.max() < file.name.txids.max())
            .map(|(_, index)| index)
            .collect();
        let left = (1 + CHANGED_PAGES).saturating_sub(pages.len());
        let changed = |entry: &IndexEntry| has_changed(*entry, &older);
        add_spread(&mut pages, index, left.min(CHANGED_PAGES_A_FILE), changed);
    }
    let changed = pages.len();
    if let Some((_, index)) = snapshots.first() {
        add_spread(&mut pages, index, SPREAD_PAGES, |_| true);
    }
    let versions = |index| match index < changed {
        true => usize::MAX,
        false => SPREAD_VERSIONS,
    };
    let pages = pages.into_iter().enumerate();
    pages.map(|(index, page)| (page, versions(index))).collect()
}

/// Whether a page is another one than in the `older` files, newest first: a page that is the same is compressed to the
/// same length, and one that is not hardly ever is.
fn has_changed(entry: IndexEntry, older: &[&PageIndex]) -> bool {
    let before = older.iter().find_map(|index| index.find(entry.page));
    before.is_none_or(|before| before.length != entry.length)
}

/// Adds so many pages of `index` that are `wanted` and not in `pages`, from all over it.
fn add_spread(
    pages: &mut Vec<PageNumber>,
    index: &PageIndex,
    count: usize,
    wanted: impl Fn(&IndexEntry) -> bool,
) {
    if count == 0 {
        return;
    }
    let new: Vec<PageNumber> = index
        .iter()
        .filter(|entry| !pages.contains(&entry.page) && wanted(entry))
        .map(|entry| entry.page)
        .collect();
    // From the middle of each part.
    let part = new.len().div_ceil(count).max(1);
    pages.extend(new.iter().skip(part / 2).step_by(part).take(count));
}

/// Leaves out what is gone: retention may be at work.
fn present<T>(read: Result<T, SettleError>) -> Result<Option<T>, SettleError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(SettleError::Storage(StorageError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
