//! The LZ4 frame, integers little-endian, and the one around a page in files of Litestream 0.5.0 to 0.5.15.
//!
//! ```text
//! 04 22 4D 18                magic
//! FLG                        version 01, independent, block checksums, content size, content checksum, 0, dictionary
//! BD                         0 | largest block, 4 (64 KiB) to 7 (4 MiB) | 0000
//! content size u64           with its flag; of a page, must be its size
//! descriptor checksum u8     second byte of XXH32 from FLG to here
//! blocks                     size u32 (bit 31: stored as is), data, XXH32 u32 with its flag
//! 00 00 00 00                end mark
//! content checksum u32       XXH32 of the content
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
        let read = Descriptor::read(&mut |bytes| source.fill(bytes, PART).map_err(Unread::Source));
        let descriptor = read.map_err(|error| match error {
            Unread::Source(error) => error,
            Unread::Malformed(problem) => malformed(page, problem),
        })?;
        match descriptor.content {
            Some(bytes) if bytes != self.page.len() as u64 => {
                let page_size = self.page_size;
                Err(Fault::PageLength {
                    page,
                    bytes,
                    page_size,
                }
                .into())
            }
            _ => Ok(descriptor),
        }
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

/// Why there is no descriptor.
enum Unread {
    Source(Error),
    Malformed(&'static str),
}

impl From<&'static str> for Unread {
    fn from(problem: &'static str) -> Unread {
        Unread::Malformed(problem)
    }
}

/// What the frame's descriptor says of its blocks.
#[derive(Clone, Copy)]
pub(super) struct Descriptor {
    pub(super) independent: bool,
    pub(super) block_checksums: bool,
    /// The most bytes that a block holds.
    pub(super) block_max: usize,
    /// How many bytes there are in all, if that is said.
    pub(super) content: Option<u64>,
}

impl Descriptor {
    /// Takes it from what `fill` gives. Only frames with a checksum of their content are taken.
    pub(super) fn read<E: From<&'static str>>(
        fill: &mut dyn FnMut(&mut [u8]) -> Result<(), E>,
    ) -> Result<Descriptor, E> {
        let mut bytes = [0; 2 + CONTENT_SIZE_BYTES];
        fill(&mut bytes[..2])?;
        let [flags, block_max] = [bytes[0], bytes[1]];
        if flags & VERSION_MASK != VERSION || flags & RESERVED != 0 {
            return Err("unknown version of LZ4 frame".into());
        }
        if flags & DICTIONARY != 0 {
            return Err("it needs a dictionary".into());
        }
        if flags & CONTENT_CHECKSUM == 0 {
            return Err("no content checksum".into());
        }
        if block_max & !0x70 != 0 || block_max >> 4 < 4 {
            return Err("unknown block size".into());
        }
        let has_size = flags & CONTENT_SIZE != 0;
        let length = if has_size { bytes.len() } else { 2 };
        fill(&mut bytes[2..length])?;
        let mut checksum = [0];
        fill(&mut checksum)?;
        if checksum[0] != xxh32(&bytes[..length]).to_be_bytes()[2] {
            return Err("wrong descriptor checksum".into());
        }
        let content = u64::from_le_bytes(*bytes.last_chunk().expect("ten bytes hold eight"));
        Ok(Descriptor {
            independent: flags & INDEPENDENT != 0,
            block_checksums: flags & BLOCK_CHECKSUM != 0,
            block_max: 1 << (8 + 2 * (block_max >> 4)),
            content: has_size.then_some(content),
        })
    }
}

pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    XxHash32::oneshot(0, bytes)
}

fn malformed(page: PageNumber, problem: &'static str) -> Error {
    Error::Invalid(Fault::Lz4 { page, problem })
}

pub(super) const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
const PART: &str = "an LZ4 frame descriptor";
const CONTENT_SIZE_BYTES: usize = 8;
pub(super) const END_MARK: u32 = 0;

/// Bit of a block's size: the data is not compressed.
pub(super) const STORED: u32 = 1 << 31;

/// Bits of the descriptor's first byte.
const VERSION_MASK: u8 = 0xc0;
const VERSION: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
const CONTENT_CHECKSUM: u8 = 0x04;
const RESERVED: u8 = 0x02;
const DICTIONARY: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::super::class::Class;
    use super::*;
    use crate::units::PageSize;

    const PAGE_BYTES: usize = 512;

    /// A page whose halves are equal, so that a linked second block can copy from the first.
    fn page() -> Vec<u8> {
        let half: Vec<u8> = (0..=255).collect();
        [&half[..], &half[..]].concat()
    }

    /// A frame with these flags around `blocks`, each its size field and data; checksums as flagged.
    fn frame(flags: u8, block_max: u8, content: Option<u64>, blocks: &[(u32, &[u8])]) -> Vec<u8> {
        let mut descriptor = vec![flags, block_max];
        descriptor.extend(content.into_iter().flat_map(u64::to_le_bytes));
        let mut frame = MAGIC.to_vec();
        frame.extend(&descriptor);
        frame.push((xxh32(&descriptor) >> 8) as u8);
        for (size, data) in blocks {
            frame.extend(size.to_le_bytes());
            frame.extend(*data);
            if flags & BLOCK_CHECKSUM != 0 {
                frame.extend(xxh32(data).to_le_bytes());
            }
        }
        frame.extend(END_MARK.to_le_bytes());
        if flags & CONTENT_CHECKSUM != 0 {
            frame.extend(xxh32(&page()).to_le_bytes());
        }
        frame
    }

    /// Reads a frame and checks that the bytes after it were left alone.
    fn read(mut frame: Vec<u8>) -> Result<Vec<u8>, Class> {
        frame.extend(b"next");
        let mut buffer = PageBuffer::new(PageSize::new(PAGE_BYTES as u32).unwrap());
        let mut source = Source::new(&frame[..]);
        buffer
            .read_lz4_frame(&mut source, PageNumber::FIRST)
            .map_err(|error| error.class())?;
        assert_eq!(source.array("what follows"), Ok(*b"next"));
        assert_eq!(source.is_at_end(), Ok(true));
        Ok(buffer.page.into_vec())
    }

    fn stored(data: &[u8]) -> (u32, &[u8]) {
        (data.len() as u32 | STORED, data)
    }

    fn compressed(data: &[u8]) -> (u32, &[u8]) {
        (data.len() as u32, data)
    }

    #[test]
    fn known_answers_of_the_checksum() {
        assert_eq!(xxh32(b""), 0x02cc_5d05);
        assert_eq!(xxh32(b"abc"), 0x32d1_53ff);
        assert_eq!(xxh32(&[0x64, 0x40]), 0x95c0_a77c);
    }

    #[test]
    fn every_form_of_a_one_page_frame_is_read() {
        let page = page();
        let block = block::compress(&page);
        // Literal-free match of 251 bytes at distance 256, then five literals.
        let linked = [&[0x0f, 0, 1, 232, 0x50][..], &page[507..]].concat();
        let (first, second) = page.split_at(256);
        let usual = VERSION | INDEPENDENT | CONTENT_CHECKSUM;
        let size = Some(PAGE_BYTES as u64);
        for frame in [
            frame(usual, 0x40, None, &[compressed(&block)]),
            frame(usual, 0x40, None, &[stored(&page)]),
            frame(usual, 0x50, None, &[stored(first), stored(second)]),
            frame(usual | CONTENT_SIZE, 0x60, size, &[compressed(&block)]),
            frame(usual | BLOCK_CHECKSUM, 0x70, None, &[compressed(&block)]),
            frame(
                usual ^ INDEPENDENT,
                0x40,
                None,
                &[stored(first), compressed(&linked)],
            ),
        ] {
            assert_eq!(read(frame).as_ref(), Ok(&page));
        }
        let far = frame(usual, 0x40, None, &[stored(first), compressed(&linked)]);
        assert_eq!(read(far), Err(Class::Lz4));
    }

    #[test]
    fn what_no_writer_makes_is_refused() {
        let page = page();
        let usual = VERSION | INDEPENDENT | CONTENT_CHECKSUM;
        let blocks = [stored(&page[..])];
        let class = |flags, block_max| read(frame(flags, block_max, None, &blocks)).err();
        assert_eq!(class(usual, 0x40), None);
        assert_eq!(class(usual ^ CONTENT_CHECKSUM, 0x40), Some(Class::Lz4));
        assert_eq!(class(usual | DICTIONARY, 0x40), Some(Class::Lz4));
        assert_eq!(class(usual | RESERVED, 0x40), Some(Class::Lz4));
        assert_eq!(class(usual | 0x80, 0x40), Some(Class::Lz4));
        for block_max in [0x30, 0xc0, 0x41] {
            assert_eq!(class(usual, block_max), Some(Class::Lz4));
        }
        for magic in [[0x02, 0x21, 0x4c, 0x18], [0x50, 0x2a, 0x4d, 0x18]] {
            let mut other = frame(usual, 0x40, None, &blocks);
            other[..4].copy_from_slice(&magic);
            assert_eq!(read(other), Err(Class::Lz4));
        }
    }

    #[test]
    fn wrong_sizes_and_checksums_are_refused() {
        let page = page();
        let usual = VERSION | INDEPENDENT | CONTENT_CHECKSUM;
        let class = |blocks: &[(u32, &[u8])]| read(frame(usual, 0x40, None, blocks)).err();
        assert_eq!(class(&[]), Some(Class::PageLength));
        assert_eq!(class(&[stored(&page[1..])]), Some(Class::PageLength));
        assert_eq!(
            class(&[stored(&page), stored(&[1])]),
            Some(Class::PageLength)
        );
        assert_eq!(class(&[(u32::MAX, &[])]), Some(Class::Lz4));
        assert_eq!(class(&[(u32::MAX >> 1, &[])]), Some(Class::Lz4));
        let wrong_size = frame(usual | CONTENT_SIZE, 0x40, Some(513), &[stored(&page)]);
        assert_eq!(read(wrong_size), Err(Class::PageLength));
        let checked = frame(usual | BLOCK_CHECKSUM, 0x40, None, &[stored(&page)]);
        for at in [6, checked.len() - 9, checked.len() - 1] {
            let mut damaged = checked.clone();
            damaged[at] ^= 1;
            assert_eq!(read(damaged), Err(Class::Lz4), "byte {at}");
        }
    }
}
