//! Where a decoder stands between two pages, so that another process can go on from there without the bytes before.
//!
//! What vouches for a file stands at its end, and covers all of it. So a bookmark holds the checksums of what was read,
//! half computed: gone on from, they come out as if the file had been read in one go. Whoever keeps a bookmark keeps
//! what the pages before it were, too.

use std::io::Read;

use super::checksum::{Checksum, Digest};
use super::decode::{Decoder, State};
use super::frame::PageBuffer;
use super::header::Header;
use super::index::IndexDigest;
use super::sequence::PageSequence;
use super::source::Source;
use crate::units::PageNumber;

/// A place between two pages of one LTX file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bookmark {
    header: Header,
    offset: u64,
    /// Of the file so far.
    digest: u64,
    /// Of the index that the frames so far must have, and its length.
    index: (u64, u64),
    /// Of the pages so far, where the file must hold it.
    database: Option<Checksum>,
    /// The last page; 0 for none.
    last: u32,
    pages: u32,
}

impl Bookmark {
    /// Size in bytes.
    pub const BYTES: usize = Header::BYTES + 5 * 8 + 2 * 4;

    /// From which byte of the file on the input has to give what it holds.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// As bytes to keep, all numbers big-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes().to_vec();
        let database = self.database.map_or(0, Checksum::value);
        for number in [
            self.offset,
            self.digest,
            self.index.0,
            self.index.1,
            database,
        ] {
            bytes.extend(number.to_be_bytes());
        }
        bytes.extend(self.last.to_be_bytes());
        bytes.extend(self.pages.to_be_bytes());
        bytes
    }

    /// Reads them; none when they are no bookmark's.
    pub fn parse(bytes: &[u8; Bookmark::BYTES]) -> Option<Bookmark> {
        let (header, numbers) = bytes.split_first_chunk::<{ Header::BYTES }>()?;
        let (numbers, counts) = numbers.split_at(5 * 8);
        let number = |index: usize| {
            let (eights, _) = numbers.as_chunks::<8>();
            eights.get(index).map(|bytes| u64::from_be_bytes(*bytes))
        };
        let (counts, _) = counts.as_chunks::<4>();
        Some(Bookmark {
            header: Header::parse(header).ok()?,
            offset: number(0)?,
            digest: number(1)?,
            index: (number(2)?, number(3)?),
            database: Checksum::from_stored(number(4)?),
            last: u32::from_be_bytes(*counts.first()?),
            pages: u32::from_be_bytes(*counts.get(1)?),
        })
    }
}

impl<R: Read> Decoder<R> {
    /// Where it stands.
    pub fn bookmark(&self) -> Bookmark {
        Bookmark {
            header: self.header,
            offset: self.source.position(),
            digest: self.digest.state(),
            index: self.index.state(),
            database: self.database,
            last: self.sequence.last().map_or(0, PageNumber::value),
            pages: self.pages,
        }
    }

    /// Goes on at `bookmark` with `input`, which gives the same file from [`Bookmark::offset`] on.
    pub fn resume(bookmark: &Bookmark, input: R) -> Decoder<R> {
        let header = bookmark.header;
        Decoder {
            source: Source::at(input, bookmark.offset),
            header,
            digest: Digest::with_state(bookmark.digest),
            sequence: PageSequence::after(&header, PageNumber::new(bookmark.last)),
            buffer: PageBuffer::new(header.page_size),
            index: IndexDigest::with_state(bookmark.index),
            database: bookmark.database,
            pages: bookmark.pages,
            state: State::Pages,
        }
    }

    /// How many bytes of the file were read.
    pub fn position(&self) -> u64 {
        self.source.position()
    }
}

#[cfg(test)]
mod tests {
    use super::super::encode::Encoder;
    use super::*;
    use crate::units::{PageCount, PageSize, Timestamp, Txid, TxidRange};

    /// Snapshots and others, some pages as noise.
    fn files() -> Vec<Vec<u8>> {
        let mut files = Vec::new();
        for (min, numbers) in [(1, vec![1, 2, 3, 4, 5]), (2, vec![2, 5]), (2, vec![])] {
            let page_size = PageSize::new(512).unwrap();
            let txids =
                TxidRange::new(Txid::new(min).unwrap(), Txid::new(min + 2).unwrap()).unwrap();
            let header = Header::new(page_size, PageCount(5), txids, Timestamp::from_millis(7));
            let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
            for number in numbers {
                let byte = |at: usize| (at * at * number as usize % 251) as u8;
                let content: Vec<u8> = (0..512).map(byte).collect();
                let page = PageNumber::new(number).unwrap();
                encoder.page(page, &content).unwrap();
            }
            files.push(encoder.finish().unwrap().0);
        }
        files
    }

    #[test]
    fn a_file_read_in_pieces_is_as_good_as_one_read_whole() {
        for file in files() {
            let whole = Decoder::open(&*file).unwrap().finish().unwrap();
            for pieces in 0..=whole.pages {
                let mut decoder = Decoder::open(&*file).unwrap();
                for _ in 0..pieces {
                    decoder.next_page().unwrap().unwrap();
                }
                let bytes = decoder.bookmark().to_bytes();
                let kept = Bookmark::parse(bytes.as_slice().try_into().unwrap()).unwrap();
                assert_eq!(kept, decoder.bookmark());
                let rest = &file[usize::try_from(kept.offset()).unwrap()..];
                let resumed = Decoder::resume(&kept, rest);
                assert_eq!(resumed.finish().unwrap(), whole, "after {pieces} pages");
            }
        }
    }

    #[test]
    fn damage_is_found_as_when_it_is_read_whole() {
        let file = files().swap_remove(0);
        for place in 0..file.len() {
            let mut damaged = file.clone();
            damaged[place] ^= 4;
            let Ok(mut decoder) = Decoder::open(&*damaged) else {
                continue;
            };
            let begun = (0..3).all(|_| matches!(decoder.next_page(), Ok(Some(_))));
            if !begun {
                continue;
            }
            let kept = decoder.bookmark();
            let rest = &damaged[usize::try_from(kept.offset()).unwrap()..];
            let whole = Decoder::open(&*damaged).unwrap().finish();
            assert_eq!(Decoder::resume(&kept, rest).finish(), whole, "{place}");
        }
    }
}
