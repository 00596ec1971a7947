//! Uploads in parts, for what does not fit into one. Each part is sent, and sent again, by itself; the object
//! appears when all are put together. An upload that is given up is aborted, and those that earlier runs left behind
//! are, when the next one begins.

use std::collections::VecDeque;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::answer::{ANSWER_BYTES_MAX, children, text};
use super::bucket::{Ask, Bucket};
use super::put::{Object, Settled};
use crate::storage::StorageError;
use crate::storage::http::Method;
use crate::storage::memory::Reservation;
use crate::units::Timestamp;

/// S3 allows no more.
const PARTS_MAX: u32 = 10_000;
/// How long one part is tried again before everything sent so far is given up.
const PATIENCE: Duration = Duration::from_secs(900);
/// The pause between attempts, each of which has tried several times itself.
const PAUSE: Duration = Duration::from_secs(5);
/// An upload of another file that was begun so long ago is dead.
const DEAD_AFTER_MS: i64 = 24 * 3600 * 1000;
/// The stack of a thread that sends one part.
const STACK_BYTES: usize = 256 << 10;

/// An upload in parts, once there is more than one.
pub(super) struct Parts<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    object: &'env Object<'env>,
    /// The most parts on their way at a time.
    concurrency: u32,
    /// The server's name for it.
    begun: Option<String>,
    sending: VecDeque<ScopedJoinHandle<'scope, Result<String, StorageError>>>,
    /// The `ETag` of each part that has arrived, in order.
    etags: Vec<String>,
}

impl<'scope, 'env> Parts<'scope, 'env> {
    pub(super) fn new(
        scope: &'scope Scope<'scope, 'env>,
        object: &'env Object<'env>,
        concurrency: u32,
    ) -> Parts<'scope, 'env> {
        Parts {
            scope,
            object,
            concurrency,
            begun: None,
            sending: VecDeque::new(),
            etags: Vec::new(),
        }
    }

    /// Whether there are parts at all.
    pub(super) fn begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Sends the next part, beside others as far as allowed. Its memory is given back when it has arrived.
    pub(super) fn send(
        &mut self,
        body: Vec<u8>,
        reservation: Option<Reservation>,
    ) -> Result<(), StorageError> {
        let id = match &self.begun {
            Some(id) => id.clone(),
            None => self.begin()?,
        };
        while self.sending.len() >= self.concurrency as usize {
            self.await_first()?;
        }
        let number = (self.etags.len() + self.sending.len() + 1) as u32;
        if number > PARTS_MAX {
            return Err(StorageError::Refused {
                operation: "write",
                location: self.object.location(),
                reason: format!("it has more than {PARTS_MAX} parts; set a larger `part-size`"),
            });
        }
        let object = self.object;
        let send = move || {
            let result = send_part(object, &id, number, &body);
            drop((body, reservation));
            result
        };
        let thread = thread::Builder::new()
            .name("part".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(self.scope, send);
        let thread = thread.map_err(|source| StorageError::Io {
            operation: "start a thread to write",
            location: self.object.location(),
            source,
        })?;
        self.sending.push_back(thread);
        Ok(())
    }

    /// Puts the parts together.
    pub(super) fn complete(&mut self) -> Result<(), StorageError> {
        while !self.sending.is_empty() {
            self.await_first()?;
        }
        let Some(id) = &self.begun else {
            return Ok(());
        };
        let mut body = String::from("<CompleteMultipartUpload>");
        for (index, etag) in self.etags.iter().enumerate() {
            let etag = etag.replace('&', "&amp;").replace('<', "&lt;");
            let number = index + 1;
            body += &format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        }
        body += "</CompleteMultipartUpload>";
        loop {
            let ask = Ask {
                query: &[("uploadId", id)],
                headers: self.object.condition().into_iter().collect(),
                body: body.as_bytes(),
                ..Ask::new(Method::Post, self.object.key)
            };
            let answer = self.object.bucket.ask("write", &ask, &[404, 412, 501]);
            let answer = match answer {
                // Long work may fail after the answer has begun, with an error in a success.
                Ok(response) if response.succeeded() => {
                    let bytes = response.into_bytes(ANSWER_BYTES_MAX).unwrap_or_default();
                    completed(self.object, &bytes)
                }
                // Unknown by now: an attempt before this one may have put it together.
                Ok(response) if response.status == 404 => Ok(crate::storage::http::Response {
                    status: 412,
                    ..response
                }),
                answer => answer,
            };
            match self.object.settled(answer)? {
                Settled::Stored => return Ok(()),
                Settled::ConditionsUnknown => {}
            }
        }
    }

    /// Gives up. What was sent is thrown away on the server, if it can be told.
    pub(super) fn abort(&mut self) {
        for thread in self.sending.drain(..) {
            let _ = thread.join();
        }
        if let Some(id) = self.begun.take() {
            abort(self.object.bucket, self.object.key, &id);
        }
    }

    fn begin(&mut self) -> Result<String, StorageError> {
        let Object { bucket, key, .. } = *self.object;
        clean_up(bucket, key);
        let ask = Ask {
            query: &[("uploads", "")],
            headers: self.object.headers(),
            // A second one only leaves one more to be cleaned up.
            ..Ask::new(Method::Post, key)
        };
        let id = bucket.ask_document("write", &ask, ANSWER_BYTES_MAX, |root| {
            text(root, "UploadId").map(str::to_owned)
        })?;
        self.begun = Some(id.clone());
        Ok(id)
    }

    fn await_first(&mut self) -> Result<(), StorageError> {
        let Some(thread) = self.sending.pop_front() else {
            return Ok(());
        };
        match thread.join() {
            Ok(etag) => self.etags.push(etag?),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(())
    }
}

/// Sends one part until it has arrived, through outages that are not too long. Gives its `ETag`.
fn send_part(
    object: &Object<'_>,
    id: &str,
    number: u32,
    body: &[u8],
) -> Result<String, StorageError> {
    let number = number.to_string();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let ask = Ask {
            query: &[("partNumber", number.as_str()), ("uploadId", id)],
            headers: object.bucket.customer_key(),
            body,
            ..Ask::new(Method::Put, object.key)
        };
        match object.bucket.ask("write", &ask, &[]) {
            Ok(response) => {
                let etag = response.header("etag").map(str::to_owned);
                return etag.ok_or_else(|| StorageError::Refused {
                    operation: "write",
                    location: object.location(),
                    reason:
                        "the server stores parts without an ETag, so they cannot be put together"
                            .to_owned(),
                });
            }
            // A part is not an object: what becomes of it late does no harm.
            Err(StorageError::Unreachable {
                operation,
                location,
                source,
                ..
            }) if Instant::now() >= deadline => {
                return Err(StorageError::Unreachable {
                    operation,
                    location,
                    source,
                    sent: false,
                });
            }
            Err(error @ StorageError::Unreachable { .. }) => {
                log::debug!("part {number}: {error}; trying again");
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(error),
        }
    }
}

/// Reads the answer of a completion, which may be an error in spite of its status.
fn completed(
    object: &Object<'_>,
    answer: &[u8],
) -> Result<crate::storage::http::Response, StorageError> {
    let response = |status, bytes: &[u8]| crate::storage::http::Response {
        status,
        headers: Vec::new(),
        body: Box::new(std::io::Cursor::new(bytes.to_vec())),
    };
    let complaint = super::answer::Complaint::parse(answer);
    match complaint.code.as_str() {
        "" => Ok(response(200, answer)),
        "PreconditionFailed" => Ok(response(412, answer)),
        _ => {
            let failed = response(500, answer);
            Err(super::answer::refused(
                "write",
                object.location(),
                failed,
                object.bucket.name(),
                true,
            ))
        }
    }
}

/// Aborts what dead runs left: all unfinished uploads of this very object, and old ones of the replica. It costs one
/// request, before many.
fn clean_up(bucket: &Bucket, key: &str) {
    let path = &bucket.settings().path;
    let prefix = format!("{path}/");
    let query = [("uploads", ""), ("prefix", prefix.as_str())];
    let ask = Ask {
        query: &query,
        ..Ask::new(Method::Get, "")
    };
    let found = bucket.ask_document("list", &ask, ANSWER_BYTES_MAX, |root| {
        let upload = |node| {
            let begun = text(node, "Initiated").and_then(|time| Timestamp::parse(time.trim()).ok());
            Some((
                text(node, "Key")?.to_owned(),
                text(node, "UploadId")?.to_owned(),
                begun,
            ))
        };
        Some(
            children(root, "Upload")
                .filter_map(upload)
                .collect::<Vec<_>>(),
        )
    });
    // Servers that cannot list them are left as they are.
    let found = found.unwrap_or_default();
    let newest = found.iter().filter_map(|(_, _, begun)| *begun).max();
    let now = bucket
        .now()
        .max(newest.unwrap_or(Timestamp::from_millis(0)));
    for (theirs, id, begun) in found {
        let old = begun.is_some_and(|begun| now.millis() - begun.millis() > DEAD_AFTER_MS);
        if theirs == key || (old && super::keys::is_in_level(path, &theirs)) {
            abort(bucket, &theirs, &id);
        }
    }
}

fn abort(bucket: &Bucket, key: &str, id: &str) {
    let ask = Ask {
        query: &[("uploadId", id)],
        ..Ask::new(Method::Delete, key)
    };
    if let Err(error) = bucket.ask("abort the upload of", &ask, &[404]) {
        log::debug!("{error}; it is aborted when the next one begins");
    }
}
