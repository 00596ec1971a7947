//! A file that is one LZ4 frame of any length, as Litestream 0.3 stored snapshots and parts of the WAL; the frame's
//! bytes are told in `lz4_frame`.
//!
//! It is read block by block, so that of a file of any size two blocks of at most 4 MiB are in memory. What a block
//! gives is to be believed only when all have been read: the checksum of the whole stands at the end.

use std::hash::Hasher;
use std::io::{self, Read};

use lz4_flex::block;
use twox_hash::XxHash32;

use super::frame::block_problem;
use super::lz4_frame::{Descriptor, END_MARK, MAGIC, STORED, xxh32};

/// How far back in what came before a block may refer, where blocks are not independent.
const HISTORY_BYTES: usize = 64 << 10;

/// Why a file gave no further block.
#[derive(Debug)]
pub enum Lz4Error {
    /// It could not be read.
    Io(io::Error),
    /// It begins with other bytes than an LZ4 frame does.
    NoFrame([u8; 4]),
    /// It is not a whole LZ4 frame.
    Malformed(&'static str),
}

impl From<&'static str> for Lz4Error {
    fn from(problem: &'static str) -> Lz4Error {
        Lz4Error::Malformed(problem)
    }
}

/// Reads a file block by block.
pub struct Lz4Blocks<'a> {
    input: &'a mut dyn Read,
    descriptor: Descriptor,
    compressed: Vec<u8>,
    /// Where it is of use, the end of what came before; then the block.
    plain: Vec<u8>,
    history: usize,
    filled: usize,
    digest: XxHash32,
    total: u64,
}

impl<'a> Lz4Blocks<'a> {
    /// Reads the frame's beginning.
    ///
    /// # Errors
    /// When the file does not begin with that of an LZ4 frame, or cannot be read.
    pub fn open(input: &'a mut dyn Read) -> Result<Lz4Blocks<'a>, Lz4Error> {
        let mut magic = [0; 4];
        fill(input, &mut magic)?;
        if magic != MAGIC {
            return Err(Lz4Error::NoFrame(magic));
        }
        let descriptor = Descriptor::read(&mut |bytes| fill(input, bytes))?;
        let history = if descriptor.independent {
            0
        } else {
            HISTORY_BYTES
        };
        Ok(Lz4Blocks {
            input,
            descriptor,
            compressed: Vec::new(),
            plain: vec![0; history + descriptor.block_max],
            history: 0,
            filled: 0,
            digest: XxHash32::with_seed(0),
            total: 0,
        })
    }

    /// What the next block holds; none when all were read, and the file ends, and its checksum is right.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn next_block(&mut self) -> Result<Option<&[u8]>, Lz4Error> {
        self.keep_history();
        let size = self.u32()?;
        if size == END_MARK {
            self.check_end()?;
            return Ok(None);
        }
        let bytes = (size & !STORED) as usize;
        if bytes > self.descriptor.block_max {
            return Err("a block is too large".into());
        }
        self.compressed.resize(bytes, 0);
        fill(self.input, &mut self.compressed)?;
        if self.descriptor.block_checksums && self.u32()? != xxh32(&self.compressed) {
            return Err("wrong block checksum".into());
        }
        let (before, rest) = self.plain.split_at_mut(self.history);
        let rest = &mut rest[..self.descriptor.block_max];
        self.filled = if size & STORED != 0 {
            rest[..bytes].copy_from_slice(&self.compressed);
            bytes
        } else {
            block::decompress_into_with_dict(&self.compressed, rest, before)
                .map_err(|error| block_problem(&error))?
        };
        let plain = &rest[..self.filled];
        self.digest.write(plain);
        self.total += plain.len() as u64;
        Ok(Some(plain))
    }

    /// Keeps the end of what came before, where the next block may refer to it.
    fn keep_history(&mut self) {
        if self.descriptor.independent {
            return;
        }
        let end = self.history + self.filled;
        let start = end.saturating_sub(HISTORY_BYTES);
        self.plain.copy_within(start..end, 0);
        (self.history, self.filled) = (end - start, 0);
    }

    fn check_end(&mut self) -> Result<(), Lz4Error> {
        if self.u32()? != self.digest.finish_32() {
            return Err("wrong content checksum".into());
        }
        if self
            .descriptor
            .content
            .is_some_and(|bytes| bytes != self.total)
        {
            return Err("its content is not as long as it says".into());
        }
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err("something follows its end".into()),
            Err(error) => Err(Lz4Error::Io(error)),
        }
    }

    fn u32(&mut self) -> Result<u32, Lz4Error> {
        let mut bytes = [0; 4];
        fill(self.input, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }
}

fn fill(input: &mut dyn Read, bytes: &mut [u8]) -> Result<(), Lz4Error> {
    input.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Lz4Error::Malformed("it is cut short"),
        _ => Lz4Error::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 64 << 10;

    /// Three blocks and a bit, which repeat what came before them.
    fn content() -> Vec<u8> {
        let line = |number: usize| format!("line {} of the content; ", number % 3000);
        let mut bytes: Vec<u8> = (0..9000)
            .flat_map(|number| line(number).into_bytes())
            .collect();
        bytes.truncate(3 * BLOCK + 77);
        bytes
    }

    /// A frame with these flags. Every third block is stored as it is.
    fn frame(flags: u8, content: &[u8]) -> Vec<u8> {
        let mut descriptor = vec![0x44 | flags, 0x40];
        if flags & 0x08 != 0 {
            descriptor.extend((content.len() as u64).to_le_bytes());
        }
        let mut frame = MAGIC.to_vec();
        frame.extend(&descriptor);
        frame.push((xxh32(&descriptor) >> 8) as u8);
        for (index, block) in content.chunks(BLOCK).enumerate() {
            let before = match flags & 0x20 {
                0 => &content[(index * BLOCK).saturating_sub(HISTORY_BYTES)..index * BLOCK],
                _ => &[],
            };
            let (size, data) = match index % 3 {
                2 => (block.len() as u32 | STORED, block.to_vec()),
                _ => {
                    let data = block::compress_with_dict(block, before);
                    (data.len() as u32, data)
                }
            };
            frame.extend(size.to_le_bytes());
            frame.extend(&data);
            if flags & 0x10 != 0 {
                frame.extend(xxh32(&data).to_le_bytes());
            }
        }
        frame.extend(END_MARK.to_le_bytes());
        frame.extend(xxh32(content).to_le_bytes());
        frame
    }

    fn read(mut frame: &[u8]) -> Result<Vec<u8>, Lz4Error> {
        let mut content = Vec::new();
        let mut blocks = Lz4Blocks::open(&mut frame)?;
        while let Some(block) = blocks.next_block()? {
            content.extend(block);
        }
        Ok(content)
    }

    #[test]
    fn every_kind_of_frame_is_read_and_none_that_is_cut_short() {
        let content = content();
        let mut sizes = Vec::new();
        for flags in (0..8).map(|kind| kind << 3) {
            let frame = frame(flags, &content);
            assert!(read(&frame).unwrap() == content, "{flags:x}");
            for length in (0..frame.len())
                .step_by(97)
                .chain(frame.len() - 9..frame.len())
            {
                let result = read(&frame[..length]);
                assert!(
                    matches!(result, Err(Lz4Error::Malformed(_))),
                    "{flags:x} {length}"
                );
            }
            assert!(read(&[&frame[..], &[0]].concat()).is_err());
            sizes.push(frame.len());
        }
        // The blocks really refer to what came before them.
        assert!(sizes[0] + 100 < sizes[4], "{sizes:?}");
        assert_eq!(read(&frame(0x20, b"")).unwrap(), b"");
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let content = &content()[..BLOCK + 500];
        for flags in (0..8).map(|kind| kind << 3) {
            let mut frame = frame(flags, content);
            for at in (0..frame.len()).filter(|at| *at < 40 || at % 31 == 0) {
                frame[at] ^= 1 << (at % 8);
                assert!(read(&frame).is_err(), "{flags:x} {at}");
                frame[at] ^= 1 << (at % 8);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(mut bytes: Vec<u8>, flags: u8) {
            let _ = read(&bytes);
            // Behind a sound beginning.
            let mut begun = frame(flags & 0x38, b"");
            begun.truncate(begun.len() - 8);
            begun.append(&mut bytes);
            let _ = read(&begun);
        }
    }
}
