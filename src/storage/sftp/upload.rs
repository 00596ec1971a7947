//! Storing a file: under a temporary name, in pieces of which many are under way, and then under its own.
//!
//! ```text
//! open, ⟨data …⟩, ⟨time, fsync⟩, ⟨rename, fsync, close⟩       ⟨…⟩ sent at once: four round trips for a small file
//! ```
//!
//! The first fsync is for the content, the second, of the same open file, for its name: the journals of file systems
//! write the rename with it. Servers that do not offer fsync are trusted to write what they have.
//!
//! Who writes exclusively uses version 3's own rename, which leaves a name alone that is taken, at least with OpenSSH;
//! whether it does is tried out once ([`Renaming`]). Others replace, with `posix-rename` or by moving the old file out
//! of the way. An attempt that ended without an answer may have stored the file: what stands there then is known by
//! the time in its header, since no two contents of ours for one name have the same.

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::directory;
use super::download;
use super::link::{Link, Renaming};
use super::packet::{Answer, DATA_BYTES, FOR_CREATING, Kind, Packet};
use super::session::{Calls, Failure, done, handle};
use super::status;
use crate::ltx::Header;
use crate::storage::{ByteRange, Content, Rival, StorageError};
use crate::units::Timestamp;

/// The most pieces that are under way: a megabyte and a half, 60 Mbit/s at 200 ms.
const PIECES_MAX: usize = 48;

const POSIX_RENAME: &str = "posix-rename@openssh.com";
const FSYNC: &str = "fsync@openssh.com";

/// What is remembered about writing to one replica.
#[derive(Default)]
pub(super) struct Writing {
    /// By path: the number and time of each content of which it is not known whether it was stored.
    unsure: Mutex<HashMap<String, Vec<(u64, Timestamp)>>>,
    /// Temporaries of ours that could not be removed.
    left: Mutex<Vec<String>>,
}

impl Writing {
    pub(super) fn unsure(&self) -> MutexGuard<'_, HashMap<String, Vec<(u64, Timestamp)>>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn left(&self) -> MutexGuard<'_, Vec<String>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One file to be stored.
pub(super) struct Upload<'a> {
    pub(super) link: &'a Arc<Link>,
    pub(super) writing: &'a Writing,
    pub(super) path: &'a str,
    pub(super) temporary: &'a str,
    /// What messages call it.
    pub(super) location: &'a str,
    pub(super) created: Timestamp,
    pub(super) content: &'a dyn Content,
    pub(super) exclusive: bool,
    /// How many pieces may be under way.
    pub(super) concurrent: bool,
}

impl Upload<'_> {
    /// Stores it over `calls`, its directory being there, and gives its size in bytes. Calls `begun` once the temporary
    /// is there.
    pub(super) fn run(
        &self,
        calls: &Calls,
        begun: &mut dyn FnMut(&Calls),
    ) -> Result<u64, StorageError> {
        if self.exclusive {
            self.try_renaming(calls)
                .map_err(|failure| self.error(calls, failure))?;
        }
        let open = Packet::request(Kind::Open).string(self.temporary.as_bytes());
        let opened = calls.ask(open.number(FOR_CREATING).mode(0o600));
        let handle = opened
            .and_then(handle)
            .map_err(|failure| self.error(calls, failure))?;
        let file = OpenFile {
            calls,
            handle,
            closed: Cell::new(false),
        };
        begun(calls);
        let mut sink = Sink {
            calls,
            handle: &file.handle,
            buffer: Vec::with_capacity(DATA_BYTES),
            written: 0,
            under_way: 0,
            window: if self.concurrent { PIECES_MAX } else { 1 },
            failure: None,
        };
        let produced = self
            .content
            .write_to(&mut sink)
            .and_then(|()| sink.finish());
        let (written, failed) = (sink.written, sink.failure.take());
        let stored = match (produced, failed) {
            (Ok(()), None) => self.publish(calls, &file, written),
            (_, Some(failure)) => Err(self.error(calls, failure)),
            (Err(source), None) => Err(StorageError::Content {
                location: self.location.to_owned(),
                source,
            }),
        };
        match stored {
            Ok(size) => {
                self.writing.unsure().remove(self.path);
                self.clear(calls);
                Ok(size)
            }
            Err(error) => {
                if error.outcome_unknown() {
                    let mut unsure = self.writing.unsure();
                    let contents = unsure.entry(self.path.to_owned()).or_default();
                    contents.push((self.content.id(), self.created));
                }
                self.writing.left().push(self.temporary.to_owned());
                self.clear(calls);
                Err(error)
            }
        }
    }

    /// Gives the complete file its name.
    fn publish(
        &self,
        calls: &Calls,
        file: &OpenFile<'_>,
        written: u64,
    ) -> Result<u64, StorageError> {
        let failed = |failure| self.error(calls, failure);
        let seconds = self.created.millis().div_euclid(1000);
        let seconds = seconds.clamp(0, i64::from(u32::MAX)) as u32;
        let sync = || Packet::extended(FSYNC).string(&file.handle);
        let syncs = calls.session.offers(FSYNC);
        let mut before = vec![
            Packet::request(Kind::SetHandle)
                .string(&file.handle)
                .times(seconds),
        ];
        if syncs {
            before.push(sync());
        }
        if self.exclusive {
            before.push(stat(self.path));
        }
        let mut answers = calls.ask_all(before).map_err(failed)?;
        if self.exclusive
            && let Some(Answer::Attributes(_)) = answers.pop()
        {
            return self.found_there();
        }
        let mut answers = answers.into_iter();
        // A server that cannot set times is one all the same.
        let _ = answers.next();
        if let Some(synced) = answers.next() {
            done(synced).map_err(failed)?;
        }
        let replaces = !self.exclusive && calls.session.offers(POSIX_RENAME);
        let mut last = vec![name_anew(self.temporary, self.path, replaces)];
        if syncs {
            last.push(sync());
        }
        last.push(Packet::request(Kind::Close).string(&file.handle));
        file.closed.set(true);
        let renamed = calls.ask_all(last).map_err(|failure| {
            // It may have been heard.
            status::error("write", self.location.to_owned(), failure, true)
        })?;
        let Some(Err(failure)) = renamed.into_iter().next().map(done) else {
            return Ok(written);
        };
        if matches!(calls.ask(stat(self.path)), Ok(Answer::Attributes(_))) {
            return match self.exclusive {
                true => self.found_there(),
                false => self.replace(calls, written),
            };
        }
        // Some systems rename no open file; now it is closed.
        let again = calls.done(name_anew(self.temporary, self.path, replaces));
        match again {
            Ok(()) => Ok(written),
            Err(Failure::Over(end)) => Err(status::error(
                "write",
                self.location.to_owned(),
                Failure::Over(end),
                true,
            )),
            Err(_) => Err(failed(failure)),
        }
    }

    /// Replaces the file that is there, on a server whose rename does not. In between there is none, or after a break
    /// the old one under the name of a temporary; so the break is told as an unknown outcome, and the file sent again.
    fn replace(&self, calls: &Calls, written: u64) -> Result<u64, StorageError> {
        let aside = crate::sys::temporary::beside(std::path::Path::new(self.path));
        let aside = aside.to_string_lossy().into_owned();
        let failed = |failure| status::error("write", self.location.to_owned(), failure, true);
        calls
            .done(name_anew(self.path, &aside, false))
            .map_err(|failure| self.error(calls, failure))?;
        if let Err(failure) = calls.done(name_anew(self.temporary, self.path, false)) {
            let _ = calls.done(name_anew(&aside, self.path, false));
            return Err(failed(failure));
        }
        self.writing.left().push(aside);
        Ok(written)
    }

    /// The name is taken: by this content, which had arrived; by an earlier one of ours; or by somebody else's.
    fn found_there(&self) -> Result<u64, StorageError> {
        self.writing.left().push(self.temporary.to_owned());
        let mut bytes = [0; Header::BYTES];
        let read = |range| {
            download::read(
                self.link,
                self.path.to_owned(),
                self.location.to_owned(),
                range,
            )
        };
        let mut file = read(ByteRange::From(0))?;
        let lost = |source| StorageError::Unreachable {
            operation: "write",
            location: self.location.to_owned(),
            source,
            sent: true,
        };
        let rival = match file.read_exact(&mut bytes) {
            Ok(()) => Rival::in_header(&bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(lost(error)),
        };
        let unsure = self.writing.unsure().remove(self.path).unwrap_or_default();
        let mut ours = unsure
            .iter()
            .filter(|(_, created)| rival.is_some_and(|rival| rival.time == *created));
        let id = self.content.id();
        if ours.clone().any(|(content, _)| *content == id) {
            let rest = io::copy(&mut file, &mut io::sink());
            return rest.map(|rest| Header::BYTES as u64 + rest).map_err(lost);
        }
        Err(match ours.next() {
            Some((_, created)) => StorageError::Arrived {
                location: self.location.to_owned(),
                created: *created,
            },
            None => StorageError::InUse {
                location: self.location.to_owned(),
                by: rival,
            },
        })
    }

    /// Finds out, once for a server, whether its rename replaces: with two files of no bytes.
    fn try_renaming(&self, calls: &Calls) -> Result<(), Failure> {
        let known = || {
            self.link
                .renaming
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if *known() != Renaming::Unknown {
            return Ok(());
        }
        let names = ["a", "b"].map(|which| format!("{}.{which}", self.temporary));
        let open = |name: &String| {
            let open = Packet::request(Kind::Open).string(name.as_bytes());
            open.number(FOR_CREATING).mode(0o600)
        };
        let opened = calls.ask_all(names.iter().map(open).collect())?;
        let handles: Result<Vec<_>, Failure> = opened.into_iter().map(handle).collect();
        let close = |file: &Vec<u8>| Packet::request(Kind::Close).string(file);
        calls.ask_all(handles?.iter().map(close).collect())?;
        let [one, other] = &names;
        let found = match calls.done(name_anew(one, other, false)) {
            Ok(()) => Renaming::Replaces,
            Err(Failure::Status(_)) => Renaming::Refuses,
            Err(failure) => return Err(failure),
        };
        *known() = found;
        log::debug!("{}: a rename {found:?} what is there", self.location);
        for name in &names {
            calls.send_and_forget(directory::removal(name));
        }
        Ok(())
    }

    /// Removes temporaries that are in nobody's way any more. What cannot be removed now is the next one's to do.
    fn clear(&self, calls: &Calls) {
        let left = std::mem::take(&mut *self.writing.left());
        if !left.is_empty() && directory::remove(calls, &left).is_err() {
            self.writing.left().extend(left);
        }
    }

    fn error(&self, calls: &Calls, failure: Failure) -> StorageError {
        let directory = self.path.rsplit_once('/').map_or(".", |(above, _)| above);
        let failure = status::explained(calls, directory, failure);
        status::error("write", self.location.to_owned(), failure, false)
    }
}

fn stat(path: &str) -> Packet {
    Packet::request(Kind::Stat).string(path.as_bytes())
}

fn name_anew(from: &str, to: &str, replacing: bool) -> Packet {
    let rename = match replacing {
        true => Packet::extended(POSIX_RENAME),
        false => Packet::request(Kind::Rename),
    };
    rename.string(from.as_bytes()).string(to.as_bytes())
}

/// The temporary, open. It is closed once: its handle may soon be that of another file.
struct OpenFile<'a> {
    calls: &'a Calls,
    handle: Vec<u8>,
    closed: Cell<bool>,
}

impl Drop for OpenFile<'_> {
    fn drop(&mut self) {
        if !self.closed.get() {
            let close = Packet::request(Kind::Close).string(&self.handle);
            self.calls.send_and_forget(close);
        }
    }
}

/// Sends what is written to it, many pieces at once.
struct Sink<'a> {
    calls: &'a Calls,
    handle: &'a [u8],
    buffer: Vec<u8>,
    /// Bytes sent.
    written: u64,
    /// Pieces that were not answered yet.
    under_way: usize,
    window: usize,
    failure: Option<Failure>,
}

impl Sink<'_> {
    fn send(&mut self) -> Result<(), Failure> {
        let write = Packet::request(Kind::Write).string(self.handle);
        let write = write.long(self.written).string(&self.buffer);
        self.calls.send(write)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        self.under_way += 1;
        self.wait_for(self.window - 1)
    }

    /// Waits until no more than so many are under way.
    fn wait_for(&mut self, most: usize) -> Result<(), Failure> {
        while self.under_way > most {
            let (_, answer) = self.calls.next()?;
            self.under_way -= 1;
            done(answer)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        let finished = match self.buffer.is_empty() {
            true => Ok(()),
            false => self.send(),
        };
        let finished = finished.and_then(|()| self.wait_for(0));
        self.note(finished)
    }

    /// Keeps the failure, for which [`io::Error`] has no room. Answers to other pieces are waited for.
    fn note(&mut self, result: Result<(), Failure>) -> io::Result<()> {
        let Err(failure) = result else {
            return Ok(());
        };
        while self.under_way > 0 && self.calls.next().is_ok() {
            self.under_way -= 1;
        }
        self.failure = Some(failure);
        Err(io::Error::other("the server did not take it"))
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failure.is_some() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(DATA_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == DATA_BYTES {
            let sent = self.send();
            self.note(sent)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
