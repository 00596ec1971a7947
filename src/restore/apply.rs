//! Carries out a plan: reads its files, newest first, and rebuilds the database beside the output.
//!
//! Newest first, because a page that a newer file gave is then never written twice, and because the newest file
//! alone tells how large the database is. One file is open at a time. Every file is read whole and verified, even
//! where all its pages are superseded: what comes out rests on files that are all sound, or nothing comes out.
//!
//! Sound files may still be the wrong ones, or one too few: each is right by itself. Where the newest says what the
//! database is after it (see `ltx::header`), the database that comes out is compared with that, page by page as they
//! pass.

use std::path::Path;
use std::time::Duration;

use super::build::Build;
use super::error::RestoreError;
use super::fetch::{Fetch, storage_error};
use super::output::Side;
use super::plan::Plan;
use crate::ltx::{self, Bookmark, Decoder, Header};
use crate::storage::{FileInfo, Storage};
use crate::sys::fs::FileSystem;
use crate::units::PageSize;

/// How far a restore has come, in bytes of LTX files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Read so far, by this restore or by one that it goes on with.
    pub done: u64,
    /// To read in all.
    pub total: u64,
}

/// What is to be done.
pub(super) struct Job<'a, 'fs> {
    pub(super) plan: &'a Plan,
    pub(super) storage: &'a dyn Storage,
    pub(super) fs: &'fs dyn FileSystem,
    pub(super) output: &'a Path,
    /// How long to wait before each new attempt to go on with a file.
    pub(super) pauses: &'a [Duration],
    /// After how many bytes it is noted how far it has come.
    pub(super) note_every: u64,
}

/// Rebuilds the database of the plan in a file beside the output. That file is complete and verified then, but not
/// synced.
///
/// # Errors
/// When a file cannot be read, is damaged, does not join its neighbour, or a page is in none of them; or when the
/// database is not what the newest file says it is. Where the storage could not be reached, what there is may be kept.
pub(super) fn apply<'fs>(
    job: &Job<'_, 'fs>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Side<'fs>, RestoreError> {
    let mut build = Build::left_by_another(job);
    let result = fill(job, &mut build, progress);
    match (result, build) {
        (Ok(()), Some(build)) => build.finish(job.plan),
        (Ok(()), None) => Err(RestoreError::NothingPlanned),
        (Err(error), build) => {
            if let Some(build) = build.filter(|_| error.class() == super::Class::Unreachable) {
                build.leave();
            }
            Err(error)
        }
    }
}

fn fill<'fs>(
    job: &Job<'_, 'fs>,
    build: &mut Option<Build<'fs>>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), RestoreError> {
    let total = job.plan.bytes;
    let mut done = build.as_ref().map_or(0, |build| build.spared(job.plan));
    let mut count = |bytes| {
        done += bytes;
        progress(Progress { done, total });
    };
    if let Some(build) = build {
        put_over(job, build, &mut count)?;
    }
    let mut newer: Option<Header> = None;
    for &file in job.plan.files.iter().rev() {
        if build.as_ref().is_some_and(|build| build.holds(file)) {
            continue;
        }
        let bookmark = build.as_mut().and_then(Build::take_bookmark);
        let decoder = open(job, file, bookmark.as_ref(), &mut count)?;
        let header = *decoder.header();
        let page_size = build.as_ref().map(Build::page_size);
        check_header(file, &header, newer.as_ref(), page_size)?;
        let build = match build {
            Some(build) => build,
            None => build.insert(Build::begin(job, &header)?),
        };
        take_pages(build, file, decoder, job.note_every)?;
        newer = Some(header);
    }
    Ok(())
}

/// Puts the files that are newer than what is there over it.
fn put_over(
    job: &Job<'_, '_>,
    build: &mut Build<'_>,
    count: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let top = build.top();
    let beyond = |file: &&FileInfo| file.name.txids.max() > top;
    let mut newer: Option<Header> = None;
    for &file in job.plan.files.iter().filter(beyond).rev() {
        let decoder = open(job, file, None, count)?;
        let header = *decoder.header();
        check_header(file, &header, newer.as_ref(), Some(build.page_size()))?;
        if newer.is_none() {
            build.begin_over(&header)?;
        }
        take_pages(build, file, decoder, u64::MAX)?;
        newer = Some(header);
    }
    match newer {
        Some(_) => build.end_over(),
        None => Ok(()),
    }
}

/// Puts what is left of a file into the build, and verifies all of it. How far it has come is noted each `note_every`
/// bytes.
fn take_pages(
    build: &mut Build<'_>,
    file: FileInfo,
    mut decoder: Decoder<Fetch<'_>>,
    note_every: u64,
) -> Result<(), RestoreError> {
    let damaged = |error| unreadable(file, error);
    let mut at = decoder.position();
    while let Some(page) = decoder.next_page().map_err(damaged)? {
        build.put(page.number(), page.data())?;
        if build.is_note_due(decoder.position() - at, note_every) {
            build.note((file, decoder.bookmark()))?;
        }
        at = decoder.position();
    }
    build.flush()?;
    decoder.finish().map_err(damaged)?;
    Ok(())
}

fn open<'a>(
    job: &Job<'a, '_>,
    file: FileInfo,
    bookmark: Option<&Bookmark>,
    count: &'a mut dyn FnMut(u64),
) -> Result<Decoder<Fetch<'a>>, RestoreError> {
    let from = bookmark.map_or(0, Bookmark::offset);
    let input = Fetch::new(job.storage, file, job.pauses, count).from(from);
    match bookmark {
        Some(bookmark) => Ok(Decoder::resume(bookmark, input)),
        None => Decoder::open(input).map_err(|error| unreadable(file, error)),
    }
}

/// Reads a file whole, for its faults only.
///
/// # Errors
/// When it cannot be read or is damaged.
pub(super) fn check_file(
    storage: &dyn Storage,
    file: FileInfo,
    pauses: &[Duration],
) -> Result<(), RestoreError> {
    let damaged = |error| unreadable(file, error);
    let mut ignored = |_| ();
    let input = Fetch::new(storage, file, pauses, &mut ignored);
    let decoder = Decoder::open(input).map_err(damaged)?;
    check_header(file, decoder.header(), None, None)?;
    decoder.finish().map_err(damaged)?;
    Ok(())
}

/// A header must say what the name says, have pages of the size that the others have, and continue into the file after
/// it: plans are made from names alone.
fn check_header(
    file: FileInfo,
    header: &Header,
    newer: Option<&Header>,
    page_size: Option<PageSize>,
) -> Result<(), RestoreError> {
    if header.txids != file.name.txids {
        return Err(RestoreError::NameDiffers {
            file: file.name,
            header: header.txids,
        });
    }
    if let Some(newer) = page_size.filter(|size| *size != header.page_size) {
        return Err(RestoreError::PageSizeDiffers {
            file: file.name,
            page_size: header.page_size,
            newer,
        });
    }
    match newer {
        Some(newer) if !newer.txids.continues(Some(header.txids.max())) => Err(RestoreError::Gap {
            after: header.txids,
            next: newer.txids,
        }),
        _ => Ok(()),
    }
}

fn unreadable(file: FileInfo, error: ltx::Error) -> RestoreError {
    match error {
        ltx::Error::Io(error) => RestoreError::Storage(storage_error(error, file)),
        ltx::Error::Invalid(fault) => RestoreError::Damaged {
            file: file.name,
            fault,
        },
    }
}
