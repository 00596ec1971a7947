//! Wakes a database's thread when its files change: inotify, one instance and one thread for the process.
//!
//! Every watch is for one event and has to be set again. So a database under load costs one wake-up for each
//! look at it, not one for each write. Where inotify is not to be had, the threads poll instead.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{io, mem};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

use super::Event;

/// Watches files for the threads of all databases.
pub(super) struct Watcher {
    inotify: OwnedFd,
    /// Whom to tell, by watch descriptor. Watches of one file, and only those, share a descriptor.
    waiting: Mutex<HashMap<i32, Sender<Event>>>,
    /// The thread has given up.
    broken: AtomicBool,
}

impl Watcher {
    /// A watcher, with its thread.
    pub(super) fn start() -> io::Result<Arc<Watcher>> {
        let watcher = Arc::new(Watcher {
            inotify: inotify::init(CreateFlags::CLOEXEC)?,
            waiting: Mutex::default(),
            broken: AtomicBool::new(false),
        });
        let watching = Arc::clone(&watcher);
        super::spawn("watch", move || watching.run())?;
        Ok(watcher)
    }

    /// Tells `events` of the next change of `file`: that it was written, or that its name went away.
    pub(super) fn watch_once(&self, file: &Path, events: &Sender<Event>) -> io::Result<()> {
        let flags = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONESHOT;
        if self.broken.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        // Locked first: an event may come before the call returns.
        let mut waiting = self.waiting();
        let watch = inotify::add_watch(&self.inotify, file, flags)?;
        waiting.insert(watch, events.clone());
        Ok(())
    }

    fn run(&self) {
        let mut buffer = [mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => self.wake_all(),
                // The end of a watch, which its one event came before.
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {}
                Ok(event) => {
                    if let Some(events) = self.waiting().remove(&event.wd()) {
                        // Its thread may have ended since.
                        let _ = events.send(Event::Changed);
                    }
                }
                Err(rustix::io::Errno::INTR) => {}
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

    fn wake_all(&self) {
        for (_, events) in self.waiting().drain() {
            let _ = events.send(Event::Changed);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<i32, Sender<Event>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
