//! Restores from what Litestream 0.3 left: snapshots of the whole database and the WAL, in generations.
//!
//! The snapshot is written to the new file as it comes, then the WAL's frames over it, in their order, and after each
//! WAL the file gets the size that its last commit says: what SQLite does in a checkpoint. It is done here and not by
//! SQLite, which would have to be given each WAL whole, as a file beside the new one that takes as much of the disk
//! again; which takes the first frame that is not right for the end of the WAL, and goes on without a word; and which
//! would have to open a database that nothing has verified yet. It costs a reader of WAL streams
//! ([`crate::sqlite::WalStream`]). In memory are a page and two LZ4 blocks, of 4 MiB at most.
//!
//! What is verified: the checksum of each file; the salts and checksum of each frame, whose chain is that of one WAL
//! of SQLite's own making, so that no frame is missing in it; that each WAL ends with a commit; and that its first
//! salt is one more than that of the WAL before, as SQLite counts them, so that none is missing between. What cannot be
//! seen is whether a snapshot is of its index, and whether the last segments of a WAL are missing where the next one
//! follows. So SQLite has a look at the result, unless it is told not to.

mod plan;
mod read;

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

pub use self::plan::GenerationPlan;
use self::read::{ReadError, read};
use super::apply::Progress;
use super::error::RestoreError;
use super::output::{Published, Side};
use super::plan::Target;
use super::{Integrity, Options, Outcome, integrity};
use crate::sqlite::{Succession, WalStart, WalStream};
use crate::storage::{GenerationFile, GenerationName, Storage};
use crate::sys::fs::FileSystem;
use crate::units::{PageCount, PageSize, Timestamp};

/// No LZ4 block gives more than so many times its bytes.
const RATIO_MAX: u64 = 256;

/// What is wrong with files of Litestream 0.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The file at which it shows.
    pub file: GenerationName,
    /// What it is.
    pub problem: Problem,
    /// The time of the last state before it, where that can be restored.
    pub before: Option<Timestamp>,
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Problem {
    /// It is damaged, and this is what is wrong with it.
    Damaged(&'static str),
    /// What should be in front of it is not there.
    Missing {
        /// From this WAL on.
        index: u32,
        /// From this byte of it on.
        offset: u64,
    },
    /// It is encrypted.
    Encrypted,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file;
        match self.problem {
            Problem::Damaged(problem) => write!(f, "{file} is damaged: {problem}")?,
            Problem::Missing { index, offset } => write!(
                f,
                "{file} does not join what is before it: of the WAL of index {index:08x}, what begins at byte \
                 {offset:08x} is missing"
            )?,
            Problem::Encrypted => {
                return write!(
                    f,
                    "{file} is encrypted with age, which only Litestream 0.3 can read: restore it with Litestream 0.3 \
                     and the identity it was given"
                );
            }
        }
        write!(f, "; nothing was restored")?;
        match self.before {
            Some(time) => write!(f, ". The newest state before it: -timestamp {time}"),
            None => Ok(()),
        }
    }
}

/// What was restored from files of Litestream 0.3.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GenerationReport {
    /// The file that leads to the state, with the time it was stored.
    pub last: GenerationFile,
    /// The times of the earliest and the latest state that could be restored.
    pub window: (Timestamp, Timestamp),
    /// How many files were read.
    pub files: usize,
    /// Their sizes in bytes.
    pub bytes: u64,
    /// How it was checked by SQLite.
    pub integrity: Integrity,
    /// How long it took.
    pub duration: Duration,
}

/// The plan to restore `target` from files of Litestream 0.3; none where LTX files are restored from, because there are
/// no others or because they are newer.
///
/// # Errors
/// When the replica cannot be listed, or files of Litestream 0.3 do not lead to `target`.
pub(super) fn plan_from(
    storage: &dyn Storage,
    target: Target,
) -> Result<Option<GenerationPlan>, RestoreError> {
    plan_without(storage, target, &[])
}

fn plan_without(
    storage: &dyn Storage,
    target: Target,
    useless: &[GenerationName],
) -> Result<Option<GenerationPlan>, RestoreError> {
    let old = match target {
        // Only LTX files have one.
        Target::Txid(_) => return Ok(None),
        _ => storage.list_generations()?,
    };
    if old.is_empty() {
        return Ok(None);
    }
    let ltx = storage.list_all()?;
    if !plan::is_chosen(&ltx, &old, target) {
        return Ok(None);
    }
    let latest = ltx.iter().map(|file| file.created).max();
    plan::plan(&old, target, latest, useless).map(Some)
}

/// The times between which states can be restored from files of Litestream 0.3, if there are any.
///
/// # Errors
/// When the replica cannot be listed.
pub(super) fn window(
    storage: &dyn Storage,
) -> Result<Option<(Timestamp, Timestamp)>, RestoreError> {
    let old = storage.list_generations()?;
    Ok(plan::window(&old, None).ok())
}

/// Carries out `plan`. Where its snapshot is of no use, an older one of the generation leads to the same state.
pub(super) fn carry_out(
    mut plan: GenerationPlan,
    storage: &dyn Storage,
    target: Target,
    output: &Path,
    options: &Options,
    start: Instant,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    let mut useless = Vec::new();
    loop {
        let error = match run(&plan, storage, output, options, start, progress) {
            Err(error) => error,
            ended => return ended,
        };
        let base = plan.files[0].name;
        if !matches!(&error, RestoreError::Generation(fault) if fault.file == base) {
            return Err(error);
        }
        useless.push(base);
        match plan_without(storage, target, &useless) {
            Ok(Some(other)) if other.last().name == plan.last().name => plan = other,
            _ => return Err(error),
        }
        log::warn!("{error}; going on from the snapshot before it");
    }
}

/// Carries out `plan` as it is.
///
/// # Errors
/// See [`RestoreError`]: the output is then what it was before.
pub(super) fn run(
    plan: &GenerationPlan,
    storage: &dyn Storage,
    output: &Path,
    options: &Options,
    start: Instant,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    let side = build(plan, storage, output, options, progress)?;
    let how = match options.integrity {
        Integrity::AsNeeded => Integrity::Quick,
        how => how,
    };
    integrity::check(side.path(), how).map_err(|finding| RestoreError::Unsound { finding })?;
    Ok(match side.publish(options.existing)? {
        Published::KeptExisting => Outcome::KeptExisting,
        Published::New => Outcome::RestoredGeneration(GenerationReport {
            last: *plan.last(),
            window: plan.window,
            files: plan.files.len(),
            bytes: plan.bytes,
            integrity: how,
            duration: start.elapsed(),
        }),
    })
}

/// Rebuilds the database of `plan` in a file beside the output, complete and verified, but not synced.
fn build<'fs>(
    plan: &GenerationPlan,
    storage: &dyn Storage,
    output: &Path,
    options: &'fs Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Side<'fs>, RestoreError> {
    let (total, mut done) = (plan.bytes, 0);
    let mut count = |bytes| {
        done += bytes;
        progress(Progress { done, total });
    };
    let base = plan.files[0];
    let mut begun = Begun {
        fs: &*options.files,
        output,
        size_max: base.size.saturating_mul(RATIO_MAX),
        side: None,
        size: 0,
    };
    read(storage, base, &options.pauses, &mut count, &mut |block| {
        begun.append(block)
    })
    .and_then(|()| begun.check_end())
    .map_err(|error| told(error, None, base))?;
    let Some((mut side, page_size)) = begun.side else {
        return Err(RestoreError::NothingPlanned);
    };
    let (mut wal, mut start_before) = (WalStream::new(page_size), None);
    for (at, &file) in plan.files.iter().enumerate().skip(1) {
        let before = plan.files[at - 1];
        let failed = |error| told(error, Some(before), file);
        if plan::offset(&file) == 0 {
            wal = WalStream::new(page_size);
        }
        read(storage, file, &options.pauses, &mut count, &mut |block| {
            let mut block = block;
            while let Some((page, data)) = wal.next_page(&mut block)? {
                side.write(|out| out.write_all_at(data, page.offset(page_size)))?;
            }
            Ok(())
        })
        .map_err(failed)?;
        let next = plan.files.get(at + 1).or(plan.next.as_ref());
        if let Some(&next) = next.filter(|next| plan::goes_on(file, **next)) {
            if plan::offset(&next) != wal.position() {
                let (index, offset) = (file.name.index, wal.position());
                return Err(plan::missing(file, next, index, offset));
            }
            if at + 1 < plan.files.len() {
                continue;
            }
        }
        let commit = wal.end().map_err(|problem| failed(problem.into()))?;
        let start = wal.start();
        check_order(start_before, start, file).map_err(failed)?;
        start_before = start;
        if let Some(commit) = commit {
            side.write(|out| out.set_len(commit.bytes(page_size)))?;
        }
    }
    Ok(side)
}

/// A WAL, of which `file` is the last part, must be the one after that which began as `before`.
fn check_order(
    before: Option<WalStart>,
    start: Option<WalStart>,
    file: GenerationFile,
) -> Result<(), ReadError> {
    match before.zip(start).map(|(before, start)| start.after(before)) {
        Some(Succession::Other) => {
            Err("its WAL is not the one after that before it, as its salts tell".into())
        }
        Some(Succession::Unknown) => {
            log::warn!(
                "{}: nothing in it tells that its WAL is the one after that before it",
                file.name
            );
            Ok(())
        }
        Some(Succession::Next) | None => Ok(()),
    }
}

/// A new database as far as its snapshot has come.
struct Begun<'a, 'fs> {
    fs: &'fs dyn FileSystem,
    output: &'a Path,
    /// The snapshot holds no more bytes than this.
    size_max: u64,
    side: Option<(Side<'fs>, PageSize)>,
    size: u64,
}

impl Begun<'_, '_> {
    fn append(&mut self, block: &[u8]) -> Result<(), ReadError> {
        let side = match &mut self.side {
            Some((side, _)) => side,
            None => {
                let (page_size, size) =
                    header(block).ok_or("it does not begin as a database does")?;
                // A size that cannot be is no reason to complain about the disk.
                let size = if size > self.size_max { 0 } else { size };
                let side = Side::create(self.fs, self.output, size)?;
                &mut self.side.insert((side, page_size)).0
            }
        };
        side.write(|out| out.write_all_at(block, self.size))?;
        self.size += block.len() as u64;
        Ok(())
    }

    fn check_end(&mut self) -> Result<(), ReadError> {
        let Some((side, page_size)) = &mut self.side else {
            return Err("it is empty".into());
        };
        if !self.size.is_multiple_of(page_size.bytes().into()) {
            return Err("it ends within a page".into());
        }
        side.write(|out| out.set_len(self.size))?;
        Ok(())
    }
}

/// What a database's header says of its pages, and of its size in bytes.
fn header(database: &[u8]) -> Option<(PageSize, u64)> {
    let header: &[u8; 100] = database.first_chunk()?;
    if !header.starts_with(b"SQLite format 3\0") {
        return None;
    }
    // 65536 does not fit, and is written as 1.
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        bytes => bytes.into(),
    };
    let page_size = PageSize::new(page_size)?;
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    Some((page_size, PageCount(pages).bytes(page_size)))
}

fn told(error: ReadError, before: Option<GenerationFile>, file: GenerationFile) -> RestoreError {
    match error {
        ReadError::Storage(error) => RestoreError::Storage(error),
        ReadError::Encrypted => plan::fault(None, file, Problem::Encrypted),
        ReadError::Damaged(problem) => plan::fault(before, file, Problem::Damaged(problem)),
        ReadError::Other(error) => error,
    }
}
