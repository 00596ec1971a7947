//! Which states a replica can be restored to, what each costs, and between which of them something is missing.
//!
//! The points are those that [`super::plan`] reaches for a TXID, found by its own search in one pass: at a snapshot a
//! new search begins, since the newest one up to a TXID is always the base of its plan, and up to the next all files
//! are taken in the order of their ends. A test holds each point against the plan for it.

use super::plan::{Search, by_end};
use crate::storage::FileInfo;
use crate::units::{Level, Timestamp, Txid};

/// A state that can be restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Point {
    /// The file that leads to it last: it ends at the state's TXID and has its time.
    pub last: FileInfo,
    /// How many files its restore reads.
    pub files: u32,
    /// Their sizes in bytes.
    pub bytes: u64,
}

impl Point {
    /// The state's TXID.
    pub fn txid(&self) -> Txid {
        self.last.name.txids.max()
    }

    /// The state's time, as exact as the listing is.
    pub fn time(&self) -> Timestamp {
        self.last.created
    }
}

/// Files are missing between two points, so that the later one does not rest on what leads to the earlier. Between
/// points that were merged into one file there is no hole: that file leads on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hole {
    /// The point before it; none when no state can be restored.
    pub after: Option<Txid>,
    /// The point after it, which rests on a snapshot of its own; none when nothing can be restored after it.
    pub before: Option<Txid>,
    /// How many files end in it, of which none can be used.
    pub files: usize,
}

/// What a listing says of the past.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct History {
    /// Ascending by TXID.
    pub points: Vec<Point>,
    /// In the same order.
    pub holes: Vec<Hole>,
}

/// What can be restored from `files`, those of all levels in any order. O(n log n).
pub fn history(files: &[FileInfo]) -> History {
    let mut sorted = files.to_vec();
    sorted.sort_unstable_by_key(|file| (file.name.txids.max(), is_on_top(file), by_end(file)));
    let mut reach = Reach::of(&sorted);
    let mut history = History::default();
    let mut search = Search::from(None);
    let mut stranded = 0;
    for group in sorted.chunk_by(|a, b| a.name.txids.max() == b.name.txids.max()) {
        let Some(point) = point(&mut search, group) else {
            let increments = group.iter().filter(|file| !is_on_top(file));
            stranded += increments.count();
            continue;
        };
        if let Some(last) = history.points.last().map(Point::txid)
            && reach.from(last) < point.txid()
        {
            history.holes.push(Hole {
                after: Some(last),
                before: Some(point.txid()),
                files: stranded,
            });
        }
        stranded = 0;
        history.points.push(point);
    }
    if stranded > 0 {
        history.holes.push(Hole {
            after: history.points.last().map(Point::txid),
            before: None,
            files: stranded,
        });
    }
    history
}

/// The state at which the files of `group` end, if it can be restored. Snapshots stand at its end.
fn point(search: &mut Search, group: &[FileInfo]) -> Option<Point> {
    let is_base = |file: &&FileInfo| is_on_top(file) && file.name.txids.is_snapshot();
    if let Some(base) = group.iter().find(is_base).copied() {
        *search = Search::from(Some(base));
        return Some(Point {
            last: base,
            files: 1,
            bytes: base.size,
        });
    }
    let increments = group.partition_point(|file| !is_on_top(file));
    let way = search.advance(&group[..increments])?;
    Some(Point {
        last: way.file?,
        files: way.cost.1,
        bytes: way.cost.0,
    })
}

fn is_on_top(file: &FileInfo) -> bool {
    file.name.level == Level::SNAPSHOT
}

/// How far the files below the snapshots lead on from a point.
struct Reach {
    /// First and last TXID, the last in the order first.
    files: Vec<(Txid, Txid)>,
    furthest: Option<Txid>,
}

impl Reach {
    fn of(files: &[FileInfo]) -> Reach {
        let increments = files.iter().filter(|file| !is_on_top(file));
        let mut files: Vec<(Txid, Txid)> = increments
            .map(|file| (file.name.txids.min(), file.name.txids.max()))
            .collect();
        files.sort_unstable_by(|a, b| b.cmp(a));
        Reach {
            files,
            furthest: None,
        }
    }

    /// The last TXID of all files that join or overlap a state at `point`, or that after it, to which nothing is
    /// missing even without any. Points must be asked for in ascending order.
    fn from(&mut self, point: Txid) -> Txid {
        let next = point.next().unwrap_or(point);
        while let Some((_, max)) = self.files.pop_if(|(min, _)| *min <= next) {
            self.furthest = self.furthest.max(Some(max));
        }
        self.furthest.max(Some(next)).unwrap_or(next)
    }
}

/// The state of the earliest time among `points`.
pub(super) fn earliest(points: &[Point]) -> Option<(Txid, Timestamp)> {
    let first = points.iter().min_by_key(|point| point.time())?;
    Some((first.txid(), first.time()))
}

/// The times of the earliest and the latest of `points`.
pub(super) fn window(points: &[Point]) -> Option<(Timestamp, Timestamp)> {
    let latest = points.iter().map(Point::time).max()?;
    Some((earliest(points)?.1, latest))
}

#[cfg(test)]
#[path = "points_tests.rs"]
mod tests;
