//! The first 100 bytes of a database file: whether it is one, its page size, whether it is in WAL mode.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What a database file's header says before SQLite itself is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FileHeader {
    /// The file is empty: a database before its first transaction.
    Empty,
    /// Not SQLite's magic: another kind of file, or an encrypted database.
    Foreign,
    /// A database with a rollback journal.
    Rollback,
    /// A database in WAL mode.
    Wal,
}

impl FileHeader {
    pub(super) fn read(database: &File) -> io::Result<FileHeader> {
        let mut bytes = [0; 100];
        match database.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(match database.metadata()?.len() {
                    0 => FileHeader::Empty,
                    _ => FileHeader::Foreign,
                });
            }
            Err(error) => return Err(error),
        }
        Ok(match (&bytes[..16], bytes[18], bytes[19]) {
            (b"SQLite format 3\0", 2, 2) => FileHeader::Wal,
            (b"SQLite format 3\0", _, _) => FileHeader::Rollback,
            _ => FileHeader::Foreign,
        })
    }
}
