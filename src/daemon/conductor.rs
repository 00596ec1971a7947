//! Leads all databases from their start to their end: those that are there at the start, those that come while running,
//! those that go, and at the end the child process first and then every database, side by side.
//!
//! A database that comes back before the thread it had has ended waits for that: a replica and what is remembered
//! have one owner at a time.

use std::collections::HashMap;
use std::io;
use std::mem::{replace, take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use super::child::{Child, Failure};
use super::database::{self, Mailbox, Setup};
use super::turns::Turns;
use super::uploads::Uploads;
use super::watch::Watcher;
use super::{DaemonError, Event, Happening, Mode, OpenStorages, Stop, spawn};
use crate::config::{Config, DatabaseConfig};
use crate::discovery::Change;
use crate::storage::Storage;
use crate::sys::clock::Clock;
use crate::sys::fs::FileSystem;

/// Signals that come so close together are one: `timeout` signals its child, and then the child's group.
const TOGETHER: Duration = Duration::from_millis(200);

/// What the thread of any database needs.
pub(super) struct Starter<'a> {
    pub(super) open: OpenStorages<'a>,
    pub(super) uploads: Uploads,
    pub(super) turns: Turns,
    pub(super) watcher: Option<Arc<Watcher>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) fs: Arc<dyn FileSystem>,
    pub(super) happen: Sender<Happening>,
}

impl Starter<'_> {
    /// Starts the thread of one database and gives the way to reach it.
    fn start(
        &self,
        config: DatabaseConfig,
        storages: Vec<Arc<dyn Storage>>,
    ) -> io::Result<Sender<Event>> {
        let mailbox = Mailbox::new();
        let entrance = mailbox.entrance.clone();
        let (path, happen) = (config.path.clone(), self.happen.clone());
        let setup = Setup {
            config,
            storages,
            fs: Arc::clone(&self.fs),
            clock: Arc::clone(&self.clock),
            uploads: self.uploads.clone(),
            turns: self.turns.clone(),
            watcher: self.watcher.clone(),
        };
        let run = move || {
            let mut ending = Ending {
                incomplete: vec![format!("{}: its thread has panicked", path.display())],
                path,
                happen,
            };
            ending.incomplete = database::run(setup, mailbox);
        };
        spawn("database", run)?;
        Ok(entrance)
    }
}

/// Tells of a database's end, however its thread ends.
struct Ending {
    path: PathBuf,
    incomplete: Vec<String>,
    happen: Sender<Happening>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.happen.send(Happening::DatabaseEnded {
            path: take(&mut self.path),
            incomplete: take(&mut self.incomplete),
        });
    }
}

/// A database that has a thread.
struct Running {
    entrance: Sender<Event>,
    /// The database has gone, and so its thread is to end.
    gone: bool,
    /// It has come back, and waits for the end of the thread.
    back: Option<Box<DatabaseConfig>>,
}

/// Leads all to their end.
pub(super) struct Conductor<'a> {
    starter: Starter<'a>,
    running: HashMap<PathBuf, Running>,
    /// Asks for a look at the directories; none where nobody looks out for databases.
    lookout: Option<Sender<()>>,
    child: Option<Child>,
    stopping: bool,
    /// Whether a failure is final, as it is with `-once`.
    once: bool,
    timeout: Duration,
    retry_pause: Duration,
    incomplete: Vec<String>,
}

impl<'a> Conductor<'a> {
    /// Starts `databases`. Their storages are opened before anything begins: a mistake is told at once.
    pub(super) fn start(
        starter: Starter<'a>,
        databases: Vec<DatabaseConfig>,
        config: &Config,
        mode: Mode,
    ) -> Result<Conductor<'a>, DaemonError> {
        let opened: Result<Vec<_>, String> = databases.iter().map(starter.open).collect();
        let opened = opened.map_err(DaemonError::Storage)?;
        let mut conductor = Conductor {
            starter,
            running: HashMap::with_capacity(databases.len()),
            lookout: None,
            child: None,
            stopping: false,
            once: mode == Mode::Once,
            timeout: config.shutdown_sync_timeout,
            retry_pause: config.shutdown_sync_interval,
            incomplete: Vec::new(),
        };
        for (database, storages) in databases.into_iter().zip(opened) {
            let name = database.path.display().to_string();
            if let Err(error) = conductor.run(database, storages) {
                let error = no_thread(&name, &error);
                log::error!("{error}");
                conductor.incomplete.push(error);
            }
        }
        Ok(conductor)
    }

    /// Has somebody look out for databases, whom `wake` reaches.
    pub(super) fn look_out(&mut self, wake: Sender<()>) {
        self.lookout = Some(wake);
    }

    /// Has a child process, which ends first.
    pub(super) fn lead(&mut self, child: Child) {
        self.child = Some(child);
    }

    pub(super) fn conduct(mut self, happenings: &Receiver<Happening>) -> Result<(), DaemonError> {
        let (mut interrupted, mut child_failure) = (false, None);
        let mut first_signal: Option<Instant> = None;
        while !self.running.is_empty() || (self.lookout.is_some() && !self.stopping) {
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
                Ok(Happening::Discovered(Change::Appeared(database))) => self.add(database),
                Ok(Happening::Discovered(Change::Vanished(path))) => self.remove(&path),
                Ok(Happening::DatabaseEnded { path, incomplete }) => self.ended(path, incomplete),
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

    /// Takes up a database that has come.
    fn add(&mut self, database: Box<DatabaseConfig>) {
        if self.stopping {
            return;
        }
        if let Some(running) = self.running.get_mut(&database.path) {
            running.back = Some(database);
            return;
        }
        let name = database.path.display().to_string();
        let started = match (self.starter.open)(&database) {
            Ok(storages) => self
                .run(*database, storages)
                .map_err(|error| no_thread(&name, &error)),
            Err(error) => Err(format!(
                "{name}: not replicated: {error}; start walbrook again when that is set right"
            )),
        };
        match started {
            Ok(()) => log::info!("{name}: added database to replication"),
            Err(error) => log::error!("{error}"),
        }
    }

    /// Has the thread of a database that has gone send what it still has, and end.
    fn remove(&mut self, path: &Path) {
        let stop = Stop {
            gone: true,
            ..self.stop_by(Some(Instant::now() + self.timeout), true)
        };
        let Some(running) = self.running.get_mut(path) else {
            return;
        };
        running.back = None;
        if !self.stopping && !replace(&mut running.gone, true) {
            let _ = running.entrance.send(Event::Stop(stop));
        }
    }

    /// Notes the end of a database's thread.
    fn ended(&mut self, path: PathBuf, incomplete: Vec<String>) {
        let Some(running) = self.running.remove(&path) else {
            return;
        };
        if !running.gone {
            self.incomplete.extend(incomplete);
            return;
        }
        for incomplete in incomplete {
            log::warn!("{incomplete}");
        }
        log::info!(
            "{}: removed database from replication; its replica stays as it is",
            path.display()
        );
        if let Some(database) = running.back {
            self.add(database);
        }
        // What was open under this name may have another one now.
        if let Some(lookout) = &self.lookout {
            let _ = lookout.send(());
        }
    }

    fn run(&mut self, database: DatabaseConfig, storages: Vec<Arc<dyn Storage>>) -> io::Result<()> {
        let path = database.path.clone();
        let running = Running {
            entrance: self.starter.start(database, storages)?,
            gone: false,
            back: None,
        };
        self.running.insert(path, running);
        Ok(())
    }

    pub(super) fn stop_within_timeout(&mut self) {
        let deadline = Instant::now() + self.timeout;
        self.stop(Some(deadline), !self.once);
    }

    pub(super) fn stop(&mut self, deadline: Option<Instant>, tries_again: bool) {
        self.stopping = true;
        let stop = self.stop_by(deadline, tries_again);
        for running in self.running.values_mut() {
            running.back = None;
            // One whose thread has ended has nothing left to do.
            let _ = running.entrance.send(Event::Stop(stop));
        }
    }

    fn stop_by(&self, deadline: Option<Instant>, tries_again: bool) -> Stop {
        Stop {
            deadline,
            tries_again,
            gone: false,
            retry_pause: self.retry_pause,
        }
    }
}

fn no_thread(name: &str, error: &io::Error) -> String {
    format!(
        "{name}: not replicated, since its thread cannot be started: {error}; allow more threads (TasksMax= of \
         systemd, `ulimit -u`) and start walbrook again"
    )
}
