//! Deciding when the WAL is written back: when it is long, when it is old, and when the database is at rest.

use std::time::{Duration, Instant};

use super::DatabaseThread;
use super::outlet::Outlet;
use crate::sqlite::Blocking;

/// The pauses between checkpoints that readers or writers keep from finishing.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);
const CHECKPOINT_PAUSE_MAX: Duration = Duration::from_secs(30);

/// What a checkpoint is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Checkpoint {
    /// Lets the WAL start over.
    WriteBack,
    /// Leaves no WAL behind.
    Truncate,
}

impl DatabaseThread {
    /// Lets the WAL start over when it is long or old enough.
    pub(super) fn checkpoint(&mut self, now: Instant) {
        let Some((_, wish)) = self.next_checkpoint().filter(|(due, _)| now >= *due) else {
            return;
        };
        let Some(follower) = &mut self.follower else {
            return;
        };
        let done = match wish {
            Checkpoint::WriteBack => follower.write_back(Blocking::Briefly, &mut self.outlets),
            Checkpoint::Truncate => follower.truncate(&mut self.outlets),
        };
        let commits = follower.commits();
        self.note_commits(commits, now);
        if let Ok(true) = done {
            self.timers.unwritten_since = None;
            self.timers.truncated = wish == Checkpoint::Truncate;
            self.trouble.checkpoint.settle(now);
            return;
        }
        // Whatever was in the way, the next attempt comes after a pause.
        let (reason, passing) = match &done {
            Ok(_) => ("readers or writers are in the way".to_string(), true),
            Err(error) => (error.to_string(), error.is_passing()),
        };
        if self.trouble.checkpoint.raise(&reason, now) && !passing {
            log::error!("{reason}");
        }
        let pause = self
            .trouble
            .checkpoint
            .pause(CHECKPOINT_PAUSE, CHECKPOINT_PAUSE_MAX);
        self.timers.checkpoint_at = now + pause;
        if let Err(error) = done
            && error.ends_following()
        {
            self.trouble_with_database(&error, now);
        }
    }

    /// Whether the WAL may be started over, by all that is known.
    ///
    /// When Litestream wrote the newest file, one of ours must be on top of it before our first checkpoint: else
    /// Litestream, should it come back, finds its own position, takes the new WAL for a continuation of the old
    /// one, and loses rows. Our own replica loses none either way, since what is dirty is known.
    ///
    /// Offline, it is not known who wrote the newest file. If this run goes on from an earlier one of ours in
    /// the same WAL, then it was ours, unless Litestream ran for a short time in between and the application never
    /// started the WAL over since. That is not worth a WAL that grows for a week on an SD card. While the
    /// storage has not failed to answer, the answer is waited for. If nothing is remembered, the WAL grows to
    /// `truncate-page-n`, and then its length is the greater harm.
    ///
    /// Each destination may be the one that Litestream comes back to, so it takes all of them.
    pub(super) fn may_start_wal_over(&self) -> bool {
        self.outlets.iter().all(Outlet::is_on_top)
    }

    /// The next checkpoint that is wanted, and from when on.
    pub(super) fn next_checkpoint(&self) -> Option<(Instant, Checkpoint)> {
        let (config, timers) = (&self.setup.config, &self.timers);
        let follower = self.follower.as_ref()?;
        if self.leaves_by.is_some() {
            return None;
        }
        let frames = follower.frames().0;
        let far_too_long = config.truncate_pages.is_some_and(|limit| frames >= limit);
        // While an upload holds a view nothing can start over, and trying in vain would only put off the next attempt.
        let in_vain = self.outlets.iter().any(Outlet::holds_view);
        if (in_vain || !self.may_start_wal_over()) && !far_too_long {
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
}
