//! Opens the storage that a configuration or a URL names.

use std::path::Path;
use std::sync::Arc;

use super::CommandError;
use crate::config::{DatabaseConfig, ReplicaLocation};
use crate::storage::Storage;
use crate::storage::file::{FileStorage, Ownership};
use crate::sys::fs::{FileSystem, SystemFiles, parent};

/// The storage at `location`, for reading.
///
/// # Errors
/// When it cannot be spoken to.
pub(super) fn storage(location: &ReplicaLocation) -> Result<Arc<dyn Storage>, CommandError> {
    match location {
        ReplicaLocation::File(root) => Ok(Arc::new(file_storage(root))),
        ReplicaLocation::S3(_) => Err(CommandError::new("s3 replicas: not connected yet")),
    }
}

/// The storage that `database` is replicated to. What is created there belongs to the database's owner.
///
/// # Errors
/// When it cannot be spoken to.
pub(super) fn replica_of(database: &DatabaseConfig) -> Result<Arc<dyn Storage>, CommandError> {
    match &database.replica.location {
        ReplicaLocation::File(root) => {
            let storage = file_storage(root).exclusive();
            Ok(Arc::new(match ownership_of(&database.path) {
                Some(ownership) => storage.with_ownership(ownership),
                None => storage,
            }))
        }
        location @ ReplicaLocation::S3(_) => storage(location),
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
