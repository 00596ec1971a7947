//! A disk that is mounted while a file is written: at every moment, whatever was found before.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Bytes, name, put};
use crate::support::scratch::Scratch;
use walbrook::storage::file::FileStorage;
use walbrook::storage::{FileName, Storage, StorageError};
use walbrook::sys::fs::{
    DirectoryLock, Entry, FileIdentity, FileSystem, OpenFile, Owner, Status, SystemFiles,
};
use walbrook::units::{Level, Timestamp};

/// Where the disk is to be mounted. What has other paths is of no interest.
const MOUNT: &str = "/disk";

/// The files below a mount point, on which a disk is mounted after some operations.
struct Mounting {
    /// The directory that is the mount point.
    point: PathBuf,
    /// What is on the disk.
    disk: PathBuf,
    /// Operations until then.
    left: AtomicUsize,
}

impl Mounting {
    fn new(scratch: &Path, after: usize) -> Mounting {
        let [point, disk] = ["point", "disk"].map(|name| scratch.join(name));
        fs::create_dir_all(&point).unwrap();
        Mounting {
            point,
            disk,
            left: AtomicUsize::new(after),
        }
    }

    fn is_mounted(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }

    /// Counts an operation.
    fn count(&self) {
        let less = |left: usize| left.checked_sub(1);
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    fn real(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix(MOUNT), self.is_mounted()) {
            (Ok(inner), true) => self.disk.join(inner),
            (Ok(inner), false) => self.point.join(inner),
            // Above it.
            (Err(_), _) => self.point.clone(),
        }
    }
}

/// The methods that take one path, after each of which the disk may be there.
macro_rules! counted {
    ($($method:ident($($argument:ident: $of:ty),*) -> $result:ty;)+) => { $(
        fn $method(&self, path: &Path, $($argument: $of),*) -> io::Result<$result> {
            let result = SystemFiles.$method(&self.real(path), $($argument),*);
            self.count();
            result
        }
    )+ };
}

impl FileSystem for Mounting {
    counted! {
        create_with_mode(mode: u32) -> Box<dyn OpenFile>;
        open_existing() -> Box<dyn OpenFile>;
        read_from(offset: u64) -> Box<dyn Read + Send>;
        read_last(bytes: u64) -> Box<dyn Read + Send>;
        remove() -> ();
        remove_directory() -> ();
        remove_all() -> ();
        sync_directory() -> ();
        create_directories() -> ();
        list() -> Vec<Entry>;
        directories() -> Vec<String>;
        identity() -> FileIdentity;
        status() -> Status;
        set_owner(owner: Owner) -> ();
        lock_directory() -> Option<DirectoryLock>;
        free_bytes() -> u64;
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let result = SystemFiles.rename(&self.real(from), &self.real(to));
        self.count();
        result
    }

    fn link(&self, _: &Path, _: &Path) -> io::Result<()> {
        unreachable!("a replica has no links")
    }
}

/// Writes the first file of a replica that was found empty, while a disk is mounted on which there is one with `files`,
/// after every number of operations in turn.
fn begins_while_mounted(files: &[FileName]) {
    let first = name(9, 1, 1);
    for after in 1.. {
        let scratch = Scratch::new();
        let mounting = Arc::new(Mounting::new(scratch.path(), usize::MAX));
        let on_disk = FileStorage::new(scratch.path().join("disk/replica"), Arc::new(SystemFiles));
        for file in files {
            put(&on_disk, *file, b"on the disk");
        }
        let before = contents(&mounting.disk);
        let root = Path::new(MOUNT).join("replica");
        let storage =
            FileStorage::new(root, Arc::clone(&mounting) as Arc<dyn FileSystem>).exclusive();
        for level in 0..=9 {
            let level = Level::new(level).unwrap();
            assert_eq!(storage.list(level).unwrap(), []);
        }
        mounting.left.store(after, Ordering::Relaxed);
        let written = storage.write(first, Timestamp::from_millis(0), &Bytes(b"new"));
        assert_eq!(contents(&mounting.disk), before, "after {after} operations");
        match &written {
            Ok(_) => assert_eq!(
                contents(&mounting.point).len(),
                1,
                "after {after} operations"
            ),
            Err(StorageError::Replaced { .. } | StorageError::Io { .. }) => (),
            Err(other) => panic!("after {after} operations: {other}"),
        }
        if !mounting.is_mounted() {
            assert!(written.is_ok() && after > 12, "only {after} operations");
            return;
        }
        assert!(
            storage
                .write(first, Timestamp::from_millis(0), &Bytes(b"new"))
                .is_err(),
            "after {after} operations"
        );
        assert_eq!(contents(&mounting.disk), before, "after {after} operations");
    }
}

fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => found.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    found.sort();
    found
}

#[test]
fn a_new_replica_is_never_begun_in_one_that_is_just_mounted() {
    begins_while_mounted(&[name(9, 1, 1), name(0, 2, 2)]);
}

#[test]
fn nor_in_one_whose_first_files_are_gone() {
    begins_while_mounted(&[name(9, 1, 50), name(0, 50, 50)]);
}
