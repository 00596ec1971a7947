//! The page index: for each frame, in the same order, three varints: page number, offset of the frame in the
//! file, length of the frame; then one byte `00`, then the size in bytes of all that as u64 big-endian.
//!
//! Varints hold seven bits a byte, the lowest first; the high bit says that another byte follows. The index
//! must describe the frames exactly, in the shortest varints.
//!
//! Whoever decodes the whole file compares a running digest, [`IndexDigest`]; whoever wants a few pages
//! reads the index from the end of the file, [`PageIndex::parse_tail`].

use crate::units::{PageNumber, PageSize};

use super::checksum::{Checksum, Digest};
use super::error::{Error, Fault};
use super::frame;
use super::header::Header;
use super::varint::{self, Varint};

/// The index of one file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageIndex {
    /// The entries as stored, checked.
    entries: Box<[u8]>,
}

/// Where one page's frame stands in its file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndexEntry {
    /// The page.
    pub page: PageNumber,
    /// Offset in bytes of the frame, that is of its page number.
    pub offset: u64,
    /// Length in bytes of the whole frame.
    pub length: u64,
}

impl IndexEntry {
    /// As stored, each in its shortest form.
    fn varints(self) -> [Varint; 3] {
        [self.page.value().into(), self.offset, self.length].map(Varint::new)
    }

    /// The length of the frame, for memory to read it into.
    ///
    /// # Errors
    /// When no frame of a page of that size is as long.
    pub fn frame_bytes(self, page_size: PageSize) -> Result<usize, Error> {
        // Twice a page is more than any page takes.
        let most = u64::from(page_size.bytes()) * 2;
        let length = usize::try_from(self.length).ok();
        length.filter(|_| self.length <= most).ok_or_else(|| {
            let offset = self.offset;
            Fault::IndexDiffers { offset }.into()
        })
    }

    fn shortest_bytes(self) -> usize {
        self.varints().iter().map(|v| v.bytes().len()).sum()
    }
}

/// What the last bytes of a file gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Tail {
    /// The index.
    Index(PageIndex),
    /// The index is longer than the bytes at hand: call again with the last `bytes` bytes of the file.
    Short {
        /// How many bytes are needed; never more than the file has.
        bytes: u64,
    },
}

impl PageIndex {
    /// What a file takes in bytes besides page frames and index: header, end marker, index size, trailer.
    pub const SMALLEST_FILE: u64 = (Header::BYTES + frame::HEADER_BYTES + END_BYTES) as u64;

    /// Reads the index from `tail`, the last bytes of a file of `file_size` bytes. 32 KiB hold the index of
    /// some 4,000 pages. The pages themselves, and the file checksum, stay unverified.
    ///
    /// # Errors
    /// When the file is too short to be an LTX file, when the index cannot be where it is said to be, or when
    /// it cannot be that of frames that fill the file.
    pub fn parse_tail(tail: &[u8], file_size: u64) -> Result<Tail, Error> {
        let Some(index_max) = file_size.checked_sub(Self::SMALLEST_FILE) else {
            let part = "the smallest possible LTX file";
            return Err(Fault::Truncated { part, offset: 0 }.into());
        };
        let Some((before, end)) = tail.split_last_chunk::<END_BYTES>() else {
            let bytes = END_BYTES as u64;
            return Ok(Tail::Short { bytes });
        };
        let (size, _trailer) = end.split_first_chunk().expect("24 bytes hold eight");
        let stored = u64::from_be_bytes(*size);
        if stored == 0 || stored > index_max {
            return Err(Fault::IndexSize {
                stored,
                actual: index_max,
            }
            .into());
        }
        let start = before.len() as u64;
        let Some(start) = start.checked_sub(stored) else {
            let bytes = stored + END_BYTES as u64;
            return Ok(Tail::Short { bytes });
        };
        let index = &before[usize::try_from(start).expect("an offset in a slice")..];
        let offset = file_size - END_BYTES as u64 - stored;
        check(index, offset)?;
        let entries = index[..index.len() - 1].into();
        Ok(Tail::Index(PageIndex { entries }))
    }

    /// The entries, ascending by page.
    pub fn iter(&self) -> impl Iterator<Item = IndexEntry> + '_ {
        let mut rest = &*self.entries;
        std::iter::from_fn(move || take_entry(&mut rest))
    }

    /// Where `page` stands; none when the file does not have it.
    pub fn find(&self, page: PageNumber) -> Option<IndexEntry> {
        self.iter()
            .take_while(|entry| entry.page <= page)
            .find(|entry| entry.page == page)
    }
}

/// Checks that `index`, at `offset` in its file, describes frames that ascend and fill what is before it.
fn check(index: &[u8], offset: u64) -> Result<(), Fault> {
    let differs = Fault::IndexDiffers { offset };
    let Some((0, mut rest)) = index.split_last() else {
        return Err(differs);
    };
    let mut next = Header::BYTES as u64;
    let mut last = None;
    while !rest.is_empty() {
        let before = rest.len();
        let at = offset + (index.len() - 1 - before) as u64;
        let entry = take_entry(&mut rest).ok_or(Fault::IndexNumber { offset: at })?;
        let ascends = last < Some(entry.page);
        let follows = entry.offset == next && entry.length > frame::HEADER_BYTES as u64;
        let shortest = entry.shortest_bytes() == before - rest.len();
        if !ascends || !follows || !shortest {
            return Err(differs);
        }
        next = next.checked_add(entry.length).ok_or(differs.clone())?;
        last = Some(entry.page);
    }
    if next.checked_add(frame::HEADER_BYTES as u64) != Some(offset) {
        return Err(differs);
    }
    Ok(())
}

/// Takes one entry off `rest`; none when it does not start with one.
fn take_entry(rest: &mut &[u8]) -> Option<IndexEntry> {
    let page = u32::try_from(varint::take(rest)?).ok()?;
    Some(IndexEntry {
        page: PageNumber::new(page)?,
        offset: varint::take(rest)?,
        length: varint::take(rest)?,
    })
}

/// An index reduced to its length and a checksum, so that two of any size can be compared.
pub(super) struct IndexDigest {
    digest: Digest,
    bytes: u64,
}

impl IndexDigest {
    pub(super) fn new() -> IndexDigest {
        IndexDigest {
            digest: Digest::new(),
            bytes: 0,
        }
    }

    /// Adds an entry as it must be stored.
    pub(super) fn add(&mut self, entry: IndexEntry) {
        for varint in entry.varints() {
            self.add_stored(varint.bytes());
        }
    }

    /// Adds the end of the index.
    pub(super) fn end(&mut self) {
        self.add_stored(&[0]);
    }

    /// Adds bytes of an index.
    pub(super) fn add_stored(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// Length in bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What there is to keep for [`IndexDigest::with_state`].
    pub(super) fn state(&self) -> (u64, u64) {
        (self.digest.state(), self.bytes)
    }

    /// Goes on from such a state.
    pub(super) fn with_state((digest, bytes): (u64, u64)) -> IndexDigest {
        IndexDigest {
            digest: Digest::with_state(digest),
            bytes,
        }
    }

    pub(super) fn finish(self) -> (u64, Checksum) {
        (self.bytes, self.digest.finish())
    }
}

/// Index size and trailer: what the last bytes of every file are.
const END_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::class::Class;
    use super::*;

    /// The end of a file whose index is `index`, and the size of that file, whose frames take `frames` bytes.
    fn tail(index: &[u8], frames: u64) -> (Vec<u8>, u64) {
        let mut tail = index.to_vec();
        tail.extend((index.len() as u64).to_be_bytes());
        tail.extend([0; 16]);
        let file_size = PageIndex::SMALLEST_FILE + frames + index.len() as u64;
        (tail, file_size)
    }

    fn class(index: &[u8], frames: u64) -> Option<Class> {
        let (tail, file_size) = tail(index, frames);
        PageIndex::parse_tail(&tail, file_size)
            .err()
            .map(|error| error.class())
    }

    #[test]
    fn entries_are_found() {
        let (tail, file_size) = tail(&[2, 100, 0xed, 1, 9, 0xd1, 2, 42, 0], 237 + 42);
        let Ok(Tail::Index(index)) = PageIndex::parse_tail(&tail, file_size) else {
            panic!("this is a whole index");
        };
        let nine = IndexEntry {
            page: PageNumber::new(9).unwrap(),
            offset: 337,
            length: 42,
        };
        assert_eq!(index.iter().count(), 2);
        assert_eq!(index.find(nine.page), Some(nine));
        assert_eq!(index.find(PageNumber::FIRST), None);
    }

    #[test]
    fn a_short_tail_asks_for_more() {
        let (tail, file_size) = tail(&[2, 100, 0xed, 1, 0], 237);
        assert_eq!(
            PageIndex::parse_tail(&tail[6..], file_size),
            Ok(Tail::Short { bytes: 24 })
        );
        assert_eq!(
            PageIndex::parse_tail(&tail[1..], file_size),
            Ok(Tail::Short { bytes: 29 })
        );
    }

    #[test]
    fn what_cannot_be_the_index_is_refused() {
        assert_eq!(class(&[0], 0), None);
        assert_eq!(class(&[2, 100, 42, 0], 42), None);
        assert_eq!(class(&[2, 100, 42, 0], 43), Some(Class::Index));
        assert_eq!(class(&[2, 101, 42, 0], 43), Some(Class::Index));
        assert_eq!(class(&[2, 100, 42, 1], 42), Some(Class::Index));
        assert_eq!(class(&[2, 100, 0], 42), Some(Class::Index));
        assert_eq!(class(&[0x82, 0, 100, 42, 0], 42), Some(Class::Index));
        assert_eq!(
            class(&[2, 100, 42, 2, 0x8e, 1, 42, 0], 84),
            Some(Class::Index)
        );
        let (mut huge, file_size) = tail(&[0], 0);
        huge[1..9].fill(0xff);
        let error = PageIndex::parse_tail(&huge, file_size).unwrap_err();
        assert_eq!(error.class(), Class::Index);
        let error = PageIndex::parse_tail(&[], 129).unwrap_err();
        assert_eq!(error.class(), Class::Truncated);
    }
}
