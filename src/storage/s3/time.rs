//! The time that requests are signed with: the machine's, or the server's where the machine's is far off.
//!
//! S3 refuses signatures that are more than fifteen minutes off, and a board without a clock battery boots in 1970.
//! The server's time is kept beside the monotonic clock, so that setting the machine's clock later does no harm.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::http::Response;
use crate::sys::clock::Clock;
use crate::units::Timestamp;

/// How far the clock may be off. Servers allow fifteen minutes, some only five.
const TOLERANCE: Duration = Duration::from_secs(120);

/// The time to sign with.
pub(super) struct SigningTime {
    clock: Arc<dyn Clock>,
    /// The server's time at an instant, while ours is far from it.
    server: Mutex<Option<(Timestamp, Instant)>>,
}

impl SigningTime {
    pub(super) fn new(clock: Arc<dyn Clock>) -> SigningTime {
        SigningTime {
            clock,
            server: Mutex::default(),
        }
    }

    /// What time it is.
    pub(super) fn now(&self) -> Timestamp {
        match *self.server.lock().unwrap_or_else(PoisonError::into_inner) {
            None => self.clock.now(),
            Some((time, at)) => {
                let since = self.clock.instant().saturating_duration_since(at);
                let ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(time.millis().saturating_add(ms))
            }
        }
    }

    /// Learns from the answer to a request. Gives whether the time that we took it for was wrong.
    pub(super) fn learn(&self, response: &Response) -> bool {
        let Some(theirs) = response.date() else {
            return false;
        };
        let was_wrong = apart(self.now(), theirs) > TOLERANCE;
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = self.clock.now();
        if apart(ours, theirs) <= TOLERANCE {
            *server = None;
        } else if was_wrong {
            log::warn!(
                "this machine's clock says {ours}, the server's {theirs}: requests are signed with the server's time"
            );
            *server = Some((theirs, self.clock.instant()));
        }
        was_wrong
    }
}

fn apart(one: Timestamp, other: Timestamp) -> Duration {
    Duration::from_millis(one.millis().abs_diff(other.millis()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::ManualClock;

    fn answer(date: &str) -> Response {
        Response {
            status: 403,
            headers: vec![("date".to_owned(), date.to_owned())],
            body: Box::new(std::io::empty()),
        }
    }

    #[test]
    fn a_clock_far_off_is_corrected_and_later_trusted_again() {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(10_000)));
        let time = SigningTime::new(Arc::clone(&clock) as Arc<dyn Clock>);
        assert_eq!(time.now().to_string(), "1970-01-01T00:00:10Z");
        let date = "Sun, 22 Nov 2026 23:00:00 GMT";
        assert!(time.learn(&answer(date)), "it was wrong");
        assert_eq!(time.now().to_string(), "2026-11-22T23:00:00Z");
        clock.advance(Duration::from_secs(5));
        assert_eq!(time.now().to_string(), "2026-11-22T23:00:05Z");
        assert!(!time.learn(&answer(date)), "it is right by now");
        clock.set(Timestamp::parse("2026-11-22T23:00:30Z").unwrap());
        assert_eq!(
            time.now().to_string(),
            "2026-11-22T23:00:05Z",
            "set meanwhile"
        );
        assert!(!time.learn(&answer("Sun, 22 Nov 2026 23:00:06 GMT")));
        assert_eq!(time.now().to_string(), "2026-11-22T23:00:30Z");
        assert!(!time.learn(&answer("yesterday")));
    }
}
