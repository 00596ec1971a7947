//! A replica in memory, whose connection can be made to fail.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::sync::{Mutex, MutexGuard};

use walbrook::ltx::{Checksum, Encoder, Header};
use walbrook::storage::{ByteRange, Content, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

/// The replica.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Replica>);

#[derive(Default)]
struct Replica {
    files: BTreeMap<FileName, (Timestamp, Vec<u8>)>,
    /// Times of files that were replaced or removed.
    times: BTreeMap<FileName, Timestamp>,
    faults: Vec<Fault>,
    reads: Vec<(FileName, ByteRange)>,
}

/// What goes wrong with the reads to come, each with one.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// The connection fails after so many bytes.
    Reset(usize),
    /// The stream ends after so many bytes, as if that were all.
    Short(usize),
    /// It is refused.
    Broken,
    /// The file is gone, these are there in its place.
    Compacted(Vec<(FileName, Vec<u8>)>),
}

impl Memory {
    /// A replica of these files.
    pub(crate) fn holding(files: impl IntoIterator<Item = (FileName, i64, Vec<u8>)>) -> Memory {
        let memory = Memory::default();
        for (name, millis, bytes) in files {
            let time = Timestamp::from_millis(millis);
            memory.replica().files.insert(name, (time, bytes));
        }
        memory
    }

    /// Adds a file.
    pub(crate) fn add(&self, name: FileName, bytes: Vec<u8>) {
        let time = Timestamp::from_millis(0);
        self.replica().files.insert(name, (time, bytes));
    }

    /// Lets reads fail, the next one first.
    pub(crate) fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.replica().faults.extend(faults);
    }

    /// Which reads there were.
    pub(crate) fn reads(&self) -> Vec<(FileName, ByteRange)> {
        self.replica().reads.clone()
    }

    /// Replaces the content of a file, which keeps its time; without any, the file is gone until it is set again.
    pub(crate) fn set(&self, name: FileName, bytes: Option<Vec<u8>>) {
        let mut replica = self.replica();
        if let Some((time, _)) = replica.files.remove(&name) {
            replica.times.insert(name, time);
        }
        if let Some(bytes) = bytes {
            let time = replica.times[&name];
            replica.files.insert(name, (time, bytes));
        }
    }

    fn replica(&self) -> MutexGuard<'_, Replica> {
        self.0.lock().unwrap()
    }
}

impl Storage for Memory {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        let replica = self.replica();
        let on_level = replica.files.iter().filter(|(name, _)| name.level == level);
        let info = |(name, (created, bytes)): (&FileName, &(Timestamp, Vec<u8>))| FileInfo {
            name: *name,
            size: bytes.len() as u64,
            created: *created,
        };
        Ok(on_level.map(info).collect())
    }

    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        let mut replica = self.replica();
        replica.reads.push((name, range));
        let fault = (!replica.faults.is_empty()).then(|| replica.faults.remove(0));
        if let Some(Fault::Compacted(new)) = &fault {
            let time = replica.files.remove(&name).unwrap().0;
            let new = new
                .iter()
                .map(|(name, bytes)| (*name, (time, bytes.clone())));
            replica.files.extend(new);
        }
        let location = name.to_string();
        let file = replica.files.get(&name);
        let bytes = &file.ok_or(StorageError::NotFound { location })?.1;
        let end = bytes.len() as u64;
        let (from, to) = match range {
            ByteRange::From(offset) => (offset.min(end), end),
            ByteRange::Last(length) => (end.saturating_sub(length), end),
            ByteRange::Exact { offset, length } => (offset.min(end), offset + length),
        };
        let is_short = to > end;
        let bytes = bytes[from as usize..to.min(end) as usize].to_vec();
        Ok(match fault {
            Some(Fault::Reset(after)) => {
                Box::new(cut(bytes, after).chain(Fails(io::ErrorKind::ConnectionReset)))
            }
            Some(Fault::Broken) => Box::new(Fails(io::ErrorKind::PermissionDenied)),
            Some(Fault::Short(after)) => Box::new(cut(bytes, after)),
            _ if is_short => {
                Box::new(Cursor::new(bytes).chain(Fails(io::ErrorKind::UnexpectedEof)))
            }
            _ => Box::new(Cursor::new(bytes)),
        })
    }

    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let mut bytes = Vec::new();
        let written = content.write_to(&mut bytes);
        let location = name.to_string();
        written.map_err(|source| StorageError::Content { location, source })?;
        let size = bytes.len() as u64;
        self.replica().files.insert(name, (created, bytes));
        Ok(size)
    }

    fn delete(&self, names: &[FileName]) -> Result<(), StorageError> {
        self.replica().files.retain(|name, _| !names.contains(name));
        Ok(())
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        self.replica().files.clear();
        Ok(())
    }
}

/// The name of a file.
pub(crate) fn name(level: u8, min: u64, max: u64) -> FileName {
    let txid = |number| Txid::new(number).unwrap();
    FileName {
        level: Level::new(level).unwrap(),
        txids: TxidRange::new(txid(min), txid(max)).unwrap(),
    }
}

/// An LTX file with pages of 512 bytes, all bytes of a page being the given one.
pub(crate) fn ltx(txids: TxidRange, commit: u32, pages: &[(u32, u8)]) -> Vec<u8> {
    tagged_ltx(txids, commit, pages, None)
}

/// The same, with a tag that says what the database is after it.
pub(crate) fn tagged_ltx(
    txids: TxidRange,
    commit: u32,
    pages: &[(u32, u8)],
    database: Option<Checksum>,
) -> Vec<u8> {
    let size = PageSize::new(512).unwrap();
    let header = Header::new(size, PageCount(commit), txids, Timestamp::from_millis(0));
    let header = header.with_database(database);
    let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
    for (page, byte) in pages {
        encoder
            .page(PageNumber::new(*page).unwrap(), &[*byte; 512])
            .unwrap();
    }
    encoder.finish().unwrap().0
}

fn cut(mut bytes: Vec<u8>, after: usize) -> Cursor<Vec<u8>> {
    bytes.truncate(after);
    Cursor::new(bytes)
}

/// Fails in this way.
struct Fails(io::ErrorKind);

impl Read for Fails {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(self.0.into())
    }
}
