//! Opens the storage that a configuration or a URL names.

use std::path::Path;
use std::sync::Arc;

use crate::config::{DatabaseConfig, ReplicaLocation};
use crate::storage::Storage;
use crate::storage::file::{FileStorage, Ownership};
use crate::sys::fs::{FileSystem, SystemFiles, parent};

/// The storage at `location`, for reading.
pub(super) fn storage(location: &ReplicaLocation) -> Arc<dyn Storage> {
    match location {
        ReplicaLocation::File(root) => Arc::new(file_storage(root)),
    }
}

/// The storage that `database` is replicated to. What is created there belongs to the database's owner.
pub(super) fn replica_of(database: &DatabaseConfig) -> Arc<dyn Storage> {
    match &database.replica.location {
        ReplicaLocation::File(root) => {
            let storage = file_storage(root).exclusive();
            Arc::new(match ownership_of(&database.path) {
                Some(ownership) => storage.with_ownership(ownership),
                None => storage,
            })
        }
    }
}

fn file_storage(root: &Path) -> FileStorage {
    FileStorage::new(root.to_path_buf(), Arc::new(SystemFiles))
}

/// As of the database and its directory; none while there is no database.
fn ownership_of(database: &Path) -> Option<Ownership> {
    Some(Ownership {
        directories: SystemFiles.status(parent(database)).ok()?.owner,
        files: SystemFiles.status(database).ok()?.owner,
    })
}
