//! Everything that owns a thread: one for each database, a few for uploads, one that watches files; and
//! the start and end of them all.

mod child;
mod complaint;
mod database;
mod outage;
mod pool;
mod uploads;
mod watch;

use std::mem::take;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{fmt, io};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::child::{Child, Failure};
use self::database::{Mailbox, OutletId, Setup};
use self::uploads::{Answer, Uploads};
use self::watch::Watcher;
use crate::config::{Config, DatabaseConfig};
use crate::storage::Storage;
use crate::sys::clock::{Clock, SystemClock};
use crate::sys::fs::{FileSystem, SystemFiles};

/// Stack of each thread: the deepest calls are SQLite's and LZ4's, which keep to some 64 KiB.
const STACK_BYTES: usize = 512 << 10;

/// Signals that come so close together are one: `timeout` signals its child, and then the child's group.
const TOGETHER: Duration = Duration::from_millis(200);

/// What a database's thread is told.
enum Event {
    /// Its files may have changed.
    Changed,
    /// The storage of one of its destinations has answered.
    Answered(OutletId, Answer),
    /// It is to stop when everything is on the storage.
    Stop(Stop),
}

/// How to stop.
#[derive(Clone, Copy, Debug)]
struct Stop {
    /// When to give up.
    deadline: Option<Instant>,
    /// Whether a failure is followed by another attempt.
    tries_again: bool,
    /// The pause before it.
    retry_pause: Duration,
}

/// How long to replicate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// Until a signal, or until the child process ends.
    Continuous,
    /// Until the storage has what there is now.
    Once,
}

/// Why replication ended otherwise than asked.
#[derive(Debug)]
#[non_exhaustive]
pub enum DaemonError {
    /// A thread, the signal handler or the child process could not be started.
    Start {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The command given for the child process cannot be split into words.
    Command(String),
    /// The last changes of some databases are not on the storage.
    Incomplete(Vec<String>),
    /// A second signal asked not to wait for the last changes; these are what is missing.
    Interrupted(Vec<String>),
    /// The child process failed; the last changes are on the storage.
    Child(String),
}

impl fmt::Display for DaemonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DaemonError::Start { what, source } => write!(f, "cannot start {what}: {source}"),
            DaemonError::Command(reason) => write!(f, "cannot run the command: {reason}"),
            DaemonError::Incomplete(databases) => f.write_str(&databases.join("; ")),
            DaemonError::Interrupted(databases) => {
                write!(
                    f,
                    "stopped at once by a second signal: {}",
                    databases.join("; ")
                )
            }
            DaemonError::Child(how) => write!(f, "the command {how}; everything is replicated"),
        }
    }
}

impl std::error::Error for DaemonError {}

/// Replicates the databases of `config`, of which `storages` gives each what its replicas are on, in their order.
///
/// # Errors
/// When it could not start, or not everything was on the storage at the end.
pub fn replicate(
    config: &Config,
    mode: Mode,
    storages: impl Fn(&DatabaseConfig) -> Vec<Arc<dyn Storage>>,
) -> Result<(), DaemonError> {
    let (happen, happenings) = channel();
    // First of all, so that no signal finds the program without a handler.
    listen_to_signals(happen.clone()).map_err(cannot_start("the signal handler"))?;
    let uploads = Uploads::default();
    let watcher = Watcher::start()
        .inspect_err(|error| log::warn!("cannot watch files ({error}), polling instead"))
        .ok();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let fs: Arc<dyn FileSystem> = Arc::new(SystemFiles);
    let mut entrances = Vec::new();
    for database in &config.databases {
        let setup = Setup {
            config: database.clone(),
            storages: storages(database),
            fs: Arc::clone(&fs),
            clock: Arc::clone(&clock),
            uploads: uploads.clone(),
            watcher: watcher.clone(),
        };
        let entrance = start_database(setup, happen.clone());
        entrances.push(entrance.map_err(cannot_start("a database's thread"))?);
    }
    let mut conductor = Conductor {
        running: entrances.len(),
        entrances,
        child: None,
        once: mode == Mode::Once,
        timeout: config.shutdown_sync_timeout,
        retry_pause: config.shutdown_sync_interval,
        incomplete: Vec::new(),
    };
    match (mode, &config.exec) {
        (Mode::Once, _) => conductor.stop(None, false),
        (Mode::Continuous, Some(command)) => match Child::start(command, happen) {
            Ok(child) => conductor.child = Some(child),
            Err(error) => {
                conductor.stop_within_timeout();
                conductor.conduct(&happenings)?;
                return Err(error);
            }
        },
        (Mode::Continuous, None) => {}
    }
    conductor.conduct(&happenings)
}

/// What the main thread waits for.
enum Happening {
    Signal(i32),
    /// The child process has ended; if it failed, how.
    ChildEnded(Option<Failure>),
    /// A database's thread has ended; this is not on the storage.
    DatabaseEnded(Vec<String>),
}

/// Leads all to their end: the child process first, then every database, side by side.
struct Conductor {
    entrances: Vec<Sender<Event>>,
    running: usize,
    child: Option<Child>,
    /// Whether a failure is final, as it is with `-once`.
    once: bool,
    timeout: Duration,
    retry_pause: Duration,
    incomplete: Vec<String>,
}

impl Conductor {
    fn conduct(mut self, happenings: &Receiver<Happening>) -> Result<(), DaemonError> {
        let (mut interrupted, mut child_failure) = (false, None);
        let mut first_signal: Option<Instant> = None;
        while self.running > 0 {
            // The sender of the signal thread lives as long as the process.
            match happenings.recv() {
                // A signal to a process group may come twice.
                Ok(Happening::Signal(_))
                    if first_signal.is_some_and(|at| at.elapsed() < TOGETHER) => {}
                Ok(Happening::Signal(signal)) if first_signal.is_none() => {
                    first_signal = Some(Instant::now());
                    log::info!(
                        "stopping: sending the last changes (a second signal stops at once)"
                    );
                    match &self.child {
                        // It may still write until it has ended.
                        Some(child) => child.signal(signal),
                        None => self.stop_within_timeout(),
                    }
                }
                Ok(Happening::Signal(signal)) => {
                    interrupted = true;
                    if let Some(child) = &self.child {
                        child.signal(signal);
                    }
                    self.stop(Some(Instant::now()), false);
                }
                Ok(Happening::ChildEnded(failure)) => {
                    log::info!("the command has ended, sending the last changes");
                    self.child = None;
                    child_failure = failure;
                    if !interrupted {
                        self.stop_within_timeout();
                    }
                }
                Ok(Happening::DatabaseEnded(incomplete)) => {
                    self.running -= 1;
                    self.incomplete.extend(incomplete);
                }
                Err(_) => break,
            }
        }
        match (self.incomplete.is_empty(), child_failure) {
            (false, _) if interrupted => Err(DaemonError::Interrupted(self.incomplete)),
            (false, _) => Err(DaemonError::Incomplete(self.incomplete)),
            (true, None) => Ok(()),
            // A child that dies of the signal passed on to it has done what it was told.
            (true, Some(Failure::Killed)) if first_signal.is_some() => Ok(()),
            (true, Some(failure)) => Err(DaemonError::Child(failure.to_string())),
        }
    }

    fn stop_within_timeout(&mut self) {
        let deadline = Instant::now() + self.timeout;
        self.stop(Some(deadline), !self.once);
    }

    fn stop(&mut self, deadline: Option<Instant>, tries_again: bool) {
        let stop = Stop {
            deadline,
            tries_again,
            retry_pause: self.retry_pause,
        };
        for entrance in &self.entrances {
            // One whose thread has ended has nothing left to do.
            let _ = entrance.send(Event::Stop(stop));
        }
    }
}

fn cannot_start(what: &'static str) -> impl Fn(io::Error) -> DaemonError {
    move |source| DaemonError::Start { what, source }
}

fn listen_to_signals(happen: Sender<Happening>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listen = move || {
        for signal in &mut signals {
            if happen.send(Happening::Signal(signal)).is_err() {
                return;
            }
        }
    };
    spawn("signals", listen)
}

/// Starts the thread of one database and gives the way to reach it.
fn start_database(setup: Setup, happen: Sender<Happening>) -> io::Result<Sender<Event>> {
    let mailbox = Mailbox::new();
    let entrance = mailbox.entrance.clone();
    let name = setup.config.path.display().to_string();
    let run = move || {
        let mut ending = Ending {
            incomplete: vec![format!("{name}: its thread has panicked")],
            happen,
        };
        ending.incomplete = database::run(setup, mailbox);
    };
    spawn("database", run)?;
    Ok(entrance)
}

/// Tells of a database's end, however its thread ends.
struct Ending {
    incomplete: Vec<String>,
    happen: Sender<Happening>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self
            .happen
            .send(Happening::DatabaseEnded(take(&mut self.incomplete)));
    }
}

/// Starts a thread that is never waited for.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new()
        .name(name.to_string())
        .stack_size(STACK_BYTES);
    builder.spawn(run).map(drop)
}
