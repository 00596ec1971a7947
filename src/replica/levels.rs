//! The levels above 0: what each lacks, and when it is written.
//!
//! # Levels by dirty sets
//!
//! A file `[a..b]` of level n stands for the files of level n − 1 in that range. Litestream makes it from them, by
//! downloading and merging. Here each level has a dirty set of its own: the pages of every sync confirmed since the
//! level's last file. Its next file is those pages *as they are in the view that TXID b was written from*, so nothing
//! is downloaded, and nothing is kept but a bit for each page.
//!
//! What must hold, so that both programs can go on from any of it:
//!
//! - The set of a level holds at least the pages of all syncs above `last`, whichever content a sync that was in
//!   doubt turns out to have (`destination::outcome`). So its file is right on top of any chain that ends in its range.
//! - `last` is the end of a file one level below: when a level is written, all below are first written up to the same
//!   TXID. If one fails, those above wait. So `last` never grows with the level.
//! - A file's time is that of the sync it ends with.
//! - The base snapshot `[1..1]` is never merged: the first file of a level starts at TXID 2.
//! - So no level is written while there is no snapshot: of a replica whose base is on level 0, as `litestream replicate
//!   -once` leaves it, Litestream would delete the base once level 1 has come farther, although it does not hold it. A
//!   replica without a snapshot is due for one at once.
//!
//! # A file that would say nothing new
//!
//! A level is only written if at least two files of the level below make up the new one. With one, it would hold
//! the same pages once more: an application that writes once an hour would have each change stored four times. So
//! that one waits until there is another. Litestream does not mind (a level may lag), retention leaves what is not
//! merged yet, and a restore reads no more files. Each level has at most one such file waiting.
//!
//! # When
//!
//! A level is due an interval after the first sync it lacks, so a database that nobody writes to is never woken for it.
//! Snapshots are due an interval after the last one, once there is a sync above it. After a restart, the files' ages
//! (see `inventory`) say how much of an interval has passed.
//!
//! # Holes
//!
//! A file that is missing between `last` and the end of the level below is a *hole*: Litestream would not merge across
//! it, ever. So is a level that ends before the one above it does. Both are healed by writing this level and those
//! below up to now, at once. If what the missing file held is not known any more, the file has all pages.

use std::time::{Duration, Instant};

use super::inventory::{Inventory, Listing};
use super::retention::Retention;
use super::survey::{Survey, Surveyed};
use crate::database::{LevelState, PageSet};
use crate::storage::FileName;
use crate::units::{Level, Txid, TxidRange};

/// The pauses after a level could not be written.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
const FAILURE_PAUSE_MAX: Duration = Duration::from_secs(300);

/// How a replica is kept small, and restorable.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Upkeep {
    /// How often the levels from 1 on are written.
    pub levels: Vec<Duration>,
    /// How often a snapshot is taken.
    pub snapshots: Option<Duration>,
    /// Whether one is taken now, even of what is being stopped.
    pub snapshot_now: bool,
    /// What is deleted; without it nothing is.
    pub retention: Option<Retention>,
}

/// The levels of one destination.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub(super) upkeep: Upkeep,
    pub(super) inventory: Inventory,
    /// What an earlier run left, until the replica has been listed.
    remembered: Vec<LevelState>,
    /// From level 1 on; none until the replica has been listed.
    layers: Vec<Layer>,
    snapshots: Option<Snapshots>,
    /// A snapshot goes up beside the syncs.
    snapshot_under_way: bool,
    failures: u32,
    /// Nothing is begun before this.
    held_off: Option<Instant>,
    /// Nothing is begun any more.
    stopped: bool,
}

/// One level from 1 to 8.
#[derive(Debug)]
struct Layer {
    level: Level,
    interval: Duration,
    /// The TXID up to which it has come.
    last: Txid,
    pages: Pages,
    timer: Timer,
    /// On this level files are missing that the next file of this layer stands for.
    hole: Option<Level>,
}

/// The pages that have changed since a level's last file.
#[derive(Clone, Debug)]
enum Pages {
    All,
    Set(PageSet),
    /// Those of TXIDs above this one. For those before, the replica has to be read.
    Since(Txid, PageSet),
}

#[derive(Debug)]
struct Snapshots {
    last: Option<Txid>,
    interval: Duration,
    timer: Timer,
}

/// When something is due. Only [`Levels::tick`] looks at a clock.
#[derive(Clone, Copy, Debug)]
struct Timer {
    at: Instant,
    rung: bool,
}

/// A file that a level is due for.
pub(super) struct Due<'a> {
    pub(super) name: FileName,
    /// None for every page.
    pub(super) pages: Option<&'a PageSet>,
}

impl Levels {
    /// Levels as `upkeep` says, going on from what is remembered of them.
    pub(super) fn new(upkeep: Upkeep, remembered: Vec<LevelState>) -> Levels {
        Levels {
            upkeep,
            remembered,
            ..Levels::default()
        }
    }

    /// What is known of the levels does not count any more.
    pub(super) fn forget(&mut self) {
        self.remembered.clear();
        self.layers.clear();
        self.snapshots = None;
        self.inventory = Inventory::default();
    }

    /// Begins nothing any more.
    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Takes stock of a replica that stands at `acked`. `changed` is what the files beyond what is remembered
    /// have changed, if that is known.
    pub(super) fn take_stock(
        &mut self,
        listing: &Listing,
        acked: Option<Txid>,
        changed: Option<&PageSet>,
        now: Instant,
    ) {
        let remembered = match changed {
            Some(_) => self.states(),
            None => Vec::new(),
        };
        self.inventory = Inventory::of(listing, &self.inventory, now);
        let acked = acked.unwrap_or(Txid::FIRST);
        let own = self.lasts_on_storage(acked);
        let lasts = never_below_the_next(&own);
        self.layers.clear();
        for (index, interval) in self.upkeep.levels.iter().enumerate() {
            let (level, last) = (level_above(index), lasts[index]);
            let below = match index {
                0 => acked,
                _ => lasts[index - 1],
            };
            let known = remembered.iter().find(|state| state.level == level);
            let pages = match known.filter(|state| state.last <= last).zip(changed) {
                Some((state, changed)) => match state.pages.clone() {
                    Some(mut pages) => {
                        pages.union(changed);
                        Pages::Set(pages)
                    }
                    None => Pages::All,
                },
                None if last >= acked => Pages::Set(PageSet::default()),
                None => Pages::Since(acked, PageSet::default()),
            };
            let beyond = self.inventory.beyond(level_below(level), last);
            let hole = match own[index] < last {
                true => Some(level),
                false => (!joins(&beyond, last, below)).then_some(level_below(level)),
            };
            let mut timer = Timer::after(
                *interval,
                self.inventory.lag(level, level_below(level), now),
                now,
            );
            timer.rung = hole.is_some();
            self.layers.push(Layer {
                level,
                interval: *interval,
                last,
                pages,
                timer,
                hole,
            });
        }
        self.snapshots = self.upkeep.snapshots.map(|interval| {
            let last = self.inventory.last(Level::SNAPSHOT);
            let lag = self.inventory.lag(Level::SNAPSHOT, Level::SNAPSHOT, now);
            let mut timer = Timer::after(interval, lag, now);
            // What cannot be deleted stays in Litestream's way until there is a base beyond it.
            let wanted = self.upkeep.snapshot_now;
            let in_the_way = self.upkeep.retention.is_none()
                && self
                    .inventory
                    .damaged()
                    .any(|it| Some(it.txids.max()) > last);
            timer.rung = last.is_none() || wanted || in_the_way;
            Snapshots {
                last,
                interval,
                timer,
            }
        });
        self.remembered.clear();
    }

    /// How far each level has come, by its files. One without any has come to where the files below it begin.
    fn lasts_on_storage(&self, acked: Txid) -> Vec<Txid> {
        let mut lasts = Vec::new();
        for index in 0..self.upkeep.levels.len() {
            let level = level_above(index);
            let last = self.inventory.last(level).unwrap_or_else(|| {
                let begins = self.inventory.first(level_below(level));
                match (begins, lasts.last()) {
                    // A base on a level, as Litestream has them, is not merged again.
                    (Some(first), _) if first.is_snapshot() => first.max(),
                    (Some(first), _) => Txid::new(first.min().value() - 1).unwrap_or(Txid::FIRST),
                    (None, Some(below)) => *below,
                    (None, None) => acked,
                }
            });
            lasts.push(last.min(acked));
        }
        lasts
    }

    /// The levels with files missing that are to be merged.
    pub(super) fn holes(&self) -> Vec<Level> {
        self.layers.iter().filter_map(|layer| layer.hole).collect()
    }

    /// Notes a sync that the storage has confirmed, and which pages it holds, all if there are none.
    pub(super) fn synced(&mut self, name: FileName, pages: Option<&PageSet>, now: Instant) {
        self.inventory.add(name, now);
        for layer in &mut self.layers {
            if layer.last.next() == Some(name.txids.max()) && layer.hole.is_none() {
                layer.timer = Timer::after(layer.interval, None, now);
            }
            match (pages, &mut layer.pages) {
                (None, all) => *all = Pages::All,
                (Some(_), Pages::All) => {}
                (Some(pages), Pages::Set(set) | Pages::Since(_, set)) => set.union(pages),
            }
        }
    }

    /// Notes a file of a level, or a snapshot, that the storage has confirmed.
    pub(super) fn written(&mut self, name: FileName, now: Instant) {
        self.inventory.add(name, now);
        self.failures = 0;
        let last = name.txids.max();
        if name.level == Level::SNAPSHOT
            && let Some(snapshots) = &mut self.snapshots
        {
            snapshots.last = snapshots.last.max(Some(last));
            snapshots.timer = Timer::after(snapshots.interval, None, now);
            self.upkeep.snapshot_now = false;
        }
        let layer = self
            .layers
            .iter_mut()
            .find(|layer| layer.level == name.level);
        if let Some(layer) = layer {
            layer.last = layer.last.max(last);
            layer.pages = Pages::Set(PageSet::default());
            layer.timer = Timer::after(layer.interval, None, now);
            layer.hole = None;
        }
    }

    /// Notes that a snapshot is being written, or not any more: as long as it is, none is due.
    pub(super) fn snapshot_under_way(&mut self, under_way: bool) {
        self.snapshot_under_way = under_way;
    }

    /// Notes that a file may have been written, or may yet.
    pub(super) fn may_appear(&mut self, name: FileName, now: Instant) {
        self.inventory.add_stray(name, now);
    }

    /// Notes that the levels could not be written.
    pub(super) fn failed(&mut self, now: Instant) {
        let pause = FAILURE_PAUSE.saturating_mul(1 << self.failures.min(8));
        self.failures = self.failures.saturating_add(1);
        self.held_off = Some(now + pause.min(FAILURE_PAUSE_MAX));
    }

    /// Looks at the time.
    pub(super) fn tick(&mut self, now: Instant) {
        let layers = self.layers.iter_mut().map(|layer| &mut layer.timer);
        let snapshots = self
            .snapshots
            .iter_mut()
            .map(|snapshots| &mut snapshots.timer);
        for timer in layers.chain(snapshots) {
            timer.rung |= now >= timer.at;
        }
        self.held_off = self.held_off.filter(|until| now < *until);
    }

    /// When to look at the time again, for a replica at `acked`.
    pub(super) fn next_tick(&self, acked: Txid) -> Option<Instant> {
        if self.stopped {
            return self.held_off.filter(|_| self.owes_snapshot(acked));
        }
        let layers = self
            .layers
            .iter()
            .filter(|layer| layer.last < acked)
            .map(|layer| layer.timer);
        let snapshots = self
            .snapshots
            .iter()
            .filter(|snapshots| !self.snapshot_under_way && snapshots.last < Some(acked))
            .map(|snapshots| snapshots.timer);
        let timers = layers.chain(snapshots).filter(|timer| !timer.rung);
        timers.map(|timer| timer.at).chain(self.held_off).min()
    }

    /// The files to write next from a view at `acked`, in order: each only when those before it are confirmed. A
    /// snapshot comes by itself, after the others.
    pub(super) fn due(&self, acked: Txid) -> Vec<Due<'_>> {
        let layers = self.layers_due(acked);
        let mut files = Vec::new();
        for layer in &layers {
            let from = layer.last.next().unwrap_or(acked);
            let pages = match &layer.pages {
                Pages::All => None,
                Pages::Set(pages) => Some(pages),
                // What is above waits for what it lacks, too.
                Pages::Since(..) => break,
            };
            files.extend(TxidRange::new(from, acked).map(|txids| Due {
                name: FileName {
                    level: layer.level,
                    txids,
                },
                pages,
            }));
        }
        if files.is_empty() && self.is_snapshot_due(acked) {
            files.push(Due {
                name: FileName {
                    level: Level::SNAPSHOT,
                    txids: TxidRange::snapshot(acked),
                },
                pages: None,
            });
        }
        files
    }

    /// The levels to be written up to `acked`, lowest first, each being a merger of at least two files of the one
    /// below, unless it heals a hole.
    fn layers_due(&self, acked: Txid) -> Vec<&Layer> {
        let mut due = Vec::new();
        if self.stopped || self.held_off.is_some() || self.lacks_snapshot() {
            return due;
        }
        let rung = |layer: &Layer| layer.timer.rung && layer.last < acked;
        let Some(top) = self.layers.iter().rposition(rung) else {
            return due;
        };
        let healed = self.layers.iter().rposition(|layer| layer.hole.is_some());
        let mut written_below = 0;
        for (index, layer) in self.layers[..=top].iter().enumerate() {
            if layer.last >= acked {
                written_below = 0;
                continue;
            }
            let below = self.inventory.beyond(level_below(layer.level), layer.last);
            let heals = healed.is_some_and(|hole| index <= hole);
            if below.len() + written_below < 2 && !heals {
                break;
            }
            due.push(layer);
            written_below = 1;
        }
        due
    }

    /// Whether the first snapshot is still to come.
    fn lacks_snapshot(&self) -> bool {
        let mut snapshots = self.snapshots.iter();
        snapshots.any(|snapshots| snapshots.last.is_none())
    }

    /// Whether a snapshot is due once the replica stands at `acked`.
    pub(super) fn is_snapshot_due(&self, acked: Txid) -> bool {
        let begins = !self.stopped || self.upkeep.snapshot_now;
        let ready = begins && self.held_off.is_none() && !self.snapshot_under_way;
        let due = |snapshots: &Snapshots| snapshots.timer.rung && snapshots.last < Some(acked);
        ready && self.snapshots.as_ref().is_some_and(due)
    }

    /// Whether a snapshot of `acked` is to be there before this is over.
    pub(super) fn owes_snapshot(&self, acked: Txid) -> bool {
        let lacks = |snapshots: &Snapshots| snapshots.last < Some(acked);
        self.upkeep.snapshot_now && self.snapshots.as_ref().is_some_and(lacks)
    }

    /// What has to be read before the levels that are due can be written, if anything has to.
    pub(super) fn survey(&self, acked: Txid) -> Option<Survey> {
        let unknown = |layer: &&Layer| matches!(layer.pages, Pages::Since(..));
        self.layers_due(acked).into_iter().find(unknown)?;
        let mut survey = Survey::default();
        for layer in self.layers.iter().filter(unknown) {
            if let Pages::Since(to, _) = layer.pages {
                let files = self.inventory.listed_below(layer.level);
                survey.add(layer.level, &files, layer.last, to);
            }
        }
        Some(survey)
    }

    /// Takes what a survey has found.
    pub(super) fn surveyed(&mut self, surveyed: Surveyed) {
        for (level, found) in surveyed.0 {
            let mut layers = self.layers.iter_mut();
            let Some(layer) = layers.find(|layer| layer.level == level) else {
                continue;
            };
            let Pages::Since(_, pages) = &mut layer.pages else {
                continue;
            };
            layer.pages = match found {
                Some(found) => {
                    pages.union(&found);
                    Pages::Set(std::mem::take(pages))
                }
                None => Pages::All,
            };
        }
    }

    /// Whether all that is listed is needed, to find out what levels lack.
    pub(super) fn are_unknown(&self) -> bool {
        let mut layers = self.layers.iter();
        layers.any(|layer| layer.hole.is_some() || matches!(layer.pages, Pages::Since(..)))
    }

    /// Forgets the files of levels on which nothing is ever deleted, where they are of no more use here.
    pub(super) fn forget_merged(&mut self, levels: impl Iterator<Item = Level>, now: Instant) {
        let mut merged: Vec<FileName> = Vec::new();
        let lasts = self.lasts();
        for level in levels {
            let limit = lasts.get(usize::from(level.value())).copied();
            let mut files: Vec<FileName> = self.inventory.on(level, now).map(|it| it.0).collect();
            files.pop();
            let limit = limit.unwrap_or(Txid::LAST);
            merged.extend(files.iter().filter(|name| name.txids.max() <= limit));
        }
        self.inventory.remove(&merged);
    }

    /// How far the levels from 1 on have come.
    pub(super) fn lasts(&self) -> Vec<Txid> {
        self.layers.iter().map(|layer| layer.last).collect()
    }

    /// What to remember; a level of which not everything is known is left out.
    pub(super) fn states(&self) -> Vec<LevelState> {
        if self.layers.is_empty() {
            return self.remembered.clone();
        }
        let state = |layer: &Layer| {
            let pages = match &layer.pages {
                Pages::All => None,
                Pages::Set(pages) => Some(pages.clone()),
                Pages::Since(..) => return None,
            };
            Some(LevelState {
                level: layer.level,
                last: layer.last,
                pages,
            })
        };
        self.layers.iter().filter_map(state).collect()
    }
}

impl Timer {
    /// Rings an interval from now, of which some time has passed already.
    fn after(interval: Duration, passed: Option<Duration>, now: Instant) -> Timer {
        let left = interval.saturating_sub(passed.unwrap_or_default());
        Timer {
            at: now + left,
            rung: false,
        }
    }
}

/// How far levels count as having come that have come this far by their own files: never less than the level above,
/// since where files are missing, a level goes on from there.
fn never_below_the_next(own: &[Txid]) -> Vec<Txid> {
    let mut lasts = own.to_vec();
    for index in (1..lasts.len()).rev() {
        lasts[index - 1] = lasts[index - 1].max(lasts[index]);
    }
    lasts
}

/// Whether `ranges` lead from `last` to `end`, each beginning where the one before has ended.
fn joins(ranges: &[TxidRange], last: Txid, end: Txid) -> bool {
    let mut reached = last;
    for &range in ranges {
        if reached.next() != Some(range.min()) {
            return false;
        }
        reached = range.max();
    }
    reached >= end
}

/// The level of the layer at `index`.
fn level_above(index: usize) -> Level {
    let number = u8::try_from(index + 1).unwrap_or(u8::MAX);
    Level::new(number).unwrap_or(Level::SNAPSHOT)
}

/// The level that `level` is merged from.
fn level_below(level: Level) -> Level {
    Level::new(level.value().saturating_sub(1)).unwrap_or(Level::SYNC)
}
