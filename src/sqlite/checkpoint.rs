//! The checkpoint protocol: lets the WAL start over without missing a frame, and almost never in a writer's way.
//!
//! 1. Slide to the newest view, so that no read lock of ours is in the way; write back what can be
//!    (PASSIVE, waits for nobody); slide again. When everything was written back, the new view is on
//!    READ(0), and the application's next write starts the WAL over. No writer waited.
//! 2. Writers that never leave a gap make step 1 fail for ever. Then, for a small backlog only, the same under
//!    the write lock, which is given back at once; inside is nothing but local I/O.
//!
//! TRUNCATE is for a database at rest: only with everything written back, and it never waits.

use super::connection::{self, CheckpointMode, Written};
use super::{Changes, Follower, SqliteError};

/// The most frames to write back while writers wait: some milliseconds even on an SD card.
const BLOCKING_BACKLOG_FRAMES: u32 = 256;

/// Whether a checkpoint may take the write lock for a moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blocking {
    /// Writers are never held up.
    Never,
    /// Writers are held up for a small backlog, if there is no other way.
    Briefly,
}

impl Follower {
    /// Writes the WAL back to the database file as far as readers allow, and tells `changes` of new commits
    /// met on the way. Gives whether the application's next write will start the WAL over.
    ///
    /// # Errors
    /// Those of [`Follower::advance`]; a checkpoint that could not start is no error.
    pub fn write_back(
        &mut self,
        blocking: Blocking,
        changes: &mut dyn Changes,
    ) -> Result<bool, SqliteError> {
        self.advance(changes)?;
        if self.at_rest() {
            return Ok(true);
        }
        self.checkpoint(CheckpointMode::Passive)?;
        self.advance(changes)?;
        if self.at_rest() || blocking == Blocking::Never {
            return Ok(self.at_rest());
        }
        self.write_back_under_lock(changes)
    }

    fn write_back_under_lock(&mut self, changes: &mut dyn Changes) -> Result<bool, SqliteError> {
        if self.backlog()? > BLOCKING_BACKLOG_FRAMES {
            return Ok(false);
        }
        let writer = self.files.borrow()?;
        match writer.with(connection::begin_immediate) {
            Ok(()) => {}
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) => {
                return Ok(false);
            }
            Err(error) => {
                let path = self.files.path().to_path_buf();
                return Err(SqliteError::from_sqlite("lock", path, error));
            }
        }
        self.advance(changes)?;
        // More may have come before the lock was ours.
        if self.backlog()? <= BLOCKING_BACKLOG_FRAMES {
            self.checkpoint(CheckpointMode::Passive)?;
            self.advance(changes)?;
        }
        // Ends the transaction, in which nothing was written.
        drop(writer);
        Ok(self.at_rest())
    }

    /// Writes everything back and cuts the WAL to nothing, so that no stale WAL lies beside a file that may be
    /// copied or replaced. For a database at rest; with readers or writers about it does less, or nothing.
    /// Gives whether the WAL is empty now.
    ///
    /// # Errors
    /// Those of [`Follower::advance`].
    pub fn truncate(&mut self, changes: &mut dyn Changes) -> Result<bool, SqliteError> {
        if !self.write_back(Blocking::Never, changes)? {
            return Ok(false);
        }
        if self.files.wal_size()? == 0 {
            return Ok(true);
        }
        if self.checkpoint(CheckpointMode::Truncate)? == Written::Part {
            // The view may have met a checkpointer and hold READ(k) after all; a fresh one will not.
            self.slide(changes)?;
            if self.at_rest() {
                self.checkpoint(CheckpointMode::Truncate)?;
            }
        }
        self.advance(changes)?;
        Ok(self.files.wal_size()? == 0)
    }

    /// Frames up to the newest view that have not been written back.
    fn backlog(&self) -> Result<u32, SqliteError> {
        let backfilled = self.files.backfilled()?;
        Ok(self.frames().0.saturating_sub(backfilled.0))
    }

    fn checkpoint(&self, mode: CheckpointMode) -> Result<Written, SqliteError> {
        self.files.check_unmoved()?;
        let connection = self.files.borrow()?;
        let written = connection.with(|connection| connection::checkpoint(connection, mode));
        written.map_err(|error| {
            SqliteError::from_sqlite("checkpoint", self.files.path().to_path_buf(), error)
        })
    }
}
