//! Reads an LTX file from front to end, one page at a time, and applies every rule of the format.
//!
//! Pages come out unverified, since their checksum stands at the end. Only [`Decoder::finish`] makes a
//! [`Verified`], after index, trailer, checksums and the end of the file were checked; until then nothing may
//! be kept of what was read. Memory is one page, one compressed page and 8 KiB, whatever the file announces.

use std::io::Read;

use crate::units::PageNumber;

use super::checksum::{Checksum, Digest};
use super::error::{Error, Fault};
use super::frame::{self, PageBuffer};
use super::header::Header;
use super::index::{IndexDigest, IndexEntry};
use super::sequence::PageSequence;
use super::source::Source;
use super::varint::{Partial, Step};

/// An LTX file being read.
pub struct Decoder<R: Read> {
    pub(super) source: Source<R>,
    pub(super) header: Header,
    pub(super) digest: Digest,
    pub(super) sequence: PageSequence,
    pub(super) buffer: PageBuffer,
    /// The index that the frames so far must have.
    pub(super) index: IndexDigest,
    /// Checksum of the pages so far, where the file must hold it: in a snapshot with checksums.
    pub(super) database: Option<Checksum>,
    pub(super) pages: u32,
    pub(super) state: State,
}

/// How far a decoder has come.
pub(super) enum State {
    Pages,
    EndOfPages,
    Failed(Error),
}

/// A page as it stands in the file, before anything vouches for it.
#[derive(Clone, Copy, Debug)]
pub struct UnverifiedPage<'a> {
    number: PageNumber,
    data: &'a [u8],
}

/// Proof that a whole file was read and is valid.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Verified {
    /// The file's header.
    pub header: Header,
    /// The file checksum.
    pub file_checksum: Checksum,
    /// Checksum of the database after this file; none in a file without checksums. That of an incremental
    /// file was not compared with anything, as that takes the database.
    pub post_apply: Option<Checksum>,
    /// How many pages the file holds.
    pub pages: u32,
    /// Private, so that nobody else can make one.
    bytes: u64,
}

impl Verified {
    /// Size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl<'a> UnverifiedPage<'a> {
    pub(super) fn new(number: PageNumber, data: &'a [u8]) -> UnverifiedPage<'a> {
        UnverifiedPage { number, data }
    }

    /// The page's number.
    pub fn number(&self) -> PageNumber {
        self.number
    }

    /// The page's content: exactly one page size of bytes.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

impl<R: Read> Decoder<R> {
    /// Reads the header of the file that `input` gives. Reads are buffered.
    ///
    /// # Errors
    /// When `input` fails, or the header is not valid.
    pub fn open(input: R) -> Result<Decoder<R>, Error> {
        let mut source = Source::new(input);
        let bytes = source.array("the header")?;
        let header = Header::parse(&bytes)?;
        let mut digest = Digest::new();
        digest.update(&bytes);
        let computes_database = header.checksums && header.txids.is_snapshot();
        Ok(Decoder {
            source,
            header,
            digest,
            sequence: PageSequence::new(&header),
            buffer: PageBuffer::new(header.page_size),
            index: IndexDigest::new(),
            database: computes_database.then_some(Checksum::EMPTY_DATABASE),
            pages: 0,
            state: State::Pages,
        })
    }

    /// The file's header, not yet verified by the file checksum.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Reads the next page; none after the last. After an error every further call gives that error.
    ///
    /// # Errors
    /// When the input fails, or the file breaks a rule.
    pub fn next_page(&mut self) -> Result<Option<UnverifiedPage<'_>>, Error> {
        let number = self.advance()?;
        Ok(number.map(|number| UnverifiedPage::new(number, self.page())))
    }

    /// Reads what is left of the file, pages included, and verifies the whole of it.
    ///
    /// # Errors
    /// When the input fails, or the file breaks a rule: nothing that came from it may be kept.
    pub fn finish(mut self) -> Result<Verified, Error> {
        while self.advance()?.is_some() {}
        self.read_index()?;
        let post_apply = self.source.array("the trailer")?;
        self.digest.update(&post_apply);
        let post_apply = u64::from_be_bytes(post_apply);
        let stored = u64::from_be_bytes(self.source.array("the trailer")?);
        let computed = self.digest.finish();
        if stored != computed.value() {
            let computed = computed.value();
            return Err(Fault::FileChecksum { stored, computed }.into());
        }
        let post_apply = check_post_apply(post_apply, self.header.checksums, self.database)?;
        if !self.source.is_at_end()? {
            let offset = self.source.position();
            return Err(Fault::TrailingData { offset }.into());
        }
        Ok(Verified {
            header: self.header,
            file_checksum: computed,
            post_apply,
            pages: self.pages,
            bytes: self.source.position(),
        })
    }

    /// Reads the next page into the buffer and gives its number; none after the last.
    pub(super) fn advance(&mut self) -> Result<Option<PageNumber>, Error> {
        match &self.state {
            State::Pages => {}
            State::EndOfPages => return Ok(None),
            State::Failed(error) => return Err(error.repeat()),
        }
        let result = self.read_frame();
        match &result {
            Ok(Some(_)) => self.pages += 1,
            Ok(None) => self.state = State::EndOfPages,
            Err(error) => self.state = State::Failed(error.repeat()),
        }
        result
    }

    /// The page last read.
    pub(super) fn page(&self) -> &[u8] {
        &self.buffer.page
    }

    /// Whether no page was read yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.pages == 0 && matches!(self.state, State::Pages)
    }

    fn read_frame(&mut self) -> Result<Option<PageNumber>, Error> {
        let offset = self.source.position();
        let head: [u8; frame::HEADER_BYTES] = self.source.array("a page header")?;
        self.digest.update(&head);
        let [a, b, c, d, e, f] = head;
        let flags = u16::from_be_bytes([e, f]);
        let Some(page) = PageNumber::new(u32::from_be_bytes([a, b, c, d])) else {
            if flags != 0 {
                return Err(Fault::PageZero { offset, flags }.into());
            }
            self.sequence.end()?;
            return Ok(None);
        };
        if flags & !frame::FLAG_SIZE != 0 {
            return Err(Fault::PageFlags {
                page,
                flags,
                offset,
            }
            .into());
        }
        self.sequence.admit(page)?;
        if flags & frame::FLAG_SIZE != 0 {
            let size = self.buffer.read_block(&mut self.source, page)?;
            self.digest.update(&size);
        } else {
            self.buffer.read_lz4_frame(&mut self.source, page)?;
        }
        self.digest.update(&self.buffer.page);
        if let Some(database) = &mut self.database {
            *database = database.toggle(Checksum::of_page(page, &self.buffer.page));
        }
        self.index.add(IndexEntry {
            page,
            offset,
            length: self.source.position() - offset,
        });
        Ok(Some(page))
    }

    /// Reads the index and its size, and compares it with the frames without holding either.
    fn read_index(&mut self) -> Result<(), Error> {
        let offset = self.source.position();
        let mut expected = std::mem::replace(&mut self.index, IndexDigest::new());
        expected.end();
        let mut found = IndexDigest::new();
        while self.read_index_number(&mut found)? != 0 {
            self.read_index_number(&mut found)?;
            self.read_index_number(&mut found)?;
            if found.bytes() >= expected.bytes() {
                return Err(Fault::IndexDiffers { offset }.into());
            }
        }
        let (actual, digest) = found.finish();
        if (actual, digest) != expected.finish() {
            return Err(Fault::IndexDiffers { offset }.into());
        }
        let size = self.source.array("the size of the page index")?;
        self.digest.update(&size);
        let stored = u64::from_be_bytes(size);
        if stored != actual {
            return Err(Fault::IndexSize { stored, actual }.into());
        }
        Ok(())
    }

    fn read_index_number(&mut self, found: &mut IndexDigest) -> Result<u64, Error> {
        let offset = self.source.position();
        let mut number = Partial::default();
        loop {
            let byte: [u8; 1] = self.source.array("the page index")?;
            self.digest.update(&byte);
            found.add_stored(&byte);
            match number.push(byte[0]) {
                Step::More => {}
                Step::Done(number) => return Ok(number),
                Step::TooLong => return Err(Fault::IndexNumber { offset }.into()),
            }
        }
    }
}

/// A file without checksums has none; one with checksums has one, in a snapshot that of its pages.
fn check_post_apply(
    stored: u64,
    checksums: bool,
    computed: Option<Checksum>,
) -> Result<Option<Checksum>, Fault> {
    let checksum = Checksum::from_stored(stored);
    let fault = |expected| Err(Fault::PostChecksum { stored, expected });
    match (checksums, computed) {
        (false, _) if stored != 0 => fault(Some(0)),
        (false, _) => Ok(None),
        (true, Some(computed)) if checksum != Some(computed) => fault(Some(computed.value())),
        (true, None) if checksum.is_none() => fault(None),
        (true, _) => Ok(checksum),
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::class::Class;
    use super::super::encode::Encoder;
    use super::*;
    use crate::units::{PageCount, PageSize, Timestamp, Txid, TxidRange};

    fn file() -> Vec<u8> {
        let page_size = PageSize::new(512).unwrap();
        let txids = TxidRange::single(Txid::FIRST);
        let header = Header::new(page_size, PageCount(2), txids, Timestamp::from_millis(0));
        let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
        for number in 1..=2 {
            let page = PageNumber::new(number).unwrap();
            encoder.page(page, &[number as u8; 512]).unwrap();
        }
        encoder.finish().unwrap().0
    }

    /// Gives some bytes, then fails.
    struct Fails<'a>(&'a [u8], io::ErrorKind);

    impl Read for Fails<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(self.1.into());
            }
            self.0.read(buffer)
        }
    }

    fn finish(input: impl Read) -> Result<Verified, Error> {
        Decoder::open(input)?.finish()
    }

    #[test]
    fn input_errors_come_through_and_early_ends_are_truncation() {
        let file = file();
        for length in 0..=file.len() {
            let some = &file[..length];
            let reset = Error::Io(io::ErrorKind::ConnectionReset.into());
            let result = finish(Fails(some, io::ErrorKind::ConnectionReset));
            assert_eq!(result, Err(reset), "after {length} bytes");
            let error = finish(Fails(some, io::ErrorKind::UnexpectedEof)).unwrap_err();
            assert_eq!(error.class(), Class::Truncated, "after {length} bytes");
        }
    }

    #[test]
    fn an_error_stays() {
        let mut file = file();
        file[104] = 1;
        let mut decoder = Decoder::open(&file[..]).unwrap();
        let error = decoder.next_page().unwrap_err();
        assert_eq!(error.class(), Class::PageFlags);
        assert_eq!(decoder.next_page().unwrap_err(), error);
        assert_eq!(decoder.finish(), Err(error));
    }

    #[test]
    fn after_the_last_page_there_is_none_again_and_again() {
        let file = file();
        let mut decoder = Decoder::open(&file[..]).unwrap();
        while decoder.next_page().unwrap().is_some() {}
        assert!(decoder.next_page().unwrap().is_none());
        let verified = decoder.finish().unwrap();
        assert_eq!((verified.pages, verified.bytes()), (2, file.len() as u64));
    }
}
