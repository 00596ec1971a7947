//! A server on a bad line: it may lose answers, and get requests late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, Cursor, Read};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use walbrook::storage::{ByteRange, Content, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, Timestamp};

use super::chance::Chance;

/// How long after its sender gave up a request may arrive.
const LIFE: Duration = Duration::from_secs(15 * 60);

/// What a server makes of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Answered,
    /// It takes effect, and the answer is lost.
    AnswerLost,
    /// It hangs somewhere, and may arrive later.
    Delayed,
    NotSent,
}

/// A server, and what is on the way to it.
pub(crate) struct Server {
    /// Names that are taken are not written over.
    pub(crate) conditional: bool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) files: BTreeMap<FileName, (Timestamp, Vec<u8>)>,
    pub(crate) delayed: Vec<Request>,
    pub(crate) fates: VecDeque<Fate>,
    /// Names that the running process is not sure of.
    unsure: BTreeSet<FileName>,
    pub(crate) now: Option<Instant>,
    /// So many files more are deleted, if that is limited.
    pub(crate) deletions_left: Option<usize>,
}

pub(crate) struct Request {
    name: FileName,
    file: (Timestamp, Vec<u8>),
    until: Instant,
}

impl Server {
    pub(crate) fn new(conditional: bool) -> Server {
        Server {
            conditional,
            inner: Mutex::default(),
        }
    }

    /// Time has passed, and takes requests with it.
    pub(crate) fn pass_to(&self, now: Instant) {
        let mut inner = self.lock();
        inner.now = Some(now);
        inner.delayed.retain(|request| now < request.until);
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// One request on its way arrives.
    pub(crate) fn deliver(&self, chance: &mut Chance) -> Option<FileName> {
        let mut inner = self.lock();
        if inner.delayed.is_empty() {
            return None;
        }
        let which = chance.below(inner.delayed.len() as u64) as usize;
        let Request { name, file, .. } = inner.delayed.swap_remove(which);
        if !self.conditional || !inner.files.contains_key(&name) {
            inner.files.insert(name, file);
        }
        Some(name)
    }

    /// A new process knows nothing of what an earlier one sent.
    pub(crate) fn forget(&self) {
        let mut inner = self.lock();
        inner.unsure.clear();
        inner.fates.clear();
    }
}

impl Storage for Server {
    fn location(&self) -> String {
        "server".to_string()
    }

    fn late_writes_replace(&self) -> bool {
        !self.conditional
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        let inner = self.lock();
        let on_level = inner.files.iter().filter(|(name, _)| name.level == level);
        Ok(on_level
            .map(|(name, (created, bytes))| FileInfo {
                name: *name,
                size: bytes.len() as u64,
                created: *created,
            })
            .collect())
    }

    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        let inner = self.lock();
        let location = name.to_string();
        let (_, bytes) = inner
            .files
            .get(&name)
            .ok_or(StorageError::NotFound { location })?;
        let end = bytes.len() as u64;
        let (from, to) = match range {
            ByteRange::From(offset) => (offset.min(end), end),
            ByteRange::Last(length) => (end.saturating_sub(length), end),
            ByteRange::Exact { offset, length } => (offset, (offset + length).min(end)),
        };
        let bytes = bytes[from as usize..to as usize].to_vec();
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let location = name.to_string();
        let mut bytes = Vec::new();
        let written = content.write_to(&mut bytes);
        written.map_err(|source| StorageError::Content { location, source })?;
        let unreachable = |sent| StorageError::Unreachable {
            operation: "write",
            location: name.to_string(),
            source: io::ErrorKind::TimedOut.into(),
            sent,
        };
        let mut inner = self.lock();
        let size = bytes.len() as u64;
        let file = (created, bytes);
        let fate = inner.fates.pop_front().unwrap_or(Fate::Answered);
        match fate {
            Fate::NotSent => return Err(unreachable(false)),
            Fate::Delayed => {
                let until = inner.now.unwrap() + LIFE;
                inner.delayed.push(Request { name, file, until });
                inner.unsure.insert(name);
                return Err(unreachable(true));
            }
            Fate::Answered | Fate::AnswerLost => {}
        }
        if !self.conditional {
            inner.files.insert(name, file);
        } else if let Some((there, bytes)) = inner.files.get(&name).cloned() {
            if (there, &bytes) != (file.0, &file.1) {
                let location = name.to_string();
                return Err(match inner.unsure.contains(&name) {
                    true => StorageError::Arrived {
                        location,
                        created: there,
                    },
                    false => StorageError::InUse { location, by: None },
                });
            }
        } else {
            inner.files.insert(name, file);
        }
        match fate {
            Fate::AnswerLost => {
                inner.unsure.insert(name);
                Err(unreachable(true))
            }
            _ => {
                inner.unsure.remove(&name);
                Ok(size)
            }
        }
    }

    fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
        let mut inner = self.lock();
        for name in names {
            if inner.deletions_left == Some(0) {
                return Err(StorageError::Unreachable {
                    operation: "delete",
                    location: name.to_string(),
                    source: io::ErrorKind::TimedOut.into(),
                    sent: true,
                });
            }
            inner.deletions_left = inner.deletions_left.map(|left| left - 1);
            inner.files.remove(name);
        }
        Ok(())
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
