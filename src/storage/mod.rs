//! Where replicas are kept. [`Storage`] is the whole contract; a backend is a file or folder of this room, and
//! the conformance suite holds each of them to these words.
//!
//! A replica is a tree of immutable LTX files, named by level and TXID range. A file is there complete or not
//! at all, under its final name; uploads under way are invisible in listings.

mod error;
mod exactly;
pub mod file;
mod find;
mod generations;
pub mod http;
mod memory;
mod network;
mod pieces;
pub mod s3;
pub mod sftp;

use std::io::{self, Read, Write};

pub use error::{Rival, StorageError};
pub use find::{Folder, Found, find_replicas};
pub use generations::{GenerationFile, GenerationName, GenerationPart};
pub use network::{Bounds, Network};
pub use pieces::{PieceError, fetch_header, fetch_page, fetch_page_index};

use crate::ltx::PageIndex;
use crate::sys::random;
use crate::units::{Level, Timestamp, Txid, TxidRange};

/// Names one file of a replica.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FileName {
    /// The level it stands on.
    pub level: Level,
    /// The TXIDs it covers.
    pub txids: TxidRange,
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "level {} {}", self.level, self.txids)
    }
}

/// One file in a listing.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FileInfo {
    /// Its name.
    pub name: FileName,
    /// Size in bytes.
    pub size: u64,
    /// The time in its LTX header where the backend keeps it, else the time it was stored.
    pub created: Timestamp,
}

impl FileInfo {
    /// Whether it can only be damaged, as its size tells: a power cut on the server's side leaves such, often empty.
    pub fn is_too_short(&self) -> bool {
        self.size < PageIndex::SMALLEST_FILE
    }
}

/// Which bytes of a file to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ByteRange {
    /// From this offset to the end; nothing at or past it.
    From(u64),
    /// The last so many bytes, or all where there are fewer.
    Last(u64),
    /// `length` bytes from `offset`.
    Exact {
        /// First byte.
        offset: u64,
        /// How many; a file that ends earlier is an error.
        length: u64,
    },
}

/// What a file will hold: written out on demand, and again from the start when an upload is tried again.
pub trait Content {
    /// Writes the whole content to `out`. Each call must write the same bytes.
    ///
    /// # Errors
    /// Those of `out`, unchanged, and those of reading the source.
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()>;

    /// Tells this content from every other, so that it is known again where it has arrived without our hearing of it.
    fn id(&self) -> u64 {
        random::unique()
    }

    /// The most bytes it can be. What is known not to be large is given less memory.
    fn most_bytes(&self) -> u64 {
        u64::MAX
    }
}

/// One replica's place on a storage. Every call may be made from several threads at once.
pub trait Storage: Send + Sync {
    /// Where this is, for messages: a URL without secrets.
    fn location(&self) -> String;

    /// The files of `level`, ascending by (min, max) TXID. A level or replica that does not exist is empty;
    /// a place that cannot be looked into is an error. Other names than those of LTX files are left out.
    ///
    /// # Errors
    /// When the storage cannot be reached or refuses.
    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError>;

    /// Those files of `level` that begin at `txid` or after it, for whoever knows the ones before: where a server can,
    /// it is asked for no more.
    ///
    /// # Errors
    /// As [`Storage::list`].
    fn list_from(&self, level: Level, txid: Txid) -> Result<Vec<FileInfo>, StorageError> {
        let mut files = self.list(level)?;
        files.retain(|file| file.name.txids.min() >= txid);
        Ok(files)
    }

    /// The files of all levels. Lowest level first, since files only ever move up: what retention removes from a
    /// level meanwhile was merged into the next before, and is found there.
    ///
    /// # Errors
    /// As [`Storage::list`].
    fn list_all(&self) -> Result<Vec<FileInfo>, StorageError> {
        let mut files = Vec::new();
        for level in Level::all() {
            files.extend(self.list(level)?);
        }
        Ok(files)
    }

    /// The same files with the times in their LTX headers, where listings tell others. Files that are gone by now may
    /// be left out. It may cost a request a file.
    ///
    /// # Errors
    /// As [`Storage::list`].
    fn exact_times(&self, files: Vec<FileInfo>) -> Result<Vec<FileInfo>, StorageError> {
        Ok(files)
    }

    /// Reads bytes of a file. A file cut short is [`io::ErrorKind::UnexpectedEof`], at the latest from the reader
    /// when it comes to the cut.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is no such file; others when the storage cannot be reached.
    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError>;

    /// Stores a file under its final name, atomically and durably, replacing one that is there, and gives its
    /// size in bytes. `created` is kept beside it. After an error the name holds what it held before, or, when
    /// [`StorageError::outcome_unknown`] says so, perhaps the new file.
    ///
    /// # Errors
    /// When the content cannot be produced or the storage cannot be reached or is full.
    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError>;

    /// What this storage shares with others: those of one group share a server or a disk, so that only so much is asked
    /// of it at once, and what hangs for one hangs for all.
    fn group(&self) -> String {
        self.location()
    }

    /// Whether an upload with an unknown outcome may yet arrive and replace what was stored under its name since.
    /// Where that has to be found out first, yes until it is known.
    fn late_writes_replace(&self) -> bool {
        false
    }

    /// Whether the times in listings are the server's own, and not those that writers gave their files.
    fn stamps_files(&self) -> bool {
        false
    }

    /// Says that `writer` writes here from now on, and makes sure now and then that nobody else has said so since. To
    /// be called before a sync is written. It matters on storages where two could write over each other's files
    /// unnoticed; others have nothing to do.
    ///
    /// # Errors
    /// [`StorageError::InUse`] when somebody else has; others when the storage cannot be reached.
    fn claim(&self, _writer: u64) -> Result<(), StorageError> {
        Ok(())
    }

    /// Deletes files; those already gone are fine. Stops at the first error.
    ///
    /// # Errors
    /// When the storage cannot be reached or refuses.
    fn delete(&self, names: &[FileName]) -> Result<(), StorageError>;

    /// Deletes everything of this replica, and only of it.
    ///
    /// # Errors
    /// When the storage cannot be reached or refuses.
    fn delete_all(&self) -> Result<(), StorageError>;

    /// The files of a replica of Litestream 0.3 that is here, in no order. They are only ever read, and may lie
    /// beside LTX files. Backends on which they never lived have none.
    ///
    /// # Errors
    /// When the storage cannot be reached or refuses.
    fn list_generations(&self) -> Result<Vec<GenerationFile>, StorageError> {
        Ok(Vec::new())
    }

    /// Reads such a file from byte `offset` to its end.
    ///
    /// # Errors
    /// As [`Storage::read`].
    fn read_generation(
        &self,
        name: GenerationName,
        _offset: u64,
    ) -> Result<Box<dyn Read + Send>, StorageError> {
        Err(StorageError::NotFound {
            location: format!("{name} of {}", self.location()),
        })
    }

    /// What stands in the directory `path` below this place, for [`find_replicas`]: empty for the place itself, else
    /// ending with a slash. One that does not exist is empty. Backends without directories have none.
    ///
    /// # Errors
    /// When the storage cannot be reached or refuses.
    fn look_into(&self, _path: &str) -> Result<Folder, StorageError> {
        Ok(Folder::default())
    }

    /// The directory of a replica that has its levels, each called by its decimal number; empty where they stand in the
    /// replica itself, called by four hexadecimal digits.
    fn levels_folder(&self) -> &'static str {
        "ltx"
    }
}
