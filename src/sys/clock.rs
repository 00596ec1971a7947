//! Wall-clock and monotonic time. Decisions about order and waiting use the monotonic clock alone; the wall
//! clock only labels files, since a small board may boot in 1970 and be set right later.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::units::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The wall clock's time, right or wrong.
    fn now(&self) -> Timestamp;
    /// A time that never goes back, for waiting and for measuring.
    fn instant(&self) -> Instant;
}

/// The machine's own clocks.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = SystemTime::now();
        let millis = match now.duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |m| -m),
        };
        Timestamp::from_millis(millis)
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until a test moves it. Both of its times move together, except that
/// [`ManualClock::set`] sets the wall clock alone, as somebody correcting it would.
#[derive(Debug)]
pub struct ManualClock {
    start: Instant,
    elapsed_ms: AtomicI64,
    wall_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock {
            start: Instant::now(),
            elapsed_ms: AtomicI64::new(0),
            wall_ms: AtomicI64::new(now.millis()),
        }
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a test waits less than an age");
        self.elapsed_ms.fetch_add(ms, Ordering::SeqCst);
        self.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.wall_ms.store(now.millis(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.wall_ms.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        let elapsed = self.elapsed_ms.load(Ordering::SeqCst);
        self.start + Duration::from_millis(elapsed.unsigned_abs())
    }
}
