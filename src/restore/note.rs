//! Beside a copy that follows a replica: `NAME-txid`, the TXID of the state the copy has, as 16 hexadecimal digits and
//! a newline. Litestream's follower keeps the same file, so that either program goes on with the other's copy.
//!
//! The rule: it never names a state that the copy has not yet durably. One that it names too late is harmless, since a
//! file that is applied once more changes nothing.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::error::RestoreError;
use super::output::status;
use crate::sys::fs::{FileSystem, parent, with_suffix};
use crate::sys::temporary;
use crate::units::Txid;

/// Longer than any such file.
const BYTES_MAX: u64 = 64;

/// Where it is for the copy `output`.
pub(super) fn path_of(output: &Path) -> PathBuf {
    with_suffix(output, "-txid")
}

/// What it says of the copy `output`; none when there is none.
///
/// # Errors
/// When it cannot be read, or says something else.
pub fn noted(fs: &dyn FileSystem, output: &Path) -> Result<Option<Txid>, RestoreError> {
    let path = path_of(output);
    if status(fs, &path)?.is_none() {
        return Ok(None);
    }
    let mut text = String::new();
    let read = fs
        .read_from(&path, 0)
        .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    let txid = read.and_then(|_| {
        let no_txid = "it holds no TXID; restore the copy anew with -force";
        Txid::from_hex(text.trim_end()).ok_or_else(|| io::Error::other(no_txid))
    });
    txid.map(Some)
        .map_err(|error| RestoreError::io("read", &path, error))
}

/// Notes that the copy `output` has the state at `txid`, durably.
pub(super) fn note(fs: &dyn FileSystem, output: &Path, txid: Txid) -> Result<(), RestoreError> {
    let path = path_of(output);
    let stored = temporary::store(fs, &path, 0o644, format!("{txid}\n").as_bytes());
    stored.map_err(|error| RestoreError::io("write", &path, error))
}

/// Removes what is noted of `output`, durably.
pub(super) fn forget(fs: &dyn FileSystem, output: &Path) -> Result<(), RestoreError> {
    let path = path_of(output);
    if status(fs, &path)?.is_none() {
        return Ok(());
    }
    let removed = fs
        .remove(&path)
        .and_then(|()| fs.sync_directory(parent(output)));
    removed.map_err(|error| RestoreError::io("remove", &path, error))
}
