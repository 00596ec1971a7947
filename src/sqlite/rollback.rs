//! Changes to a database file made beside SQLite's own readers: with the locks and the journal of a writer in rollback
//! mode, so that no reader ever sees half of a change, whenever the writer is killed.
//!
//! ```text
//! locks    bytes of the database file from 0x4000_0000 on: PENDING, RESERVED, then SHARED, 510 of them.
//!          Readers take SHARED for reading, and PENDING for a moment before. A writer takes RESERVED while it
//!          prepares, then PENDING, so that no reader begins, then all of SHARED once the readers have gone.
//! journal  `-journal`: a sector of header (magic, number of records, a nonce, pages before the change, size of a
//!          sector, size of a page), then for each page that will change: number, old content, checksum
//! ```
//!
//! While a journal is there and nobody holds RESERVED, it is hot: whoever opens the database next puts the old pages
//! back first. So a change counts from the moment its journal is gone, and before that it has not happened.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connection;
use super::locks::{self, Lock};
use crate::sys::fs::{FileSystem, SystemFiles, parent, with_suffix};
use crate::sys::random;
use crate::units::{PageNumber, PageSize};

const PENDING: u64 = 0x4000_0000;
const RESERVED: u64 = PENDING + 1;
const SHARED: u64 = PENDING + 2;
const SHARED_BYTES: u64 = 510;

const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// What the header of a journal is padded to.
const SECTOR_BYTES: u32 = 512;
/// How long the locks of others are waited for when a crash is repaired.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database file open for changes. Its locks belong to this descriptor, so that nothing else in the process drops
/// them.
pub struct InPlace {
    path: PathBuf,
    file: File,
}

impl InPlace {
    /// Opens the database `path`. A change that a crash has cut off is taken back, by SQLite.
    ///
    /// # Errors
    /// When it cannot be opened, or is locked for too long.
    pub fn open(path: &Path) -> io::Result<InPlace> {
        if journal_of(path).exists() {
            let connection = connection::open(path, PATIENCE).map_err(io::Error::other)?;
            let began = connection::begin_read(&connection);
            connection::rollback(&connection);
            began.map_err(io::Error::other)?;
        }
        Ok(InPlace {
            path: path.to_path_buf(),
            file: OpenOptions::new().read(true).write(true).open(path)?,
        })
    }

    /// Reads from it, which is what it is between two changes only where nobody else writes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Begins a change: from now on nobody else writes, and no reader is held up yet. None while somebody does write.
    ///
    /// # Errors
    /// When the system refuses the lock, or a journal is there that is not ours.
    pub fn begin(&mut self) -> io::Result<Option<Change<'_>>> {
        let change = Change {
            database: self,
            journal: false,
            written: false,
        };
        let file = &change.database.file;
        if !locks::try_lock(file, Lock::Read, PENDING, 1)? {
            return Ok(None);
        }
        let shared = locks::try_lock(file, Lock::Read, SHARED, SHARED_BYTES)?;
        locks::try_lock(file, Lock::Unlock, PENDING, 1)?;
        if !shared || !locks::try_lock(file, Lock::Write, RESERVED, 1)? {
            return Ok(None);
        }
        change.remove_unused_journal()?;
        Ok(Some(change))
    }
}

/// A change being made. Dropped before [`Change::commit`], it has not happened: at once where nothing was written yet,
/// else for everybody who opens the database next.
pub struct Change<'a> {
    database: &'a InPlace,
    journal: bool,
    written: bool,
}

impl Change<'_> {
    /// Removes a journal whose header was not written yet when its writer was killed: nothing in the database has
    /// changed, so SQLite, which tells that by the first byte, leaves it where it is.
    fn remove_unused_journal(&self) -> io::Result<()> {
        let journal = journal_of(&self.database.path);
        let mut first = [0];
        match File::open(&journal).and_then(|mut file| file.read(&mut first)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(_) if first == [0] => fs::remove_file(&journal),
            Ok(_) => Err(io::Error::other(
                "its -journal is that of another writer, which was killed",
            )),
        }
    }

    /// Keeps what `pages` hold now, durably: all that will be written or cut off, of a database of `before` pages.
    /// Numbers above that are left out.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn keep(
        &mut self,
        page_size: PageSize,
        before: u32,
        pages: &mut dyn Iterator<Item = PageNumber>,
    ) -> io::Result<()> {
        let path = journal_of(&self.database.path);
        let nonce = random::unique() as u32;
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        self.journal = true;
        // As SQLite does: who may use the database may roll it back.
        SystemFiles.set_owner(&path, SystemFiles.status(&self.database.path)?.owner)?;
        let mut out = BufWriter::with_capacity(1 << 16, &file);
        out.write_all(&[0; SECTOR_BYTES as usize])?;
        let mut page = vec![0; page_size.bytes() as usize];
        let mut records: u32 = 0;
        for number in pages.filter(|number| number.value() <= before) {
            let offset = number.offset(page_size);
            self.database.file.read_exact_at(&mut page, offset)?;
            out.write_all(&number.value().to_be_bytes())?;
            out.write_all(&page)?;
            out.write_all(&record_checksum(nonce, &page).to_be_bytes())?;
            records += 1;
        }
        out.flush()?;
        drop(out);
        let header = [
            &JOURNAL_MAGIC[..],
            &records.to_be_bytes(),
            &nonce.to_be_bytes(),
            &before.to_be_bytes(),
            &SECTOR_BYTES.to_be_bytes(),
            &page_size.bytes().to_be_bytes(),
        ];
        file.write_all_at(&header.concat(), 0)?;
        file.sync_all()?;
        SystemFiles.sync_directory(parent(&path))
    }

    /// Asks for the moment in which nobody reads. False while somebody still does; then nobody new begins.
    ///
    /// # Errors
    /// When the system refuses the lock.
    pub fn try_exclusive(&mut self) -> io::Result<bool> {
        let file = &self.database.file;
        Ok(locks::try_lock(file, Lock::Write, PENDING, 1)?
            && locks::try_lock(file, Lock::Write, SHARED, SHARED_BYTES)?)
    }

    /// Lets readers begin again, while [`Change::try_exclusive`] has not succeeded.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn give_way(&mut self) -> io::Result<()> {
        locks::try_lock(&self.database.file, Lock::Unlock, PENDING, 1).map(drop)
    }

    /// Bytes of the file.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn size(&self) -> io::Result<u64> {
        self.database.size()
    }

    /// Reads from a page.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.database.read(bytes, offset)
    }

    /// Writes to a page that was [kept](Change::keep), while nobody reads.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.written = true;
        self.database.file.write_all_at(bytes, offset)
    }

    /// Makes it durable, the database being `size` bytes long then, and lets readers in.
    ///
    /// # Errors
    /// When that fails; it may have happened all the same if only the journal's removal could not be made durable.
    pub fn commit(mut self, size: u64) -> io::Result<()> {
        self.written = true;
        self.database.file.set_len(size)?;
        self.database.file.sync_all()?;
        let journal = journal_of(&self.database.path);
        fs::remove_file(&journal)?;
        self.journal = false;
        SystemFiles.sync_directory(parent(&journal))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // What is in it is still in the database.
        if self.journal && !self.written {
            let _ = fs::remove_file(journal_of(&self.database.path));
        }
        let _ = locks::try_lock(&self.database.file, Lock::Unlock, PENDING, 2 + SHARED_BYTES);
    }
}

fn journal_of(database: &Path) -> PathBuf {
    with_suffix(database, "-journal")
}

/// SQLite's: every 200th byte, from the end.
fn record_checksum(nonce: u32, page: &[u8]) -> u32 {
    let bytes = (1..page.len().saturating_sub(199)).rev().step_by(200);
    bytes.fold(nonce, |sum, at| sum.wrapping_add(page[at].into()))
}
