//! Looks out for databases that come and go in directories: one thread for all of them, woken by the names that do.
//!
//! A look comes when it has been quiet for a moment, so that a file that is replaced, or that is gone for an instant,
//! is nothing to tell of. What no event tells of (a mount, a directory above that was moved, a machine that has no
//! watches left) is found by a slow poll.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use std::{io, mem};

use super::Happening;
use super::watch::Watcher;
use crate::discovery::Discovery;

/// A look comes when nothing has happened for so long,
const QUIET: Duration = Duration::from_millis(250);
/// but no later than this.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How often to look although no change was reported,
const POLL: Duration = Duration::from_secs(30);
/// and where none can be.
const POLL_UNWATCHED: Duration = Duration::from_secs(5);
/// The most files watched because they may become databases; others are found by polling. Every user has a limited
/// number of watches, which databases need too.
const CANDIDATES_MAX: usize = 64;

/// Starts the thread. It tells of changes until nobody listens; what is sent to it asks for another look.
pub(super) fn start(
    discovery: Discovery,
    watcher: Option<Arc<Watcher>>,
    happen: Sender<Happening>,
) -> io::Result<Sender<()>> {
    let (wake, woken) = channel();
    let lookout = Lookout {
        discovery,
        watcher,
        happen,
        wake: wake.clone(),
        woken,
        all_watched: true,
        complained: false,
    };
    super::spawn("directories", move || lookout.run())?;
    Ok(wake)
}

struct Lookout {
    discovery: Discovery,
    watcher: Option<Arc<Watcher>>,
    happen: Sender<Happening>,
    wake: Sender<()>,
    woken: Receiver<()>,
    /// Every change is told of.
    all_watched: bool,
    /// It was said that not every change is.
    complained: bool,
}

impl Lookout {
    fn run(mut self) {
        while self.look().is_ok() {
            let poll = match self.all_watched {
                true => POLL,
                false => POLL_UNWATCHED,
            };
            if self.woken.recv_timeout(poll).is_ok() {
                self.wait_for_quiet();
            }
        }
    }

    /// Looks at all directories and tells what has changed; an error when nobody listens any more.
    fn look(&mut self) -> Result<(), std::sync::mpsc::SendError<Happening>> {
        let mut refused = None;
        let mut watch = |watched: io::Result<()>| match watched {
            // Gone again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => refused = Some(error),
            Ok(()) => {}
        };
        let (changes, remarks) = self.discovery.look(&mut |directory| {
            if let Some(watcher) = &self.watcher {
                watch(watcher.watch_directory(directory, &self.wake));
            }
        });
        if let Some(watcher) = &self.watcher {
            let candidates: Vec<PathBuf> =
                self.discovery.candidates().take(CANDIDATES_MAX).collect();
            for file in candidates {
                watch(watcher.watch_candidate(&file, &self.wake));
            }
        }
        self.all_watched = self.watcher.is_some() && refused.is_none();
        if let Some(error) = refused
            && !mem::replace(&mut self.complained, true)
        {
            log::warn!(
                "cannot watch every directory ({error}), so they are looked at every {} s; if watches have run out, \
                 raise fs.inotify.max_user_watches",
                POLL_UNWATCHED.as_secs()
            );
        }
        for remark in remarks {
            log::log!(remark.level, "{}", remark.text);
        }
        for change in changes {
            self.happen.send(Happening::Discovered(change))?;
        }
        Ok(())
    }

    fn wait_for_quiet(&self) {
        let latest = Instant::now() + QUIET_MAX;
        loop {
            let left = latest.saturating_duration_since(Instant::now());
            match self.woken.recv_timeout(QUIET.min(left)) {
                Ok(()) if !left.is_zero() => {}
                Ok(()) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}
