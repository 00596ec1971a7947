//! Reading objects, in ranges. A download that breaks off goes on from there, so that a bad link costs time but no
//! byte twice; the `ETag` sees to it that it goes on in the same content.

use std::io::{self, Read};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::bucket::{Ask, Bucket};
use crate::storage::exactly::Exactly;
use crate::storage::http::{Method, Response};
use crate::storage::{ByteRange, StorageError};

/// How often in a row a download may break off without a byte having come.
const BREAKS_MAX: u32 = 6;
/// The pause after the first break; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Opens the object `key`.
pub(super) fn read(
    bucket: &Arc<Bucket>,
    key: &str,
    range: ByteRange,
) -> Result<Box<dyn Read + Send>, StorageError> {
    let nothing = || Ok(Box::new(io::empty()) as Box<dyn Read + Send>);
    let (asked, expected) = match range {
        // There is no way to ask for no bytes but to look whether there is an object.
        ByteRange::Last(0) | ByteRange::Exact { length: 0, .. } => {
            head(bucket, key)?;
            return nothing();
        }
        ByteRange::From(0) => (None, None),
        ByteRange::From(offset) => (Some(format!("bytes={offset}-")), None),
        ByteRange::Last(count) => (Some(format!("bytes=-{count}")), None),
        ByteRange::Exact { offset, length } => {
            let last = offset.saturating_add(length) - 1;
            (Some(format!("bytes={offset}-{last}")), Some(length))
        }
    };
    let response = get(bucket, key, asked, None)?;
    if response.status == 416 {
        if matches!(range, ByteRange::Last(_)) {
            // Empty, or shorter than what was asked for, which not every server takes.
            return read(bucket, key, ByteRange::From(0));
        }
        return match expected {
            // The range begins past the end.
            None => nothing(),
            Some(length) => Ok(Box::new(Exactly::new(Box::new(io::empty()), length))),
        };
    }
    let open = Open::new(response, expected.is_none());
    let open = open.map_err(|source| unreachable(bucket, key, source))?;
    let mut reader = Download {
        bucket: Arc::clone(bucket),
        key: key.to_owned(),
        etag: open.etag,
        position: open.start,
        end: open.end,
        body: Some(open.body),
        breaks: 0,
    };
    // A server that does not know ranges gives everything.
    let skipped = match range {
        ByteRange::From(offset) => offset,
        ByteRange::Last(count) => reader.end.saturating_sub(count),
        ByteRange::Exact { offset, .. } => offset,
    };
    if reader.position > skipped {
        return Err(unreachable(bucket, key, other_bytes()));
    }
    reader
        .skip_to(skipped)
        .map_err(|source| unreachable(bucket, key, source))?;
    Ok(match expected {
        None => Box::new(reader),
        Some(length) => Box::new(Exactly::new(Box::new(reader), length)),
    })
}

/// Looks at an object, and gives the answer's header lines.
pub(super) fn head(bucket: &Bucket, key: &str) -> Result<Response, StorageError> {
    let ask = Ask {
        headers: bucket.customer_key(),
        ..Ask::new(Method::Head, key)
    };
    let response = bucket.ask("look at", &ask, &[404])?;
    match response.status {
        404 => Err(StorageError::NotFound {
            location: bucket.location(key),
        }),
        _ => Ok(response),
    }
}

fn get(
    bucket: &Bucket,
    key: &str,
    range: Option<String>,
    etag: Option<&str>,
) -> Result<Response, StorageError> {
    let mut headers = bucket.customer_key();
    headers.extend(range.map(|range| ("range", range)));
    headers.extend(etag.map(|etag| ("if-match", etag.to_owned())));
    let ask = Ask {
        headers,
        ..Ask::new(Method::Get, key)
    };
    let response = bucket.ask("read", &ask, &[404, 412, 416])?;
    if response.status != 404 {
        return Ok(response);
    }
    let error =
        super::answer::refused("read", bucket.location(key), response, bucket.name(), false);
    match error {
        // The bucket is missing, not the object.
        StorageError::Refused { ref reason, .. } if reason.contains("NoSuchBucket") => Err(error),
        _ => Err(StorageError::NotFound {
            location: bucket.location(key),
        }),
    }
}

/// What the head of an answer says about the bytes to come.
struct Open {
    start: u64,
    end: u64,
    etag: Option<String>,
    body: Box<dyn Read + Send>,
}

impl Open {
    /// `to_the_end` tells that the range ends where the object does, even if the server sends less of it at once.
    fn new(response: Response, to_the_end: bool) -> io::Result<Open> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let length = response.header("content-length").and_then(number);
        let (start, end) = match (response.status, response.header("content-range")) {
            // Of an empty object some servers give an empty range.
            (206, _) if length == Some(0) => (0, 0),
            // rclone calls a range a whole.
            (_, Some(range)) => match content_range(range).ok_or_else(other_bytes)? {
                (start, _, Some(total)) if to_the_end => (start, total),
                (start, end, _) => (start, end),
            },
            (206, None) => return Err(other_bytes()),
            (_, None) => (0, length.ok_or_else(other_bytes)?),
        };
        Ok(Open {
            start,
            end,
            etag: response.header("etag").map(str::to_owned),
            body: response.body,
        })
    }
}

fn other_bytes() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the server sends other bytes than it was asked for, or does not tell which",
    )
}

/// First byte and end of `bytes 2-5/10`, and the size of the whole where it is told.
pub(super) fn content_range(text: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    let end = last.checked_add(1)?;
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| end <= total)).then_some((first, end, total))
}

/// A download that goes on after it broke off.
struct Download {
    bucket: Arc<Bucket>,
    key: String,
    etag: Option<String>,
    /// Of the next byte of `body`.
    position: u64,
    end: u64,
    /// None after it broke off.
    body: Option<Box<dyn Read + Send>>,
    breaks: u32,
}

impl Download {
    /// Reads and drops what comes before `offset`.
    fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        let unwanted = offset.min(self.end).saturating_sub(self.position);
        io::copy(&mut self.by_ref().take(unwanted), &mut io::sink())?;
        Ok(())
    }

    fn chunk(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let body = match &mut self.body {
            Some(body) => body,
            None => {
                let reopened = self.reopen()?;
                self.body.insert(reopened)
            }
        };
        match body.read(out)? {
            0 if !out.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }

    fn reopen(&self) -> io::Result<Box<dyn Read + Send>> {
        let range = format!("bytes={}-{}", self.position, self.end - 1);
        let etag = self.etag.as_deref();
        let response = get(&self.bucket, &self.key, Some(range), etag).map_err(io::Error::other)?;
        // A server that knows no If-Match gives what took the object's place, or says that it is shorter.
        if matches!(response.status, 412 | 416) || response.header("etag") != etag {
            return Err(io::Error::other(StorageError::Io {
                operation: "read",
                location: self.bucket.location(&self.key),
                source: io::Error::other("it was replaced while it was read"),
            }));
        }
        let open = Open::new(response, false)?;
        if open.start > self.position {
            return Err(other_bytes());
        }
        let mut body = open.body;
        let unwanted = self.position - open.start;
        io::copy(&mut body.by_ref().take(unwanted), &mut io::sink())?;
        Ok(body)
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.end - self.position;
        let most = usize::try_from(left).map_or(out.len(), |left| left.min(out.len()));
        if most == 0 {
            return Ok(0);
        }
        loop {
            let error = match self.chunk(&mut out[..most]) {
                Ok(count) => {
                    self.position += count as u64;
                    self.breaks = 0;
                    return Ok(count);
                }
                Err(error) => error,
            };
            self.body = None;
            self.breaks += 1;
            let told = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<StorageError>());
            let lasting =
                told.is_some_and(|error| !matches!(error, StorageError::Unreachable { .. }));
            if lasting || self.breaks > BREAKS_MAX {
                return Err(error);
            }
            log::debug!("{}: {error}; going on", self.bucket.location(&self.key));
            thread::sleep(FIRST_PAUSE * (1 << (self.breaks - 1)));
        }
    }
}

fn unreachable(bucket: &Bucket, key: &str, source: io::Error) -> StorageError {
    StorageError::Unreachable {
        operation: "read",
        location: bucket.location(key),
        source,
        sent: false,
    }
}

#[cfg(test)]
mod tests {
    use super::content_range;

    #[test]
    fn ranges_are_read() {
        assert_eq!(content_range("bytes 2-5/10"), Some((2, 6, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, 1, None)));
        for bad in [
            "",
            "bytes */10",
            "bytes 5-2/10",
            "2-5/10",
            "bytes -5/10",
            "bytes 2-10/10",
            "bytes 0-18446744073709551615/*",
        ] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }
}
