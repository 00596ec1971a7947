//! The connection to one server, which all replicas there share: made when it is needed, and again when it is lost.
//!
//! After a failure nobody tries again for a while, twice as long each time, but is told of the last failure: a thousand
//! databases must not start a thousand clients a second. The pauses are shorter than those of the destinations, which
//! so find a server that is back at their first attempt.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::diagnosis;
use super::program::{HostKeys, Program};
use super::session::{Failure, Session, Wire};
use super::settings::SftpSettings;
use crate::storage::http::{Pace, Traffic};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest one.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// The way to a server.
pub(in crate::storage) struct Link {
    /// Of the first replica there; the path is of no meaning.
    settings: SftpSettings,
    helper: Option<PathBuf>,
    patience: Duration,
    pace: Option<Arc<Pace>>,
    traffic: Arc<Traffic>,
    state: Mutex<State>,
    /// What is known of how the server renames.
    pub(super) renaming: Mutex<Renaming>,
}

/// Whether a rename of the server's leaves a name alone that is taken. Only an attempt shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Renaming {
    Unknown,
    Refuses,
    Replaces,
}

#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    failures: u32,
    failed: Option<(Instant, Failure)>,
}

impl Link {
    pub(in crate::storage) fn new(
        settings: SftpSettings,
        helper: Option<PathBuf>,
        patience: Duration,
        pace: Option<Arc<Pace>>,
        traffic: Arc<Traffic>,
    ) -> Link {
        Link {
            settings,
            helper,
            patience,
            pace,
            traffic,
            state: Mutex::default(),
            renaming: Mutex::new(Renaming::Unknown),
        }
    }

    /// Whether it leads to the server of `settings`, in the same way.
    pub(in crate::storage) fn serves(
        &self,
        settings: &SftpSettings,
        helper: &Option<PathBuf>,
    ) -> bool {
        let ours = SftpSettings {
            path: settings.path.clone(),
            concurrent_writes: settings.concurrent_writes,
            ..self.settings.clone()
        };
        ours == *settings && self.helper == *helper
    }

    /// The session, a new one if need be. Whoever comes while one is being opened waits for it.
    pub(super) fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = &state.session {
            // Taken before it is looked at: from then on nobody ends it for being idle.
            let session = Arc::clone(session);
            if session.end().is_none() {
                return Ok(session);
            }
            state.session = None;
        }
        let pause = FIRST_PAUSE
            .saturating_mul(1 << state.failures.saturating_sub(1).min(16))
            .min(PAUSE_MAX);
        if let Some((at, failure)) = &state.failed
            && at.elapsed() < pause
        {
            return Err(failure.clone());
        }
        match self.open() {
            Ok(session) => {
                state.failures = 0;
                state.failed = None;
                state.session = Some(Arc::clone(&session));
                Ok(session)
            }
            Err(failure) => {
                state.failures = state.failures.saturating_add(1);
                state.failed = Some((Instant::now(), failure.clone()));
                Err(failure)
            }
        }
    }

    fn open(&self) -> Result<Arc<Session>, Failure> {
        let settings = &self.settings;
        let program = Program::find(settings).map_err(Failure::Refused)?;
        let keys = match &settings.host_key {
            Some(key) => HostKeys::Pinned(key),
            None => HostKeys::Known,
        };
        let cannot_run =
            |error| Failure::Refused(format!("cannot run `{}`: {error}", program.name()));
        let mut prepared = program
            .prepare(settings, keys, self.helper.as_deref())
            .map_err(cannot_run)?;
        let opened = Session::open(
            &mut prepared,
            self.patience,
            Some(Wire {
                pace: self.pace.clone(),
                traffic: Arc::clone(&self.traffic),
            }),
        );
        opened
            .map_err(cannot_run)?
            .map_err(|end| diagnosis::of(&end, settings, &program))
    }
}
