//! What can go wrong with a storage, in terms that decide what to do next.

use std::fmt;
use std::io;

use crate::ltx::Header;
use crate::units::Timestamp;

/// A failed storage operation. Each names the operation, the file or place, and the cause.
#[derive(Debug)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no such file (any more).
    NotFound {
        /// The file's path or URL.
        location: String,
    },
    /// The place is not the one the replica was found at when its position was read: a disk was unmounted,
    /// mounted or replaced. The position must be read again before anything is written.
    Replaced {
        /// The replica's path.
        location: String,
    },
    /// The content to store could not be produced; the storage itself did not fail.
    Content {
        /// The file that was to be written.
        location: String,
        /// Why.
        source: io::Error,
    },
    /// Somebody else writes to the same replica.
    InUse {
        /// The replica's path.
        location: String,
        /// What is known of who.
        by: Option<Rival>,
    },
    /// Under this name stands an earlier upload of ours whose outcome was not known, with other content. It was
    /// left as it is.
    Arrived {
        /// The file's path or URL.
        location: String,
        /// The time that upload was given.
        created: Timestamp,
    },
    /// The server could not be reached, or its answer did not come or was that it cannot just now, so often
    /// that it was given up for the moment.
    Unreachable {
        /// What was being done: "list", "write", …
        operation: &'static str,
        /// On what.
        location: String,
        /// Why.
        source: io::Error,
        /// Whether the last attempt, or one before it, may yet take effect.
        sent: bool,
    },
    /// The server refused, and will again until somebody changes something.
    Refused {
        /// What was being done: "list", "write", …
        operation: &'static str,
        /// On what.
        location: String,
        /// What the server said, and what to do about it.
        reason: String,
    },
    /// The storage failed or could not be reached.
    Io {
        /// What was being done: "list", "write", …
        operation: &'static str,
        /// On what.
        location: String,
        /// Why.
        source: io::Error,
    },
}

/// Somebody else who writes to a replica.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rival {
    /// The number in the header of its files; 0 for Litestream.
    pub writer: u64,
    /// The time of its file.
    pub time: Timestamp,
}

impl Rival {
    /// Who wrote the file that begins with these bytes; none if they are not the header of an LTX file.
    pub(super) fn in_header(bytes: &[u8; Header::BYTES]) -> Option<Rival> {
        let header = Header::parse(bytes).ok()?;
        Some(Rival {
            writer: header.node_id,
            time: header.timestamp,
        })
    }
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.writer {
            0 => f.write_str("Litestream")?,
            writer => write!(f, "writer {writer:016x}")?,
        }
        write!(f, ", by its file of {}", self.time)
    }
}

impl StorageError {
    /// Whether the file may have arrived in spite of the error.
    pub fn outcome_unknown(&self) -> bool {
        match self {
            StorageError::Unreachable { sent, .. } => *sent,
            // A rename either happened or not, but the error may have come after it (syncing the directory).
            StorageError::Io { operation, .. } => *operation == "publish",
            _ => false,
        }
    }

    /// Whether this says that the file is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, StorageError::NotFound { .. })
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StorageError::NotFound { location } => {
                write!(f, "{location}: no such file in the replica")
            }
            StorageError::Replaced { location } => write!(
                f,
                "{location}: this is another directory than a moment ago (unmounted, mounted or replaced?); \
                 nothing was written, its position is read again"
            ),
            StorageError::InUse { location, by } => {
                write!(f, "{location}: another process writes to this replica")?;
                if let Some(rival) = by {
                    write!(f, " ({rival})")?;
                }
                f.write_str(
                    "; nothing was written over, and what is there stays restorable, but this database is not backed \
                     up any more: stop the other one, or give one of them another path, and start this one again",
                )
            }
            StorageError::Arrived { location, .. } => write!(
                f,
                "{location}: an earlier upload of this file had arrived after all, and stays"
            ),
            StorageError::Unreachable {
                operation,
                location,
                source,
                ..
            } => write!(f, "cannot {operation} {location}: {source}"),
            StorageError::Refused {
                operation,
                location,
                reason,
            } => write!(f, "cannot {operation} {location}: {reason}"),
            StorageError::Content { location, source } => {
                write!(f, "cannot produce {location}: {source}")
            }
            StorageError::Io {
                operation,
                location,
                source,
            } => write!(
                f,
                "cannot {operation} {location}: {source}{}",
                advice(source)
            ),
        }
    }
}

/// What is safe and what to do, for the errors that a person can end. Only the machine's own errors: a server
/// that refuses needs other advice.
fn advice(error: &io::Error) -> &'static str {
    use io::ErrorKind::{
        NotADirectory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    if error.raw_os_error().is_none() {
        return "";
    }
    match error.kind() {
        StorageFull | QuotaExceeded => "; what is stored already is safe, free some space to go on",
        PermissionDenied => {
            "; nothing was changed, check owner and mode of that path and of the directories above it"
        }
        ReadOnlyFilesystem => {
            "; nothing was changed, the file system is mounted read-only (after a disk error?)"
        }
        NotADirectory => "; nothing was changed, the path of a replica must be that of a directory",
        _ => "",
    }
}

impl std::error::Error for StorageError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            StorageError::Content { source, .. }
            | StorageError::Unreachable { source, .. }
            | StorageError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
