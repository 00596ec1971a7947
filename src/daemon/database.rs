//! The thread of one database: wait, look, decide, do, remember.
//!
//! Everything about one database is decided here, in one loop; the storage is only ever asked through the
//! uploads' queue. The order within a round matters: a sync uses the view that the look just before has
//! slid to, up to whose end every change was told, and a checkpoint comes after the sync has taken its view.

mod budget;
mod checkpoints;
mod look;
mod remember;
mod send;
mod tend;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::complaint::Complaint;
use super::outage::Outage;
use super::uploads::Uploads;
use super::watch::Watcher;
use super::{Event, Stop};
use crate::config::DatabaseConfig;
use crate::database::{Durability, StateFile};
use crate::replica::{Destination, Shape};
use crate::sqlite::{Follower, Salts};
use crate::storage::Storage;
use crate::sys::clock::Clock;
use crate::sys::fs::FileSystem;
use crate::units::Txid;

/// A look comes so long after the write that asked for it, since a transaction takes several writes.
const AFTER_WRITE: Duration = Duration::from_millis(10);
/// How often to see whether another process waits to checkpoint, while a look is put off.
const CONTENTION_POLL: Duration = Duration::from_millis(250);
/// How often an idle database is looked at although no change was reported.
const SAFETY_POLL: Duration = Duration::from_secs(15);

/// How many failed looks in a row end a run that does not try again.
const LOOKS_MAX: u32 = 5;

/// What the thread of one database needs.
pub(super) struct Setup {
    pub(super) config: DatabaseConfig,
    pub(super) storage: Arc<dyn Storage>,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) uploads: Uploads,
    pub(super) watcher: Option<Arc<Watcher>>,
}

/// The way to reach a database's thread.
pub(super) struct Mailbox {
    pub(super) entrance: Sender<Event>,
    pub(super) exit: Receiver<Event>,
}

impl Mailbox {
    pub(super) fn new() -> Mailbox {
        let (entrance, exit) = channel();
        Mailbox { entrance, exit }
    }
}

/// Replicates the database until told to stop. Gives the newest TXID, if everything is on the storage; else
/// a sentence that says what is not.
pub(super) fn run(setup: Setup, mailbox: Mailbox) -> Result<Option<Txid>, String> {
    DatabaseThread::new(setup, mailbox).run()
}

struct DatabaseThread {
    setup: Setup,
    mailbox: Mailbox,
    state_file: StateFile,
    /// The database's path, for messages.
    name: String,
    follower: Option<Follower>,
    destination: Destination,
    stop: Option<Stop>,
    /// A look since the stop was asked for found the database as it is now.
    looked_since_stop: bool,
    /// For what database the storage has been asked where the replica stands, while it has not answered yet.
    asked: Option<Shape>,
    /// Something else is asked of the storage, between uploads.
    tending: bool,
    found: Found,
    /// The database was open at least once.
    opened: bool,
    /// What is remembered on disk says that an upload of this run may be under way.
    begun: bool,
    timers: Timers,
    trouble: Trouble,
    saved: Option<(Salts, Txid)>,
}

/// What the last attempt to open the database found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    /// A database, or something that may yet be one.
    Something,
    /// Nothing, or an empty file.
    Nothing,
    /// What cannot be replicated, and will not change by itself.
    Unusable,
}

struct Timers {
    /// Something changed and waits for a look.
    changed: bool,
    look_at: Instant,
    looked: Instant,
    sync_at: Instant,
    checkpoint_at: Instant,
    /// Since when the WAL holds what is not written back.
    unwritten_since: Option<Instant>,
    commits: u64,
    last_commit: Instant,
    /// The WAL was cut to nothing after the last commit.
    truncated: bool,
    state_at: Instant,
    /// When the replica is listed, only to see whether anything is missing.
    validation_at: Option<Instant>,
}

#[derive(Default)]
struct Trouble {
    database: Complaint,
    storage: Outage,
    checkpoint: Complaint,
    deletion: Complaint,
    state: Complaint,
}

impl DatabaseThread {
    fn new(setup: Setup, mailbox: Mailbox) -> DatabaseThread {
        let now = setup.clock.instant();
        let state_file = StateFile::new(Arc::clone(&setup.fs), &setup.config.meta_path);
        let location = setup.storage.location();
        DatabaseThread {
            name: setup.config.path.display().to_string(),
            destination: Destination::new(location, Err("nothing is remembered".to_string())),
            state_file,
            follower: None,
            stop: None,
            looked_since_stop: false,
            asked: None,
            tending: false,
            found: Found::Something,
            opened: false,
            begun: false,
            timers: Timers {
                changed: false,
                look_at: now,
                looked: now,
                sync_at: now,
                checkpoint_at: now,
                unwritten_since: None,
                commits: 0,
                last_commit: now,
                truncated: false,
                state_at: now,
                validation_at: None,
            },
            trouble: Trouble::default(),
            saved: None,
            setup,
            mailbox,
        }
    }

    fn run(mut self) -> Result<Option<Txid>, String> {
        loop {
            let now = self.now();
            if now >= self.timers.look_at {
                self.look(now);
            }
            self.ask_storage(now);
            self.destination.tick(now);
            self.sync(now);
            self.tend(now);
            self.checkpoint(now);
            self.remember(now, Durability::Process);
            if let Some(stop) = self.stop
                && self.may_end(stop, now)
            {
                return self.end(now);
            }
            self.wait(now);
        }
    }

    /// Waits until something is due or happens.
    fn wait(&mut self, now: Instant) {
        let mut until = self.timers.look_at;
        if self.timers.changed {
            until = until.min(now + CONTENTION_POLL);
        }
        let waits_for_sync = self.destination.has_work()
            || (self.destination.unsettled().is_some() && self.asked.is_none());
        if waits_for_sync && self.follower.is_some() && !self.tending {
            until = until.min(self.sync_at());
        }
        until = until.min(self.tend_at().unwrap_or(until));
        if let Some((due, _)) = self.next_checkpoint() {
            until = until.min(due);
        }
        if let Some(deadline) = self.stop.and_then(|stop| stop.deadline) {
            until = until.min(deadline);
        }
        let first = self
            .mailbox
            .exit
            .recv_timeout(until.saturating_duration_since(self.now()));
        match first {
            Ok(event) => self.handle(event),
            Err(RecvTimeoutError::Timeout) if self.timers.changed => self.yield_to_checkpointer(),
            // The entrance in `mailbox` keeps the channel open.
            Err(_) => {}
        }
        while let Ok(event) = self.mailbox.exit.try_recv() {
            self.handle(event);
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            // What is written after the stop was asked for is for the next run.
            Event::Changed if self.looked_since_stop => {}
            Event::Changed => {
                let earliest = self.timers.looked + self.setup.config.monitor_interval;
                let look_at = earliest.max(self.now() + AFTER_WRITE);
                self.timers.look_at = self.timers.look_at.min(look_at);
                self.timers.changed = true;
            }
            Event::Settled(footing) => self.settled(footing),
            Event::Uploaded(result) => self.uploaded(result),
            Event::Surveyed(surveyed) => self.surveyed(surveyed),
            Event::Deleted(files, result) => self.deleted(&files, &result),
            Event::Stop(stop) => {
                self.stop = Some(stop);
                self.looked_since_stop = false;
                self.destination.stop_tending(self.now());
                self.timers.look_at = self.now();
                self.timers.sync_at = self.now();
            }
        }
    }

    /// A view of ours may be what another process waits for with its checkpoint.
    fn yield_to_checkpointer(&mut self) {
        if let Some(follower) = &self.follower
            && follower.files().another_checkpoints().unwrap_or(true)
        {
            self.timers.look_at = self.now();
        }
    }

    /// Whether everything is on the storage, or it is no use to wait for that.
    fn may_end(&self, stop: Stop, now: Instant) -> bool {
        let done = self.looked_since_stop && !self.destination.is_behind();
        let late = stop.deadline.is_some_and(|deadline| now >= deadline);
        let hopeless = match &self.follower {
            Some(_) => {
                let database_fails = self.trouble.database.attempts() >= LOOKS_MAX;
                !stop.tries_again && (database_fails || self.trouble.storage.is_on())
            }
            None => {
                self.found != Found::Something
                    || (!stop.tries_again && !self.trouble.database.is_quiet())
            }
        };
        done || late || hopeless || self.destination.is_taken()
    }

    /// Leaves the database at rest and remembers where it stood.
    fn end(mut self, now: Instant) -> Result<Option<Txid>, String> {
        let may_checkpoint = self.may_start_wal_over();
        let behind = !self.looked_since_stop || self.destination.is_behind();
        if let Some(follower) = &mut self.follower {
            if may_checkpoint && let Err(error) = follower.truncate(&mut self.destination) {
                log::debug!("{error}");
            }
            self.remember(now, Durability::Power);
        }
        let last = |complaint: &Complaint| complaint.last().map(str::to_string);
        match (&self.follower, behind) {
            (Some(_), false) => Ok(self.destination.acked()),
            (Some(_), true) => Err(format!(
                "{}: the last changes are not on the storage ({}); they are still in the database",
                self.name,
                self.trouble
                    .storage
                    .last()
                    .map(str::to_string)
                    .or_else(|| last(&self.trouble.database))
                    .unwrap_or_else(|| "no time was left".to_string())
            )),
            // Nothing was ever there to replicate, and nothing was asked for but to stop.
            (None, _)
                if self.found == Found::Nothing
                    && !self.opened
                    && self.stop.is_some_and(|stop| stop.tries_again) =>
            {
                Ok(None)
            }
            (None, _) => Err(last(&self.trouble.database)
                .unwrap_or_else(|| format!("{}: was not opened", self.name))),
        }
    }

    fn now(&self) -> Instant {
        self.setup.clock.instant()
    }
}

#[cfg(test)]
mod tests;
