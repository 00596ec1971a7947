//! Uploads that arrive late, by random histories: commits, uploads that fail in every way, requests delivered long
//! after their sender gave up, views called back, restarts. After every step each TXID on the storage is restored,
//! and must be the state that its newest file was written from, whatever stands below it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use walbrook::database::{DestinationState, PageSet, SumsAt};
use walbrook::replica::{Destination, Finished, Read, Settled, Shape, Upload, Verdict, settle};
use walbrook::restore::{self, Target};
use walbrook::sqlite::{Blocking, DatabaseFiles, Follower, OpenOptions, Resume, WalPosition};
use walbrook::storage::{FileName, Storage};
use walbrook::sys::clock::{Clock, ManualClock};
use walbrook::units::{Level, Timestamp, Txid};

use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::rig::Rig;
use crate::support::server::{Fate, Server};
use crate::support::states::{apply, image};
use crate::support::title::adopted;

const HISTORIES: u64 = 60;
const STEPS: usize = 150;
/// What is on disk beside the database.
#[derive(Default)]
struct Disk {
    state: Option<(WalPosition, DestinationState)>,
    /// An upload of everything was begun, and no state could be written.
    under_way: bool,
    /// The file of sums. It may be older than the state, or newer.
    sums: Option<SumsAt>,
}

struct History<'a> {
    chance: &'a mut Chance,
    rig: Rig,
    app: Session,
    server: Server,
    clock: ManualClock,
    disk: Disk,
    follower: Option<Follower>,
    destination: Destination,
    upload: Option<Upload>,
    begun: bool,
    /// The state that the file of this name and time was written from.
    images: BTreeMap<(FileName, Timestamp), Arc<Vec<u8>>>,
    carried: usize,
    adopted: usize,
    contested: usize,
    restored: usize,
    compared: usize,
    log: Vec<String>,
}

impl History<'_> {
    fn new(chance: &mut Chance) -> History<'_> {
        let rig = Rig::new();
        let mut app = Session::open(&rig.db());
        app.sql("PRAGMA page_size = 512");
        app.sql("PRAGMA auto_vacuum = full");
        app.sql("PRAGMA journal_mode = wal");
        app.sql("PRAGMA wal_autocheckpoint = 0");
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        let conditional = chance.once_in(2);
        let mut history = History {
            server: Server::new(conditional),
            destination: Destination::new("server".to_string(), Err(String::new())),
            chance,
            rig,
            app,
            clock: ManualClock::new(Timestamp::from_millis(1_795_392_000_000)),
            disk: Disk::default(),
            follower: None,
            upload: None,
            begun: false,
            images: BTreeMap::new(),
            carried: 0,
            adopted: 0,
            contested: 0,
            restored: 0,
            compared: 0,
            log: vec![format!("conditional: {conditional}")],
        };
        history.pass(Duration::from_millis(1));
        history.start();
        history
    }

    fn say(&mut self, what: impl Into<String>) {
        self.log.push(what.into());
    }

    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.server.pass_to(self.clock.instant());
    }

    /// As `daemon::database::look` opens a database.
    fn start(&mut self) {
        let options = OpenOptions {
            patience: Duration::from_secs(1),
            destinations: 1,
        };
        let files = DatabaseFiles::open(&self.rig.db(), options).unwrap();
        let position = self.disk.state.as_ref().map(|(position, _)| *position);
        let mut news = PageSet::default();
        let (follower, resume) = Follower::start(files, position, &mut news).unwrap();
        let remembered = self.disk.state.clone().map(|(_, state)| state);
        let under_way =
            self.disk.under_way || remembered.as_ref().is_some_and(|state| state.under_way);
        let gap = resume != Resume::Continued;
        let sums = self.disk.sums.clone();
        let sums = sums.and_then(|sums| sums.at_start(remembered.as_ref(), gap));
        let under_way = under_way || (remembered.is_none() && sums.is_some());
        let known = match (remembered, resume) {
            (Some(mut state), Resume::Continued) => {
                state.dirty.union(&news);
                Ok(state)
            }
            (_, resume) => Err(format!("{resume:?}")),
        };
        self.log.push(format!("start: {:?}", known.as_ref().err()));
        self.destination = Destination::new("server".to_string(), known).with_sums(sums);
        if under_way {
            let destination = std::mem::replace(
                &mut self.destination,
                Destination::new(String::new(), Err(String::new())),
            );
            self.destination = destination.in_doubt(self.clock.instant());
        }
        self.follower = Some(follower);
        self.begun = false;
    }

    /// Ends the process: cleanly, or at once.
    fn restart(&mut self, kill: bool) {
        if let Some(upload) = self.upload.take() {
            let fate = self
                .chance
                .of(&[Fate::Delayed, Fate::AnswerLost, Fate::NotSent]);
            self.server.lock().fates = VecDeque::from([fate]);
            upload.run(&self.server);
            self.say(format!("  cut off: {fate:?}"));
        }
        if !kill {
            self.advance();
            if self.chance.once_in(2) {
                self.keep_sums();
            }
            self.save(false);
        }
        self.follower = None;
        self.destination = Destination::new(String::new(), Err(String::new()));
        self.server.forget();
        if self.chance.once_in(3) {
            self.commit();
        }
        if self.chance.once_in(3) {
            self.say("  the WAL was started over");
            self.app.sql("PRAGMA wal_checkpoint(TRUNCATE)");
            self.commit();
        }
        self.start();
    }

    /// As `daemon::database::read`.
    fn read(&mut self) {
        let chunk = 512 << self.chance.below(6);
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        let read = self.destination.read_on(&view, chunk).unwrap();
        if let Read::Compared { differing } = read {
            self.say(format!("  compared: {differing} differ"));
            self.compared += 1;
        }
    }

    /// As `daemon::database::remember` keeps sums.
    fn keep_sums(&mut self) {
        if let Some(sums) = self.destination.sums_to_keep() {
            let mut sums = sums.clone();
            sums.are_on_disk();
            self.disk.sums = Some(sums);
            self.destination.sums_are_kept();
        }
    }

    fn advance(&mut self) {
        let follower = self.follower.as_mut().unwrap();
        follower.advance(&mut self.destination).unwrap();
    }

    fn commit(&mut self) {
        let statement = match self.chance.below(5) {
            0 => "DELETE FROM t WHERE id % 2 = 0".to_string(),
            1 => "DELETE FROM t WHERE id > 7".to_string(),
            2 => "UPDATE t SET v = hex(randomblob(150)) WHERE id % 5 = 1".to_string(),
            _ => format!(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
                 INSERT INTO t(v) SELECT hex(randomblob(100 + i)) FROM n",
                1 + self.chance.below(12)
            ),
        };
        self.app.sql(&statement);
    }

    fn state(&self) -> Option<(WalPosition, DestinationState)> {
        let position = self.follower.as_ref()?.position();
        Some((position, self.destination.state()?))
    }

    /// As `daemon::database::remember`.
    fn save(&mut self, running: bool) {
        if let Some((position, mut state)) = self.state() {
            state.under_way |= running;
            self.begun = state.under_way;
            self.disk.state = Some((position, state));
            self.disk.under_way = false;
        }
    }

    fn begin_upload(&mut self) {
        if self.upload.is_some() {
            return;
        }
        self.advance();
        if let Some(remembered) = self.destination.unsettled() {
            let view = self.follower.as_ref().unwrap().view();
            let shape = Shape {
                page_size: view.page_size(),
                pages: view.pages(),
            };
            let footing = settle(&self.server, shape, remembered, adopted()).unwrap();
            self.say(format!("  settled: {footing:?}"));
            let now = self.clock.instant();
            if let Settled::Taken(_) = self.destination.settled(footing, Verdict::Own, now) {
                // A person looks, and starts it again.
                self.restart(true);
                return;
            }
        }
        while self.destination.wants_reading() && !self.chance.once_in(9) {
            self.read();
            if self.chance.once_in(9) {
                self.commit();
                self.advance();
            }
        }
        if !self.destination.has_work() {
            return;
        }
        if self.server.late_writes_replace() && !self.begun {
            self.disk.state = None;
            self.disk.under_way = true;
            self.save(true);
            self.begun = true;
        }
        self.pass(Duration::from_millis(2));
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        let again = self.destination.held().is_some();
        self.upload = self
            .destination
            .next_upload(&view, self.clock.now(), &self.server);
        self.say(format!("  sending {:?}, again: {again}", self.upload));
        if !again {
            // Files of one upload have times close together; those sent again are known already.
            let image = Arc::new(image(&view));
            let files = self.upload.as_ref().unwrap().files();
            for (name, created) in files {
                self.images.insert((name, created), Arc::clone(&image));
            }
        }
    }

    fn end_upload(&mut self) {
        let Some(upload) = self.upload.take() else {
            return;
        };
        use Fate::{AnswerLost, Answered, Delayed, NotSent};
        let mut fates = VecDeque::new();
        for _ in 0..2 {
            fates.push_back(self.chance.of(&[
                Answered, Answered, Answered, Delayed, Delayed, AnswerLost, NotSent,
            ]));
        }
        self.say(format!("  {fates:?}"));
        self.server.lock().fates = fates;
        let result = upload.run(&self.server);
        self.server.lock().fates.clear();
        drop(upload);
        let finished = self.destination.finished(result, self.clock.instant());
        match finished {
            Some(Finished::Adopted { .. }) => self.adopted += 1,
            Some(Finished::Contested) => self.contested += 1,
            Some(Finished::Confirmed { .. }) if self.destination.has_work() => self.carried += 1,
            _ => {}
        }
        self.say(format!("  {finished:?}"));
        if let Some(Finished::Taken(error)) = finished {
            assert!(self.server.conditional, "{error}");
            self.restart(true);
        }
    }

    fn step(&mut self) {
        let what = self.chance.below(44);
        self.say(format!("step {what}"));
        match what {
            0..8 => self.commit(),
            8..17 => self.begin_upload(),
            17..26 => self.end_upload(),
            26..34 => {
                let delivered = self.server.deliver(self.chance);
                self.say(format!("  delivered {delivered:?}"));
            }
            34 => {
                let follower = self.follower.as_mut().unwrap();
                let (blocking, destination) = (Blocking::Never, &mut self.destination);
                follower.write_back(blocking, destination).unwrap();
            }
            35 => {
                let time = self.chance.time(Duration::from_secs(2000));
                self.pass(time);
            }
            36 => {
                self.save(true);
                if self.chance.once_in(2) {
                    self.keep_sums();
                }
            }
            37 => {
                let kill = self.chance.once_in(2);
                self.restart(kill);
            }
            38 => {
                let kill = self.chance.once_in(4);
                self.restart(kill);
            }
            40..44 => {
                self.destination.call_back(self.clock.instant());
            }
            _ if self.chance.once_in(3) => {
                let reason = "for the test".to_string();
                self.destination.lost_track(reason, self.clock.instant());
            }
            _ if self.upload.is_none() && self.chance.once_in(2) => {
                let reason = "for the test".to_string();
                self.destination.reopened(reason, self.clock.instant());
            }
            _ => {}
        }
    }

    /// Restores every TXID, and compares it with the state that the newest file in it was written from.
    fn check(&mut self) {
        let files = self.server.lock().files.clone();
        let snapshots = files.keys().filter(|name| name.level == Level::SNAPSHOT);
        let snapshots: Vec<FileName> = snapshots.copied().collect();
        for (name, (created, _)) in &files {
            let txid = name.txids.max();
            let Some(base) = snapshots.iter().rfind(|base| base.txids.max() <= txid) else {
                panic!("{name} without a snapshot:\n{}", self.log.join("\n"));
            };
            // A snapshot that heals has the TXID of the sync just before, and the same content.
            let mut chain = vec![*base];
            let syncs = files.keys().filter(|name| {
                let max = name.txids.max();
                name.level == Level::SYNC && max <= txid && max > base.txids.max()
            });
            chain.extend(syncs);
            let restored = apply(&files, &chain);
            let newest = chain.last().unwrap();
            let created = match newest == name {
                true => *created,
                false => files[newest].0,
            };
            if restored != **self.images.get(&(*newest, created)).unwrap() {
                panic!(
                    "{name} of {created}, restored from {chain:?}, is not what it was written from:\n{}",
                    self.log.join("\n")
                );
            }
            self.restored += 1;
        }
    }

    /// The same for the newest one, by the program's own restore; and the database itself, when all is sent.
    fn check_newest(&mut self) {
        let Some(txid) = self.newest() else {
            return;
        };
        let output = self.rig.path("restored.db");
        let _ = std::fs::remove_file(&output);
        let options = restore::Options::default();
        let ignore = &mut |_| {};
        restore::restore(&self.server, Target::Latest, &output, &options, ignore).unwrap();
        let restored = std::fs::read(&output).unwrap();
        let newest = self
            .server
            .lock()
            .files
            .iter()
            .fold(None, |best, (name, file)| match name.txids.max() == txid {
                true => best.max(Some((*name, file.0))),
                false => best,
            });
        assert!(
            restored == **self.images.get(&newest.unwrap()).unwrap(),
            "{newest:?}:\n{}",
            self.log.join("\n")
        );
    }

    fn newest(&self) -> Option<Txid> {
        let inner = self.server.lock();
        inner.files.keys().map(|name| name.txids.max()).max()
    }

    /// The server answers everything now, and all is sent.
    fn calm_down(&mut self) {
        self.end_upload();
        loop {
            self.begin_upload();
            if self.upload.is_none() && self.destination.is_behind() {
                continue;
            }
            let Some(upload) = self.upload.take() else {
                break;
            };
            let result = upload.run(&self.server);
            drop(upload);
            let finished = self.destination.finished(result, self.clock.instant());
            self.say(format!("  {finished:?}"));
            if let Some(Finished::Taken(_)) = finished {
                self.restart(true);
            }
            self.check();
        }
        // Whatever is still on its way.
        while self.server.deliver(self.chance).is_some() {
            self.check();
        }
        self.check_newest();
        let source = image(self.follower.as_ref().unwrap().view());
        let restored = std::fs::read(self.rig.path("restored.db")).unwrap();
        assert!(restored == source, "{}", self.log.join("\n"));
    }
}

#[test]
fn no_late_upload_spoils_what_was_built_on_it() {
    let mut chance = Chance::of_environment("no_late_upload_spoils_what_was_built_on_it");
    let (mut carried, mut adopted, mut contested, mut restored) = (0, 0, 0, 0);
    let mut compared = 0;
    for _ in 0..HISTORIES {
        let mut history = History::new(&mut chance);
        for step in 0..STEPS {
            history.step();
            history.check();
            if step % 30 == 0 {
                history.check_newest();
            }
        }
        history.calm_down();
        carried += history.carried;
        adopted += history.adopted;
        contested += history.contested;
        restored += history.restored;
        compared += history.compared;
    }
    eprintln!(
        "{restored} restored; carried {carried}, adopted {adopted}, contested {contested}, compared {compared}"
    );
    assert!(carried > 0 && adopted > 0 && restored > 1000 && compared > 20);
}
