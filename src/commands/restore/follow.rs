//! `restore -f`: restores, then goes on applying what comes to the replica until a signal.
//!
//! A thread of its own follows, so that a signal ends the program at once, whatever that waits for; but not while a
//! file is being applied, which takes a moment. Killed there all the same, the copy is repaired when it is opened next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::attempt::told;
use crate::commands::{CommandError, Outcome, Reason};
use crate::restore::{Follower, Gate, Look, RestoreError};
use crate::storage::Storage;

/// How often nothing new is found before the pauses grow, and to how many times the interval they do.
const PATIENT_LOOKS: u32 = 10;
const LONGEST_IDLE: u32 = 15;
/// The longest pause after an error, or the interval where that is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often in a row the replica is found behind the copy before that is believed: a directory may be mounted anew.
const LOOKS_BEHIND: u32 = 3;
/// How many errors of one outage there are to a line in the log.
const ERRORS_A_LINE: u32 = 60;

/// What the main thread waits for.
enum Event {
    Signal,
    Ended(Result<(), CommandError>),
}

/// Follows `storage` with the copy `output`, looking every `interval`, until a signal.
pub(super) fn follow(
    storage: Arc<dyn Storage>,
    output: &Path,
    interval: Duration,
) -> Result<Outcome, CommandError> {
    let (send, events) = channel();
    let cannot = |error: io::Error| CommandError::new(format!("cannot follow: {error}"));
    listen(send.clone()).map_err(cannot)?;
    let gate = Arc::new(Gate::default());
    let follower = Follower::open(storage, output, Arc::clone(&gate));
    let follower = follower.map_err(|error| told(&error))?;
    log::info!(
        "{}: following from txid {}, every {interval:?}",
        output.display(),
        follower.txid()
    );
    let pace = Pace {
        output: output.to_path_buf(),
        interval,
        idle: 0,
        failed: 0,
        behind: 0,
        hole: false,
    };
    let run = move || {
        let ended = pace.run(follower);
        let _ = send.send(Event::Ended(ended));
    };
    thread::Builder::new().spawn(run).map_err(cannot)?;
    let ended = match events.recv() {
        Ok(Event::Signal) => {
            gate.shut();
            Ok(())
        }
        Ok(Event::Ended(ended)) => ended,
        Err(_) => Err(CommandError::new("the thread that follows has panicked")),
    };
    ended?;
    log::info!("{}: stopped following", output.display());
    Ok(Outcome::Success)
}

/// When to look, and what to say.
struct Pace {
    output: PathBuf,
    interval: Duration,
    /// Looks in a row that found nothing.
    idle: u32,
    /// Errors in a row.
    failed: u32,
    /// Looks in a row that found the replica behind the copy.
    behind: u32,
    /// Files were missing at the last look.
    hole: bool,
}

impl Pace {
    /// Looks again and again, until there is no use in it.
    fn run(mut self, mut follower: Follower) -> Result<(), CommandError> {
        loop {
            let pause = match follower.look() {
                Ok(Look::Stopped) => return Ok(()),
                Ok(look) => self.after(look, &follower)?,
                Err(RestoreError::OtherDatabase { file }) => {
                    let (output, at) = (self.output.display(), follower.txid());
                    return Err(CommandError::new(format!(
                        "{file} of the replica does not continue the state at txid {at} that {output} has: the replica \
                         is that of another database now, or the copy was changed; it stays as it is; restore it anew \
                         with -force"
                    ))
                    .of(Reason::Damaged));
                }
                Err(error) if error.is_of_replica() => self.after_error(&error),
                Err(error) => return Err(told(&error)),
            };
            thread::sleep(pause);
        }
    }

    /// The pause after a look.
    fn after(&mut self, look: Look, follower: &Follower) -> Result<Duration, CommandError> {
        let (output, at) = (self.output.display(), follower.txid());
        if self.failed > 0 {
            log::info!("{output}: the replica can be read again");
        }
        self.failed = 0;
        self.behind = match look {
            Look::Behind { .. } => self.behind + 1,
            _ => 0,
        };
        self.idle = match look {
            Look::Applied { .. } => 0,
            _ => self.idle.saturating_add(1),
        };
        let had_hole = std::mem::replace(&mut self.hole, matches!(look, Look::Hole { .. }));
        match look {
            Look::Applied { files } => {
                log::debug!("{output}: at txid {at} with {files} more files")
            }
            Look::Hole { newest } if !had_hole => log::warn!(
                "{output}: stays at txid {at}: the replica is at {newest}, but files between are missing; it goes on \
                 with the next snapshot, or restore it anew with -force"
            ),
            Look::Behind { newest } if self.behind >= LOOKS_BEHIND => {
                return Err(match newest {
                    Some(newest) => CommandError::new(format!(
                        "the replica is at txid {newest}, before the {at} that {output} has: it was set back, or is \
                         that of another database now; the copy is whole and stays as it is; restore it anew with \
                         -force"
                    ))
                    .of(Reason::Damaged),
                    None => CommandError::new(format!(
                        "the replica is empty now, while {output} has its state at txid {at}: it was deleted, or is \
                         not mounted; the copy is whole and stays as it is"
                    ))
                    .of(Reason::NoBackup),
                });
            }
            _ => {}
        }
        let growth = self.idle.saturating_sub(PATIENT_LOOKS);
        Ok(self.interval * (growth + 1).min(LONGEST_IDLE))
    }

    fn after_error(&mut self, error: &RestoreError) -> Duration {
        if self.failed.is_multiple_of(ERRORS_A_LINE) {
            log::warn!("{}: {error}; trying again", self.output.display());
        }
        self.failed += 1;
        let pause = self.interval.saturating_mul(1 << self.failed.min(10));
        pause.min(LONGEST_PAUSE.max(self.interval))
    }
}

fn listen(send: Sender<Event>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let wait = move || {
        if signals.forever().next().is_some() {
            let _ = send.send(Event::Signal);
        }
    };
    thread::Builder::new().spawn(wait).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::PlanError;

    fn pace() -> Pace {
        Pace {
            output: PathBuf::from("/x.db"),
            interval: Duration::from_secs(1),
            idle: 0,
            failed: 0,
            behind: 0,
            hole: false,
        }
    }

    #[test]
    fn pauses_grow_while_the_storage_is_down() {
        let mut pace = pace();
        let error = RestoreError::Plan(PlanError::Empty);
        let pauses: Vec<_> = (0..8).map(|_| pace.after_error(&error).as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60, 60]);
        pace.interval = Duration::from_secs(3600);
        assert_eq!(pace.after_error(&error).as_secs(), 3600);
    }
}
