//! One destination of the database and the way to it: what it lacks, what its storage was asked, how that went, and
//! when it is tried next.
//!
//! Destinations know nothing of each other. All are told of every change, and each sends from the newest view when its
//! own time has come; so one that cannot be reached keeps a longer and longer list of pages, and nobody waits for it.

mod guard;
mod read;
mod send;
mod tend;

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use self::tend::upkeep;
use super::{Setup, Stop};
use crate::config::{KeepingConfig, ReplicaConfig};
use crate::daemon::Event;
use crate::daemon::complaint::Complaint;
use crate::daemon::outage::Outage;
use crate::daemon::turns::Turns;
use crate::daemon::uploads::{Action, Answer, Task, Uploads};
use crate::database::{DestinationState, SumsFile};
use crate::replica::Destination;
use crate::sqlite::{Changes, FileMark, View};
use crate::storage::Storage;
use crate::sys::clock::Clock;
use crate::units::{PageCount, PageNumber, Txid};

/// Which of a database's destinations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::daemon) struct OutletId(usize);

/// One destination of the database.
pub(super) struct Outlet {
    id: OutletId,
    /// For messages: the database, and where there are several destinations, which.
    pub(super) name: String,
    pub(super) destination: Destination,
    storage: Arc<dyn Storage>,
    uploads: Uploads,
    /// Where answers go.
    entrance: Sender<Event>,
    clock: Arc<dyn Clock>,
    sync_interval: Duration,
    keeping: KeepingConfig,
    stop: Option<Stop>,
    /// For what database the storage has been asked where the replica stands, while it has not answered yet.
    asked: Option<FileMark>,
    /// Something else is asked of the storage, between uploads.
    tending: bool,
    /// What is remembered on disk says that an upload of this run may be under way.
    pub(super) begun: bool,
    /// The TXID that is remembered on disk.
    pub(super) saved: Option<Txid>,
    sync_at: Instant,
    /// When the replica is listed, only to see whether anything is missing.
    validation_at: Option<Instant>,
    pub(super) outage: Outage,
    deletion: Complaint,
    sums_file: SumsFile,
    sums_trouble: Complaint,
    /// The sums are not put on disk again before this, unless the run ends.
    sums_at: Instant,
    turns: Turns,
    /// When the database is read on, once a turn is taken for that.
    read_at: Option<Instant>,
    /// When it is said how far it was read.
    report_at: Instant,
    /// The database's path, for messages.
    database: String,
    /// A person says that the database may go on in the replica, whatever is there, until it has been settled.
    adopt: bool,
    /// An earlier run remembers that it replicated this very file there.
    remembered: bool,
    /// When to say again that nothing is sent.
    remind_at: Option<Instant>,
}

impl Outlet {
    /// Notes that the database, the file `inode`, is open for the first time. An earlier run has left `state`, which is
    /// `known` to go on from if the WAL still runs through its place; that run may have left an upload under way, as
    /// far as that is told at all. It is `vouched` for if that run replicated this very file there.
    pub(super) fn opened(
        &mut self,
        inode: u64,
        state: Option<&DestinationState>,
        known: Result<DestinationState, String>,
        under_way: Option<bool>,
        vouched: bool,
    ) {
        let sums = self.sums_at_start(inode, state, known.is_err());
        self.remembered = vouched || sums.is_some();
        // Sums survive a power cut where the state may not, and with it the word of what was under way.
        let under_way = under_way.unwrap_or(sums.is_some());
        let destination = Destination::new(self.storage.location(), known)
            .with_sums(sums)
            .with_upkeep(upkeep(&self.keeping));
        self.destination = match under_way {
            true => destination.in_doubt(self.now()),
            false => destination,
        };
    }

    /// Notes that the database was opened anew, and may be another one.
    pub(super) fn reopened(&mut self, now: Instant) {
        self.remembered = false;
        self.sync_at = now;
        let reason = "the database was opened anew".to_string();
        self.destination.reopened(reason, now);
    }

    /// Brings the last changes there at once, and nothing else.
    pub(super) fn stop(&mut self, stop: Stop, now: Instant) {
        self.stop = Some(stop);
        self.destination.stop_tending(now);
        self.sync_at = now;
        self.read_at = Some(now);
    }

    /// Whether it is no use to wait for the last changes to arrive.
    pub(super) fn is_hopeless(&self) -> bool {
        let gives_up = self.stop.is_some_and(|stop| !stop.tries_again);
        self.destination.is_closed() || (gives_up && self.outage.is_on())
    }

    /// Whether a file of ours is on top of the replica, as far as can be known: see
    /// [`super::DatabaseThread::may_start_wal_over`].
    pub(super) fn is_on_top(&self) -> bool {
        self.destination.is_on_top()
            || self.destination.is_closed()
            || (self.outage.is_on() && self.destination.remembers())
    }

    /// Whether an upload is under way that may still read from its view.
    pub(super) fn is_sending(&self) -> bool {
        self.destination.is_sending()
    }

    /// Whether an upload holds a view, which keeps the WAL from starting over.
    pub(super) fn holds_view(&self) -> bool {
        self.destination.held().is_some()
    }

    /// When something is due, while the database is followed or not.
    pub(super) fn due(&self, followed: bool) -> Option<Instant> {
        let waits_for_sync = self.destination.has_work()
            || (self.destination.unsettled().is_some() && self.asked.is_none());
        let sync = (waits_for_sync && followed && !self.tending).then(|| self.sync_at());
        let read = self.read_at.filter(|_| followed && self.reads());
        let due = [sync, read, self.tend_at(), self.remind_at];
        due.into_iter().flatten().min()
    }

    /// Takes what the storage has answered, the database being as in `view` now, if it is open.
    pub(super) fn answered(&mut self, answer: Answer, view: Option<&Arc<View>>) {
        match answer {
            Answer::Settled(footing) => self.settled(footing, view),
            Answer::Uploaded(result) => self.uploaded(result),
            Answer::SnapshotUploaded(result) => self.snapshot_uploaded(result),
            Answer::Surveyed(surveyed) => self.surveyed(surveyed),
            Answer::Deleted(files, result) => self.deleted(&files, &result),
        }
    }

    fn order(&self, action: Action) {
        self.uploads.add(Task {
            storage: Arc::clone(&self.storage),
            action,
            outlet: self.id,
            reply: self.entrance.clone(),
        });
    }

    fn now(&self) -> Instant {
        self.clock.instant()
    }
}

/// All destinations of the database, at least one.
pub(super) struct Outlets(Vec<Outlet>);

impl Outlets {
    /// One for each configured replica, before the database is open. `entrance` is where answers go.
    pub(super) fn new(setup: &Setup, entrance: &Sender<Event>) -> Outlets {
        let database = setup.config.path.display();
        let outlet = |(index, (replica, storage)): (usize, (&ReplicaConfig, &Arc<dyn Storage>))| {
            let location = storage.location();
            let meta = &setup.config.meta_path;
            let now = setup.clock.instant();
            Outlet {
                id: OutletId(index),
                name: match &setup.config.replicas[..] {
                    [_] => database.to_string(),
                    _ => format!("{database} ({location})"),
                },
                destination: Destination::new(location, Err("nothing is remembered".to_string())),
                storage: Arc::clone(storage),
                uploads: setup.uploads.clone(),
                entrance: entrance.clone(),
                clock: Arc::clone(&setup.clock),
                sync_interval: replica.sync_interval,
                keeping: setup.config.keeping.clone(),
                stop: None,
                asked: None,
                tending: false,
                begun: false,
                saved: None,
                sync_at: now,
                validation_at: None,
                outage: Outage::default(),
                deletion: Complaint::default(),
                sums_file: SumsFile::new(Arc::clone(&setup.fs), meta, &storage.location()),
                sums_trouble: Complaint::default(),
                sums_at: now,
                turns: setup.turns.clone(),
                read_at: None,
                report_at: now,
                database: database.to_string(),
                adopt: setup.config.adopt,
                remembered: false,
                remind_at: None,
            }
        };
        let replicas = setup.config.replicas.iter().zip(&setup.storages);
        Outlets(replicas.enumerate().map(outlet).collect())
    }

    /// The one with this number.
    pub(super) fn of(&mut self, id: OutletId) -> &mut Outlet {
        &mut self.0[id.0]
    }

    /// Where they are, for messages.
    pub(super) fn locations(&self) -> Vec<String> {
        self.iter()
            .map(|outlet| outlet.destination.location().to_string())
            .collect()
    }
}

impl Deref for Outlets {
    type Target = [Outlet];

    fn deref(&self) -> &[Outlet] {
        &self.0
    }
}

impl DerefMut for Outlets {
    fn deref_mut(&mut self) -> &mut [Outlet] {
        &mut self.0
    }
}

impl Changes for Outlets {
    fn changed(&mut self, first: PageNumber, last: PageNumber) {
        for outlet in &mut self.0 {
            outlet.destination.changed(first, last);
        }
    }

    fn shrunk(&mut self, pages: PageCount) {
        for outlet in &mut self.0 {
            outlet.destination.shrunk(pages);
        }
    }
}
