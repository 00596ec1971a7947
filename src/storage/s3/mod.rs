//! Replicas on S3 and what speaks its language.
//!
//! [`S3Storage`] says what to do, in terms of files; `bucket` sends the requests, `signed` signs them, and what
//! providers do differently is a table in `provider`. How often a request is tried, how fast bytes may go and what is
//! counted is not decided here but in what is wrapped around the client.

mod answer;
#[cfg(any(test, fuzzing))]
mod anything;
mod bucket;
mod claim;
mod credentials;
mod delete;
mod endpoint;
mod get;
mod given;
mod keys;
mod list;
mod parts;
mod provider;
mod put;
mod settings;
mod sign;
mod signed;
mod time;
mod times;

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use self::bucket::Bucket;
use self::claim::Claim;
use self::put::{Conditions, Object, Writing};
use super::generations::{self, GenerationFile, GenerationName};
use super::memory::Memory;
use super::{
    ByteRange, Content, FileInfo, FileName, Folder, Network, Rival, Storage, StorageError,
};
use crate::ltx::Header;
use crate::ltx::name::parse_file_name;
use crate::units::{Level, Timestamp, Txid};

#[cfg(any(test, fuzzing))]
pub use anything::read_anything;
pub use endpoint::Endpoint;
pub use given::{GivenKeys, GivenValue};
pub use provider::UrlHost;
pub use settings::{Encryption, Keys, PART_BYTES, PART_BYTES_MAX, PART_BYTES_MIN, Settings};

const ADD_PATH: &str = "give the replica a path, as in s3://BUCKET/PATH";

/// A replica in a bucket.
pub struct S3Storage {
    bucket: Arc<Bucket>,
    memory: Arc<Memory>,
    writing: Writing,
    claim: Claim,
    exclusive: bool,
    /// Whether the server is known to keep the names of objects as they are.
    keeps_names: AtomicBool,
}

impl S3Storage {
    /// The replica that `settings` describe. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// When they cannot be: an endpoint that is no URL, a file of certificates that cannot be read.
    pub fn open(settings: Settings, network: &Arc<Network>) -> io::Result<S3Storage> {
        let bucket = Bucket::new(settings, network)?;
        let keeps_names = !keys::are_odd(&bucket.settings().path);
        Ok(S3Storage {
            keeps_names: AtomicBool::new(keeps_names),
            writing: Writing::new(bucket.target().conditional_put),
            memory: network.memory_for(&bucket.target().authority),
            bucket: Arc::new(bucket),
            claim: Claim::new(),
            exclusive: false,
        })
    }

    /// The same, for a writer that knows what is there: a name that somebody else has taken meanwhile is not
    /// written over, but an error. Servers that know no conditional writes write over it.
    pub fn exclusive(self) -> S3Storage {
        S3Storage {
            exclusive: true,
            ..self
        }
    }

    /// The same, looking so often who else may write to it.
    pub fn with_claim_believed_for(self, believed: Duration) -> S3Storage {
        S3Storage {
            claim: self.claim.believed_for(believed),
            ..self
        }
    }

    fn path(&self) -> &str {
        &self.bucket.settings().path
    }

    /// The error, with advice if an odd name may be its cause.
    fn blaming_name(&self, error: StorageError) -> StorageError {
        match error {
            StorageError::Refused {
                operation,
                location,
                reason,
            } if !self.keeps_names.load(Ordering::Relaxed) => StorageError::Refused {
                operation,
                location,
                reason: format!(
                    "{reason}; if it is this name that the server does not take, {ADD_PATH}"
                ),
            },
            error => error,
        }
    }

    /// Makes sure that what was stored as `key` is found again. It costs a request, once, for odd names.
    fn check_name(&self, key: &str) -> Result<(), StorageError> {
        if self.keeps_names.load(Ordering::Relaxed) {
            return Ok(());
        }
        let found = list::list(&self.bucket, key)?;
        if !found.iter().any(|object| object.key == key) {
            let _ = delete::delete(&self.bucket, &[key.to_owned()]);
            return Err(StorageError::Refused {
                operation: "write",
                location: self.bucket.location(key),
                reason: format!(
                    "this server stores it under another name, without the empty part or the dot, where it would \
                     not be found: {ADD_PATH}"
                ),
            });
        }
        self.keeps_names.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Adds to the error who wrote the file `name`, as far as its header says.
    fn naming_rival(&self, error: StorageError, name: FileName) -> StorageError {
        let StorageError::InUse { location, by: None } = error else {
            return error;
        };
        let mut bytes = [0; Header::BYTES];
        let range = ByteRange::Exact {
            offset: 0,
            length: Header::BYTES as u64,
        };
        let read = self
            .read(name, range)
            .map(|mut file| file.read_exact(&mut bytes));
        let by = matches!(read, Ok(Ok(()))).then(|| Rival::in_header(&bytes));
        StorageError::InUse {
            location,
            by: by.flatten(),
        }
    }

    fn list_prefix(
        &self,
        prefix: &str,
        after: Option<String>,
    ) -> Result<Vec<FileInfo>, StorageError> {
        let info = |object: list::Object| {
            Some(FileInfo {
                name: keys::parse(self.path(), &object.key)?,
                size: object.size,
                created: object.modified,
            })
        };
        let objects = list::list_after(&self.bucket, prefix, after)?;
        let mut files: Vec<FileInfo> = objects.into_iter().filter_map(info).collect();
        files.sort_unstable();
        Ok(files)
    }
}

impl Storage for S3Storage {
    fn location(&self) -> String {
        self.bucket.location(self.path())
    }

    /// One server serves many replicas.
    fn group(&self) -> String {
        self.bucket.target().authority.clone()
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        self.list_prefix(&keys::level_prefix(self.path(), level), None)
    }

    fn list_from(&self, level: Level, txid: Txid) -> Result<Vec<FileInfo>, StorageError> {
        let prefix = keys::level_prefix(self.path(), level);
        // What the names of files from `txid` on begin with, and so before all of them.
        let mut files = self.list_prefix(&prefix, Some(format!("{prefix}{txid}")))?;
        files.retain(|file| file.name.txids.min() >= txid);
        Ok(files)
    }

    /// In one listing: keys are ordered by level.
    fn list_all(&self) -> Result<Vec<FileInfo>, StorageError> {
        self.list_prefix(&keys::levels_prefix(self.path()), None)
    }

    fn exact_times(&self, files: Vec<FileInfo>) -> Result<Vec<FileInfo>, StorageError> {
        times::exact(&self.bucket, self.path(), &files)
    }

    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        get::read(&self.bucket, &keys::key(self.path(), name), range)
    }

    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let key = &keys::key(self.path(), name);
        let object = Object {
            bucket: &self.bucket,
            writing: &self.writing,
            key,
            created,
            upload: format!("{:016x}", content.id()),
            exclusive: self.exclusive,
        };
        let size = put::write(&object, &self.memory, content);
        let size = size.map_err(|error| self.blaming_name(self.naming_rival(error, name)))?;
        self.check_name(key)?;
        Ok(size)
    }

    fn late_writes_replace(&self) -> bool {
        self.writing.conditions() != Conditions::Heeded
    }

    fn claim(&self, writer: u64) -> Result<(), StorageError> {
        if !self.exclusive || self.writing.conditions() == Conditions::Heeded {
            return Ok(());
        }
        let key = keys::claim(self.path());
        self.claim.keep(&self.bucket, &self.writing, &key, writer)
    }

    fn stamps_files(&self) -> bool {
        true
    }

    fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
        let keys: Vec<String> = names
            .iter()
            .map(|name| keys::key(self.path(), *name))
            .collect();
        delete::delete(&self.bucket, &keys)
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        let objects = list::list(&self.bucket, &keys::levels_prefix(self.path()))?;
        let keys: Vec<String> = objects
            .into_iter()
            .map(|object| object.key)
            .filter(|key| keys::is_in_level(self.path(), key))
            .chain([keys::claim(self.path())])
            .collect();
        delete::delete(&self.bucket, &keys)
    }

    fn list_generations(&self) -> Result<Vec<GenerationFile>, StorageError> {
        let top = keys::top(self.path());
        let prefix = format!("{top}{}/", generations::FOLDER);
        let file = |object: list::Object| {
            Some(GenerationFile {
                name: GenerationName::parse(object.key.strip_prefix(&top)?)?,
                size: object.size,
                created: object.modified,
            })
        };
        let objects = list::list(&self.bucket, &prefix)?;
        Ok(objects.into_iter().filter_map(file).collect())
    }

    fn read_generation(
        &self,
        name: GenerationName,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, StorageError> {
        let key = format!("{}{name}", keys::top(self.path()));
        get::read(&self.bucket, &key, ByteRange::From(offset))
    }

    fn look_into(&self, path: &str) -> Result<Folder, StorageError> {
        let prefix = format!("{}{path}", keys::top(self.path()));
        let mut has_files = false;
        let found = list::prefixes(&self.bucket, &prefix, &mut |key| {
            let name = key.strip_prefix(&prefix);
            has_files |= name.is_some_and(|name| parse_file_name(name).is_some());
        })?;
        let name =
            |found: &String| Some(found.strip_prefix(&prefix)?.strip_suffix('/')?.to_owned());
        Ok(Folder {
            directories: found.iter().filter_map(name).collect(),
            has_files,
        })
    }

    fn levels_folder(&self) -> &'static str {
        ""
    }
}
