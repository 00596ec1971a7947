//! Why a replica is not compacted, or no further.

use std::fmt;

use crate::ltx;
use crate::restore::PlanError;
use crate::storage::{FileName, StorageError};
use crate::units::{Level, PageSize, Txid, TxidRange};

/// A replica could not be compacted. What was in it is there as before. Files written before the error are complete,
/// and stay; after an error of [`Compactor::open`](super::Compactor::open) there are none.
#[derive(Debug)]
#[non_exhaustive]
pub enum CompactError {
    /// The replica cannot be read or written.
    Storage(StorageError),
    /// Its newest state cannot be restored.
    Plan(PlanError),
    /// Files that a level is to be made from are missing.
    Hole {
        /// The level.
        level: Level,
        /// The first TXID that is missing.
        first: u64,
        /// The file after the hole.
        next: FileName,
    },
    /// A file begins before the end of the level above it, and ends after it.
    Straddles {
        /// The file.
        file: FileName,
        /// The level above.
        level: Level,
        /// Where that ends.
        last: u64,
    },
    /// The header of a file is not valid.
    Damaged {
        /// Which.
        file: FileName,
        /// What is wrong.
        error: ltx::Error,
    },
    /// A file's header names other TXIDs than its name.
    NameDiffers {
        /// Its name.
        file: FileName,
        /// What the header says.
        header: TxidRange,
    },
    /// A file has another page size than the newest.
    PageSizeDiffers {
        /// The file.
        file: FileName,
        /// Its page size.
        page_size: PageSize,
        /// That of the newest.
        newest: PageSize,
    },
    /// Somebody else has changed a level.
    Changed {
        /// Which.
        level: Level,
        /// What was written before that was seen.
        written: Option<FileName>,
    },
    /// Somebody else has written a file that overlaps the one just written, which was to be taken away again.
    Overlap {
        /// The one to be taken away.
        ours: FileName,
        /// The other.
        other: FileName,
        /// Why it is still there.
        left: Option<StorageError>,
    },
}

impl From<StorageError> for CompactError {
    fn from(error: StorageError) -> CompactError {
        CompactError::Storage(error)
    }
}

impl From<PlanError> for CompactError {
    fn from(error: PlanError) -> CompactError {
        CompactError::Plan(error)
    }
}

impl fmt::Display for CompactError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompactError::Storage(error) => error.fmt(f),
            CompactError::Plan(error) => error.fmt(f),
            CompactError::Hole { level, first, next } => {
                write!(f, "level {level} cannot be merged: on the level below, ")?;
                match Txid::new(*first) {
                    Some(first) => write!(f, "TXID {first}")?,
                    None => f.write_str("what comes first")?,
                }
                write!(
                    f,
                    " and what follows is missing before {next}. To go on from this replica, restore the database and \
                     replicate it: that fills the hole"
                )
            }
            CompactError::Straddles { file, level, last } => write!(
                f,
                "{file} overlaps level {level}, which ends at TXID {last:016x}: merging it would cover the same twice"
            ),
            CompactError::Damaged { file, error } => write!(f, "{file} is damaged: {error}"),
            CompactError::NameDiffers { file, header } => {
                write!(f, "{file} holds the TXIDs {header} by its header")
            }
            CompactError::PageSizeDiffers {
                file,
                page_size,
                newest,
            } => write!(
                f,
                "{file} has pages of {page_size} bytes, the newest file of {newest}"
            ),
            CompactError::Changed { level, written } => {
                write!(
                    f,
                    "somebody else has changed level {level} of this replica meanwhile: stop the other one, or leave \
                     the levels to it"
                )?;
                match written {
                    Some(written) => write!(f, "; {written} was written, is sound and stays"),
                    None => Ok(()),
                }
            }
            CompactError::Overlap { ours, other, left } => {
                write!(
                    f,
                    "somebody else has written {other} to this replica meanwhile: stop the other one, or leave the \
                     levels to it; {ours}, which overlaps it, "
                )?;
                match left {
                    None => f.write_str("was removed again"),
                    Some(error) => write!(f, "has to be removed, which failed: {error}"),
                }
            }
        }
    }
}

impl std::error::Error for CompactError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CompactError::Storage(error) => Some(error),
            CompactError::Plan(error) => Some(error),
            CompactError::Damaged { error, .. } => Some(error),
            _ => None,
        }
    }
}
