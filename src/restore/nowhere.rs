//! A place to restore to that keeps nothing: what is left of a restore to it is the proof that it can be done, for
//! which no disk is needed.

use std::io::{self, Read, Write};
use std::path::Path;

use crate::sys::fs::{Entry, FileIdentity, FileSystem, OpenFile, Owner, Status};
use crate::units::Timestamp;

/// A file system of endless room in which there is never anything.
pub(super) struct Nowhere;

fn nothing<T>() -> io::Result<T> {
    Err(io::ErrorKind::NotFound.into())
}

impl FileSystem for Nowhere {
    fn create_with_mode(&self, _path: &Path, _mode: u32) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(Nothing))
    }
    fn open_existing(&self, _path: &Path) -> io::Result<Box<dyn OpenFile>> {
        nothing()
    }
    fn read_from(&self, _path: &Path, _offset: u64) -> io::Result<Box<dyn Read + Send>> {
        nothing()
    }
    fn read_last(&self, _path: &Path, _bytes: u64) -> io::Result<Box<dyn Read + Send>> {
        nothing()
    }
    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }
    fn link(&self, _path: &Path, _second: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn remove_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn create_directories(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, _path: &Path) -> io::Result<Vec<Entry>> {
        Ok(Vec::new())
    }
    fn directories(&self, _path: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }
    fn identity(&self, _path: &Path) -> io::Result<FileIdentity> {
        nothing()
    }
    fn status(&self, _path: &Path) -> io::Result<Status> {
        nothing()
    }
    fn set_owner(&self, _path: &Path, _owner: Owner) -> io::Result<()> {
        Ok(())
    }
    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

/// A file that forgets what is written.
struct Nothing;

impl Write for Nothing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpenFile for Nothing {
    fn write_all_at(&mut self, _bytes: &[u8], _offset: u64) -> io::Result<()> {
        Ok(())
    }
    fn read_exact_at(&self, _bytes: &mut [u8], _offset: u64) -> io::Result<()> {
        nothing()
    }
    fn copy_range(&mut self, _source: &Path, _offset: u64, _length: u64) -> io::Result<()> {
        nothing()
    }
    fn set_len(&mut self, _size: u64) -> io::Result<()> {
        Ok(())
    }
    fn set_modified(&mut self, _time: Timestamp) -> io::Result<()> {
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}
