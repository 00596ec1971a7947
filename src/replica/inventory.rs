//! Which files a replica holds, and how old each is, kept without asking the storage again: what it listed when it
//! was last asked where it stands, and what was written and deleted since.
//!
//! # How old a file is
//!
//! Retention deletes by age, so an age must never be more than the truth. What this run wrote is as old as the
//! monotonic clock says. Of what was there before, only the times in the listing are known, and only the distance
//! to the newest of them counts, not that to our clock: a board that thinks it is 1970, or 2040, learns nothing wrong
//! by that. Where a server stamps its files with its own clock, those distances are true.
//! Where files carry the times that the writer gave them (a directory does), the writer's clock may have jumped by ten
//! years between two files. So there a pause between two files counts as at most [`PAUSE_MAX`]: a jump ages what is
//! before it by no more than that, and a machine that is on for ten minutes a day keeps its files for longer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::storage::{FileInfo, FileName};
use crate::units::{Level, Timestamp, Txid, TxidRange};

/// The longest pause between two files that is believed, where no server's clock has measured it.
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What a storage has listed.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// Every file.
    pub files: Vec<FileInfo>,
    /// Their times are those of the server's own clock.
    pub stamped: bool,
    /// Those of them that turned out to be no whole LTX files.
    pub damaged: Vec<FileName>,
}

/// The files of a replica.
#[derive(Debug, Default)]
pub(super) struct Inventory(BTreeMap<FileName, Entry>);

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// 0 where this run wrote it.
    size: u64,
    /// How old it was.
    age: Duration,
    /// When.
    at: Instant,
    /// The time it is listed with; none before it was.
    created: Option<Timestamp>,
    standing: Standing,
}

/// Whether a file counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    Needed,
    /// It lies within another one of its level, or may yet: an upload that was given up and arrived after all.
    Stray,
    /// It is no LTX file: as good as missing, but in the way of whoever plans from names.
    Damaged,
}

impl Inventory {
    /// What is in `listing`. What was known of files before (they cannot have become younger) is taken from `before`.
    pub(super) fn of(listing: &Listing, before: &Inventory, now: Instant) -> Inventory {
        let ages = Ages::of(listing);
        let mut inventory = Inventory::default();
        for file in &listing.files {
            let listed = ages.of_file(file);
            let known = before
                .0
                .get(&file.name)
                .map_or(Duration::ZERO, |entry| entry.age_at(now));
            let is_damaged = file.is_too_short() || listing.damaged.contains(&file.name);
            let entry = Entry {
                size: file.size,
                age: listed.max(known),
                at: now,
                created: Some(file.created),
                standing: match is_damaged {
                    true => Standing::Damaged,
                    false => Standing::Needed,
                },
            };
            inventory.0.insert(file.name, entry);
        }
        inventory.mark_strays();
        inventory
    }

    /// Notes that a file was written.
    pub(super) fn add(&mut self, name: FileName, now: Instant) {
        self.insert(name, Standing::Needed, now);
    }

    /// Notes that a file may yet appear.
    pub(super) fn add_stray(&mut self, name: FileName, now: Instant) {
        self.insert(name, Standing::Stray, now);
    }

    fn insert(&mut self, name: FileName, standing: Standing, now: Instant) {
        let entry = Entry {
            size: 0,
            age: Duration::ZERO,
            at: now,
            created: None,
            standing,
        };
        self.0.insert(name, entry);
    }

    /// Notes that files are gone, or of no interest any more.
    pub(super) fn remove(&mut self, names: &[FileName]) {
        for name in names {
            self.0.remove(name);
        }
    }

    /// The files of a level with their ages, ascending.
    pub(super) fn on(
        &self,
        level: Level,
        now: Instant,
    ) -> impl DoubleEndedIterator<Item = (FileName, Duration)> + '_ {
        self.level(level)
            .filter(|(_, entry)| entry.standing == Standing::Needed)
            .map(move |(name, entry)| (name, entry.age_at(now)))
    }

    /// How old a file is.
    pub(super) fn age(&self, name: FileName, now: Instant) -> Option<Duration> {
        Some(self.0.get(&name)?.age_at(now))
    }

    /// The time that a file is listed with; none for what was written since the last listing.
    pub(super) fn created(&self, name: FileName) -> Option<Timestamp> {
        self.0.get(&name)?.created
    }

    /// Those that are no LTX files.
    pub(super) fn damaged(&self) -> impl Iterator<Item = FileName> + '_ {
        let damaged = |(_, entry): &(&FileName, &Entry)| entry.standing == Standing::Damaged;
        self.0.iter().filter(damaged).map(|(name, _)| *name)
    }

    /// Those that do not count, with their ages.
    pub(super) fn strays(&self, now: Instant) -> impl Iterator<Item = (FileName, Duration)> + '_ {
        self.0
            .iter()
            .filter(|(_, entry)| entry.standing == Standing::Stray)
            .map(move |(name, entry)| (*name, entry.age_at(now)))
    }

    /// The ranges of the files of a level that reach beyond `after`, ascending.
    pub(super) fn beyond(&self, level: Level, after: Txid) -> Vec<TxidRange> {
        let mut ranges: Vec<TxidRange> = self
            .level(level)
            .rev()
            .filter(|(_, entry)| entry.standing == Standing::Needed)
            .map(|(name, _)| name.txids)
            .take_while(|txids: &TxidRange| TxidRange::max(*txids) > after)
            .collect();
        ranges.reverse();
        ranges
    }

    /// The range of the first file of a level.
    pub(super) fn first(&self, level: Level) -> Option<TxidRange> {
        let mut needed = self
            .level(level)
            .filter(|(_, entry)| entry.standing == Standing::Needed);
        needed.next().map(|(name, _)| name.txids)
    }

    /// The newest TXID on a level.
    pub(super) fn last(&self, level: Level) -> Option<Txid> {
        self.level(level)
            .filter(|(_, entry)| entry.standing == Standing::Needed)
            .map(|(name, _)| name.txids.max())
            .max()
    }

    /// How much older the newest file of `level` is than the newest of all; where it has none, the first of the
    /// level `below` it, which waits for it.
    pub(super) fn lag(&self, level: Level, below: Level, now: Instant) -> Option<Duration> {
        let of_all = self.0.values().map(|entry| entry.age_at(now)).min()?;
        let of_level = self.on(level, now).map(|(_, age)| age).min();
        let waiting = || self.on(below, now).map(|(_, age)| age).max();
        Some(of_level.or_else(waiting)?.saturating_sub(of_all))
    }

    /// The files below `level` that a listing has shown.
    pub(super) fn listed_below(&self, level: Level) -> Vec<FileInfo> {
        let files = self.0.iter().filter(|(name, entry)| {
            name.level < level && entry.standing == Standing::Needed && entry.size > 0
        });
        files
            .map(|(name, entry)| FileInfo {
                name: *name,
                size: entry.size,
                created: Timestamp::from_millis(0),
            })
            .collect()
    }

    /// A file of `level`, other than `name`, that holds all its TXIDs, and its age.
    pub(super) fn cover(
        &self,
        level: Level,
        name: FileName,
        now: Instant,
    ) -> Option<(FileName, Duration)> {
        let (min, max) = (name.txids.min(), name.txids.max());
        let to = FileName {
            level,
            txids: TxidRange::new(min, Txid::LAST)?,
        };
        // Files of a level join, so the one that begins just before is the one, if any is.
        self.0
            .range(first_of(level)..=to)
            .rev()
            .filter(|(other, entry)| **other != name && entry.standing == Standing::Needed)
            .take(2)
            .find(|(other, _)| other.txids.max() >= max)
            .map(|(other, entry)| (*other, entry.age_at(now)))
    }

    fn level(&self, level: Level) -> impl DoubleEndedIterator<Item = (FileName, &Entry)> {
        let to = FileName {
            level,
            txids: TxidRange::single(Txid::LAST),
        };
        self.0
            .range(first_of(level)..=to)
            .map(|(name, entry)| (*name, entry))
    }

    /// Of a level from 1 to 8, what lies within another file.
    fn mark_strays(&mut self) {
        let mut strays = Vec::new();
        let mut widest: Option<FileName> = None;
        // Ascending by first TXID, then by last: one that lies within another comes after it, or just before it where
        // both begin together.
        let names: Vec<FileName> = self.0.keys().copied().collect();
        for name in names {
            let is_needed = self.0[&name].standing == Standing::Needed;
            if name.level == Level::SYNC || name.level == Level::SNAPSHOT || !is_needed {
                continue;
            }
            match widest {
                Some(wide) if wide.level == name.level && name.txids.max() <= wide.txids.max() => {
                    strays.push(name);
                }
                Some(wide) if wide.level == name.level && name.txids.min() == wide.txids.min() => {
                    strays.push(wide);
                    widest = Some(name);
                }
                _ => widest = Some(name),
            }
        }
        for name in strays {
            if let Some(entry) = self.0.get_mut(&name) {
                entry.standing = Standing::Stray;
            }
        }
    }
}

impl Entry {
    fn age_at(&self, now: Instant) -> Duration {
        self.age + now.saturating_duration_since(self.at)
    }
}

fn first_of(level: Level) -> FileName {
    FileName {
        level,
        txids: TxidRange::snapshot(Txid::FIRST),
    }
}

/// How much older than the newest file of a listing those of each time are.
struct Ages(BTreeMap<Timestamp, Duration>);

impl Ages {
    fn of(listing: &Listing) -> Ages {
        let mut times: Vec<Timestamp> = listing.files.iter().map(|file| file.created).collect();
        times.sort_unstable();
        times.dedup();
        let (mut age, mut newer, mut ages) = (Duration::ZERO, None, BTreeMap::new());
        for time in times.into_iter().rev() {
            if let Some(newer) = newer {
                let pause = between(time, newer);
                age += match listing.stamped {
                    true => pause,
                    false => pause.min(PAUSE_MAX),
                };
            }
            ages.insert(time, age);
            newer = Some(time);
        }
        Ages(ages)
    }

    fn of_file(&self, file: &FileInfo) -> Duration {
        self.0.get(&file.created).copied().unwrap_or_default()
    }
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    let millis = later.millis().saturating_sub(earlier.millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
