//! The thread of one database: wait, look, decide, do, remember.
//!
//! Everything about one database is decided here, in one loop; the storage is only ever asked through the
//! uploads' queue. The order within a round matters: a sync uses the view that the look just before has
//! slid to, up to whose end every change was told, and a checkpoint comes after the sync has taken its view.

mod budget;
mod checkpoints;
mod leave;
mod look;
mod outlet;
mod remember;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

pub(super) use self::outlet::OutletId;
use self::outlet::{Outlet, Outlets};
use super::complaint::Complaint;
use super::turns::Turns;
use super::uploads::Uploads;
use super::watch::Watcher;
use super::{Event, Stop};
use crate::config::DatabaseConfig;
use crate::database::{Durability, StateFile};
use crate::sqlite::{Follower, Salts};
use crate::storage::Storage;
use crate::sys::clock::Clock;
use crate::sys::fs::FileSystem;

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
    /// What its replicas are on, in their order.
    pub(super) storages: Vec<Arc<dyn Storage>>,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) uploads: Uploads,
    pub(super) turns: Turns,
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

/// Replicates the database until told to stop. Gives a sentence for each replica that does not have everything.
pub(super) fn run(setup: Setup, mailbox: Mailbox) -> Vec<String> {
    DatabaseThread::new(setup, mailbox).run()
}

struct DatabaseThread {
    setup: Setup,
    mailbox: Mailbox,
    state_file: StateFile,
    /// The database's path, for messages.
    name: String,
    follower: Option<Follower>,
    outlets: Outlets,
    stop: Option<Stop>,
    /// A look since the stop was asked for found the database as it is now.
    looked_since_stop: bool,
    found: Found,
    /// The database was open at least once.
    opened: bool,
    /// Until when its files are kept open, since it was deleted and what they hold is being sent.
    leaves_by: Option<Instant>,
    /// What was not sent of the database that was let go last, a sentence for each destination.
    unsent: Vec<String>,
    timers: Timers,
    trouble: Trouble,
    /// The WAL that the state on disk is of.
    saved_in: Option<Salts>,
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
    checkpoint_at: Instant,
    /// Since when the WAL holds what is not written back.
    unwritten_since: Option<Instant>,
    commits: u64,
    last_commit: Instant,
    /// The WAL was cut to nothing after the last commit.
    truncated: bool,
    state_at: Instant,
}

#[derive(Default)]
struct Trouble {
    database: Complaint,
    checkpoint: Complaint,
    state: Complaint,
}

impl DatabaseThread {
    fn new(setup: Setup, mailbox: Mailbox) -> DatabaseThread {
        let now = setup.clock.instant();
        let state_file = StateFile::new(Arc::clone(&setup.fs), &setup.config.meta_path);
        DatabaseThread {
            name: setup.config.path.display().to_string(),
            outlets: Outlets::new(&setup, &mailbox.entrance),
            state_file,
            follower: None,
            stop: None,
            looked_since_stop: false,
            found: Found::Something,
            opened: false,
            leaves_by: None,
            unsent: Vec::new(),
            timers: Timers {
                changed: false,
                look_at: now,
                looked: now,
                checkpoint_at: now,
                unwritten_since: None,
                commits: 0,
                last_commit: now,
                truncated: false,
                state_at: now,
            },
            trouble: Trouble::default(),
            saved_in: None,
            setup,
            mailbox,
        }
    }

    fn run(mut self) -> Vec<String> {
        loop {
            let now = self.now();
            if now >= self.timers.look_at {
                self.look(now);
            }
            self.sync(now);
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

    /// Has each destination do what is due: it is asked where it stands, it is sent what it lacks, or it is kept small.
    fn sync(&mut self, now: Instant) {
        self.keep_to_budget(now);
        self.read(now);
        for index in 0..self.outlets.len() {
            let outlet = &mut self.outlets[index];
            if let Some(follower) = &self.follower {
                outlet.ask_storage(follower.view(), now);
            }
            outlet.remind(now);
            outlet.destination.tick(now);
            if outlet.is_sync_due(now) {
                self.send(index, now);
            }
            self.outlets[index].tend(now);
        }
    }

    /// Has each destination read on in the database, if it has to.
    fn read(&mut self, now: Instant) {
        let Some(view) = self
            .follower
            .as_ref()
            .map(|follower| Arc::clone(follower.view()))
        else {
            return;
        };
        let failed = |outlet: &mut Outlet| outlet.read(&view, now).err();
        let error = self.outlets.iter_mut().find_map(failed);
        drop(view);
        if let Some(error) = error {
            self.trouble_with_database(&error, now);
        }
    }

    fn send(&mut self, index: usize, now: Instant) {
        self.remember_beginning(index);
        // Before a view is held, which may be for long, and followed by the next one. Of an upload of everything, what
        // is in the WAL alone would have to be kept aside.
        self.checkpoint(now);
        if let Some(follower) = &self.follower {
            let (view, directory) = (follower.view(), &self.setup.config.meta_path);
            self.outlets[index].sync(view, directory, now);
        }
    }

    /// Waits until something is due or happens.
    fn wait(&mut self, now: Instant) {
        let mut until = self.timers.look_at;
        if self.timers.changed {
            until = until.min(now + CONTENTION_POLL);
        }
        let followed = self.follower.is_some();
        let outlets = self.outlets.iter();
        until = outlets
            .filter_map(|outlet| outlet.due(followed))
            .fold(until, Instant::min);
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
            Event::Answered(outlet, answer) => {
                let view = self.follower.as_ref().map(|follower| follower.view());
                self.outlets.of(outlet).answered(answer, view);
            }
            Event::Stop(stop) => {
                self.stop = Some(stop);
                self.looked_since_stop = false;
                let now = self.now();
                self.timers.look_at = now;
                for outlet in &mut *self.outlets {
                    outlet.stop(stop, now);
                }
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

    /// Whether everything is on the storages, or it is no use to wait for that.
    fn may_end(&self, stop: Stop, now: Instant) -> bool {
        let late = stop.deadline.is_some_and(|deadline| now >= deadline);
        let hopeless = match &self.follower {
            Some(_) => !stop.tries_again && self.trouble.database.attempts() >= LOOKS_MAX,
            None => {
                self.found != Found::Something
                    || (!stop.tries_again && !self.trouble.database.is_quiet())
            }
        };
        let mut outlets = self.outlets.iter();
        late || hopeless || outlets.all(|outlet| !self.is_behind(outlet) || outlet.is_hopeless())
    }

    /// Whether a destination may lack something.
    fn is_behind(&self, outlet: &Outlet) -> bool {
        !self.looked_since_stop || outlet.destination.is_behind()
    }

    /// Leaves the database at rest and remembers where it stood. Gives a sentence for each destination that lacks
    /// something.
    fn end(mut self, now: Instant) -> Vec<String> {
        let may_checkpoint = self.may_start_wal_over();
        let behind: Vec<bool> = self
            .outlets
            .iter()
            .map(|outlet| self.is_behind(outlet))
            .collect();
        let last = self.trouble.database.last().map(str::to_string);
        let Some(follower) = &mut self.follower else {
            let for_nothing = self.found == Found::Nothing && !self.opened;
            // Nothing was ever there to replicate, and nothing was asked for but to stop.
            if for_nothing && self.stop.is_some_and(|stop| stop.tries_again) {
                return Vec::new();
            }
            if self.stop.is_some_and(|stop| stop.gone) {
                return self.unsent;
            }
            return vec![last.unwrap_or_else(|| format!("{}: was not opened", self.name))];
        };
        if may_checkpoint && let Err(error) = follower.truncate(&mut self.outlets) {
            log::debug!("{error}");
        }
        self.remember(now, Durability::Power);
        let mut incomplete = Vec::new();
        for (outlet, behind) in self.outlets.iter().zip(behind) {
            if behind {
                let reason = outlet.outage.last().or(last.as_deref());
                incomplete.push(format!(
                    "{}: the last changes are not on the storage ({}); they are still in the database",
                    outlet.name,
                    reason.unwrap_or("no time was left")
                ));
            } else if let Some(txid) = outlet.destination.acked() {
                log::info!("{}: stopped at txid {}", outlet.name, txid.value());
            }
        }
        incomplete
    }

    fn now(&self) -> Instant {
        self.setup.clock.instant()
    }
}

#[cfg(test)]
mod tests;
