//! Whether the database that is there can be used, as a machine asks that starts after a power cut: one that is
//! missing, empty or broken is restored, any other is kept.
//!
//! SQLite decides, and not the bytes of the file alone: what a power cut tore in it, the first page too, may be whole
//! in the -wal or -journal beside it. So it is opened as the application would open it, a -journal being rolled back;
//! but nothing of a -wal is written back or removed.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::error::RestoreError;
use super::output::OutputProblem;
use crate::sys::fs::with_suffix;

/// What is at the place of a database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Condition {
    /// Nothing.
    Missing,
    /// Something that SQLite cannot use, for this reason.
    Unusable(String),
    /// A database, which SQLite finds sound.
    Usable,
    /// A database whose check needs what only the application has (a function, a tokenizer), as this message says. What
    /// could be looked at is sound.
    UsableAsFarAsKnown(String),
}

/// Looks at the database `path` with SQLite's `quick_check`, which reads all of it.
///
/// # Errors
/// When that cannot be found out: it is locked, or may not be read. Nothing was changed then.
pub fn examine(path: &Path) -> Result<Condition, RestoreError> {
    let size_of = |path: &Path| std::fs::metadata(path).map(|metadata| metadata.len());
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Condition::Missing);
        }
        Err(error) => return Err(RestoreError::io("look at", path, error)),
        Ok(there) if there.is_dir() => {
            return Err(RestoreError::Output {
                path: path.to_path_buf(),
                reason: OutputProblem::Directory,
            });
        }
        // SQLite would take it for a new database and remove its -wal.
        Ok(there) if there.len() == 0 => return Ok(Condition::Unusable("it is empty".into())),
        Ok(_) => (),
    }
    let has_wal = size_of(&with_suffix(path, "-wal")).is_ok_and(|size| size > 0);
    let check = || -> rusqlite::Result<String> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        // An empty -wal is one that this connection has made, and takes away again.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, has_wal)?;
        // What the rows say is for the application to judge.
        connection.execute_batch("PRAGMA ignore_check_constraints=1")?;
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
    };
    let error = match check() {
        Ok(answer) if answer == "ok" => return Ok(Condition::Usable),
        Ok(finding) => return Ok(Condition::Unusable(finding)),
        Err(error) => error,
    };
    let rusqlite::Error::SqliteFailure(failure, _) = &error else {
        return Ok(Condition::Unusable(error.to_string()));
    };
    match failure.code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            Ok(Condition::Unusable(error.to_string()))
        }
        // The disk cannot read it.
        _ if failure.extended_code == ffi::SQLITE_IOERR_CORRUPTFS => {
            Ok(Condition::Unusable(error.to_string()))
        }
        // SQLITE_ERROR: the statement cannot be prepared, so the schema could be read.
        ErrorCode::Unknown => Ok(Condition::UsableAsFarAsKnown(error.to_string())),
        _ => Err(RestoreError::io(
            "check",
            path,
            std::io::Error::other(format!("{error}; nothing was changed")),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::sys::random::unique;

    /// A database of some pages in a directory of its own.
    fn database(journal_mode: &str) -> (PathBuf, Connection) {
        let directory = std::env::temp_dir().join(format!("usable-{:016x}", unique()));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("a.db");
        let connection = Connection::open(&path).unwrap();
        let sql = format!(
            "PRAGMA journal_mode={journal_mode}; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(a);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
            INSERT INTO t SELECT hex(i) FROM n;"
        );
        connection.execute_batch(&sql).unwrap();
        (path, connection)
    }

    fn remove(path: &Path) {
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    }

    fn is_unusable(path: &Path) -> bool {
        matches!(examine(path).unwrap(), Condition::Unusable(_))
    }

    #[test]
    fn sound_missing_empty_and_torn() {
        let (path, connection) = database("DELETE");
        drop(connection);
        assert_eq!(examine(&path).unwrap(), Condition::Usable);
        let names = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(names, 1, "no -wal, no -shm");

        let whole = fs::read(&path).unwrap();
        for (what, bytes) in [
            ("cut short", whole[..whole.len() / 2].to_vec()),
            ("a torn header", [&[0; 512], &whole[512..]].concat()),
            ("another file", b"hello".to_vec()),
            ("zeros", vec![0; whole.len()]),
            ("empty", Vec::new()),
            ("a torn page", {
                let mut bytes = whole.clone();
                bytes[2 * 4096..3 * 4096].fill(0xa5);
                bytes
            }),
        ] {
            fs::write(&path, &bytes).unwrap();
            assert!(is_unusable(&path), "{what}");
            assert_eq!(fs::read(&path).unwrap(), bytes, "{what} was changed");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(examine(&path).unwrap(), Condition::Missing);
        assert!(examine(path.parent().unwrap()).is_err());
        remove(&path);
    }

    #[test]
    fn what_only_the_wal_holds_counts_and_stays() {
        let (path, connection) = database("WAL");
        // The power goes with everything in the -wal, and half a checkpoint in the database.
        let wal = with_suffix(&path, "-wal");
        let (mut torn, log) = (fs::read(&path).unwrap(), fs::read(&wal).unwrap());
        assert!(log.len() > 4096);
        connection.execute_batch("PRAGMA user_version=1").unwrap();
        drop(connection);
        torn.fill(0);
        fs::write(&path, &torn).unwrap();
        fs::write(&wal, &log).unwrap();
        let _ = fs::remove_file(with_suffix(&path, "-shm"));
        assert_eq!(examine(&path).unwrap(), Condition::Usable);
        assert_eq!(fs::read(&path).unwrap(), torn);
        assert_eq!(fs::read(&wal).unwrap(), log);

        fs::write(&wal, &log[..100]).unwrap();
        assert!(is_unusable(&path));
        assert_eq!(fs::read(&wal).unwrap().len(), 100);
        remove(&path);
    }

    #[test]
    fn what_the_application_would_need_is_no_damage() {
        let (path, connection) = database("DELETE");
        connection
            .execute_batch(
                "CREATE TABLE c(a CHECK (a > 0), b NOT NULL); PRAGMA ignore_check_constraints=1;
                INSERT INTO c VALUES (-1, 1);",
            )
            .unwrap();
        drop(connection);
        assert_eq!(examine(&path).unwrap(), Condition::Usable);
        remove(&path);
    }

    #[test]
    fn one_that_is_locked_is_left_alone() {
        let (path, connection) = database("DELETE");
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = examine(&path).unwrap_err().to_string();
        assert!(error.contains("nothing was changed"), "{error}");
        drop(connection);
        remove(&path);
    }
}
