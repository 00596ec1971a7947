//! `max-upload-rate`: all uploads of a process together go no faster than so many bytes per second.

use std::io::{self, Read};
use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What is sent between two looks at the clock.
const PIECE_BYTES: usize = 4 << 10;
/// How much may be sent at once after a rest.
const BURST: Duration = Duration::from_millis(250);

/// A rate that uploads share.
#[derive(Debug)]
pub struct Pace {
    bytes_per_second: u64,
    /// When all that was let through so far will have been sent at the rate.
    paid_until: Mutex<Instant>,
}

impl Pace {
    /// So many bytes per second.
    pub fn new(bytes_per_second: NonZeroU64) -> Pace {
        Pace {
            bytes_per_second: bytes_per_second.get(),
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// How long `bytes` may have to wait, with others on the way as well.
    pub(super) fn time_for(&self, bytes: u64) -> Duration {
        const OTHERS: u32 = 8;
        self.time_of(bytes) * OTHERS
    }

    /// Waits until `bytes` may go.
    pub(in crate::storage) fn wait_for(&self, bytes: usize) {
        let mut left = bytes;
        while left > 0 {
            let piece = left.min(PIECE_BYTES);
            thread::sleep(self.book(piece, Instant::now()));
            left -= piece;
        }
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64)
    }

    /// Books `bytes` and gives how long to wait before they may go.
    fn book(&self, bytes: usize, now: Instant) -> Duration {
        let mut paid_until = self
            .paid_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        *paid_until = (*paid_until).max(earliest) + self.time_of(bytes as u64);
        paid_until.saturating_duration_since(now)
    }
}

/// A body that is read no faster than its pace.
pub(super) struct Paced<'a> {
    body: &'a mut dyn Read,
    pace: &'a Pace,
}

impl<'a> Paced<'a> {
    pub(super) fn new(body: &'a mut dyn Read, pace: &'a Pace) -> Paced<'a> {
        Paced { body, pace }
    }
}

impl Read for Paced<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let most = out.len().min(PIECE_BYTES);
        let count = self.body.read(&mut out[..most])?;
        thread::sleep(self.pace.book(count, Instant::now()));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_booked_waits_its_turn() {
        let pace = Pace::new(NonZeroU64::new(1000).unwrap());
        let start = Instant::now() + Duration::from_secs(60);
        assert_eq!(pace.book(250, start), Duration::ZERO, "after a rest");
        assert_eq!(pace.book(500, start), Duration::from_millis(500));
        assert_eq!(
            pace.book(500, start),
            Duration::from_millis(1000),
            "behind the other"
        );
        let later = start + Duration::from_secs(60);
        assert_eq!(
            pace.book(1250, later),
            Duration::from_secs(1),
            "a long rest saves up no more"
        );
    }
}
