//! One LTX file as a stream that survives a failing connection: after an error, or an end before the size that
//! the listing gave, it is opened again at the byte it had come to.

use std::io::{self, Read};
use std::time::Duration;

use crate::storage::{ByteRange, FileInfo, Storage, StorageError};

/// How long to wait before each new attempt; with these used up, the error stands. Of one file, over its whole
/// length: a connection that fails more often will not carry the file either.
pub const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// The stream. Its errors are [`StorageError`]s inside of [`io::Error`]s; see [`storage_error`].
pub(super) struct Fetch<'a> {
    storage: &'a dyn Storage,
    file: FileInfo,
    reader: Option<Box<dyn Read + Send>>,
    position: u64,
    pauses: &'a [Duration],
    progress: &'a mut dyn FnMut(u64),
}

impl<'a> Fetch<'a> {
    /// Will read `file`, from the first read on, and tell `progress` how many bytes each read gave.
    pub(super) fn new(
        storage: &'a dyn Storage,
        file: FileInfo,
        pauses: &'a [Duration],
        progress: &'a mut dyn FnMut(u64),
    ) -> Fetch<'a> {
        Fetch {
            storage,
            file,
            reader: None,
            position: 0,
            pauses,
            progress,
        }
    }

    /// Begins at this byte.
    pub(super) fn from(self, position: u64) -> Fetch<'a> {
        Fetch { position, ..self }
    }

    fn attempt(&mut self, bytes: &mut [u8]) -> Result<usize, StorageError> {
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => {
                let range = ByteRange::From(self.position);
                self.storage.read(self.file.name, range)?
            }
        };
        let count = reader.read(bytes).map_err(|source| StorageError::Io {
            operation: "read",
            location: format!("{} of {}", self.file.name, self.storage.location()),
            source,
        })?;
        self.reader = Some(reader);
        Ok(count)
    }
}

impl Read for Fetch<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        loop {
            let result = self.attempt(bytes);
            let (again, rest) = match self.pauses {
                [pause, rest @ ..] => (Some(*pause), rest),
                [] => (None, &[][..]),
            };
            match (result, again) {
                (Ok(0), Some(pause)) if self.position < self.file.size => {
                    self.reader = None;
                    log::info!("{}: ended early, trying again", self.file.name);
                    std::thread::sleep(pause);
                }
                (Ok(count), _) => {
                    self.position += count as u64;
                    (self.progress)(count as u64);
                    return Ok(count);
                }
                (Err(error), Some(pause)) if !error.is_not_found() => {
                    log::info!("{error}, trying again");
                    std::thread::sleep(pause);
                }
                // Not with a kind that could be taken for an end of the file.
                (Err(error), _) => return Err(io::Error::other(error)),
            }
            self.pauses = rest;
        }
    }
}

/// The storage's error that a [`Fetch`] gave as `error`.
pub(super) fn storage_error(error: io::Error, file: FileInfo) -> StorageError {
    let text = error.to_string();
    match error
        .into_inner()
        .map(|inner| inner.downcast::<StorageError>())
    {
        Some(Ok(error)) => *error,
        _ => StorageError::Io {
            operation: "read",
            location: file.name.to_string(),
            source: io::Error::other(text),
        },
    }
}
