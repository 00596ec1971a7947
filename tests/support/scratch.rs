//! A directory of a test's own, removed when the test ends well or badly.

use std::path::{Path, PathBuf};

use walbrook::sys::random::unique;

/// The directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new empty one.
    pub(crate) fn new() -> Scratch {
        Scratch::within(&std::env::temp_dir())
    }

    /// A new empty one, in memory where the machine has such a place: for many small files.
    pub(crate) fn in_memory() -> Scratch {
        let memory = Path::new("/dev/shm");
        match memory.is_dir() {
            true => Scratch::within(memory),
            false => Scratch::new(),
        }
    }

    fn within(directory: &Path) -> Scratch {
        let path = directory.join(format!("walbrook-test-{:016x}", unique()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
