//! Replicas in a directory: `<root>/ltx/<level>/<min>-<max>.ltx`, the level a plain decimal number, the file's
//! modification time being the time in its LTX header.
//!
//! A file appears under its name complete, synced and with its time, or not at all. What was learnt from a
//! listing holds only for the directory that was listed: when another one stands at the same path (a disk was
//! unmounted, mounted or swapped), nothing is written or deleted until the replica is listed again. A disk that goes
//! away while it is used is waited for: its mount point is no place for a new replica.

mod hold;
mod home;
mod seen;

use std::collections::HashSet;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::hold::{Hold, Share};
use self::home::Home;
use self::seen::Seen;
use super::exactly::Exactly;
use super::generations::{self, GenerationFile, GenerationName};
use super::{ByteRange, Content, FileInfo, FileName, Folder, Rival, Storage, StorageError};
use crate::ltx::Header;
use crate::ltx::name::{file_name, parse_file_name};
use crate::sys::fs::{Entry, FileIdentity, FileSystem, OpenFile, Owner, parent, publish};
use crate::sys::temporary;
use crate::units::{Level, Timestamp};

/// Bytes gathered before the file system is asked to write.
const BUFFER_BYTES: usize = 64 << 10;

/// Whose the directories and files of a replica shall be: usually as the database's own.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ownership {
    /// Of new directories.
    pub directories: Owner,
    /// Of new files.
    pub files: Owner,
}

/// A replica in a directory.
pub struct FileStorage {
    root: PathBuf,
    fs: Arc<dyn FileSystem>,
    ownership: Option<Ownership>,
    exclusive: bool,
    hold: Hold,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seen: Seen,
    /// Levels already cleared of what dead runs left.
    swept: HashSet<Level>,
    /// Files whose writing ended with an unknown outcome.
    unsure: HashSet<PathBuf>,
    home: Home,
}

impl FileStorage {
    /// The replica in directory `root`, an absolute path that need not exist. New directories and files can be
    /// used by this process's user alone.
    pub fn new(root: PathBuf, fs: Arc<dyn FileSystem>) -> FileStorage {
        FileStorage {
            root,
            fs,
            ownership: None,
            exclusive: false,
            hold: Hold::default(),
            state: Mutex::default(),
        }
    }

    /// The same, for a writer that knows what is there: a name that somebody else has taken meanwhile is not
    /// written over, but an error.
    pub fn exclusive(self) -> FileStorage {
        FileStorage {
            exclusive: true,
            ..self
        }
    }

    /// The same, its new directories and files belonging to whom `ownership` says, as far as this process may
    /// give them away.
    pub fn with_ownership(self, ownership: Ownership) -> FileStorage {
        FileStorage {
            ownership: Some(ownership),
            ..self
        }
    }

    fn files(&self) -> PathBuf {
        self.root.join("ltx")
    }

    fn level(&self, level: Level) -> PathBuf {
        self.files().join(level.to_string())
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.level(name.level).join(file_name(name.txids))
    }

    /// The identity of the root; none when there is no such directory.
    fn identity(&self) -> Result<Option<FileIdentity>, StorageError> {
        match self.fs.identity(&self.root) {
            Ok(identity) => Ok(Some(identity)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", &self.root, error)),
        }
    }

    /// The file systems of the root and the directories above it, as far as they exist.
    fn devices(&self) -> impl Iterator<Item = u64> {
        let identities = self
            .root
            .ancestors()
            .filter_map(|it| self.fs.identity(it).ok());
        identities.map(|identity| identity.device)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses when what was listed is not what stands there now.
    fn check(&self, state: &mut State) -> Result<(), StorageError> {
        match state.seen.holds(self.identity()?) {
            true => Ok(()),
            false => Err(self.replaced(state)),
        }
    }

    /// Nothing is known any more, as another directory stands there.
    fn replaced(&self, state: &mut State) -> StorageError {
        state.seen.refuse();
        state.unsure.clear();
        StorageError::Replaced {
            location: self.location(),
        }
    }

    /// Makes the directory of `level` ready for a file and tells whether it was not yet swept by this object.
    /// Holds the lock throughout: a root we create ourselves is not a replaced one.
    fn prepare(&self, level: Level) -> Result<bool, StorageError> {
        let mut state = self.state();
        self.check(&mut state)?;
        let directory = self.level(level);
        let missing = self.missing(&directory)?;
        if !missing.is_empty() {
            let mut made = self.fs.create_directories(&directory);
            for new in &missing {
                made = made.and_then(|()| self.fs.set_owner(new, self.directory_owner(new)?));
            }
            made.map_err(|error| failed("create directory", &directory, error))?;
        }
        if missing.contains(&&*self.root) {
            let created = self.identity()?;
            // A disk with a replica may have been mounted over it since.
            if self.holds_files()? {
                return Err(self.replaced(&mut state));
            }
            state.seen.created(created);
        }
        Ok(state.swept.insert(level))
    }

    fn holds_files(&self) -> Result<bool, StorageError> {
        for level in existing(self.fs.directories(&self.files()), &self.files())? {
            let directory = self.files().join(level);
            if !existing(self.fs.list(&directory), &directory)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The directories that `directory` lacks to exist, itself first.
    fn missing<'a>(&self, directory: &'a Path) -> Result<Vec<&'a Path>, StorageError> {
        let mut missing = Vec::new();
        for path in directory.ancestors() {
            match self.fs.identity(path) {
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(path),
                Err(error) => return Err(failed("look at", path, error)),
            }
        }
        Ok(missing)
    }

    fn directory_owner(&self, new: &Path) -> io::Result<Owner> {
        match self.ownership {
            Some(ownership) => Ok(ownership.directories),
            None => Ok(Owner {
                mode: 0o700,
                ..self.fs.status(new)?.owner
            }),
        }
    }

    /// Fills, closes and publishes the open file `temporary`.
    fn fill(
        &self,
        file: Box<dyn OpenFile>,
        temporary: &Path,
        name: &Path,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let write_failed = |error| failed("write", name, error);
        let mut sink = Sink {
            file,
            written: 0,
            failed: false,
        };
        let mut out = BufWriter::with_capacity(BUFFER_BYTES, &mut sink);
        let produced = content.write_to(&mut out).and_then(|()| out.flush());
        drop(out);
        if let Err(source) = produced {
            return Err(if sink.failed {
                write_failed(source)
            } else {
                StorageError::Content {
                    location: name.display().to_string(),
                    source,
                }
            });
        }
        // Before the name appears, so that nobody ever sees the file with a wrong time.
        sink.file.set_modified(created).map_err(write_failed)?;
        if let Some(ownership) = self.ownership {
            let given = self.fs.set_owner(temporary, ownership.files);
            given.map_err(write_failed)?;
        }
        publish(&*self.fs, sink.file, temporary, name).map_err(|e| failed("publish", name, e))?;
        Ok(sink.written)
    }

    /// Holds the directory while one file is written, so that of two writers the later one sees the file of the
    /// earlier one. Not for longer: an open directory keeps its disk from being unmounted.
    fn lock(&self, path: &Path) -> Result<Option<Share<'_>>, StorageError> {
        if !self.exclusive {
            return Ok(None);
        }
        let in_use = |by| StorageError::InUse {
            location: self.location(),
            by,
        };
        let lock = self.hold.take(&*self.fs, &self.root);
        let lock = lock.map_err(|error| failed("lock", &self.root, error))?;
        let lock = lock.ok_or_else(|| in_use(None))?;
        // What we may have written ourselves, and could not make sure of, is written again.
        let theirs = self.fs.status(path).is_ok() && !self.state().unsure.contains(path);
        match theirs {
            true => Err(in_use(self.rival(path))),
            false => Ok(Some(lock)),
        }
    }

    /// Who wrote the file at `path`, as far as its header says.
    fn rival(&self, path: &Path) -> Option<Rival> {
        let mut bytes = [0; Header::BYTES];
        let mut file = self.fs.read_from(path, 0).ok()?;
        file.read_exact(&mut bytes).ok()?;
        Rival::in_header(&bytes)
    }

    /// Removes what dead runs left in the directory of `level`. `temporary` was just created there: its time is
    /// that file system's own idea of now.
    fn sweep(&self, level: Level, temporary: &Path) {
        let directory = self.level(level);
        let Ok(entries) = self.fs.list(&directory) else {
            return;
        };
        let is_ours = |entry: &&Entry| directory.join(&entry.name) == temporary;
        if let Some(now) = entries.iter().find(is_ours).map(|entry| entry.modified) {
            for entry in temporary::stale(&entries, now) {
                // One that cannot be removed is in nobody's way.
                let _ = self.fs.remove(&directory.join(&entry.name));
            }
        }
    }
}

impl Storage for FileStorage {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    // Of a thousand databases the replicas lie side by side, and on one disk.
    fn group(&self) -> String {
        parent(&self.root).display().to_string()
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        let directory = self.level(level);
        // Looked at first: a disk that changes during the listing shows at the next write.
        let root = self.identity()?;
        let entries = existing(self.fs.list(&directory), &directory)?;
        let info = |entry: &Entry| {
            parse_file_name(&entry.name).map(|txids| FileInfo {
                name: FileName { level, txids },
                size: entry.size,
                created: entry.modified,
            })
        };
        let mut files: Vec<FileInfo> = entries.iter().filter_map(info).collect();
        files.sort_unstable();
        let mut state = self.state();
        if !files.is_empty() {
            state.home.learn(self.devices());
        } else if state.home.is_gone(self.devices()) {
            let reason = "the disk that holds it is not mounted any more: mount it again, or restart walbrook to begin \
                          a new replica where it was mounted";
            return Err(failed("list", &self.root, io::Error::other(reason)));
        }
        state.seen.listed(level, root, !files.is_empty());
        Ok(files)
    }

    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        let path = self.path(name);
        let opened = match range {
            ByteRange::From(offset) => self.fs.read_from(&path, offset),
            ByteRange::Last(bytes) => self.fs.read_last(&path, bytes),
            ByteRange::Exact { offset, length } => self
                .fs
                .read_from(&path, offset)
                .map(|reader| Box::new(Exactly::new(reader, length)) as Box<dyn Read + Send>),
        };
        opened.map_err(|error| failed("read", &path, error))
    }

    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let first = self.prepare(name.level)?;
        let path = self.path(name);
        let lock = self.lock(&path);
        if lock.is_err() {
            // What is in the way on a disk that was just mounted is nobody's.
            self.check(&mut self.state())?;
        }
        let _lock = lock?;
        let temporary = temporary::beside(&path);
        let file = self.fs.create(&temporary);
        let file = file.map_err(|error| failed("write", &path, error))?;
        // On a disk mounted after this there is no temporary that could be renamed.
        self.check(&mut self.state()).inspect_err(|_| {
            let _ = self.fs.remove(&temporary);
        })?;
        if first {
            self.sweep(name.level, &temporary);
        }
        let written = self
            .fill(file, &temporary, &path, created, content)
            .map_err(|error| match (self.fs.remove(&temporary), error) {
                // The temporary was still there, so the rename has not happened.
                (Ok(()), StorageError::Io { source, .. }) => failed("write", &path, source),
                (_, error) => {
                    if error.outcome_unknown() {
                        self.state().unsure.insert(path.clone());
                    }
                    error
                }
            })?;
        let mut state = self.state();
        state.unsure.remove(&path);
        state.seen.wrote(name.level);
        state.home.learn(self.devices());
        Ok(written)
    }

    fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
        self.check(&mut self.state())?;
        for name in names {
            let path = self.path(*name);
            match self.fs.remove(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("delete", &path, error));
                }
                _ => (),
            }
        }
        Ok(())
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        let files = self.files();
        let removed = match self.fs.remove_all(&files) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| self.fs.sync_directory(&self.root)),
        };
        removed.map_err(|error| failed("delete", &files, error))?;
        // Refused when anything else is in it, which then is not ours to delete.
        if self.fs.remove_directory(&self.root).is_ok() {
            let synced = self.fs.sync_directory(parent(&self.root));
            synced.map_err(|error| failed("delete", &self.root, error))?;
        }
        *state = State::default();
        Ok(())
    }

    fn list_generations(&self) -> Result<Vec<GenerationFile>, StorageError> {
        let folder = self.root.join(generations::FOLDER);
        let found = existing(self.fs.directories(&folder), &folder)?;
        generations::find(found, &mut |directory| {
            let directory = self.root.join(directory);
            existing(self.fs.list(&directory), &directory)
        })
    }

    fn read_generation(
        &self,
        name: GenerationName,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, StorageError> {
        let path = self.root.join(name.to_string());
        let opened = self.fs.read_from(&path, offset);
        opened.map_err(|error| failed("read", &path, error))
    }

    /// A link that leads back to where it stands is left out.
    fn look_into(&self, path: &str) -> Result<Folder, StorageError> {
        let directory = self.root.join(path);
        let mut directories = existing(self.fs.directories(&directory), &directory)?;
        let files = existing(self.fs.list(&directory), &directory)?;
        let mut above: Vec<FileIdentity> = Vec::new();
        let within = directory.ancestors();
        for path in within.take_while(|path| path.starts_with(&self.root)) {
            above.extend(self.fs.identity(path).ok());
        }
        directories.retain(|name| {
            let identity = self.fs.identity(&directory.join(name));
            identity.is_ok_and(|identity| !above.contains(&identity))
        });
        Ok(Folder {
            directories,
            has_files: files.iter().any(|it| parse_file_name(&it.name).is_some()),
        })
    }
}

/// What was found in `directory`, which need not exist.
fn existing<T>(found: io::Result<Vec<T>>, directory: &Path) -> Result<Vec<T>, StorageError> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        found => found.map_err(|error| failed("list", directory, error)),
    }
}

/// Counts what is written, and remembers whether an error was the file's own.
struct Sink {
    file: Box<dyn OpenFile>,
    written: u64,
    failed: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes);
        match written {
            Ok(count) => self.written += count as u64,
            Err(ref error) => self.failed |= error.kind() != io::ErrorKind::Interrupted,
        }
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn failed(operation: &'static str, path: &Path, source: io::Error) -> StorageError {
    let location = path.display().to_string();
    // Only an operation on one file of the replica asks for something that may not be there.
    if operation == "read" && source.kind() == io::ErrorKind::NotFound {
        return StorageError::NotFound { location };
    }
    StorageError::Io {
        operation,
        location,
        source,
    }
}
