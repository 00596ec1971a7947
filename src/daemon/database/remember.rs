//! Remembering the place in the WAL, as seldom as will do.

use std::time::{Duration, Instant};

use super::DatabaseThread;
use crate::database::{Durability, State};

/// The state on disk may lag by so many TXIDs before it is written again: each costs reading a page index,
/// should the WAL have lost its tail.
const STATE_LAG_MAX: u64 = 256;
/// The least time between two writes of the state.
const STATE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after it failed.
const STATE_PAUSE_MAX: Duration = Duration::from_secs(10);

impl DatabaseThread {
    /// Writes the state down when the one on disk would no longer do: in another WAL, or far behind.
    pub(super) fn remember(&mut self, now: Instant, durability: Durability) {
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
        let Some(mut state) = self.state() else {
            return;
        };
        // The next upload may begin at any time, without a word here.
        state.destination.under_way |= durability == Durability::Process;
        let acked = state.destination.acked.txid;
        self.timers.state_at = now + STATE_PAUSE;
        match self.state_file.save(&state, durability) {
            Ok(()) => {
                self.saved = Some((position.salts, acked));
                self.begun = state.destination.under_way;
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
                self.timers.state_at = now + self.trouble.state.pause(STATE_PAUSE, STATE_PAUSE_MAX);
            }
        }
    }

    /// Before the first upload of a run: what is remembered of the last one may say that nothing was under
    /// way. It matters only to storages on which a late upload replaces what is there.
    pub(super) fn remember_beginning(&mut self) {
        if self.begun || !self.setup.storage.late_writes_replace() {
            return;
        }
        self.begun = true;
        let saved = match self.state() {
            Some(mut state) => {
                state.destination.under_way = true;
                self.state_file.save(&state, Durability::Power)
            }
            None => self.state_file.save_under_way(),
        };
        if let Err(error) = saved {
            // It is said with the next attempt to remember something.
            log::debug!("{}: {error}", self.name);
        }
    }

    fn state(&self) -> Option<State> {
        let follower = self.follower.as_ref()?;
        Some(State {
            inode: follower.files().inode(),
            position: follower.position(),
            destination: self.destination.state()?,
        })
    }
}
