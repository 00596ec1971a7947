//! For tests: a server that gives the answers it was told to, and a place with no other variables and files.

use std::collections::VecDeque;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use super::Sources;
use super::chain::Chain;
use super::environment::Environment;
use crate::storage::http::{Exchange, HttpError, Request, Response};
use crate::sys::clock::ManualClock;
use crate::units::Timestamp;

/// What was asked.
#[derive(Clone)]
pub(super) struct Asked {
    /// Method and URL.
    pub(super) line: String,
    headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(given, _)| *given == name);
        header.map(|(_, value)| value.as_str())
    }
}

type Action = Box<dyn FnOnce() -> Result<Response, HttpError> + Send>;

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Fake {
    answers: Arc<Mutex<VecDeque<Action>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(super) fn new() -> Fake {
        Fake::default()
    }

    pub(super) fn answer(&self, status: u16, body: &str) -> &Fake {
        let response = response(status, Vec::new(), body);
        self.act(move || Ok(response))
    }

    pub(super) fn answer_at(&self, status: u16, date: &str, body: &str) -> &Fake {
        let response = response(status, vec![("date".to_owned(), date.to_owned())], body);
        self.act(move || Ok(response))
    }

    pub(super) fn fail(&self, sent: bool) -> &Fake {
        let source = io::Error::from(io::ErrorKind::TimedOut);
        self.act(move || Err(HttpError { source, sent }))
    }

    /// Does this on the next question that has no other answer yet.
    pub(super) fn act(
        &self,
        action: impl FnOnce() -> Result<Response, HttpError> + Send + 'static,
    ) -> &Fake {
        self.answers.lock().unwrap().push_back(Box::new(action));
        self
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(super) fn sources(&self) -> Sources {
        Sources {
            remote: Arc::new(self.clone()),
            metadata: Arc::new(self.clone()),
        }
    }
}

impl Exchange for Fake {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        self.asked.lock().unwrap().push(Asked {
            line: format!("{} {}", request.method.name(), request.url),
            headers: request.headers.clone(),
            body: String::from_utf8_lossy(request.body).into_owned(),
        });
        let action = self.answers.lock().unwrap().pop_front();
        action.expect("no other question was expected")()
    }
}

pub(super) fn response(status: u16, headers: Vec<(String, String)>, body: &str) -> Response {
    Response {
        status,
        headers,
        body: Box::new(io::Cursor::new(body.as_bytes().to_vec())),
    }
}

/// What time it is at first.
pub(super) fn start() -> Timestamp {
    Timestamp::parse("2026-05-01T12:00:00Z").unwrap()
}

pub(super) fn chain(variables: &[(&str, &str)], home: &Path, fake: &Fake) -> Chain {
    Chain {
        configured: None,
        region: None,
        environment: Environment::of(variables, home),
        sources: fake.sources(),
        clock: Arc::new(ManualClock::new(start())),
        instance_known: AtomicBool::new(false),
    }
}

/// A directory of its own that goes with this.
pub(super) struct Scratch(PathBuf);

pub(super) fn scratch(name: &str) -> Scratch {
    let name = format!("credentials-{name}-{:x}", crate::sys::random::unique());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    Scratch(path)
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
