//! Keeping the replica small and restorable: levels, snapshots, deletions. What is due is decided in `levels` and
//! `retention`; here it is brought together with what the destination sends.
//!
//! A level is written from a view that is at the newest TXID: the one that this TXID was just written from
//! ([`Destination::follow_up`]), or the current one if nothing has changed since. It goes out as an upload of its
//! own, after the sync is confirmed and before the next one; a large snapshot beside the next ones (`beside`).
//!
//! Its outcome is simpler than that of a sync, since its names end at a TXID that is confirmed and its content is the
//! only one there can be for them: what is found under such a name is taken as written. While the view is held the same
//! bytes are sent again; when it was called back, the next file of that level has another name and reaches further. If
//! the older one arrives after all, it lies within the newer one. Litestream would not merge such a level, so it is
//! deleted when the newer one is there and no request can be alive any more (`retention`: a stray).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outcome::Finished;
use super::{Activity, Asking, Destination, Flight, Position};
use crate::database::PageSet;
use crate::replica::levels::Levels;
use crate::replica::retention::expired;
use crate::replica::upload::{Upload, UploadFile};
use crate::replica::{Footing, Listing, Survey, Surveyed, Upkeep, UploadResult};
use crate::storage::{FileName, StorageError};
use crate::units::{Level, PageCount};

/// The pause after a deletion has failed: it may be refused for good.
const DELETION_PAUSE: Duration = Duration::from_secs(3600);

/// When to look for files that have had their time.
#[derive(Clone, Copy, Default)]
pub(super) struct Deletions {
    /// Something may have had its time by then.
    look_at: Option<Instant>,
    /// The last ones are not long ago.
    not_before: Option<Instant>,
}

impl Destination {
    /// The same, with levels, snapshots and deletions.
    pub fn with_upkeep(mut self, upkeep: Upkeep) -> Destination {
        self.levels = Levels::new(upkeep, self.levels.states());
        self
    }

    /// Looks at the time: what is due from now on is [work](Destination::has_work).
    pub fn tick(&mut self, now: Instant) {
        self.end_blindness(now);
        self.levels.tick(now);
    }

    /// When to look at the time again.
    pub fn next_tick(&self) -> Option<Instant> {
        self.levels.next_tick(self.acked()?)
    }

    /// Begins nothing any more that is not needed for the last changes, and takes back the view from what is under
    /// way.
    pub fn stop_tending(&mut self, now: Instant) {
        self.levels.stop();
        if self.levels.upkeep.snapshot_now {
            return;
        }
        if self.is_tending() {
            self.call_back(now);
        }
        self.call_back_snapshot();
    }

    /// Whether the next upload, or the one under way, is for levels alone.
    pub fn is_tending(&self) -> bool {
        match self.flight() {
            Some(flight) => flight.for_levels,
            None => !self.lacks_something() && self.lacks_levels(),
        }
    }

    /// Has the storage asked anew where it stands, between uploads: something may have gone missing.
    pub fn ask_again(&mut self) {
        if let (Activity::Idle, Position::At(standing)) = (&self.activity, &self.position) {
            self.position = Position::Unsettled {
                remembered: standing.acked,
                asking: Asking::Again,
            };
        }
    }

    /// The levels of which files are missing that Litestream would have to merge. They are healed.
    pub fn holes(&self) -> Vec<Level> {
        self.levels.holes()
    }

    /// What has to be read from the replica before levels that are due can be written.
    pub fn survey(&self) -> Option<Survey> {
        self.levels.survey(self.acked()?)
    }

    /// Takes what a survey has found.
    pub fn surveyed(&mut self, surveyed: Result<Surveyed, StorageError>, now: Instant) {
        match surveyed {
            Ok(surveyed) => self.levels.surveyed(surveyed),
            Err(_) => self.levels.failed(now),
        }
    }

    /// The files to delete now, in this order. Only between uploads, for they are what makes files superfluous.
    pub fn expired(&mut self, now: Instant) -> Vec<FileName> {
        if self.next_deletion().is_none_or(|at| now < at) {
            return Vec::new();
        }
        let Some(rules) = self.levels.upkeep.retention else {
            self.levels.forget_merged(Level::all(), now);
            self.deletions.look_at = None;
            return Vec::new();
        };
        if rules.syncs.is_none() {
            self.levels.forget_merged([Level::SYNC].into_iter(), now);
        }
        let expired = expired(&self.levels.inventory, &self.levels.lasts(), &rules, now);
        if expired.lacks_times {
            self.deletions.look_at = Some(now);
            self.ask_again();
            return Vec::new();
        }
        self.deletions = Deletions {
            look_at: expired.next,
            not_before: (!expired.files.is_empty()).then(|| now + rules.check),
        };
        expired.files.into_iter().map(|(name, _)| name).collect()
    }

    /// When there may be files to delete without anything being written before.
    pub fn next_deletion(&self) -> Option<Instant> {
        let sound = self.standing().is_some_and(|standing| !standing.broken);
        let busy = self.flight().is_some() || self.levels.are_unknown();
        let Deletions {
            look_at,
            not_before,
        } = self.deletions;
        look_at
            .filter(|_| sound && !busy)
            .map(|at| not_before.map_or(at, |not_before| at.max(not_before)))
    }

    /// Notes that files were deleted; after a failure perhaps some of them.
    pub fn deleted(&mut self, files: &[FileName], result: &Result<(), StorageError>, now: Instant) {
        match result {
            Ok(()) => self.levels.inventory.remove(files),
            Err(_) => {
                self.deletions = Deletions {
                    look_at: Some(now),
                    not_before: Some(now + DELETION_PAUSE),
                };
            }
        }
    }

    pub(super) fn take_stock(&mut self, footing: &Footing, now: Instant) {
        let empty = Listing::default();
        let (listing, acked, changed) = match footing {
            Footing::Empty => (&empty, None, None),
            Footing::Known {
                listing,
                acked,
                changed,
                ..
            } => (listing, Some(acked.txid), Some(changed)),
            Footing::Unknown { listing, acked, .. } => (listing, Some(acked.txid), None),
        };
        self.levels.take_stock(listing, acked, changed, now);
        self.deletions.look_at = Some(now);
    }

    /// Whether a level or a snapshot is due.
    pub(super) fn lacks_levels(&self) -> bool {
        let standing = self.standing().filter(|standing| !standing.broken);
        let acked = standing.and_then(|standing| standing.acked);
        acked.is_some_and(|acked| !self.levels.due(acked.txid).is_empty())
    }

    /// What is due, as a flight of the upload that `upload` makes of the files, from a view of so many pages.
    pub(super) fn flight_for_levels(
        &self,
        upload: impl FnOnce(Vec<UploadFile>) -> Upload,
        pages: PageCount,
    ) -> Option<Flight> {
        let acked = self.standing()?.acked?;
        let due = self.levels.due(acked.txid).into_iter();
        let files: Vec<UploadFile> = due
            .map(|due| {
                let pages = due.pages.cloned().unwrap_or_else(|| PageSet::all(pages));
                UploadFile::new(due.name, acked.time, Arc::new(pages))
            })
            .collect();
        let snapshot_follows = self.levels.is_snapshot_due(acked.txid)
            && files.iter().all(|file| file.name.level != Level::SNAPSHOT);
        (!files.is_empty()).then(|| Flight {
            upload: upload(files).followed(snapshot_follows),
            pages: Arc::default(),
            everything: None,
            for_levels: true,
            unsure_since: None,
        })
    }

    /// Goes on with the levels that are due, from the view of what was just confirmed: it is the database at the newest
    /// TXID.
    pub(super) fn follow_up(&mut self, before: &Flight, now: Instant) {
        self.levels.tick(now);
        if !before.upload.view().is_lent() {
            return;
        }
        let upload = |files| before.upload.followed_by(files);
        if let Some(flight) = self.flight_for_levels(upload, before.upload.commit()) {
            self.activity = Activity::Unsure(flight);
        }
    }

    /// Notes the newest `files` of an upload that the storage has confirmed.
    pub(super) fn note_confirmed(&mut self, upload: &Upload, files: usize, now: Instant) {
        for file in upload.newly_confirmed(files) {
            self.note_file(file, upload.commit(), now);
        }
    }

    /// Notes a file that is on the storage, of a state with so many pages.
    pub(super) fn note_file(&mut self, file: &UploadFile, commit: PageCount, now: Instant) {
        if file.name.level == Level::SYNC {
            let all = file.pages.len() >= u64::from(commit.0);
            let pages = (!all).then_some(&*file.pages);
            self.levels.synced(file.name, pages, now);
        } else {
            self.levels.written(file.name, now);
            self.deletions.look_at = Some(now);
        }
    }

    /// Takes the result of an upload for levels.
    pub(super) fn finished_levels(
        &mut self,
        mut flight: Flight,
        result: UploadResult,
        now: Instant,
    ) -> Finished {
        self.note_confirmed(&flight.upload, result.confirmed, now);
        let names = flight.upload.newly_confirmed(result.confirmed).iter();
        let compacted = Finished::Compacted {
            files: names.map(|file| file.name).collect(),
            bytes: result.bytes,
        };
        let held = flight.upload.view().is_lent();
        match result.error {
            None => {
                if flight.upload.is_followed() {
                    self.follow_up(&flight, now);
                }
                compacted
            }
            Some(StorageError::Arrived { .. } | StorageError::InUse { .. }) => {
                // There is only one content for that name.
                flight.upload.confirm(1);
                flight.unsure_since = None;
                self.note_confirmed(&flight.upload, 1, now);
                if flight.upload.next_file().is_some() {
                    self.activity = Activity::Unsure(flight);
                }
                compacted
            }
            Some(error @ StorageError::Replaced { .. }) => {
                self.reopened("the storage is another one than before".to_string(), now);
                Finished::Failed(error)
            }
            Some(error) if flight.unsure_since.is_some() && held => {
                self.activity = Activity::Unsure(flight);
                Finished::Failed(error)
            }
            Some(error) => {
                self.give_up_levels(&flight, now);
                match (&error, held) {
                    (StorageError::Content { .. }, false) => Finished::CalledBack,
                    _ => Finished::Failed(error),
                }
            }
        }
    }

    /// Ends an upload for levels without all of it being confirmed. What it lacks is due again later.
    pub(super) fn give_up_levels(&mut self, flight: &Flight, now: Instant) {
        self.levels.failed(now);
        if let (Some(_), Some(name)) = (flight.unsure_since, flight.upload.next_file()) {
            self.levels.may_appear(name, now);
        }
    }
}
