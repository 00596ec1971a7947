//! How fast uploads went so far, and how long the next one may therefore take.

use std::time::Duration;

/// Bytes per second before anything was seen: a poor mobile link.
const FIRST_GUESS: f64 = 16.0 * 1024.0;
/// Nothing is taken to be slower; with the margin, half a minute for 8 KiB.
const SLOWEST: f64 = 1024.0;
/// The speed may drop to this part of what it was without an upload being given up.
const MARGIN: f64 = 4.0;
/// Smaller bodies measure the delay, not the speed.
const MEASURABLE: u64 = 16 << 10;

/// An estimate of the link's speed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Speed {
    bytes_per_second: f64,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed {
            bytes_per_second: FIRST_GUESS,
        }
    }
}

impl Speed {
    /// Takes note that `bytes` went through in `time`.
    pub(super) fn sent(&mut self, bytes: u64, time: Duration) {
        if bytes >= MEASURABLE {
            let seen = bytes as f64 / time.as_secs_f64().max(0.001);
            // Down at once, up slowly: giving up too early costs an upload.
            self.bytes_per_second = match seen < self.bytes_per_second {
                true => seen.max(SLOWEST),
                false => self.bytes_per_second + (seen - self.bytes_per_second) / 8.0,
            };
        }
    }

    /// Takes note that what should have been time enough for `bytes` was not. Small ones say nothing about the speed,
    /// or requests that are never answered would give those after them ever more time.
    pub(super) fn was_too_slow(&mut self, bytes: u64) {
        if bytes >= MEASURABLE {
            self.bytes_per_second = (self.bytes_per_second / 2.0).max(SLOWEST);
        }
    }

    /// How long `bytes` may take at the slowest.
    pub(super) fn longest_for(bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / (SLOWEST / MARGIN))
    }

    /// How long `bytes` may take.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / (self.bytes_per_second / MARGIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_follows_the_link() {
        let mut speed = Speed::default();
        assert_eq!(speed.time_for(4096).as_secs(), 1);
        speed.sent(1 << 20, Duration::from_secs(1024));
        assert_eq!(speed.time_for(1024).as_secs(), 4, "slow at once");
        speed.sent(100, Duration::from_secs(100));
        assert_eq!(
            speed.time_for(1024).as_secs(),
            4,
            "a small one says nothing"
        );
        for _ in 0..100 {
            speed.sent(1 << 20, Duration::from_secs(1));
        }
        assert!(speed.time_for(1 << 20).as_secs() < 6, "fast after a while");
        for _ in 0..100 {
            speed.was_too_slow(100);
        }
        assert!(speed.time_for(1 << 20).as_secs() < 6, "nothing was sent");
        for _ in 0..100 {
            speed.was_too_slow(1 << 20);
        }
        assert_eq!(speed.time_for(1024).as_secs(), 4, "within bounds");
    }
}
