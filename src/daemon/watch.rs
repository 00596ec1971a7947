//! Wakes a database's thread when its files change: inotify, one instance and one thread for the process.
//!
//! Every watch of a file is for one event and has to be set again. So a database under load costs one wake-up for each
//! look at it, not one for each write. Directories are watched for the names in them, until they are gone; what SQLite
//! keeps beside its databases comes and goes, and is no news. Where inotify is not to be had, the threads poll instead.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::Event;

/// That a file was written, or that its name went away.
const ONE_CHANGE: WatchFlags = WatchFlags::MODIFY
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONESHOT);

/// That a name came to a directory or went away, or the directory itself.
const NAMES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Watches files for the threads of all databases.
pub(super) struct Watcher {
    inotify: OwnedFd,
    /// Whom to tell, by watch descriptor. Watches of one file, and only those, share a descriptor.
    waiting: Mutex<HashMap<i32, Waiting>>,
    /// The thread has given up.
    broken: AtomicBool,
    /// It was said that watches have run out.
    short: AtomicBool,
}

/// Who waits for what.
enum Waiting {
    /// A database's thread, for its files.
    Database(Sender<Event>),
    /// For a file that may become a database.
    Candidate(Sender<()>),
    /// For the names in a directory.
    Directory(Sender<()>),
}

impl Waiting {
    /// Tells it. Its thread may have ended since.
    fn tell(&self) {
        match self {
            Waiting::Database(events) => drop(events.send(Event::Changed)),
            Waiting::Candidate(wake) | Waiting::Directory(wake) => drop(wake.send(())),
        }
    }
}

impl Watcher {
    /// A watcher, with its thread.
    pub(super) fn start() -> io::Result<Arc<Watcher>> {
        let watcher = Arc::new(Watcher {
            inotify: inotify::init(CreateFlags::CLOEXEC)?,
            waiting: Mutex::default(),
            broken: AtomicBool::new(false),
            short: AtomicBool::new(false),
        });
        let watching = Arc::clone(&watcher);
        super::spawn("watch", move || watching.run())?;
        Ok(watcher)
    }

    /// Tells `events` of the next change of `file`: that it was written, or that its name went away.
    pub(super) fn watch_once(&self, file: &Path, events: &Sender<Event>) -> io::Result<()> {
        self.add(file, ONE_CHANGE, Waiting::Database(events.clone()))
    }

    /// Sends to `wake` at the next change of `file`, which may become a database.
    pub(super) fn watch_candidate(&self, file: &Path, wake: &Sender<()>) -> io::Result<()> {
        self.add(file, ONE_CHANGE, Waiting::Candidate(wake.clone()))
    }

    /// Sends to `wake` whenever a name comes or goes in `directory`, until that is gone.
    pub(super) fn watch_directory(&self, directory: &Path, wake: &Sender<()>) -> io::Result<()> {
        self.add(directory, NAMES, Waiting::Directory(wake.clone()))
    }

    fn add(&self, path: &Path, flags: WatchFlags, who: Waiting) -> io::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Locked first: an event may come before the call returns.
        let mut waiting = self.waiting();
        let watch = inotify::add_watch(&self.inotify, path, flags)
            .inspect_err(|error| self.tell_if_short(*error))?;
        waiting.insert(watch, who);
        Ok(())
    }

    fn tell_if_short(&self, error: Errno) {
        if error == Errno::NOSPC && !self.short.swap(true, Ordering::Relaxed) {
            log::warn!(
                "this user may watch no more files, so changes to the others are found by polling, which takes more of \
                 the processor; raise fs.inotify.max_user_watches with sysctl (each database needs two)"
            );
        }
    }

    fn run(&self) {
        let mut buffer = [mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.wake_all(),
                Ok(event) if event.file_name().is_some_and(is_beside_a_database) => {}
                Ok(event) => self.tell(event.wd(), event.events()),
                Err(Errno::INTR) => {}
                Err(error) => {
                    log::error!(
                        "cannot watch files any more: {error}; changes are found by polling"
                    );
                    self.broken.store(true, Ordering::Relaxed);
                    self.wake_all();
                    return;
                }
            }
        }
    }

    fn tell(&self, watch: i32, events: ReadFlags) {
        let mut waiting = self.waiting();
        match waiting.get(&watch) {
            Some(directory @ Waiting::Directory(_)) => {
                directory.tell();
                if events.contains(ReadFlags::IGNORED) {
                    waiting.remove(&watch);
                }
            }
            // The end of the watch has the same number, but comes after its one event.
            Some(_) => {
                if let Some(who) = waiting.remove(&watch) {
                    who.tell();
                }
            }
            None => {}
        }
    }

    fn wake_all(&self) {
        self.waiting().retain(|_, who| {
            who.tell();
            matches!(who, Waiting::Directory(_))
        });
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i32, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_beside_a_database(name: &CStr) -> bool {
    let is_end = |end: &&str| name.to_bytes().ends_with(end.as_bytes());
    ["-wal", "-shm", "-journal"].iter().any(is_end)
}
