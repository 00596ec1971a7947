//! Reading a file: many requests are under way, so that a far server is not waited for each time. How many grows with
//! what is read, up to a bound, since most reads are of small files or of a header; and all readers of a process
//! together have another bound, since many files may be merged at once.
//!
//! A reader whose connection breaks goes on over a new one where it was. The file's size tells whether it is the same.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::link::Link;
use super::packet::{Answer, Attributes, DATA_BYTES, FOR_READING, Kind, Packet};
use super::session::{Calls, Failure, handle, unexpected};
use super::status;
use crate::storage::exactly::Exactly;
use crate::storage::{ByteRange, StorageError};

/// The most requests of one reader that are under way: a megabyte.
const REQUESTS_MAX: usize = 32;
/// The most of all readers together, but for one of each.
const ALL_REQUESTS_MAX: usize = 64;
/// How often in a row a download may break off without a byte having come.
const BREAKS_MAX: u32 = 6;
/// The pause after the first break; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// How many requests of all readers are under way, without the first of each.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Opens the file `path`, which messages call `location`.
pub(super) fn read(
    link: &Arc<Link>,
    path: String,
    location: String,
    range: ByteRange,
) -> Result<Box<dyn Read + Send>, StorageError> {
    let (open, attributes) = Open::new(link, &path)
        .map_err(|failure| status::error("read", location.clone(), failure, false))?;
    let end = attributes.size.unwrap_or(u64::MAX);
    let (start, end) = match range {
        ByteRange::From(offset) => (offset, end),
        ByteRange::Last(count) => (attributes.size.unwrap_or(0).saturating_sub(count), end),
        ByteRange::Exact { offset, length } => (offset, end.min(offset.saturating_add(length))),
    };
    let reader = Box::new(Download {
        link: Arc::clone(link),
        path,
        location,
        open: Some(open),
        size: attributes.size,
        position: start,
        end: end.max(start),
        window: 1,
        breaks: 0,
    });
    Ok(match range {
        ByteRange::Exact { length, .. } => Box::new(Exactly::new(reader, length)),
        _ => reader,
    })
}

/// A file that is open on a server, and what was asked of it.
struct Open {
    calls: Calls,
    handle: Vec<u8>,
    parts: VecDeque<Part>,
    /// What the last part that came had more than was wanted then.
    rest: Vec<u8>,
    taken: usize,
}

/// Bytes that were asked for.
struct Part {
    id: u32,
    offset: u64,
    length: usize,
    /// Whether it counts among those of all readers.
    counted: bool,
    answer: Option<Answer>,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.counted {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Open {
    /// Opens it and looks how long it is, at once.
    fn new(link: &Link, path: &str) -> Result<(Open, Attributes), Failure> {
        let calls = Calls::new(link.session()?);
        let open = Packet::request(Kind::Open).string(path.as_bytes());
        let stat = Packet::request(Kind::Stat).string(path.as_bytes());
        let answers = calls.ask_all(vec![open.number(FOR_READING).number(0), stat])?;
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Answer::Data(Vec::new()));
        let open = Open {
            handle: handle(next())?,
            calls,
            parts: VecDeque::new(),
            rest: Vec::new(),
            taken: 0,
        };
        match next() {
            Answer::Attributes(attributes) => Ok((open, attributes)),
            other => Err(unexpected(other)),
        }
    }

    fn ask(&mut self, offset: u64, length: usize, counted: bool) -> Result<(), Failure> {
        let read = Packet::request(Kind::Read).string(&self.handle);
        let mut part = Part {
            id: 0,
            offset,
            length,
            counted,
            answer: None,
        };
        part.id = self.calls.send(read.long(offset).number(length as u32))?;
        self.parts.push_back(part);
        Ok(())
    }

    /// Keeps `window` requests under way, for bytes from `position` up to `end`.
    fn ask_ahead(&mut self, position: u64, end: u64, window: usize) -> Result<(), Failure> {
        let mut next = self
            .parts
            .back()
            .map_or(position, |part| part.offset + part.length as u64);
        while self.parts.len() < window && next < end {
            let counted = !self.parts.is_empty();
            if counted && UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= ALL_REQUESTS_MAX {
                UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
                break;
            }
            let length =
                usize::try_from(end - next).map_or(DATA_BYTES, |left| left.min(DATA_BYTES));
            self.ask(next, length, counted)?;
            next += length as u64;
        }
        Ok(())
    }

    /// The bytes of the first part, fewer only where the file ends.
    fn first_part(&mut self) -> Result<Vec<u8>, Failure> {
        let Some(mut part) = self.parts.pop_front() else {
            return Ok(Vec::new());
        };
        let mut bytes = Vec::new();
        loop {
            let answer = match part.answer.take() {
                Some(answer) => answer,
                None => self.answer_to(part.id)?,
            };
            match answer {
                Answer::Data(data) if data.len() <= part.length - bytes.len() => {
                    if data.is_empty() {
                        return Ok(bytes);
                    }
                    match bytes.is_empty() {
                        true => bytes = data,
                        false => bytes.extend(data),
                    }
                }
                Answer::Status(status) if status.code == status::END_OF_FILE => return Ok(bytes),
                other => return Err(unexpected(other)),
            }
            if bytes.len() == part.length {
                return Ok(bytes);
            }
            // A server may give less than was asked for.
            let read = Packet::request(Kind::Read).string(&self.handle);
            let read = read.long(part.offset + bytes.len() as u64);
            part.id = self
                .calls
                .send(read.number((part.length - bytes.len()) as u32))?;
        }
    }

    /// Waits for this answer; those that come before it are kept.
    fn answer_to(&mut self, id: u32) -> Result<Answer, Failure> {
        loop {
            let (came, answer) = self.calls.next()?;
            if came == id {
                return Ok(answer);
            }
            if let Some(part) = self.parts.iter_mut().find(|part| part.id == came) {
                part.answer = Some(answer);
            }
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let close = Packet::request(Kind::Close).string(&self.handle);
        self.calls.send_and_forget(close);
    }
}

/// A file that is being read.
struct Download {
    link: Arc<Link>,
    path: String,
    location: String,
    /// None after it broke off.
    open: Option<Open>,
    size: Option<u64>,
    position: u64,
    end: u64,
    /// How many requests may be under way.
    window: usize,
    breaks: u32,
}

impl Download {
    fn fill(&mut self) -> Result<usize, Failure> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let (open, attributes) = Open::new(&self.link, &self.path)?;
                if attributes.size != self.size {
                    return Err(Failure::Refused(
                        "it was replaced while it was read".to_owned(),
                    ));
                }
                self.open.insert(open)
            }
        };
        open.ask_ahead(self.position, self.end, self.window)?;
        self.window = (self.window * 2).min(REQUESTS_MAX);
        open.rest = open.first_part()?;
        open.taken = 0;
        let left = usize::try_from(self.end - self.position);
        if open.rest.len() < left.map_or(DATA_BYTES, |left| left.min(DATA_BYTES)) {
            // The file ends here. What was asked for behind it is asked for again, if there is more after all.
            open.parts.clear();
        }
        Ok(open.rest.len())
    }

    fn broke(&mut self, failure: Failure) -> io::Result<()> {
        self.open = None;
        self.window = 1;
        self.breaks += 1;
        let passing = matches!(failure, Failure::Over(_) | Failure::Unreachable(_));
        let error = status::error("read", self.location.clone(), failure, false);
        if !passing || self.breaks > BREAKS_MAX {
            return Err(io::Error::other(error));
        }
        log::debug!("{error}; going on");
        thread::sleep(FIRST_PAUSE * (1 << (self.breaks - 1)));
        Ok(())
    }
}

impl Read for Download {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(open) = &mut self.open {
                let left = &open.rest[open.taken..];
                let count = left.len().min(out.len());
                if count > 0 {
                    out[..count].copy_from_slice(&left[..count]);
                    open.taken += count;
                    self.position += count as u64;
                    self.breaks = 0;
                    return Ok(count);
                }
            }
            if self.position >= self.end || out.is_empty() {
                return Ok(0);
            }
            match self.fill() {
                Ok(0) if self.size.is_some_and(|size| self.position < size) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Ok(0) => return Ok(0),
                Ok(_) => {}
                Err(failure) => self.broke(failure)?,
            }
        }
    }
}
