//! Frames of the WAL: where each page's newest content stands, and what each commit changed.
//!
//! A frame at or below the wal-index's `mxFrame` is committed, whatever its own checksum says: after a
//! savepoint is rolled back past a cache spill, releases of SQLite before 3.42 commit frames with zeros for
//! salts and checksum. So frames are believed on the wal-index's word, and the checksum chain is only compared
//! at its end.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io;

use super::files::{DatabaseFiles, io_error};
use super::wal::{self, FrameHeader, HEADER_BYTES, Salts, WalHeader, WordOrder};
use super::window::{Access, read_windows};
use super::{FrameNumber, SqliteError, WalChecksum};
use crate::units::{PageCount, PageNumber, PageSize};

/// A place in a WAL: everything up to `frame` has been read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WalPosition {
    /// The generation of the WAL.
    pub salts: Salts,
    /// The last frame read; zero before the first.
    pub frame: FrameNumber,
    /// The running checksum there. Means nothing at frame zero.
    pub checksum: WalChecksum,
    /// Size of the database there.
    pub pages: PageCount,
}

/// Takes note of pages that changed.
pub trait Changes {
    /// The pages from `first` to `last`, both included, have changed.
    fn changed(&mut self, first: PageNumber, last: PageNumber);

    /// The database has become so small; pages above are no longer part of it.
    fn shrunk(&mut self, _pages: PageCount) {}
}

/// For each page, its newest frame.
#[derive(Clone, Debug, Default)]
pub(super) struct FrameMap(HashMap<PageNumber, FrameNumber, BuildHasherDefault<PageHasher>>);

impl FrameMap {
    pub(super) fn frame_of(&self, page: PageNumber) -> Option<FrameNumber> {
        self.0.get(&page).copied()
    }

    pub(super) fn pages(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.0.keys().copied()
    }

    pub(super) fn set(&mut self, page: PageNumber, frame: FrameNumber) {
        self.0.insert(page, frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// Spreads page numbers by multiplication; nobody gains from making them collide, since a WAL's pages are
/// those of one database.
#[derive(Default)]
pub(super) struct PageHasher(u64);

impl Hasher for PageHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}

/// Reads frames of one generation of the WAL, in order.
pub(super) struct FrameReader<'a> {
    files: &'a DatabaseFiles,
    page_size: PageSize,
    order: WordOrder,
    position: WalPosition,
    commits: u32,
}

impl<'a> FrameReader<'a> {
    /// A reader that goes on from `position`.
    pub(super) fn resume(
        files: &'a DatabaseFiles,
        page_size: PageSize,
        order: WordOrder,
        position: WalPosition,
    ) -> Result<FrameReader<'a>, SqliteError> {
        if position.frame == FrameNumber(0) {
            return FrameReader::begin(files, position.salts, position.pages);
        }
        Ok(FrameReader {
            files,
            page_size,
            order,
            position,
            commits: 0,
        })
    }

    /// A reader at the start of the generation `salts`, which begins with a database of `pages` pages.
    pub(super) fn begin(
        files: &'a DatabaseFiles,
        salts: Salts,
        pages: PageCount,
    ) -> Result<FrameReader<'a>, SqliteError> {
        use std::os::unix::fs::FileExt;
        let mut bytes = [0; HEADER_BYTES];
        let read = files.wal().read_exact_at(&mut bytes, 0);
        read.map_err(|error| cut_short_or(files, error))?;
        let header = match WalHeader::parse(&bytes) {
            Some(header) if header.salts == salts => header,
            _ => return Err(lost(files, "the WAL was restarted by another process")),
        };
        Ok(FrameReader {
            files,
            page_size: header.page_size,
            order: header.order,
            position: WalPosition {
                salts,
                frame: FrameNumber(0),
                checksum: header.checksum,
                pages,
            },
            commits: 0,
        })
    }

    pub(super) fn page_size(&self) -> PageSize {
        self.page_size
    }

    pub(super) fn position(&self) -> WalPosition {
        self.position
    }

    /// How many commits have been read.
    pub(super) fn commits(&self) -> u32 {
        self.commits
    }

    /// Reads on to frame `end`, enters each frame in `map` and tells `changes` what each commit changed:
    /// the frames' pages, and at every commit that made the database larger the pages it gained, whether or
    /// not they have a frame. Growth between two commits must not be missed by looking at the ends only.
    pub(super) fn read_to(
        &mut self,
        end: FrameNumber,
        access: Access,
        map: &mut FrameMap,
        changes: &mut dyn Changes,
    ) -> Result<(), SqliteError> {
        if end <= self.position.frame {
            return Ok(());
        }
        let (files, order, page_size) = (self.files, self.order, self.page_size);
        let bytes = (
            FrameNumber(self.position.frame.0 + 1).offset(page_size),
            FrameNumber(end.0).offset(page_size) + wal::frame_bytes(page_size) as u64,
        );
        let (position, commits) = (&mut self.position, &mut self.commits);
        let mut visit = |window: &[u8]| {
            for frame in window.chunks_exact(wal::frame_bytes(page_size)) {
                let header = FrameHeader::parse(frame);
                let (Some(page), true) = (
                    header.page,
                    header.salts == position.salts || header.salts == Salts::ZERO,
                ) else {
                    return Err(Interrupted::ForeignFrame);
                };
                position.checksum = wal::checksum_frame(position.checksum, order, frame);
                position.frame.0 += 1;
                map.set(page, position.frame);
                changes.changed(page, page);
                if let Some(pages) = header.commit {
                    if let Some(grown) = PageNumber::new(position.pages.0 + 1)
                        && pages.holds(grown)
                        && let Some(last) = PageNumber::new(pages.0)
                    {
                        changes.changed(grown, last);
                    }
                    if pages < position.pages {
                        changes.shrunk(pages);
                    }
                    position.pages = pages;
                    *commits += 1;
                }
            }
            Ok(())
        };
        read_windows(
            files.wal(),
            access,
            bytes,
            wal::frame_bytes(page_size),
            &mut visit,
        )
        .map_err(|interrupted| match interrupted {
            Interrupted::ForeignFrame => lost(files, "the WAL holds frames of another generation"),
            Interrupted::Io(error) => cut_short_or(files, error),
        })
    }

    /// Goes on with `checksum` in place of the one computed.
    pub(super) fn adopt_checksum(&mut self, checksum: WalChecksum) {
        self.position.checksum = checksum;
    }
}

enum Interrupted {
    ForeignFrame,
    Io(io::Error),
}

impl From<io::Error> for Interrupted {
    fn from(error: io::Error) -> Interrupted {
        Interrupted::Io(error)
    }
}

pub(super) fn lost(files: &DatabaseFiles, reason: &'static str) -> SqliteError {
    SqliteError::Lost {
        path: files.path().to_path_buf(),
        reason,
    }
}

fn cut_short_or(files: &DatabaseFiles, error: io::Error) -> SqliteError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => SqliteError::Truncated(files.wal_path().to_path_buf()),
        _ => io_error("read", files.wal_path(), error),
    }
}
