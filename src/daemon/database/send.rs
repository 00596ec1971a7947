//! Sending what the replica lacks, through the uploads' queue, and taking the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::DatabaseThread;
use crate::daemon::uploads::{Action, Task};
use crate::replica::{Finished, Footing, SettleError, Shape, UploadResult};
use crate::storage::StorageError;

/// The longest pause between attempts to reach a storage.
const STORAGE_PAUSE_MAX: Duration = Duration::from_secs(30);
/// An upload of everything may keep the WAL from starting over until it is so many times as long as an upload
/// of changes may.
const EVERYTHING_PATIENCE: u32 = 8;

impl DatabaseThread {
    /// Asks where the replica stands, if that is not known.
    pub(super) fn ask_storage(&mut self, now: Instant) {
        let (Some(follower), Some(remembered)) = (&self.follower, self.destination.unsettled())
        else {
            return;
        };
        if self.asked.is_some() || now < self.timers.sync_at {
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
        self.give_up_slow_upload();
        let Some(follower) = &self.follower else {
            return;
        };
        if now < self.timers.sync_at {
            return;
        }
        // The time is read after the view was opened: a file is never older than what it holds.
        let time = self.setup.clock.now();
        if let Some(upload) = self.destination.next_upload(follower.view(), time) {
            self.timers.sync_at = match self.stop {
                Some(_) => now,
                None => now + self.setup.config.replica.sync_interval,
            };
            self.order(Action::Upload(upload));
        }
    }

    fn order(&self, action: Action) {
        self.setup.uploads.add(Task {
            storage: Arc::clone(&self.setup.storage),
            action,
            reply: self.mailbox.entrance.clone(),
        });
    }

    /// An upload that hangs keeps the WAL from starting over. When the WAL has become too long for that, the view
    /// is called back; the pages will be sent again.
    fn give_up_slow_upload(&mut self) {
        let (Some(follower), Some(lent)) = (&self.follower, self.destination.lent_view()) else {
            return;
        };
        let Some(limit) = self.setup.config.truncate_pages else {
            return;
        };
        let limit = match self.destination.sends_everything() {
            true => limit.saturating_mul(EVERYTHING_PATIENCE),
            false => limit,
        };
        if follower.frames().0 > limit && lent.call_back() {
            log::warn!(
                "{}: the upload is too slow, the WAL has grown to {} pages meanwhile; it starts again \
                 with what has changed",
                self.name,
                follower.frames()
            );
        }
    }

    pub(super) fn settled(&mut self, footing: Result<Footing, SettleError>) {
        let now = self.now();
        let asked = self.asked.take().map(|shape| shape.page_size);
        let follower = self.follower.as_ref();
        if asked != follower.map(|follower| follower.view().page_size()) {
            // The database is another one by now, for which the storage is asked again.
            return;
        }
        match footing {
            Ok(footing) => {
                self.back_online(now);
                if let Some(reason) = self.destination.settled(footing) {
                    log::info!("{}: sending every page, since {reason}", self.name);
                }
            }
            Err(SettleError::Storage(error)) => {
                self.trouble_with_storage(&tries_again(&error), now)
            }
            Err(error) => self.trouble_with_storage(&error.to_string(), now),
        }
    }

    pub(super) fn uploaded(&mut self, result: UploadResult) {
        let now = self.now();
        let everything = self.destination.sends_everything();
        match self.destination.finished(result) {
            Some(Finished::Confirmed {
                acked,
                bytes,
                pages,
            }) => {
                self.back_online(now);
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
            Some(Finished::Failed(error)) => {
                self.taken = matches!(error, StorageError::InUse { .. });
                self.trouble_with_storage(&tries_again(&error), now);
            }
            None => {}
        }
    }

    fn trouble_with_storage(&mut self, error: &str, now: Instant) {
        if self.trouble.storage.raise(error, now) {
            log::error!("{}: {error}", self.name);
        }
        let first = self.setup.config.replica.sync_interval;
        let pause = match self.stop {
            Some(stop) => stop.retry_pause,
            None => self
                .trouble
                .storage
                .pause(first, STORAGE_PAUSE_MAX.max(first)),
        };
        self.timers.sync_at = now + pause;
    }

    fn back_online(&mut self, now: Instant) {
        if let Some(time) = self.trouble.storage.settle(now) {
            log::info!(
                "{}: the storage works again after {} s",
                self.name,
                time.as_secs()
            );
        }
    }
}

fn tries_again(error: &StorageError) -> String {
    format!("{error}; changes are kept track of and sent when it works again")
}
