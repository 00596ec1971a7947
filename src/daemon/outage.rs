//! While a storage cannot be used: since when, what is said of it, and when it is tried again.
//!
//! The texts of errors differ from attempt to attempt (a timeout, a name that is not found, a reset), so it is
//! their class that counts: one line when it begins, one when the class changes, a reminder now and then, one at
//! the end.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::replica::SettleError;
use crate::storage::StorageError;
use crate::units::Timestamp;

/// How long an outage stays silent.
const REMIND_AFTER: Duration = Duration::from_secs(3600);
/// The longest pause before the next attempt. Within a minute of the link's return things go on, and an attempt a
/// minute costs nothing. A new commit does not shorten it.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The same where somebody has to change something first. Refused requests may cost money.
const REFUSED_PAUSE_MAX: Duration = Duration::from_secs(300);

/// What kind of trouble it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// The server cannot be reached.
    Unreachable,
    /// It refuses.
    Refused,
    /// The storage fails, in this way as far as the system says.
    Failing(io::ErrorKind),
    /// What is there cannot be built on.
    Unusable,
}

impl Class {
    pub(super) fn of(error: &StorageError) -> Class {
        match error {
            StorageError::Unreachable { .. } => Class::Unreachable,
            StorageError::Refused { .. } => Class::Refused,
            StorageError::Io { source, .. } | StorageError::Content { source, .. } => {
                Class::Failing(source.kind())
            }
            StorageError::InUse { .. } => Class::Unusable,
            _ => Class::Failing(io::ErrorKind::Other),
        }
    }

    pub(super) fn of_settling(error: &SettleError) -> Class {
        match error {
            SettleError::Storage(error) => Class::of(error),
            SettleError::PageSize { .. } | SettleError::LastTxid { .. } => Class::Unusable,
        }
    }

    fn longest_pause(self) -> Duration {
        match self {
            Class::Refused | Class::Unusable => REFUSED_PAUSE_MAX,
            Class::Unreachable | Class::Failing(_) => PAUSE_MAX,
        }
    }
}

/// The state of a destination's storage, as far as attempts to use it say.
#[derive(Debug, Default)]
pub(super) struct Outage(Option<Ongoing>);

#[derive(Debug)]
struct Ongoing {
    began: Instant,
    since: Timestamp,
    class: Class,
    told: Instant,
    attempts: u32,
    last: String,
}

impl Outage {
    /// Takes a failed attempt. Gives what is to be logged, if anything is.
    pub(super) fn failed(
        &mut self,
        class: Class,
        error: String,
        now: Instant,
        time: Timestamp,
    ) -> Option<String> {
        let news = match &self.0 {
            None => true,
            Some(ongoing) => class != ongoing.class || now >= ongoing.told + REMIND_AFTER,
        };
        let ongoing = self.0.get_or_insert(Ongoing {
            began: now,
            since: time,
            class,
            told: now,
            attempts: 0,
            last: String::new(),
        });
        ongoing.attempts = ongoing.attempts.saturating_add(1);
        ongoing.class = class;
        if news {
            ongoing.told = now;
        }
        let line = news.then(|| match class {
            Class::Unusable => error.clone(),
            _ => format!(
                "offline since {}: {error}; changes are kept track of and go out as one file when the storage \
                 answers again",
                ongoing.since
            ),
        });
        ongoing.last = error;
        line
    }

    /// Notes that the storage answers. Gives for how long it did not, if it did not.
    pub(super) fn over(&mut self, now: Instant) -> Option<Duration> {
        self.0.take().map(|ongoing| now - ongoing.began)
    }

    /// Whether the last attempt failed.
    pub(super) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// The last error.
    pub(super) fn last(&self) -> Option<&str> {
        self.0.as_ref().map(|ongoing| ongoing.last.as_str())
    }

    /// How long to wait before the next attempt: doubling from `first` up to a limit, and less by up to a quarter, as
    /// `random` says, so that many machines do not come back all at once.
    pub(super) fn pause(&self, first: Duration, random: u64) -> Duration {
        let (attempts, longest) = match &self.0 {
            Some(ongoing) => (ongoing.attempts, ongoing.class.longest_pause()),
            None => (0, PAUSE_MAX),
        };
        let doublings = attempts.saturating_sub(1).min(16);
        let pause = first.saturating_mul(1 << doublings).min(longest.max(first));
        let part = (random % 1024) as u32;
        pause - pause / 4 * part / 1024
    }
}

/// A time as people say it: its two largest units.
pub(super) struct Spoken(pub(super) Duration);

impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            (_, _, _) => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_outage_is_told_once_then_every_hour_and_when_its_class_changes() {
        let (mut outage, start) = (Outage::default(), Instant::now());
        let noon = Timestamp::from_millis(1_795_392_000_000);
        let mut fail = |class, error: &str, at| {
            let time = Timestamp::from_millis(noon.millis() + at as i64 * 1000);
            outage.failed(class, error.to_string(), start + seconds(at), time)
        };
        let first = fail(Class::Unreachable, "no route", 0).unwrap();
        assert!(first.starts_with(&format!("offline since {noon}: no route; changes are kept")));
        for at in 1..600 {
            let error = format!("other words each time: {at}");
            assert_eq!(fail(Class::Unreachable, &error, at), None);
        }
        let refused = fail(Class::Refused, "wrong key", 700).unwrap();
        assert!(refused.starts_with(&format!("offline since {noon}: wrong key")));
        assert_eq!(fail(Class::Refused, "wrong key", 4299), None);
        assert!(fail(Class::Refused, "wrong key", 4300).is_some(), "an hour");
        assert_eq!(fail(Class::Refused, "wrong key", 4301), None);
        assert_eq!(outage.over(start + seconds(5000)), Some(seconds(5000)));
        assert_eq!(outage.over(start + seconds(5001)), None);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_are_never_the_same() {
        let mut outage = Outage::default();
        let mut longest = Vec::new();
        for _ in 0..9 {
            let (now, time) = (Instant::now(), Timestamp::from_millis(0));
            outage.failed(Class::Unreachable, String::new(), now, time);
            longest.push(outage.pause(seconds(1), 0).as_secs());
            let shortest = outage.pause(seconds(1), 1023);
            let most = outage.pause(seconds(1), 0);
            assert!(shortest >= most.mul_f64(0.75) && shortest < most.mul_f64(0.76));
        }
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(
            outage.pause(seconds(600), 0),
            seconds(600),
            "a longer interval"
        );
    }

    #[test]
    fn times_are_spoken() {
        let spoken = |time| Spoken(seconds(time)).to_string();
        assert_eq!(spoken(59), "59 s");
        assert_eq!(spoken(125), "2 min 5 s");
        assert_eq!(spoken(3 * 3600 + 12 * 60 + 5), "3 h 12 min");
        assert_eq!(spoken(8 * 86400 + 3600), "8 d 1 h");
    }
}
