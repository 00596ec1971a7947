//! The content of a file that is merged from others. It is read from them each time it is written, so nothing is
//! staged.

use std::io::{self, Write};

use super::error::CompactError;
use super::input::{self, Input};
use super::plan::Merge;
use crate::ltx::{Checksum, Decoder, Encoder, Header, MergeError, Merger};
use crate::storage::{Content, FileInfo, Storage};

/// The header of `file`, if it says what the name says.
pub(super) fn header(storage: &dyn Storage, file: FileInfo) -> Result<Header, CompactError> {
    let mut bytes = Vec::new();
    let length = file.size.min(Header::BYTES as u64);
    input::read(storage, file, 0, length, &mut bytes)?;
    // No more than the header is there, so what is opened is a file without an end.
    let decoder = Decoder::open(&bytes[..]).map_err(|error| CompactError::Damaged {
        file: file.name,
        error,
    })?;
    match *decoder.header() {
        header if header.txids == file.name.txids => Ok(header),
        header => Err(CompactError::NameDiffers {
            file: file.name,
            header: header.txids,
        }),
    }
}

/// A merged file.
pub(super) struct Merged<'a> {
    storage: &'a dyn Storage,
    merge: &'a Merge,
    most_bytes: u64,
}

impl<'a> Merged<'a> {
    /// What `merge` says; `newest` is the header of its last input.
    pub(super) fn new(storage: &'a dyn Storage, merge: &'a Merge, newest: &Header) -> Merged<'a> {
        let pages = newest.commit.0.into();
        Merged {
            storage,
            merge,
            most_bytes: Encoder::<Vec<u8>>::most_bytes(pages, newest.page_size),
        }
    }

    fn open(&self) -> Result<Merger<Input<'a>>, MergeError> {
        let inputs = &self.merge.inputs;
        let total = inputs.iter().map(|file| file.size).sum();
        let open = |(input, file): (usize, &FileInfo)| {
            let stream = Input::new(self.storage, *file, total);
            Decoder::open(stream).map_err(|error| MergeError::Read {
                input,
                txids: file.name.txids,
                error,
            })
        };
        let decoders = inputs.iter().enumerate().map(open);
        Merger::open(decoders.collect::<Result<_, _>>()?)
    }
}

impl Content for Merged<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut merger = self.open().map_err(io::Error::other)?;
        let header = *merger.header();
        if header.txids != self.merge.name.txids {
            return Err(io::Error::other("a file was replaced by another meanwhile"));
        }
        let mut encoder = Encoder::new(out, &header)?;
        let mut database = Checksum::EMPTY_DATABASE;
        while let Some(page) = merger.next_page().map_err(io::Error::other)? {
            if header.txids.is_snapshot() {
                database = database.toggle(Checksum::of_page(page.number(), page.data()));
            }
            encoder.page(page.number(), page.data())?;
        }
        // What is whole may still be the wrong files; where the newest says what the database is, that can be told.
        if header.txids.is_snapshot() && header.database().is_some_and(|noted| noted != database) {
            return Err(io::Error::other(
                "each file is sound, but the database that they make is not the one that the newest of them was made \
                 from: one of them is of another history",
            ));
        }
        merger.finish().map_err(io::Error::other)?;
        encoder.finish()?;
        Ok(())
    }

    fn most_bytes(&self) -> u64 {
        self.most_bytes
    }
}
