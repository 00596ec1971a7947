//! The LZ4 frame around a page in files of Litestream 0.5.0 to 0.5.15, integers little-endian.
//!
//! ```text
//! 04 22 4D 18                magic
//! FLG                        version 01 | independent | block checksums | content size | content checksum | 0 | dictionary
//! BD                         0 | largest block, 4 (64 KiB) to 7 (4 MiB) | 0000
//! content size u64           with its flag; must be the page size
//! descriptor checksum u8     second byte of XXH32 from FLG to here
//! blocks                     size u32 (bit 31: stored as is), data, XXH32 u32 with its flag
//! 00 00 00 00                end mark
//! content checksum u32       XXH32 of the page
//! ```
//!
//! Those releases wrote `64 40 A7` and one block. We take whatever else a frame of one page may look like,
//! but ask for the content checksum, and refuse dictionaries, legacy and skippable frames, which nobody
//! writes. The length of the frame is not stored before it, so it is read part by part and never past its end.

use std::io::Read;

use lz4_flex::block;
use twox_hash::XxHash32;

use crate::units::PageNumber;

use super::error::{Error, Fault};
use super::frame::{PageBuffer, lz4_fault};
use super::source::Source;

impl PageBuffer {
    /// Reads the page from one LZ4 frame.
    pub(super) fn read_lz4_frame<R: Read>(
        &mut self,
        source: &mut Source<R>,
        page: PageNumber,
    ) -> Result<(), Error> {
        let descriptor = self.read_descriptor(source, page)?;
        let mut filled = 0;
        loop {
            let size = u32::from_le_bytes(source.array("an LZ4 block size")?);
            if size == END_MARK {
                break;
            }
            filled += self.read_frame_block(source, page, size, descriptor, filled)?;
        }
        let checksum = u32::from_le_bytes(source.array("an LZ4 content checksum")?);
        if filled != self.page.len() {
            return Err(self.wrong_length(page, filled));
        }
        if checksum != xxh32(&self.page) {
            return Err(malformed(page, "wrong content checksum"));
        }
        Ok(())
    }

    fn read_descriptor<R: Read>(
        &self,
        source: &mut Source<R>,
        page: PageNumber,
    ) -> Result<Descriptor, Error> {
        if source.array("an LZ4 frame's magic")? != MAGIC {
            return Err(malformed(page, "not an LZ4 frame"));
        }
        let mut bytes = [0; 2 + CONTENT_SIZE_BYTES];
        source.fill(&mut bytes[..2], PART)?;
        let [flags, block_max] = [bytes[0], bytes[1]];
        if flags & VERSION_MASK != VERSION || flags & RESERVED != 0 {
            return Err(malformed(page, "unknown version of LZ4 frame"));
        }
        if flags & DICTIONARY != 0 {
            return Err(malformed(page, "it needs a dictionary"));
        }
        if flags & CONTENT_CHECKSUM == 0 {
            return Err(malformed(page, "no content checksum"));
        }
        if block_max & !0x70 != 0 || block_max >> 4 < 4 {
            return Err(malformed(page, "unknown block size"));
        }
        let length = if flags & CONTENT_SIZE == 0 {
            2
        } else {
            bytes.len()
        };
        source.fill(&mut bytes[2..length], PART)?;
        let [checksum] = source.array(PART)?;
        if checksum != xxh32(&bytes[..length]).to_be_bytes()[2] {
            return Err(malformed(page, "wrong descriptor checksum"));
        }
        let content = u64::from_le_bytes(*bytes.last_chunk().expect("ten bytes hold eight"));
        if flags & CONTENT_SIZE != 0 && content != self.page.len() as u64 {
            let (bytes, page_size) = (content, self.page_size);
            return Err(Fault::PageLength {
                page,
                bytes,
                page_size,
            }
            .into());
        }
        Ok(Descriptor {
            independent: flags & INDEPENDENT != 0,
            block_checksums: flags & BLOCK_CHECKSUM != 0,
        })
    }

    /// Reads one block and gives how many bytes of the page it was; `filled` bytes are there already.
    fn read_frame_block<R: Read>(
        &mut self,
        source: &mut Source<R>,
        page: PageNumber,
        size: u32,
        descriptor: Descriptor,
        filled: usize,
    ) -> Result<usize, Error> {
        let bytes = (size & !STORED) as usize;
        if bytes > self.compressed.len() {
            return Err(malformed(page, "a block larger than the page can need"));
        }
        let compressed = &mut self.compressed[..bytes];
        source.fill(compressed, "an LZ4 block")?;
        if descriptor.block_checksums {
            let checksum = u32::from_le_bytes(source.array("an LZ4 block checksum")?);
            if checksum != xxh32(compressed) {
                return Err(malformed(page, "wrong block checksum"));
            }
        }
        let (before, rest) = self.page.split_at_mut(filled);
        if size & STORED != 0 {
            let Some(target) = rest.get_mut(..bytes) else {
                return Err(self.wrong_length(page, filled + bytes));
            };
            target.copy_from_slice(compressed);
            return Ok(bytes);
        }
        let dictionary = if descriptor.independent {
            &[][..]
        } else {
            before
        };
        let decoded = block::decompress_into_with_dict(compressed, rest, dictionary)
            .map_err(|error| lz4_fault(page, &error))?;
        Ok(decoded)
    }
}

/// What the frame's descriptor says of its blocks.
#[derive(Clone, Copy)]
struct Descriptor {
    independent: bool,
    block_checksums: bool,
}

fn xxh32(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

fn malformed(page: PageNumber, problem: &'static str) -> Error {
    Error::Invalid(Fault::Lz4 { page, problem })
}

const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const PART: &str = "an LZ4 frame descriptor";
const CONTENT_SIZE_BYTES: usize = 8;
const END_MARK: u32 = 0;

/// Bit of a block's size: the data is not compressed.
const STORED: u32 = 1 << 31;

/// Bits of the descriptor's first byte.
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x02;
const DICTIONARY: u8 = 0x01;
