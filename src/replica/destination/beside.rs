//! A large snapshot goes up beside the syncs.
//!
//! It may take hours on a slow link, and what is written meanwhile is not to wait for it. It reads from a frozen state,
//! which holds no view, and its name ends at a TXID that is confirmed: so nothing that is synced, merged or deleted
//! meanwhile has to do with it. Only its own level waits. Levels below it that are due from the same view go first,
//! since what a frozen state has given out it does not keep.

use std::time::Instant;

use super::outcome::Finished;
use super::{Activity, Destination};
use crate::replica::UploadResult;

impl Destination {
    /// Lets syncs pass the upload under way if it is a snapshot from a frozen state. Gives whether it is; then its
    /// result is for [`Destination::finished_snapshot`].
    pub fn step_aside(&mut self) -> bool {
        let Activity::Sending(flight) = &self.activity else {
            return false;
        };
        let steps = flight.is_large_snapshot() && self.beside.is_none();
        if steps && let Activity::Sending(flight) = std::mem::take(&mut self.activity) {
            self.levels.snapshot_under_way(true);
            self.beside = Some(flight);
        }
        steps
    }

    /// Takes the result of the snapshot beside the syncs.
    pub fn finished_snapshot(&mut self, result: UploadResult, now: Instant) -> Option<Finished> {
        let mut flight = self.beside.take()?;
        self.levels.snapshot_under_way(false);
        flight.note(&result, now);
        // Where the replica stands is being asked: the listing will tell.
        self.standing()?;
        Some(self.finished_levels(flight, result, now))
    }

    /// Ends the snapshot beside the syncs when it wants the next page.
    pub(super) fn call_back_snapshot(&self) {
        if let Some(flight) = &self.beside {
            flight.upload.view().call_back();
        }
    }
}
