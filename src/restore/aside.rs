//! Keeps the database that a restore replaces, under another name: `NAME.old-TIME`, and with it what belongs to it
//! (`NAME.old-TIME-wal` …), so that SQLite opens it there as it was.
//!
//! The order, each step durable before the next, with the new database complete and durable beside them all along:
//!
//! 1. Every file of the old one gets its second name, as a hard link. From here on the old one is whole under that
//!    name, whatever happens.
//! 2. Its first name goes. 3. Those of its -wal, -shm and -journal go.
//! 4. The new one gets the name (`output`).
//!
//! So no power cut leaves the old database without its -wal, which SQLite would take for the whole, or the new one
//! beside a -wal that is not its own. Between 2 and 4 there is no database under the name, which the next restore
//! sets right; should the application create one, SQLite removes that stale -wal, and its second name stays. Where
//! the file system has no hard links, the same files are renamed in this order, and in that gap the -wal still has
//! to be renamed by hand.

use std::io;
use std::path::{Path, PathBuf};

use super::error::RestoreError;
use super::output::{sidecars, status};
use crate::sys::clock::{Clock, SystemClock};
use crate::sys::fs::{FileSystem, parent, set_aside, with_suffix};

/// Takes the name `output` from the database there, if there is one, and the names beside it from what belongs to it.
/// The new database must be durable.
pub(super) fn keep(fs: &dyn FileSystem, output: &Path) -> Result<(), RestoreError> {
    let mut files = Vec::new();
    let mut bytes = 0;
    let candidates = [output.to_path_buf()].into_iter().chain(sidecars(output));
    for path in candidates {
        if let Some(there) = status(fs, &path)? {
            bytes += there.size;
            files.push(path);
        }
    }
    if bytes == 0 && files.len() < 2 {
        // Nothing, or a file with nothing in it.
        return Ok(());
    }
    let kept = free_name(fs, output)?;
    move_all(fs, output, &files, &kept)
        .map_err(|error| RestoreError::io("keep the old", output, error))?;
    log::warn!(
        "{}: what was there is kept as {}",
        output.display(),
        kept.display()
    );
    Ok(())
}

fn move_all(fs: &dyn FileSystem, output: &Path, files: &[PathBuf], kept: &Path) -> io::Result<()> {
    let directory = parent(output);
    // What follows the name of the database: nothing, or `-wal` and the like.
    let second_name = |path: &PathBuf| {
        let suffix = &path.as_os_str().as_encoded_bytes()[output.as_os_str().len()..];
        with_suffix(kept, &String::from_utf8_lossy(suffix))
    };
    let is_linked = link_all(fs, files, &second_name)?;
    if is_linked {
        fs.sync_directory(directory)?;
    }
    let (main, others): (Vec<&PathBuf>, Vec<&PathBuf>) =
        files.iter().partition(|path| *path == output);
    for group in [main, others] {
        for path in group {
            match is_linked {
                true => fs.remove(path)?,
                false => set_aside(fs, path, &second_name(path))?,
            }
        }
        fs.sync_directory(directory)?;
    }
    Ok(())
}

/// Gives all `files` their second names; false, with none of them given, where that cannot be done.
fn link_all(
    fs: &dyn FileSystem,
    files: &[PathBuf],
    second_name: &dyn Fn(&PathBuf) -> PathBuf,
) -> io::Result<bool> {
    for (index, path) in files.iter().enumerate() {
        if let Err(error) = fs.link(path, &second_name(path)) {
            log::debug!("no hard link of {}: {error}", path.display());
            for linked in &files[..index] {
                fs.remove(&second_name(linked))?;
            }
            return Ok(false);
        }
    }
    Ok(true)
}

/// A name for the old database, which nothing beside it has.
fn free_name(fs: &dyn FileSystem, output: &Path) -> Result<PathBuf, RestoreError> {
    let time = SystemClock.now().to_string().replace(':', "");
    let mut name = with_suffix(output, &format!(".old-{time}"));
    let mut number = 1;
    loop {
        let mut taken = status(fs, &name)?.is_some();
        for sidecar in sidecars(&name) {
            taken |= status(fs, &sidecar)?.is_some();
        }
        if !taken {
            return Ok(name);
        }
        number += 1;
        name = with_suffix(output, &format!(".old-{time}-{number}"));
    }
}
