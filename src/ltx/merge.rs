//! Merging: the files of a chain become one that leads from before the first to after the last.
//!
//! Neighbours join or overlap, each leads further than the one before, and page sizes agree. Of every page
//! the latest copy stays; pages above the last file's database size are dropped. The result has the TXIDs of
//! all, database size, timestamp, tag and node id of the last, no checksums, and nothing that says which WAL it was.
//!
//! Every input is verified to its end. Nothing that came out may be kept unless [`Merger::finish`] or
//! [`merge`] succeeded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::{Read, Write};

use crate::units::{PageNumber, PageSize, TxidRange};

use super::class::Class;
use super::decode::{Decoder, UnverifiedPage};
use super::encode::{EncodeError, Encoder};
use super::error::{Error, Fault};
use super::header::{Header, WalSource};
use super::sequence::PageSequence;

/// Merges `inputs`, oldest first, into one file. Gives its header, `out`, not flushed, and the size of the
/// file in bytes. Memory is that of all decoders and one encoder.
///
/// # Errors
/// When the files do not form a chain, when any of them cannot be read or is not valid, when a result that
/// starts at TXID 1 lacks a page, or when `out` fails. What was written then is to be thrown away.
///
/// # Panics
/// When a page was already taken from one of the decoders.
pub fn merge<R: Read, W: Write>(
    inputs: Vec<Decoder<R>>,
    out: W,
) -> Result<(Header, W, u64), MergeError> {
    let mut merger = Merger::open(inputs)?;
    let mut encoder = Encoder::new(out, merger.header())?;
    while let Some(page) = merger.next_page()? {
        encoder.page(page.number(), page.data())?;
    }
    let header = merger.finish()?;
    let (out, bytes) = encoder.finish()?;
    Ok((header, out, bytes))
}

/// Files being merged, page by page.
pub struct Merger<R: Read> {
    header: Header,
    sequence: PageSequence,
    inputs: Vec<Decoder<R>>,
    /// The page each input stands at, lowest first; of equal ones the latest input first.
    heads: BinaryHeap<Reverse<(PageNumber, Reverse<usize>)>>,
    /// The inputs whose page is used up.
    spent: Vec<usize>,
}

impl<R: Read> Merger<R> {
    /// Checks that `inputs`, oldest first, form a chain. No page is read yet.
    ///
    /// # Errors
    /// When there are no files, their page sizes differ, or their TXIDs do not join.
    ///
    /// # Panics
    /// When a page was already taken from one of the decoders.
    pub fn open(inputs: Vec<Decoder<R>>) -> Result<Merger<R>, MergeError> {
        assert!(
            inputs.iter().all(Decoder::is_fresh),
            "pages taken before would be missing"
        );
        let header = merged_header(&inputs)?;
        Ok(Merger {
            header,
            sequence: PageSequence::new(&header),
            heads: BinaryHeap::with_capacity(inputs.len()),
            spent: (0..inputs.len()).collect(),
            inputs,
        })
    }

    /// The header of the result.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next page of the result; none after the last.
    ///
    /// # Errors
    /// When an input cannot be read or is not valid, or no input has a page that a result from TXID 1 needs.
    pub fn next_page(&mut self) -> Result<Option<UnverifiedPage<'_>>, MergeError> {
        let Some((number, input)) = self.advance()? else {
            return Ok(None);
        };
        Ok(Some(UnverifiedPage::new(number, self.inputs[input].page())))
    }

    /// Reads what is left and verifies every input. Gives the header of the result.
    ///
    /// # Errors
    /// As for [`next_page`](Merger::next_page), and when an input turns out not to be valid.
    pub fn finish(mut self) -> Result<Header, MergeError> {
        while self.advance()?.is_some() {}
        for (input, decoder) in self.inputs.into_iter().enumerate() {
            let txids = decoder.header().txids;
            decoder.finish().map_err(|error| MergeError::Read {
                input,
                txids,
                error,
            })?;
        }
        Ok(self.header)
    }

    /// The next page within the result and the input that has its latest copy.
    fn advance(&mut self) -> Result<Option<(PageNumber, usize)>, MergeError> {
        loop {
            while let Some(input) = self.spent.pop() {
                self.read(input)?;
            }
            let Some(Reverse((page, Reverse(latest)))) = self.heads.pop() else {
                self.sequence.end().map_err(missing_page)?;
                return Ok(None);
            };
            self.spent.push(latest);
            while let Some(&Reverse((other, Reverse(input)))) = self.heads.peek()
                && other == page
            {
                self.heads.pop();
                self.spent.push(input);
            }
            if self.header.commit.holds(page) {
                self.sequence.admit(page).map_err(missing_page)?;
                return Ok(Some((page, latest)));
            }
        }
    }

    fn read(&mut self, input: usize) -> Result<(), MergeError> {
        let decoder = &mut self.inputs[input];
        let txids = decoder.header().txids;
        let page = decoder.advance().map_err(|error| MergeError::Read {
            input,
            txids,
            error,
        })?;
        if let Some(page) = page {
            self.heads.push(Reverse((page, Reverse(input))));
        }
        Ok(())
    }
}

/// Checks the chain and gives the header of what it merges to.
fn merged_header<R: Read>(inputs: &[Decoder<R>]) -> Result<Header, MergeError> {
    let [first, .., last] = inputs else {
        let [only] = inputs else {
            return Err(MergeError::NoInputs);
        };
        return Ok(without_origin(only.header(), only.header()));
    };
    for pair in inputs.windows(2) {
        let (before, next) = (pair[0].header(), pair[1].header());
        if next.page_size != before.page_size {
            return Err(MergeError::PageSizeMismatch {
                txids: next.txids,
                page_size: next.page_size,
                expected: before.page_size,
            });
        }
        if !next.txids.continues(Some(before.txids.max())) {
            return Err(MergeError::TxidGap {
                after: before.txids,
                next: next.txids,
            });
        }
    }
    Ok(without_origin(first.header(), last.header()))
}

fn without_origin(first: &Header, last: &Header) -> Header {
    let txids = TxidRange::new(first.txids.min(), last.txids.max())
        .expect("each file of a chain leads further");
    Header {
        wal: WalSource::default(),
        node_id: last.node_id,
        ..Header::new(last.page_size, last.commit, txids, last.timestamp)
            .with_database(last.database())
    }
}

/// A page that the merged file lacks, no input had.
fn missing_page(fault: Fault) -> MergeError {
    match fault {
        Fault::SnapshotGap { missing } => MergeError::MissingPage { page: missing },
        other => MergeError::Write(EncodeError::Invalid(other)),
    }
}

/// Files could not be merged. What was written so far is to be thrown away.
#[derive(Debug, PartialEq)]
pub enum MergeError {
    /// There was nothing to merge.
    NoInputs,
    /// A file cannot be read or is not valid.
    Read {
        /// Which of the inputs, counted from zero.
        input: usize,
        /// The TXIDs in its header.
        txids: TxidRange,
        /// What is wrong.
        error: Error,
    },
    /// A file has another page size than the one before it.
    PageSizeMismatch {
        /// The TXIDs of the file.
        txids: TxidRange,
        /// Its page size.
        page_size: PageSize,
        /// The page size of the file before it.
        expected: PageSize,
    },
    /// A file does not continue the one before it, or leads no further.
    TxidGap {
        /// The file before.
        after: TxidRange,
        /// The file.
        next: TxidRange,
    },
    /// The result starts at TXID 1, but no file has this page.
    MissingPage {
        /// The first page that is missing.
        page: PageNumber,
    },
    /// The result cannot be written.
    Write(EncodeError),
}

impl MergeError {
    /// What kind of error this is.
    pub fn class(&self) -> Class {
        match self {
            MergeError::NoInputs => Class::NotAvailable,
            MergeError::Read { error, .. } => error.class(),
            MergeError::PageSizeMismatch { .. } => Class::PageSizeMismatch,
            MergeError::TxidGap { .. } => Class::TxidGap,
            MergeError::MissingPage { .. } => Class::MissingPage,
            MergeError::Write(error) => error.class(),
        }
    }
}

impl From<EncodeError> for MergeError {
    fn from(error: EncodeError) -> MergeError {
        MergeError::Write(error)
    }
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MergeError::NoInputs => f.write_str("there are no LTX files to merge"),
            MergeError::Read { txids, error, .. } => write!(f, "file {txids}: {error}"),
            MergeError::PageSizeMismatch {
                txids,
                page_size,
                expected,
            } => write!(
                f,
                "file {txids} has pages of {page_size} bytes, the files before it of {expected}"
            ),
            MergeError::TxidGap { after, next } => {
                write!(f, "file {next} does not continue file {after}")
            }
            MergeError::MissingPage { page } => write!(f, "no file has page {page}"),
            MergeError::Write(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for MergeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            MergeError::Read { error, .. } => Some(error),
            MergeError::Write(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::checksum::Checksum;
    use super::*;
    use crate::units::{PageCount, Timestamp, Txid};

    fn file(txids: (u64, u64), commit: u32, pages: &[(u32, u8)]) -> Vec<u8> {
        let range = TxidRange::new(Txid::new(txids.0).unwrap(), Txid::new(txids.1).unwrap());
        let header = Header::new(
            PageSize::new(512).unwrap(),
            PageCount(commit),
            range.unwrap(),
            Timestamp::from_millis(txids.1 as i64),
        );
        let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
        for &(number, fill) in pages {
            let page = PageNumber::new(number).unwrap();
            encoder.page(page, &[fill; 512]).unwrap();
        }
        encoder.finish().unwrap().0
    }

    fn merged(files: &[Vec<u8>]) -> Result<(Header, Vec<(u32, u8)>), MergeError> {
        let inputs = files.iter().map(|f| Decoder::open(&f[..]).unwrap());
        let (header, out, _) = merge(inputs.collect(), Vec::new())?;
        let mut decoder = Decoder::open(&out[..]).unwrap();
        let mut pages = Vec::new();
        while let Some(page) = decoder.next_page().unwrap() {
            pages.push((page.number().value(), page.data()[0]));
        }
        assert_eq!(decoder.finish().unwrap().header, header);
        Ok((header, pages))
    }

    #[test]
    fn the_latest_copy_stays_and_pages_beyond_the_end_go() {
        let chain = [
            file((2, 3), 9, &[(1, 1), (2, 1), (7, 1)]),
            file((4, 4), 5, &[(2, 2), (5, 2)]),
            file((4, 6), 6, &[(2, 3), (6, 3)]),
        ];
        let (header, pages) = merged(&chain).unwrap();
        assert_eq!(pages, [(1, 1), (2, 3), (5, 2), (6, 3)]);
        assert_eq!(
            (header.txids.min().value(), header.txids.max().value()),
            (2, 6)
        );
        assert_eq!(header.commit, PageCount(6));
        assert_eq!(header.timestamp, Timestamp::from_millis(6));
        assert_eq!(header.wal, WalSource::default());
    }

    #[test]
    fn tag_and_writer_of_the_last_file_stay() {
        let sum = |number| Checksum::of_page(PageNumber::new(number).unwrap(), &[0; 512]);
        let tagged = |txids, database: Option<Checksum>| {
            let bytes = file(txids, 9, &[(1, 1)]);
            let header = bytes.first_chunk().map(Header::parse).unwrap().unwrap();
            let node_id = database.map_or(0, Checksum::value);
            let header = Header {
                node_id,
                ..header.with_database(database)
            };
            let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
            encoder.page(PageNumber::FIRST, &[1; 512]).unwrap();
            encoder.finish().unwrap().0
        };
        for last in [None, Some(sum(2))] {
            let chain = [tagged((2, 3), Some(sum(1))), tagged((4, 4), last)];
            let header = merged(&chain).unwrap().0;
            assert_eq!(header.database(), last);
            assert_eq!(header.node_id, last.map_or(0, Checksum::value));
        }
    }

    #[test]
    fn a_snapshot_needs_every_page() {
        let chain = |second| [file((1, 1), 2, &[(1, 1), (2, 1)]), file((2, 2), 4, second)];
        assert!(merged(&chain(&[(3, 2), (4, 2)])).is_ok());
        for (pages, missing) in [(&[(4, 2)], 3), (&[(3, 2)], 4)] {
            let page = PageNumber::new(missing).unwrap();
            let expected = MergeError::MissingPage { page };
            assert_eq!(merged(&chain(pages)).unwrap_err(), expected);
        }
    }

    #[test]
    fn damage_at_the_end_of_any_input_is_noticed() {
        let chain = [
            file((2, 2), 4, &[(1, 1)]),
            file((3, 3), 4, &[]),
            file((4, 4), 4, &[(1, 1), (2, 1)]),
        ];
        for damaged in 0..chain.len() {
            let mut files = chain.clone();
            *files[damaged].last_mut().unwrap() ^= 1;
            let error = merged(&files).unwrap_err();
            assert_eq!(error.class(), Class::FileChecksum);
            assert!(matches!(error, MergeError::Read { input, .. } if input == damaged));
        }
    }
}
