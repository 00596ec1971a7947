//! HTTP as the backends see it: one request, one response, and what can go wrong in between. The client and what
//! is wrapped around it (retries, counting, a rate limit) all are an [`Exchange`].

mod client;
mod connect;
mod count;
mod early;
mod names;
mod pace;
mod proxy;
mod retry;
mod roots;
mod speed;
mod tls;

use std::fmt;
use std::io::{self, Read};
use std::time::UNIX_EPOCH;

use crate::units::Timestamp;

pub use client::{Client, Distance};
pub use count::{Counted, Counts, Traffic};
pub use pace::Pace;
pub use retry::{Retrying, Tried, is_passing};
pub use tls::{Tls, Trust};

/// A method, of those that object storages know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Method {
    /// Read.
    Get,
    /// Look.
    Head,
    /// Store.
    Put,
    /// Act.
    Post,
    /// Remove.
    Delete,
}

impl Method {
    /// As it stands in the request line.
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// One request. All that storages ask for does the same when it is asked for twice, or a second one finds out.
#[derive(Clone)]
pub struct Request<'a> {
    /// What to do.
    pub method: Method,
    /// On what: an absolute URL, encoded.
    pub url: String,
    /// Header lines, names in lower case. Their values may be secrets.
    pub headers: Vec<(&'static str, String)>,
    /// What is sent. Kept at hand whole, so that it can be sent again.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// A request without headers and body.
    pub fn new(method: Method, url: String) -> Request<'static> {
        Request {
            method,
            url,
            headers: Vec::new(),
            body: &[],
        }
    }

    /// The value of the header `name`, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

/// Without headers and query, which may hold secrets.
impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.split('?').next().unwrap_or_default();
        write!(
            f,
            "{} {url} ({} bytes)",
            self.method.name(),
            self.body.len()
        )
    }
}

/// One response, its head read and its body yet to come.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body. Reading fails when it is cut short or stalls.
    pub body: Box<dyn Read + Send>,
}

impl Response {
    /// The value of the header `name`, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The server's time when it answered, where it tells.
    pub fn date(&self) -> Option<Timestamp> {
        parse_date(self.header("date")?)
    }

    /// Whether the status says that it worked.
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Reads the body, up to `most` bytes.
    ///
    /// # Errors
    /// When it is cut short, stalls, or is longer.
    pub fn into_bytes(self, most: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.body.take(most + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > most {
            return Err(io::Error::other("the answer is longer than it can be"));
        }
        Ok(bytes)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status)
    }
}

/// Reads a time as it stands in header lines.
fn parse_date(text: &str) -> Option<Timestamp> {
    let since = httpdate::parse_http_date(text)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    Some(Timestamp::from_millis(
        i64::try_from(since.as_millis()).ok()?,
    ))
}

fn find<'a, N: AsRef<str>>(headers: &'a [(N, String)], name: &str) -> Option<&'a str> {
    let header = headers.iter().find(|(given, _)| given.as_ref() == name);
    header.map(|(_, value)| value.as_str())
}

/// No response came.
#[derive(Debug)]
pub struct HttpError {
    /// Why.
    pub source: io::Error,
    /// Whether the whole request may have reached the server, which then may act on it, even later.
    pub sent: bool,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Sends requests and gives the responses, whatever their status. May be used by several threads at once.
pub trait Exchange: Send + Sync {
    /// Sends `request` and waits for the head of the response, not longer than is reasonable for its size.
    ///
    /// # Errors
    /// When no response came.
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError>;
}

impl<E: Exchange + ?Sized> Exchange for std::sync::Arc<E> {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        (**self).exchange(request)
    }
}

#[cfg(test)]
mod tests;
