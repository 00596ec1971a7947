//! Taking the place at which the storage was found to stand, or none: where somebody else is at work, or has a history
//! of which this database is no part, nothing is sent.

use std::time::Instant;

use super::{Asking, Destination, Position, Standing};
use crate::database::Mark;
use crate::replica::lineage::Lineage;
use crate::replica::origin::Verdict;
use crate::replica::settle::Footing;
use crate::replica::writer::WriterId;
use crate::storage::StorageError;
use crate::units::PageNumber;

/// What came of asking the storage where the replica stands.
#[derive(Debug)]
pub enum Settled {
    /// What is dirty is all that it lacks.
    Known,
    /// Every page has to be sent, for this reason.
    Everything(String),
    /// Somebody else writes to it.
    Taken(StorageError),
    /// Another writer's file is the newest. Whether it is still at work will show when the storage is asked again.
    Watching(WriterId),
    /// The database does not descend from what is there.
    Refused(Lineage),
}

impl Destination {
    /// Takes the place that the storage was found to stand at, and the `verdict` on whether the database may go on
    /// there.
    pub fn settled(&mut self, footing: Footing, verdict: Verdict, now: Instant) -> Settled {
        let reached = footing.acked();
        let has_moved = self.watched.is_some_and(|at| reached > Some(at));
        if has_moved || self.is_somebody_elses(&footing) {
            self.position = Position::Taken;
            return Settled::Taken(StorageError::InUse {
                location: self.location.clone(),
                by: footing.newest_file(),
            });
        }
        if let Verdict::Refused(lineage) = verdict {
            self.position = Position::Refused;
            return Settled::Refused(lineage);
        }
        let was_watched = self.watched.take().is_some();
        if let Verdict::Heir {
            of: Some(writer), ..
        } = verdict
            && !was_watched
        {
            self.watched = reached;
            return Settled::Watching(writer);
        }
        self.take_stock(&footing, now);
        let standing = match footing {
            Footing::Empty => {
                self.cease_comparing();
                self.sums = None;
                self.everything = Some("the replica is empty".to_string());
                Standing {
                    acked: None,
                    newest: None,
                    broken: false,
                    foreign: false,
                }
            }
            Footing::Known {
                acked,
                newest,
                changed,
                foreign,
                ..
            } => {
                self.sums_found_at(acked, Some(&changed));
                self.dirty.union(&changed);
                Standing {
                    acked: Some(acked),
                    newest: Some(newest),
                    broken: false,
                    foreign,
                }
            }
            Footing::Unknown {
                acked,
                newest,
                reason,
                broken,
                foreign,
                ..
            } => {
                self.sums_found_at(acked, None);
                let gap = self.cease_comparing();
                self.everything.get_or_insert(gap.unwrap_or(reason));
                Standing {
                    acked: Some(acked),
                    newest: Some(newest),
                    broken,
                    foreign,
                }
            }
        };
        if standing.foreign {
            // A file of ours on top tells Litestream not to go on from its own position when it comes back.
            self.dirty.insert(PageNumber::FIRST);
        }
        self.position = Position::At(standing);
        self.learn_later();
        match &self.everything {
            Some(reason) => Settled::Everything(reason.clone()),
            None => Settled::Known,
        }
    }

    /// Whether somebody else must have written what was found.
    fn is_somebody_elses(&self, footing: &Footing) -> bool {
        let Position::Unsettled { remembered, asking } = &self.position else {
            return false;
        };
        let known = matches!(footing, Footing::Known { .. });
        match asking {
            Asking::Anew | Asking::AfterGap => false,
            Asking::Contested => !known,
            Asking::Again => {
                // What an upload in doubt has left is ours.
                let is_above = |at: &Mark| footing.acked().is_some_and(|acked| acked > at.txid);
                self.doubt.is_none() && remembered.as_ref().is_some_and(is_above)
            }
        }
    }
}
