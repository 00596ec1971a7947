//! Shows how far a restore is: on a terminal, for work that takes longer than a second, and nowhere else.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::restore::Progress;

/// Shorter work is over before anybody has read a line about it.
const QUIET: Duration = Duration::from_secs(1);
/// The time between two updates.
const PAUSE: Duration = Duration::from_millis(200);

/// A line that is written over and over.
pub(super) struct ProgressLine {
    next: Option<Instant>,
    shown: bool,
}

impl ProgressLine {
    /// A line that is shown if stderr is a terminal and the work takes long.
    pub(super) fn new() -> ProgressLine {
        ProgressLine {
            next: io::stderr().is_terminal().then(|| Instant::now() + QUIET),
            shown: false,
        }
    }

    /// Shows `progress`, if it is time to.
    pub(super) fn show(&mut self, progress: Progress) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + PAUSE);
        self.shown = true;
        let Progress { done, total } = progress;
        let percent = done.saturating_mul(100).checked_div(total).unwrap_or(100);
        let mib = |bytes: u64| bytes >> 20;
        let mut stderr = io::stderr();
        let _ = write!(stderr, "\r{percent} % of {} MiB read \x1b[K", mib(total));
        let _ = stderr.flush();
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
            self.shown = false;
        }
    }
}
