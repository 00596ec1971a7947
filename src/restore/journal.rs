//! What an interrupted restore leaves, so that the next one goes on: beside the half-built database, a small file that
//! says which state it will have, and where in which file of the replica it had come to.
//!
//! Files are read newest first. So at any time the half-built database has everything between the file being read and
//! [`Journal::top`], and of that file what came before the bookmark. A later restore may aim at a newer state: then the
//! files above `top` are put over it first ([`Journal::high`] says how new a page may be meanwhile), and what is below
//! goes on as it was. Nothing of this is trusted beyond what its checksum says: anything that does not fit costs a
//! restore from the beginning, and nothing else.
//!
//! Written after the pages that it speaks of are on disk, so that a power cut cannot make it a liar.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::error::RestoreError;
use crate::ltx::{Bookmark, Checksum, Digest};
use crate::storage::{FileInfo, FileName};
use crate::sys::fs::{FileSystem, with_suffix};
use crate::sys::temporary;
use crate::units::{Level, PageCount, PageSize, Timestamp, Txid, TxidRange};

/// The name beside the output.
const SUFFIX: &str = ".walbrook-unfinished";
const MAGIC: &[u8; 8] = b"WBRJ0001";
/// A bit for each of 2^32 pages, and the little besides: longer is none of ours.
const BYTES_MAX: u64 = 1 << 30;

/// The state of a restore.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Journal {
    /// The replica, as messages name it.
    pub(super) location: String,
    /// The half-built database: the name of a file beside the output.
    pub(super) side: String,
    /// Its page size.
    pub(super) page_size: PageSize,
    /// Its pages.
    pub(super) commit: PageCount,
    /// The TXID it will have.
    pub(super) top: Txid,
    /// The newest TXID of which it may hold a page; `top`, unless newer files are being put over it.
    pub(super) high: Txid,
    /// What the newest file says that the database is.
    pub(super) noted: Option<Checksum>,
    /// The file being read, its size, and how far. Those above it were read whole and verified.
    pub(super) current: (FileInfo, Bookmark),
    /// One bit a page: which are there.
    pub(super) have: Vec<u64>,
}

/// Where the journal of a restore to `output` is.
pub(super) fn path_for(output: &Path) -> PathBuf {
    with_suffix(output, SUFFIX)
}

impl Journal {
    /// Puts it on disk, in place of the one before.
    pub(super) fn save(&self, fs: &dyn FileSystem, output: &Path) -> Result<(), RestoreError> {
        let path = path_for(output);
        let stored = temporary::store(fs, &path, 0o600, &self.to_bytes());
        stored.map_err(|error| RestoreError::io("write", &path, error))
    }

    /// What an earlier restore to `output` has left, if it is whole.
    pub(super) fn load(fs: &dyn FileSystem, output: &Path) -> Option<Journal> {
        let path = path_for(output);
        let size = fs.status(&path).ok()?.size;
        if size > BYTES_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        let mut file = fs.read_from(&path, 0).ok()?.take(BYTES_MAX);
        file.read_to_end(&mut bytes).ok()?;
        Journal::parse(&bytes)
    }

    /// Removes it, if it is there.
    pub(super) fn remove(fs: &dyn FileSystem, output: &Path) {
        let _ = fs.remove(&path_for(output));
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for text in [&self.location, &self.side] {
            bytes.extend((text.len() as u64).to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        for number in [
            u64::from(self.page_size.bytes()),
            u64::from(self.commit.0),
            self.top.value(),
            self.high.value(),
            self.noted.map_or(0, Checksum::value),
        ] {
            bytes.extend(number.to_be_bytes());
        }
        let (file, bookmark) = &self.current;
        bytes.push(file.name.level.value());
        let txids = file.name.txids;
        for number in [txids.min().value(), txids.max().value(), file.size] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(bookmark.to_bytes());
        for word in &self.have {
            bytes.extend(word.to_be_bytes());
        }
        let mut digest = Digest::new();
        digest.update(&bytes);
        bytes.extend(digest.finish().value().to_be_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Journal> {
        let (bytes, stored) = bytes.split_last_chunk()?;
        let mut digest = Digest::new();
        digest.update(bytes);
        if digest.finish().value() != u64::from_be_bytes(*stored) {
            return None;
        }
        let mut rest = Rest(bytes.strip_prefix(MAGIC)?);
        let (location, side) = (rest.text()?, rest.text()?);
        let page_size = PageSize::new(u32::try_from(rest.number()?).ok()?)?;
        let commit = PageCount(u32::try_from(rest.number()?).ok()?);
        let (top, high) = (Txid::new(rest.number()?)?, Txid::new(rest.number()?)?);
        let noted = Checksum::from_stored(rest.number()?);
        let current = rest.current()?;
        let (words, odd) = rest.0.as_chunks();
        let have: Vec<u64> = words.iter().map(|it| u64::from_be_bytes(*it)).collect();
        let fits = have.len() == (commit.0 as usize).div_ceil(64) && odd.is_empty();
        (fits && !side.contains('/')).then_some(Journal {
            location,
            side,
            page_size,
            commit,
            top,
            high,
            noted,
            current,
            have,
        })
    }
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    fn text(&mut self) -> Option<String> {
        let count = usize::try_from(self.number()?).ok()?;
        String::from_utf8(self.take(count)?.to_vec()).ok()
    }

    fn current(&mut self) -> Option<(FileInfo, Bookmark)> {
        let level = Level::new(*self.take(1)?.first()?)?;
        let (min, max) = (Txid::new(self.number()?)?, Txid::new(self.number()?)?);
        let txids = TxidRange::new(min, max)?;
        let file = FileInfo {
            name: FileName { level, txids },
            size: self.number()?,
            created: Timestamp::from_millis(0),
        };
        let bookmark = Bookmark::parse(self.take(Bookmark::BYTES)?.try_into().ok()?)?;
        Some((file, bookmark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ltx::{Decoder, Encoder, Header};
    use crate::units::PageNumber;

    fn journal() -> Journal {
        let page_size = PageSize::new(512).unwrap();
        let txids = TxidRange::snapshot(Txid::new(7).unwrap());
        let header = Header::new(page_size, PageCount(70), txids, Timestamp::from_millis(5));
        let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
        for number in 1..=70 {
            let page = PageNumber::new(number).unwrap();
            encoder.page(page, &[3; 512]).unwrap();
        }
        let file = encoder.finish().unwrap().0;
        let mut decoder = Decoder::open(&*file).unwrap();
        decoder.next_page().unwrap();
        let info = FileInfo {
            name: FileName {
                level: Level::SNAPSHOT,
                txids,
            },
            size: file.len() as u64,
            created: Timestamp::from_millis(0),
        };
        Journal {
            location: "file:///replica".to_string(),
            side: "app.db.walbrook-1-2.tmp".to_string(),
            page_size,
            commit: PageCount(70),
            top: Txid::new(9).unwrap(),
            high: Txid::new(10).unwrap(),
            noted: Some(Checksum::EMPTY_DATABASE),
            current: (info, decoder.bookmark()),
            have: vec![1, 0],
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let bytes = journal().to_bytes();
        assert_eq!(Journal::parse(&bytes), Some(journal()));
    }

    #[test]
    fn what_is_torn_or_changed_is_none() {
        let bytes = journal().to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(Journal::parse(&bytes[..length]), None);
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 16;
            assert_eq!(Journal::parse(&changed), None, "{place}");
        }
    }
}
