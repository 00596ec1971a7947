//! The disk itself: what is live, what is durable, and what a power cut may make of the difference.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use walbrook::sys::fs::parent;
use walbrook::units::Timestamp;

/// Combinations of unsynced names are tried in full up to this many; of more, those that lack one and those
/// that have one.
const NAMES_COMBINED_MAX: usize = 7;

/// What a power cut left: files by path.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Image(pub(super) BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    /// The content of `path`; none when there is no such file.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> Option<&[u8]> {
        self.0.get(path.as_ref()).map(Vec::as_slice)
    }

    /// Every file there is.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Create(PathBuf),
    Write(u64, u64, Vec<u8>),
    SetLen(u64, u64),
    SetModified(u64, Timestamp),
    Sync(u64),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    CreateDirectories(PathBuf),
    RemoveDirectory(PathBuf),
    SyncDirectory(PathBuf),
}

#[derive(Clone, Default)]
pub(super) struct Disk {
    pub(super) contents: BTreeMap<u64, Content>,
    pub(super) next: u64,
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names since the last sync of their directory: a rename is one change of two names.
    pub(super) pending: Vec<Vec<(PathBuf, Option<u64>)>>,
    pub(super) directories: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
pub(super) struct Content {
    pub(super) live: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) unsynced: Vec<(u64, Vec<u8>)>,
    pub(super) modified: i64,
}

/// What became of unsynced content.
#[derive(Clone, Copy)]
pub(super) enum Unsynced {
    Lost,
    Torn,
    Kept,
}

pub(super) fn combinations(count: usize) -> Vec<Vec<bool>> {
    if count <= NAMES_COMBINED_MAX {
        let sets = 0..1_u32 << count;
        return sets
            .map(|set| (0..count).map(|i| set & (1 << i) != 0).collect())
            .collect();
    }
    let mut sets = vec![vec![false; count], vec![true; count]];
    for i in 0..count {
        let only = |wanted: bool| (0..count).map(|j| (i == j) == wanted).collect();
        sets.extend([
            only(true),
            only(false),
            (0..count).map(|j| j <= i).collect(),
        ]);
    }
    sets
}

impl Disk {
    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Create(path) => match self.names.get(path) {
                Some(&id) => self.set_len(id, 0),
                None => {
                    let id = self.next;
                    self.next += 1;
                    self.contents.insert(id, Content::default());
                    self.rename(vec![(path.clone(), Some(id))]);
                }
            },
            Operation::Write(id, offset, bytes) => {
                let content = self.contents.get_mut(id).unwrap();
                patch(&mut content.live, *offset, bytes);
                content.unsynced.push((*offset, bytes.clone()));
            }
            Operation::SetLen(id, size) => self.set_len(*id, *size),
            Operation::SetModified(id, time) => {
                self.contents.get_mut(id).unwrap().modified = time.millis();
            }
            Operation::Sync(id) => {
                let content = self.contents.get_mut(id).unwrap();
                content.durable = content.live.clone();
                content.unsynced.clear();
            }
            Operation::Rename(from, to) => {
                let id = self.names[from];
                self.rename(vec![(from.clone(), None), (to.clone(), Some(id))]);
            }
            Operation::Link(path, second) => {
                self.rename(vec![(second.clone(), Some(self.names[path]))]);
            }
            Operation::Remove(path) => self.rename(vec![(path.clone(), None)]),
            Operation::CreateDirectories(path) => {
                self.directories
                    .extend(path.ancestors().map(Path::to_path_buf));
            }
            Operation::RemoveDirectory(path) => {
                self.directories.remove(path);
            }
            Operation::SyncDirectory(path) => {
                let (synced, rest): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
                    .into_iter()
                    .partition(|changes| parent(&changes[0].0) == path);
                self.pending = rest;
                synced
                    .iter()
                    .for_each(|changes| change(&mut self.durable_names, changes));
            }
        }
    }

    fn rename(&mut self, changes: Vec<(PathBuf, Option<u64>)>) {
        change(&mut self.names, &changes);
        self.pending.push(changes);
    }

    fn set_len(&mut self, id: u64, size: u64) {
        let content = self.contents.get_mut(&id).unwrap();
        content.live.resize(size as usize, 0);
        content.unsynced.retain(|(offset, _)| *offset < size);
    }

    pub(super) fn image(&self, arrived: &[bool], unsynced: Unsynced) -> Image {
        let mut names = self.durable_names.clone();
        for (changes, _) in self
            .pending
            .iter()
            .zip(arrived)
            .filter(|(_, arrived)| **arrived)
        {
            change(&mut names, changes);
        }
        let content = |id: &u64| self.contents[id].after(unsynced);
        Image(
            names
                .iter()
                .map(|(path, id)| (path.clone(), content(id)))
                .collect(),
        )
    }
}

impl Content {
    fn after(&self, unsynced: Unsynced) -> Vec<u8> {
        match unsynced {
            Unsynced::Kept => self.live.clone(),
            Unsynced::Lost => self.durable.clone(),
            Unsynced::Torn => {
                let mut bytes = self.durable.clone();
                bytes.resize(self.live.len(), 0);
                for (offset, data) in &self.unsynced[..self.unsynced.len() / 2] {
                    patch(&mut bytes, *offset, data);
                }
                bytes.truncate(self.live.len());
                bytes
            }
        }
    }
}

fn change(names: &mut BTreeMap<PathBuf, u64>, changes: &[(PathBuf, Option<u64>)]) {
    for (path, id) in changes {
        match id {
            Some(id) => names.insert(path.clone(), *id),
            None => names.remove(path),
        };
    }
}

fn patch(bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let end = offset as usize + data.len();
    bytes.resize(bytes.len().max(end), 0);
    bytes[offset as usize..end].copy_from_slice(data);
}
