//! A directory of a test's own, removed when the test ends well or badly.

use std::path::{Path, PathBuf};

use walbrook::sys::random::unique;

/// The directory.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new empty one.
    pub(crate) fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("walbrook-test-{:016x}", unique()));
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
