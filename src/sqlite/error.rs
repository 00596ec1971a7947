//! Why a database cannot be replicated right now, or any more, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// An error of this room. None of them has changed the database, and none loses what was replicated before.
#[derive(Debug)]
#[non_exhaustive]
pub enum SqliteError {
    /// There is no file at the path (yet).
    Missing(PathBuf),
    /// The file is empty: no transaction has been made yet.
    Empty(PathBuf),
    /// The file is no SQLite database, or an encrypted one.
    NotADatabase(PathBuf),
    /// Another process holds the database exclusively, or for longer than our patience.
    Locked(PathBuf),
    /// Could not be switched to WAL mode.
    NotInWalMode {
        /// The database.
        path: PathBuf,
        /// The mode it stayed in.
        mode: String,
    },
    /// This user may not read the database or write beside it.
    Permission {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Creating `-wal` and `-shm` as this user could lock the application out of its own database.
    NotOwner(PathBuf),
    /// The file system has no shared memory for the wal-index, as network file systems do not.
    NoSharedMemory {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
    /// Another name (a hard link) of the same file is open in this process already.
    AlreadyOpen(PathBuf),
    /// The process may not open files enough for one more database.
    NoDescriptors {
        /// The database.
        path: PathBuf,
        /// How many are open.
        open: usize,
        /// How many files the process may have open.
        limit: usize,
    },
    /// The file at this path is not the one that was opened: deleted, renamed or replaced.
    Replaced(PathBuf),
    /// The WAL no longer holds what followed the position. Every page has to be taken as changed.
    Lost {
        /// The database.
        path: PathBuf,
        /// What was found instead.
        reason: &'static str,
    },
    /// Somebody recovers the WAL or commits without pause; trying again will do.
    Later(PathBuf),
    /// All connections hold views that are still in use.
    NoConnection(PathBuf),
    /// The file changed its size under us in a way no SQLite does.
    Truncated(PathBuf),
    /// The system failed on a file.
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// SQLite failed in a way not listed above.
    Sqlite {
        /// What was being done.
        operation: &'static str,
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl SqliteError {
    /// Sorts SQLite's own error into the kinds above.
    pub(super) fn from_sqlite(
        operation: &'static str,
        path: PathBuf,
        source: rusqlite::Error,
    ) -> SqliteError {
        use rusqlite::ErrorCode as Code;
        let Some(failure) = source.sqlite_error() else {
            return SqliteError::Sqlite {
                operation,
                path,
                source,
            };
        };
        let reason = source.to_string();
        match (failure.code, failure.extended_code) {
            (_, rusqlite::ffi::SQLITE_BUSY_RECOVERY) | (Code::FileLockingProtocolFailed, _) => {
                SqliteError::Later(path)
            }
            (
                _,
                rusqlite::ffi::SQLITE_IOERR_SHMMAP
                | rusqlite::ffi::SQLITE_IOERR_SHMOPEN
                | rusqlite::ffi::SQLITE_IOERR_SHMLOCK
                | rusqlite::ffi::SQLITE_IOERR_SHMSIZE,
            ) => SqliteError::NoSharedMemory { path, reason },
            (Code::DatabaseBusy | Code::DatabaseLocked, _) => SqliteError::Locked(path),
            (Code::NotADatabase, _) => SqliteError::NotADatabase(path),
            (Code::PermissionDenied | Code::ReadOnly | Code::CannotOpen, _) => {
                SqliteError::Permission { path, reason }
            }
            _ => SqliteError::Sqlite {
                operation,
                path,
                source,
            },
        }
    }

    /// Whether the database itself is gone or another one now: everything of it must be opened anew.
    pub fn wants_reopening(&self) -> bool {
        matches!(
            self,
            SqliteError::Replaced(_) | SqliteError::Missing(_) | SqliteError::Truncated(_)
        )
    }

    /// Whether there is no way on from the newest view.
    pub fn ends_following(&self) -> bool {
        self.wants_reopening() || matches!(self, SqliteError::Lost { .. })
    }

    /// Whether it stays so until somebody changes the file or whose it is.
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            SqliteError::NotADatabase(_)
                | SqliteError::Permission { .. }
                | SqliteError::NotOwner(_)
                | SqliteError::NoSharedMemory { .. }
                | SqliteError::NoDescriptors { .. }
        )
    }

    /// Whether nothing is wrong and the same call will succeed soon.
    pub fn is_passing(&self) -> bool {
        matches!(self, SqliteError::Later(_) | SqliteError::NoConnection(_))
    }
}

impl fmt::Display for SqliteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SqliteError::Missing(path) => {
                write!(
                    f,
                    "{}: no such file; replication starts when it appears",
                    path.display()
                )
            }
            SqliteError::Empty(path) => write!(
                f,
                "{}: the file is empty; replication starts with its first transaction",
                path.display()
            ),
            SqliteError::NotADatabase(path) => write!(
                f,
                "{}: not an SQLite database, or an encrypted one (SQLCipher, SEE), which cannot be \
                 replicated; check the path in the configuration",
                path.display()
            ),
            SqliteError::Locked(path) => write!(
                f,
                "{}: locked by another process; if the application uses 'PRAGMA locking_mode=EXCLUSIVE', \
                 it must use NORMAL to be replicated; trying again",
                path.display()
            ),
            SqliteError::NotInWalMode { path, mode } => write!(
                f,
                "{}: stays in journal mode '{mode}', but only a database in WAL mode can be replicated; \
                 close other connections or run 'PRAGMA journal_mode=WAL' in the application",
                path.display()
            ),
            SqliteError::Permission { path, reason } => write!(
                f,
                "{}: {reason}; walbrook needs to read and write the database, its -wal and -shm files and \
                 its directory: run it as the application's user",
                path.display()
            ),
            SqliteError::NotOwner(path) => write!(
                f,
                "{}: its -wal and -shm files do not exist, and creating them as this user could lock the \
                 application out; run walbrook as the database's owner, or start the application first",
                path.display()
            ),
            SqliteError::NoSharedMemory { path, reason } => write!(
                f,
                "{}: {reason}; the file system gives no shared memory for the wal-index (a network file \
                 system?); run walbrook on the machine that holds the file",
                path.display()
            ),
            SqliteError::AlreadyOpen(path) => write!(
                f,
                "{}: the same file is open under another name already; list each database once",
                path.display()
            ),
            SqliteError::NoDescriptors { path, open, limit } => write!(
                f,
                "{}: not replicated, since this process may have only {limit} files open, which is enough for the \
                 {open} databases that are; raise the limit (LimitNOFILE= of systemd, `ulimit -Hn`) and start walbrook \
                 again",
                path.display()
            ),
            SqliteError::Replaced(path) => write!(
                f,
                "{}: deleted, renamed or replaced while running; what was replicated is safe, and the file \
                 now at this path is taken up as a new state",
                path.display()
            ),
            SqliteError::Lost { path, reason } => write!(
                f,
                "{}: {reason}; nothing is lost, but every page has to be sent once",
                path.display()
            ),
            SqliteError::Later(path) => {
                write!(
                    f,
                    "{}: the WAL is being recovered or written; trying again",
                    path.display()
                )
            }
            SqliteError::NoConnection(path) => write!(
                f,
                "{}: all read views are still being uploaded; trying again",
                path.display()
            ),
            SqliteError::Truncated(path) => write!(
                f,
                "{}: cut short by something other than SQLite while it was being read; it is opened anew",
                path.display()
            ),
            SqliteError::Io {
                operation,
                path,
                source,
            } => write!(f, "cannot {operation} {}: {source}", path.display()),
            SqliteError::Sqlite {
                operation,
                path,
                source,
            } => write!(f, "cannot {operation} {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for SqliteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SqliteError::Io { source, .. } => Some(source),
            SqliteError::Sqlite { source, .. } => Some(source),
            _ => None,
        }
    }
}
