//! Uploads in parts, for what does not fit into one. Each part is sent, and sent again, by itself; the object
//! appears when all are put together. An upload that is given up is aborted, and those that earlier runs left behind
//! are, when the next one begins.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use roxmltree::Node;

use super::answer::{self, ANSWER_BYTES_MAX, Complaint, called, children, text};
use super::bucket::{Ask, Bucket};
use super::keys;
use super::put::{Object, Outcome};
use crate::storage::StorageError;
use crate::storage::http::Method;
use crate::storage::memory::Reservation;
use crate::units::Timestamp;

/// What is around the answer to a completion.
const COMPLETED: &str = "CompleteMultipartUploadResult";
/// A thousand unfinished uploads take well over half a megabyte.
const LISTING_BYTES_MAX: u64 = 4 << 20;

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
    /// The others are in vain: none is tried again.
    given_up: Arc<AtomicBool>,
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
            given_up: Arc::default(),
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
        let (object, given_up) = (self.object, Arc::clone(&self.given_up));
        let send = move || {
            let result = send_part(object, &id, number, &body, &given_up);
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
            let condition = self.object.condition();
            let refusals: &[u16] = match condition {
                Some(_) => &[404, 412, 501],
                None => &[404],
            };
            let ask = Ask {
                query: &[("uploadId", id)],
                headers: condition.into_iter().collect(),
                body: body.as_bytes(),
                ..Ask::new(Method::Post, self.object.key)
            };
            let bucket = self.object.bucket;
            let answer = bucket.ask_whole("write", &ask, refusals, ANSWER_BYTES_MAX);
            let outcome = answer.and_then(|(status, bytes)| match status {
                404 => Ok(Outcome::PartsGone),
                412 => Ok(Outcome::NameTaken),
                501 => Ok(Outcome::NoConditions),
                _ => completed(&bytes).map_err(|source| bucket.unreadable("write", &ask, source)),
            });
            if self.object.settled(outcome)? {
                return Ok(());
            }
        }
    }

    /// Gives up. What was sent is thrown away on the server, if it can be told.
    pub(super) fn abort(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
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
        let id = bucket.ask_document("write", &ask, ANSWER_BYTES_MAX, upload_id);
        // One that the server began in spite of an error is in nobody's way.
        let id = id.map_err(harmless)?;
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
    given_up: &AtomicBool,
) -> Result<String, StorageError> {
    let number = number.to_string();
    let deadline = Instant::now() + PATIENCE;
    let mut headers = object.bucket.customer_key();
    headers.extend(object.bucket.digest(body));
    loop {
        let ask = Ask {
            query: &[("partNumber", number.as_str()), ("uploadId", id)],
            headers: headers.clone(),
            body,
            ..Ask::new(Method::Put, object.key)
        };
        match object.bucket.ask("write", &ask, &[404]) {
            // Thrown away on the server, with all its parts: whoever wants it there begins anew.
            Ok(response) if response.status == 404 => {
                let gone = io::Error::other("the server has thrown away its parts");
                return Err(harmless(object.bucket.unreadable("write", &ask, gone)));
            }
            Ok(response) => {
                return Ok(response.header("etag").unwrap_or_default().to_owned());
            }
            Err(error @ StorageError::Unreachable { .. })
                if Instant::now() < deadline && !given_up.load(Ordering::Relaxed) =>
            {
                log::debug!("part {number}: {error}; trying again");
                thread::sleep(PAUSE);
            }
            // A part is not an object: what becomes of it late does no harm.
            Err(error) => return Err(harmless(error)),
        }
    }
}

/// Reads the answer to a completion: long work may fail after the answer has begun, with an error in a success.
fn completed(answer: &[u8]) -> io::Result<Outcome> {
    if answer::parse(answer, |root| called(root, COMPLETED)).is_some() {
        return Ok(Outcome::Stored);
    }
    match Complaint::parse(answer).code.as_str() {
        "" => Err(answer::not_s3()),
        "PreconditionFailed" => Ok(Outcome::NameTaken),
        "NoSuchUpload" => Ok(Outcome::PartsGone),
        code => Err(io::Error::other(format!("the server answers {code}"))),
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
    let found = bucket.ask_document("list", &ask, LISTING_BYTES_MAX, unfinished);
    // Servers that cannot list them are left as they are.
    let now = bucket.now();
    for upload in found.unwrap_or_default() {
        let age = |begun: Timestamp| now.millis().saturating_sub(begun.millis());
        let old = upload.begun.is_some_and(|begun| age(begun) > DEAD_AFTER_MS);
        if upload.key == key || (old && keys::is_in_level(path, &upload.key)) {
            abort(bucket, &upload.key, &upload.id);
        }
    }
}

/// The name in the answer to a beginning.
pub(super) fn upload_id(root: Node<'_, '_>) -> Option<String> {
    text(root, "UploadId").map(str::to_owned)
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug)]
pub(super) struct Unfinished {
    key: String,
    id: String,
    begun: Option<Timestamp>,
}

/// Those in a listing of them.
pub(super) fn unfinished(root: Node<'_, '_>) -> Option<Vec<Unfinished>> {
    called(root, "ListMultipartUploadsResult")?;
    let upload = |node| {
        let begun = text(node, "Initiated").and_then(|time| Timestamp::parse(time.trim()).ok());
        Some(Unfinished {
            key: text(node, "Key")?.to_owned(),
            id: text(node, "UploadId")?.to_owned(),
            begun,
        })
    };
    Some(children(root, "Upload").filter_map(upload).collect())
}

/// An error of a step after which no object can appear, whatever becomes of the step.
fn harmless(error: StorageError) -> StorageError {
    match error {
        StorageError::Unreachable {
            operation,
            location,
            source,
            ..
        } => StorageError::Unreachable {
            operation,
            location,
            source,
            sent: false,
        },
        error => error,
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::AtomicU32;

    use super::*;
    use crate::storage::http::{Exchange, HttpError, Request, Response};
    use crate::storage::memory::Memory;
    use crate::storage::s3::Settings;
    use crate::storage::s3::put::{self, Writing};
    use crate::storage::{Content, StorageError};

    /// Takes everything, and counts parts and aborted uploads.
    #[derive(Default)]
    struct Taking {
        parts: AtomicU32,
        aborted: AtomicU32,
    }

    impl Exchange for Taking {
        fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
            let body = match request.method {
                Method::Put => {
                    self.parts.fetch_add(1, Ordering::Relaxed);
                    ""
                }
                Method::Delete => {
                    self.aborted.fetch_add(1, Ordering::Relaxed);
                    ""
                }
                Method::Get => "<ListMultipartUploadsResult/>",
                _ if request.url.contains("uploadId") => "<CompleteMultipartUploadResult/>",
                _ => "<I><UploadId>u</UploadId></I>",
            };
            Ok(Response {
                status: 200,
                headers: vec![("etag".to_owned(), "e".to_owned())],
                body: Box::new(body.as_bytes()),
            })
        }
    }

    struct Zeros(usize);

    impl Content for Zeros {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&vec![0; self.0])
        }
    }

    #[test]
    fn no_upload_has_more_parts_than_are_allowed() {
        for (bytes, aborted) in [(10_000, 0), (10_001, 1)] {
            let taking = Arc::new(Taking::default());
            let client = Arc::clone(&taking) as Arc<dyn Exchange>;
            let bucket = Bucket::answered_by(client, Settings::new("bucket", "p"), |target| {
                target.part_size = 1;
            });
            let object = Object {
                bucket: &bucket,
                writing: &Writing::new(true),
                key: "p/x",
                created: Timestamp::from_millis(0),
                upload: String::new(),
                exclusive: false,
            };
            let result = put::write(&object, &Memory::new(100), &Zeros(bytes));
            match result {
                Ok(size) => assert_eq!(size, 10_000),
                Err(StorageError::Refused { reason, .. }) => {
                    assert!(reason.contains("set a larger `part-size`"), "{reason}");
                }
                Err(error) => panic!("{error}"),
            }
            assert_eq!(taking.parts.load(Ordering::Relaxed), PARTS_MAX);
            assert_eq!(taking.aborted.load(Ordering::Relaxed), aborted);
        }
    }
}
