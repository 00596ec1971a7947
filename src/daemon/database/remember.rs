//! Remembering the place in the WAL, as seldom as will do.

use std::time::{Duration, Instant};

use super::DatabaseThread;
use super::outlet::Outlet;
use crate::database::{DestinationState, Durability, State};
use crate::units::Txid;

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
        // Of a database that has moved it would be of no use, and directories made for it would be in the way when the
        // directory it was in comes back.
        if follower.files().check_unmoved().is_err() {
            return;
        }
        let inode = follower.files().inode();
        for outlet in &mut *self.outlets {
            if outlet.keep_sums(inode, now, durability) {
                // What is remembered refers to the sums that were there before.
                outlet.saved = None;
            }
        }
        let salts = follower.position().salts;
        let current = self.saved_in == Some(salts) && self.outlets.iter().all(is_saved);
        if durability == Durability::Process && (current || now < self.timers.state_at) {
            return;
        }
        // While running, the next upload may begin at any time, without a word here.
        let runs = durability == Durability::Process;
        let Some(state) = self.state(|outlet| runs || outlet.destination.is_under_way()) else {
            return;
        };
        self.timers.state_at = now + STATE_PAUSE;
        match self.state_file.save(&state, durability) {
            Ok(()) => {
                self.saved_in = Some(salts);
                for outlet in &mut *self.outlets {
                    let saved = state.destination(outlet.destination.location());
                    outlet.saved = saved.map(|saved| saved.acked.txid);
                    outlet.begun = runs || outlet.destination.is_under_way();
                }
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
    pub(super) fn remember_beginning(&mut self, index: usize) {
        if !self.outlets[index].has_to_say_that_it_begins() {
            return;
        }
        self.outlets[index].begun = true;
        let saved = match self.state(|outlet| outlet.begun || outlet.destination.is_under_way()) {
            Some(state) => self.state_file.save(&state, Durability::Power),
            None => self.state_file.save_under_way(),
        };
        if let Err(error) = saved {
            // It is said with the next attempt to remember something.
            log::debug!("{}: {error}", self.name);
        }
    }

    /// What there is to remember, if any destination could go on from it; of the others, whether an upload may be under
    /// way, as `under_way` says.
    fn state(&self, under_way: impl Fn(&Outlet) -> bool) -> Option<State> {
        let follower = self.follower.as_ref()?;
        let (mut destinations, mut others) = (Vec::new(), Vec::new());
        for outlet in &*self.outlets {
            let under_way = under_way(outlet);
            match outlet.destination.state() {
                Some(state) => destinations.push(DestinationState { under_way, ..state }),
                None if under_way => others.push(outlet.destination.location().to_string()),
                None => {}
            }
        }
        (!destinations.is_empty()).then(|| State {
            inode: follower.files().inode(),
            position: follower.position(),
            destinations,
            under_way: others,
        })
    }
}

/// Whether what is on disk will do for this destination, in the same WAL.
fn is_saved(outlet: &Outlet) -> bool {
    outlet.destination.memorable().is_none_or(|acked| {
        let lag = |saved: Txid| acked.txid.value().abs_diff(saved.value());
        outlet.saved.is_some_and(|saved| lag(saved) < STATE_LAG_MAX)
    })
}
