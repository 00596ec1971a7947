//! Taking leave of a database that has been deleted: what was committed to it is still in its files while they are
//! open, and is sent before they are let go.
//!
//! Only of one that was deleted. Under a new name others could open it who do not see our locks, so that pages might
//! change under our view; whoever finds that name replicates it from there.

use std::time::{Duration, Instant};

use super::DatabaseThread;
use super::outlet::Outlet;

/// The longest that its files are kept for that, and a new file at its path has to wait.
const LEAVE_MAX: Duration = Duration::from_secs(10);

impl DatabaseThread {
    /// Whether the files, which are no longer at their path, are to be kept open for now, since what they hold is
    /// being sent.
    pub(super) fn takes_leave(&mut self, now: Instant) -> bool {
        let Some(follower) = &mut self.follower else {
            return false;
        };
        let until = match self.leaves_by {
            Some(until) => until,
            None if follower.files().is_deleted() => {
                // What it cannot tell of is not sent. The view it has is as good as before.
                if let Err(error) = follower.advance_without_name(&mut self.outlets) {
                    log::debug!("{error}");
                }
                now + LEAVE_MAX
            }
            None => return false,
        };
        let mut outlets = self.outlets.iter();
        let sends = outlets.any(|outlet| outlet.destination.is_behind() && !outlet.outage.is_on());
        let stays = sends && now < until;
        self.leaves_by = stays.then_some(until);
        stays
    }

    /// Notes which destinations lack something of a database that is let go.
    pub(super) fn note_unsent(&mut self) {
        let lacks = |outlet: &&Outlet| outlet.destination.is_behind();
        let unsent = self.outlets.iter().filter(lacks).map(|outlet| {
            format!(
                "{}: its last changes before it was deleted or renamed were not sent",
                outlet.name
            )
        });
        self.unsent = unsent.collect();
    }
}
