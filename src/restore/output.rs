//! The database file a restore makes, and the one that may be there already.
//!
//! The rule: what is at the output stays as it is until the new database is complete, verified and synced beside
//! it; then the new one takes its name in one rename. Killed at any moment, the output has one or the other. The old
//! one's -wal and -journal have to go just before that rename, or SQLite would apply them to the new one: a power
//! cut in that instant leaves the old one without them, and the new one, complete, beside it. Where the old one is to
//! be kept, another order spares it even that (`aside`).

use std::io;
use std::path::{Path, PathBuf};

use super::aside;
use super::error::RestoreError;
use super::journal::Journal;
use crate::ltx::Checksum;
use crate::sys::fs::{DirectoryLock, FileSystem, OpenFile, Status, parent, publish, with_suffix};
use crate::sys::temporary;
use crate::units::{PageNumber, PageSize};

/// What SQLite keeps beside a database.
const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Permission bits of a new database, less the umask: what SQLite itself would give it.
const NEW_MODE: u32 = 0o644;

/// What to do about a database that is at the output already.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Existing {
    /// Fail. An empty file is no database and is replaced.
    #[default]
    Refuse,
    /// Replace it at the very end. Nobody may have it open then: a program that has goes on writing to the file
    /// that has lost its name, and to a -wal that is gone. Walbrook does not look for such programs.
    Replace,
    /// As [`Existing::Replace`], but keep it and what belongs to it under another name (see `aside`).
    SetAside,
    /// Leave it and do nothing, successfully.
    Keep,
}

/// Whether a restore to `output` may go on: false says that all is well and nothing to be done.
///
/// # Errors
/// When something is there that must not be replaced.
pub(super) fn check(
    fs: &dyn FileSystem,
    output: &Path,
    existing: Existing,
) -> Result<bool, RestoreError> {
    let refuse = |path: &Path, reason| {
        Err(RestoreError::Output {
            path: path.to_path_buf(),
            reason,
        })
    };
    match (status(fs, output)?, existing) {
        (Some(there), _) if there.is_directory => return refuse(output, OutputProblem::Directory),
        (Some(_), Existing::Keep) => return Ok(false),
        (Some(there), Existing::Refuse) if there.size > 0 => {
            return refuse(output, OutputProblem::Exists);
        }
        _ => (),
    }
    if !matches!(existing, Existing::Replace | Existing::SetAside) {
        for sidecar in sidecars(output) {
            if status(fs, &sidecar)?.is_some() {
                return refuse(&sidecar, OutputProblem::Sidecar);
            }
        }
    }
    Ok(true)
}

/// Why an output is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OutputProblem {
    /// It is a directory.
    Directory,
    /// A database is there.
    Exists,
    /// A -wal, -shm or -journal is there, which SQLite would apply to the restored database.
    Sidecar,
}

/// The new database, being built beside the output under a name of its own. Removed when dropped unpublished, with
/// what its journal says of it, unless it is to be [kept](Side::keep).
pub(super) struct Side<'a> {
    fs: &'a dyn FileSystem,
    output: PathBuf,
    path: PathBuf,
    file: Option<Box<dyn OpenFile>>,
    /// As long as it is held, no other restore takes the file for one that was left.
    _lock: Option<DirectoryLock>,
    has_journal: bool,
    is_kept: bool,
}

impl<'a> Side<'a> {
    /// Creates the file with `size` bytes of zeros, after a look whether the disk has room for them.
    pub(super) fn create(
        fs: &'a dyn FileSystem,
        output: &Path,
        size: u64,
    ) -> Result<Side<'a>, RestoreError> {
        let directory = parent(output);
        if status(fs, directory)?.is_none() {
            let created = fs.create_directories(directory);
            created.map_err(|error| RestoreError::io("create directory", directory, error))?;
        }
        let free = fs.free_bytes(directory);
        let free =
            free.map_err(|error| RestoreError::io("look at the disk of", directory, error))?;
        if free < size {
            return Err(RestoreError::NoSpace {
                directory: directory.to_path_buf(),
                needed: size,
                free,
            });
        }
        let path = temporary::beside(output);
        let failed = |error| RestoreError::io("create", &path, error);
        let file = fs.create_with_mode(&path, NEW_MODE).map_err(failed)?;
        let lock = fs.lock_directory(&path).ok().flatten();
        let mut side = Side {
            fs,
            output: output.to_path_buf(),
            path,
            file: Some(file),
            _lock: lock,
            has_journal: false,
            is_kept: false,
        };
        side.sweep();
        side.write(|file| file.set_len(size))?;
        Ok(side)
    }

    /// What it will be called.
    pub(super) fn output(&self) -> &Path {
        &self.output
    }

    /// Takes over what an earlier restore to `output` has left as `name`, with its journal; none while that one is
    /// still at work, or when there is no such file.
    pub(super) fn take_over(fs: &'a dyn FileSystem, output: &Path, name: &str) -> Option<Side<'a>> {
        let is_for = |(name, _): (&str, bool)| parent(output).join(name) == output;
        if !temporary::parse(name).is_some_and(is_for) {
            return None;
        }
        let path = parent(output).join(name);
        let lock = fs.lock_directory(&path).ok()??;
        Some(Side {
            fs,
            output: output.to_path_buf(),
            file: Some(fs.open_existing(&path).ok()?),
            path,
            _lock: Some(lock),
            has_journal: true,
            is_kept: false,
        })
    }

    /// Puts `journal` on disk, after what it speaks of.
    pub(super) fn note(&mut self, journal: &Journal) -> Result<(), RestoreError> {
        self.write(|file| file.sync())?;
        journal.save(self.fs, &self.output)?;
        self.has_journal = true;
        Ok(())
    }

    /// Leaves it to the next restore, if there is a journal for it. Gives whether there is.
    pub(super) fn keep(&mut self) -> bool {
        self.is_kept = self.has_journal;
        self.is_kept
    }

    /// The name of the file.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// LTX's checksum of a database of these pages, as they are in it.
    pub(super) fn checksum(
        &self,
        page_size: PageSize,
        pages: impl Iterator<Item = PageNumber>,
    ) -> Result<Checksum, RestoreError> {
        let file = self.file.as_deref().expect("open until published");
        let mut content = vec![0; page_size.bytes() as usize];
        let mut checksum = Checksum::EMPTY_DATABASE;
        for page in pages.filter(|page| *page != page_size.lock_page()) {
            file.read_exact_at(&mut content, page.offset(page_size))
                .map_err(|error| RestoreError::io("read", &self.path, error))?;
            checksum = checksum.toggle(Checksum::of_page(page, &content));
        }
        Ok(checksum)
    }

    /// Where it is until it is published.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes to it.
    pub(super) fn write(
        &mut self,
        write: impl FnOnce(&mut dyn OpenFile) -> io::Result<()>,
    ) -> Result<(), RestoreError> {
        let file = self.file.as_deref_mut().expect("open until published");
        write(file).map_err(|error| RestoreError::io("write", &self.path, error))
    }

    /// Gives it the name of the output, looking once more at what is there: it may have come in the meantime.
    pub(super) fn publish(mut self, existing: Existing) -> Result<Published, RestoreError> {
        if !check(self.fs, &self.output, existing)? {
            return Ok(Published::KeptExisting);
        }
        let failed = |path: &Path, error| RestoreError::io("replace", path, error);
        if let Some(old) = status(self.fs, &self.output)? {
            let given = self.fs.set_owner(&self.path, old.owner);
            given.map_err(|error| failed(&self.output, error))?;
        }
        match existing {
            Existing::SetAside => {
                self.write(|file| file.sync())?;
                let directory = parent(&self.output);
                let synced = self.fs.sync_directory(directory);
                synced.map_err(|error| failed(&self.output, error))?;
                aside::keep(self.fs, &self.output)?;
            }
            _ => self.remove_sidecars()?,
        }
        let file = self.file.take().expect("open until published");
        publish(self.fs, file, &self.path, &self.output)
            .map_err(|error| failed(&self.output, error))?;
        Ok(Published::New)
    }

    /// Removes what belonged to the old database: before the rename and durably, because SQLite would replay an
    /// old -wal or -journal over the new database and destroy it; and not before the new one is durable under its
    /// temporary name, because from here until the rename the old one lacks what only its -wal held.
    fn remove_sidecars(&mut self) -> Result<(), RestoreError> {
        let mut old = Vec::new();
        for sidecar in sidecars(&self.output) {
            if status(self.fs, &sidecar)?.is_some() {
                old.push(sidecar);
            }
        }
        if old.is_empty() {
            return Ok(());
        }
        self.write(|file| file.sync())?;
        let directory = parent(&self.output);
        let removed = self.fs.sync_directory(directory).and_then(|()| {
            old.iter().try_for_each(|sidecar| self.fs.remove(sidecar))?;
            self.fs.sync_directory(directory)
        });
        removed.map_err(|error| RestoreError::io("replace", &self.output, error))
    }

    /// Removes what restores to this output left that were killed long ago.
    fn sweep(&self) {
        let directory = parent(&self.output);
        let Ok(entries) = self.fs.list(directory) else {
            return;
        };
        let own = entries
            .iter()
            .find(|entry| directory.join(&entry.name) == self.path);
        let Some(now) = own.map(|entry| entry.modified) else {
            return;
        };
        for entry in temporary::stale(&entries, now) {
            let is_for = |(name, _)| directory.join(name) == self.output;
            if temporary::parse(&entry.name).is_some_and(is_for) {
                let _ = self.fs.remove(&directory.join(&entry.name));
            }
        }
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // Published, it has another name and this finds nothing.
        let _ = self.fs.remove(&self.path);
        if self.has_journal {
            Journal::remove(self.fs, &self.output);
        }
    }
}

/// How publishing ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Published {
    /// The output is the new database.
    New,
    /// A database had come to be there, and is kept.
    KeptExisting,
}

pub(super) fn sidecars(output: &Path) -> impl Iterator<Item = PathBuf> {
    SIDECARS
        .into_iter()
        .map(move |suffix| with_suffix(output, suffix))
}

pub(super) fn status(fs: &dyn FileSystem, path: &Path) -> Result<Option<Status>, RestoreError> {
    match fs.status(path) {
        Ok(status) => Ok(Some(status)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(RestoreError::io("look at", path, error)),
    }
}
