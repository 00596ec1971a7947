//! Counts requests and bytes: what a metered link costs.

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Exchange, HttpError, Method, Request, Response};

/// What went over the network so far. Bytes are those of bodies, without headers and TLS; of SFTP's packets, without
/// SSH.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counts {
    /// Objects and parts stored.
    pub puts: u64,
    /// Pages of listings.
    pub lists: u64,
    /// Objects read, whole or in part.
    pub gets: u64,
    /// Objects looked at.
    pub heads: u64,
    /// Everything else: deletions, the steps around parts, credentials.
    pub others: u64,
    /// Bytes sent.
    pub bytes_up: u64,
    /// Bytes received.
    pub bytes_down: u64,
}

impl Counts {
    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.puts + self.lists + self.gets + self.heads + self.others
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests ({} PUT, {} LIST, {} GET, {} HEAD, {} other), {} bytes up, {} down",
            self.requests(),
            self.puts,
            self.lists,
            self.gets,
            self.heads,
            self.others,
            self.bytes_up,
            self.bytes_down
        )
    }
}

/// The counts of a process, which all its exchanges add to.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<Counts>);

impl Traffic {
    /// The counts up to now.
    pub fn counts(&self) -> Counts {
        *self.lock()
    }

    /// Adds to the counts what `add` does.
    pub(in crate::storage) fn add(&self, add: &dyn Fn(&mut Counts)) {
        add(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange that is counted.
pub struct Counted<E> {
    inner: E,
    traffic: Arc<Traffic>,
}

impl<E: Exchange> Counted<E> {
    /// Adds what passes through `inner` to `traffic`.
    pub fn new(inner: E, traffic: Arc<Traffic>) -> Counted<E> {
        Counted { inner, traffic }
    }
}

impl<E: Exchange> Exchange for Counted<E> {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        {
            let mut counts = self.traffic.lock();
            counts.bytes_up += request.body.len() as u64;
            *match request.method {
                Method::Put => &mut counts.puts,
                Method::Get if request.url.contains("list-type=") => &mut counts.lists,
                Method::Get => &mut counts.gets,
                Method::Head => &mut counts.heads,
                Method::Post | Method::Delete => &mut counts.others,
            } += 1;
        }
        let response = self.inner.exchange(request)?;
        Ok(Response {
            body: Box::new(CountedBody {
                body: response.body,
                traffic: Arc::clone(&self.traffic),
            }),
            ..response
        })
    }
}

struct CountedBody {
    body: Box<dyn Read + Send>,
    traffic: Arc<Traffic>,
}

impl Read for CountedBody {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.body.read(out)?;
        self.traffic.lock().bytes_down += count as u64;
        Ok(count)
    }
}
