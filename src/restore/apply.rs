//! Carries out a plan: reads its files, newest first, and rebuilds the database beside the output.
//!
//! Newest first, because a page that a newer file gave is then never written twice, and because the newest file
//! alone tells how large the database is. Every file is read whole and verified, even where all its pages are
//! superseded: what comes out rests on files that are all sound, or nothing comes out.
//!
//! Sound files may still be the wrong ones, or one too few: each is right by itself. Where the newest says what the
//! database is after it (see `ltx::header`), the database that comes out is compared with that, page by page as they
//! pass. There less will do: only the parts of a file that are needed (`parts`), and what an older copy of the database
//! has already (`older`). If what comes out is not what it should be then, all is read again, whole.

use std::collections::VecDeque;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use super::ahead::{Ahead, Asked, Fetcher, Stream};
use super::build::{Build, Built};
use super::error::RestoreError;
use super::fetch::{Fetch, Span, storage_error};
use super::output::status;
use super::parts::{Parts, WORTHWHILE};
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
#[derive(Clone, Copy)]
pub(super) struct Job<'a, 'fs> {
    pub(super) plan: &'a Plan,
    pub(super) storage: &'a dyn Storage,
    pub(super) fs: &'fs dyn FileSystem,
    pub(super) output: &'a Path,
    /// How long to wait before each new attempt to go on with a file.
    pub(super) pauses: &'a [Duration],
    /// After how many bytes it is noted how far it has come.
    pub(super) note_every: u64,
    /// How many requests at a time.
    pub(super) parallelism: usize,
    /// Every file is read whole, needed or not.
    pub(super) reads_all: bool,
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
) -> Result<Built<'fs>, RestoreError> {
    if let Some(built) = attempt(job, progress)? {
        return Ok(built);
    }
    log::warn!("what was read in parts is not what it should be: reading all of it");
    let whole = Job {
        reads_all: true,
        ..*job
    };
    attempt(&whole, progress)?.ok_or(RestoreError::NothingPlanned)
}

/// None where only files read whole can tell what is wrong.
fn attempt<'fs>(
    job: &Job<'_, 'fs>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Built<'fs>>, RestoreError> {
    let mut build = Build::left_by_another(job);
    let ahead = Ahead::new(job.storage, job.pauses, job.parallelism, job.plan.bytes);
    let result = ahead.run(|fetcher| fill(job, fetcher, &mut build, progress));
    match (result, build) {
        (Ok(Filled::Whole), Some(build)) => build.finish(job.plan),
        (Ok(Filled::Whole), None) => Err(RestoreError::NothingPlanned),
        (Ok(Filled::Doubtful), _) => Ok(None),
        (Err(error), build) => {
            if let Some(build) = build.filter(|_| error.class() == super::Class::Unreachable) {
                build.leave();
            }
            Err(error)
        }
    }
}

/// What there is when nothing more is to be read.
enum Filled {
    Whole,
    /// It rests on something that is damaged.
    Doubtful,
}

fn fill<'fs>(
    job: &Job<'_, 'fs>,
    fetcher: &Fetcher<'_, '_, '_>,
    build: &mut Option<Build<'fs>>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Filled, RestoreError> {
    let total = job.plan.bytes;
    let mut done = build.as_mut().map_or(0, |build| build.spare(job.plan));
    let mut count = |bytes| {
        done += bytes;
        progress(Progress { done, total });
    };
    if let Some(build) = build {
        put_over(job, fetcher, build, &mut count)?;
        build.rely_on_checksum(job)?;
    }
    let is_left = |file: &FileInfo| !build.as_ref().is_some_and(|build| build.holds(*file));
    let files: Vec<FileInfo> = job
        .plan
        .files
        .iter()
        .rev()
        .copied()
        .filter(is_left)
        .collect();
    let mut queue = Queue::new(job, &files);
    let mut newer: Option<Header> = None;
    while let Some(file) = queue.first() {
        if let Some(build) = build {
            if build.complete_from_older()? {
                return Ok(Filled::Whole);
            }
            let is_base = job.plan.files.first() == Some(&file);
            if is_base
                && build.has_older()
                && !build.has_begun(file)
                && let Some(filled) = walk_back(job, fetcher, build, &mut count)?
            {
                return Ok(filled);
            }
            if !queue.is_asked()
                && let Some(parts) = Parts::choose(job, file, build)?
            {
                check_header(
                    file,
                    parts.header(),
                    newer.as_ref(),
                    Some(build.page_size()),
                )?;
                build.take_bookmark();
                build.patch();
                parts.take(fetcher, build, job.note_every, &mut count)?;
                build.count(parts.bytes());
                newer = Some(*parts.header());
                queue.advance();
                continue;
            }
        }
        let bookmark = build.as_mut().and_then(Build::take_bookmark);
        let from = bookmark.as_ref().map_or(0, Bookmark::offset);
        let asked = queue.take(file, from, fetcher);
        let input = fetcher.stream(asked, &mut count);
        let decoder = open(file, bookmark.as_ref(), input)?;
        let header = *decoder.header();
        let page_size = build.as_ref().map(Build::page_size);
        check_header(file, &header, newer.as_ref(), page_size)?;
        let build = match build {
            Some(build) => build,
            None => {
                let build = build.insert(Build::begin(job, &header)?);
                build.rely_on_checksum(job)?;
                if build.complete_from_older()? {
                    return Ok(Filled::Whole);
                }
                build
            }
        };
        take_pages(build, file, decoder, job.note_every)?;
        build.count(file.size);
        newer = Some(header);
    }
    Ok(Filled::Whole)
}

/// The files to be read, in order, and how far ahead they were asked for.
struct Queue<'a> {
    files: &'a [FileInfo],
    asked: VecDeque<Asked>,
    /// It is sure that files smaller than this are read, and whole.
    sure_below: u64,
}

impl<'a> Queue<'a> {
    fn new(job: &Job<'_, '_>, files: &'a [FileInfo]) -> Queue<'a> {
        // What there is at the output may be an older copy.
        let there = status(job.fs, job.output).ok().flatten();
        let sure_below = match there.is_some_and(|there| there.size > 0) {
            _ if job.reads_all => u64::MAX,
            true => 0,
            false => WORTHWHILE,
        };
        Queue {
            files,
            asked: VecDeque::new(),
            sure_below,
        }
    }

    /// The next file.
    fn first(&self) -> Option<FileInfo> {
        self.files.first().copied()
    }

    /// Whether it was asked for, whole.
    fn is_asked(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Goes on behind it.
    fn advance(&mut self) {
        self.files = self.files.get(1..).unwrap_or_default();
    }

    /// Takes the next file, `file`, from byte `from` on, and asks for those behind it.
    fn take(&mut self, file: FileInfo, from: u64, fetcher: &Fetcher<'_, '_, '_>) -> Asked {
        let asked = self.asked.pop_front();
        let asked = asked.unwrap_or_else(|| fetcher.ask(Span::rest(file, from)));
        self.advance();
        let behind = self.files.iter().skip(self.asked.len());
        for file in behind.take_while(|file| file.size < self.sure_below) {
            self.asked.push_back(fetcher.ask(Span::rest(*file, 0)));
        }
        asked
    }
}

/// Reads on in files that lead back from the oldest one of the plan, as far as that costs less than half of it. Gives
/// how that ended, if an older copy has the rest or one of them cannot be used.
fn walk_back(
    job: &Job<'_, '_>,
    fetcher: &Fetcher<'_, '_, '_>,
    build: &mut Build<'_>,
    count: &mut dyn FnMut(u64),
) -> Result<Option<Filled>, RestoreError> {
    build.patch();
    for &file in &job.plan.back {
        let taken = take_whole(fetcher, build, file, count);
        match taken.and_then(|()| build.complete_from_older()) {
            Ok(true) => return Ok(Some(Filled::Whole)),
            Ok(false) => {}
            Err(error) if error.class() == super::Class::Unreachable => return Err(error),
            Err(error) => {
                log::warn!("{error}");
                return Ok(Some(Filled::Doubtful));
            }
        }
    }
    Ok(None)
}

/// Puts a whole file of those into the build.
fn take_whole(
    fetcher: &Fetcher<'_, '_, '_>,
    build: &mut Build<'_>,
    file: FileInfo,
    count: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let asked = fetcher.ask(Span::rest(file, 0));
    let decoder = open(file, None, fetcher.stream(asked, count))?;
    check_header(file, decoder.header(), None, Some(build.page_size()))?;
    take_pages(build, file, decoder, u64::MAX)?;
    build.count(file.size);
    Ok(())
}

/// Puts the files that are newer than what is there over it.
fn put_over(
    job: &Job<'_, '_>,
    fetcher: &Fetcher<'_, '_, '_>,
    build: &mut Build<'_>,
    count: &mut dyn FnMut(u64),
) -> Result<(), RestoreError> {
    let top = build.top();
    let beyond = |file: &&FileInfo| file.name.txids.max() > top;
    let files: Vec<FileInfo> = job
        .plan
        .files
        .iter()
        .rev()
        .filter(beyond)
        .copied()
        .collect();
    let asked = files.iter().map(|file| fetcher.ask(Span::rest(*file, 0)));
    let mut newer: Option<Header> = None;
    for (file, asked) in files.iter().zip(asked.collect::<Vec<_>>()) {
        let decoder = open(*file, None, fetcher.stream(asked, count))?;
        let header = *decoder.header();
        check_header(*file, &header, newer.as_ref(), Some(build.page_size()))?;
        if newer.is_none() {
            build.begin_over(&header)?;
        }
        take_pages(build, *file, decoder, u64::MAX)?;
        build.count(file.size);
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
    mut decoder: Decoder<Stream<'_, '_, '_>>,
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

fn open<R: Read>(
    file: FileInfo,
    bookmark: Option<&Bookmark>,
    input: R,
) -> Result<Decoder<R>, RestoreError> {
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
    let input = Fetch::new(storage, Span::rest(file, 0), pauses);
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

pub(super) fn unreadable(file: FileInfo, error: ltx::Error) -> RestoreError {
    match error {
        ltx::Error::Io(error) => RestoreError::Unreadable {
            file: file.name,
            error: storage_error(error, file),
        },
        ltx::Error::Invalid(fault) => RestoreError::Damaged {
            file: file.name,
            fault,
        },
    }
}
