//! The one owner of a database's descriptors and connections.
//!
//! Closing *any* descriptor of a database or `-shm` file drops every POSIX lock this process holds on it, those
//! of SQLite's connections included. So our own descriptors are opened once, kept here, and closed after
//! the last connection; `registry` sees to it that no second set exists in the process.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::header::FileHeader;
use super::registry::Registration;
use super::wal_index::{self, WalIndexHeader};
use super::{FrameNumber, SqliteError, connection, locks};
use crate::sys::fs::{FileIdentity, born, with_suffix};
use crate::sys::machine::number_of;
use crate::sys::random;

/// How many connections there can be for views of our own and checkpoints: the newest view, the next, a checkpoint.
const CONNECTIONS_OWN: usize = 3;
/// And for each destination: the view that an upload to it holds, and one that was called back and is not let go yet.
const CONNECTIONS_EACH: usize = 2;
/// How many of their connections are open from the start, and how many are kept while unused: for the view that is
/// held, and for the next one. A thousand idle databases have no more.
const CONNECTIONS_AT_REST: usize = 2;

/// How to open a database.
#[derive(Clone, Copy, Debug)]
pub struct OpenOptions {
    /// How long to wait for the application's locks when opening and when switching to WAL mode.
    pub patience: Duration,
    /// To how many destinations views of it go.
    pub destinations: usize,
}

/// A number for one very file: another one that is put at its path has another, even where it gets the inode of the
/// one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileMark {
    /// The number.
    pub number: u64,
    /// Whether the file can be known by it again. Where the file system does not tell when a file was made, it is
    /// drawn each time.
    pub lasting: bool,
}

impl FileMark {
    fn of(file: &Named) -> FileMark {
        let inode = file.identity.inode.to_be_bytes();
        match born(&file.file) {
            Some(born) => FileMark {
                number: number_of(&[&inode[..], &born.to_be_bytes()].concat()),
                lasting: true,
            },
            None => FileMark {
                number: random::unique(),
                lasting: false,
            },
        }
    }
}

/// An open database: its descriptors, and the connections that views take turns with.
pub struct DatabaseFiles {
    // Fields drop in this order: connections before descriptors, the registration last.
    turns: Mutex<Turns>,
    descriptors: Descriptors,
    path: PathBuf,
    /// The path as it was given, which may lead to `path` through symbolic links.
    given: PathBuf,
    mark: FileMark,
    _registration: Registration,
}

struct Descriptors {
    database: Named,
    wal: Named,
    shm: Named,
}

/// The connections.
struct Turns {
    idle: Vec<Connection>,
    /// How many are lent, or being opened to be.
    lent: usize,
    /// How many may be.
    most: usize,
}

/// A descriptor and the name it was opened by.
struct Named {
    file: File,
    path: PathBuf,
    identity: FileIdentity,
}

impl DatabaseFiles {
    /// Opens the database at `path`, which is switched to WAL mode if it is not in it. Nothing else is written.
    ///
    /// # Errors
    /// Says why the database cannot be replicated (now); trying again later is always safe.
    pub fn open(path: &Path, options: OpenOptions) -> Result<Arc<DatabaseFiles>, SqliteError> {
        // SQLite puts -wal and -shm beside the file a link leads to.
        let given = path.to_path_buf();
        let path = path.canonicalize().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SqliteError::Missing(path.to_path_buf()),
            _ => io_error("find", path, error),
        })?;
        let found =
            FileIdentity::of(&fs::metadata(&path).map_err(|e| io_error("inspect", &path, e))?);
        let registration = Registration::new(found, options.destinations, &path)?;
        let database = Named::open(path.clone())?;
        if database.identity != found {
            return Err(SqliteError::Replaced(path));
        }
        let header = FileHeader::read(&database.file).map_err(|e| io_error("read", &path, e))?;
        match header {
            FileHeader::Empty => return Err(SqliteError::Empty(path)),
            FileHeader::Foreign => return Err(SqliteError::NotADatabase(path)),
            FileHeader::Rollback | FileHeader::Wal => {}
        }
        let (wal_path, shm_path) = (with_suffix(&path, "-wal"), with_suffix(&path, "-shm"));
        let complete = wal_path.exists() && shm_path.exists();
        if !complete && !may_create_beside(&database.file, &path)? {
            return Err(SqliteError::NotOwner(path));
        }

        // From here on connections may exist, so on an error they must close before `database` does.
        let mut connections = Connections(Vec::with_capacity(CONNECTIONS_AT_REST), database);
        if header == FileHeader::Rollback {
            switch_to_wal(&path, options.patience)?;
        }
        for _ in 0..CONNECTIONS_AT_REST {
            connections.0.push(open_into_wal(&path, options.patience)?);
        }
        let wal = Named::open(wal_path)?;
        let shm = Named::open(shm_path)?;
        let Connections(idle, database) = connections;
        let files = DatabaseFiles {
            turns: Mutex::new(Turns {
                idle,
                lent: 0,
                most: CONNECTIONS_OWN + CONNECTIONS_EACH * options.destinations,
            }),
            mark: FileMark::of(&database),
            descriptors: Descriptors { database, wal, shm },
            path,
            given,
            _registration: registration,
        };
        // A rename between these steps could have given the connections another file than the descriptors.
        files.check_unmoved()?;
        Ok(Arc::new(files))
    }

    /// The database's path, free of symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number by which an earlier run's file is known again: its mark, or else its inode.
    pub fn inode(&self) -> u64 {
        match self.mark {
            FileMark {
                number,
                lasting: true,
            } => number,
            _ => self.descriptors.database.identity.inode,
        }
    }

    /// What tells its file from any other.
    pub fn mark(&self) -> FileMark {
        self.mark
    }

    /// The path of its WAL.
    pub fn wal_path(&self) -> &Path {
        &self.descriptors.wal.path
    }

    /// Size of the WAL file in bytes, stale frames included.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn wal_size(&self) -> Result<u64, SqliteError> {
        let metadata = self.descriptors.wal.file.metadata();
        Ok(metadata
            .map_err(|e| io_error("inspect", self.wal_path(), e))?
            .len())
    }

    /// Makes sure that the paths still lead to the files that are open.
    ///
    /// # Errors
    /// [`SqliteError::Replaced`] when one of them was deleted, renamed or replaced.
    pub fn check_unmoved(&self) -> Result<(), SqliteError> {
        let Descriptors { database, wal, shm } = &self.descriptors;
        let paths = [
            (&self.given, database),
            (&self.path, database),
            (&wal.path, wal),
            (&shm.path, shm),
        ];
        for (path, named) in paths {
            match fs::metadata(path) {
                Ok(metadata) if FileIdentity::of(&metadata) == named.identity => {}
                Ok(_) => return Err(SqliteError::Replaced(path.clone())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(SqliteError::Replaced(path.clone()));
                }
                Err(error) => return Err(io_error("inspect", path, error)),
            }
        }
        Ok(())
    }

    /// Whether the database has lost its last name, so that only those who have it open can reach it, through the WAL
    /// that is open here. Where its WAL still has a name there must be nothing in its place: another database there
    /// would write to that WAL.
    pub fn is_deleted(&self) -> bool {
        let Descriptors { database, wal, shm } = &self.descriptors;
        let nameless = |named: &Named| named.file.metadata().is_ok_and(|found| found.nlink() == 0);
        let is_gone = |path: &Path| {
            fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        let is_same = |named: &Named| {
            fs::metadata(&named.path).is_ok_and(|found| FileIdentity::of(&found) == named.identity)
        };
        let alone = |named: &Named| nameless(named) || is_same(named) && is_gone(&self.path);
        nameless(database) && alone(wal) && alone(shm)
    }

    /// Whether another process is checkpointing, or waiting to: a sign that it may wait for a view of ours.
    ///
    /// # Errors
    /// When the system refuses to say.
    pub fn another_checkpoints(&self) -> Result<bool, SqliteError> {
        let shm = &self.descriptors.shm;
        locks::checkpoint_by_another(&shm.file)
            .map_err(|e| io_error("ask the locks of", &shm.path, e))
    }

    pub(super) fn database(&self) -> &File {
        &self.descriptors.database.file
    }

    pub(super) fn wal(&self) -> &File {
        &self.descriptors.wal.file
    }

    pub(super) fn wal_index(&self) -> Result<Option<WalIndexHeader>, SqliteError> {
        let shm = &self.descriptors.shm;
        WalIndexHeader::read(&shm.file).map_err(|e| io_error("read", &shm.path, e))
    }

    pub(super) fn backfilled(&self) -> Result<FrameNumber, SqliteError> {
        let shm = &self.descriptors.shm;
        wal_index::read_backfilled(&shm.file).map_err(|e| io_error("read", &shm.path, e))
    }

    /// Takes an unused connection, or opens one more.
    pub(super) fn borrow(self: &Arc<Self>) -> Result<Borrowed, SqliteError> {
        let lent = |connection| Borrowed {
            connection: Mutex::new(Some(connection)),
            files: Arc::clone(self),
        };
        let mut turns = self.turns();
        if turns.lent == turns.most {
            return Err(SqliteError::NoConnection(self.path.clone()));
        }
        turns.lent += 1;
        if let Some(connection) = turns.idle.pop() {
            return Ok(lent(connection));
        }
        drop(turns);
        match self.open_another() {
            Ok(connection) => Ok(lent(connection)),
            Err(error) => {
                self.turns().lent -= 1;
                Err(error)
            }
        }
    }

    fn open_another(&self) -> Result<Connection, SqliteError> {
        self.check_unmoved()?;
        let connection = match open_into_wal(&self.path, Duration::ZERO) {
            // The system has no descriptors left, most likely: those that are open go on.
            Err(SqliteError::Permission { path, .. }) => {
                return Err(SqliteError::NoConnection(path));
            }
            // Nobody waits for a lock here, and an application that ends holds one for a moment.
            Err(SqliteError::Locked(path)) => return Err(SqliteError::Later(path)),
            opened => opened?,
        };
        // A rename before it was opened could have given it another file than the others have.
        self.check_unmoved()?;
        Ok(connection)
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection that is lent. Dropped, it ends its transaction and goes back.
pub(super) struct Borrowed {
    // A mutex, for a view may be shared by threads, which a connection by itself may not.
    connection: Mutex<Option<Connection>>,
    files: Arc<DatabaseFiles>,
}

impl Borrowed {
    /// Runs `action` on the connection.
    pub(super) fn with<T>(&self, action: impl FnOnce(&Connection) -> T) -> T {
        let connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        action(connection.as_ref().expect("taken out only by drop"))
    }

    pub(super) fn files(&self) -> &Arc<DatabaseFiles> {
        &self.files
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        let slot = self
            .connection
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = slot.take() {
            connection::rollback(&connection);
            let mut turns = self.files.turns();
            turns.lent -= 1;
            if turns.idle.len() < CONNECTIONS_AT_REST {
                turns.idle.push(connection);
            } else {
                // Closed when nobody has to wait for it.
                drop(turns);
            }
        }
    }
}

/// Connections while they are being opened, with the descriptor that must outlive them.
struct Connections(Vec<Connection>, Named);

impl Named {
    fn open(path: PathBuf) -> Result<Named, SqliteError> {
        let file = File::open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SqliteError::Missing(path.clone()),
            io::ErrorKind::PermissionDenied => SqliteError::Permission {
                path: path.clone(),
                reason: error.to_string(),
            },
            _ => io_error("open", &path, error),
        })?;
        let metadata = file.metadata().map_err(|e| io_error("inspect", &path, e))?;
        Ok(Named {
            identity: FileIdentity::of(&metadata),
            file,
            path,
        })
    }
}

fn switch_to_wal(path: &Path, patience: Duration) -> Result<(), SqliteError> {
    let connection = connection::open(path, patience)?;
    let mode = connection::switch_to_wal(&connection)
        .map_err(|e| SqliteError::from_sqlite("switch to WAL mode", path.to_path_buf(), e))?;
    if mode != "wal" {
        return Err(SqliteError::NotInWalMode {
            path: path.to_path_buf(),
            mode,
        });
    }
    log::info!("{}: switched to WAL mode", path.display());
    Ok(())
}

/// Opens a connection and lets it read once, so that it has the WAL of this moment open and not that of a
/// file put at the path later.
fn open_into_wal(path: &Path, patience: Duration) -> Result<Connection, SqliteError> {
    let connection = connection::open(path, patience)?;
    connection::begin_read(&connection)
        .map_err(|e| SqliteError::from_sqlite("read", path.to_path_buf(), e))?;
    connection::rollback(&connection);
    // Only opening may wait for others. Afterwards whoever must wait tries again later, from its loop.
    connection
        .busy_timeout(Duration::ZERO)
        .map_err(|e| SqliteError::from_sqlite("open", path.to_path_buf(), e))?;
    Ok(connection)
}

/// Whether files this process creates beside the database stay usable for its owner: SQLite gives them the
/// owner's user and group when it runs as root.
fn may_create_beside(database: &File, path: &Path) -> Result<bool, SqliteError> {
    let owner = database
        .metadata()
        .map_err(|e| io_error("inspect", path, e))?
        .uid();
    let user = rustix::process::geteuid();
    Ok(user.is_root() || user.as_raw() == owner)
}

pub(super) fn io_error(operation: &'static str, path: &Path, source: io::Error) -> SqliteError {
    SqliteError::Io {
        operation,
        path: path.to_path_buf(),
        source,
    }
}
