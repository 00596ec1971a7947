//! What a file of Litestream 0.3 holds, as a stream that survives a failing connection, as `fetch` is for LTX files.

use std::io::{self, Read};
use std::time::Duration;

use crate::ltx::{Lz4Blocks, Lz4Error};
use crate::restore::RestoreError;
use crate::storage::{GenerationFile, Storage, StorageError};

/// Why a file was not read to its end.
pub(super) enum ReadError {
    /// The storage failed.
    Storage(StorageError),
    /// The file is encrypted.
    Encrypted,
    /// The file is damaged.
    Damaged(&'static str),
    /// Something else failed, which was done with what had been read.
    Other(RestoreError),
}

impl From<&'static str> for ReadError {
    fn from(problem: &'static str) -> ReadError {
        ReadError::Damaged(problem)
    }
}

impl From<RestoreError> for ReadError {
    fn from(error: RestoreError) -> ReadError {
        ReadError::Other(error)
    }
}

impl From<Lz4Error> for ReadError {
    fn from(error: Lz4Error) -> ReadError {
        match error {
            Lz4Error::NoFrame(begin) if begin == *b"age-" => ReadError::Encrypted,
            Lz4Error::NoFrame(_) => ReadError::Damaged("it is not an LZ4 frame"),
            Lz4Error::Malformed(problem) => ReadError::Damaged(problem),
            Lz4Error::Io(error) => ReadError::Storage(storage_error(error)),
        }
    }
}

/// The storage's error that a [`Stream`] gave.
fn storage_error(error: io::Error) -> StorageError {
    error.downcast().unwrap_or_else(|source| StorageError::Io {
        operation: "read",
        location: "the replica".to_owned(),
        source,
    })
}

/// Gives what `file` holds to `take`, block by block. It is whole only when this has returned.
///
/// # Errors
/// Those of `take`; and when the file is damaged or cannot be read.
pub(super) fn read(
    storage: &dyn Storage,
    file: GenerationFile,
    pauses: &[Duration],
    count: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(&[u8]) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let mut stream = Stream {
        storage,
        file,
        reader: None,
        position: 0,
        pauses,
        count,
    };
    let mut blocks = Lz4Blocks::open(&mut stream)?;
    while let Some(block) = blocks.next_block()? {
        take(block)?;
    }
    Ok(())
}

/// The bytes of a file as it is stored. Its errors are [`StorageError`]s inside of [`io::Error`]s.
struct Stream<'a> {
    storage: &'a dyn Storage,
    file: GenerationFile,
    reader: Option<Box<dyn Read + Send>>,
    position: u64,
    /// How long to wait before each attempt that is left.
    pauses: &'a [Duration],
    count: &'a mut dyn FnMut(u64),
}

impl Stream<'_> {
    fn attempt(&mut self, bytes: &mut [u8]) -> Result<usize, StorageError> {
        let (storage, file) = (self.storage, self.file);
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => storage.read_generation(file.name, self.position)?,
        };
        let read = reader.read(bytes).map_err(|source| StorageError::Io {
            operation: "read",
            location: format!("{} of {}", file.name, storage.location()),
            source,
        })?;
        // Once more is asked for than there is, to see that it ends there.
        if read > 0 || self.position >= file.size {
            self.reader = Some(reader);
        }
        Ok(read)
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let error = match self.attempt(bytes) {
                Ok(0) if self.position < self.file.size => None,
                Ok(read) => {
                    self.position += read as u64;
                    (self.count)(read as u64);
                    return Ok(read);
                }
                Err(error) => Some(error),
            };
            let may_pass = error.as_ref().is_none_or(|error| !error.is_not_found());
            match (self.pauses, error) {
                ([pause, rest @ ..], error) if may_pass => {
                    match error {
                        Some(error) => log::info!("{error}, trying again"),
                        None => log::info!("{}: ended early, trying again", self.file.name),
                    }
                    self.pauses = rest;
                    std::thread::sleep(*pause);
                }
                (_, None) => return Ok(0),
                // Not with a kind that could be taken for an end of the file.
                (_, Some(error)) => return Err(io::Error::other(error)),
            }
        }
    }
}
