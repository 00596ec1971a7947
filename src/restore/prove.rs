//! Proof that a replica can be restored from, without a disk to restore to: a restore that keeps nothing, and, a part
//! at a time, the check of all files there are.
//!
//! The proof of a state is [`super::restore`] itself with its pages going nowhere, so it cannot differ from what a
//! restore would find: each planned file is read whole and verified, they join, no page is missing, and where the
//! newest file says what the database is after it, the pages are that.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::apply::{Progress, check_file};
use super::candidate::{Chosen, choose};
use super::class::Class;
use super::error::RestoreError;
use super::fetch::PAUSES;
use super::nowhere::Nowhere;
use super::plan::{PlanError, Target};
use super::points::Point;
use super::replan::Replans;
use super::{
    Integrity, Options, Outcome, Report, generations, history_of, listed_and_planned, restore, run,
};
use crate::storage::{FileInfo, FileName, Storage};
use crate::units::Txid;

/// So many states are tried before it is given up to find one that is whole.
const TRIED_MAX: usize = 4;

/// Proves that `target` can be restored from `storage`, with the files that a restore takes first. It does not go
/// around damaged ones as a restore does.
///
/// # Errors
/// Those that [`super::restore`] would have.
pub fn prove(
    storage: &dyn Storage,
    target: Target,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    let start = Instant::now();
    let by_names = || Ok(listed_and_planned(storage, target)?.1);
    let mut plan = match choose(storage, target, by_names())? {
        Chosen::Ltx(plan) => plan,
        Chosen::Generation(plan) => {
            let place = Path::new(PLACE);
            return generations::run(&plan, storage, place, &options(), start, progress);
        }
    };
    let mut replans = Replans::new(&PAUSES);
    loop {
        match run(&plan, storage, Path::new(PLACE), &options(), progress) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => plan = replans.after(error, &plan, &by_names)?,
        }
    }
}

/// What is left where something of `target` is damaged.
#[derive(Clone, Copy, Debug)]
pub struct Left {
    /// The newest state up to `target` that a restore gives.
    pub report: Report,
    /// It is the one that was asked for: other files lead there.
    pub is_same: bool,
}

/// The newest state up to `target` that a restore gives, as it goes around damaged files; none where that is not found
/// out by trying a few.
pub fn left(
    storage: &dyn Storage,
    mut target: Target,
    progress: &mut dyn FnMut(Progress),
) -> Option<Left> {
    for tried in 0..TRIED_MAX {
        let found = restore(storage, target, Path::new(PLACE), &options(), progress);
        let next = match found.and_then(restored) {
            Ok(report) => {
                let is_same = tried == 0;
                return Some(Left { report, is_same });
            }
            Err(RestoreError::NoOtherWay { reached, .. }) => reached,
            Err(RestoreError::Plan(PlanError::Gap { reached, .. })) => reached,
            // Which of the files before it is to blame, nobody knows.
            Err(RestoreError::OtherDatabase { file }) => {
                before(&history_of(storage).ok()?.points, file.txids.max())
            }
            Err(_) => None,
        };
        target = Target::Txid(next?);
    }
    None
}

fn before(points: &[Point], txid: Txid) -> Option<Txid> {
    let end = points.partition_point(|point| point.txid() < txid);
    points[..end].last().map(Point::txid)
}

/// Where nothing is kept.
const PLACE: &str = "/nowhere";

fn options() -> Options {
    Options {
        integrity: Integrity::Unchecked,
        note_every: u64::MAX,
        reads_all: true,
        files: Arc::new(Nowhere),
        ..Options::default()
    }
}

fn restored(outcome: Outcome) -> Result<Report, RestoreError> {
    match outcome {
        Outcome::Restored(report) => Ok(report),
        // Of files of Litestream 0.3 the error tells all there is to know; and there never is one to keep.
        Outcome::RestoredGeneration(_) | Outcome::KeptExisting => Err(RestoreError::NothingPlanned),
    }
}

/// One of so many parts of the files of a replica. Which part a file belongs to is told from its name, so that it stays
/// the same however many others come and go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Part {
    number: u64,
    of: u64,
}

impl Part {
    /// Reads `N/M`. Numbers go on beyond M, where the parts begin anew, so that the day of the month or of the year can
    /// be one.
    pub fn parse(text: &str) -> Option<Part> {
        let (number, of) = text.split_once('/')?;
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(number) || !is_number(of) {
            return None;
        }
        let (number, of) = (number.parse().ok()?, of.parse().ok()?);
        (of > 0).then_some(Part { number, of })
    }

    fn has(self, file: FileName) -> bool {
        // FNV-1a, of which the upper half is the better one.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in file.to_string().bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        (hash >> 32) % self.of == self.number % self.of
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = match self.number % self.of {
            0 => self.of,
            number => number,
        };
        write!(f, "{number}/{}", self.of)
    }
}

/// What became of the check of a part.
#[derive(Debug)]
pub struct Checked {
    /// How many files were read whole, and their sizes in bytes.
    pub files: usize,
    /// The same in bytes.
    pub bytes: u64,
    /// How many files the replica has.
    pub of: usize,
    /// The newest state, if the files join as far as that; else why not.
    pub newest: Result<Txid, RestoreError>,
    /// What is wrong with files that were read.
    pub damaged: Vec<RestoreError>,
}

/// Checks all files of `part`, whatever level they stand on, and that the files there are join.
///
/// # Errors
/// When the storage cannot be read.
pub fn check_part(
    storage: &dyn Storage,
    part: Part,
    progress: &mut dyn FnMut(Progress),
) -> Result<Checked, RestoreError> {
    let newest = match listed_and_planned(storage, Target::Latest) {
        Ok((_, plan)) => Ok(plan.txids.max()),
        Err(error @ RestoreError::Plan(_)) => Err(error),
        Err(error) => return Err(error),
    };
    let all = storage.list_all()?;
    // What can only be damaged needs no turn.
    let is_chosen = |file: &&FileInfo| part.has(file.name) || file.is_too_short();
    let chosen: Vec<&FileInfo> = all.iter().filter(is_chosen).collect();
    let total = chosen.iter().map(|file| file.size).sum();
    let mut checked = Checked {
        files: 0,
        bytes: 0,
        of: all.len(),
        newest,
        damaged: Vec::new(),
    };
    let mut gone = Vec::new();
    for file in chosen {
        match check_file(storage, *file, &PAUSES) {
            Ok(()) => (),
            Err(error) if error.is_gone() => {
                gone.push((file.name, error));
                continue;
            }
            Err(error) if error.class() == Class::Unreachable => return Err(error),
            Err(error) => checked.damaged.push(error),
        }
        checked.files += 1;
        checked.bytes += file.size;
        let done = checked.bytes;
        progress(Progress { done, total });
    }
    if !gone.is_empty() {
        // Retention may have deleted them; what is listed still has to be there.
        let names = storage.list_all()?.into_iter();
        let names: HashSet<FileName> = names.map(|file| file.name).collect();
        let missing = gone.into_iter().filter(|(name, _)| names.contains(name));
        checked.damaged.extend(missing.map(|(_, error)| error));
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Level, TxidRange};

    #[test]
    fn every_file_is_in_one_part_and_the_parts_are_alike() {
        let part = |text: &str| Part::parse(text).unwrap();
        let names: Vec<FileName> = (1..3000)
            .map(|number| FileName {
                level: Level::SYNC,
                txids: TxidRange::single(Txid::new(number).unwrap()),
            })
            .collect();
        let mut sizes = [0; 30];
        for name in &names {
            let parts = (1..=30).filter(|number| part(&format!("{number}/30")).has(*name));
            let [number] = parts.collect::<Vec<_>>()[..] else {
                panic!("{name}");
            };
            sizes[number - 1] += 1;
        }
        assert!(
            sizes.iter().all(|size| (60..150).contains(size)),
            "{sizes:?}"
        );
        let same = |a: &str, b: &str| names.iter().all(|it| part(a).has(*it) == part(b).has(*it));
        assert!(same("1/30", "031/30") && same("0/30", "30/30") && same("5/1", "1/1"));
        assert!(names.iter().all(|name| part("7/1").has(*name)));
        assert_eq!(part("031/30").to_string(), "1/30");
        assert_eq!(part("60/30").to_string(), "30/30");
        for bad in ["", "/", "1/", "/3", "1/0", "-1/3", "+1/3", "1/3/5", "1"] {
            assert_eq!(Part::parse(bad), None, "{bad}");
        }
    }
}
