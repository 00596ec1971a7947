//! Everything that owns a thread: one for each database, a few for uploads, one that watches files, one that looks out
//! for databases that come and go; and the start and end of them all.

mod child;
mod complaint;
mod conductor;
mod database;
mod directories;
mod outage;
mod pool;
mod turns;
mod uploads;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;
use std::{fmt, io};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use self::child::{Child, Failure};
use self::conductor::{Conductor, Starter};
use self::database::OutletId;
use self::turns::Turns;
use self::uploads::{Answer, Uploads};
use self::watch::Watcher;
use crate::config::{Config, DatabaseConfig};
use crate::discovery::{self, Change};
use crate::storage::Storage;
use crate::sys::clock::SystemClock;
use crate::sys::fs::SystemFiles;

/// Stack of each thread: the deepest calls are SQLite's and LZ4's, which keep to some 64 KiB.
const STACK_BYTES: usize = 512 << 10;

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
    /// The database has gone, so that there may be nothing left to look at.
    gone: bool,
    /// The pause before it.
    retry_pause: std::time::Duration,
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
    /// The storage of a database cannot be used.
    Storage(String),
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
            DaemonError::Storage(reason) => f.write_str(reason),
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

/// Opens the storages of a database's replicas, in their order; an error is a sentence.
pub type OpenStorages<'a> = &'a dyn Fn(&DatabaseConfig) -> Result<Vec<Arc<dyn Storage>>, String>;

/// Replicates the databases that `found` has, and those it finds later, to what `open` gives for each.
///
/// # Errors
/// When it could not start, or not everything was on the storage at the end.
pub fn replicate(
    config: &Config,
    found: discovery::Start,
    mode: Mode,
    open: OpenStorages<'_>,
) -> Result<(), DaemonError> {
    let (happen, happenings) = channel();
    // First of all, so that no signal finds the program without a handler.
    listen_to_signals(happen.clone()).map_err(cannot_start("the signal handler"))?;
    let watcher = Watcher::start()
        .inspect_err(|error| log::warn!("cannot watch files ({error}), polling instead"))
        .ok();
    let starter = Starter {
        open,
        uploads: Uploads::default(),
        turns: Turns::default(),
        watcher: watcher.clone(),
        clock: Arc::new(SystemClock),
        fs: Arc::new(SystemFiles),
        happen: happen.clone(),
    };
    let mut conductor = Conductor::start(starter, found.databases, config, mode)?;
    if let Some(discovery) = found.discovery.filter(|_| mode == Mode::Continuous) {
        let wake = directories::start(discovery, watcher, happen.clone());
        conductor.look_out(wake.map_err(cannot_start("the thread that watches directories"))?);
    }
    match (mode, &config.exec) {
        (Mode::Once, _) => conductor.stop(None, false),
        (Mode::Continuous, Some(command)) => match Child::start(command, happen) {
            Ok(child) => conductor.lead(child),
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
    /// A database has come or gone.
    Discovered(Change),
    /// The thread of the database at `path` has ended; this is not on the storage.
    DatabaseEnded {
        path: PathBuf,
        incomplete: Vec<String>,
    },
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

/// Starts a thread that is never waited for.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = thread::Builder::new()
        .name(name.to_string())
        .stack_size(STACK_BYTES);
    builder.spawn(run).map(drop)
}
