//! Which files a restore reads: decided here from listings alone.
//!
//! What can be reached is what Litestream reaches: the newest eligible snapshot, then files that join or overlap
//! what is reached so far. Among all such chains to the same TXID this takes the one of the fewest bytes, found
//! as a shortest path, where Litestream takes whichever file leads furthest.
//!
//! The base is always the newest eligible snapshot. An older one would often be cheaper, but a history that lost
//! pages between the two (Litestream's can) is healed by the newer snapshot, so only files that carry a proof of
//! the database's content may ever be chained across one.

use std::fmt;

use super::points::{earliest, history, window};
use crate::storage::{FileInfo, FileName};
use crate::units::{Level, Timestamp, Txid, TxidRange};

/// So many files are read, at most, to come back to the state of an older copy.
const BACK_MAX: usize = 64;

/// What to restore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The newest state.
    Latest,
    /// Exactly this TXID.
    Txid(Txid),
    /// The newest state stored strictly before this time, which must lie within what the replica spans.
    Before(Timestamp),
    /// The same, but the time may lie after everything: a database that nobody wrote to since.
    AsOf(Timestamp),
}

/// The files to apply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// Oldest first. The first starts at TXID 1, each continues the one before it. Never empty.
    pub files: Vec<FileInfo>,
    /// From TXID 1 to the one the restored database will have.
    pub txids: TxidRange,
    /// Sum of the files' sizes in bytes.
    pub bytes: u64,
    /// Those that lead back from where the oldest one ends to states before, newest first, for whoever has a copy of
    /// such a state: as far as they take less than half of what the oldest one does.
    pub back: Vec<FileInfo>,
    /// The times of the earliest and the latest state that could be restored, where a time was asked for.
    pub window: Option<(Timestamp, Timestamp)>,
}

/// Chooses the files that lead to `target`. `files` are those of all levels, in any order.
///
/// # Errors
/// When the target cannot be reached. Nothing is ever restored that is not what was asked for: neither another
/// TXID nor, when later files are cut off by a hole, an older state in place of the latest.
pub fn plan(files: &[FileInfo], target: Target) -> Result<Plan, PlanError> {
    if files.is_empty() {
        return Err(PlanError::Empty);
    }
    match target {
        Target::Before(time) => check_window(files, time, None)?,
        Target::AsOf(time) => check_window(files, time, Some(time))?,
        Target::Latest | Target::Txid(_) => (),
    }
    let points = match target {
        Target::Before(_) | Target::AsOf(_) => history(files).points,
        Target::Latest | Target::Txid(_) => Vec::new(),
    };
    let eligible = |file: &&FileInfo| match target {
        Target::Latest => true,
        Target::Txid(txid) => file.name.txids.max() <= txid,
        Target::Before(time) | Target::AsOf(time) => file.created < time,
    };
    let eligible: Vec<FileInfo> = files.iter().filter(eligible).copied().collect();
    let base = base(&eligible);
    let chain = cheapest(&eligible, base).chain();
    let reached = chain.last().map(|file| file.name.txids.max());
    match target {
        Target::Latest => check_rest(&eligible, reached)?,
        Target::Txid(txid) if reached != Some(txid) => {
            return Err(PlanError::TxidUnreachable { txid, reached });
        }
        _ => (),
    }
    let reached = reached.ok_or_else(|| match earliest(&points) {
        Some(earliest) => PlanError::BeforeAll { earliest },
        None => PlanError::NoBase,
    })?;
    Ok(Plan {
        txids: TxidRange::snapshot(reached),
        bytes: sum(&chain),
        back: chain
            .first()
            .map_or_else(Vec::new, |base| back(&eligible, *base, reached)),
        files: chain,
        window: window(&points),
    })
}

/// The cheapest way on from the state at `at`, for a copy that has it: from there to the furthest TXID that files of
/// the levels lead to, and where they lead nowhere, with the newest snapshot. Empty where nothing leads on.
pub(super) fn onward(files: &[FileInfo], at: Txid) -> Vec<FileInfo> {
    let here = FileInfo {
        name: FileName {
            level: Level::SNAPSHOT,
            txids: TxidRange::snapshot(at),
        },
        size: 0,
        created: Timestamp::from_millis(0),
    };
    let mut chain = cheapest(files, Some(here)).chain();
    // Unless there is a file from TXID 1 on, it begins with the state there is.
    chain.retain(|file| *file != here);
    if chain.is_empty() {
        let base = base(files).filter(|base| base.name.txids.max() > at);
        return base.map_or_else(Vec::new, |base| cheapest(files, Some(base)).chain());
    }
    chain
}

/// See [`Plan::back`]; no file has anything beyond `top`.
fn back(eligible: &[FileInfo], base: FileInfo, top: Txid) -> Vec<FileInfo> {
    let mut chain = Vec::new();
    let mut left = base.size / 2;
    let mut at = base.name.txids.max();
    while chain.len() < BACK_MAX {
        // The further back the better: what is merged has no page twice.
        let leads_back = |file: &&FileInfo| {
            let (min, max) = (file.name.txids.min(), file.name.txids.max());
            file.name.level != Level::SNAPSHOT && min <= at && at <= max && max <= top
        };
        let furthest = |file: &&FileInfo| (file.name.txids.min(), file.size);
        let file = eligible.iter().filter(leads_back).min_by_key(furthest);
        let Some(file) = file.filter(|file| file.size <= left) else {
            return chain;
        };
        chain.push(*file);
        left -= file.size;
        match Txid::new(file.name.txids.min().value() - 1) {
            Some(before) => at = before,
            None => return chain,
        }
    }
    chain
}

/// A time outside of what the replica's files span is refused, since it is more likely a mistake (of the time
/// zone, say) than a wish for the latest state. What they span may be widened up to `until`.
fn check_window(
    files: &[FileInfo],
    time: Timestamp,
    until: Option<Timestamp>,
) -> Result<(), PlanError> {
    let times = || files.iter().map(|file| file.created);
    match (times().min(), times().chain(until).max()) {
        (Some(oldest), Some(newest)) if time < oldest || time > newest => {
            Err(PlanError::OutsideWindow {
                time,
                oldest,
                newest,
                earliest: earliest(&history(files).points),
            })
        }
        _ => Ok(()),
    }
}

/// The newest snapshot: that of the highest TXID, whatever its time.
fn base(eligible: &[FileInfo]) -> Option<FileInfo> {
    let is_base = |file: &&FileInfo| file.name.level == Level::SNAPSHOT;
    let whole = |file: &&FileInfo| file.name.txids.is_snapshot();
    eligible.iter().filter(is_base).filter(whole).max().copied()
}

/// The cheapest ways to all TXIDs that can be reached from `base`, up to the furthest.
fn cheapest(eligible: &[FileInfo], base: Option<FileInfo>) -> Search {
    let start = base.map_or(0, |file| file.name.txids.max().value());
    let beyond = |file: &&FileInfo| {
        file.name.level != Level::SNAPSHOT && file.name.txids.max().value() > start
    };
    let mut files: Vec<FileInfo> = eligible.iter().filter(beyond).copied().collect();
    files.sort_unstable_by_key(by_end);
    let mut search = Search::from(base);
    for group in files.chunk_by(|a, b| a.name.txids.max() == b.name.txids.max()) {
        search.advance(group);
    }
    search
}

/// The order in which a [`Search`] takes files.
pub(super) fn by_end(file: &FileInfo) -> (Txid, Txid, FileName) {
    (file.name.txids.max(), file.name.txids.min(), file.name)
}

/// A search for the cheapest ways from one base, for which files come in the order of their ends.
///
/// Positions are the ends of files. The best way to the end of a file is the file itself after the best way to any
/// position from `min - 1` on; all of those end before it, so they are final. The `ways` in question are kept as a
/// stack on which a later end costs more: one that ends later and costs no more replaces all that it beats.
/// O(n log n).
pub(super) struct Search {
    arena: Vec<Way>,
    stack: Vec<usize>,
}

impl Search {
    /// One that starts behind `base`.
    pub(super) fn from(base: Option<FileInfo>) -> Search {
        let start = Way {
            file: base,
            before: None,
            cost: base.map_or((0, 0), |file| (file.size, 1)),
            end: base.map_or(0, |file| file.name.txids.max().value()),
        };
        Search {
            arena: vec![start],
            stack: vec![0],
        }
    }

    /// Takes the files that end at one TXID, beyond all before, and gives the best way there, if it can be reached.
    pub(super) fn advance(&mut self, group: &[FileInfo]) -> Option<&Way> {
        let ways = group.iter().filter_map(|file| self.after(*file));
        let way = ways.min_by_key(|way| way.cost)?;
        while self
            .stack
            .last()
            .is_some_and(|&last| self.arena[last].cost >= way.cost)
        {
            self.stack.pop();
        }
        self.stack.push(self.arena.len());
        self.arena.push(way);
        self.arena.last()
    }

    /// The best way that has `file` as its last, if it can be reached.
    fn after(&self, file: FileInfo) -> Option<Way> {
        // A file from TXID 1 holds every page: whatever came before it would be read for nothing.
        let (before, cost) = if file.name.txids.is_snapshot() {
            (None, (0, 0))
        } else {
            let from = file.name.txids.min().value() - 1;
            let ends_before = |way: &usize| self.arena[*way].end < from;
            let before = *self.stack.get(self.stack.partition_point(ends_before))?;
            (Some(before), self.arena[before].cost)
        };
        Some(Way {
            file: Some(file),
            before,
            cost: (cost.0.saturating_add(file.size), cost.1 + 1),
            end: file.name.txids.max().value(),
        })
    }

    /// The files on the way to the furthest position, which is the last that was found; empty when there is none.
    fn chain(&self) -> Vec<FileInfo> {
        let mut files = Vec::new();
        let mut at = self.arena.len().checked_sub(1);
        while let Some(way) = at.map(|index| &self.arena[index]) {
            files.extend(way.file);
            at = way.before;
        }
        files.reverse();
        files
    }
}

/// A way to a position: a file, and how one got to where it can be applied.
pub(super) struct Way {
    /// None for the start of a chain without a base.
    pub(super) file: Option<FileInfo>,
    before: Option<usize>,
    /// Bytes, then number of files.
    pub(super) cost: (u64, u32),
    end: u64,
}

/// Refuses to call a state the latest when there are files beyond it that cannot be reached.
fn check_rest(files: &[FileInfo], reached: Option<Txid>) -> Result<(), PlanError> {
    let end = reached.map_or(0, Txid::value);
    let cut_off = |file: &&FileInfo| {
        file.name.level != Level::SNAPSHOT && file.name.txids.min().value() > end.saturating_add(1)
    };
    let next = files
        .iter()
        .filter(cut_off)
        .map(|file| file.name.txids.min())
        .min();
    next.map_or(Ok(()), |next| Err(PlanError::Gap { reached, next }))
}

fn sum(files: &[FileInfo]) -> u64 {
    files
        .iter()
        .fold(0, |bytes, file| bytes.saturating_add(file.size))
}

/// The target cannot be restored. Nothing was read but listings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PlanError {
    /// The replica has no files.
    Empty,
    /// No file that qualifies holds a whole database.
    NoBase,
    /// No state was stored before the time asked for that could be restored.
    BeforeAll {
        /// The earliest that can be: its TXID and time.
        earliest: (Txid, Timestamp),
    },
    /// The files from `next` on cannot be reached.
    Gap {
        /// The newest TXID that can be restored, if any.
        reached: Option<Txid>,
        /// The first TXID after the hole.
        next: Txid,
    },
    /// No chain of files ends at exactly this TXID.
    TxidUnreachable {
        /// The TXID asked for.
        txid: Txid,
        /// The newest one before it that can be restored, if any.
        reached: Option<Txid>,
    },
    /// The time lies outside of what the replica's files span.
    OutsideWindow {
        /// The time asked for.
        time: Timestamp,
        /// Time of the oldest file.
        oldest: Timestamp,
        /// Time of the newest file.
        newest: Timestamp,
        /// The earliest state that can be restored, if any: its TXID and time.
        earliest: Option<(Txid, Timestamp)>,
    },
}

impl PlanError {
    /// Whether files that came and went during the listing may be why.
    pub(super) fn may_be_of_motion(&self) -> bool {
        use PlanError::{BeforeAll, Gap, NoBase, TxidUnreachable};
        matches!(
            self,
            Gap { .. } | NoBase | BeforeAll { .. } | TxidUnreachable { .. }
        )
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanError::Empty => write!(
                f,
                "no matching backup files available: the replica is empty"
            ),
            PlanError::NoBase => write!(
                f,
                "no matching backup files available: no snapshot, nor any other file from TXID 1, \
                 is old enough"
            ),
            PlanError::BeforeAll {
                earliest: (txid, time),
            } => write!(
                f,
                "no matching backup files available: no state from before then can be restored; the earliest is of \
                 {time}: -txid {txid}"
            ),
            PlanError::Gap { reached, next } => {
                write!(f, "the latest state cannot be restored: ")?;
                match reached {
                    Some(reached) => write!(
                        f,
                        "files are missing between TXID {reached} and {next}; \
                         restore the newest state before the hole with -txid {reached}"
                    ),
                    None => write!(
                        f,
                        "there is no snapshot, and the oldest file starts at TXID {next}"
                    ),
                }
            }
            PlanError::TxidUnreachable { txid, reached } => {
                write!(
                    f,
                    "no matching backup files available: no chain of files ends at TXID {txid}"
                )?;
                match reached {
                    Some(reached) => write!(f, "; the newest before it is -txid {reached}"),
                    None => Ok(()),
                }
            }
            PlanError::OutsideWindow {
                time,
                oldest,
                newest,
                earliest,
            } => {
                write!(
                    f,
                    "timestamp {time} does not exist: the replica's files are from {oldest} to {newest}"
                )?;
                match earliest {
                    Some((txid, of)) if time < oldest => write!(
                        f,
                        "; the earliest state that can be restored is of {of}: -txid {txid}"
                    ),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for PlanError {}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
