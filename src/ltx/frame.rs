//! Page frames: `page number u32 | flags u16`, then the page, compressed in one of two ways.
//!
//! With flag bit 0, as written since Litestream 0.5.16 and by us, `size u32` and one bare LZ4 block of that
//! size follow; without it, one LZ4 frame, which `lz4_frame` reads. No other flag exists. Six zero bytes in
//! place of a frame end the pages.

use std::io::Read;

use lz4_flex::block;

use crate::units::{PageNumber, PageSize};

use super::error::{Error, Fault};
use super::source::Source;

/// Size in bytes of page number and flags.
pub(super) const HEADER_BYTES: usize = 6;

/// Size in bytes of the size before an LZ4 block.
pub(super) const SIZE_BYTES: usize = 4;

/// The only page flag: a size and a bare LZ4 block follow.
pub(super) const FLAG_SIZE: u16 = 1;

/// What stands in place of a frame after the last.
pub(super) const END_MARKER: [u8; HEADER_BYTES] = [0; HEADER_BYTES];

/// Size in bytes of the largest LZ4 block that can hold one page: nothing but literals.
pub(super) fn block_bytes_max(page_size: PageSize) -> usize {
    let page = page_size.bytes() as usize;
    page + page / 255 + 16
}

/// One page and the compressed data it is read from: all the memory that decoding takes, however many pages
/// there are and whatever sizes are announced.
pub(super) struct PageBuffer {
    pub(super) page_size: PageSize,
    pub(super) page: Box<[u8]>,
    pub(super) compressed: Box<[u8]>,
}

impl PageBuffer {
    pub(super) fn new(page_size: PageSize) -> PageBuffer {
        PageBuffer {
            page_size,
            page: vec![0; page_size.bytes() as usize].into(),
            compressed: vec![0; block_bytes_max(page_size)].into(),
        }
    }

    /// Reads size and LZ4 block, the form with [`FLAG_SIZE`]. Gives the size as stored, for the checksum.
    pub(super) fn read_block<R: Read>(
        &mut self,
        source: &mut Source<R>,
        page: PageNumber,
    ) -> Result<[u8; SIZE_BYTES], Error> {
        let size = source.array("the size of a page's data")?;
        let bytes = u32::from_be_bytes(size);
        let max = self.compressed.len();
        if bytes == 0 || bytes as usize > max {
            let max = u32::try_from(max).expect("a page and little more");
            return Err(Fault::PageDataSize { page, bytes, max }.into());
        }
        let compressed = &mut self.compressed[..bytes as usize];
        source.fill(compressed, "the data of a page")?;
        let decoded = block::decompress_into(compressed, &mut self.page)
            .map_err(|error| lz4_fault(page, &error))?;
        if decoded != self.page.len() {
            return Err(self.wrong_length(page, decoded));
        }
        Ok(size)
    }

    /// The error for a page that turned out to have `bytes` bytes.
    pub(super) fn wrong_length(&self, page: PageNumber, bytes: usize) -> Error {
        Error::Invalid(Fault::PageLength {
            page,
            bytes: bytes as u64,
            page_size: self.page_size,
        })
    }
}

/// The content of `page` from `frame`, the bytes that an index gives for it. They are as they should be, but nothing
/// vouches for the content: only a whole file is verified.
///
/// # Errors
/// When they are not those of a frame of that page.
pub fn read_frame(frame: &[u8], page: PageNumber, page_size: PageSize) -> Result<Box<[u8]>, Error> {
    let mut source = Source::new(frame);
    let [a, b, c, d, e, f] = source.array::<HEADER_BYTES>("a page header")?;
    let flags = u16::from_be_bytes([e, f]);
    if u32::from_be_bytes([a, b, c, d]) != page.value() || flags & !FLAG_SIZE != 0 {
        let offset = 0;
        return Err(Fault::IndexDiffers { offset }.into());
    }
    let mut buffer = PageBuffer::new(page_size);
    match flags {
        FLAG_SIZE => drop(buffer.read_block(&mut source, page)?),
        _ => buffer.read_lz4_frame(&mut source, page)?,
    }
    Ok(buffer.page)
}

/// The decompressor's error in our words.
pub(super) fn lz4_fault(page: PageNumber, error: &block::DecompressError) -> Fault {
    let problem = block_problem(error);
    Fault::Lz4 { page, problem }
}

/// What is wrong with an LZ4 block.
pub(super) fn block_problem(error: &block::DecompressError) -> &'static str {
    match error {
        block::DecompressError::OutputTooSmall { .. } => "it holds more than it may",
        block::DecompressError::LiteralOutOfBounds
        | block::DecompressError::ExpectedAnotherByte => "it ends within a sequence",
        block::DecompressError::OffsetZero => "a match at distance 0",
        block::DecompressError::OffsetOutOfBounds => "a match from before the beginning",
        _ => "it is malformed",
    }
}
