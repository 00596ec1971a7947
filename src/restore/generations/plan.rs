//! Which files of Litestream 0.3 a restore reads, and whether it reads those or LTX files: decided from listings alone,
//! as Litestream 0.5 does.
//!
//! The base is the newest snapshot, by the time it was stored, of all generations; to it all WAL of its generation is
//! applied from its index on. Of a time, only what was stored until then counts: the snapshots, and of the segments
//! those up to the first that came later. (Times are those of the listing, so after a replica was copied without them,
//! they are in no order. Leaving out any other segment would make a hole.)

use super::super::error::RestoreError;
use super::super::plan::{PlanError, Target};
use super::{Fault, Problem};
use crate::storage::{FileInfo, GenerationFile, GenerationName, GenerationPart};
use crate::units::Timestamp;

/// The files of Litestream 0.3 to apply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GenerationPlan {
    /// A snapshot, then what is applied to it, in order.
    pub files: Vec<GenerationFile>,
    /// Sum of their sizes in bytes.
    pub bytes: u64,
    /// The file behind them, if it came too late for the time asked for: it has to join them all the same, or what is
    /// missing between may have come early enough.
    pub next: Option<GenerationFile>,
    /// The times of the earliest and the latest state that could be restored.
    pub window: (Timestamp, Timestamp),
}

impl GenerationPlan {
    /// The file that leads to the state. Its time is the state's, as far as that is known.
    pub fn last(&self) -> &GenerationFile {
        self.files.last().expect("there is a snapshot")
    }
}

/// Whether the files of Litestream 0.3 are restored from, and not the LTX files, where both may be there.
pub(super) fn is_chosen(ltx: &[FileInfo], old: &[GenerationFile], target: Target) -> bool {
    let Some(time) = time_of(target) else {
        let newest_ltx = ltx.iter().map(|file| file.created).max();
        let newest = old.iter().map(|file| file.created).max();
        return matches!(target, Target::Latest) && newest > newest_ltx;
    };
    let snapshots = ltx.iter().filter(|file| file.name.txids.is_snapshot());
    let ltx_base = snapshots.map(|file| file.created).filter(|at| *at < time);
    let base = base(old, Some(time), &[]).map(|file| file.created);
    match ltx.is_empty() {
        true => !old.is_empty(),
        false => base > ltx_base.max(),
    }
}

/// Chooses the files that lead to `target`, without the snapshots that are known to be `useless`; `latest` is the time
/// of the newest other file there is.
///
/// # Errors
/// When there are none, or some are missing.
pub(super) fn plan(
    files: &[GenerationFile],
    target: Target,
    latest: Option<Timestamp>,
    useless: &[GenerationName],
) -> Result<GenerationPlan, RestoreError> {
    let time = time_of(target);
    let window = window(files, latest)?;
    check_window(window, target)?;
    let base = base(files, time, useless).ok_or(PlanError::NoBase)?;
    let begin = (base.name.generation, base.name.index);
    let mut segments: Vec<GenerationFile> = files
        .iter()
        .filter(|file| file.name.generation == begin.0 && file.name.index >= begin.1)
        .filter(|file| !file.name.is_snapshot())
        .copied()
        .collect();
    segments.sort_unstable_by_key(|file| file.name);
    // The same segment under two names.
    segments.dedup_by_key(|file| (file.name.index, offset(file)));
    let is_late = |file: &GenerationFile| time.is_some_and(|time| file.created > time);
    let end = segments.iter().position(is_late);
    let next = end.map(|end| segments[end]);
    segments.truncate(end.unwrap_or(segments.len()));
    let mut files = vec![base];
    files.append(&mut segments);
    let last = *files.last().expect("the base");
    // What came after a segment of this very time did not come before it.
    let next = next.filter(|_| last.name.is_snapshot() || time > Some(last.created));
    for pair in files.windows(2) {
        check_joined(pair[0], pair[1])?;
    }
    next.map_or(Ok(()), |next| check_joined(last, next))?;
    Ok(GenerationPlan {
        bytes: files.iter().map(|file| file.size).sum(),
        files,
        next,
        window,
    })
}

/// The snapshot to begin with: of the newest one's generation the last that is of use.
fn base(
    files: &[GenerationFile],
    time: Option<Timestamp>,
    useless: &[GenerationName],
) -> Option<GenerationFile> {
    let old_enough = |file: &GenerationFile| time.is_none_or(|time| file.created <= time);
    let snapshots = files
        .iter()
        .filter(|file| file.name.is_snapshot() && old_enough(file));
    let newest = |file: &&GenerationFile| (file.created, file.name);
    let generation = snapshots.clone().max_by_key(newest)?.name.generation;
    let usable = |file: &&GenerationFile| {
        file.name.generation == generation && !useless.contains(&file.name)
    };
    snapshots.filter(usable).max_by_key(newest).copied()
}

/// The times between which states can be restored.
pub(super) fn window(
    files: &[GenerationFile],
    latest: Option<Timestamp>,
) -> Result<(Timestamp, Timestamp), PlanError> {
    let snapshots = files.iter().filter(|file| file.name.is_snapshot());
    let earliest = snapshots.map(|file| file.created).min();
    let latest = files.iter().map(|file| file.created).chain(latest).max();
    earliest.zip(latest).ok_or(PlanError::NoBase)
}

/// As for LTX files: a time outside of what there is, is more likely a mistake.
fn check_window((oldest, newest): (Timestamp, Timestamp), target: Target) -> Result<(), PlanError> {
    match target {
        Target::Before(time) | Target::AsOf(time)
            if time < oldest || time > newest && matches!(target, Target::Before(_)) =>
        {
            Err(PlanError::OutsideWindow {
                time,
                oldest,
                newest,
                earliest: None,
            })
        }
        _ => Ok(()),
    }
}

/// The WAL of every index must be there from its beginning. Where a segment ends is only known when it is read.
fn check_joined(before: GenerationFile, file: GenerationFile) -> Result<(), RestoreError> {
    let next = match before.name.is_snapshot() {
        true => before.name.index,
        false => before.name.index.saturating_add(1),
    };
    if goes_on(before, file) || (file.name.index, offset(&file)) == (next, 0) {
        return Ok(());
    }
    Err(missing(before, file, next, 0))
}

/// Whether both are of one WAL.
pub(super) fn goes_on(before: GenerationFile, file: GenerationFile) -> bool {
    !before.name.is_snapshot() && file.name.index == before.name.index
}

/// The error that between two files WAL is missing, from this place on.
pub(super) fn missing(
    before: GenerationFile,
    file: GenerationFile,
    index: u32,
    offset: u64,
) -> RestoreError {
    fault(Some(before), file, Problem::Missing { index, offset })
}

/// The error that `file`, which comes after another, is of no use.
pub(super) fn fault(
    before: Option<GenerationFile>,
    file: GenerationFile,
    problem: Problem,
) -> RestoreError {
    // Of one time, both would be taken. And whether a snapshot is all there was at its time is not known.
    let before =
        before.filter(|before| !before.name.is_snapshot() && before.created < file.created);
    RestoreError::Generation(Fault {
        file: file.name,
        problem,
        before: before.map(|before| before.created),
    })
}

/// Where a segment begins.
pub(super) fn offset(file: &GenerationFile) -> u64 {
    match file.name.part {
        GenerationPart::Snapshot => 0,
        GenerationPart::Segment { offset, .. } => offset,
    }
}

fn time_of(target: Target) -> Option<Timestamp> {
    match target {
        Target::Before(time) | Target::AsOf(time) => Some(time),
        Target::Latest | Target::Txid(_) => None,
    }
}
