//! Wall-clock and monotonic time. Decisions about order and waiting use the monotonic clock alone; the wall
//! clock only labels files, since a small board may boot in 1970 and be set right later.

use std::sync::{Mutex, MutexGuard, PoisonError};
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
pub struct ManualClock(Mutex<(Instant, Timestamp)>);

impl ManualClock {
    /// A clock that shows `now`.
    pub fn new(now: Timestamp) -> ManualClock {
        ManualClock(Mutex::new((Instant::now(), now)))
    }

    /// Lets `time` pass.
    pub fn advance(&self, time: Duration) {
        let ms = i64::try_from(time.as_millis()).expect("a test waits less than an age");
        let (instant, wall) = &mut *self.times();
        *instant += time;
        *wall = Timestamp::from_millis(wall.millis() + ms);
    }

    /// Sets the wall clock, backwards too.
    pub fn set(&self, now: Timestamp) {
        self.times().1 = now;
    }

    fn times(&self) -> MutexGuard<'_, (Instant, Timestamp)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.times().1
    }

    fn instant(&self) -> Instant {
        self.times().0
    }
}
