//! A view: one committed state of the database, pinned so that its pages can be read at leisure.
//!
//! A view is a read transaction on a connection of ours, together with the frame count and size at its start
//! and the map from page to newest frame. It counts only if the wal-index header was the same before and
//! after the transaction began; only then is it known which state was pinned. How many frames have been written
//! back is read *after* that: if it is all of them, the view reads the database file alone.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::connection;
use super::files::{Borrowed, DatabaseFiles, FileMark, io_error};
use super::frames::FrameMap;
use super::wal::FRAME_HEADER_BYTES;
use super::wal_index::WalIndexHeader;
use super::{FrameNumber, SqliteError};
use crate::units::{PageCount, PageNumber, PageSize};

/// How often to try for a view between two commits. Each try takes some 20 µs, so only a writer that commits
/// without any pause makes them all fail.
const PIN_ATTEMPTS: usize = 100;

/// A read lock on a known state, whose frames have not been read yet.
pub(super) struct Pin {
    pub(super) header: WalIndexHeader,
    /// All frames were written back when the transaction began: it holds READ(0), or READ(k) at the very end.
    pub(super) file_only: bool,
    /// All frames were written back before it began, and nobody held CKPT then: it holds READ(0).
    pub(super) at_rest: bool,
    connection: Borrowed,
}

impl Pin {
    /// Pins the newest committed state.
    pub(super) fn take(files: &Arc<DatabaseFiles>) -> Result<Pin, SqliteError> {
        for _ in 0..PIN_ATTEMPTS {
            let connection = files.borrow()?;
            let before = files.wal_index()?;
            let backfilled_before = files.backfilled()?;
            // One that has just written everything back still holds READ(0), so that we would get READ(k).
            let met_checkpointer = files.another_checkpoints()?;
            // With an unreadable header this recovers the WAL, and the next attempt finds it readable.
            connection
                .with(connection::begin_read)
                .map_err(|e| SqliteError::from_sqlite("read", files.path().to_path_buf(), e))?;
            if let (Some(before), Some(header)) = (before, files.wal_index()?)
                && before == header
            {
                let written_back = backfilled_before >= header.max_frame
                    || files.backfilled()? >= header.max_frame;
                // Under READ(0) the WAL may have started over just now, and the second count be that of the new one.
                if !written_back && files.wal_index()? != Some(header) {
                    continue;
                }
                return Ok(Pin {
                    file_only: written_back,
                    at_rest: backfilled_before >= header.max_frame && !met_checkpointer,
                    header,
                    connection,
                });
            }
        }
        Err(SqliteError::Later(files.path().to_path_buf()))
    }
}

/// One committed state of the database. Pages can be read from any thread, until it is dropped.
pub struct View {
    pin: Pin,
    page_size: PageSize,
    pages: PageCount,
    /// Newest frame of each page among those of the state; empty in a file-only view.
    frames: Arc<FrameMap>,
}

impl View {
    /// The view of `pin`, once all its frames are in `frames`.
    pub(super) fn new(pin: Pin, frames: &Arc<FrameMap>) -> Result<View, SqliteError> {
        let files = pin.connection.files();
        let (page_size, pages) = shape(&pin, files)?;
        Ok(View {
            frames: match pin.file_only {
                true => Arc::default(),
                false => Arc::clone(frames),
            },
            pin,
            page_size,
            pages,
        })
    }

    /// Size of a page.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Size of the database in this state.
    pub fn pages(&self) -> PageCount {
        self.pages
    }

    /// Reads `page` into `content`, which is one page long. A page that lies past the end of the database
    /// file has never been written and is zeros.
    ///
    /// # Errors
    /// When the system fails to read.
    pub fn read_page(&self, page: PageNumber, content: &mut [u8]) -> Result<(), SqliteError> {
        debug_assert!(self.pages.holds(page), "page {page} of {}", self.pages);
        debug_assert_eq!(content.len(), self.page_size.bytes() as usize);
        let files = self.pin.connection.files();
        if let Some(frame) = self.frames.frame_of(page) {
            let offset = frame.offset(self.page_size) + FRAME_HEADER_BYTES as u64;
            return files
                .wal()
                .read_exact_at(content, offset)
                .map_err(|e| io_error("read a frame of", files.wal_path(), e));
        }
        read_file_page(files, self.page_size, page, content)
    }

    /// What tells the file of the database from any other.
    pub fn mark(&self) -> FileMark {
        self.files().mark()
    }

    /// The files it is of.
    pub(super) fn files(&self) -> &Arc<DatabaseFiles> {
        self.pin.connection.files()
    }

    /// The pages that are read from the WAL, in no order.
    pub fn pages_in_wal(&self) -> impl Iterator<Item = PageNumber> + '_ {
        self.frames.pages()
    }

    pub(super) fn header(&self) -> &WalIndexHeader {
        &self.pin.header
    }

    pub(super) fn max_frame(&self) -> FrameNumber {
        self.pin.header.max_frame
    }

    pub(super) fn file_only(&self) -> bool {
        self.pin.file_only
    }

    pub(super) fn at_rest(&self) -> bool {
        self.pin.file_only && self.pin.at_rest
    }
}

/// Reads `page` from the database file. Past its end a page is zeros.
pub(super) fn read_file_page(
    files: &DatabaseFiles,
    page_size: PageSize,
    page: PageNumber,
    content: &mut [u8],
) -> Result<(), SqliteError> {
    let mut offset = page.offset(page_size);
    let mut rest = content;
    while !rest.is_empty() {
        match files.database().read_at(rest, offset) {
            Ok(0) => {
                rest.fill(0);
                break;
            }
            Ok(read) => {
                offset += read as u64;
                rest = &mut rest[read..];
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(io_error("read", files.path(), error)),
        }
    }
    Ok(())
}

/// Page size and size of a pinned database. The wal-index of a WAL that was empty when it was recovered
/// knows neither; then the database file is all there is, and it is asked.
pub(super) fn shape(
    pin: &Pin,
    files: &DatabaseFiles,
) -> Result<(PageSize, PageCount), SqliteError> {
    let failed = |error| io_error("read", files.path(), error);
    let page_size = match pin.header.page_size {
        Some(size) => size,
        None => {
            let mut bytes = [0; 2];
            files
                .database()
                .read_exact_at(&mut bytes, 16)
                .map_err(failed)?;
            let size = match u16::from_be_bytes(bytes) {
                1 => 65536,
                size => u32::from(size),
            };
            PageSize::new(size)
                .ok_or_else(|| SqliteError::NotADatabase(files.path().to_path_buf()))?
        }
    };
    let pages = match pin.header.pages {
        PageCount(0) => {
            let length = files.database().metadata().map_err(failed)?.len();
            let pages = length / u64::from(page_size.bytes());
            PageCount(u32::try_from(pages).unwrap_or(u32::MAX))
        }
        pages => pages,
    };
    Ok((page_size, pages))
}
