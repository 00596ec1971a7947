//! Who writes, on servers that do not heed conditions: there two writers would write over each other's files without
//! either being told. An object beside the levels, `<path>/walbrook-writer`, says which run was the last to begin. It
//! is looked at again now and then, before an upload; a run that finds another one's name there stops.
//!
//! Whether conditions are heeded is found out with the same object, once a run: where it is there already, a
//! condition that is heeded costs one request. Without uploads nothing is asked.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Ask, Bucket};
use super::put::{Conditions, Writing};
use crate::storage::http::Method;
use crate::storage::{Rival, StorageError};
use crate::sys::clock::{Clock, SystemClock};
use crate::sys::random;
use crate::units::Timestamp;

/// How long a claim is believed to be ours still.
const BELIEVED: Duration = Duration::from_secs(60);
const BYTES_MAX: u64 = 200;

/// The claim of one run.
pub(super) struct Claim {
    run: u64,
    believed: Duration,
    state: Mutex<State>,
}

#[derive(Clone, Copy)]
enum State {
    Unmade,
    /// It was ours then.
    Ours(Instant),
    /// The server heeds conditions, or refuses this one object.
    Unneeded,
}

impl Claim {
    /// One that is still to be made.
    pub(super) fn new() -> Claim {
        Claim {
            run: random::unique(),
            believed: BELIEVED,
            state: Mutex::new(State::Unmade),
        }
    }

    /// The same, believed for so long.
    pub(super) fn believed_for(self, believed: Duration) -> Claim {
        Claim { believed, ..self }
    }

    /// Makes it for `writer`, or makes sure that it is still ours, if it is time to.
    pub(super) fn keep(
        &self,
        bucket: &Bucket,
        writing: &Writing,
        key: &str,
        writer: u64,
    ) -> Result<(), StorageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = match *state {
            State::Unneeded => return Ok(()),
            State::Ours(at) if at.elapsed() < self.believed => return Ok(()),
            State::Ours(_) => self.look(bucket, key, writer),
            State::Unmade => self.make(bucket, writing, key, writer),
        };
        *state = match kept {
            Ok(true) => State::Ours(Instant::now()),
            Ok(false) => State::Unneeded,
            Err(error @ StorageError::Refused { .. }) => {
                log::debug!("{error}");
                State::Unneeded
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Writes it. Gives whether that is of use: where conditions are heeded, it is not.
    fn make(
        &self,
        bucket: &Bucket,
        writing: &Writing,
        key: &str,
        writer: u64,
    ) -> Result<bool, StorageError> {
        let text = self.text(writer);
        // The first finds the object of an earlier run, or makes one for the second to find.
        for _ in 0..2 {
            if writing.conditions() != Conditions::Unknown {
                break;
            }
            match put(bucket, key, &text, true)? {
                412 => writing.found(Conditions::Heeded),
                501 => writing.found(Conditions::Ignored),
                _ => {}
            }
        }
        match writing.conditions() {
            Conditions::Heeded => return Ok(false),
            Conditions::Unknown => writing.found(Conditions::Ignored),
            Conditions::Ignored => {}
        }
        put(bucket, key, &text, false)?;
        Ok(true)
    }

    fn look(&self, bucket: &Bucket, key: &str, writer: u64) -> Result<bool, StorageError> {
        let ask = Ask {
            headers: bucket.customer_key(),
            ..Ask::new(Method::Get, key)
        };
        let (status, bytes) = bucket.ask_whole("read", &ask, &[404], BYTES_MAX)?;
        if status == 404 {
            return put(bucket, key, &self.text(writer), false).map(|_| true);
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut words = text.split_whitespace();
        let (theirs, run, time) = (words.next(), words.next(), words.next());
        if run == Some(&format!("{:016x}", self.run)) {
            return Ok(true);
        }
        let rival = theirs
            .and_then(|writer| u64::from_str_radix(writer, 16).ok())
            .zip(time.and_then(|time| Timestamp::parse(time).ok()));
        Err(StorageError::InUse {
            location: bucket.location(&bucket.settings().path),
            by: rival.map(|(writer, time)| Rival { writer, time }),
        })
    }

    fn text(&self, writer: u64) -> String {
        format!("{writer:016x} {:016x} {}\n", self.run, SystemClock.now())
    }
}

/// Stores the object, and gives the status: also 412 and 501, if it is only to be made where there is none.
fn put(bucket: &Bucket, key: &str, text: &str, new: bool) -> Result<u16, StorageError> {
    let mut headers = bucket.new_object();
    if new {
        headers.push(("if-none-match", "*".to_owned()));
    }
    headers.extend(bucket.digest(text.as_bytes()));
    let ask = Ask {
        headers,
        body: text.as_bytes(),
        ..Ask::new(Method::Put, key)
    };
    let expected: &[u16] = match new {
        true => &[412, 501],
        false => &[],
    };
    let response = bucket.ask("write", &ask, expected)?;
    Ok(response.status)
}
