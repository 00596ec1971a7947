//! How long an upload may hold its view. A view keeps the WAL from starting over, so what it costs is disk: it is
//! called back when the WAL has become too long for it, not for its age alone.
//!
//! - The WAL is longer than an upload may make it: `truncate-page-n`, eight times that for a full copy.
//! - The WAL is longer than it would be without the view (`min-checkpoint-page-count`), and either
//!   - the disk that it is on is getting full, or
//!   - the upload has been sent again and again for a minute without an answer. A long upload that goes well is
//!     not hurried.

use std::time::{Duration, Instant};

use super::DatabaseThread;
use super::outlet::Outlet;
use crate::replica::Held;
use crate::sys::fs::parent;

/// An upload of everything may keep the WAL from starting over until it is so many times as long as an upload
/// of changes may.
const EVERYTHING_PATIENCE: u32 = 8;
/// How long the same bytes are sent again at the cost of a longer WAL. After that their TXID is in doubt.
const UNSURE_MAX: Duration = Duration::from_secs(60);
/// A disk with less space left than this is getting full.
const FREE_MIN: u64 = 64 << 20;

/// Why a view is called back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reason {
    TooLong,
    DiskFull,
    NoAnswer,
}

/// The length of the WAL in pages, and what is allowed.
#[derive(Clone, Copy)]
struct Wal {
    pages: u32,
    bytes: u64,
    written_back_from: u32,
    limit: Option<u32>,
}

impl DatabaseThread {
    /// Takes the view back from each upload that has had its time.
    pub(super) fn keep_to_budget(&mut self, now: Instant) {
        let Some(follower) = &self.follower else {
            return;
        };
        let config = &self.setup.config;
        let page_size = u64::from(follower.view().page_size().bytes());
        let pages = follower.frames().0;
        let wal = Wal {
            pages,
            bytes: u64::from(pages) * page_size,
            written_back_from: config.min_checkpoint_pages,
            limit: config.truncate_pages,
        };
        let free = || self.setup.fs.free_bytes(parent(&config.path)).ok();
        for outlet in &mut *self.outlets {
            let held = outlet.destination.held();
            if let Some(reason) = held.and_then(|held| verdict(wal, held, now, free))
                && outlet.destination.call_back(now)
            {
                tell(outlet, reason, pages);
            }
        }
    }
}

fn tell(outlet: &Outlet, reason: Reason, pages: u32) {
    let why = match reason {
        Reason::TooLong => "the upload is too slow",
        Reason::DiskFull => "the disk of the database is getting full",
        Reason::NoAnswer => "the upload is not answered",
    };
    // While it is offline, that has been said already.
    let level = match outlet.outage.is_on() {
        true => log::Level::Debug,
        false => log::Level::Warn,
    };
    log::log!(
        level,
        "{}: {why}, and the WAL has grown to {pages} pages meanwhile; it starts again with what has changed",
        outlet.name
    );
}

fn verdict(
    wal: Wal,
    held: Held,
    now: Instant,
    free: impl FnOnce() -> Option<u64>,
) -> Option<Reason> {
    let patience = match held.everything {
        true => EVERYTHING_PATIENCE,
        false => 1,
    };
    if wal
        .limit
        .is_some_and(|limit| wal.pages > limit.saturating_mul(patience))
    {
        return Some(Reason::TooLong);
    }
    if wal.pages < wal.written_back_from {
        return None;
    }
    if held
        .unsure_since
        .is_some_and(|since| now >= since + UNSURE_MAX)
    {
        return Some(Reason::NoAnswer);
    }
    // The WAL could not become twice as long.
    let full = free().is_some_and(|free| free < FREE_MIN.max(wal.bytes));
    full.then_some(Reason::DiskFull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_is_called_back_only_when_it_costs_something() {
        let now = Instant::now() + Duration::from_secs(1000);
        let held = |everything, unsure: Option<u64>| Held {
            everything,
            unsure_since: unsure.map(|seconds| now - Duration::from_secs(seconds)),
        };
        let decide = |pages: u32, held, free: u64| {
            let wal = Wal {
                pages,
                bytes: u64::from(pages) * 4096,
                written_back_from: 1000,
                limit: Some(100_000),
            };
            verdict(wal, held, now, || Some(free))
        };
        let plenty = 1 << 40;
        let changes = held(false, None);
        assert_eq!(decide(100_000, changes, plenty), None);
        assert_eq!(decide(100_001, changes, plenty), Some(Reason::TooLong));
        assert_eq!(decide(100_001, held(true, None), plenty), None);
        assert_eq!(
            decide(800_001, held(true, None), plenty),
            Some(Reason::TooLong)
        );

        assert_eq!(
            decide(999, held(false, Some(900)), plenty),
            None,
            "in nobody's way"
        );
        assert_eq!(decide(1000, held(false, Some(59)), plenty), None);
        let unanswered = decide(1000, held(true, Some(60)), plenty);
        assert_eq!(unanswered, Some(Reason::NoAnswer));

        assert_eq!(decide(999, changes, 0), None, "nothing to be gained");
        assert_eq!(decide(1000, changes, FREE_MIN - 1), Some(Reason::DiskFull));
        assert_eq!(decide(1000, changes, FREE_MIN), None);
        assert_eq!(
            decide(50_000, changes, 50_000 * 4096 - 1),
            Some(Reason::DiskFull)
        );
    }
}
