//! Sending what the replica lacks, through the uploads' queue, and taking the answers.

use std::sync::Arc;
use std::time::Instant;

use super::DatabaseThread;
use crate::daemon::outage::{Class, Spoken};
use crate::daemon::uploads::{Action, Task};
use crate::replica::{Finished, Footing, SettleError, Settled, Shape, UploadResult};
use crate::sys::random;

impl DatabaseThread {
    /// Asks where the replica stands, if that is not known.
    pub(super) fn ask_storage(&mut self, now: Instant) {
        let (Some(follower), Some(remembered)) = (&self.follower, self.destination.unsettled())
        else {
            return;
        };
        if self.asked.is_some() || self.tending || now < self.timers.sync_at {
            return;
        }
        let database = Shape {
            page_size: follower.view().page_size(),
            pages: follower.view().pages(),
        };
        self.asked = Some(database);
        self.order(Action::Settle {
            database,
            remembered,
        });
    }

    /// Sends what the replica lacks, if it is time to.
    pub(super) fn sync(&mut self, now: Instant) {
        self.keep_to_budget(now);
        if self.tending || now < self.sync_at() || !self.destination.has_work() {
            return;
        }
        self.remember_beginning();
        if self.destination.lacks_everything() {
            // What is in the WAL alone would have to be kept aside for as long as the upload takes.
            self.checkpoint(now);
        }
        let Some(follower) = &self.follower else {
            return;
        };
        // The time is read after the view was opened: a file is never older than what it holds.
        let time = self.setup.clock.now();
        let next = self
            .destination
            .next_upload(follower.view(), time, &*self.setup.storage);
        if let Some(upload) = next {
            if !self.destination.is_tending() {
                self.timers.sync_at = match self.stop {
                    Some(_) => now,
                    None => now + self.setup.config.replica.sync_interval,
                };
            }
            let long = self.destination.sends_much();
            let (view, directory) = (follower.view(), &self.setup.config.meta_path);
            if long && let Err(error) = upload.freeze(view, directory) {
                // Then it holds its view, as a small one does.
                log::debug!("{}: {error}", self.name);
            }
            self.order(Action::Upload { upload, long });
        }
    }

    /// From when on there may be an upload. Levels follow a sync at once, and take no turn from the next.
    pub(super) fn sync_at(&self) -> Instant {
        match self.destination.is_tending() && !self.trouble.storage.is_on() {
            true => self.now().min(self.timers.sync_at),
            false => self.timers.sync_at,
        }
    }

    pub(super) fn order(&self, action: Action) {
        self.setup.uploads.add(Task {
            storage: Arc::clone(&self.setup.storage),
            action,
            reply: self.mailbox.entrance.clone(),
        });
    }

    pub(super) fn settled(&mut self, footing: Result<Footing, SettleError>) {
        let now = self.now();
        let asked = self.asked.take().map(|shape| shape.page_size);
        let follower = self.follower.as_ref();
        if asked != follower.map(|follower| follower.view().page_size()) {
            // The database is another one by now, for which the storage is asked again.
            return;
        }
        let footing = match footing {
            Ok(footing) => footing,
            Err(error) => {
                self.trouble_with_storage(Class::of_settling(&error), error.to_string(), now);
                return;
            }
        };
        let settled = self.destination.settled(footing, now);
        self.plan_validation(now);
        self.tell_of_holes();
        match settled {
            Settled::Taken(error) => {
                self.trouble_with_storage(Class::of(&error), error.to_string(), now);
            }
            Settled::Known => self.back_online(0, now),
            Settled::Everything(reason) => {
                self.back_online(0, now);
                log::info!("{}: sending every page, since {reason}", self.name);
            }
        }
    }

    pub(super) fn uploaded(&mut self, result: UploadResult) {
        let now = self.now();
        let everything = self.destination.sends_everything();
        match self.destination.finished(result, now) {
            Some(Finished::Confirmed {
                acked,
                bytes,
                pages,
            }) => {
                self.back_online(pages, now);
                let level = match everything {
                    true => log::Level::Info,
                    false => log::Level::Debug,
                };
                log::log!(
                    level,
                    "synced {} to txid {}: {pages} pages, {bytes} bytes",
                    self.name,
                    acked.value()
                );
            }
            Some(Finished::Compacted { files, bytes }) => self.compacted(&files, bytes, now),
            Some(Finished::Adopted { acked }) => {
                self.back_online(0, now);
                log::info!(
                    "{}: an earlier upload had arrived after all, and is txid {}; what has changed since follows",
                    self.name,
                    acked.value()
                );
            }
            Some(Finished::Contested) => {
                log::warn!(
                    "{}: the next file is on the storage already, perhaps from before a crash; asking where the \
                     replica stands",
                    self.name
                );
                self.timers.sync_at = now;
            }
            Some(Finished::Taken(error) | Finished::Failed(error)) => {
                self.trouble_with_storage(Class::of(&error), error.to_string(), now);
            }
            Some(Finished::CalledBack) | None => {}
        }
    }

    pub(super) fn trouble_with_storage(&mut self, class: Class, error: String, now: Instant) {
        let time = self.setup.clock.now();
        if let Some(line) = self.trouble.storage.failed(class, error, now, time) {
            log::error!("{}: {line}", self.name);
        }
        let first = self.setup.config.replica.sync_interval;
        let pause = match self.stop {
            Some(stop) => stop.retry_pause,
            None => self.trouble.storage.pause(first, random::unique()),
        };
        self.timers.sync_at = now + pause;
    }

    pub(super) fn back_online(&mut self, sent: u64, now: Instant) {
        let Some(time) = self.trouble.storage.over(now) else {
            return;
        };
        let pages = match self.destination.pages_to_send() {
            Some(0) => format!("{sent} pages sent"),
            Some(pages) => format!("{pages} pages to send"),
            None => "all pages to send".to_string(),
        };
        let after = Spoken(time);
        log::info!("{}: online again after {after}, {pages}", self.name);
    }
}
