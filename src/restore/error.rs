//! Why a restore failed. After every one of these the output is what it was before.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::class::is_unreachable;
use super::generations;
use super::output::OutputProblem;
use super::plan::PlanError;
use crate::ltx::Fault;
use crate::storage::{FileName, PieceError, StorageError};
use crate::units::{PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

/// A restore failed. The output, and a database that was there, are untouched, unless it was
/// [`RestoreError::Io`] with the operation "replace".
#[derive(Debug)]
#[non_exhaustive]
pub enum RestoreError {
    /// The replica cannot be read.
    Storage(StorageError),
    /// A file of the replica cannot be read.
    Unreadable {
        /// Which.
        file: FileName,
        /// Why.
        error: StorageError,
    },
    /// The replica does not hold what was asked for.
    Plan(PlanError),
    /// The replica is one of Litestream 0.3, of which there is nothing but to restore it.
    Litestream03 {
        /// Where it is.
        location: String,
        /// The times of the earliest and the latest state that could be.
        window: (Timestamp, Timestamp),
    },
    /// Files of Litestream 0.3 do not lead to what was asked for.
    Generation(generations::Fault),
    /// The output must not be written to.
    Output {
        /// What is in the way.
        path: PathBuf,
        /// Why it is.
        reason: OutputProblem,
    },
    /// The database does not fit on the disk.
    NoSpace {
        /// A directory on that disk.
        directory: PathBuf,
        /// Bytes the database takes.
        needed: u64,
        /// Bytes there are.
        free: u64,
    },
    /// A file of the replica is not a valid LTX file.
    Damaged {
        /// Which.
        file: FileName,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A file is of no use, and without it nothing leads to what was asked for.
    NoOtherWay {
        /// What is wrong with the file.
        cause: Box<RestoreError>,
        /// The newest state before that other files lead to, if there is one.
        reached: Option<Txid>,
    },
    /// A file's header names other TXIDs than its name.
    NameDiffers {
        /// Its name.
        file: FileName,
        /// What the header says.
        header: TxidRange,
    },
    /// Files of different page sizes are chained.
    PageSizeDiffers {
        /// The older file.
        file: FileName,
        /// Its page size.
        page_size: PageSize,
        /// The page size of the file after it.
        newer: PageSize,
    },
    /// A planned file does not continue the one before it.
    Gap {
        /// The one before.
        after: TxidRange,
        /// The file.
        next: TxidRange,
    },
    /// The oldest planned file is none that holds a whole database.
    NoSnapshot {
        /// Its TXIDs.
        oldest: TxidRange,
    },
    /// The plan has no files.
    NothingPlanned,
    /// A page of the database is in none of the files.
    MissingPage {
        /// The first such page.
        page: PageNumber,
    },
    /// The database is too small to have a page.
    BeyondEnd {
        /// The page.
        page: PageNumber,
        /// How many the database has.
        pages: PageCount,
        /// In this state.
        txid: Txid,
    },
    /// What the files give is not the database that the newest of them was written from.
    OtherDatabase {
        /// The newest.
        file: FileName,
    },
    /// SQLite finds the rebuilt database broken.
    Integrity {
        /// In its words.
        finding: String,
    },
    /// The same of one from files of Litestream 0.3, each of which is sound.
    Unsound {
        /// In its words.
        finding: String,
    },
    /// A local file operation failed.
    Io {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl RestoreError {
    /// What it means that a piece of `file` cannot be had.
    pub(super) fn of_piece(file: FileName, error: PieceError) -> RestoreError {
        match error {
            PieceError::Storage(error) => RestoreError::Unreadable { file, error },
            PieceError::Damaged { file, fault } => RestoreError::Damaged { file, fault },
        }
    }

    /// Whether a planned file was gone, as when retention ran in between: planning anew may help.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            RestoreError::Storage(error) | RestoreError::Unreadable { error, .. } => {
                error.is_not_found()
            }
            _ => false,
        }
    }

    /// The file that is of no use, so that others may have to do. One that is gone is not until it is seen that it
    /// stays away.
    pub(super) fn useless_file(&self) -> Option<FileName> {
        use RestoreError::{Damaged, NameDiffers, PageSizeDiffers, Unreadable};
        match self {
            Unreadable { error, .. } if is_unreachable(error) => None,
            Damaged { file, .. }
            | NameDiffers { file, .. }
            | PageSizeDiffers { file, .. }
            | Unreadable { file, .. } => Some(*file),
            _ => None,
        }
    }

    /// Whether there simply is nothing to restore: an empty replica, or nothing old enough.
    pub fn is_not_available(&self) -> bool {
        use PlanError::{BeforeAll, Empty, NoBase, TxidUnreachable};
        matches!(
            self,
            RestoreError::Plan(Empty | NoBase | BeforeAll { .. } | TxidUnreachable { .. })
        )
    }

    /// Whether it is the replica's fault, so that another replica may do.
    pub fn is_of_replica(&self) -> bool {
        use RestoreError::{Io, NoSpace, Output};
        !matches!(self, Io { .. } | NoSpace { .. } | Output { .. })
    }

    pub(super) fn io(operation: &'static str, path: &Path, source: io::Error) -> RestoreError {
        let path = path.to_path_buf();
        RestoreError::Io {
            operation,
            path,
            source,
        }
    }
}

impl From<StorageError> for RestoreError {
    fn from(error: StorageError) -> RestoreError {
        RestoreError::Storage(error)
    }
}

impl From<PlanError> for RestoreError {
    fn from(error: PlanError) -> RestoreError {
        RestoreError::Plan(error)
    }
}

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RestoreError::Storage(error) | RestoreError::Unreadable { error, .. } => error.fmt(f),
            RestoreError::Plan(error) => error.fmt(f),
            RestoreError::Litestream03 {
                location,
                window: (earliest, latest),
            } => write!(
                f,
                "{location} holds only a backup of Litestream 0.3 (generations/), which has no TXIDs and grows no \
                 more: it can be restored, the newest state or with -timestamp one from {earliest} to {latest}, and \
                 verified, and nothing else"
            ),
            RestoreError::Generation(fault) => fault.fmt(f),
            RestoreError::Output { path, reason } => {
                let path = path.display();
                match reason {
                    OutputProblem::Directory => write!(f, "output path {path} is a directory"),
                    OutputProblem::Exists => write!(
                        f,
                        "output path {path} already exists and is not empty. Use -force to overwrite"
                    ),
                    OutputProblem::Sidecar => write!(
                        f,
                        "SQLite sidecar path already exists: {path}. SQLite would apply it to the \
                         restored database; remove it, or use -force"
                    ),
                }
            }
            RestoreError::NoSpace {
                directory,
                needed,
                free,
            } => write!(
                f,
                "the database takes {needed} bytes, but {} has only {free} left",
                directory.display()
            ),
            RestoreError::Damaged { file, fault } => {
                write!(f, "{file} is damaged: {fault}; nothing was restored")
            }
            RestoreError::NoOtherWay { cause, reached } => {
                write!(f, "{cause}. No other files lead to the state asked for")?;
                match reached {
                    Some(txid) => write!(
                        f,
                        "; the newest before it that others lead to is that of TXID {txid}: restore it with -txid \
                         {txid}"
                    ),
                    None => write!(f, ", nor to any before it"),
                }
            }
            RestoreError::NameDiffers { file, header } => write!(
                f,
                "{file} holds TXIDs {header} instead of those in its name; nothing was restored"
            ),
            RestoreError::PageSizeDiffers {
                file,
                page_size,
                newer,
            } => write!(
                f,
                "{file} has pages of {page_size} bytes, the file after it of {newer}"
            ),
            RestoreError::Gap { after, next } => {
                write!(f, "file {next} does not continue file {after}")
            }
            RestoreError::NoSnapshot { oldest } => write!(
                f,
                "the oldest file to apply, {oldest}, does not hold a whole database"
            ),
            RestoreError::NothingPlanned => write!(f, "there are no files to apply"),
            RestoreError::MissingPage { page } => {
                write!(
                    f,
                    "no file holds page {page} of the database; nothing was restored"
                )
            }
            RestoreError::BeyondEnd { page, pages, txid } => write!(
                f,
                "there is no page {page}: at TXID {txid} the database has {} pages",
                pages.0
            ),
            RestoreError::OtherDatabase { file } => write!(
                f,
                "the database that the files up to {file} give is not the one that this file says it was written \
                 from: each file is whole, but one before it is of another history, or was replaced; nothing was \
                 restored. Try a state before or after it (-txid, -timestamp), which may rest on other files; \
                 `walbrook ltx` lists them. If the original database still exists, its next snapshot makes the \
                 newest state whole again"
            ),
            RestoreError::Integrity { finding } => write!(
                f,
                "integrity check of the restored database: {finding}; nothing was restored"
            ),
            RestoreError::Unsound { finding } => write!(
                f,
                "the files of Litestream 0.3 are sound and join, but SQLite finds the database broken: {finding}; \
                 nothing was restored. It may have been so when it was backed up, or the end of a WAL is missing, \
                 which only this shows. Try a state before it (-timestamp), or take it as it is with \
                 -integrity-check none"
            ),
            RestoreError::Io {
                operation,
                path,
                source,
            } => write!(f, "cannot {operation} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for RestoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RestoreError::Storage(error) | RestoreError::Unreadable { error, .. } => Some(error),
            RestoreError::Plan(error) => Some(error),
            RestoreError::Damaged { fault, .. } => Some(fault),
            RestoreError::NoOtherWay { cause, .. } => Some(cause),
            RestoreError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
