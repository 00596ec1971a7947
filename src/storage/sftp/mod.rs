//! Replicas on SFTP servers: `<path>/ltx/<level>/<min>-<max>.ltx`, as in a directory, the file's modification time
//! being that in its LTX header, cut to seconds.
//!
//! [`SftpStorage`] says what to do, in terms of files. Below it: `upload`, `download` and `directory` know the order of
//! requests, `link` has a connection to the server, `session` carries requests and answers over it, `program` knows
//! the SSH client that makes it, `packet` the bytes.

mod askpass;
mod diagnosis;
mod directory;
mod download;
mod link;
mod packet;
mod program;
mod session;
mod settings;
mod status;
mod upload;

use std::collections::HashSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::link::Renaming;
use self::packet::Name;
use self::session::{Calls, Failure};
use self::upload::{Upload, Writing};
use super::generations::{self, GenerationFile, GenerationName};
use super::{ByteRange, Content, FileInfo, FileName, Folder, Network, Storage, StorageError};
use crate::ltx::name::{file_name, parse_file_name};
use crate::sys::fs::Entry;
use crate::sys::temporary;
use crate::units::{Level, Timestamp};

pub use askpass::answer;
pub(super) use link::Link;
#[cfg(any(test, fuzzing))]
pub use packet::read_anything;
pub use settings::SftpSettings;

/// A replica on an SFTP server.
pub struct SftpStorage {
    settings: SftpSettings,
    network: Arc<Network>,
    link: Arc<Link>,
    exclusive: bool,
    writing: Writing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether a file was seen here, so that a directory that is missing now was taken away.
    seen: bool,
    /// Levels already cleared of what dead runs left.
    swept: HashSet<Level>,
}

impl SftpStorage {
    /// The replica that `settings` describe. Nothing is connected yet. All replicas at one server share a connection.
    pub fn new(settings: SftpSettings, network: &Arc<Network>) -> SftpStorage {
        SftpStorage {
            link: network.link(&settings, None),
            settings,
            network: Arc::clone(network),
            exclusive: false,
            writing: Writing::default(),
            state: Mutex::default(),
        }
    }

    /// The same, for a writer that knows what is there: a name that somebody else has taken meanwhile is not
    /// written over, but an error.
    pub fn exclusive(self) -> SftpStorage {
        SftpStorage {
            exclusive: true,
            ..self
        }
    }

    /// The same, with this program telling `ssh` the password: it has to call [`answer`] when it is started. Otherwise
    /// it is the program that runs.
    pub fn with_helper(self, program: PathBuf) -> SftpStorage {
        SftpStorage {
            link: self.network.link(&self.settings, Some(program)),
            ..self
        }
    }

    fn root(&self) -> &str {
        match self.settings.path.trim_end_matches('/') {
            "" if self.settings.path.starts_with('/') => "",
            "" => ".",
            path => path,
        }
    }

    fn below(&self, path: &str) -> String {
        format!("{}/{path}", self.root())
    }

    fn level(&self, level: Level) -> String {
        self.below(&format!("ltx/{level}"))
    }

    fn path(&self, name: FileName) -> String {
        format!("{}/{}", self.level(name.level), file_name(name.txids))
    }

    /// What messages call `path`.
    fn place(&self, path: &str) -> String {
        let between = if path.starts_with('/') { "" } else { "/./" };
        format!("{}{between}{path}", self.settings.server())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn calls(&self, operation: &'static str, path: &str) -> Result<Calls, StorageError> {
        let session = self.link.session();
        session
            .map(Calls::new)
            .map_err(|failure| self.failed(operation, path, failure))
    }

    fn failed(&self, operation: &'static str, path: &str, failure: Failure) -> StorageError {
        status::error(operation, self.place(path), failure, false)
    }

    /// Calls `each` for the names in the directory `path`.
    fn look_through(&self, path: &str, each: &mut dyn FnMut(Name)) -> Result<(), StorageError> {
        let calls = self.calls("list", path)?;
        directory::look_through(&calls, path, each)
            .map_err(|failure| self.failed("list", path, failure))
    }

    /// The files of these levels.
    fn list_levels(&self, levels: Vec<Level>) -> Result<Vec<FileInfo>, StorageError> {
        let paths: Vec<String> = levels.iter().map(|level| self.level(*level)).collect();
        let calls = self.calls("list", &paths[0])?;
        let mut files = Vec::new();
        directory::look_through_all(&calls, &paths, &mut |which, name| {
            let txids = parse_file_name(&name.name);
            if let (Some(txids), Some(entry)) = (txids, entry(name)) {
                let level = levels[which];
                files.push(FileInfo {
                    name: FileName { level, txids },
                    size: entry.size,
                    created: entry.modified,
                });
            }
        })
        .map_err(|(which, failure)| self.failed("list", &paths[which], failure))?;
        files.sort_unstable();
        // A directory that changes while it is looked through may show a name twice.
        files.dedup_by_key(|file| file.name);
        self.state().seen |= !files.is_empty();
        Ok(files)
    }

    fn entries(&self, path: &str) -> Result<Vec<Entry>, StorageError> {
        let mut entries = Vec::new();
        self.look_through(path, &mut |name| entries.extend(entry(name)))?;
        Ok(entries)
    }

    /// Makes the directory of `level`, unless it must have been there.
    fn make_level(&self, calls: &Calls, level: Level) -> Result<(), StorageError> {
        let mut state = self.state();
        let root_is_missing = || {
            let stat = packet::Packet::request(packet::Kind::Stat).string(self.root().as_bytes());
            matches!(calls.ask(stat).and_then(session::done), Err(failure) if status::is_missing(&failure))
        };
        if state.seen && root_is_missing() {
            state.seen = false;
            return Err(StorageError::Replaced {
                location: self.location(),
            });
        }
        let path = self.level(level);
        directory::make(calls, &path).map_err(|failure| {
            let above = self.root();
            let failure =
                status::explained(calls, if above.is_empty() { "/" } else { above }, failure);
            self.failed("create directory", &path, failure)
        })
    }

    /// Removes what dead runs left in the directory of `level`. `temporary` was just made there: its time is the
    /// server's own idea of now.
    fn sweep(&self, calls: &Calls, level: Level, temporary: &str) {
        let directory = self.level(level);
        let mut entries = Vec::new();
        let looked = directory::look_through(calls, &directory, &mut |name| {
            // Files that are of use are many.
            if temporary::parse(&name.name).is_some() {
                entries.extend(entry(name));
            }
        });
        let ours = temporary.rsplit('/').next().unwrap_or_default();
        let now = entries.iter().find(|entry| entry.name == ours);
        if let (Ok(()), Some(now)) = (looked, now.map(|entry| entry.modified)) {
            let stale = temporary::stale(&entries, now);
            let stale: Vec<String> = stale
                .map(|entry| format!("{directory}/{}", entry.name))
                .collect();
            // One that cannot be removed is in nobody's way.
            let _ = directory::remove(calls, &stale);
        }
    }
}

impl Storage for SftpStorage {
    fn location(&self) -> String {
        self.settings.location()
    }

    /// One server serves many replicas.
    fn group(&self) -> String {
        self.settings.server()
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        self.list_levels(vec![level])
    }

    /// Level 0 by itself: only from there files are removed soon after they were merged. The other levels are opened at
    /// once, as most do not exist.
    fn list_all(&self) -> Result<Vec<FileInfo>, StorageError> {
        let (first, others) = Level::all().partition(|level| *level == Level::SYNC);
        let mut files = self.list_levels(first)?;
        files.extend(self.list_levels(others)?);
        Ok(files)
    }

    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        let path = self.path(name);
        let location = self.place(&path);
        download::read(&self.link, path, location, range)
    }

    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let path = self.path(name);
        let calls = self.calls("write", &path)?;
        let temporary = temporary::beside(Path::new(&path));
        let temporary = temporary.to_string_lossy();
        let upload = Upload {
            link: &self.link,
            writing: &self.writing,
            path: &path,
            temporary: &temporary,
            location: &self.place(&path),
            created,
            content,
            exclusive: self.exclusive,
            concurrent: self.settings.concurrent_writes,
        };
        let mut begun = |calls: &Calls| {
            if self.state().swept.insert(name.level) {
                self.sweep(calls, name.level, &temporary);
            }
        };
        let written = match upload.run(&calls, &mut begun) {
            Err(StorageError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                self.make_level(&calls, name.level)?;
                // In a new directory there is nothing to be swept.
                self.state().swept.insert(name.level);
                upload.run(&calls, &mut begun)
            }
            written => written,
        }?;
        self.state().seen = true;
        Ok(written)
    }

    fn late_writes_replace(&self) -> bool {
        let renaming = self.link.renaming.lock();
        *renaming.unwrap_or_else(PoisonError::into_inner) != Renaming::Refuses
    }

    fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
        if names.is_empty() {
            return Ok(());
        }
        let paths: Vec<String> = names.iter().map(|name| self.path(*name)).collect();
        let calls = self.calls("delete", &paths[0])?;
        directory::remove(&calls, &paths)
            .map_err(|(path, failure)| self.failed("delete", &path, failure))
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        let files = self.below("ltx");
        let calls = self.calls("delete", &files)?;
        directory::remove_all(&calls, &files)
            .map_err(|(path, failure)| self.failed("delete", &path, failure))?;
        // Refused when anything else is in it, which then is not ours to delete.
        let _ = directory::remove_empty(&calls, self.root());
        *self.state() = State::default();
        Ok(())
    }

    fn list_generations(&self) -> Result<Vec<GenerationFile>, StorageError> {
        let mut found = Vec::new();
        self.look_through(&self.below(generations::FOLDER), &mut |name| {
            if name.attributes.is_directory() {
                found.push(name.name);
            }
        })?;
        generations::find(found, &mut |directory| self.entries(&self.below(directory)))
    }

    fn read_generation(
        &self,
        name: GenerationName,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, StorageError> {
        let path = self.below(&name.to_string());
        let location = self.place(&path);
        download::read(&self.link, path, location, ByteRange::From(offset))
    }

    fn look_into(&self, path: &str) -> Result<Folder, StorageError> {
        let mut folder = Folder::default();
        self.look_through(&self.below(path.trim_end_matches('/')), &mut |name| {
            folder.has_files |= parse_file_name(&name.name).is_some();
            // Links to directories are none here, so nothing leads back.
            if name.attributes.is_directory() {
                folder.directories.push(name.name);
            }
        })?;
        Ok(folder)
    }
}

/// The file that a name in a directory stands for, if it can be one.
fn entry(name: Name) -> Option<Entry> {
    let attributes = name.attributes;
    attributes.may_be_file().then(|| Entry {
        name: name.name,
        size: attributes.size.unwrap_or(0),
        modified: Timestamp::from_millis(i64::from(attributes.modified.unwrap_or(0)) * 1000),
    })
}

#[cfg(test)]
mod tests;
