//! The times in the LTX headers of files, which listings of S3 do not tell: kept with each object, asked for one by
//! one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::bucket::Bucket;
use super::{get, keys, put};
use crate::storage::{FileInfo, StorageError};
use crate::units::Timestamp;

/// Objects looked at side by side, since each costs a round trip.
const THREADS: usize = 8;
const STACK_BYTES: usize = 256 << 10;

/// The same files with the times in their headers; without those that are gone by now. Objects that nobody gave a time
/// keep that of the listing.
pub(super) fn exact(
    bucket: &Bucket,
    path: &str,
    files: &[FileInfo],
) -> Result<Vec<FileInfo>, StorageError> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Vec::new();
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            match created(bucket, path, file) {
                Ok(created) => found.push(FileInfo { created, ..*file }),
                Err(error) if error.is_not_found() => {}
                Err(error) => {
                    // The others need not go on.
                    next.store(files.len(), Ordering::Relaxed);
                    return Err(error);
                }
            }
        }
        Ok(found)
    };
    let mut exact = thread::scope(|scope| {
        let start = |_| {
            let builder = thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, work)
        };
        let others: Vec<_> = (1..THREADS.min(files.len()))
            .map_while(|number| start(number).ok())
            .collect();
        let mut exact = work()?;
        for other in others {
            match other.join() {
                Ok(found) => exact.extend(found?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, StorageError>(exact)
    })?;
    exact.sort_unstable();
    Ok(exact)
}

fn created(bucket: &Bucket, path: &str, file: &FileInfo) -> Result<Timestamp, StorageError> {
    let head = get::head(bucket, &keys::key(path, file.name))?;
    let time = head.header(put::TIMESTAMP);
    Ok(time
        .and_then(|time| Timestamp::parse(time).ok())
        .unwrap_or(file.created))
}
