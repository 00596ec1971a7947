//! What becomes of an upload, also of one that arrives late.
//!
//! An upload whose answer never came may still arrive, minutes later. So two contents may meet under the name of
//! TXID n, and files above n must be right on top of either.
//!
//! - While its view is held, the same bytes are sent again, however often that fails. There is one content only.
//! - When the view had to be given back, or an earlier run left the upload under way, n is *in doubt*. The next
//!   upload of n has newer content, and every page of the older one, since those became dirty again.
//!   - Where a storage does not replace what stands under a name, the first to arrive stays. If it was the older one
//!     ([`StorageError::Arrived`]) it is *adopted*: acked is n, and all that is dirty goes out as n + 1.
//!   - Where it does, either may stand there in the end. So the pages of the newer one are dirty once more when
//!     it is confirmed, and n + 1 *carries* them. Then n + 1 is right on top of both.
//!
//! The invariant: for each content that `acked` may turn out to have, every page is dirty that it, or the state
//! since, has otherwise. `tests/late` restores every TXID after every step of random histories.

use std::time::{Duration, Instant};

use super::{Activity, Asking, Destination, Doubt, Flight, Position};
use crate::database::Mark;
use crate::replica::UploadResult;
use crate::storage::{FileName, StorageError};
use crate::units::{Level, PageNumber, Timestamp, Txid};

/// How long after its sender gave up a request may still arrive from the buffers of proxies and servers.
const REQUEST_LIFE: Duration = Duration::from_secs(15 * 60);

/// What came of an upload.
#[derive(Debug)]
pub enum Finished {
    /// All is confirmed.
    Confirmed {
        /// The newest TXID.
        acked: Txid,
        /// Bytes stored.
        bytes: u64,
        /// Pages stored.
        pages: u64,
    },
    /// Files of levels are confirmed, which hold nothing new.
    Compacted {
        /// Which.
        files: Vec<FileName>,
        /// Bytes stored.
        bytes: u64,
    },
    /// An earlier upload had arrived after all, and is what its TXID is now. The changes since will be sent.
    Adopted {
        /// That TXID.
        acked: Txid,
    },
    /// Its view was called back; what was not confirmed will be sent again.
    CalledBack,
    /// What was to be written is there, perhaps from an earlier run: the storage is asked anew.
    Contested,
    /// Somebody else writes to the replica.
    Taken(StorageError),
    /// It failed; what was not confirmed will be sent again.
    Failed(StorageError),
}

impl Destination {
    /// Takes the view back from the upload, which keeps the WAL from starting over. What it did not bring
    /// there will be sent anew. Gives whether a view was held.
    pub fn call_back(&mut self, now: Instant) -> bool {
        let held = self
            .flight()
            .is_some_and(|flight| flight.upload.view().call_back());
        match std::mem::take(&mut self.activity) {
            Activity::Unsure(flight) => self.put_back(flight, now),
            // It fails when it wants the next page.
            other => self.activity = other,
        }
        held
    }

    /// Takes the result of the upload under way.
    pub fn finished(&mut self, result: UploadResult, now: Instant) -> Option<Finished> {
        let mut flight = match std::mem::take(&mut self.activity) {
            Activity::Sending(flight) => flight,
            other => {
                self.activity = other;
                return None;
            }
        };
        flight.note(&result, now);
        if self.standing().is_none() {
            // Every page is to be sent and the storage asked: of the outcome only a doubt is of use.
            if flight.unsure_since.is_some() {
                self.doubt_next(now);
            }
            return None;
        }
        if flight.for_levels {
            return Some(self.finished_levels(flight, result, now));
        }
        self.note_confirmed(&flight.upload, result.confirmed, now);
        let carried =
            result.confirmed > 0 && self.advance(&flight, result.late_writes_replace, now);
        let Some(error) = result.error else {
            let Position::At(standing) = &mut self.position else {
                return None;
            };
            standing.broken = false;
            let acked = standing.acked?.txid;
            // Of a TXID that may yet have another content no level is written.
            if !carried {
                self.follow_up(&flight, now);
            }
            return Some(Finished::Confirmed {
                acked,
                bytes: result.bytes,
                pages: flight.pages.len(),
            });
        };
        let held = flight.upload.view().is_lent();
        match error {
            StorageError::Arrived { created, .. } => Some(self.adopt(&flight, created, now)),
            StorageError::InUse { .. } => {
                self.put_back(flight, now);
                Some(self.contest(error))
            }
            StorageError::Replaced { .. } => {
                self.put_back(flight, now);
                let reason = "the storage is another one than before".to_string();
                self.reopened(reason, now);
                Some(Finished::Failed(error))
            }
            StorageError::Content { .. } => {
                self.put_back(flight, now);
                Some(match held {
                    true => Finished::Failed(error),
                    false => Finished::CalledBack,
                })
            }
            _ if flight.unsure_since.is_some() && held => {
                self.activity = Activity::Unsure(flight);
                Some(Finished::Failed(error))
            }
            _ => {
                self.put_back(flight, now);
                Some(Finished::Failed(error))
            }
        }
    }

    /// Moves to the last confirmed file of `flight`. Gives whether it may yet be replaced, so that all of it is
    /// carried by the next.
    fn advance(&mut self, flight: &Flight, late_writes_replace: bool, now: Instant) -> bool {
        let (Position::At(standing), Some((last, created))) =
            (&mut self.position, flight.upload.last_confirmed())
        else {
            return false;
        };
        let acked = Mark {
            txid: last.txids.max(),
            time: created,
        };
        let before = standing.acked.replace(acked);
        standing.newest = Some(created);
        standing.foreign = false;
        self.take_sums(before, acked, flight);
        let in_doubt = self.doubt.take().is_some_and(|doubt| now < doubt.until);
        let carried = in_doubt && late_writes_replace;
        if carried {
            self.carry(flight);
            self.doubt_sums(flight);
        }
        if last.txids.max() == Txid::FIRST {
            // A base without its first sync, which any page will do for.
            self.dirty.insert(PageNumber::FIRST);
        }
        carried
    }

    /// Makes dirty again what of `flight` is not confirmed, for a new upload.
    fn put_back(&mut self, flight: Flight, now: Instant) {
        if flight.for_levels {
            return self.give_up_levels(&flight, now);
        }
        let acked = self.standing().and_then(|standing| standing.acked);
        // Of a TXID that is confirmed no other file under that name is ever written.
        let name_is_used_again = flight
            .upload
            .next_file()
            .is_some_and(|next| acked.is_none_or(|acked| next.txids.max() > acked.txid));
        if flight.unsure_since.is_some() && name_is_used_again {
            self.doubt_next(now);
        }
        match flight.upload.first_confirmed() {
            None => self.carry(&flight),
            // A base whose first sync is missing.
            Some(first) if first.level == Level::SNAPSHOT => {}
            // A sync without the snapshot that was to follow it: the next one is to be followed by one again.
            Some(_) => self.everything = flight.everything.or(self.everything.take()),
        }
    }

    /// Makes all of `flight` dirty again.
    fn carry(&mut self, flight: &Flight) {
        self.dirty.union(&flight.pages);
        if self.everything.is_none() {
            self.everything.clone_from(&flight.everything);
        }
    }

    /// What `flight` was to write stands there with an older content of ours. It is what that TXID is now, and all
    /// of the newer content goes out with the next.
    fn adopt(&mut self, flight: &Flight, created: Timestamp, now: Instant) -> Finished {
        self.carry(flight);
        self.doubt = None;
        if let Some(file) = flight.upload.next() {
            self.note_file(file, flight.upload.commit(), now);
        }
        if let (Position::At(standing), Some(name)) =
            (&mut self.position, flight.upload.next_file())
        {
            let txid = name.txids.max();
            if standing.acked.is_none_or(|acked| acked.txid < txid) {
                standing.acked = Some(Mark {
                    txid,
                    time: created,
                });
            }
            standing.newest = standing.newest.max(Some(created));
            standing.foreign = false;
            if let Some(acked) = standing.acked {
                self.adopt_sums(acked, flight);
            }
        }
        match self.acked() {
            Some(acked) => Finished::Adopted { acked },
            None => Finished::CalledBack,
        }
    }

    /// What was to be written next stands there already. An earlier run that was cut off can have sent it only if
    /// none of this run is confirmed yet, so the storage is asked anew at most once. A replica that was found empty is
    /// not any more, and what is there by now is judged by its pages.
    fn contest(&mut self, error: StorageError) -> Finished {
        let reached = self.standing().and_then(|standing| standing.acked);
        match &mut self.doubt {
            _ if reached.is_none() => {
                self.position = Position::Unsettled {
                    remembered: None,
                    asking: Asking::AfterGap,
                };
                Finished::Contested
            }
            Some(doubt) if !doubt.asked => {
                doubt.asked = true;
                self.position = Position::Unsettled {
                    remembered: reached,
                    asking: Asking::Contested,
                };
                Finished::Contested
            }
            _ => {
                self.position = Position::Taken;
                Finished::Taken(error)
            }
        }
    }

    pub(super) fn doubt_next(&mut self, now: Instant) {
        self.doubt = Some(Doubt {
            until: now + REQUEST_LIFE,
            asked: self.doubt.is_some_and(|doubt| doubt.asked),
            blind: self.is_blind(),
        });
    }
}

impl Flight {
    /// Takes note of an attempt: what is confirmed, and whether what comes next may have arrived. An attempt that
    /// failed for sure says nothing of the ones before it.
    pub(super) fn note(&mut self, result: &UploadResult, now: Instant) {
        self.upload.confirm(result.confirmed);
        if result.confirmed > 0 {
            self.unsure_since = None;
        }
        if result
            .error
            .as_ref()
            .is_some_and(StorageError::outcome_unknown)
        {
            self.unsure_since.get_or_insert(now);
        }
    }
}
