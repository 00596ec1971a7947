//! What a server's refusals mean. Version 3 knows few codes, and OpenSSH says `Failure` to a full disk, a quota and a
//! read-only file system alike; then the file system is asked about. Codes of later versions are used by some servers
//! all the same.

use std::io;

use rustix::io::Errno;

use super::packet::{Answer, Fields, Packet, Status};
use super::session::{Calls, Failure};
use crate::storage::StorageError;

pub(super) const END_OF_FILE: u32 = 1;
pub(super) const NO_SUCH_FILE: u32 = 2;
pub(super) const FAILURE: u32 = 4;
const PERMISSION_DENIED: u32 = 3;
const NO_CONNECTION: u32 = 6;
const CONNECTION_LOST: u32 = 7;
const UNSUPPORTED: u32 = 8;
const NO_SUCH_PATH: u32 = 10;
const WRITE_PROTECT: u32 = 12;
const NO_SPACE: u32 = 14;
const QUOTA_EXCEEDED: u32 = 15;

/// Whether the server says that there is no such file.
pub(super) fn is_missing(failure: &Failure) -> bool {
    matches!(failure, Failure::Status(status) if matches!(status.code, NO_SUCH_FILE | NO_SUCH_PATH))
}

/// The error for a failed operation on what is at `location`. `sent` tells that the last request may take effect.
pub(super) fn error(
    operation: &'static str,
    location: String,
    failure: Failure,
    sent: bool,
) -> StorageError {
    let unreachable = |text: String, sent| StorageError::Unreachable {
        operation,
        location: location.clone(),
        source: io::Error::other(text),
        sent,
    };
    let status = match failure {
        Failure::Status(status) => status,
        Failure::Refused(reason) => {
            return StorageError::Refused {
                operation,
                location,
                reason,
            };
        }
        Failure::Unreachable(text) => return unreachable(text, false),
        Failure::Over(end) => {
            let complaint = super::diagnosis::last_line(&end.complaint);
            let text = match complaint.is_empty() {
                true => end.seen,
                false => format!("{}: {complaint}", end.seen),
            };
            return unreachable(format!("the connection is lost ({text})"), sent);
        }
    };
    let source = match status.code {
        NO_SUCH_FILE | NO_SUCH_PATH if operation == "read" => {
            return StorageError::NotFound { location };
        }
        NO_CONNECTION | CONNECTION_LOST => {
            return unreachable("the server has lost its connection".to_owned(), sent);
        }
        NO_SUCH_FILE | NO_SUCH_PATH => Errno::NOENT.into(),
        PERMISSION_DENIED => Errno::ACCESS.into(),
        WRITE_PROTECT => Errno::ROFS.into(),
        NO_SPACE => Errno::NOSPC.into(),
        QUOTA_EXCEEDED => Errno::DQUOT.into(),
        UNSUPPORTED => io::Error::other("the server cannot do this"),
        FAILURE => io::Error::other(format!(
            "the server does not say why ({:?}); what is stored already is safe: look for an exhausted quota, a full \
             disk or something in the way there",
            status.message
        )),
        code => io::Error::other(format!("the server says {:?} ({code})", status.message)),
    };
    StorageError::Io {
        operation,
        location,
        source,
    }
}

/// The same failure, told more exactly by what the server knows of the file system that `path` is on.
pub(super) fn explained(calls: &Calls, path: &str, failure: Failure) -> Failure {
    const STATVFS: &str = "statvfs@openssh.com";
    let Failure::Status(status) = &failure else {
        return failure;
    };
    if status.code != FAILURE || !calls.session.offers(STATVFS) {
        return failure;
    }
    let answer = calls.ask(Packet::extended(STATVFS).string(path.as_bytes()));
    let Ok(Answer::Extended(bytes)) = answer else {
        return failure;
    };
    match why(&bytes) {
        Some(code) => Failure::Status(Status {
            code,
            ..status.clone()
        }),
        None => failure,
    }
}

/// What is wrong with the file system that is described like this: eleven numbers, as those of `statvfs`.
fn why(bytes: &[u8]) -> Option<u32> {
    const READ_ONLY: u64 = 1;
    let mut fields = Fields(bytes);
    let mut numbers = [0; 11];
    for number in &mut numbers {
        *number = fields.long().ok()?;
    }
    let [
        _,
        fragment,
        _,
        _,
        available,
        files,
        _,
        free_files,
        _,
        flags,
        _,
    ] = numbers;
    if flags & READ_ONLY != 0 {
        return Some(WRITE_PROTECT);
    }
    // The last blocks often do not hold one file more.
    let no_bytes = available.saturating_mul(fragment) < 64 << 10;
    (no_bytes || (files > 0 && free_files == 0)).then_some(NO_SPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_and_read_only_file_systems_are_known() {
        let describe = |available: u64, free_files: u64, flags: u64| {
            let numbers = [
                4096, 4096, 1000, 900, available, 50, 0, free_files, 1, flags, 255,
            ];
            let bytes: Vec<u8> = numbers.iter().flat_map(|n: &u64| n.to_be_bytes()).collect();
            why(&bytes)
        };
        assert_eq!(describe(500, 10, 0), None);
        assert_eq!(describe(3, 10, 0), Some(NO_SPACE));
        assert_eq!(describe(500, 0, 0), Some(NO_SPACE));
        assert_eq!(describe(500, 10, 1), Some(WRITE_PROTECT));
        assert_eq!(why(&[0; 80]), None);
    }

    #[test]
    fn errors_say_what_to_do() {
        let told = |code| {
            let status = Status {
                code,
                message: "Failure".to_owned(),
            };
            error(
                "write",
                "sftp://nas/x".to_owned(),
                Failure::Status(status),
                false,
            )
            .to_string()
        };
        for (code, expected) in [
            (PERMISSION_DENIED, "check owner and mode"),
            (NO_SPACE, "free some space"),
            (QUOTA_EXCEEDED, "free some space"),
            (WRITE_PROTECT, "read-only"),
            (FAILURE, "look for an exhausted quota"),
        ] {
            assert!(told(code).contains(expected), "{}", told(code));
        }
    }
}
