//! `restore-if-db-not-exists`: databases that are missing are restored before they are replicated.
//!
//! One that cannot be restored does not stop the others. It is replicated all the same should it appear: a new and
//! empty one is not sent over what its replica holds (`replica::origin`). With a command to run it is different: that
//! would start, and create an empty database, while there is a backup; so then nothing starts.

use std::path::Path;
use std::sync::Arc;

use crate::commands::restore::Attempt;
use crate::commands::source::none_of;
use crate::commands::{CommandError, Reason, open};
use crate::config::{Config, DatabaseConfig};
use crate::restore::{Existing, Options, Outcome, Target, is_free};
use crate::storage::Network;

/// Restores those of the listed databases that are missing: all of them, or those whose configuration says so. Gives
/// why the others could not be.
pub(super) fn restore(config: &Config, all: bool, network: &Arc<Network>) -> Vec<CommandError> {
    let wanted = config.databases.iter();
    let wanted = wanted.filter(|database| all || database.restore_if_missing);
    let mut failed = Vec::new();
    for database in wanted {
        if let Err(error) = restore_one(database, network) {
            let path = database.path.display();
            let told = CommandError::new(format!(
                "{path}: it is missing and was not restored: {error}"
            ));
            log::error!("{told}");
            failed.push(told.of(error.reason()));
        }
    }
    failed
}

/// The error for all of `failed`, which has at least one; that of a storage that cannot be reached counts most.
pub(super) fn error_of(failed: &[CommandError]) -> CommandError {
    let passes = |error: &&CommandError| error.reason() == Reason::Unreachable;
    let reason = failed.iter().find(passes).unwrap_or(&failed[0]).reason();
    let each: Vec<String> = failed.iter().map(ToString::to_string).collect();
    CommandError::new(each.join("; ")).of(reason)
}

fn restore_one(database: &DatabaseConfig, network: &Arc<Network>) -> Result<(), CommandError> {
    let path: &Path = &database.path;
    let how = Options {
        existing: Existing::Keep,
        ..Options::default()
    };
    let told = |error: crate::restore::RestoreError| CommandError::new(error.to_string());
    if !is_free(path, &how).map_err(told)? {
        return Ok(());
    }
    let (mut storages, mut failed) = (Vec::new(), Vec::new());
    for replica in database.replicas.iter() {
        match open::storage(&replica.location, network) {
            Ok(storage) => storages.push(storage),
            Err(error) => failed.push((replica.location.to_string(), error.to_string())),
        }
    }
    if storages.is_empty() {
        return Err(none_of(&failed));
    }
    let attempt = Attempt {
        storages: &storages,
        target: Target::Latest,
        is_patient: false,
    };
    match attempt.restore(path, &how) {
        Ok((Outcome::Restored(report), storage)) => log::info!(
            "{}: it was missing, and is restored from {} to txid {}",
            path.display(),
            storage.location(),
            report.txid
        ),
        Ok((Outcome::RestoredGeneration(report), storage)) => log::info!(
            "{}: it was missing, and is restored from what Litestream 0.3 left in {}, as of {}",
            path.display(),
            storage.location(),
            report.last.created
        ),
        Ok((Outcome::KeptExisting, _)) => {}
        Err(error) if error.reason() == Reason::NoBackup && failed.is_empty() => log::info!(
            "{}: it is missing, and so is a backup: replication begins when it appears",
            path.display()
        ),
        Err(error) => return Err(error),
    }
    Ok(())
}
