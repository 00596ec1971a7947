//! Only those parts of a file that hold pages which are still needed, where that saves much: newer files may have given
//! most of what a snapshot has, or a restore that was interrupted.
//!
//! Nothing in the file vouches for parts of it. So this is done only where the newest file says what the database is
//! (see `ltx::header`), and what comes out is compared with that.

use std::io::{self, Read};

use super::ahead::Fetcher;
use super::apply::{Job, unreadable};
use super::build::Build;
use super::error::RestoreError;
use super::fetch::Span;
use crate::ltx::{self, Bookmark, Decoder, Fault, Header, IndexEntry, PageIndex, read_frame};
use crate::storage::{FileInfo, fetch_header, fetch_page_index};

/// Files that are smaller are read whole.
pub(super) const WORTHWHILE: u64 = 1 << 20;

/// What is not needed is fetched all the same if there is no more of it in one place: about what a request costs.
const GAP: u64 = 32 << 10;

/// An index that takes more is not read: it is kept in memory.
const INDEX_MAX: u64 = 16 << 20;

/// The parts of one file.
pub(super) struct Parts {
    file: FileInfo,
    header: Header,
    index: PageIndex,
    spans: Vec<Span>,
}

impl Parts {
    /// The parts of `file` that `build` needs; none where reading all of it costs hardly more.
    pub(super) fn choose(
        job: &Job<'_, '_>,
        file: FileInfo,
        build: &Build<'_>,
    ) -> Result<Option<Parts>, RestoreError> {
        if file.size < WORTHWHILE || !build.can_take_parts(file) {
            return Ok(None);
        }
        let Some(index) = fetch_page_index(job.storage, &file, INDEX_MAX)
            .map_err(|error| RestoreError::of_piece(file.name, error))?
        else {
            return Ok(None);
        };
        let mut spans: Vec<Span> = Vec::new();
        for entry in index.iter().filter(|entry| build.lacks(entry.page)) {
            let (from, to) = (entry.offset, entry.offset + entry.length);
            match spans.last_mut() {
                Some(last) if from - last.to <= GAP => last.to = to,
                _ => spans.push(Span { file, from, to }),
            }
        }
        let bytes = spans.iter().map(|span| span.bytes()).sum::<u64>();
        if bytes > file.size / 8 * 7 {
            return Ok(None);
        }
        let header = fetch_header(job.storage, &file)
            .map_err(|error| RestoreError::of_piece(file.name, error))?;
        Ok(Some(Parts {
            file,
            header,
            index,
            spans,
        }))
    }

    /// The file's header.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    /// How many bytes are fetched, the index and the header among them.
    pub(super) fn bytes(&self) -> u64 {
        let spans = self.spans.iter().map(|span| span.bytes()).sum::<u64>();
        let frames = self.index.iter().map(|entry| entry.length).sum::<u64>();
        spans + (self.file.size - frames)
    }

    /// Puts the pages that are there into `build`.
    pub(super) fn take(
        &self,
        fetcher: &Fetcher<'_, '_, '_>,
        build: &mut Build<'_>,
        note_every: u64,
        count: &mut dyn FnMut(u64),
    ) -> Result<(), RestoreError> {
        let start = self.start()?;
        let asked: Vec<_> = self.spans.iter().map(|span| fetcher.ask(*span)).collect();
        let mut entries = self.index.iter();
        let mut frame = Vec::new();
        for (span, asked) in self.spans.iter().zip(asked) {
            let mut input = fetcher.stream(asked, count);
            let inside = entries
                .by_ref()
                .skip_while(|entry| entry.offset < span.from);
            // The one behind the last is in a gap, and not missed.
            for entry in inside.take_while(|entry| entry.offset < span.to) {
                self.read_entry(&mut input, entry, &mut frame)
                    .and_then(|()| {
                        let page = read_frame(&frame, entry.page, self.header.page_size)?;
                        Ok((entry.page, page))
                    })
                    .map_err(|error| unreadable(self.file, error))
                    .and_then(|(number, page)| build.put(number, &page))?;
                if build.is_note_due(entry.length, note_every) {
                    build.note((self.file, start.clone()))?;
                }
            }
        }
        build.flush()
    }

    /// Where a restore goes on that is interrupted: in the same file, with the pages that it has.
    fn start(&self) -> Result<Bookmark, RestoreError> {
        let header = self.header.to_bytes();
        let decoder = Decoder::open(&header[..]);
        Ok(decoder
            .map_err(|error| unreadable(self.file, error))?
            .bookmark())
    }

    fn read_entry(
        &self,
        input: &mut impl Read,
        entry: IndexEntry,
        frame: &mut Vec<u8>,
    ) -> Result<(), ltx::Error> {
        frame.resize(entry.frame_bytes(self.header.page_size)?, 0);
        input.read_exact(frame).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let (part, offset) = ("a page", entry.offset);
                Fault::Truncated { part, offset }.into()
            }
            _ => ltx::Error::Io(error),
        })
    }
}
