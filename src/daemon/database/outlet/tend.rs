//! Keeping the replica small, between uploads: what levels lack is found out, and what has had its time is deleted.
//! When there is nothing of that to do, nobody is woken for it.

use std::time::Instant;

use super::Outlet;
use crate::config::KeepingConfig;
use crate::daemon::outage::Class;
use crate::daemon::uploads::Action;
use crate::replica::{Retention, Surveyed, Upkeep};
use crate::storage::{FileName, StorageError};
use crate::units::Level;

/// How a replica is kept.
pub(super) fn upkeep(keeping: &KeepingConfig) -> Upkeep {
    Upkeep {
        levels: keeping.levels.clone(),
        snapshots: Some(keeping.snapshot_interval),
        snapshot_now: keeping.snapshot_now,
        retention: keeping.deletes.then_some(Retention {
            snapshots: keeping.snapshot_retention,
            keep: keeping.keep,
            syncs: keeping.sync_retention,
            check: keeping.sync_retention_check,
        }),
    }
}

impl Outlet {
    /// Asks the storage for what is due, if nothing else is asked of it.
    pub(in super::super) fn tend(&mut self, now: Instant) {
        let busy = self.tending || self.asked.is_some() || self.destination.is_sending();
        let waits = self.outage.is_on() && now < self.sync_at;
        if busy || waits || self.stop.is_some() {
            return;
        }
        if let Some(survey) = self.destination.survey() {
            self.tending = true;
            self.order(Action::Survey(survey));
            return;
        }
        let files = self.destination.expired(now);
        if !files.is_empty() {
            self.tending = true;
            self.order(Action::Delete(files));
        } else if self.validation_at.is_some_and(|at| now >= at) {
            self.plan_validation(now);
            self.destination.ask_again();
        }
    }

    /// Has the replica listed in an interval from now, if that is wanted.
    pub(super) fn plan_validation(&mut self, now: Instant) {
        let interval = self.keeping.validation_interval;
        self.validation_at = interval.map(|interval| now + interval);
    }

    /// When something may be due that no event tells of.
    pub(super) fn tend_at(&self) -> Option<Instant> {
        if self.stop.is_some() || self.tending || self.destination.is_sending() {
            return None;
        }
        let due = [
            self.destination.next_tick(),
            self.destination.next_deletion(),
            self.validation_at,
        ];
        let first = due.into_iter().flatten().min()?;
        Some(match self.outage.is_on() {
            true => first.max(self.sync_at),
            false => first,
        })
    }

    /// Says once which files are missing, so that somebody may look where they went.
    pub(super) fn tell_of_holes(&self) {
        for level in self.destination.holes() {
            log::warn!(
                "{}: files are missing on level {level} of the replica; what they held is written again from the \
                 database",
                self.name
            );
        }
    }

    pub(super) fn surveyed(&mut self, surveyed: Result<Surveyed, StorageError>) {
        let now = self.now();
        self.tending = false;
        match &surveyed {
            Ok(_) => self.back_online(0, now),
            Err(error) => self.trouble_with_storage(Class::of(error), error.to_string(), now),
        }
        self.destination.surveyed(surveyed, now);
    }

    pub(super) fn deleted(&mut self, files: &[FileName], result: &Result<(), StorageError>) {
        let now = self.now();
        self.tending = false;
        self.destination.deleted(files, result, now);
        match result {
            Ok(()) => {
                self.deletion.settle(now);
                log::debug!(
                    "{}: deleted {} files that have had their time",
                    self.name,
                    files.len()
                );
            }
            // It harms nothing but the bill.
            Err(error) => {
                if self.deletion.raise(&error.to_string(), now) {
                    log::warn!(
                        "{}: files that have had their time cannot be deleted, so the replica grows: {error}",
                        self.name
                    );
                }
            }
        }
    }

    pub(super) fn compacted(&mut self, files: &[FileName], bytes: u64, now: Instant) {
        self.back_online(0, now);
        for name in files {
            let level = match name.level {
                Level::SNAPSHOT => log::Level::Info,
                _ => log::Level::Debug,
            };
            log::log!(
                level,
                "{}: stored {name}, {bytes} bytes with those before it",
                self.name
            );
        }
    }
}
