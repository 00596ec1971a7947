//! A file of the replica as a stream that holds no connection: it is asked for piece by piece. So hundreds can be
//! open at once, in memory that does not depend on how large they are.

use std::io::{self, Read};

use crate::restore::PAUSES;
use crate::storage::{ByteRange, FileInfo, Storage, StorageError};
use crate::units::PageSize;

/// How much is read ahead of all files together, beyond the least of each.
const AHEAD_BYTES: u64 = 4 << 20;
/// The least that is read of a file at once.
const PIECE_BYTES_MIN: u64 = 16 << 10;
/// What a decoder takes besides two pages: its buffer, and small change.
const DECODER_BYTES: usize = 10 << 10;

/// The memory that merging takes for each file, besides what is read ahead.
pub(super) fn bytes_each(page_size: PageSize) -> usize {
    2 * page_size.bytes() as usize + DECODER_BYTES + PIECE_BYTES_MIN as usize
}

/// The stream.
pub(super) struct Input<'a> {
    storage: &'a dyn Storage,
    file: FileInfo,
    piece_bytes: u64,
    /// Where the piece after this one begins.
    offset: u64,
    piece: Vec<u8>,
    /// How much of the piece has been given.
    given: usize,
}

impl<'a> Input<'a> {
    /// Will read `file`, one of several that have `total` bytes together. All of them take as many pieces, and a large
    /// one larger ones.
    pub(super) fn new(storage: &'a dyn Storage, file: FileInfo, total: u64) -> Input<'a> {
        let share = u128::from(AHEAD_BYTES) * u128::from(file.size) / u128::from(total.max(1));
        let share = u64::try_from(share).unwrap_or(AHEAD_BYTES);
        Input {
            storage,
            file,
            piece_bytes: share.max(PIECE_BYTES_MIN),
            offset: 0,
            piece: Vec::new(),
            given: 0,
        }
    }

    /// Reads the next piece, again after a pause if the connection fails.
    fn fetch(&mut self) -> Result<(), StorageError> {
        let length = self.piece_bytes.min(self.file.size - self.offset);
        let mut pauses = PAUSES.iter();
        loop {
            match (
                read(
                    self.storage,
                    self.file,
                    self.offset,
                    length,
                    &mut self.piece,
                ),
                pauses.next(),
            ) {
                (Ok(()), _) => break,
                (Err(error), Some(pause)) if !error.is_not_found() => {
                    log::info!("{error}, trying again");
                    std::thread::sleep(*pause);
                }
                (Err(error), _) => return Err(error),
            }
        }
        self.offset += length;
        self.given = 0;
        Ok(())
    }
}

impl Read for Input<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.given == self.piece.len() {
            if self.offset == self.file.size {
                self.piece = Vec::new();
                self.given = 0;
                return Ok(0);
            }
            // Not with a kind that could be taken for an end of the file.
            self.fetch().map_err(io::Error::other)?;
        }
        let count = bytes.len().min(self.piece.len() - self.given);
        bytes[..count].copy_from_slice(&self.piece[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// Replaces `piece` by so many bytes of `file`.
pub(super) fn read(
    storage: &dyn Storage,
    file: FileInfo,
    offset: u64,
    length: u64,
    piece: &mut Vec<u8>,
) -> Result<(), StorageError> {
    let mut reader = storage.read(file.name, ByteRange::Exact { offset, length })?;
    piece.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
    reader.read_exact(piece).map_err(|source| StorageError::Io {
        operation: "read",
        location: format!("{} of {}", file.name, storage.location()),
        source,
    })
}
