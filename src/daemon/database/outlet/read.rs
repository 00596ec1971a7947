//! What goes on between the database and its sums, beside everything else.
//!
//! The database is read to find what has changed while it was not looked at, or to learn sums of pages that are
//! not known: piece by piece, in turn with other databases, and with pauses (`daemon::turns`). So a stop or a commit
//! never waits for more than a piece. Who waits for the end of a run has no use for pauses.
//!
//! The sums take 8 bytes a page, 0.2 % of a database with pages of 4 KiB, and are always written whole and synced. Once
//! they are on disk, newer ones are worth something only after a gap: pages that were sent since go out once more
//! then. So while running they are written again when those hold eight times as many bytes as the file, and an hour has
//! passed. That adds less than an eighth to what is sent, and the application itself writes each of those pages at
//! least twice; where little changes it is never. What was sent since is told by the state.

use std::time::{Duration, Instant};

use super::Outlet;
use crate::database::{DestinationState, Durability, SumsAt};
use crate::replica::Read;
use crate::sqlite::{SqliteError, View};

/// So much is read at once: a tenth of a second on a slow SD card.
const PIECE_BYTES: usize = 1 << 20;
/// The pause after a failure.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);
/// A large database says so often how far it is.
const REPORT_AFTER: Duration = Duration::from_secs(30);

/// The least time between two writes of the sums.
const SUMS_PAUSE: Duration = Duration::from_secs(3600);
/// Sums on disk lag by pages of so many times the bytes of their file, before they are written again.
const SUMS_LAG: u64 = 8;

impl Outlet {
    /// What an earlier run has left on disk of the sums of the database file `inode`, for a run that begins with
    /// `state`, or after a gap.
    pub(super) fn sums_at_start(
        &self,
        inode: u64,
        state: Option<&DestinationState>,
        after_a_gap: bool,
    ) -> Option<SumsAt> {
        self.sums_file.load(inode)?.at_start(state, after_a_gap)
    }

    /// Whether there is anything to read.
    pub(super) fn reads(&self) -> bool {
        let needed = match self.stop {
            Some(_) => self.destination.compares(),
            None => self.destination.wants_reading(),
        };
        needed && !self.destination.is_closed()
    }

    /// Reads the next piece from `view`, the newest, if it is time to.
    ///
    /// # Errors
    /// When the database cannot be read. It is tried again.
    pub(in crate::daemon::database) fn read(
        &mut self,
        view: &View,
        now: Instant,
    ) -> Result<(), SqliteError> {
        if !self.reads() {
            return Ok(());
        }
        let turn = *self.read_at.get_or_insert_with(|| self.turns.take(now));
        if now < turn {
            return Ok(());
        }
        let begun = self.now();
        let read = self.destination.read_on(view, PIECE_BYTES);
        let ended = self.now();
        self.turns.lasted(begun, ended);
        self.read_at = match (&read, self.stop) {
            (Err(_), _) => Some(ended + FAILURE_PAUSE),
            (Ok(_), Some(_)) => Some(ended),
            (Ok(_), None) => self.reads().then(|| self.turns.take(ended)),
        };
        let pages = view.pages();
        match read? {
            Read::Partly => {
                let page = self.destination.reads_at();
                if let Some(page) = page.filter(|_| ended >= self.report_at) {
                    self.report_at = ended + REPORT_AFTER;
                    log::info!(
                        "{}: reading the database: at page {page} of {pages}",
                        self.name
                    );
                }
            }
            Read::Compared { differing } => log::info!(
                "{}: compared {pages} pages with what the replica has: {differing} differ",
                self.name
            ),
            Read::Everything(reason) => {
                log::info!("{}: sending every page, since {reason}", self.name);
            }
            Read::Learnt => {}
        }
        Ok(())
    }

    /// Says that the database is compared, if it is.
    pub(in crate::daemon::database) fn begin_reading(&mut self) {
        self.report_at = self.now() + REPORT_AFTER;
        if self.destination.compares() {
            log::info!(
                "{}: it is not known what has changed; comparing every page with what the replica has",
                self.name
            );
        }
    }

    /// Puts the sums of the database file `inode` on disk: once they are known, at a clean stop, and when those there
    /// are far behind. Gives whether it did.
    pub(in crate::daemon::database) fn keep_sums(
        &mut self,
        inode: u64,
        now: Instant,
        durability: Durability,
    ) -> bool {
        let Some(sums) = self.destination.sums_to_keep() else {
            return false;
        };
        let is_far_behind = match self.destination.sums_on_disk_lack() {
            Some((lacking, file)) => lacking >= SUMS_LAG * file,
            None => true,
        };
        let is_due = is_far_behind && now >= self.sums_at;
        if durability == Durability::Process && !is_due {
            return false;
        }
        self.sums_at = now + SUMS_PAUSE;
        match self.sums_file.save(inode, sums) {
            Ok(saved) => {
                self.destination.sums_are_kept();
                self.sums_trouble.settle(now);
                saved
            }
            Err(error) => {
                if self.sums_trouble.raise(&error.to_string(), now) {
                    log::warn!(
                        "{}: cannot store the sums of its pages: {error}; should the WAL be lost, the next start \
                         sends every page",
                        self.name
                    );
                }
                false
            }
        }
    }
}
