//! The hold on the directory of a replica while files are written, by which two writers notice each other.
//!
//! It is one for all that a storage writes at the same time: a snapshot that takes long is no other writer to the
//! syncs that go past it, but the lock of an open file would say so.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::fs::{DirectoryLock, FileSystem};

/// The hold of one storage.
#[derive(Default)]
pub(super) struct Hold(Mutex<Held>);

#[derive(Default)]
struct Held {
    lock: Option<DirectoryLock>,
    by: usize,
}

impl Hold {
    /// Holds the directory `root` until what this gives is dropped; none while another writer has it.
    pub(super) fn take(&self, fs: &dyn FileSystem, root: &Path) -> io::Result<Option<Share<'_>>> {
        let mut held = self.held();
        if held.by == 0 {
            held.lock = fs.lock_directory(root)?;
        }
        if held.lock.is_none() {
            return Ok(None);
        }
        held.by += 1;
        Ok(Some(Share(self)))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One write's part in the hold.
pub(super) struct Share<'a>(&'a Hold);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut held = self.0.held();
        held.by -= 1;
        // Given back before anybody else here can ask for it.
        if held.by == 0 {
            held.lock = None;
        }
    }
}
