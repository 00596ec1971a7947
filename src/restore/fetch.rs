//! Bytes of one LTX file as a stream that survives a failing connection: after an error, or an end before its time,
//! they are asked for again from the byte it had come to.

use std::io::{self, Read};
use std::time::Duration;

use crate::storage::{ByteRange, FileInfo, Storage, StorageError};

/// How long to wait before each new attempt; with these used up, the error stands. Of one stream, over its whole
/// length: a connection that fails more often will not carry the file either.
pub const PAUSES: [Duration; 3] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1000),
];

/// Which bytes of a file are fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    /// The file.
    pub(super) file: FileInfo,
    /// The first byte.
    pub(super) from: u64,
    /// Behind the last one. If that is the end of the file, it is read to where the file ends in truth, so that bytes
    /// too many show.
    pub(super) to: u64,
}

impl Span {
    /// All from byte `from` on.
    pub(super) fn rest(file: FileInfo, from: u64) -> Span {
        let to = file.size.max(from);
        Span { file, from, to }
    }

    /// Whether it ends where the file does.
    pub(super) fn is_last(self) -> bool {
        self.to >= self.file.size
    }

    /// How many bytes that is.
    pub(super) fn bytes(self) -> u64 {
        self.to - self.from
    }
}

/// The stream. Its errors are [`StorageError`]s inside of [`io::Error`]s; see [`storage_error`].
pub(super) struct Fetch<'a> {
    storage: &'a dyn Storage,
    /// What is still to come.
    left: Span,
    reader: Option<Box<dyn Read + Send>>,
    pauses: &'a [Duration],
    /// The file was shorter than the span: whether it is indeed is told by reading to its end.
    seems_short: bool,
}

impl<'a> Fetch<'a> {
    /// Will read `span`, from the first read on.
    pub(super) fn new(storage: &'a dyn Storage, span: Span, pauses: &'a [Duration]) -> Fetch<'a> {
        Fetch {
            storage,
            left: span,
            reader: None,
            pauses,
            seems_short: false,
        }
    }

    fn range(&self) -> ByteRange {
        let Span { from, .. } = self.left;
        match self.left.is_last() || self.seems_short {
            true => ByteRange::From(from),
            false => ByteRange::Exact {
                offset: from,
                length: self.left.bytes(),
            },
        }
    }

    fn attempt(&mut self, bytes: &mut [u8]) -> Result<usize, StorageError> {
        let name = self.left.file.name;
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.storage.read(name, self.range())?,
        };
        let count = reader.read(bytes).map_err(|source| {
            self.seems_short |= source.kind() == io::ErrorKind::UnexpectedEof;
            StorageError::Io {
                operation: "read",
                location: format!("{name} of {}", self.storage.location()),
                source,
            }
        })?;
        self.reader = Some(reader);
        Ok(count)
    }
}

impl Read for Fetch<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = match self.left.is_last() {
            true => bytes.len(),
            false => {
                usize::try_from(self.left.bytes()).map_or(bytes.len(), |it| it.min(bytes.len()))
            }
        };
        let bytes = &mut bytes[..most];
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
                (Ok(0), Some(pause)) if self.left.bytes() > 0 => {
                    self.reader = None;
                    log::info!("{}: ended early, trying again", self.left.file.name);
                    std::thread::sleep(pause);
                }
                (Ok(count), _) => {
                    self.left.from += count as u64;
                    self.left.to = self.left.to.max(self.left.from);
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
