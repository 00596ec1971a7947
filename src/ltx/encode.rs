//! Writes an LTX file from front to end. Every page becomes a frame with a size and one LZ4 block; the file
//! carries no database checksums. Its bytes follow from header and pages alone, so it can be written again.
//!
//! What does not belong into a file is refused before a byte of it is written. Memory is one compressed page,
//! the compressor's table, and some three bytes a page for the index.

use std::fmt;
use std::io::{self, Write};

use lz4_flex::block::{self, CompressTable};

use crate::units::{PageNumber, PageSize};

use super::checksum::Digest;
use super::class::Class;
use super::error::{Error, Fault};
use super::frame;
use super::header::Header;
use super::sequence::PageSequence;
use super::varint::{self, Varint};

/// An LTX file being written.
pub struct Encoder<W: Write> {
    out: Output<W>,
    header: Header,
    sequence: PageSequence,
    table: CompressTable,
    /// Page number, flags and size, then the LZ4 block.
    frame: Box<[u8]>,
    /// Per page two varints: how far its number is from that of the page before, the length of its frame.
    index: Vec<u8>,
    last: u32,
}

impl<W: Write> Encoder<W> {
    /// Writes `header`. Writes are small; `out` should be buffered. It is not flushed.
    ///
    /// # Errors
    /// When `out` fails, or the header breaks a rule or asks for checksums.
    pub fn new(out: W, header: &Header) -> Result<Encoder<W>, EncodeError> {
        if header.checksums {
            return Err(EncodeError::Checksums);
        }
        let bytes = header.to_bytes();
        match Header::parse(&bytes) {
            Ok(parsed) => assert_eq!(parsed, *header, "a valid header is read as written"),
            Err(Error::Invalid(fault)) => return Err(EncodeError::Invalid(fault)),
            Err(Error::Io(error)) => return Err(EncodeError::Io(error)),
        }
        let page_bytes = header.page_size.bytes() as usize;
        let mut out = Output {
            out,
            digest: Digest::new(),
            bytes: 0,
            failed: false,
        };
        out.write(&bytes)?;
        out.digest.update(&bytes);
        Ok(Encoder {
            out,
            header: *header,
            sequence: PageSequence::new(header),
            table: if page_bytes < usize::from(u16::MAX) {
                CompressTable::small()
            } else {
                CompressTable::large()
            },
            frame: vec![0; PREFIX_BYTES + block::get_maximum_output_size(page_bytes)].into(),
            index: Vec::new(),
            last: 0,
        })
    }

    /// The most bytes that a file of so many pages can have, however little they can be compressed.
    pub fn most_bytes(pages: u64, page_size: PageSize) -> u64 {
        let each = PREFIX_BYTES + frame::block_bytes_max(page_size) + ENTRY_BYTES_MAX;
        pages * each as u64 + FIXED_BYTES as u64
    }

    /// Writes a page.
    ///
    /// # Errors
    /// When `out` fails, or the page has the wrong length or breaks the order: pages ascend, none is the lock
    /// page or above the size of the database, and a file that starts at TXID 1 leaves none out.
    pub fn page(&mut self, page: PageNumber, data: &[u8]) -> Result<(), EncodeError> {
        if data.len() != self.header.page_size.bytes() as usize {
            return Err(EncodeError::Invalid(Fault::PageLength {
                page,
                bytes: data.len() as u64,
                page_size: self.header.page_size,
            }));
        }
        self.sequence.admit(page)?;
        let (prefix, compressed) = self.frame.split_at_mut(PREFIX_BYTES);
        let size = block::compress_into_with_table(data, compressed, &mut self.table)
            .expect("the buffer has the size the compressor asks for");
        assert!(
            (1..=frame::block_bytes_max(self.header.page_size)).contains(&size),
            "readers refuse larger blocks"
        );
        let size_stored = u32::try_from(size).expect("a page and little more");
        prefix[..4].copy_from_slice(&page.value().to_be_bytes());
        prefix[4..6].copy_from_slice(&frame::FLAG_SIZE.to_be_bytes());
        prefix[6..].copy_from_slice(&size_stored.to_be_bytes());
        self.out.digest.update(prefix);
        self.out.digest.update(data);
        let length = PREFIX_BYTES + size;
        self.out.write(&self.frame[..length])?;
        let step = Varint::new((page.value() - self.last).into());
        self.index.extend_from_slice(step.bytes());
        self.index
            .extend_from_slice(Varint::new(length as u64).bytes());
        self.last = page.value();
        Ok(())
    }

    /// Writes the rest of the file. Gives `out` back, not flushed, and the size of the file in bytes.
    ///
    /// # Errors
    /// When `out` fails or has failed before, or a file that starts at TXID 1 lacks pages.
    pub fn finish(mut self) -> Result<(W, u64), EncodeError> {
        self.sequence.end()?;
        self.out.write_summed(&frame::END_MARKER)?;
        self.write_index()?;
        self.out.write_summed(&NO_POST_APPLY_CHECKSUM)?;
        let checksum = self.out.digest.clone().finish();
        self.out.write(&checksum.value().to_be_bytes())?;
        Ok((self.out.out, self.out.bytes))
    }

    /// Expands the noted steps and lengths; the frame buffer collects the bytes.
    fn write_index(&mut self) -> Result<(), EncodeError> {
        let start = self.out.bytes;
        let (mut page, mut offset) = (0, Header::BYTES as u64);
        let mut filled = 0;
        let mut rest = &self.index[..];
        while let Some((step, length)) = varint::take(&mut rest).zip(varint::take(&mut rest)) {
            page += step;
            for number in [page, offset, length] {
                let varint = Varint::new(number);
                let bytes = varint.bytes();
                self.frame[filled..filled + bytes.len()].copy_from_slice(bytes);
                filled += bytes.len();
            }
            offset += length;
            if filled + ENTRY_BYTES_MAX > self.frame.len() {
                self.out.write_summed(&self.frame[..filled])?;
                filled = 0;
            }
        }
        self.frame[filled] = 0;
        self.out.write_summed(&self.frame[..=filled])?;
        let size = self.out.bytes - start;
        self.out.write_summed(&size.to_be_bytes())
    }
}

/// Where the file goes, with its size and checksum so far.
struct Output<W> {
    out: W,
    digest: Digest,
    bytes: u64,
    failed: bool,
}

impl<W: Write> Output<W> {
    /// Writes bytes that the file checksum does not cover as they are.
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        if self.failed {
            return Err(EncodeError::Failed);
        }
        if let Err(error) = self.out.write_all(bytes) {
            self.failed = true;
            return Err(EncodeError::Io(error));
        }
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Writes bytes that the file checksum covers.
    fn write_summed(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.digest.update(bytes);
        self.write(bytes)
    }
}

/// An LTX file could not be written. What was written so far is of no use.
#[derive(Debug)]
pub enum EncodeError {
    /// The output failed.
    Io(io::Error),
    /// The output has failed before.
    Failed,
    /// What was to be written breaks a rule of the format.
    Invalid(Fault),
    /// The header asks for database checksums, which we do not write.
    Checksums,
}

impl EncodeError {
    /// What kind of error this is.
    pub fn class(&self) -> Class {
        match self {
            EncodeError::Io(_) | EncodeError::Failed => Class::Io,
            EncodeError::Invalid(fault) => fault.class(),
            EncodeError::Checksums => Class::HeaderFlags,
        }
    }
}

/// Output errors are equal when their kinds are.
impl PartialEq for EncodeError {
    fn eq(&self, other: &EncodeError) -> bool {
        match (self, other) {
            (EncodeError::Io(a), EncodeError::Io(b)) => a.kind() == b.kind(),
            (EncodeError::Invalid(a), EncodeError::Invalid(b)) => a == b,
            (EncodeError::Failed, EncodeError::Failed) => true,
            (EncodeError::Checksums, EncodeError::Checksums) => true,
            _ => false,
        }
    }
}

impl From<Fault> for EncodeError {
    fn from(fault: Fault) -> EncodeError {
        EncodeError::Invalid(fault)
    }
}

/// For writers behind [`io::Write`]: output errors come out as they went in.
impl From<EncodeError> for io::Error {
    fn from(error: EncodeError) -> io::Error {
        match error {
            EncodeError::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EncodeError::Io(error) => write!(f, "cannot write the LTX file: {error}"),
            EncodeError::Failed => {
                f.write_str("cannot go on with an LTX file after a write failed")
            }
            EncodeError::Invalid(fault) => {
                write!(f, "refused to write an invalid LTX file: {fault}")
            }
            EncodeError::Checksums => f.write_str("LTX files with checksums are not written"),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            EncodeError::Io(error) => Some(error),
            _ => None,
        }
    }
}

/// Page number, flags and size before each LZ4 block.
const PREFIX_BYTES: usize = frame::HEADER_BYTES + frame::SIZE_BYTES;

/// The most bytes an index entry takes.
const ENTRY_BYTES_MAX: usize = 3 * varint::BYTES_MAX;

/// What every file has: the header; the end marker, which is as long as what stands before a page; the end of the
/// index, and its size; two checksums.
const FIXED_BYTES: usize = Header::BYTES + frame::HEADER_BYTES + 1 + 8 + 2 * 8;

/// What stands for a checksum where there are none.
const NO_POST_APPLY_CHECKSUM: [u8; 8] = [0; 8];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{PageCount, Timestamp, Txid, TxidRange};

    fn header(min: u64, commit: u32) -> Header {
        let txids = TxidRange::new(Txid::new(min).unwrap(), Txid::new(2).unwrap()).unwrap();
        Header::new(
            PageSize::new(512).unwrap(),
            PageCount(commit),
            txids,
            Timestamp::from_millis(1_700_000_000_000),
        )
    }

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn the_smallest_file_byte_by_byte() {
        let mut header = header(2, 4);
        header.wal.offset = 0;
        let (out, bytes) = Encoder::new(Vec::new(), &header).unwrap().finish().unwrap();
        assert_eq!(bytes, 131);
        assert_eq!(out[..100], header.to_bytes());
        let tail = [
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xe8, 0x11, 0x36,
            0xcc, 0xa6, 0xc5, 0x53, 0xe8,
        ];
        assert_eq!(out[100..], tail);
    }

    #[test]
    fn no_file_is_larger_than_it_can_be() {
        let most = Encoder::<Vec<u8>>::most_bytes;
        for bytes in [512, 4096, 65536] {
            let page_size = PageSize::new(bytes).unwrap();
            // Noise, which only grows when it is compressed.
            let mut state = 7_u64;
            let mut noise = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            };
            for pages in [0, 1, 300] {
                let mut header = header(2, 10_000_000);
                header.page_size = page_size;
                let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
                for number in 0..pages {
                    let data: Vec<u8> = (0..bytes).map(|_| noise()).collect();
                    encoder.page(page(9_000_000 + number), &data).unwrap();
                }
                let (_, size) = encoder.finish().unwrap();
                assert!(size > u64::from(pages) * u64::from(bytes));
                assert!(size <= most(pages.into(), page_size), "{size}");
            }
        }
        assert_eq!(most(0, PageSize::new(512).unwrap()), 131);
    }

    #[test]
    fn what_breaks_a_rule_is_not_written() {
        let refusal = |result: Result<(), EncodeError>| result.unwrap_err().class();
        let new = |header| Encoder::new(Vec::new(), &header).err().map(|e| e.class());
        assert_eq!(new(header(2, 0)), Some(Class::CommitZero));
        let checksums = true;
        assert_eq!(
            new(Header {
                checksums,
                ..header(1, 4)
            }),
            Some(Class::HeaderFlags)
        );
        let mut encoder = Encoder::new(Vec::new(), &header(1, 4)).unwrap();
        assert_eq!(refusal(encoder.page(page(1), &[0; 511])), Class::PageLength);
        assert_eq!(
            refusal(encoder.page(page(2), &[0; 512])),
            Class::SnapshotGap
        );
        assert_eq!(refusal(encoder.page(page(5), &[0; 512])), Class::PageRange);
        encoder.page(page(1), &[0; 512]).unwrap();
        assert_eq!(refusal(encoder.page(page(1), &[0; 512])), Class::PageOrder);
        assert_eq!(refusal(encoder.finish().map(drop)), Class::SnapshotGap);
        let mut encoder = Encoder::new(Vec::new(), &header(2, u32::MAX)).unwrap();
        let lock_page = page(2_097_153);
        assert_eq!(refusal(encoder.page(lock_page, &[0; 512])), Class::LockPage);
    }

    /// Takes so many bytes, then fails once, then takes everything.
    struct FailsOnce(Option<usize>);

    impl Write for FailsOnce {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self.0 {
                Some(left) if left < bytes.len() => {
                    self.0 = None;
                    Err(io::ErrorKind::StorageFull.into())
                }
                Some(left) => {
                    self.0 = Some(left - bytes.len());
                    Ok(bytes.len())
                }
                None => Ok(bytes.len()),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn after_a_failed_write_no_file_is_completed() {
        let mut encoder = Encoder::new(FailsOnce(Some(110)), &header(1, 2)).unwrap();
        let full = EncodeError::Io(io::ErrorKind::StorageFull.into());
        assert_eq!(encoder.page(page(1), &[7; 512]), Err(full));
        assert_eq!(encoder.page(page(2), &[7; 512]), Err(EncodeError::Failed));
        assert_eq!(encoder.finish().map(drop), Err(EncodeError::Failed));
    }
}
