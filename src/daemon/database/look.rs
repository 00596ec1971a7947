//! Looking at the database: opens it, slides to its newest state, and copes when it is gone or another one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outlet::Outlet;
use super::{CONTENTION_POLL, DatabaseThread, Found, SAFETY_POLL};
use crate::database::{DestinationState, PageSet, Remembered};
use crate::sqlite::{DatabaseFiles, Follower, OpenOptions, Resume, SqliteError};

/// The longest pause between attempts to open a database.
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(10);

impl DatabaseThread {
    /// Finds out what has changed, opening the database first if need be.
    pub(super) fn look(&mut self, now: Instant) {
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
                self.found = Found::Something;
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
        let advanced = follower.advance(&mut self.outlets);
        self.timers.unwritten_since = match follower.at_rest() {
            true => None,
            false => self.timers.unwritten_since.or(Some(now)),
        };
        let (commits, in_the_way) = (follower.commits(), follower.is_in_the_way());
        self.note_commits(commits, now);
        if in_the_way {
            self.timers.look_at = self.timers.look_at.min(now + CONTENTION_POLL);
        }
        if !watched {
            self.timers.look_at = now + self.setup.config.monitor_interval;
        }
        advanced
    }

    pub(super) fn note_commits(&mut self, commits: u64, now: Instant) {
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
            destinations: self.outlets.len(),
        };
        let files = DatabaseFiles::open(&config.path, options)?;
        let remembered = match self.opened {
            false => self.state_file.load(),
            true => Remembered::Nothing,
        };
        let locations = self.outlets.locations();
        let is_told = !matches!(remembered, Remembered::Nothing);
        let inode = files.inode();
        let earlier: Vec<(Option<bool>, bool)> = locations
            .iter()
            .map(|at| {
                let under_way = is_told.then(|| remembered.is_under_way(at));
                (under_way, remembered.knows(inode, at))
            })
            .collect();
        let remembered = remembered.of(inode, &locations);
        let position = remembered.as_ref().map(|state| state.position);
        let mut news = PageSet::default();
        let (follower, resume) = Follower::start(files, position, &mut news)?;
        let now = self.now();
        for (outlet, (under_way, vouched)) in self.outlets.iter_mut().zip(earlier) {
            if self.opened {
                outlet.reopened(now);
            } else {
                let state = remembered.as_ref();
                let state =
                    state.and_then(|state| state.destination(outlet.destination.location()));
                let known = known(state, resume, &news);
                outlet.opened(inode, state, known, under_way, vouched);
            }
        }
        log::info!(
            "{}: {} pages of {} bytes, replicating to {}",
            self.name,
            follower.view().pages(),
            follower.view().page_size(),
            locations.join(" and ")
        );
        for outlet in &mut *self.outlets {
            outlet.begin_reading();
        }
        self.follower = Some(follower);
        self.opened = true;
        self.unsent.clear();
        let watched = self.watch();
        // A change between opening and watching is found by the look that follows at once.
        self.timers.look_at = match watched {
            true => self.now(),
            false => self.now() + self.setup.config.monitor_interval,
        };
        self.timers.last_commit = self.now();
        Ok(())
    }

    pub(super) fn trouble_with_database(&mut self, error: &SqliteError, now: Instant) {
        // What an upload still reads from keeps the same files open.
        let still_lent = matches!(error, SqliteError::AlreadyOpen(_))
            && self.outlets.iter().any(Outlet::is_sending);
        let passing = error.is_passing() || still_lent;
        self.found = match error {
            SqliteError::Missing(_) | SqliteError::Empty(_) => Found::Nothing,
            error if error.is_lasting() => Found::Unusable,
            _ => Found::Something,
        };
        if matches!(error, SqliteError::Lost { .. }) {
            if self.trouble.database.raise(&error.to_string(), now) {
                log::warn!("{error}");
            }
            self.start_over_on_same_files(now);
            return;
        }
        if error.wants_reopening() && self.takes_leave(now) {
            self.timers.look_at = now + CONTENTION_POLL;
            return;
        }
        if error.wants_reopening() && self.follower.take().is_some() {
            log::warn!("{error}");
            self.note_unsent();
            // Ends what still reads from the files, too: each may be open only once.
            self.lost_track(&error.to_string(), now);
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
        self.lost_track("the WAL did not continue", now);
        let pause = self.trouble.database.pause(CONTENTION_POLL, OPEN_PAUSE_MAX);
        self.timers.look_at = now + pause;
        let Some(follower) = self.follower.take() else {
            return;
        };
        let files = Arc::clone(follower.files());
        // No view is held from here until `start`. What happens meanwhile does not matter: every page is looked at.
        drop(follower);
        let mut news = PageSet::default();
        match Follower::start(files, None, &mut news) {
            Ok((follower, _)) => self.follower = Some(follower),
            Err(error) => {
                log::warn!("{error}");
            }
        }
    }

    /// Has every page compared for every destination, or sent.
    fn lost_track(&mut self, reason: &str, now: Instant) {
        for outlet in &mut *self.outlets {
            outlet.destination.lost_track(reason.to_string(), now);
        }
    }
}

/// What an earlier run left of a destination, with what has changed since; else why that is not known.
fn known(
    state: Option<&DestinationState>,
    resume: Resume,
    news: &PageSet,
) -> Result<DestinationState, String> {
    if let Resume::Gap(reason) = resume {
        return Err(reason.to_string());
    }
    let mut state = state.ok_or("nothing is remembered")?.clone();
    state.dirty.union(news);
    Ok(state)
}
