//! A WAL that comes as a stream of bytes, without the database it belongs to and without a wal-index: what
//! Litestream 0.3 kept of it.
//!
//! Where SQLite takes the first frame that is not right for the end of the WAL, here it is an error: this WAL was
//! copied up to a commit, and whatever else it ends with, something of it is lost.

use super::WalChecksum;
use super::wal::{
    FRAME_HEADER_BYTES, FrameHeader, HEADER_BYTES, WalHeader, be_u32, checksum_frame, frame_bytes,
};
use crate::units::{PageCount, PageNumber, PageSize};

/// What tells which WAL of a database one is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WalStart {
    salt: u32,
    sequence: u32,
}

/// How a WAL stands to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Succession {
    /// It is the next one.
    Next,
    /// It cannot be told.
    Unknown,
    /// It is not the next one.
    Other,
}

impl WalStart {
    /// How it stands to the WAL that began as `before`. Whoever starts a WAL over counts up the first salt. But after
    /// one that was truncated, a connection that has never started one over takes random salts, and 0 for the
    /// sequence.
    pub fn after(self, before: WalStart) -> Succession {
        /// Of random salts, one in so many would be taken for that of a WAL not long before.
        const LONG: u32 = 1 << 16;
        let distance = self.salt.wrapping_sub(before.salt);
        match distance {
            1 => Succession::Next,
            _ if self.sequence == 0 && distance.wrapping_neg() >= LONG => Succession::Unknown,
            _ => Succession::Other,
        }
    }
}

/// Takes a WAL apart.
pub struct WalStream {
    page_size: PageSize,
    header: Option<WalHeader>,
    start: Option<WalStart>,
    checksum: WalChecksum,
    /// The part of a header or frame that has come.
    begun: Vec<u8>,
    position: u64,
    /// The size of the database after the last commit.
    commit: Option<PageCount>,
    /// Frames came that are part of no commit so far.
    is_open: bool,
}

impl WalStream {
    /// The WAL of a database with pages of this size, from its beginning.
    pub fn new(page_size: PageSize) -> WalStream {
        WalStream {
            page_size,
            header: None,
            start: None,
            checksum: WalChecksum::default(),
            begun: Vec::with_capacity(frame_bytes(page_size)),
            position: 0,
            commit: None,
            is_open: false,
        }
    }

    /// Takes bytes from the front of `bytes` up to the end of a frame, and gives the page in it; none when all were
    /// taken before that.
    ///
    /// # Errors
    /// When they do not go on with the WAL: what is wrong with it.
    pub fn next_page(
        &mut self,
        bytes: &mut &[u8],
    ) -> Result<Option<(PageNumber, &[u8])>, &'static str> {
        let header = match self.header {
            Some(header) => header,
            None => {
                if !self.take(bytes, HEADER_BYTES) {
                    return Ok(None);
                }
                let header = self.parse_header()?;
                self.header = Some(header);
                header
            }
        };
        if !self.take(bytes, frame_bytes(self.page_size)) {
            return Ok(None);
        }
        let frame = FrameHeader::parse(&self.begun);
        self.checksum = checksum_frame(self.checksum, header.order, &self.begun);
        let (Some(page), true) = (frame.page, frame.salts == header.salts) else {
            return Err("a frame is not of this WAL");
        };
        if WalChecksum::parse(&self.begun[16..]) != self.checksum {
            return Err("the checksum of a frame is wrong");
        }
        self.is_open = frame.commit.is_none();
        self.commit = frame.commit.or(self.commit);
        Ok(Some((page, &self.begun[FRAME_HEADER_BYTES..])))
    }

    fn parse_header(&mut self) -> Result<WalHeader, &'static str> {
        let bytes = self.begun.first_chunk().expect("as much was taken");
        let header = WalHeader::parse(bytes).ok_or("it does not begin with the header of a WAL")?;
        if header.page_size != self.page_size {
            return Err("its pages have another size than those of the database");
        }
        self.checksum = header.checksum;
        self.start = Some(WalStart {
            salt: be_u32(&header.salts.0),
            sequence: be_u32(&self.begun[12..]),
        });
        self.begun.clear();
        Ok(header)
    }

    /// Gathers so many bytes in `begun`. Gives whether they are there.
    fn take(&mut self, bytes: &mut &[u8], count: usize) -> bool {
        if self.begun.len() == count {
            // The frame before.
            self.begun.clear();
        }
        let taken = bytes.len().min(count - self.begun.len());
        let (now, later) = bytes.split_at(taken);
        self.begun.extend_from_slice(now);
        self.position += taken as u64;
        *bytes = later;
        self.begun.len() == count
    }

    /// How many bytes have come.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The first salt and the checkpoint sequence number; none until the header has come.
    pub fn start(&self) -> Option<WalStart> {
        self.start
    }

    /// The size of the database after all that came; none where there was no commit.
    ///
    /// # Errors
    /// When the WAL does not end here: with a part of a frame, or within a transaction.
    pub fn end(&self) -> Result<Option<PageCount>, &'static str> {
        let is_whole = self.begun.is_empty() || self.begun.len() == frame_bytes(self.page_size);
        match (is_whole && self.header.is_some(), self.is_open) {
            (true, false) => Ok(self.commit),
            (true, true) => Err("it ends within a transaction"),
            (false, _) => Err("it ends within a frame"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_wal_counts_on() {
        let start = |salt, sequence| WalStart { salt, sequence };
        for (before, after, expected) in [
            (start(7, 0), start(8, 1), Succession::Next),
            (start(u32::MAX, 5), start(0, 6), Succession::Next),
            // By a connection that starts over for the first time.
            (start(7, 5), start(8, 1), Succession::Next),
            (start(7, 0), start(9, 2), Succession::Other),
            (start(7, 1), start(7, 1), Succession::Other),
            (start(7, 1), start(6, 0), Succession::Other),
            (start(7, 1), start(7, 0), Succession::Other),
            (start(7, 1), start(0x8000_0000, 0), Succession::Unknown),
            (start(7, 1), start(0x8000_0000, 1), Succession::Other),
        ] {
            assert_eq!(after.after(before), expected, "{before:?} {after:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, more: [u8; 600]) {
            let mut wal = WalStream::new(PageSize::new(512).unwrap());
            for bytes in [&bytes[..], &more] {
                let mut rest = bytes;
                while let Ok(Some(_)) = wal.next_page(&mut rest) {}
                let _ = wal.end();
            }
        }
    }
}
