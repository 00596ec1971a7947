//! Which file comes next, decided from listings alone. The rules are those that open `replica::levels`:
//!
//! - A level is made from the files of the level below that lie above its last TXID, lowest level first. So its last
//!   TXID is always the end of a file one level below, and never grows with the level.
//! - A level without files begins where the one below does; a base from TXID 1 there is not merged. Where its files are
//!   missing that the level above was made from, it goes on from that.
//! - One file alone is not merged: the new one would hold the same.
//! - While there is no snapshot no level is written, since Litestream would then delete a base on level 0 although no
//!   level holds it. The base itself is what is written as a snapshot then: so all that can be restored stays that way.

use super::error::CompactError;
use crate::restore::{self, Target};
use crate::storage::{FileInfo, FileName};
use crate::units::{Level, Txid, TxidRange};

/// What is to be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Goal {
    /// The uppermost level, from 1 to 8.
    pub level: Level,
    /// Whether a snapshot of the newest state is, too.
    pub snapshot: bool,
}

/// A file to be written, and what it is merged from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Merge {
    /// What it will be called.
    pub name: FileName,
    /// Oldest first; never empty.
    pub inputs: Vec<FileInfo>,
}

impl Merge {
    fn new(level: Level, inputs: &[FileInfo]) -> Merge {
        let (first, last) = (inputs[0].name.txids, inputs[inputs.len() - 1].name.txids);
        let txids = TxidRange::new(first.min(), last.max()).expect("each file leads further");
        Merge {
            name: FileName { level, txids },
            inputs: inputs.to_vec(),
        }
    }

    /// The last of the files it is merged from.
    pub(super) fn newest(&self) -> &FileInfo {
        self.inputs.last().expect("never empty")
    }

    /// The levels on which somebody else would be noticed: that of the file, that below it, and that of syncs.
    pub(super) fn levels(&self) -> Vec<Level> {
        let level = self.name.level;
        let mut levels = vec![Level::SYNC, level];
        if level != Level::SNAPSHOT && below(level) != Level::SYNC {
            levels.push(below(level));
        }
        levels
    }

    /// Whether both may not be there. Snapshots may.
    pub(super) fn collides(&self, other: FileName) -> bool {
        let (ours, theirs) = (self.name.txids, other.txids);
        self.name.level == other.level
            && other.level != Level::SNAPSHOT
            && ours.min() <= theirs.max()
            && theirs.min() <= ours.max()
    }
}

/// Every file that is to be written, in this order. The sizes of those that are merged again are guesses.
///
/// # Errors
/// When the newest state cannot be restored, or files are missing on a level that is to be merged.
pub(super) fn all(
    files: &[FileInfo],
    goal: Goal,
    limit: usize,
) -> Result<Vec<Merge>, CompactError> {
    let mut files = files.to_vec();
    let mut merges = Vec::new();
    while let Some(merge) = next(&files, goal, limit)? {
        files.push(FileInfo {
            name: merge.name,
            size: merge.inputs.iter().map(|file| file.size).sum(),
            created: merge.newest().created,
        });
        merges.push(merge);
    }
    Ok(merges)
}

/// The file to be written next to a replica of `files`, from at most `limit` others.
///
/// # Errors
/// As [`all`].
pub(super) fn next(
    files: &[FileInfo],
    goal: Goal,
    limit: usize,
) -> Result<Option<Merge>, CompactError> {
    let chain = restore::plan(files, Target::Latest)?.files;
    if chain[0].name.level != Level::SNAPSHOT {
        return Ok(Some(Merge::new(Level::SNAPSHOT, &chain[..1])));
    }
    for level in Level::all()
        .filter(|level| (Level::SYNC..=goal.level).contains(level))
        .skip(1)
    {
        let inputs = unmerged(files, level)?;
        if let [_, _, ..] = inputs[..] {
            return Ok(Some(Merge::new(level, &inputs[..inputs.len().min(limit)])));
        }
    }
    match goal.snapshot && chain.len() > 1 {
        true => Ok(Some(Merge::new(
            Level::SNAPSHOT,
            &chain[..chain.len().min(limit)],
        ))),
        false => Ok(None),
    }
}

/// The files that `level` lacks of the level below, oldest first.
fn unmerged(files: &[FileInfo], level: Level) -> Result<Vec<FileInfo>, CompactError> {
    let mut below_it = files.to_vec();
    below_it.retain(|file| file.name.level == below(level));
    below_it.sort_unstable();
    let merged = files
        .iter()
        .filter(|file| (level..Level::SNAPSHOT).contains(&file.name.level));
    let merged = merged.map(|file| file.name.txids.max()).max();
    let last = merged.map_or_else(|| begin(&below_it), Txid::value);
    let mut reached = last;
    let mut unmerged = Vec::new();
    for file in below_it {
        let txids = file.name.txids;
        if txids.max().value() <= reached {
            continue;
        }
        if txids.min().value() > reached + 1 {
            return Err(CompactError::Hole {
                level,
                first: reached + 1,
                next: file.name,
            });
        }
        if txids.min().value() <= last {
            return Err(CompactError::Straddles {
                file: file.name,
                level,
                last,
            });
        }
        reached = txids.max().value();
        unmerged.push(file);
    }
    Ok(unmerged)
}

/// The TXID after which a level begins that is made from these files, in order.
fn begin(below: &[FileInfo]) -> u64 {
    let base = below
        .iter()
        .take_while(|file| file.name.txids.is_snapshot());
    let first = below.first().map(|file| file.name.txids.min().value() - 1);
    let base = base.map(|file| file.name.txids.max().value()).max();
    base.or(first).unwrap_or(0)
}

fn below(level: Level) -> Level {
    let number = level.value().checked_sub(1);
    number.and_then(Level::new).expect("no level 0 is merged")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    fn replica(files: &[(u8, u64, u64)]) -> Vec<FileInfo> {
        let txid = |number| Txid::new(number).unwrap();
        let info = |&(level, min, max): &(u8, u64, u64)| FileInfo {
            name: FileName {
                level: Level::new(level).unwrap(),
                txids: TxidRange::new(txid(min), txid(max)).unwrap(),
            },
            size: 100,
            created: Timestamp::from_millis(0),
        };
        files.iter().map(info).collect()
    }

    /// Level, first and last TXID, and how many files went into it.
    type Planned = Vec<(u8, u64, u64, usize)>;

    fn planned(
        files: &[(u8, u64, u64)],
        level: u8,
        snapshot: bool,
    ) -> Result<Planned, CompactError> {
        let level = Level::new(level).unwrap();
        let merges = all(&replica(files), Goal { level, snapshot }, 4)?;
        let line = |merge: &Merge| {
            let FileName { level, txids } = merge.name;
            let (min, max) = (txids.min().value(), txids.max().value());
            (level.value(), min, max, merge.inputs.len())
        };
        Ok(merges.iter().map(line).collect())
    }

    fn syncs(range: std::ops::RangeInclusive<u64>) -> Vec<(u8, u64, u64)> {
        range.map(|txid| (0, txid, txid)).collect()
    }

    fn with(mut files: Vec<(u8, u64, u64)>, more: &[(u8, u64, u64)]) -> Vec<(u8, u64, u64)> {
        files.extend(more);
        files
    }

    #[test]
    fn each_level_is_merged_as_far_as_it_goes() {
        let files = with(syncs(2..=4), &[(9, 1, 1)]);
        assert_eq!(planned(&files, 3, false).unwrap(), [(1, 2, 4, 3)]);
        let files = with(syncs(2..=12), &[(9, 1, 1)]);
        let expected = [(1, 2, 5, 4), (1, 6, 9, 4), (1, 10, 12, 3), (2, 2, 12, 3)];
        assert_eq!(planned(&files, 3, false).unwrap(), expected);
        assert_eq!(planned(&files, 1, false).unwrap(), expected[..3]);
        let snapshot = with(files, &[(1, 2, 5), (1, 6, 9), (1, 10, 12), (2, 2, 12)]);
        assert_eq!(planned(&snapshot, 3, false).unwrap(), []);
        assert_eq!(planned(&snapshot, 3, true).unwrap(), [(9, 1, 12, 2)]);
    }

    #[test]
    fn a_level_goes_on_from_its_last_file() {
        let files = with(syncs(5..=9), &[(9, 1, 1), (1, 2, 4), (1, 5, 7), (2, 2, 4)]);
        let expected = [(1, 8, 9, 2), (2, 5, 9, 2)];
        assert_eq!(planned(&files, 2, false).unwrap(), expected);
        let files = with(syncs(5..=12), &[(9, 1, 1), (2, 2, 9)]);
        assert_eq!(planned(&files, 2, false).unwrap(), [(1, 10, 12, 3)]);
    }

    #[test]
    fn one_file_alone_is_not_merged() {
        let files = with(syncs(2..=2), &[(9, 1, 1)]);
        assert_eq!(planned(&files, 8, true).unwrap(), [(9, 1, 2, 2)]);
        assert_eq!(planned(&files, 8, false).unwrap(), []);
        // The fifth waits for another.
        let files = with(syncs(2..=6), &[(9, 1, 1)]);
        assert_eq!(planned(&files, 8, false).unwrap(), [(1, 2, 5, 4)]);
    }

    #[test]
    fn a_base_on_a_level_becomes_the_snapshot_first_and_is_not_merged() {
        let expected = [(9, 1, 1, 1), (1, 2, 4, 3)];
        assert_eq!(planned(&syncs(1..=4), 3, false).unwrap(), expected);
        let files = [(1, 1, 7), (1, 8, 9), (1, 10, 12), (0, 12, 12), (0, 13, 13)];
        let expected = [(9, 1, 7, 1), (2, 8, 12, 2)];
        assert_eq!(planned(&files, 3, false).unwrap(), expected);
    }

    #[test]
    fn a_long_chain_takes_more_than_one_snapshot() {
        let files = with(syncs(2..=2), &[(9, 1, 1)]);
        let mut files = files;
        files.extend((1..=8).map(|n| (1, 2 * n + 1, 2 * n + 2)));
        let expected = [(9, 1, 6, 4), (9, 1, 12, 4), (9, 1, 18, 4)];
        let planned = planned(&files, 1, true).unwrap();
        assert_eq!(planned, expected);
    }

    #[test]
    fn a_hole_is_named() {
        for (files, level, first) in [
            (with(syncs(5..=9), &[(9, 1, 4), (1, 2, 3)]), 1, 4),
            (
                vec![(9, 1, 9), (1, 2, 3), (1, 4, 4), (1, 7, 9), (0, 9, 9)],
                2,
                5,
            ),
        ] {
            let Err(CompactError::Hole {
                level: on,
                first: at,
                ..
            }) = planned(&files, 3, false)
            else {
                panic!("no hole in {files:?}");
            };
            assert_eq!((on.value(), at), (level, first));
        }
        let cut_off = with(syncs(4..=9), &[(9, 1, 1)]);
        assert!(matches!(
            planned(&cut_off, 3, false),
            Err(CompactError::Plan(_))
        ));
        let straddling = [(9, 1, 1), (1, 2, 4), (0, 4, 5), (0, 6, 6)];
        let result = planned(&straddling, 3, false);
        assert!(matches!(
            result,
            Err(CompactError::Straddles { last: 4, .. })
        ));
    }
}
