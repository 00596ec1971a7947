//! The wal-index (`-shm` file): what SQLite's processes on one machine agree on. Integers are in the machine's
//! own byte order, since the file never leaves it; the salts are copied bytes.
//!
//! ```text
//!   0  header, 48 bytes, and the same again at 48
//!      0 u32 version 3007000   4 u32 unused   8 u32 counts changes   12 u8 is initialised
//!     13 u8 checksum words are big-endian     14 u16 page size (1 for 65536)
//!     16 u32 mxFrame: last committed frame    20 u32 database size in pages
//!     24 [2]u32 running checksum at mxFrame   32 [8] salts   40 [2]u32 checksum of bytes 0 to 40
//!  96  u32 nBackfill: frames written back to the database file
//! 100  [5]u32 read marks      120  lock bytes, see `locks`
//! ```
//! A writer stores the second copy first; a reader takes the first copy first and believes it if both agree.
//! The file is read with `pread`, never mapped by us: a map would outlive a truncation.

// The one format here that has the machine's byte order.
#![allow(clippy::host_endian_bytes)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{Ordering, fence};

use super::wal::{FrameNumber, Salts, WalChecksum, WordOrder};
use crate::units::{PageCount, PageSize};

const HEADER_BYTES: usize = 48;
const BACKFILL_OFFSET: u64 = 96;
const VERSION: u32 = 3_007_000;

/// What both copies of the header say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct WalIndexHeader {
    /// Grows by one with each commit; starts from zero when the WAL is recovered.
    change: u32,
    pub(super) order: WordOrder,
    /// None after an empty WAL was recovered.
    pub(super) page_size: Option<PageSize>,
    /// Last committed frame; zero in an empty WAL.
    pub(super) max_frame: FrameNumber,
    /// Size of the database as of that frame.
    pub(super) pages: PageCount,
    /// The running checksum at that frame. Meaningless in an empty WAL.
    pub(super) checksum: WalChecksum,
    pub(super) salts: Salts,
}

impl WalIndexHeader {
    /// Reads the header from `shm`; none when the copies differ or are not valid, as they are for a moment
    /// during each commit, and until somebody recovers the WAL after a crash.
    pub(super) fn read(shm: &File) -> io::Result<Option<WalIndexHeader>> {
        let (mut first, mut second) = ([0; HEADER_BYTES], [0; HEADER_BYTES]);
        if !read_whole(shm, &mut first, 0)? {
            return Ok(None);
        }
        // The writer's order is second copy, barrier, first copy; ours must be the reverse.
        fence(Ordering::SeqCst);
        if !read_whole(shm, &mut second, HEADER_BYTES as u64)? || first != second {
            return Ok(None);
        }
        Ok(WalIndexHeader::parse(&first))
    }

    /// Commits made between `older` and this, if no recovery came between them.
    pub(super) fn commits_since(&self, older: &WalIndexHeader) -> u32 {
        self.change.wrapping_sub(older.change)
    }

    fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<WalIndexHeader> {
        let u32_at = |offset: usize| {
            u32::from_ne_bytes([
                bytes[offset],
                bytes[offset + 1],
                bytes[offset + 2],
                bytes[offset + 3],
            ])
        };
        let native = if cfg!(target_endian = "big") {
            WordOrder::Big
        } else {
            WordOrder::Little
        };
        let own_checksum = WalChecksum::default().update(native, &bytes[..40]);
        let initialised = bytes[12] != 0;
        if u32_at(0) != VERSION
            || !initialised
            || own_checksum != WalChecksum([u32_at(40), u32_at(44)])
        {
            return None;
        }
        let page_size = match u16::from_ne_bytes([bytes[14], bytes[15]]) {
            1 => 65536,
            size => u32::from(size),
        };
        let mut salts = [0; 8];
        salts.copy_from_slice(&bytes[32..40]);
        Some(WalIndexHeader {
            change: u32_at(8),
            order: match bytes[13] {
                0 => WordOrder::Little,
                _ => WordOrder::Big,
            },
            page_size: PageSize::new(page_size),
            max_frame: FrameNumber(u32_at(16)),
            pages: PageCount(u32_at(20)),
            checksum: WalChecksum([u32_at(24), u32_at(28)]),
            salts: Salts(salts),
        })
    }
}

/// How many frames have been written back to the database file.
pub(super) fn read_backfilled(shm: &File) -> io::Result<FrameNumber> {
    let mut bytes = [0; 4];
    shm.read_exact_at(&mut bytes, BACKFILL_OFFSET)?;
    Ok(FrameNumber(u32::from_ne_bytes(bytes)))
}

/// Fills `bytes` from `offset`; false where the file ends before.
fn read_whole(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<bool> {
    match file.read_exact_at(bytes, offset) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&VERSION.to_ne_bytes());
        bytes[12] = 1;
        bytes[14..16].copy_from_slice(&1_u16.to_ne_bytes());
        bytes[16..20].copy_from_slice(&7_u32.to_ne_bytes());
        seal(&mut bytes);
        bytes
    }

    fn seal(bytes: &mut [u8; HEADER_BYTES]) {
        let native = if cfg!(target_endian = "big") {
            WordOrder::Big
        } else {
            WordOrder::Little
        };
        let sum = WalChecksum::default().update(native, &bytes[..40]).0;
        bytes[40..44].copy_from_slice(&sum[0].to_ne_bytes());
        bytes[44..].copy_from_slice(&sum[1].to_ne_bytes());
    }

    #[test]
    fn the_largest_page_size_is_written_as_one() {
        let header = WalIndexHeader::parse(&valid()).unwrap();
        assert_eq!(
            (header.page_size, header.max_frame),
            (PageSize::new(65536), FrameNumber(7))
        );
    }

    #[test]
    fn an_uninitialised_or_foreign_or_damaged_header_is_none() {
        let mut uninitialised = valid();
        uninitialised[12] = 0;
        seal(&mut uninitialised);
        let mut foreign = valid();
        foreign[0] ^= 1;
        seal(&mut foreign);
        let mut damaged = valid();
        damaged[17] ^= 1;
        for bytes in [uninitialised, foreign, damaged] {
            assert_eq!(WalIndexHeader::parse(&bytes), None);
        }
    }

    #[test]
    fn copies_that_differ_are_none() {
        let path = std::env::temp_dir().join(format!("wal-index-{}", crate::sys::random::unique()));
        let both = [valid(), valid()].concat();
        for (bytes, readable) in [
            (both.clone(), true),
            (both[..90].to_vec(), false),
            ([valid(), [0; HEADER_BYTES]].concat(), false),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let header = WalIndexHeader::read(&File::open(&path).unwrap()).unwrap();
            assert_eq!(header.is_some(), readable);
        }
        std::fs::remove_file(path).unwrap();
    }
}
