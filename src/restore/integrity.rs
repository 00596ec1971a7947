//! SQLite's own check of the rebuilt database, made before it gets its name: a database that fails never
//! replaces anything.

use std::fmt::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// How thoroughly to check.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Integrity {
    /// As what is restored needs it: of LTX files not at all, since each was verified by its checksum anyway; of what
    /// Litestream 0.3 left as [`Integrity::Quick`], since the end of a WAL can be missing there unseen.
    #[default]
    AsNeeded,
    /// Not at all.
    Unchecked,
    /// `PRAGMA quick_check`: the structure of every page, but no comparison of indexes with tables.
    Quick,
    /// `PRAGMA integrity_check`.
    Full,
}

/// As on the command line.
impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Integrity::AsNeeded | Integrity::Unchecked => "none",
            Integrity::Quick => "quick",
            Integrity::Full => "full",
        })
    }
}

/// Checks the database `path`, which nobody may be writing to.
///
/// # Errors
/// What SQLite found, in its words.
pub(super) fn check(path: &Path, integrity: Integrity) -> Result<(), String> {
    let pragma = match integrity {
        Integrity::AsNeeded | Integrity::Unchecked => return Ok(()),
        Integrity::Quick => "PRAGMA quick_check(1)",
        Integrity::Full => "PRAGMA integrity_check(1)",
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let run = || -> rusqlite::Result<String> {
        let connection = Connection::open_with_flags(uri(path), flags)?;
        connection.query_row(pragma, [], |row| row.get(0))
    };
    match run() {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(answer) => Err(answer),
        Err(error) => Err(error.to_string()),
    }
}

/// The path as SQLite's URI, immutable: no locks, and no -wal or -shm even for a database in WAL mode.
fn uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _ = write!(uri, "%{byte:02x}");
        }
    }
    uri + "?mode=ro&immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::random::unique;

    #[test]
    fn sound_and_broken_databases() {
        let name = format!("walbrook ?#%é {:016x}", unique());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("a.db");
        let connection = Connection::open(&path).unwrap();
        let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a); CREATE INDEX i ON t(a);
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
            INSERT INTO t SELECT hex(i) FROM n;";
        connection.execute_batch(sql).unwrap();
        drop(connection);
        for integrity in [Integrity::Quick, Integrity::Full] {
            assert_eq!(check(&path, integrity), Ok(()));
        }
        let names = std::fs::read_dir(&directory).unwrap();
        assert_eq!(names.count(), 1, "no -wal, no -shm");

        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2 / 4096 * 4096;
        bytes[middle..middle + 8].fill(0xff);
        std::fs::write(&path, bytes).unwrap();
        assert!(check(&path, Integrity::Full).is_err());
        assert_eq!(check(&path, Integrity::Unchecked), Ok(()));
        std::fs::write(&path, "not a database at all").unwrap();
        assert!(check(&path, Integrity::Quick).is_err());
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
