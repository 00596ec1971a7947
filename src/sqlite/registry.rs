//! Which databases this process has open, and the one way to look into a file that may be one of them.
//!
//! Closing any descriptor of an open database drops all locks that this process has on it. So before a file is opened,
//! only to see what it is, it is made sure that it is none of those, nor becomes one meanwhile.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::OFlags;

use super::SqliteError;
use super::header::FileHeader;
use crate::sys::fs::FileIdentity;
use crate::sys::limits;

/// The inodes of all databases this process has open.
static OPEN: Mutex<Option<HashSet<FileIdentity>>> = Mutex::new(None);

/// Descriptors of an open database: three of ours, SQLite's for the wal-index, and two for each of its connections, of
/// which there are three when it has been written to.
const DESCRIPTORS_EACH: usize = 3 + 1 + 2 * 3;
/// Descriptors for all else, uploads above all. Databases are refused before these run out, so that those that are open
/// never lack one.
const DESCRIPTORS_BESIDES: usize = 60;

/// The right to open the files of one database; there is one for each inode.
pub(super) struct Registration(FileIdentity);

impl Registration {
    pub(super) fn new(identity: FileIdentity, path: &Path) -> Result<Registration, SqliteError> {
        let mut open = open();
        let open = open.get_or_insert_default();
        if open.contains(&identity) {
            return Err(SqliteError::AlreadyOpen(path.to_path_buf()));
        }
        let wanted = DESCRIPTORS_BESIDES + DESCRIPTORS_EACH * (open.len() + 1);
        let limit = limits::descriptors(wanted);
        if limit < wanted {
            return Err(SqliteError::NoDescriptors {
                path: path.to_path_buf(),
                open: open.len(),
                limit,
            });
        }
        open.insert(identity);
        Ok(Registration(identity))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        open().get_or_insert_default().remove(&self.0);
    }
}

/// What a file is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A database.
    Database,
    /// A database that this process has open, perhaps under another name.
    Open,
    /// Empty, as a database is before its first transaction.
    Empty,
    /// Something else.
    Foreign,
}

/// Looks at the beginning of the regular file `path`, which is no symbolic link.
///
/// # Errors
/// When the system refuses.
pub fn probe(path: &Path) -> io::Result<Probe> {
    // Kept until the file is closed again, so that nobody can open it as a database in between.
    let mut open = open();
    let open = open.get_or_insert_default();
    if open.contains(&FileIdentity::of(&fs::symlink_metadata(path)?)) {
        return Ok(Probe::Open);
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if open.contains(&FileIdentity::of(&file.metadata()?)) {
        // It has been given this name just now. It must not be closed.
        std::mem::forget(file);
        return Ok(Probe::Open);
    }
    Ok(match FileHeader::read(&file)? {
        FileHeader::Empty => Probe::Empty,
        FileHeader::Foreign => Probe::Foreign,
        FileHeader::Rollback | FileHeader::Wal => Probe::Database,
    })
}

fn open() -> MutexGuard<'static, Option<HashSet<FileIdentity>>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_and_open_ones_left_alone() {
        let path = std::env::temp_dir().join(format!("probe-{}", crate::sys::random::unique()));
        let mut database = b"SQLite format 3\0".to_vec();
        database.resize(512, 0);
        for (content, expected) in [
            (&b""[..], Probe::Empty),
            (b"SQLite format 3", Probe::Foreign),
            (&[b'x'; 512], Probe::Foreign),
            (&database, Probe::Database),
        ] {
            fs::write(&path, content).unwrap();
            assert_eq!(probe(&path).unwrap(), expected);
        }
        let identity = FileIdentity::of(&fs::metadata(&path).unwrap());
        let registration = Registration::new(identity, &path).unwrap();
        assert_eq!(probe(&path).unwrap(), Probe::Open);
        drop(registration);
        assert_eq!(probe(&path).unwrap(), Probe::Database);
        fs::remove_file(&path).unwrap();
        assert!(probe(&path).is_err());
    }
}
