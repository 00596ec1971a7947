//! Looks out for databases that come and go in directories: one thread for all of them, woken by the names that do.
//!
//! A look comes when it has been quiet for a moment, so that a file that is replaced, or that is gone for an instant,
//! is nothing to tell of. What no event tells of (a mount, a directory above that was moved, a machine that has no
//! watches left) is found by a slow poll.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::Happening;
use super::watch::Watcher;
use crate::discovery::Discovery;

/// A look comes when nothing has happened for so long,
const QUIET: Duration = Duration::from_millis(250);
/// but no later than this.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// How often to look although no change was reported,
const POLL: Duration = Duration::from_secs(15);
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
        let mut refused = false;
        let mut watch = |watched: io::Result<()>| {
            // What is gone again needs no watch.
            refused |= watched.is_err_and(|error| error.kind() != io::ErrorKind::NotFound);
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
        self.all_watched = self.watcher.is_some() && !refused;
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::RecvTimeoutError;

    use super::*;
    use crate::config::Config;
    use crate::discovery::{self, Change};

    /// Whether a database that comes is told of in `time`, and nothing before it.
    fn is_found(watcher: Option<Arc<Watcher>>, time: Duration) {
        let top = std::env::temp_dir().join(format!("lookout-{}", crate::sys::random::unique()));
        std::fs::create_dir(&top).unwrap();
        let at = top.display();
        let text = format!(
            "dbs: [{{dir: {at}, pattern: '*', recursive: true, watch: true, replica: {{path: {at}/r}}}}]"
        );
        let (config, _) = Config::from_text(&text, true).unwrap();
        let found = discovery::start(&config).unwrap();
        let (happen, happenings) = channel();
        start(found.discovery.unwrap(), watcher, happen).unwrap();
        let quiet = happenings.recv_timeout(2 * QUIET).err();
        assert_eq!(quiet, Some(RecvTimeoutError::Timeout));
        let mut database = b"SQLite format 3\0".to_vec();
        database.resize(512, 0);
        std::fs::create_dir(top.join("new")).unwrap();
        std::fs::write(top.join("new/a"), database).unwrap();
        let Ok(Happening::Discovered(Change::Appeared(appeared))) = happenings.recv_timeout(time)
        else {
            panic!("not found in {time:?}");
        };
        assert_eq!(appeared.path, top.join("new/a"));
        std::fs::remove_dir_all(top).unwrap();
        let Ok(Happening::Discovered(Change::Vanished(vanished))) = happenings.recv_timeout(time)
        else {
            panic!("not missed in {time:?}");
        };
        assert_eq!(vanished, appeared.path);
    }

    #[test]
    fn what_comes_is_found_at_once_by_watching() {
        is_found(Some(Watcher::start().unwrap()), POLL_UNWATCHED / 2);
    }

    #[test]
    fn what_comes_is_found_by_polling_where_nothing_can_be_watched() {
        is_found(None, 4 * POLL_UNWATCHED);
    }
}
