//! Pieces of the LTX files on a storage, each read by a range: the header, the page index, single pages. None is
//! verified as the whole file would be; they are as they should be as far as each can tell by itself.

use std::fmt;

use super::{ByteRange, FileInfo, FileName, Storage, StorageError};
use crate::ltx::{self, Fault, Header, IndexEntry, PageIndex, Tail, read_frame};
use crate::units::PageSize;

/// The first read of a page index: covers that of some 4,000 pages.
const INDEX_BYTES_ESTIMATE: u64 = 32 << 10;

/// Why a piece cannot be had.
#[derive(Debug)]
pub enum PieceError {
    /// The storage cannot be read.
    Storage(StorageError),
    /// It is not that of an LTX file.
    Damaged {
        /// Which file.
        file: FileName,
        /// What is wrong with it.
        fault: Fault,
    },
}

impl PieceError {
    fn of(file: FileName, error: ltx::Error) -> PieceError {
        match error {
            ltx::Error::Invalid(fault) => PieceError::Damaged { file, fault },
            ltx::Error::Io(source) => PieceError::Storage(StorageError::Io {
                operation: "read",
                location: file.to_string(),
                source,
            }),
        }
    }
}

impl From<StorageError> for PieceError {
    fn from(error: StorageError) -> PieceError {
        PieceError::Storage(error)
    }
}

impl fmt::Display for PieceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PieceError::Storage(error) => error.fmt(f),
            PieceError::Damaged { file, fault } => write!(f, "{file} is damaged: {fault}"),
        }
    }
}

impl std::error::Error for PieceError {}

/// The header of a file, with one read.
///
/// # Errors
/// When it cannot be read or is none.
pub fn fetch_header(storage: &dyn Storage, file: &FileInfo) -> Result<Header, PieceError> {
    let damaged = |error| PieceError::of(file.name, error);
    let mut header = [0; Header::BYTES];
    if file.size < Header::BYTES as u64 {
        let part = "the header";
        let offset = file.size;
        return Err(damaged(Fault::Truncated { part, offset }.into()));
    }
    let range = ByteRange::Exact {
        offset: 0,
        length: Header::BYTES as u64,
    };
    read_whole(storage, file.name, range, &mut header)?;
    Header::parse(&header).map_err(damaged)
}

/// The page index of a file of the size that `file` has, with one read of its end, or with two where the index is a
/// long one; none if it takes more than `most` bytes.
///
/// # Errors
/// When it cannot be read or is none.
pub fn fetch_page_index(
    storage: &dyn Storage,
    file: &FileInfo,
    most: u64,
) -> Result<Option<PageIndex>, PieceError> {
    let mut wanted = INDEX_BYTES_ESTIMATE.min(file.size);
    loop {
        let mut tail = vec![0; usize::try_from(wanted).unwrap_or(usize::MAX)];
        read_whole(storage, file.name, ByteRange::Last(wanted), &mut tail)?;
        match PageIndex::parse_tail(&tail, file.size) {
            Ok(Tail::Index(index)) => return Ok(Some(index)),
            Ok(Tail::Short { bytes }) if bytes > wanted && bytes <= most => wanted = bytes,
            Ok(Tail::Short { .. }) => return Ok(None),
            Err(error) => return Err(PieceError::of(file.name, error)),
        }
    }
}

/// The content of a page, with one read of what `entry`, from the index of the file, says.
///
/// # Errors
/// When it cannot be read, or the bytes there are no such page.
pub fn fetch_page(
    storage: &dyn Storage,
    file: FileName,
    entry: IndexEntry,
    page_size: PageSize,
) -> Result<Box<[u8]>, PieceError> {
    let damaged = |error| PieceError::of(file, error);
    let length = entry.frame_bytes(page_size).map_err(damaged)?;
    let mut frame = vec![0; length];
    let range = ByteRange::Exact {
        offset: entry.offset,
        length: entry.length,
    };
    read_whole(storage, file, range, &mut frame)?;
    read_frame(&frame, entry.page, page_size).map_err(damaged)
}

fn read_whole(
    storage: &dyn Storage,
    name: FileName,
    range: ByteRange,
    bytes: &mut [u8],
) -> Result<(), StorageError> {
    let mut reader = storage.read(name, range)?;
    reader.read_exact(bytes).map_err(|source| StorageError::Io {
        operation: "read",
        location: format!("{name} of {}", storage.location()),
        source,
    })
}
