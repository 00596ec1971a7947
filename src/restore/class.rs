//! What a failed restore means to whoever asked for it, so that a script can act on it: try again later, look for
//! another backup, or ask a person.

use std::io;

use super::error::RestoreError;
use super::generations::Problem;
use super::plan::PlanError;
use crate::storage::StorageError;

/// The kinds of failure that ask for different things. Where several replicas fail, the greatest counts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Class {
    /// There is nothing to restore: an empty replica, or nothing old enough.
    NoBackup,
    /// The replica has files, but none from the time that was asked for.
    NoSuchTime,
    /// Files of the replica are damaged or missing; another replica or state may do.
    Damaged,
    /// Anything else: the storage refuses, the disk is full, the output is in the way.
    Other,
    /// The storage could not be reached, which may be otherwise in a minute.
    Unreachable,
}

impl RestoreError {
    /// Which kind it is of.
    pub fn class(&self) -> Class {
        use RestoreError::{
            Damaged, Gap, Integrity, MissingPage, NameDiffers, NoOtherWay, NoSnapshot,
            NothingPlanned, OtherDatabase, PageSizeDiffers, Storage, Unreadable, Unsound,
        };
        match self {
            Storage(error) | Unreadable { error, .. } if is_unreachable(error) => {
                Class::Unreachable
            }
            // A file that listings promise again and again.
            Storage(StorageError::NotFound { .. })
            | Unreadable {
                error: StorageError::NotFound { .. },
                ..
            } => Class::Damaged,
            NoOtherWay { cause, .. } => cause.class(),
            RestoreError::Plan(PlanError::OutsideWindow { .. }) => Class::NoSuchTime,
            RestoreError::Plan(PlanError::Gap { .. }) => Class::Damaged,
            error if error.is_not_available() => Class::NoBackup,
            RestoreError::Generation(fault) if fault.problem == Problem::Encrypted => Class::Other,
            RestoreError::Generation(_)
            | Damaged { .. }
            | NameDiffers { .. }
            | PageSizeDiffers { .. }
            | Gap { .. }
            | NoSnapshot { .. }
            | NothingPlanned
            | MissingPage { .. }
            | OtherDatabase { .. }
            | Integrity { .. }
            | Unsound { .. } => Class::Damaged,
            _ => Class::Other,
        }
    }
}

/// Whether it is only that the storage cannot be reached now: no network, no name, no connection, no answer, a server
/// that is busy or broken for the moment; of a directory, that the server it is mounted from does not answer.
pub fn is_unreachable(error: &StorageError) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkDown,
        NetworkUnreachable, NotConnected, StaleNetworkFileHandle, TimedOut,
    };
    match error {
        StorageError::Unreachable { .. } => true,
        StorageError::Io { source, .. } => matches!(
            source.kind(),
            ConnectionAborted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | NetworkDown
                | NetworkUnreachable
                | NotConnected
                | StaleNetworkFileHandle
                | TimedOut
        ),
        _ => false,
    }
}
