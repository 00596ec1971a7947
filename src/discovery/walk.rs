//! One look at a directory: which files there are databases.
//!
//! Symbolic links are not followed: what they lead to may be reached by another name too, and SQLite keeps its other
//! files beside the target. A file that was found before is not opened again, since it may be replicated by now.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::config::DirectoryConfig;
use crate::sqlite::{Probe, probe};
use crate::sys::fs::FileIdentity;

/// What a look has found. Paths are relative to the directory.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Databases that were not known, in order, with what else leads to them.
    pub(super) new: BTreeMap<PathBuf, Identified>,
    /// Those that were known and are there.
    pub(super) known: Vec<PathBuf>,
    /// Files whose name fits, but which are no databases yet.
    pub(super) unready: BTreeMap<PathBuf, Unready>,
    /// Directories whose content is not known, with the reason; an empty path is the directory itself.
    pub(super) unseen: BTreeMap<PathBuf, io::Error>,
}

/// A database's inode, if there may be other names for it.
pub(super) type Identified = Option<FileIdentity>;

/// A file that is not a database, or cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Unready {
    appearance: Appearance,
    pub(super) reason: Reason,
}

/// Why a file whose name fits is not replicated.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Reason {
    /// It is empty, or something else.
    NoDatabase,
    /// It is open under another name.
    OtherName,
    /// A symbolic link.
    Link,
    /// It cannot be read.
    Unreadable(String),
}

/// What is different when a file has changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Appearance {
    identity: FileIdentity,
    size: u64,
    modified: (i64, i64),
    mode: u32,
}

impl Appearance {
    fn of(metadata: &fs::Metadata) -> Appearance {
        Appearance {
            identity: FileIdentity::of(metadata),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            mode: metadata.mode(),
        }
    }
}

/// A walk through a directory.
pub(super) struct Walk<'a> {
    pub(super) directory: &'a DirectoryConfig,
    /// Whether a database is known already.
    pub(super) is_known: &'a dyn Fn(&Path) -> bool,
    /// What the last look has found not to be databases.
    pub(super) unready: &'a BTreeMap<PathBuf, Unready>,
}

impl Walk<'_> {
    /// Looks at all of it, and calls `enter` with each directory before it is looked into.
    pub(super) fn look(&self, enter: &mut dyn FnMut(&Path)) -> Sight {
        let mut sight = Sight::default();
        let mut directories = vec![PathBuf::new()];
        while let Some(relative) = directories.pop() {
            enter(&self.directory.files.directory.join(&relative));
            if let Err(error) = self.look_into(&relative, &mut directories, &mut sight) {
                // One that has gone since it was found holds nothing.
                let is_top = relative.as_os_str().is_empty();
                if is_top || error.kind() != io::ErrorKind::NotFound {
                    sight.unseen.insert(relative, error);
                }
            }
        }
        sight
    }

    fn look_into(
        &self,
        relative: &Path,
        directories: &mut Vec<PathBuf>,
        sight: &mut Sight,
    ) -> io::Result<()> {
        let files = &self.directory.files;
        let path = files.directory.join(relative);
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            // Gone by now, where that has to be looked up.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let inside = relative.join(entry.file_name());
            if kind.is_dir() {
                if files.recursive && !self.directory.leaves_out(&entry.path()) {
                    directories.push(inside);
                }
            } else if (kind.is_file() || kind.is_symlink()) && files.accepts(&entry.file_name()) {
                self.look_at(&entry, inside, kind.is_symlink(), sight);
            }
        }
        Ok(())
    }

    fn look_at(&self, entry: &DirEntry, relative: PathBuf, is_link: bool, sight: &mut Sight) {
        if !is_link && (self.is_known)(&relative) {
            sight.known.push(relative);
            return;
        }
        // Of the link itself, if it is one. What is gone by now is no concern.
        let Ok(metadata) = entry.metadata() else {
            return;
        };
        let appearance = Appearance::of(&metadata);
        if let Some(before) = self.unready.get(&relative)
            && before.appearance == appearance
            && before.reason != Reason::OtherName
        {
            sight.unready.insert(relative, before.clone());
            return;
        }
        let reason = match is_link {
            true => Reason::Link,
            false => match probe(&entry.path()) {
                Ok(Probe::Database) => {
                    let others = metadata.nlink() > 1;
                    sight
                        .new
                        .insert(relative, others.then_some(appearance.identity));
                    return;
                }
                Ok(Probe::Open) => Reason::OtherName,
                Ok(Probe::Empty | Probe::Foreign) => Reason::NoDatabase,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return,
                Err(error) => Reason::Unreadable(error.to_string()),
            },
        };
        sight
            .unready
            .insert(relative, Unready { appearance, reason });
    }
}
