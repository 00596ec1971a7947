//! Restores from what Litestream 0.3 left. The replicas are real ones of its last release, and the states are those that
//! it restores itself, see `tests/vectors/generations/make.py`.

mod both;
mod commands;
mod damage;
mod made;
mod s3;
mod states;

use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use tinyjson::JsonValue;

use crate::ltx::vectors::{field, list, number, sha256, text};
use crate::support::forward::forward;
use crate::support::memory::Memory;
use crate::support::scratch::Scratch;
use walbrook::restore::{Options, Outcome, RestoreError, Target, restore};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{
    ByteRange, FileInfo, FileName, GenerationFile, GenerationName, Storage, StorageError,
};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::{Level, Timestamp};

/// A replica of the vectors.
struct Vector {
    name: String,
    /// The paths of its files and their times, in the order they came.
    files: Vec<(String, Timestamp)>,
    /// The SHA-256 of what is restored, as of these times; without one, of the newest state. None where nothing is.
    states: Vec<(Option<Timestamp>, Option<String>)>,
}

impl Vector {
    fn all() -> Vec<Vector> {
        let manifest = fs::read_to_string(root().join("manifest.json")).unwrap();
        let manifest: JsonValue = manifest.parse().unwrap();
        list(&manifest["replicas"]).iter().map(Vector::of).collect()
    }

    fn named(name: &str) -> Vector {
        let all = Vector::all();
        all.into_iter().find(|vector| vector.name == name).unwrap()
    }

    fn of(entry: &JsonValue) -> Vector {
        let time = |entry: &JsonValue| {
            let second = field(entry, "second").filter(|second| !second.is_null());
            second.map(|second| Timestamp::from_millis(number(second) as i64 * 1000))
        };
        let digest = |entry: &JsonValue| {
            let digest = field(entry, "sha256").filter(|digest| !digest.is_null());
            digest.map(|digest| text(digest).to_owned())
        };
        let file = |entry: &JsonValue| (text(&entry["path"]).to_owned(), time(entry).unwrap());
        Vector {
            name: text(&entry["name"]).to_owned(),
            files: list(&entry["files"]).iter().map(file).collect(),
            states: list(&entry["states"])
                .iter()
                .map(|state| (time(state), digest(state)))
                .collect(),
        }
    }

    fn bytes(&self, path: &str) -> Vec<u8> {
        fs::read(root().join(&self.name).join(path)).unwrap()
    }

    /// The SHA-256 of the newest state.
    fn newest(&self) -> String {
        let (_, digest) = self.states.iter().find(|(time, _)| time.is_none()).unwrap();
        digest.clone().unwrap()
    }

    /// Puts it into a directory.
    fn plant(&self, directory: &Path) -> FileStorage {
        for (path, time) in &self.files {
            let target = directory.join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(&target, self.bytes(path)).unwrap();
            let time = UNIX_EPOCH + Duration::from_millis(time.millis() as u64);
            File::options()
                .write(true)
                .open(&target)
                .unwrap()
                .set_modified(time)
                .unwrap();
        }
        FileStorage::new(directory.to_path_buf(), Arc::new(SystemFiles))
    }

    /// Puts it into memory.
    fn kept(&self) -> Kept {
        let scratch = Scratch::in_memory();
        let storage = self.plant(scratch.path());
        let file = |file: GenerationFile| (file, self.bytes(&file.name.to_string()));
        let files = storage.list_generations().unwrap().into_iter().map(file);
        Kept {
            files: files.collect(),
            ..Kept::default()
        }
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/generations")
}

/// Files of Litestream 0.3 in memory, perhaps beside LTX files.
#[derive(Default)]
struct Kept {
    files: Vec<(GenerationFile, Vec<u8>)>,
    ltx: Memory,
    /// After how many bytes the next reads fail; or end, as if that were all.
    faults: Mutex<Vec<(usize, bool)>>,
}

impl Kept {
    /// The same with other content of one file.
    fn with(&self, at: usize, bytes: Vec<u8>) -> Kept {
        let mut files = self.files.clone();
        files[at].0.size = bytes.len() as u64;
        files[at].1 = bytes;
        Kept {
            files,
            ..Kept::default()
        }
    }

    /// The same without a file.
    fn without(&self, at: usize) -> Kept {
        let mut files = self.files.clone();
        files.remove(at);
        Kept {
            files,
            ..Kept::default()
        }
    }
}

impl Storage for Kept {
    forward!(ltx: list, read, write, delete, delete_all);
    fn location(&self) -> String {
        "memory".to_owned()
    }
    fn list_generations(&self) -> Result<Vec<GenerationFile>, StorageError> {
        Ok(self.files.iter().map(|(file, _)| *file).collect())
    }
    fn read_generation(
        &self,
        name: GenerationName,
        offset: u64,
    ) -> Result<Box<dyn Read + Send>, StorageError> {
        let found = self.files.iter().find(|(file, _)| file.name == name);
        let location = name.to_string();
        let (_, bytes) = found.ok_or(StorageError::NotFound { location })?;
        let mut rest = bytes[(offset as usize).min(bytes.len())..].to_vec();
        let mut faults = self.faults.lock().unwrap();
        if faults.is_empty() {
            return Ok(Box::new(Cursor::new(rest)));
        }
        let (after, fails) = faults.remove(0);
        rest.truncate(after);
        match fails {
            true => Ok(Box::new(Cursor::new(rest).chain(Reset))),
            false => Ok(Box::new(Cursor::new(rest))),
        }
    }
}

struct Reset;

impl Read for Reset {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

/// Restores, and gives the SHA-256 of what comes out. Where nothing does, nothing is left.
fn restored(storage: &dyn Storage, target: Target) -> Result<String, RestoreError> {
    let scratch = Scratch::in_memory();
    let output = scratch.path().join("app.db");
    let options = Options {
        pauses: vec![Duration::ZERO; 3],
        ..Options::default()
    };
    let result = restore(storage, target, &output, &options, &mut |_| ());
    let left = fs::read_dir(scratch.path()).unwrap().count();
    match result {
        Ok(Outcome::RestoredGeneration(_)) => {
            assert_eq!(left, 1);
            Ok(sha256(&fs::read(&output).unwrap()))
        }
        Ok(other) => panic!("{other:?}"),
        Err(error) => {
            assert_eq!(left, 0, "{error}");
            Err(error)
        }
    }
}
