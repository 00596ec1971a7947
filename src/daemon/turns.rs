//! Turns at reading: databases that are read for their own sake take turns, with pauses, so that their disk is at least
//! half of the time for the applications, however many databases there are.
//!
//! Nobody waits in line for it: whoever takes a turn is told when it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The least that a turn is taken to last. With all in memory, a piece takes less.
const LEAST: Duration = Duration::from_millis(3);

/// All turns of a process.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    /// The first turn that is not taken.
    free_at: Option<Instant>,
    /// How long the last one lasted.
    lasted: Duration,
}

impl Turns {
    /// Takes the next turn: when it is, not before `now`.
    pub(super) fn take(&self, now: Instant) -> Instant {
        self.with(|line| {
            let turn = line.free_at.map_or(now, |free_at| free_at.max(now));
            line.free_at = Some(turn + line.lasted.max(LEAST) * 2);
            turn
        })
    }

    /// Notes that a turn lasted from `begun` to `ended`.
    pub(super) fn lasted(&self, begun: Instant, ended: Instant) {
        self.with(|line| {
            line.lasted = ended - begun;
            line.free_at = line.free_at.max(Some(ended + line.lasted));
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Line) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_time_is_free_however_many_read() {
        for (readers, piece) in [(1, 100), (7, 100), (7, 0)] {
            let piece = Duration::from_millis(piece);
            let (turns, start) = (Turns::default(), Instant::now());
            let mut line: Vec<_> = (0..readers).map(|_| turns.take(start)).collect();
            let (mut read, mut free_until) = (Duration::ZERO, start);
            for _ in 0..100 {
                let begun = free_until.max(line.remove(0));
                let ended = begun + piece;
                turns.lasted(begun, ended);
                line.push(turns.take(ended));
                (read, free_until) = (read + piece, ended);
            }
            // The first ones took their turns when it was not known how long they last, and so stood close.
            let took = free_until - start;
            assert!(took >= (read - piece * readers) * 2, "{readers}: {took:?}");
            assert!(took <= (read + LEAST * 100) * 2, "no longer: {took:?}");
        }
    }
}
