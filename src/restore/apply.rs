//! Carries out a plan: reads its files, newest first, and rebuilds the database beside the output.
//!
//! Newest first, because a page that a newer file gave is then never written twice, and because the newest file
//! alone tells how large the database is. One file is open at a time. Every file is read whole and verified, even
//! where all its pages are superseded: what comes out rests on files that are all sound, or nothing comes out.
//!
//! Sound files may still be the wrong ones, or one too few: each is right by itself. Where the newest says what the
//! database is after it (see `ltx::header`), the database that comes out is compared with that, page by page as they
//! pass.

use std::time::Duration;

use super::error::RestoreError;
use super::fetch::{Fetch, storage_error};
use super::image::Image;
use super::output::Side;
use super::plan::Plan;
use crate::ltx::{self, Checksum, Decoder, Header};
use crate::storage::{FileInfo, Storage};

/// How far a restore has come, in bytes of LTX files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Progress {
    /// Read so far.
    pub done: u64,
    /// To read in all.
    pub total: u64,
}

/// Rebuilds the database of `plan` in the file that `begin` makes for a database of so many bytes. That file is
/// complete and verified then, but not synced.
///
/// # Errors
/// When a file cannot be read, is damaged, does not join its neighbour, or a page is in none of them; or when the
/// database is not what the newest file says it is.
pub(super) fn apply<'fs>(
    plan: &Plan,
    storage: &dyn Storage,
    begin: impl FnOnce(u64) -> Result<Side<'fs>, RestoreError>,
    pauses: &[Duration],
    progress: &mut dyn FnMut(Progress),
) -> Result<Side<'fs>, RestoreError> {
    let mut done = 0;
    let mut count = |bytes| {
        done += bytes;
        progress(Progress {
            done,
            total: plan.bytes,
        });
    };
    let mut begin = Some(begin);
    let mut rebuilt: Option<(Side<'fs>, Image)> = None;
    let mut noted: Option<Checksum> = None;
    let mut newer: Option<Header> = None;
    for &file in plan.files.iter().rev() {
        let damaged = |error| unreadable(file, error);
        let input = Fetch::new(storage, file, pauses, &mut count);
        let mut decoder = Decoder::open(input).map_err(damaged)?;
        let header = *decoder.header();
        check_header(file, &header, newer.as_ref())?;
        if let Some(begin) = begin.take() {
            let side = begin(header.commit.bytes(header.page_size))?;
            noted = header.database();
            let image = Image::new(header.page_size, header.commit, noted.is_some());
            rebuilt = Some((side, image));
        }
        if let Some((side, image)) = &mut rebuilt {
            while let Some(page) = decoder.next_page().map_err(damaged)? {
                side.write(|out| image.put(out, page.number(), page.data()))?;
            }
            side.write(|out| image.flush(out))?;
        }
        decoder.finish().map_err(damaged)?;
        newer = Some(header);
    }
    let (Some((side, image)), Some(oldest)) = (rebuilt, newer) else {
        return Err(RestoreError::NothingPlanned);
    };
    if !oldest.txids.is_snapshot() {
        return Err(RestoreError::NoSnapshot {
            oldest: oldest.txids,
        });
    }
    if let Some(page) = image.missing() {
        return Err(RestoreError::MissingPage { page });
    }
    if image.checksum() != noted {
        return Err(RestoreError::OtherDatabase {
            file: plan.files.last().expect("read just now").name,
        });
    }
    Ok(side)
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
    check_header(file, decoder.header(), None)?;
    decoder.finish().map_err(damaged)?;
    Ok(())
}

/// A header must say what the name says, and continue into the file after it: plans are made from names alone.
fn check_header(
    file: FileInfo,
    header: &Header,
    newer: Option<&Header>,
) -> Result<(), RestoreError> {
    if header.txids != file.name.txids {
        return Err(RestoreError::NameDiffers {
            file: file.name,
            header: header.txids,
        });
    }
    let Some(newer) = newer else {
        return Ok(());
    };
    if newer.page_size != header.page_size {
        return Err(RestoreError::PageSizeDiffers {
            file: file.name,
            page_size: header.page_size,
            newer: newer.page_size,
        });
    }
    if !newer.txids.continues(Some(header.txids.max())) {
        return Err(RestoreError::Gap {
            after: header.txids,
            next: newer.txids,
        });
    }
    Ok(())
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
