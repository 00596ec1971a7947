//! Finds replicas: a place such as the one that a directory of databases is replicated to has many of them below it,
//! each at the path of its database.
//!
//! A replica is where at least one LTX file stands in a level, or what Litestream 0.3 left. Nothing else is taken for
//! one: a directory of databases may well be called `ltx`, or `0003`.

use std::io;

use super::generations;
use super::{Storage, StorageError};
use crate::units::Level;

/// Longer paths lead nowhere: neither files nor objects have such.
const PATH_BYTES_MAX: usize = 4096;

/// What stands directly in one directory of a storage, or below one prefix of a bucket.
#[derive(Debug, Default)]
pub struct Folder {
    /// The names of the directories in it.
    pub directories: Vec<String>,
    /// Whether an LTX file is in it.
    pub has_files: bool,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// The replicas, in the order of their paths. Each path ends with a slash; that of a replica at the place itself is
    /// empty. They are as the storage has them, and so may have `..` in them, or nothing between two slashes.
    pub replicas: Vec<String>,
    /// Why other directories could not be looked into: they may not be.
    pub unseen: Vec<StorageError>,
}

/// The replicas at the place of `storage` and below it.
///
/// On a bucket it costs two requests a replica and one for each directory between, and memory for the names in those.
///
/// # Errors
/// When the place itself cannot be looked into, or the storage cannot be reached.
pub fn find_replicas(storage: &dyn Storage) -> Result<Found, StorageError> {
    let mut found = Found::default();
    let mut pending = vec![String::new()];
    while let Some(path) = pending.pop() {
        match look(storage, &path) {
            Ok((is_replica, others)) => {
                let below = others.iter().map(|name| format!("{path}{name}/"));
                pending.extend(below.filter(|path| path.len() <= PATH_BYTES_MAX));
                if is_replica {
                    found.replicas.push(path);
                }
            }
            Err(error) if !path.is_empty() && is_forbidden(&error) => found.unseen.push(error),
            Err(error) => return Err(error),
        }
    }
    found.replicas.sort_unstable();
    Ok(found)
}

/// Whether a replica is at `path`, and which directories there are none of its own.
fn look(storage: &dyn Storage, path: &str) -> Result<(bool, Vec<String>), StorageError> {
    let mut names = storage.look_into(path)?.directories;
    let is_replica = has_levels(storage, path, &names)?
        || (names.iter().any(|name| name == generations::FOLDER)
            && has_generations(storage, path)?);
    if is_replica {
        let is_own = |name: &String| match storage.levels_folder() {
            "" => level_of(name, 4).is_some(),
            folder => name == folder,
        };
        names.retain(|name| !is_own(name) && name != generations::FOLDER);
    }
    Ok((is_replica, names))
}

fn is_forbidden(error: &StorageError) -> bool {
    match error {
        StorageError::Refused { .. } => true,
        StorageError::Io { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
        _ => false,
    }
}

/// Whether a level of a replica at `path`, which has directories of these `names`, has a file.
fn has_levels(storage: &dyn Storage, path: &str, names: &[String]) -> Result<bool, StorageError> {
    let folder = storage.levels_folder();
    let (top, digits, inside);
    let names = match folder {
        "" => {
            (top, digits) = (path.to_owned(), 4);
            names
        }
        _ if names.iter().any(|name| name == folder) => {
            (top, digits) = (format!("{path}{folder}/"), 1);
            inside = storage.look_into(&top)?.directories;
            &inside
        }
        _ => return Ok(false),
    };
    let mut levels: Vec<&String> = names
        .iter()
        .filter(|name| level_of(name, digits).is_some())
        .collect();
    // The highest has the fewest files.
    levels.sort_unstable();
    for level in levels.into_iter().rev() {
        if storage.look_into(&format!("{top}{level}/"))?.has_files {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether there is a generation of Litestream 0.3 at `path`.
fn has_generations(storage: &dyn Storage, path: &str) -> Result<bool, StorageError> {
    let inside = storage.look_into(&format!("{path}{}/", generations::FOLDER))?;
    Ok(inside
        .directories
        .iter()
        .any(|name| generations::is_generation(name)))
}

/// The level that a directory of this name is, which has so many digits.
fn level_of(name: &str, digits: usize) -> Option<Level> {
    Level::all().find(|level| format!("{:0digits$x}", level.value()) == name)
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    /// A bucket, or a file system, with files and nothing in them.
    struct Names {
        files: &'static [&'static str],
        levels_folder: &'static str,
    }

    impl Storage for Names {
        fn location(&self) -> String {
            String::new()
        }

        fn levels_folder(&self) -> &'static str {
            self.levels_folder
        }

        fn look_into(&self, path: &str) -> Result<Folder, StorageError> {
            let inside = self.files.iter().filter_map(|file| file.strip_prefix(path));
            let mut folder = Folder::default();
            for name in inside {
                match name.split_once('/') {
                    Some((directory, _)) => folder.directories.push(directory.to_owned()),
                    None => folder.has_files |= name.ends_with(".ltx"),
                }
            }
            folder.directories.sort();
            folder.directories.dedup();
            Ok(folder)
        }

        fn list(&self, _: Level) -> Result<Vec<FileInfo>, StorageError> {
            unreachable!("only looked into")
        }

        fn read(&self, _: FileName, _: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
            unreachable!("only looked into")
        }

        fn write(&self, _: FileName, _: Timestamp, _: &dyn Content) -> Result<u64, StorageError> {
            unreachable!("only looked into")
        }

        fn delete(&self, _: &[FileName]) -> Result<(), StorageError> {
            unreachable!("only looked into")
        }

        fn delete_all(&self) -> Result<(), StorageError> {
            unreachable!("only looked into")
        }
    }

    fn found(files: &'static [&'static str], levels_folder: &'static str) -> Vec<String> {
        find_replicas(&Names {
            files,
            levels_folder,
        })
        .unwrap()
        .replicas
    }

    #[test]
    fn replicas_of_buckets() {
        let files = &[
            "a.db/0000/1.ltx",
            "a.db/0009/1.ltx",
            "sub/b.db/0001/1.ltx",
            // A directory of databases that is called like a level, and one in a replica.
            "0003/c.db/0009/1.ltx",
            "0003/x",
            "a.db/inner/0002/1.ltx",
            // None of these is a replica.
            "e/0000/x",
            "e/00000/1.ltx",
            "e/000a/1.ltx",
            "e/3/1.ltx",
            "e/ltx/3/1.ltx",
            "e/generations/x/1.ltx",
            "e/1.ltx",
            // These are, whatever becomes of them.
            "old.db/generations/0123456789abcdef/snapshots/00000000.snapshot.lz4",
            "../d.db/0000/1.ltx",
            "x//y/0000/1.ltx",
            "/0000/1.ltx",
        ];
        assert_eq!(
            found(files, ""),
            [
                "../d.db/",
                "/",
                "0003/c.db/",
                "a.db/",
                "a.db/inner/",
                "old.db/",
                "sub/b.db/",
                "x//y/"
            ]
        );
        assert_eq!(found(&["0000/1.ltx", "a/0000/1.ltx"], ""), ["", "a/"]);
        assert_eq!(found(&[], ""), [""; 0]);
    }

    #[test]
    fn replicas_of_directories() {
        let files = &[
            "a.db/ltx/0/1.ltx",
            "ltx/b.db/ltx/9/1.ltx",
            "ltx/ltx/ltx/1/1.ltx",
            "e/ltx/0000/1.ltx",
            "e/0000/1.ltx",
            "e/ltx/3/x",
        ];
        assert_eq!(found(files, "ltx"), ["a.db/", "ltx/b.db/", "ltx/ltx/"]);
    }
}
