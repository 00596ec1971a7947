//! The WAL's format, as SQLite's file format document gives it. All integers are big-endian.
//!
//! ```text
//! header    0  u32  magic: 0x377f0682, or ..83 when checksums are over big-endian words
//! 32 bytes  4  u32  version, 3007000
//!           8  u32  page size (65536 as such)
//!          12  u32  checkpoint sequence number
//!          16  [8]  salts: the first grows by one at each restart, the second is random
//!          24  [8]  checksum of bytes 0 to 24
//! frame     0  u32  page number
//! 24 bytes  4  u32  size of the database in pages after this commit; zero if no commit ends here
//! + page    8  [8]  salts, equal to the header's
//!          16  [8]  running checksum over the header's and every frame's first 8 bytes and page up to here
//! ```

use std::fmt;

use crate::units::{PageCount, PageNumber, PageSize};

/// Size of the WAL's header in bytes.
pub(super) const HEADER_BYTES: usize = 32;
/// Size of a frame's header in bytes; a page follows it.
pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// Number of a frame in the WAL, counted from 1; zero stands before the first.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FrameNumber(pub u32);

impl FrameNumber {
    /// Offset of the frame's header in the WAL, in bytes. Goes beyond 4 GiB in a large WAL.
    pub(super) fn offset(self, page_size: PageSize) -> u64 {
        let index = u64::from(self.0)
            .checked_sub(1)
            .expect("frame zero is no frame");
        HEADER_BYTES as u64 + index * frame_bytes(page_size) as u64
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Size of a frame with its page, in bytes.
pub(super) fn frame_bytes(page_size: PageSize) -> usize {
    FRAME_HEADER_BYTES + page_size.bytes() as usize
}

/// The eight bytes that tell one generation of a WAL from the next.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Salts(pub [u8; 8]);

impl Salts {
    /// What some old releases of SQLite leave in committed frames after a savepoint is rolled back.
    pub(super) const ZERO: Salts = Salts([0; 8]);
}

/// Which byte order the checksum's words have: that of the machine that made the WAL.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum WordOrder {
    Little,
    Big,
}

/// SQLite's running checksum.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct WalChecksum(pub [u32; 2]);

impl WalChecksum {
    /// The checksum after `bytes`, whose length is a multiple of 8.
    pub(super) fn update(self, order: WordOrder, bytes: &[u8]) -> WalChecksum {
        debug_assert!(bytes.len().is_multiple_of(8));
        match order {
            WordOrder::Little => self.update_words(bytes, u32::from_le_bytes),
            WordOrder::Big => self.update_words(bytes, u32::from_be_bytes),
        }
    }

    fn update_words(self, bytes: &[u8], word: fn([u8; 4]) -> u32) -> WalChecksum {
        let [mut s0, mut s1] = self.0;
        for pair in bytes.chunks_exact(8) {
            let first = word([pair[0], pair[1], pair[2], pair[3]]);
            let second = word([pair[4], pair[5], pair[6], pair[7]]);
            s0 = s0.wrapping_add(first).wrapping_add(s1);
            s1 = s1.wrapping_add(second).wrapping_add(s0);
        }
        WalChecksum([s0, s1])
    }

    pub(super) fn parse(bytes: &[u8]) -> WalChecksum {
        WalChecksum([be_u32(bytes), be_u32(&bytes[4..])])
    }
}

/// A WAL's header whose magic, version and checksum are right.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WalHeader {
    pub(super) order: WordOrder,
    pub(super) page_size: PageSize,
    pub(super) salts: Salts,
    /// Where the running checksum of the frames begins.
    pub(super) checksum: WalChecksum,
}

impl WalHeader {
    /// Reads a header; none when it is not a valid one, which SQLite takes as an empty WAL.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<WalHeader> {
        let order = match be_u32(bytes) {
            0x377f_0682 => WordOrder::Little,
            0x377f_0683 => WordOrder::Big,
            _ => return None,
        };
        let checksum = WalChecksum::default().update(order, &bytes[..24]);
        if be_u32(&bytes[4..]) != 3_007_000 || checksum != WalChecksum::parse(&bytes[24..]) {
            return None;
        }
        Some(WalHeader {
            order,
            page_size: PageSize::new(be_u32(&bytes[8..]))?,
            salts: salts(&bytes[16..]),
            checksum,
        })
    }
}

/// A frame's header. Whether the frame is committed is for the wal-index to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FrameHeader {
    /// None in a frame that no SQLite wrote.
    pub(super) page: Option<PageNumber>,
    /// Size of the database after the commit that ends with this frame.
    pub(super) commit: Option<PageCount>,
    pub(super) salts: Salts,
}

impl FrameHeader {
    /// Reads the header at the start of `frame`.
    pub(super) fn parse(frame: &[u8]) -> FrameHeader {
        let commit = be_u32(&frame[4..]);
        FrameHeader {
            page: PageNumber::new(be_u32(frame)),
            commit: (commit != 0).then_some(PageCount(commit)),
            salts: salts(&frame[8..]),
        }
    }
}

/// The running checksum after `frame` (header and page).
pub(super) fn checksum_frame(before: WalChecksum, order: WordOrder, frame: &[u8]) -> WalChecksum {
    before
        .update(order, &frame[..8])
        .update(order, &frame[FRAME_HEADER_BYTES..])
}

fn salts(bytes: &[u8]) -> Salts {
    let mut salts = [0; 8];
    salts.copy_from_slice(&bytes[..8]);
    Salts(salts)
}

pub(super) fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_do_not_wrap_in_a_wal_over_four_gibibytes() {
        let page_size = PageSize::new(65536).unwrap();
        assert_eq!(
            FrameNumber(100_000).offset(page_size),
            32 + 99_999 * (65536 + 24)
        );
    }

    #[test]
    fn both_word_orders_of_the_checksum() {
        let bytes = [1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0];
        let little = WalChecksum::default().update(WordOrder::Little, &bytes);
        assert_eq!(little, WalChecksum([1 + 3 + 3, 3 + 4 + 7]));
        let swapped: Vec<u8> = bytes
            .chunks(4)
            .flat_map(|w| w.iter().rev().copied())
            .collect();
        assert_eq!(
            WalChecksum::default().update(WordOrder::Big, &swapped),
            little
        );
    }

    #[test]
    fn a_header_with_a_flipped_bit_is_an_empty_wal() {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&0x377f_0683_u32.to_be_bytes());
        bytes[4..8].copy_from_slice(&3_007_000_u32.to_be_bytes());
        bytes[8..12].copy_from_slice(&4096_u32.to_be_bytes());
        bytes[16..24].copy_from_slice(&[9; 8]);
        let sum = WalChecksum::default().update(WordOrder::Big, &bytes[..24]);
        bytes[24..28].copy_from_slice(&sum.0[0].to_be_bytes());
        bytes[28..].copy_from_slice(&sum.0[1].to_be_bytes());
        let header = WalHeader::parse(&bytes).unwrap();
        assert_eq!(
            (header.page_size.bytes(), header.salts),
            (4096, Salts([9; 8]))
        );
        for bit in 0..HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(WalHeader::parse(&damaged), None, "bit {bit}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: [u8; HEADER_BYTES], frame: [u8; FRAME_HEADER_BYTES]) {
            let _ = WalHeader::parse(&bytes);
            let _ = FrameHeader::parse(&frame);
        }
    }
}
