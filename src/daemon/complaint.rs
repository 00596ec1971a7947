//! Errors that come back with every attempt are logged when they are new, and then now and again.

use std::time::{Duration, Instant};

/// How long an unchanged error stays silent.
const REPEAT_AFTER: Duration = Duration::from_secs(300);

/// What is wrong with something that is tried again and again, and when to try next.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    last: Option<(String, Instant)>,
    since: Option<Instant>,
    attempts: u32,
}

impl Complaint {
    /// Takes an error. Gives whether it is to be logged.
    pub(super) fn raise(&mut self, error: &str, now: Instant) -> bool {
        self.attempts = self.attempts.saturating_add(1);
        self.since.get_or_insert(now);
        match &self.last {
            Some((text, at)) if text == error && now < *at + REPEAT_AFTER => false,
            _ => {
                self.last = Some((error.to_string(), now));
                true
            }
        }
    }

    /// Notes that it works again. Gives for how long it did not, if it did not.
    pub(super) fn settle(&mut self, now: Instant) -> Option<Duration> {
        let since = self.since.take();
        *self = Complaint::default();
        since.map(|since| now - since)
    }

    /// Whether nothing is wrong, as far as is known.
    pub(super) fn is_quiet(&self) -> bool {
        self.since.is_none()
    }

    /// How many attempts have failed in a row.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The last error.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_ref().map(|(text, _)| text.as_str())
    }

    /// How long to wait before the next attempt: doubling from `first` to `longest`.
    pub(super) fn pause(&self, first: Duration, longest: Duration) -> Duration {
        let doublings = self.attempts.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_what_is_new_and_repeats_it_rarely() {
        let (mut complaint, start) = (Complaint::default(), Instant::now());
        assert!(complaint.raise("no route", start));
        assert!(!complaint.raise("no route", start + Duration::from_secs(1)));
        assert!(complaint.raise("no space", start + Duration::from_secs(2)));
        assert!(complaint.raise("no space", start + Duration::from_secs(400)));
        let over = start + Duration::from_secs(401);
        assert_eq!(complaint.settle(over), Some(Duration::from_secs(401)));
        assert_eq!(complaint.settle(over), None);
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(10));
        let mut complaint = Complaint::default();
        let mut pauses = Vec::new();
        for _ in 0..6 {
            complaint.raise("x", Instant::now());
            pauses.push(complaint.pause(first, longest).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
    }
}
