//! Opens the storage that a configuration or a URL names.

use std::path::Path;
use std::sync::Arc;

use super::CommandError;
use crate::config::{DatabaseConfig, ReplicaConfig, ReplicaLocation};
use crate::storage::file::{FileStorage, Ownership};
use crate::storage::s3::{S3Storage, Settings};
use crate::storage::sftp::{SftpSettings, SftpStorage};
use crate::storage::{Network, Storage};
use crate::sys::fs::{FileSystem, Owner, SystemFiles, parent};

/// The storage at `location`, for reading.
///
/// # Errors
/// When it cannot be spoken to at all, whoever answers.
pub(super) fn storage(
    location: &ReplicaLocation,
    network: &Arc<Network>,
) -> Result<Arc<dyn Storage>, CommandError> {
    Ok(match location {
        ReplicaLocation::File(root) => Arc::new(file_storage(root)),
        ReplicaLocation::S3(settings) => Arc::new(s3_storage(settings, network)?),
        ReplicaLocation::Sftp(settings) => Arc::new(sftp_storage(settings, network)),
    })
}

/// The same, for a writer that knows what is there. What is created in a directory belongs to whom the directory does,
/// and files can be read by that user alone.
///
/// # Errors
/// As [`storage`].
pub(super) fn exclusive(
    location: &ReplicaLocation,
    network: &Arc<Network>,
) -> Result<Arc<dyn Storage>, CommandError> {
    Ok(match location {
        ReplicaLocation::File(root) => {
            let storage = file_storage(root).exclusive();
            Arc::new(match SystemFiles.status(root) {
                Ok(status) => storage.with_ownership(Ownership {
                    directories: status.owner,
                    files: Owner {
                        mode: 0o600,
                        ..status.owner
                    },
                }),
                Err(_) => storage,
            })
        }
        ReplicaLocation::S3(settings) => Arc::new(s3_storage(settings, network)?.exclusive()),
        ReplicaLocation::Sftp(settings) => Arc::new(sftp_storage(settings, network).exclusive()),
    })
}

/// The storages that `database` is replicated to, in their order. What is created there belongs to the database's
/// owner.
///
/// # Errors
/// As [`storage`].
pub(super) fn replicas_of(
    database: &DatabaseConfig,
    network: &Arc<Network>,
) -> Result<Vec<Arc<dyn Storage>>, CommandError> {
    let open = |replica: &ReplicaConfig| -> Result<Arc<dyn Storage>, CommandError> {
        Ok(match &replica.location {
            ReplicaLocation::File(root) => {
                let storage = file_storage(root).exclusive();
                Arc::new(match ownership_of(&database.path) {
                    Some(ownership) => storage.with_ownership(ownership),
                    None => storage,
                })
            }
            ReplicaLocation::S3(settings) => Arc::new(s3_storage(settings, network)?.exclusive()),
            ReplicaLocation::Sftp(settings) => {
                Arc::new(sftp_storage(settings, network).exclusive())
            }
        })
    };
    database.replicas.iter().map(open).collect()
}

fn file_storage(root: &Path) -> FileStorage {
    FileStorage::new(root.to_path_buf(), Arc::new(SystemFiles))
}

fn s3_storage(settings: &Settings, network: &Arc<Network>) -> Result<S3Storage, CommandError> {
    S3Storage::open(settings.clone(), network).map_err(|error| {
        let message = format!("cannot use the bucket {}: {error}", settings.bucket);
        CommandError::new(message)
    })
}

fn sftp_storage(settings: &SftpSettings, network: &Arc<Network>) -> SftpStorage {
    SftpStorage::new(settings.clone(), network)
}

/// As of the database and its directory; none while there is no database.
fn ownership_of(database: &Path) -> Option<Ownership> {
    Some(Ownership {
        directories: SystemFiles.status(parent(database)).ok()?.owner,
        files: SystemFiles.status(database).ok()?.owner,
    })
}
