//! Sending what the replica lacks, through the uploads' queue, and taking the answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::Outlet;
use crate::daemon::outage::{Class, Spoken};
use crate::daemon::uploads::Action;
use crate::replica::{Finished, Footing, SettleError, Settled, Shape, UploadResult, Verdict};
use crate::sqlite::View;
use crate::sys::random;

impl Outlet {
    /// Asks where the replica stands, if that is not known.
    pub(in super::super) fn ask_storage(&mut self, view: &View, now: Instant) {
        let Some(remembered) = self.destination.unsettled() else {
            return;
        };
        if self.asked.is_some() || self.tending || now < self.sync_at {
            return;
        }
        self.asked = Some(view.mark());
        self.order(Action::Settle {
            database: Shape {
                page_size: view.page_size(),
                pages: view.pages(),
            },
            remembered,
            title: self.title(view),
        });
    }

    /// Whether it is time to send what the replica lacks.
    pub(in super::super) fn is_sync_due(&self, now: Instant) -> bool {
        !self.tending && now >= self.sync_at() && self.destination.has_work()
    }

    /// Whether what an earlier run remembered may have to be corrected before the first upload: on this storage one
    /// that comes late replaces what is there.
    pub(in super::super) fn has_to_say_that_it_begins(&self) -> bool {
        !self.begun && self.storage.late_writes_replace()
    }

    /// Sends what the replica lacks from `view`, up to whose end every change was told. What a long upload has to keep
    /// aside goes into a file in `directory`.
    pub(in super::super) fn sync(&mut self, view: &Arc<View>, directory: &Path, now: Instant) {
        // The time is read after the view was opened: a file is never older than what it holds.
        let time = self.clock.now();
        let Some(upload) = self.destination.next_upload(view, time, &*self.storage) else {
            return;
        };
        if !self.destination.is_tending() {
            self.sync_at = match self.stop {
                Some(_) => now,
                None => now + self.sync_interval,
            };
        }
        let long = self.destination.sends_much();
        if self.destination.reads_everything()
            && let Err(error) = upload.freeze(view, directory)
        {
            // Then it holds its view, as a small one does.
            log::debug!("{}: {error}", self.name);
        }
        let action = match self.destination.step_aside() {
            true => Action::Snapshot(upload),
            false => Action::Upload { upload, long },
        };
        self.order(action);
    }

    /// From when on there may be an upload. Levels follow a sync at once, and take no turn from the next.
    pub(super) fn sync_at(&self) -> Instant {
        match self.destination.is_tending() && !self.outage.is_on() {
            true => self.now().min(self.sync_at),
            false => self.sync_at,
        }
    }

    pub(super) fn settled(
        &mut self,
        footing: Result<Footing, SettleError>,
        view: Option<&Arc<View>>,
    ) {
        let now = self.now();
        let asked = self.asked.take();
        let Some(view) = view.filter(|view| asked == Some(view.mark())) else {
            // The database is another one by now, for which the storage is asked again.
            return;
        };
        let footing = match footing {
            Ok(footing) => footing,
            Err(error) => {
                self.trouble_with_storage(Class::of_settling(&error), error.to_string(), now);
                return;
            }
        };
        let verdict = self.verdict(&footing, view);
        let held = footing.described();
        let settled = self.destination.settled(footing, verdict, now);
        self.plan_validation(now);
        self.tell_of_holes();
        match settled {
            Settled::Taken(error) => return self.close(error.to_string(), now),
            Settled::Refused(lineage) => return self.refuse(lineage, &held, view, now),
            Settled::Watching(writer) => return self.watch_writer(writer, now),
            Settled::Known => self.back_online(0, now),
            Settled::Everything(reason) => {
                self.back_online(0, now);
                log::info!("{}: sending every page, since {reason}", self.name);
            }
        }
        if let Verdict::Heir { of, lost } = verdict {
            self.tell_of_heritage(of, lost);
        }
        if std::mem::take(&mut self.adopt) {
            log::warn!(
                "{}: adopted, as -adopt asks for; below it stay {held}",
                self.name
            );
        }
    }

    pub(super) fn uploaded(&mut self, result: UploadResult) {
        let now = self.now();
        let everything = self.destination.sends_everything();
        let finished = self.destination.finished(result, now);
        self.take_finished(finished, everything, now);
    }

    pub(super) fn snapshot_uploaded(&mut self, result: UploadResult) {
        let now = self.now();
        let finished = self.destination.finished_snapshot(result, now);
        self.take_finished(finished, true, now);
    }

    fn take_finished(&mut self, finished: Option<Finished>, everything: bool, now: Instant) {
        match finished {
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
                self.sync_at = now;
            }
            Some(Finished::Taken(error)) => self.close(error.to_string(), now),
            Some(Finished::Failed(error)) => {
                self.trouble_with_storage(Class::of(&error), error.to_string(), now);
            }
            Some(Finished::CalledBack) | None => {}
        }
    }

    pub(super) fn trouble_with_storage(&mut self, class: Class, error: String, now: Instant) {
        let time = self.clock.now();
        if let Some(line) = self.outage.failed(class, error, now, time) {
            log::error!("{}: {line}", self.name);
        }
        let first = self.sync_interval;
        let pause = match self.stop {
            Some(stop) => stop.retry_pause,
            None => self.outage.pause(first, random::unique()),
        };
        self.sync_at = now + pause;
    }

    pub(super) fn back_online(&mut self, sent: u64, now: Instant) {
        let Some(time) = self.outage.over(now) else {
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
