//! Storing a file: one PUT of known length where it fits into a part, parts where it does not.
//!
//! Every object carries a number drawn for its content, beside the time in its LTX header. So when a conditional create
//! finds the name taken, a look at the object tells whether this very content had arrived after all, an earlier one
//! of ours, or somebody else's.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::bucket::{Ask, Bucket};
use super::get;
use super::parts::Parts;
use crate::storage::http::Method;
use crate::storage::memory::{Memory, Reservation};
use crate::storage::{Content, StorageError};
use crate::sys::random;
use crate::units::Timestamp;

/// Litestream's name for the time in the header of the LTX file.
pub(super) const TIMESTAMP: &str = "x-amz-meta-litestream-timestamp";
/// Ours for what tells uploads apart.
const UPLOAD: &str = "x-amz-meta-walbrook-upload";

/// What is remembered about writing to one replica.
pub(super) struct Writing {
    /// The contents of each object of which it is not known whether they arrived.
    unsure: Mutex<HashMap<String, HashSet<String>>>,
    conditions: Mutex<Conditions>,
}

/// Whether the server heeds `If-None-Match: *`. One that does not answers 200 to everyone, so only a refusal proves it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Conditions {
    Unknown,
    Heeded,
    Ignored,
}

/// One object to be stored.
pub(super) struct Object<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) writing: &'a Writing,
    pub(super) key: &'a str,
    pub(super) created: Timestamp,
    /// The number of its content.
    pub(super) upload: String,
    /// Whether a name that is taken is left alone.
    pub(super) exclusive: bool,
}

impl Writing {
    /// Nothing is known yet, but that some servers are known not to heed conditions.
    pub(super) fn new(may_heed_conditions: bool) -> Writing {
        Writing {
            unsure: Mutex::default(),
            conditions: Mutex::new(match may_heed_conditions {
                true => Conditions::Unknown,
                false => Conditions::Ignored,
            }),
        }
    }

    pub(super) fn conditions(&self) -> Conditions {
        *self
            .conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn found(&self, conditions: Conditions) {
        *self
            .conditions
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = conditions;
    }

    fn unsure(&self) -> MutexGuard<'_, HashMap<String, HashSet<String>>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stores what `content` writes, and gives its size in bytes.
pub(super) fn write(
    object: &Object<'_>,
    memory: &std::sync::Arc<Memory>,
    content: &dyn Content,
) -> Result<u64, StorageError> {
    let target = &object.bucket.connected("write")?.target;
    // Before much is sent in vain.
    if content.most_bytes() > target.part_size
        && let Some(size) = object.arrived()?
    {
        return Ok(size);
    }
    let part_bytes = usize::try_from(target.part_size).unwrap_or(usize::MAX);
    thread::scope(|scope| {
        let mut sink = Sink {
            part_bytes,
            first_bytes: content.most_bytes().min(target.part_size),
            memory,
            buffer: Vec::new(),
            reservation: None,
            written: 0,
            parts: Parts::new(scope, object, target.concurrency),
            error: None,
        };
        match content.write_to(&mut sink) {
            Ok(()) => sink.finish(object),
            Err(source) => {
                sink.parts.abort();
                Err(sink.error.unwrap_or(StorageError::Content {
                    location: object.location(),
                    source,
                }))
            }
        }
    })
}

/// Gathers content until it is a part.
struct Sink<'m, 'scope, 'env> {
    part_bytes: usize,
    /// How much the first part is at most.
    first_bytes: u64,
    memory: &'m std::sync::Arc<Memory>,
    buffer: Vec<u8>,
    reservation: Option<Reservation>,
    written: u64,
    parts: Parts<'scope, 'env>,
    /// Why an upload failed while content was being written.
    error: Option<StorageError>,
}

impl Sink<'_, '_, '_> {
    fn finish(mut self, object: &Object<'_>) -> Result<u64, StorageError> {
        if !self.parts.begun() {
            let body = std::mem::take(&mut self.buffer);
            object.put(&body)?;
            return Ok(self.written);
        }
        self.send_part()
            .and_then(|()| self.parts.complete())
            .inspect_err(|_| self.parts.abort())?;
        Ok(self.written)
    }

    fn send_part(&mut self) -> Result<(), StorageError> {
        let body = std::mem::take(&mut self.buffer);
        self.parts.send(body, self.reservation.take())
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, StorageError> {
        if self.buffer.len() == self.part_bytes {
            self.send_part()?;
        }
        if self.reservation.is_none() {
            let bytes = match self.parts.begun() {
                true => self.part_bytes as u64,
                false => self.first_bytes,
            };
            self.reservation = Some(self.memory.reserve(bytes));
            self.buffer = Vec::with_capacity(usize::try_from(bytes).unwrap_or(self.part_bytes));
        }
        let count = bytes.len().min(self.part_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }
}

impl Write for Sink<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.take(bytes).map_err(|error| {
            self.error = Some(error);
            io::Error::other("the upload has failed")
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Object<'_> {
    pub(super) fn location(&self) -> String {
        self.bucket.location(self.key)
    }

    /// The header lines that the object keeps.
    pub(super) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.bucket.new_object();
        headers.push((TIMESTAMP, self.created.to_string()));
        headers.push((UPLOAD, self.upload.clone()));
        headers
    }

    /// The header line of the request that makes the object appear.
    pub(super) fn condition(&self) -> Option<(&'static str, String)> {
        let conditional = self.exclusive && self.writing.conditions() != Conditions::Ignored;
        conditional.then(|| ("if-none-match", "*".to_owned()))
    }

    fn put(&self, body: &[u8]) -> Result<(), StorageError> {
        loop {
            let mut headers = self.headers();
            let condition = self.condition();
            let refusals: &[u16] = match condition {
                Some(_) => &[412, 501],
                None => &[],
            };
            headers.extend(condition);
            headers.extend(self.bucket.digest(body));
            let ask = Ask {
                headers,
                body,
                ..Ask::new(Method::Put, self.key)
            };
            let answer = self.bucket.ask("write", &ask, refusals);
            let outcome = answer.map(|response| match response.status {
                412 => Outcome::NameTaken,
                501 => Outcome::NoConditions,
                _ => Outcome::Stored,
            });
            if self.settled(outcome)? {
                return Ok(());
            }
        }
    }

    /// What the request that makes the object appear came to: whether it is there, or has to be asked for once more.
    pub(super) fn settled(
        &self,
        outcome: Result<Outcome, StorageError>,
    ) -> Result<bool, StorageError> {
        let outcome = outcome.inspect_err(|error| {
            if error.outcome_unknown() {
                self.is_unsure();
            }
        })?;
        match outcome {
            Outcome::Stored => {}
            Outcome::NameTaken => {
                self.writing.found(Conditions::Heeded);
                self.holds_this("somebody else took the name, and gave it up again")?;
            }
            Outcome::PartsGone => self.holds_this("the server has thrown away its parts")?,
            Outcome::NoConditions => {
                log::debug!(
                    "{}: the server does not know conditional writes",
                    self.location()
                );
                self.writing.found(Conditions::Ignored);
                return Ok(false);
            }
        }
        let was_unsure = self.writing.unsure().remove(self.key).is_some();
        if was_unsure && self.exclusive && self.writing.conditions() == Conditions::Unknown {
            self.probe();
        }
        Ok(true)
    }

    /// Takes note that this content may have arrived, or may yet.
    fn is_unsure(&self) {
        let mut unsure = self.writing.unsure();
        let uploads = unsure.entry(self.key.to_owned()).or_default();
        uploads.insert(self.upload.clone());
    }

    /// The size of this content if it has arrived already, in an attempt whose outcome is not known.
    fn arrived(&self) -> Result<Option<u64>, StorageError> {
        if !self.exclusive || !self.writing.unsure().contains_key(self.key) {
            return Ok(None);
        }
        match self.found_there() {
            Ok(size) => Ok(Some(size)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the name holds this very content, after an answer that leaves it open. `otherwise` tells why
    /// there may be nothing at all.
    fn holds_this(&self, otherwise: &'static str) -> Result<(), StorageError> {
        match self.found_there() {
            Ok(_) => Ok(()),
            Err(StorageError::NotFound { location }) => Err(StorageError::Unreachable {
                operation: "write",
                location,
                source: io::Error::other(otherwise),
                sent: false,
            }),
            Err(StorageError::Unreachable {
                location, source, ..
            }) => {
                self.is_unsure();
                Err(StorageError::Unreachable {
                    operation: "write",
                    location,
                    source,
                    sent: true,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// The name is taken: by this content, which had arrived; by an earlier one of ours; or by somebody else.
    fn found_there(&self) -> Result<u64, StorageError> {
        let head = get::head(self.bucket, self.key)?;
        let theirs = head.header(UPLOAD).unwrap_or_default();
        let mut unsure = self.writing.unsure();
        if theirs == self.upload {
            unsure.remove(self.key);
            let size = head.header("content-length");
            return Ok(size.and_then(|size| size.parse().ok()).unwrap_or(0));
        }
        let ours = unsure
            .get(self.key)
            .is_some_and(|uploads| uploads.contains(theirs));
        let created = head
            .header(TIMESTAMP)
            .and_then(|time| Timestamp::parse(time).ok());
        match (ours, created) {
            (true, Some(created)) => {
                unsure.remove(self.key);
                Err(StorageError::Arrived {
                    location: self.location(),
                    created,
                })
            }
            _ => Err(StorageError::InUse {
                location: self.location(),
                by: None,
            }),
        }
    }

    /// Finds out whether the server heeds conditions, once somebody has to know: creates an object twice.
    fn probe(&self) {
        let key = format!("{}.probe-{:016x}", self.key, random::unique());
        let create = || {
            let mut headers = self.bucket.new_object();
            headers.push(("if-none-match", "*".to_owned()));
            let ask = Ask {
                headers,
                body: b"walbrook asks whether this server heeds If-None-Match",
                ..Ask::new(Method::Put, &key)
            };
            self.bucket
                .ask("write", &ask, &[412])
                .map(|response| response.status)
        };
        let conditions = match (create(), create()) {
            (_, Ok(412)) => Conditions::Heeded,
            (Ok(_), Ok(_)) => Conditions::Ignored,
            _ => Conditions::Unknown,
        };
        self.writing.found(conditions);
        // One that stays is in nobody's way: its name is not that of an LTX file.
        let _ = self
            .bucket
            .ask("delete", &Ask::new(Method::Delete, &key), &[404]);
        log::debug!("{}: conditional writes: {conditions:?}", self.location());
    }
}

/// The answer to the request that makes an object appear.
pub(super) enum Outcome {
    /// It is there.
    Stored,
    /// The condition does not hold: an object was there, perhaps this one, from an attempt before.
    NameTaken,
    /// There is no such upload in parts: it was put together in an attempt before, or thrown away.
    PartsGone,
    /// The server does not know conditions; it has to be asked again without.
    NoConditions,
}
