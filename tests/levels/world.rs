//! A database, its replica on a server in memory, and a clock; with everything checked that must hold between files.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use walbrook::database::{DestinationState, PageSet, SumsAt};
use walbrook::ltx::Header;
use walbrook::replica::{
    Destination, Finished, Read, Retention, Settled, Shape, Upkeep, Verdict, settle,
};
use walbrook::restore::{PlanError, Target, plan};
use walbrook::sqlite::{Blocking, DatabaseFiles, Follower, OpenOptions, Resume, WalPosition};
use walbrook::storage::{FileInfo, FileName, Storage};
use walbrook::sys::clock::{Clock, ManualClock};
use walbrook::units::{KeepRules, Level, Timestamp, Txid};

use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::rig::Rig;
use crate::support::server::{Fate, Server};
use crate::support::states::{apply, image};
use crate::support::title::adopted;

pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const DAY: Duration = Duration::from_secs(24 * 3600);
pub(super) const NOON: i64 = 1_795_392_000_000;

/// Litestream's defaults.
pub(super) fn usual() -> Upkeep {
    Upkeep {
        levels: vec![Duration::from_secs(30), Duration::from_secs(300), HOUR],
        snapshots: Some(DAY),
        snapshot_now: false,
        retention: Some(Retention {
            snapshots: DAY,
            keep: KeepRules::default(),
            syncs: Some(Duration::from_secs(300)),
            check: Duration::from_secs(15),
        }),
    }
}

pub(super) struct World {
    rig: Rig,
    app: Session,
    pub(super) server: Server,
    pub(super) clock: ManualClock,
    upkeep: Upkeep,
    follower: Option<Follower>,
    pub(super) destination: Destination,
    /// What is remembered on disk.
    pub(super) disk: Option<(WalPosition, DestinationState)>,
    /// The sums on disk.
    sums: Option<SumsAt>,
    /// The state that the file of this name and time was written from. While the clock is wrong, two attempts may
    /// have the same time.
    images: BTreeMap<(FileName, Timestamp), Vec<Arc<Vec<u8>>>>,
    /// When each TXID was confirmed, with the highest level on which a file ends there.
    pub(super) points: BTreeMap<Txid, (Instant, Level)>,
    /// How much older files may seem after the clock was set.
    pub(super) doubtful_age: Duration,
    /// Files were taken away, and not all is healed yet.
    pub(super) damaged: bool,
    /// Files were taken away, and what they were merged into is there.
    pub(super) scarred: bool,
    /// Up to where files of levels were deleted: below, snapshots stand alone.
    deleted_to: Txid,
    /// Every snapshot there ever was, with its time.
    snapshots: Vec<(Txid, Timestamp)>,
    pub(super) deleted: usize,
    pub(super) surveyed: usize,
    /// How often all pages were compared after a gap.
    pub(super) compared: usize,
    /// Files that were sent, and those of them that say what the database is.
    pub(super) sent: usize,
    pub(super) tagged: usize,
    log: Vec<String>,
}

impl World {
    pub(super) fn new(upkeep: Upkeep, conditional: bool) -> World {
        let rig = Rig::new();
        let mut app = Session::open(&rig.db());
        app.sql("PRAGMA page_size = 512");
        app.sql("PRAGMA auto_vacuum = full");
        app.sql("PRAGMA journal_mode = wal");
        app.sql("PRAGMA wal_autocheckpoint = 0");
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        let mut world = World {
            rig,
            app,
            server: Server::new(conditional),
            clock: ManualClock::new(Timestamp::from_millis(NOON)),
            upkeep,
            follower: None,
            destination: Destination::new(String::new(), Err(String::new())),
            disk: None,
            sums: None,
            images: BTreeMap::new(),
            points: BTreeMap::new(),
            doubtful_age: Duration::ZERO,
            damaged: false,
            scarred: false,
            deleted_to: Txid::FIRST,
            snapshots: Vec::new(),
            deleted: 0,
            surveyed: 0,
            compared: 0,
            sent: 0,
            tagged: 0,
            log: Vec::new(),
        };
        world.pass(Duration::from_millis(1));
        world.start();
        world
    }

    pub(super) fn say(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
        let lines = self.log.len();
        if lines > 4000 {
            self.log.drain(..2000);
        }
    }

    pub(super) fn log(&self) -> String {
        self.log.join("\n")
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.server.pass_to(self.clock.instant());
    }

    pub(super) fn sql(&mut self, statement: &str) {
        self.app.sql(statement);
    }

    pub(super) fn commit(&mut self, chance: &mut Chance) {
        let statement = match chance.below(6) {
            0 => "DELETE FROM t WHERE id % 2 = 0".to_string(),
            1 => "DELETE FROM t WHERE id > 7".to_string(),
            2 | 3 => "UPDATE t SET v = hex(randomblob(150)) WHERE id % 5 = 1".to_string(),
            _ => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
                 INSERT INTO t(v) SELECT hex(randomblob(100 + i)) FROM n",
                1 + chance.below(12)
            ),
        };
        self.sql(&statement);
    }

    /// As `daemon::database::look` opens a database.
    fn start(&mut self) {
        let options = OpenOptions {
            patience: Duration::from_secs(1),
            destinations: 1,
        };
        let files = DatabaseFiles::open(&self.rig.db(), options).unwrap();
        let position = self.disk.as_ref().map(|(position, _)| *position);
        let mut news = PageSet::default();
        let (follower, resume) = Follower::start(files, position, &mut news).unwrap();
        let remembered = self.disk.clone().map(|(_, state)| state);
        let under_way = remembered.as_ref().is_some_and(|state| state.under_way);
        let gap = resume != Resume::Continued;
        let sums = self.sums.clone();
        let sums = sums.and_then(|sums| sums.at_start(remembered.as_ref(), gap));
        let under_way = under_way || (remembered.is_none() && sums.is_some());
        let known = match (remembered, resume) {
            (Some(mut state), Resume::Continued) => {
                state.dirty.union(&news);
                Ok(state)
            }
            (_, resume) => Err(format!("{resume:?}")),
        };
        self.say(format!("start: {:?}", known.as_ref().err()));
        let destination = Destination::new("server".to_string(), known)
            .with_sums(sums)
            .with_upkeep(self.upkeep.clone());
        self.destination = match under_way || !self.server.conditional {
            true => destination.in_doubt(self.clock.instant()),
            false => destination,
        };
        self.follower = Some(follower);
    }

    /// Ends the process at once and starts it again.
    pub(super) fn restart(&mut self) {
        self.follower = None;
        self.destination = Destination::new(String::new(), Err(String::new()));
        self.server.forget();
        self.start();
    }

    /// The application has started the WAL over, and written, while nobody looked.
    pub(super) fn gap(&mut self, chance: &mut Chance) {
        self.follower = None;
        self.destination = Destination::new(String::new(), Err(String::new()));
        self.commit(chance);
        self.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        self.commit(chance);
        self.say("gap");
        self.restart();
    }

    /// As `daemon::database::remember`.
    pub(super) fn save(&mut self, running: bool) {
        self.advance();
        if let Some(sums) = self.destination.sums_to_keep() {
            let mut sums = sums.clone();
            sums.are_on_disk();
            self.sums = Some(sums);
            self.destination.sums_are_kept();
        }
        let position = self.follower.as_ref().unwrap().position();
        if let Some(mut state) = self.destination.state() {
            state.under_way |= running;
            self.disk = Some((position, state));
        }
    }

    pub(super) fn advance(&mut self) {
        let follower = self.follower.as_mut().unwrap();
        follower.advance(&mut self.destination).unwrap();
    }

    pub(super) fn checkpoint(&mut self) {
        let follower = self.follower.as_mut().unwrap();
        let destination = &mut self.destination;
        follower.write_back(Blocking::Never, destination).unwrap();
    }

    /// One round of the loop of `daemon::database`, with what becomes of each file that is sent.
    pub(super) fn round(&mut self, fates: &[Fate]) {
        self.advance();
        let now = self.clock.instant();
        if let Some(remembered) = self.destination.unsettled() {
            let view = self.follower.as_ref().unwrap().view();
            let shape = Shape {
                page_size: view.page_size(),
                pages: view.pages(),
            };
            let footing = settle(&self.server, shape, remembered, adopted()).unwrap();
            let settled = self.destination.settled(footing, Verdict::Own, now);
            if let Settled::Taken(_) = settled {
                return self.restart_by_somebody();
            }
            let holes = self.destination.holes();
            self.say(format!("  settled: {settled:?}, holes: {holes:?}"));
        }
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        while self.destination.wants_reading() {
            if let Read::Compared { differing } = self.destination.read_on(&view, 4096).unwrap() {
                self.say(format!("  compared: {differing} differ"));
                self.compared += 1;
            }
        }
        drop(view);
        self.destination.tick(now);
        if self.destination.has_work() {
            self.send(fates);
        }
        self.tend();
    }

    /// As [`World::round`] until nothing more is to do at this time, and the server answers everything.
    pub(super) fn calm(&mut self) {
        for _ in 0..20 {
            self.round(&[]);
            if !self.destination.has_work() && self.destination.survey().is_none() {
                return;
            }
        }
        panic!("it does not come to rest:\n{}", self.log());
    }

    fn send(&mut self, fates: &[Fate]) {
        self.pass(Duration::from_millis(2));
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        let held = self.destination.held().is_some();
        let now = self.clock.now();
        let Some(upload) = self.destination.next_upload(&view, now, &self.server) else {
            return;
        };
        let files: Vec<_> = upload.files().collect();
        self.say(format!("  sending {upload:?}, held: {held}, {fates:?}"));
        let sync = |name: &FileName| name.level == Level::SYNC;
        if !held {
            let image = Arc::new(image(&view));
            for (name, created) in &files {
                let images = self.images.entry((*name, *created)).or_default();
                images.push(Arc::clone(&image));
            }
        } else {
            // Levels follow from the view of the sync that they end with.
            for (name, created) in &files {
                let mut ends = self.images.iter();
                let same = ends.find(|((other, time), _)| {
                    other.txids.max() == name.txids.max() && time == created
                });
                if let Some((_, image)) = same.map(|(key, images)| (*key, images.clone())) {
                    self.images.insert((*name, *created), image);
                }
            }
        }
        self.server.lock().fates = VecDeque::from(fates.to_vec());
        let result = upload.run(&self.server);
        self.server.lock().fates.clear();
        drop(upload);
        for (name, created) in &files[..result.confirmed] {
            let header = self.server.lock().files[name]
                .1
                .first_chunk()
                .map(Header::parse);
            self.sent += 1;
            self.tagged += usize::from(header.unwrap().unwrap().database().is_some());
            if name.level == Level::SNAPSHOT {
                self.snapshots.push((name.txids.max(), *created));
            }
            let at = self.clock.instant();
            let level = if sync(name) { Level::SYNC } else { name.level };
            let point = self.points.entry(name.txids.max()).or_insert((at, level));
            if name.level != Level::SNAPSHOT {
                point.1 = point.1.max(level);
            }
        }
        let finished = self.destination.finished(result, self.clock.instant());
        self.say(format!("  {finished:?}"));
        if let Some(Finished::Taken(_)) = finished {
            self.restart_by_somebody();
        }
    }

    /// What a run before the last one had sent has arrived only now. A person looks, and starts it again.
    fn restart_by_somebody(&mut self) {
        assert!(self.server.conditional, "taken:\n{}", self.log());
        self.say("taken");
        self.restart();
    }

    fn tend(&mut self) {
        let now = self.clock.instant();
        if self.destination.is_sending() {
            return;
        }
        if let Some(survey) = self.destination.survey() {
            let surveyed = survey.run(&self.server);
            self.say(format!("  survey {survey:?}"));
            self.surveyed += 1;
            self.destination.surveyed(surveyed, now);
            return;
        }
        let files = self.destination.expired(now);
        if !files.is_empty() {
            let names: Vec<String> = files.iter().map(FileName::to_string).collect();
            let result = self.server.delete(&files);
            self.say(format!("  delete {names:?}: {}", result.is_ok()));
            self.deleted += files.len();
            let of_levels = files.iter().filter(|name| name.level != Level::SYNC);
            let ends = of_levels.map(|name| name.txids.max());
            self.deleted_to = ends.fold(self.deleted_to, Txid::max);
            self.destination.deleted(&files, &result, now);
        }
    }

    pub(super) fn files(&self) -> Vec<FileInfo> {
        self.server.list_all().unwrap()
    }

    /// The files there are, as (level, min, max).
    pub(super) fn names(&self) -> Vec<(u8, u64, u64)> {
        let files = self.files();
        let names = files.iter().map(|file| {
            let txids = file.name.txids;
            (
                file.name.level.value(),
                txids.min().value(),
                txids.max().value(),
            )
        });
        names.collect()
    }

    /// Everything that must hold between the files, and `txids` restored in every way.
    pub(super) fn check(&self, txids: &[Txid], chance: &mut Chance) {
        self.check_levels();
        self.check_promise();
        self.check_kept();
        for txid in txids {
            self.check_restores(*txid, chance);
        }
    }

    /// The TXIDs that files end at, from the oldest snapshot on that others are chained to, and of the older ones.
    pub(super) fn ends(&self) -> Vec<Txid> {
        let files = self.files();
        let snapshots: Vec<Txid> = files
            .iter()
            .filter(|file| file.name.level == Level::SNAPSHOT)
            .map(|file| file.name.txids.max())
            .collect();
        let alone = |txid: &&Txid| **txid < self.deleted_to;
        let oldest = snapshots.iter().find(|txid| !alone(txid)).copied();
        let mut ends: Vec<Txid> = files
            .iter()
            .map(|file| file.name.txids.max())
            .filter(|txid| oldest.is_some_and(|oldest| *txid >= oldest))
            .chain(snapshots.iter().filter(alone).copied())
            .collect();
        ends.sort();
        ends.dedup();
        ends
    }

    fn check_restores(&self, txid: Txid, chance: &mut Chance) {
        let infos = self.files();
        let files = self.server.lock().files.clone();
        let ours = match plan(&infos, Target::Txid(txid)) {
            Ok(plan) => plan.files.iter().map(|file| file.name).collect(),
            Err(error) if self.damaged || self.scarred => {
                assert!(!matches!(error, PlanError::Empty), "{error}");
                return;
            }
            // A sync that was deleted, and arrives again from a request of long ago.
            Err(_) if merged(&infos, txid) => return,
            Err(error) => panic!("{txid}: {error}: {:?}\n{}", self.names(), self.log()),
        };
        let greedy = chain(&infos, txid, |next| next.last().copied());
        let mut chains: Vec<Vec<FileName>> = vec![ours, greedy];
        for _ in 0..2 {
            chains.push(chain(&infos, txid, |next| {
                let which = chance.below(next.len().max(1) as u64) as usize;
                next.get(which).copied()
            }));
        }
        for chain in chains {
            let last = chain.last().unwrap();
            let created = files[last].0;
            let Some(expected) = self.images.get(&(*last, created)) else {
                panic!("{last} of {created} was never sent:\n{}", self.log());
            };
            let restored = apply(&files, &chain);
            if !expected.iter().any(|image| **image == restored) {
                panic!(
                    "{txid} restored from {chain:?} is not what it was:\n{}",
                    self.log()
                );
            }
        }
    }

    /// Each level joins, has come no farther than the one below, and has what Litestream would merge next.
    fn check_levels(&self) {
        let infos = self.files();
        let on = |level: u8| -> Vec<(u64, u64)> {
            let level = Level::new(level).unwrap();
            let ranges: Vec<(u64, u64)> = infos
                .iter()
                .filter(|file| file.name.level == level)
                .map(|file| (file.name.txids.min().value(), file.name.txids.max().value()))
                .collect();
            // One within another is a late one, which will be deleted.
            let within = |inner: &(u64, u64)| {
                ranges
                    .iter()
                    .any(|outer| outer != inner && outer.0 <= inner.0 && outer.1 >= inner.1)
            };
            ranges.iter().filter(|it| !within(it)).copied().collect()
        };
        let context = || format!("{:?}\n{}", self.names(), self.log());
        let mut below = on(0);
        for number in 1..=self.upkeep.levels.len() {
            let here = on(number as u8);
            let joins = here.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0);
            let may_have_holes = self.damaged || self.scarred;
            assert!(joins || may_have_holes, "level {number}: {}", context());
            let (last, end) = (here.last().map(|it| it.1), below.last().map(|it| it.1));
            if let (Some(last), Some(end)) = (last, end) {
                assert!(last <= end, "level {number} is ahead: {}", context());
                let mut reached = last;
                for range in below.iter().filter(|range| range.1 > last) {
                    let joins = range.0 == reached + 1;
                    assert!(
                        joins || self.damaged,
                        "level {number} goes on: {}",
                        context()
                    );
                    reached = range.1;
                }
            }
            below = here;
        }
    }

    /// What is still within the time that it is kept for can be restored.
    fn check_promise(&self) {
        let Some(rules) = self.upkeep.retention else {
            return;
        };
        if self.damaged {
            return;
        }
        let (now, infos) = (self.clock.instant(), self.files());
        for (txid, (confirmed, level)) in &self.points {
            let age = now - *confirmed + self.doubtful_age;
            let kept = match *level > Level::SYNC {
                true => rules.snapshots,
                false => rules.syncs.unwrap_or(rules.snapshots).min(rules.snapshots),
            };
            if age <= kept
                && let Err(error) = plan(&infos, Target::Txid(*txid))
            {
                panic!(
                    "{txid}, {} s old, on level {level}: {error}: {:?}\n{}",
                    age.as_secs(),
                    self.names(),
                    self.log()
                );
            }
        }
    }

    /// Of each of the last periods, counted over all there ever was, the newest snapshot is there, and no more than
    /// that leads to.
    fn check_kept(&self) {
        let Some(rules) = self.upkeep.retention.filter(|_| !self.damaged) else {
            return;
        };
        let files = self.server.list(Level::SNAPSHOT).unwrap();
        let there: Vec<Txid> = files.iter().map(|file| file.name.txids.max()).collect();
        for (period, count) in rules.keep.each() {
            let mut newest = BTreeMap::new();
            for (txid, created) in &self.snapshots {
                newest.insert(period.number(*created), *txid);
            }
            for (number, txid) in newest.iter().rev().take(count as usize) {
                assert!(
                    there.contains(txid),
                    "{txid}, the newest of {period:?} {number}: {:?}\n{}",
                    self.names(),
                    self.log()
                );
            }
        }
    }

    /// Compares the newest state with the database, all being sent.
    pub(super) fn assert_in_sync(&mut self) {
        self.calm();
        let infos = self.files();
        let files = self.server.lock().files.clone();
        let latest = plan(&infos, Target::Latest).unwrap();
        let chain: Vec<FileName> = latest.files.iter().map(|file| file.name).collect();
        let source = image(self.follower.as_ref().unwrap().view());
        assert!(apply(&files, &chain) == source, "{}", self.log());
    }
}

/// Whether `txid` is the end of a sync alone, and lies in the middle of a file of level 1.
fn merged(files: &[FileInfo], txid: Txid) -> bool {
    let ends = files.iter().filter(|file| file.name.txids.max() == txid);
    let level_1 = Level::new(1).unwrap();
    ends.into_iter().all(|file| file.name.level == Level::SYNC)
        && files.iter().any(|file| {
            let txids = file.name.txids;
            file.name.level == level_1 && txids.min() <= txid && txids.max() > txid
        })
}

/// A chain of files to `txid` from the newest snapshot on, as Litestream makes them; which of those that go on from
/// where it is, sorted by where they end, is for `choose`.
fn chain(
    files: &[FileInfo],
    txid: Txid,
    mut choose: impl FnMut(&[FileName]) -> Option<FileName>,
) -> Vec<FileName> {
    let names = || files.iter().map(|file| file.name);
    let base = names()
        .filter(|name| name.level == Level::SNAPSHOT && name.txids.max() <= txid)
        .max_by_key(|name| name.txids.max());
    let mut chain: Vec<FileName> = base.into_iter().collect();
    loop {
        let reached = chain.last().map(|name| name.txids.max());
        let mut next: Vec<FileName> = names()
            .filter(|name| name.level != Level::SNAPSHOT && name.txids.max() <= txid)
            .filter(|name| name.txids.continues(reached))
            .collect();
        next.sort_by_key(|name| (name.txids.max(), std::cmp::Reverse(name.txids.min())));
        match choose(&next) {
            Some(name) => chain.push(name),
            None => break,
        }
    }
    assert_eq!(chain.last().map(|name| name.txids.max()), Some(txid));
    chain
}
