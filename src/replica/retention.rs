//! Which files of a replica have had their time: decided here, from the inventory alone.
//!
//! The promise is that every state of the last `snapshots` can be restored, as finely as the levels still tell them
//! apart. For that, [`expired`] gives a file only if
//!
//! - it is a snapshot, and a newer one is already older than the window: that one is the *floor*, the base for the
//!   window's start. So a snapshot that is older than the window is always kept. And no rule keeps it (`keep`): those
//!   that one does are restore points by themselves, nothing is chained to them;
//! - it stands on level 1 or above, and ends at or below the floor: no chain from the floor on needs it. And the level
//!   above has come as far, since it may yet be merged from this one, by Litestream too;
//! - it stands on level 0, and a file of level 1 that holds its TXIDs has been there for `syncs`;
//! - it is a stray: another file of its level holds its TXIDs;
//! - it is no LTX file (see `settle`), which Litestream would plan with and fail, and its level has gone on since.
//!
//! The newest file of a level always stays: a level without files begins from nothing, for Litestream at TXID 1 again.
//!
//! Whoever planned a restore a moment ago may be about to read a file that has had its time. So the window is longer
//! by [`GRACE`] than asked for, and level 0 is kept from when it was merged on, not from when it was written.
//!
//! The order is safe wherever it stops: snapshots go first, oldest first. Without its base a chain is not taken for
//! one, by us nor by Litestream, so what is left half deleted is only ever below the floor. Level files and syncs go
//! in ascending order, so that what is left of a level still joins.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::inventory::{Inventory, Listing};
use super::keep::kept;
use crate::storage::{FileInfo, FileName};
use crate::units::{KeepRules, Level, Timestamp, Txid};

/// How long a file that has had its time is still left for those who planned with it.
const GRACE: Duration = Duration::from_secs(5 * 60);
/// A file that may arrive late has done so by then.
const STRAY_LIFE: Duration = Duration::from_secs(15 * 60);

/// How long files are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Retention {
    /// Every state of this last time can be restored.
    pub snapshots: Duration,
    /// Which snapshots are kept for longer.
    pub keep: KeepRules,
    /// How long a sync stays after it was merged into level 1; none for ever.
    pub syncs: Option<Duration>,
    /// The least time between two deletions.
    pub check: Duration,
}

/// Why a file has had its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// A newer snapshot is old enough for all of the window, and no rule keeps this one.
    OldSnapshot,
    /// It ends where the window begins, or before.
    BeforeWindow,
    /// It was merged into level 1.
    Merged,
    /// Another file of its level holds what it does.
    Repeated,
    /// It is no LTX file.
    Damaged,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::OldSnapshot => "a newer snapshot is older than the retention",
            Reason::BeforeWindow => "a snapshot older than the retention holds it",
            Reason::Merged => "merged into level 1",
            Reason::Repeated => "another file of its level holds it",
            Reason::Damaged => "damaged, and its level has gone on",
        })
    }
}

/// A file that has had its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Superfluous {
    /// The file.
    pub file: FileInfo,
    /// How old it is at least.
    pub age: Duration,
    /// Why it is not needed.
    pub reason: Reason,
}

/// What has had its time in a replica of which only a `listing` is known, in the order in which to delete it. Somebody
/// may be merging so many `levels` of it: what they have not merged yet stays, and so does what is not old by the
/// distances between the files alone.
pub fn superfluous(listing: &Listing, levels: usize, rules: &Retention) -> Vec<Superfluous> {
    // Ages are told by the listing, so that any moment will do.
    let now = Instant::now();
    let inventory = Inventory::of(listing, &Inventory::default(), now);
    let merging: Vec<Level> = Level::all()
        .filter(|level| ![Level::SYNC, Level::SNAPSHOT].contains(level))
        .collect();
    let lasts: Vec<Option<Txid>> = merging.iter().map(|it| inventory.last(*it)).collect();
    let highest = lasts.iter().rposition(Option::is_some);
    let levels = levels.max(highest.map_or(0, |index| index + 1));
    let lasts = lasts.into_iter().take(levels);
    // Of a level without files, nothing below it has been merged.
    let lasts: Vec<Txid> = lasts.map(|last| last.unwrap_or(Txid::FIRST)).collect();
    let expired = expired(&inventory, &lasts, rules, now);
    let files: BTreeMap<FileName, FileInfo> = listing
        .files
        .iter()
        .map(|file| (file.name, *file))
        .collect();
    let listed = expired.files.into_iter().filter_map(|(name, reason)| {
        Some(Superfluous {
            file: *files.get(&name)?,
            age: inventory.age(name, now)?,
            reason,
        })
    });
    listed.collect()
}

/// What has had its time.
#[derive(Debug, Default)]
pub(super) struct Expired {
    /// In the order in which to delete.
    pub(super) files: Vec<(FileName, Reason)>,
    /// When there will be more.
    pub(super) next: Option<Instant>,
    /// Whether the replica has to be listed before snapshots can go: which are kept goes by the times in listings.
    pub(super) lacks_times: bool,
}

/// The files of `inventory` that have had their time. `lasts` are the newest TXIDs of the levels from 1 on.
pub(super) fn expired(
    inventory: &Inventory,
    lasts: &[Txid],
    rules: &Retention,
    now: Instant,
) -> Expired {
    let mut expired = Expired::default();
    let floor = expired.snapshots(inventory, rules, now);
    if let Some(floor) = floor {
        expired.levels(inventory, lasts, floor, now);
    }
    if let Some(keep) = rules.syncs {
        expired.syncs(inventory, keep, now);
    }
    expired.strays(inventory, now);
    expired.damaged(inventory);
    expired
}

impl Expired {
    /// Gives the floor.
    fn snapshots(
        &mut self,
        inventory: &Inventory,
        rules: &Retention,
        now: Instant,
    ) -> Option<Txid> {
        let window = rules.snapshots + GRACE.min(rules.snapshots);
        let snapshots: Vec<(FileName, Duration)> = inventory.on(Level::SNAPSHOT, now).collect();
        let floor = snapshots.iter().rposition(|(_, age)| *age >= window);
        let to_floor = &snapshots[..floor.map_or(0, |floor| floor + 1)];
        self.older_snapshots(inventory, to_floor, rules.keep);
        // The next one to leave the window becomes the floor of those before it, if there are any.
        let next = floor.map_or(1, |floor| floor + 1);
        if let Some((_, age)) = snapshots.get(next) {
            self.look_again(now + (window - *age));
        }
        floor.map(|floor| snapshots[floor].0.txids.max())
    }

    /// The snapshots before the last of `to_floor`, which is the floor, but those to be kept.
    fn older_snapshots(
        &mut self,
        inventory: &Inventory,
        to_floor: &[(FileName, Duration)],
        keep: KeepRules,
    ) {
        let Some((_, older)) = to_floor.split_last().filter(|(_, older)| !older.is_empty()) else {
            return;
        };
        let kept = if keep == KeepRules::default() {
            vec![false; older.len()]
        } else {
            let times = to_floor.iter().map(|(name, _)| inventory.created(*name));
            let Some(times) = times.collect::<Option<Vec<Timestamp>>>() else {
                self.lacks_times = true;
                return;
            };
            kept(keep, &times)
        };
        let gone = older.iter().zip(kept).filter(|(_, kept)| !kept);
        self.files
            .extend(gone.map(|((name, _), _)| (*name, Reason::OldSnapshot)));
    }

    fn levels(&mut self, inventory: &Inventory, lasts: &[Txid], floor: Txid, now: Instant) {
        for level in Level::all() {
            if level == Level::SYNC || level == Level::SNAPSHOT {
                continue;
            }
            // Where nothing merges this level any further, the floor alone counts.
            let merged = lasts.get(usize::from(level.value())).copied();
            let limit = merged.map_or(floor, |merged| merged.min(floor));
            let newest = inventory.last(level);
            let files = inventory.on(level, now).map(|(name, _)| name);
            let gone =
                files.filter(|name| name.txids.max() <= limit && Some(name.txids.max()) != newest);
            self.files
                .extend(gone.map(|name| (name, Reason::BeforeWindow)));
        }
    }

    fn syncs(&mut self, inventory: &Inventory, keep: Duration, now: Instant) {
        let Some(first_level) = Level::new(1) else {
            return;
        };
        let newest = inventory.last(Level::SYNC);
        let mut last_to_come = None;
        for (name, _) in inventory.on(Level::SYNC, now) {
            if Some(name.txids.max()) == newest {
                continue;
            }
            match inventory.cover(first_level, name, now) {
                Some((_, age)) if age >= keep => self.files.push((name, Reason::Merged)),
                // All of them at once, when the last has had its time: if there is no upload before.
                Some((_, age)) => last_to_come = last_to_come.max(Some(keep - age)),
                None => {}
            }
        }
        if let Some(wait) = last_to_come {
            self.look_again(now + wait);
        }
    }

    fn strays(&mut self, inventory: &Inventory, now: Instant) {
        for (name, age) in inventory.strays(now) {
            let merged = || match (name.level, Level::new(1)) {
                (Level::SYNC, Some(first_level)) => inventory.cover(first_level, name, now),
                _ => None,
            };
            if inventory
                .cover(name.level, name, now)
                .or_else(merged)
                .is_none()
            {
                continue;
            }
            match age >= STRAY_LIFE {
                true => self.files.push((name, Reason::Repeated)),
                false => self.look_again(now + (STRAY_LIFE - age)),
            }
        }
    }

    fn damaged(&mut self, inventory: &Inventory) {
        let gone_on = |name: &FileName| inventory.last(name.level) >= Some(name.txids.max());
        let gone = inventory.damaged().filter(gone_on);
        self.files.extend(gone.map(|name| (name, Reason::Damaged)));
    }

    fn look_again(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}
