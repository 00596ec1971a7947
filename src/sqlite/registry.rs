//! Which databases this process has open, and the one way to look into a file that may be one of them.
//!
//! Closing any descriptor of an open database drops all locks that this process has on it. So before a file is opened,
//! only to see what it is, it is made sure that it is none of those, nor becomes one meanwhile. The table is never
//! locked for longer than a look into it: a file system that hangs holds up nobody else.

use std::collections::HashMap;
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

/// The inodes of all databases this process has open, and of files it looks into.
static KNOWN: Mutex<Option<HashMap<FileIdentity, Use>>> = Mutex::new(None);

/// What an inode is open for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Use {
    Database {
        /// How many it takes.
        descriptors: usize,
    },
    Probe,
}

/// Descriptors of an open database: three of ours, SQLite's for the wal-index, and two for each of its connections, of
/// which there are two, and one more for each destination when it has been written to.
const fn descriptors_of(destinations: usize) -> usize {
    3 + 1 + 2 * (2 + destinations)
}

/// Descriptors for all else, uploads above all. Databases are refused before these run out, so that those that are open
/// never lack one.
const DESCRIPTORS_BESIDES: usize = 60;

/// The right to open the files of one database; there is one for each inode.
pub(super) struct Registration(#[expect(dead_code, reason = "dropping it is what it is for")] Hold);

impl Registration {
    pub(super) fn new(
        identity: FileIdentity,
        destinations: usize,
        path: &Path,
    ) -> Result<Registration, SqliteError> {
        let path = || path.to_path_buf();
        let mut known = known();
        let known = known.get_or_insert_default();
        match known.get(&identity) {
            Some(Use::Database { .. }) => return Err(SqliteError::AlreadyOpen(path())),
            Some(Use::Probe) => return Err(SqliteError::Later(path())),
            None => {}
        }
        let open = known.values().filter_map(|what| match what {
            Use::Database { descriptors } => Some(*descriptors),
            Use::Probe => None,
        });
        let descriptors = descriptors_of(destinations);
        let wanted = DESCRIPTORS_BESIDES + open.clone().sum::<usize>() + descriptors;
        let limit = limits::descriptors(wanted);
        if limit < wanted {
            return Err(SqliteError::NoDescriptors {
                path: path(),
                open: open.count(),
                limit,
            });
        }
        known.insert(identity, Use::Database { descriptors });
        Ok(Registration(Hold(identity)))
    }
}

/// An entry of the table.
struct Hold(FileIdentity);

impl Hold {
    /// For looking into a file; none for one that is open.
    fn for_probe(identity: FileIdentity) -> Option<Hold> {
        let mut known = known();
        let known = known.get_or_insert_default();
        let free = !known.contains_key(&identity);
        free.then(|| {
            known.insert(identity, Use::Probe);
            Hold(identity)
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        known().get_or_insert_default().remove(&self.0);
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
    let identity = FileIdentity::of(&fs::symlink_metadata(path)?);
    let Some(_hold) = Hold::for_probe(identity) else {
        return Ok(Probe::Open);
    };
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if FileIdentity::of(&file.metadata()?) != identity {
        // Another one has been given this name just now. It may be open, and then must not be closed; the next look
        // finds it.
        std::mem::forget(file);
        return Ok(Probe::Foreign);
    }
    // The file is closed before the hold on it ends.
    Ok(match FileHeader::read(&file)? {
        FileHeader::Empty => Probe::Empty,
        FileHeader::Foreign => Probe::Foreign,
        FileHeader::Rollback | FileHeader::Wal => Probe::Database,
    })
}

fn known() -> MutexGuard<'static, Option<HashMap<FileIdentity, Use>>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
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
        let registration = Registration::new(identity, 1, &path).unwrap();
        assert_eq!(probe(&path).unwrap(), Probe::Open);
        drop(registration);
        let hold = Hold::for_probe(identity).unwrap();
        let meanwhile = Registration::new(identity, 1, &path).err().unwrap();
        assert!(meanwhile.is_passing(), "{meanwhile}");
        drop(hold);
        assert_eq!(probe(&path).unwrap(), Probe::Database);
        fs::remove_file(&path).unwrap();
        assert!(probe(&path).is_err());
    }
}
