//! One attempt to restore the newest state that any of a database's replicas has, and how it is tried again while the
//! storage cannot be reached yet: a machine may be up before its network is.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::eprintln_unless_closed;
use crate::commands::progress::ProgressLine;
use crate::commands::source::{none_of, warn_of};
use crate::commands::{CommandError, Reason};
use crate::restore::{Candidate, Class, Options, Outcome, RestoreError, Target, candidates};
use crate::storage::Storage;

/// The pause after the first attempt; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What to restore, and from where.
pub(in crate::commands) struct Attempt<'a> {
    /// The replicas, at least one.
    pub(in crate::commands) storages: &'a [Arc<dyn Storage>],
    /// Which state.
    pub(in crate::commands) target: Target,
    /// Whether a replica that cannot be reached fails the attempt, instead of being done without: it may be the newest.
    pub(in crate::commands) is_patient: bool,
}

impl<'a> Attempt<'a> {
    /// The replicas that hold what is wanted, the best first, at least one. Warns of the others.
    pub(in crate::commands) fn candidates(&self) -> Result<Vec<Candidate<'a>>, CommandError> {
        let storages = self.storages.iter().map(|storage| &**storage);
        let (found, mut others) = candidates(storages, self.target);
        let away = |error: &RestoreError| error.class() == Class::Unreachable;
        let waits = self.is_patient && others.iter().any(|(_, error)| away(error));
        if waits {
            others.retain(|(_, error)| away(error));
        }
        let failed: Vec<(String, String)> = others
            .iter()
            .map(|(storage, error)| (storage.location(), error.to_string()))
            .collect();
        if waits || found.is_empty() {
            let worst = others.iter().map(|(_, error)| error.class()).max();
            return Err(none_of(&failed).of(worst.map_or(Reason::Failed, reason)));
        }
        warn_of(&failed);
        Ok(found)
    }

    /// Restores from the best of them, or from the next where that is damaged.
    pub(in crate::commands) fn restore(
        &self,
        output: &Path,
        how: &Options,
    ) -> Result<(Outcome, &'a dyn Storage), CommandError> {
        let mut candidates = self.candidates()?.into_iter().peekable();
        loop {
            let candidate = candidates.next().expect("at least one, and one more");
            let storage = candidate.storage();
            let mut progress = ProgressLine::new();
            let result = candidate.restore(output, how, &mut |at| progress.show(at));
            progress.clear();
            let error = match result {
                Ok(outcome) => return Ok((outcome, storage)),
                Err(error) => error,
            };
            let waits = self.is_patient && error.class() == Class::Unreachable;
            if waits || !error.is_of_replica() || candidates.peek().is_none() {
                return Err(told(&error));
            }
            warn_of(&[(storage.location(), error.to_string())]);
        }
    }
}

/// Makes attempts until one ends otherwise than with a storage that cannot be reached, or `max_wait` is over; the last
/// one is told not to be patient.
pub(super) fn until_reachable<T>(
    max_wait: Duration,
    attempt: &mut dyn FnMut(bool) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let start = Instant::now();
    let (mut pause, mut said) = (FIRST_PAUSE, false);
    loop {
        let rest = max_wait.saturating_sub(start.elapsed());
        let error = match attempt(!rest.is_zero()) {
            Err(error) if error.reason() == Reason::Unreachable => error,
            ended => return ended,
        };
        if rest.is_zero() {
            let waited = start.elapsed().as_secs();
            return Err(match max_wait.is_zero() {
                true => error,
                false => CommandError::new(format!("{error}; given up after {waited} s"))
                    .of(Reason::Unreachable),
            });
        }
        if !said {
            let seconds = max_wait.as_secs();
            eprintln_unless_closed(&format!("{error}; trying again for up to {seconds} s"));
            said = true;
        }
        thread::sleep(pause.min(max_wait.saturating_sub(start.elapsed())));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

pub(in crate::commands) fn told(error: &RestoreError) -> CommandError {
    CommandError::new(error.to_string()).of(reason(error.class()))
}

fn reason(class: Class) -> Reason {
    match class {
        Class::NoBackup => Reason::NoBackup,
        Class::NoSuchTime => Reason::NoSuchTime,
        Class::Damaged => Reason::Damaged,
        Class::Other => Reason::Failed,
        Class::Unreachable => Reason::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again_and_the_last_attempt_takes_what_there_is() {
        let mut asked = Vec::new();
        let unreachable = || CommandError::new("no network").of(Reason::Unreachable);
        let ended = until_reachable(Duration::from_millis(1200), &mut |is_patient| {
            asked.push(is_patient);
            match is_patient {
                true => Err(unreachable()),
                false => Ok(7),
            }
        });
        assert_eq!(ended, Ok(7));
        // At once, after a second, and when the time is over.
        assert_eq!(asked, [true, true, false]);

        let mut attempts = 0;
        for (reason, max_wait) in [(Reason::Failed, 60), (Reason::Unreachable, 0)] {
            let ended = until_reachable::<()>(Duration::from_secs(max_wait), &mut |_| {
                attempts += 1;
                Err(CommandError::new("refused").of(reason))
            });
            assert_eq!(ended.unwrap_err().to_string(), "refused");
        }
        assert_eq!(attempts, 2);
        let ended = until_reachable::<()>(Duration::from_millis(1), &mut |_| Err(unreachable()));
        let error = ended.unwrap_err();
        assert_eq!(error.reason(), Reason::Unreachable);
        assert!(error.to_string().contains("given up"), "{error}");
    }
}
