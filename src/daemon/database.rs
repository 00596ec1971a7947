//! The thread of one database: wait, look, decide, do, remember.
//!
//! Everything about one database is decided here, in one loop; the storage is only ever asked through the
//! uploads' queue. The order within a round matters: a sync uses the view that the look just before has
//! slid to, up to whose end every change was told, and a checkpoint comes after the sync has taken its view.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::complaint::Complaint;
use super::uploads::{Action, Task, Uploads};
use super::watch::Watcher;
use super::{Event, Stop};
use crate::config::DatabaseConfig;
use crate::database::{Durability, State, StateFile};
use crate::replica::{Destination, Finished, Shape, UploadResult};
use crate::sqlite::{Blocking, DatabaseFiles, Follower, OpenOptions, Resume, Salts, SqliteError};
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
/// The longest pauses between attempts to open a database, and to reach a storage.
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(10);
const STORAGE_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The pauses between checkpoints that readers or writers keep from finishing.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);
const CHECKPOINT_PAUSE_MAX: Duration = Duration::from_secs(30);
/// The state on disk may lag by so many TXIDs before it is written again: each costs reading a page index,
/// should the WAL have lost its tail.
const STATE_LAG_MAX: u64 = 256;
/// The least time between two writes of the state.
const STATE_PAUSE: Duration = Duration::from_secs(1);
/// An upload of everything may keep the WAL from starting over until it is so many times as long as an upload
/// of changes may.
const EVERYTHING_PATIENCE: u32 = 8;

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
    /// Replicated by this thread since its start, for messages.
    name: String,
    follower: Option<Follower>,
    destination: Destination,
    stop: Option<Stop>,
    /// A look since the stop was asked for found the database as it is now.
    looked_since_stop: bool,
    /// The storage has been asked where the replica stands, and has not answered yet.
    asked: bool,
    /// The database was open at least once.
    opened: bool,
    /// There is no database at the path, or an empty file.
    absent: bool,
    timers: Timers,
    trouble: Trouble,
    saved: Option<(Salts, Txid)>,
}

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Checkpoint {
    /// Lets the WAL start over.
    WriteBack,
    /// Leaves no WAL behind.
    Truncate,
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
}

#[derive(Default)]
struct Trouble {
    database: Complaint,
    storage: Complaint,
    checkpoint: Complaint,
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
            asked: false,
            opened: false,
            absent: false,
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

    // --- looking -----------------------------------------------------------------------------------------

    /// Finds out what has changed, opening the database first if need be.
    fn look(&mut self, now: Instant) {
        self.timers.changed = false;
        self.timers.looked = now;
        self.timers.look_at = now + SAFETY_POLL;
        let outcome = match self.follower {
            Some(_) => self.advance(now),
            None => self.open(),
        };
        match outcome {
            Ok(()) => {
                self.looked_since_stop = self.stop.is_some();
                self.absent = false;
                if let Some(time) = self.trouble.database.settle(now) {
                    log::info!("{}: works again after {} s", self.name, time.as_secs());
                }
            }
            Err(error) => self.trouble_with_database(&error, now),
        }
    }

    fn advance(&mut self, now: Instant) -> Result<(), SqliteError> {
        let watched = self.watch();
        let Some(follower) = &mut self.follower else {
            return Ok(());
        };
        let advanced = follower.advance(&mut self.destination);
        self.timers.unwritten_since = match follower.at_rest() {
            true => None,
            false => self.timers.unwritten_since.or(Some(now)),
        };
        let commits = follower.commits();
        self.note_commits(commits, now);
        if !watched {
            self.timers.look_at = now + self.setup.config.monitor_interval;
        }
        advanced
    }

    fn note_commits(&mut self, commits: u64, now: Instant) {
        if self.timers.commits != commits {
            self.timers.commits = commits;
            self.timers.last_commit = now;
            self.timers.truncated = false;
        }
    }

    /// Has the next change reported. False where that is not to be had.
    fn watch(&self) -> bool {
        let (Some(watcher), Some(follower)) = (&self.setup.watcher, &self.follower) else {
            return false;
        };
        let files = follower.files();
        [files.wal_path(), files.path()]
            .into_iter()
            .all(|path| watcher.watch_once(path, &self.mailbox.entrance).is_ok())
    }

    /// Opens the database, and goes on from what is remembered if the WAL still allows it.
    fn open(&mut self) -> Result<(), SqliteError> {
        let config = &self.setup.config;
        let options = OpenOptions {
            patience: config.busy_timeout,
        };
        let files = DatabaseFiles::open(&config.path, options)?;
        let first_time = !self.opened;
        let location = self.setup.storage.location();
        let remembered = match first_time {
            true => self
                .state_file
                .load()
                .filter(|state| state.is_of(&location)),
            false => None,
        };
        let position = remembered.as_ref().map(|state| state.position);
        let mut news = crate::database::PageSet::default();
        let (follower, resume) = Follower::start(files, position, &mut news)?;
        if first_time {
            let known = match (remembered, resume) {
                (Some(mut state), Resume::Continued) => {
                    state.destination.dirty.union(&news);
                    Ok(state.destination)
                }
                (_, Resume::Gap(reason)) => Err(reason.to_string()),
                (None, Resume::Continued) => Err("nothing is remembered".to_string()),
            };
            self.destination = Destination::new(location, known);
        } else {
            self.destination
                .lost_track("the database was opened anew".to_string());
        }
        log::info!(
            "{}: {} pages of {} bytes, replicating to {}",
            self.name,
            follower.view().pages(),
            follower.view().page_size(),
            self.destination.location()
        );
        self.follower = Some(follower);
        self.opened = true;
        let watched = self.watch();
        // A change between opening and watching is found by the look that follows at once.
        self.timers.look_at = match watched {
            true => self.now(),
            false => self.now() + self.setup.config.monitor_interval,
        };
        self.timers.last_commit = self.now();
        Ok(())
    }

    fn trouble_with_database(&mut self, error: &SqliteError, now: Instant) {
        // What an upload still reads from keeps the same files open.
        let still_lent =
            matches!(error, SqliteError::AlreadyOpen(_)) && self.destination.lent_view().is_some();
        let passing = error.is_passing() || still_lent;
        self.absent = matches!(error, SqliteError::Missing(_) | SqliteError::Empty(_));
        if matches!(error, SqliteError::Lost { .. }) {
            log::warn!("{error}");
            self.start_over_on_same_files(now);
            return;
        }
        if error.wants_reopening() && self.follower.take().is_some() {
            log::warn!("{error}");
            self.destination.lost_track(error.to_string());
            self.timers.look_at = now;
            return;
        }
        if self.trouble.database.raise(&error.to_string(), now) && !passing {
            match error {
                SqliteError::Missing(_) | SqliteError::Empty(_) => log::info!("{error}"),
                _ => log::error!("{error}"),
            }
        }
        let pause = match passing {
            true => CONTENTION_POLL,
            false => {
                let first = self.setup.config.monitor_interval;
                self.trouble
                    .database
                    .pause(first, OPEN_PAUSE_MAX.max(first))
            }
        };
        self.timers.look_at = now + pause;
    }

    /// The WAL does not continue from where we were. The files are the same, so only the follower is new.
    fn start_over_on_same_files(&mut self, now: Instant) {
        self.destination
            .lost_track("the WAL did not continue".to_string());
        self.timers.look_at = now + CONTENTION_POLL;
        let Some(follower) = self.follower.take() else {
            return;
        };
        let files = Arc::clone(follower.files());
        drop(follower);
        let mut news = crate::database::PageSet::default();
        match Follower::start(files, None, &mut news) {
            Ok((follower, _)) => self.follower = Some(follower),
            Err(error) => log::warn!("{error}"),
        }
    }

    // --- sending -----------------------------------------------------------------------------------------

    /// Asks where the replica stands, if that is not known.
    fn ask_storage(&mut self, now: Instant) {
        let (Some(follower), Some(remembered)) = (&self.follower, self.destination.unsettled())
        else {
            return;
        };
        if self.asked || now < self.timers.sync_at {
            return;
        }
        self.asked = true;
        let database = Shape {
            page_size: follower.view().page_size(),
            pages: follower.view().pages(),
        };
        self.order(Action::Settle {
            database,
            remembered,
        });
    }

    /// Sends what the replica lacks, if it is time to.
    fn sync(&mut self, now: Instant) {
        self.give_up_slow_upload();
        let Some(follower) = &self.follower else {
            return;
        };
        if now < self.timers.sync_at {
            return;
        }
        // The time is read after the view was opened: a file is never older than what it holds.
        let time = self.setup.clock.now();
        if let Some(upload) = self.destination.next_upload(follower.view(), time) {
            self.timers.sync_at = match self.stop {
                Some(_) => now,
                None => now + self.setup.config.replica.sync_interval,
            };
            self.order(Action::Upload(upload));
        }
    }

    fn order(&self, action: Action) {
        self.setup.uploads.add(Task {
            storage: Arc::clone(&self.setup.storage),
            action,
            reply: self.mailbox.entrance.clone(),
        });
    }

    /// An upload that hangs keeps the WAL from starting over. When the WAL has become too long for that, the view
    /// is called back; the pages will be sent again.
    fn give_up_slow_upload(&mut self) {
        let (Some(follower), Some(lent)) = (&self.follower, self.destination.lent_view()) else {
            return;
        };
        let Some(limit) = self.setup.config.truncate_pages else {
            return;
        };
        let limit = match self.destination.sends_everything() {
            true => limit.saturating_mul(EVERYTHING_PATIENCE),
            false => limit,
        };
        if follower.frames().0 > limit && lent.call_back() {
            log::warn!(
                "{}: the upload is too slow, the WAL has grown to {} pages meanwhile; it starts again \
                 with what has changed",
                self.name,
                follower.frames()
            );
        }
    }

    fn settled(&mut self, footing: Result<crate::replica::Footing, crate::replica::SettleError>) {
        let now = self.now();
        self.asked = false;
        match footing {
            Ok(footing) => {
                self.back_online(now);
                if let Some(reason) = self.destination.settled(footing) {
                    log::info!("{}: sending every page, since {reason}", self.name);
                }
            }
            Err(error) => self.trouble_with_storage(&error.to_string(), now),
        }
    }

    fn uploaded(&mut self, result: UploadResult) {
        let now = self.now();
        let everything = self.destination.sends_everything();
        match self.destination.finished(result) {
            Some(Finished::Confirmed {
                acked,
                bytes,
                pages,
            }) => {
                self.back_online(now);
                let level = match everything {
                    true => log::Level::Info,
                    false => log::Level::Debug,
                };
                log::log!(
                    level,
                    "synced {} to txid {}: {pages} pages, {bytes} bytes",
                    self.name,
                    acked.value()
                );
            }
            Some(Finished::Failed(error)) => self.trouble_with_storage(&error.to_string(), now),
            None => {}
        }
    }

    fn trouble_with_storage(&mut self, error: &str, now: Instant) {
        if self.trouble.storage.raise(error, now) {
            log::error!(
                "{}: {error}; changes are kept track of and sent when it works again",
                self.name
            );
        }
        let first = self.setup.config.replica.sync_interval;
        let pause = match self.stop {
            Some(stop) => stop.retry_pause,
            None => self
                .trouble
                .storage
                .pause(first, STORAGE_PAUSE_MAX.max(first)),
        };
        self.timers.sync_at = now + pause;
    }

    fn back_online(&mut self, now: Instant) {
        if let Some(time) = self.trouble.storage.settle(now) {
            log::info!(
                "{}: the storage works again after {} s",
                self.name,
                time.as_secs()
            );
        }
    }

    // --- checkpoints -------------------------------------------------------------------------------------

    /// Lets the WAL start over when it is long or old enough.
    fn checkpoint(&mut self, now: Instant) {
        let Some((_, wish)) = self.next_checkpoint().filter(|(due, _)| now >= *due) else {
            return;
        };
        let Some(follower) = &mut self.follower else {
            return;
        };
        let done = match wish {
            Checkpoint::WriteBack => follower.write_back(Blocking::Briefly, &mut self.destination),
            Checkpoint::Truncate => follower.truncate(&mut self.destination),
        };
        let commits = follower.commits();
        self.note_commits(commits, now);
        match done {
            Ok(true) => {
                self.timers.unwritten_since = None;
                self.timers.truncated = wish == Checkpoint::Truncate;
                self.trouble.checkpoint.settle(now);
            }
            Ok(false) => {
                self.trouble
                    .checkpoint
                    .raise("readers or writers are in the way", now);
                let pause = self
                    .trouble
                    .checkpoint
                    .pause(CHECKPOINT_PAUSE, CHECKPOINT_PAUSE_MAX);
                self.timers.checkpoint_at = now + pause;
            }
            Err(error) => self.trouble_with_database(&error, now),
        }
    }

    /// The next checkpoint that is wanted, and from when on.
    fn next_checkpoint(&self) -> Option<(Instant, Checkpoint)> {
        let (config, timers) = (&self.setup.config, &self.timers);
        let follower = self.follower.as_ref()?;
        let frames = follower.frames().0;
        let far_too_long = config.truncate_pages.is_some_and(|limit| frames >= limit);
        if !self.destination.allows_checkpoints() && !far_too_long {
            return None;
        }
        let by_length = if follower.at_rest() {
            far_too_long.then_some(Checkpoint::Truncate)
        } else {
            let long = frames >= config.min_checkpoint_pages || follower.has_unrecoverable_frames();
            long.then_some(Checkpoint::WriteBack)
        };
        let by_age = (!follower.at_rest())
            .then_some(timers.unwritten_since)
            .flatten()
            .map(|since| (since, Checkpoint::WriteBack));
        let at_idle = (!timers.truncated).then_some((timers.last_commit, Checkpoint::Truncate));
        let by_time = by_age
            .into_iter()
            .chain(at_idle)
            .filter(|_| !config.checkpoint_interval.is_zero())
            .map(|(since, wish)| (since + config.checkpoint_interval, wish));
        by_length
            .map(|wish| (timers.checkpoint_at, wish))
            .into_iter()
            .chain(by_time)
            .min_by_key(|(due, _)| *due)
            .map(|(due, wish)| (due.max(timers.checkpoint_at), wish))
    }

    // --- remembering -------------------------------------------------------------------------------------

    /// Writes the state down when the one on disk would no longer do: in another WAL, or far behind.
    fn remember(&mut self, now: Instant, durability: Durability) {
        let Some(follower) = &self.follower else {
            return;
        };
        let position = follower.position();
        let Some(acked) = self.destination.last_known() else {
            return;
        };
        let current = self.saved.is_some_and(|(salts, txid)| {
            salts == position.salts && acked.value().abs_diff(txid.value()) < STATE_LAG_MAX
        });
        if durability == Durability::Process && (current || now < self.timers.state_at) {
            return;
        }
        let Some(destination) = self.destination.state() else {
            return;
        };
        let acked = destination.acked;
        let state = State {
            position,
            destination,
        };
        self.timers.state_at = now + STATE_PAUSE;
        match self.state_file.save(&state, durability) {
            Ok(()) => {
                self.saved = Some((position.salts, acked));
                self.trouble.state.settle(now);
            }
            Err(error) => {
                if self.trouble.state.raise(&error.to_string(), now) {
                    log::warn!(
                        "{}: cannot remember the position in {}: {error}; the next start sends every page",
                        self.name,
                        self.setup.config.meta_path.display()
                    );
                }
                self.timers.state_at = now + self.trouble.state.pause(STATE_PAUSE, OPEN_PAUSE_MAX);
            }
        }
    }

    // --- waiting and stopping ----------------------------------------------------------------------------

    /// Waits until something is due or happens.
    fn wait(&mut self, now: Instant) {
        let mut until = self.timers.look_at;
        if self.timers.changed {
            until = until.min(now + CONTENTION_POLL);
        }
        let waits_for_sync =
            self.destination.has_work() || (self.destination.unsettled().is_some() && !self.asked);
        if waits_for_sync && self.follower.is_some() {
            until = until.min(self.timers.sync_at);
        }
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
            Event::Stop(stop) => {
                self.stop = Some(stop);
                self.looked_since_stop = false;
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
            Some(_) => !stop.tries_again && !self.trouble.storage.is_quiet(),
            None => self.absent || (!stop.tries_again && !self.trouble.database.is_quiet()),
        };
        done || late || hopeless
    }

    /// Leaves the database at rest and remembers where it stood.
    fn end(mut self, now: Instant) -> Result<Option<Txid>, String> {
        let behind = self.destination.is_behind();
        if let Some(follower) = &mut self.follower {
            if self.destination.allows_checkpoints()
                && let Err(error) = follower.truncate(&mut self.destination)
            {
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
                last(&self.trouble.storage).unwrap_or_else(|| "no time was left".to_string())
            )),
            // Nothing was ever there to replicate, and nothing was asked for but to stop.
            (None, _) if self.absent && self.stop.is_some_and(|stop| stop.tries_again) => Ok(None),
            (None, _) => Err(last(&self.trouble.database)
                .unwrap_or_else(|| format!("{}: was not opened", self.name))),
        }
    }

    fn now(&self) -> Instant {
        self.setup.clock.instant()
    }
}
