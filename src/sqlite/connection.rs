//! Our connections to a database: made so that none of them ever writes, checkpoints by itself, or removes
//! the WAL when it closes.
#![allow(unsafe_code)]

use std::path::Path;
use std::ptr;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, ffi};

use super::SqliteError;

/// The oldest SQLite without the WAL-reset race, in which a checkpointer that misses a restart of the WAL
/// makes a later one skip committed frames.
const OLDEST_SAFE_SQLITE: i32 = 3_051_003;

/// Opens a connection that waits up to `patience` for locks.
pub(super) fn open(path: &Path, patience: Duration) -> Result<Connection, SqliteError> {
    assert!(
        rusqlite::version_number() >= OLDEST_SAFE_SQLITE,
        "built with an SQLite that has the WAL-reset race"
    );
    let failed = |source| SqliteError::from_sqlite("open", path.to_path_buf(), source);
    // No URI flag: a path is never taken for a URI. No mutex: a connection is used by one thread at a time.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(patience).map_err(failed)?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(failed)?;
    // `synchronous` stays at its default, FULL: below NORMAL a checkpoint does not sync the database file
    // before the WAL is reused. Setting it would read the schema, which no connection of ours ever needs.
    for pragma in ["PRAGMA wal_autocheckpoint=0", "PRAGMA mmap_size=0"] {
        query_ignoring_rows(&connection, pragma).map_err(failed)?;
    }
    Ok(connection)
}

/// Begins a read transaction and really starts it, which opens the WAL and takes a read lock.
pub(super) fn begin_read(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN")?;
    // Reads one number of page 1 and no schema.
    query_ignoring_rows(connection, "PRAGMA schema_version").inspect_err(|_| rollback(connection))
}

/// Takes the write lock without writing.
pub(super) fn begin_immediate(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN IMMEDIATE")
}

/// Ends a transaction, if one is open. Nothing was written in it.
pub(super) fn rollback(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        log::error!("cannot end a read transaction, its lock stays until it is closed: {error}");
    }
}

/// Switches the database to WAL mode and gives the mode it is in afterwards.
pub(super) fn switch_to_wal(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))
}

/// How a checkpoint is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CheckpointMode {
    /// Writes back what it can and waits for nobody.
    Passive,
    /// Writes back everything and cuts the WAL to nothing; takes the write lock for that.
    Truncate,
}

/// Whether a checkpoint wrote back every frame there was.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    Everything,
    Part,
}

/// Runs a checkpoint on `connection`, which must not be in a transaction.
pub(super) fn checkpoint(
    connection: &Connection,
    mode: CheckpointMode,
) -> rusqlite::Result<Written> {
    let mode = match mode {
        CheckpointMode::Passive => ffi::SQLITE_CHECKPOINT_PASSIVE,
        CheckpointMode::Truncate => ffi::SQLITE_CHECKPOINT_TRUNCATE,
    };
    let (mut frames, mut written) = (-1, -1);
    // The pragma of the same name would read the whole schema first; this call does not.
    // SAFETY: the handle is that of an open connection that this thread alone uses, a null name means the
    // main database, and both out-pointers are live integers for the length of the call.
    let code = unsafe {
        ffi::sqlite3_wal_checkpoint_v2(
            connection.handle(),
            ptr::null(),
            mode,
            &raw mut frames,
            &raw mut written,
        )
    };
    match code {
        // Equality alone says nothing: both are -1 when the checkpoint could not start.
        ffi::SQLITE_OK if frames >= 0 && frames == written => Ok(Written::Everything),
        ffi::SQLITE_OK | ffi::SQLITE_BUSY => Ok(Written::Part),
        code => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)),
    }
}

fn query_ignoring_rows(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_connections_sync_what_they_write_back_and_do_nothing_by_themselves() {
        let path =
            std::env::temp_dir().join(format!("connection-{}", crate::sys::random::unique()));
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE t(x)")
            .unwrap();
        let connection = open(&path, Duration::ZERO).unwrap();
        let setting = |name: &str| -> i64 {
            let sql = format!("PRAGMA {name}");
            connection.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        // At 1, NORMAL, or above a checkpoint syncs the database file before the WAL is reused.
        assert!(setting("synchronous") >= 1);
        assert_eq!(setting("wal_autocheckpoint"), 0);
        assert_eq!(setting("mmap_size"), 0);
        let no_checkpoint = connection.db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE);
        assert!(no_checkpoint.unwrap());
        drop(connection);
        std::fs::remove_file(path).unwrap();
    }
}
