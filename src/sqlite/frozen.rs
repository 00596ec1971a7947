//! A state of the database that stays readable while the WAL starts over: for uploads that take hours.
//!
//! A view keeps the WAL from starting over for as long as it is held, and a full copy over a slow link holds one for
//! hours. A frozen state holds none. It reads the database file as it is, and keeps aside what a page held before
//! a checkpoint overwrites it, as long as it has not been read yet.
//!
//! Why that is right: a checkpoint can write back no frame beyond the oldest view, and whoever follows the database
//! always holds one. So a page of the file changes only after the follower has slid past the frame that changes it; and
//! before it lets go of the older view, it has read that frame and told of it. That is the moment when the page,
//! still unchanged in the file, is kept ([`Frozen::keep`]). A commit that makes the database smaller lets a
//! checkpoint cut the file, so the pages cut off are kept likewise ([`Frozen::keep_from`]).
//!
//! What is kept goes into memory up to a bound, and from there into a file without a name, which the system removes
//! by itself. When neither has room the state is lost, which the reader is told.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::SqliteError;
use super::files::{DatabaseFiles, io_error};
use super::view::{View, read_file_page};
use crate::units::{PageCount, PageNumber, PageSize};

/// Bytes of pages kept in memory.
const MEMORY_BYTES: usize = 1 << 20;

/// A state of the database, read once, in ascending order of pages but for those held on to.
pub struct Frozen {
    files: Arc<DatabaseFiles>,
    page_size: PageSize,
    pages: PageCount,
    kept: Mutex<Kept>,
}

struct Kept {
    /// Pages before this one have been read for the last time.
    next: PageNumber,
    places: HashMap<PageNumber, Place>,
    memory: usize,
    /// Directory for the file without a name.
    directory: PathBuf,
    spill: Option<File>,
    spilled: u64,
    /// Slots of the file whose pages were read.
    free: Vec<u64>,
    lost: Option<String>,
}

enum Place {
    Memory(Box<[u8]>),
    /// Slot of the file.
    Spilled(u64),
}

impl Frozen {
    /// The state of `view`, from which all others are told of through [`Frozen::keep`]. What it has in the WAL is
    /// kept at once, so there should be little. Pages beyond the bound of memory go into a file in `directory`.
    ///
    /// # Errors
    /// When the system fails to read, or to write what is kept.
    pub fn of(view: &View, directory: &Path) -> Result<Frozen, SqliteError> {
        let frozen = Frozen {
            files: Arc::clone(view.files()),
            page_size: view.page_size(),
            pages: view.pages(),
            kept: Mutex::new(Kept {
                next: PageNumber::FIRST,
                places: HashMap::new(),
                memory: 0,
                directory: directory.to_path_buf(),
                spill: None,
                spilled: 0,
                free: Vec::new(),
                lost: None,
            }),
        };
        let mut content = vec![0; frozen.page_size.bytes() as usize];
        for page in view.pages_in_wal().filter(|page| frozen.pages.holds(*page)) {
            view.read_page(page, &mut content)?;
            let mut kept = frozen.kept();
            let stored = kept.store(page, &content);
            stored.map_err(|e| io_error("keep pages of", frozen.files.path(), e))?;
        }
        Ok(frozen)
    }

    /// Keeps the pages from `first` to `last`, both included, as they are in the database file now, unless they
    /// were read or kept before. To be called when they have changed in the WAL, while the view is held under which
    /// they have not.
    pub fn keep(&self, first: PageNumber, last: PageNumber) {
        let mut kept = self.kept();
        let mut page = Some(first.max(kept.next));
        let mut content = Vec::new();
        while let Some(number) = page.filter(|page| *page <= last && self.pages.holds(*page)) {
            page = PageNumber::new(number.value().saturating_add(1));
            if kept.lost.is_some() {
                return;
            }
            if kept.places.contains_key(&number) {
                continue;
            }
            content.resize(self.page_size.bytes() as usize, 0);
            let read = read_file_page(&self.files, self.page_size, number, &mut content);
            let stored = match read {
                Ok(()) => kept.store(number, &content).map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = stored {
                kept.lose(format!("what it changes cannot be kept: {reason}"));
            }
        }
    }

    /// Keeps all pages above `pages`, as [`Frozen::keep`] does: the database has become so small.
    pub fn keep_from(&self, pages: PageCount) {
        let above = PageNumber::new(pages.0.saturating_add(1));
        if let (Some(first), Some(last)) = (above, PageNumber::new(self.pages.0)) {
            self.keep(first, last);
        }
    }

    /// Gives up: it is no longer told of changes.
    pub fn lose(&self, reason: &str) {
        self.kept().lose(reason.to_owned());
    }

    /// Reads `page` into `content`, which is one page long.
    ///
    /// # Errors
    /// When the system fails to read, or the state is lost.
    pub fn read_page(&self, page: PageNumber, content: &mut [u8]) -> io::Result<()> {
        // Held while reading, so that the page is read either before it is kept, and then unchanged, or from there.
        let kept = self.kept();
        if let Some(reason) = &kept.lost {
            return Err(io::Error::other(reason.clone()));
        }
        match kept.places.get(&page) {
            Some(Place::Memory(bytes)) => content.copy_from_slice(bytes),
            Some(Place::Spilled(slot)) => {
                let spill = kept.spill.as_ref().ok_or(io::ErrorKind::NotFound)?;
                spill.read_exact_at(content, slot * content.len() as u64)?;
            }
            None => read_file_page(&self.files, self.page_size, page, content)
                .map_err(io::Error::other)?,
        }
        Ok(())
    }

    /// Lets go of `page` and those before it: they are not read again.
    pub fn done(&self, page: PageNumber) {
        let mut kept = self.kept();
        if let Some(next) = PageNumber::new(page.value().saturating_add(1)) {
            kept.next = next;
        }
        match kept.places.remove(&page) {
            Some(Place::Memory(bytes)) => kept.memory -= bytes.len(),
            Some(Place::Spilled(slot)) => kept.free.push(slot),
            None => {}
        }
    }

    /// Lets go of the pages before `page`, and keeps `page`, whose content this is, to be read again.
    ///
    /// # Errors
    /// When there is no room for it.
    pub fn hold(&self, page: PageNumber, content: &[u8]) -> io::Result<()> {
        self.done(page);
        self.kept().store(page, content)
    }

    /// Size of a page.
    pub fn page_size(&self) -> PageSize {
        self.page_size
    }

    /// Size of the database in this state.
    pub fn pages(&self) -> PageCount {
        self.pages
    }

    /// Bytes of pages that are kept in the file without a name.
    pub fn spilled_bytes(&self) -> u64 {
        self.kept().spilled * u64::from(self.page_size.bytes())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn store(&mut self, page: PageNumber, content: &[u8]) -> io::Result<()> {
        let place = match self.memory + content.len() <= MEMORY_BYTES {
            true => {
                self.memory += content.len();
                Place::Memory(content.into())
            }
            false => Place::Spilled(self.spill(content)?),
        };
        self.places.insert(page, place);
        Ok(())
    }

    fn spill(&mut self, content: &[u8]) -> io::Result<u64> {
        if self.spill.is_none() {
            self.spill = Some(unnamed_file(&self.directory)?);
        }
        let slot = self.free.pop().unwrap_or(self.spilled);
        if let Some(file) = &self.spill {
            file.write_all_at(content, slot * content.len() as u64)?;
        }
        self.spilled = self.spilled.max(slot + 1);
        Ok(slot)
    }

    fn lose(&mut self, reason: String) {
        self.lost.get_or_insert(reason);
        self.places = HashMap::new();
        self.spill = None;
        self.memory = 0;
    }
}

/// A file in `directory` that has no name, and so is gone when it is closed, however that comes about.
fn unnamed_file(directory: &Path) -> io::Result<File> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(format!(
        "walbrook-kept-{:016x}",
        crate::sys::random::unique()
    ));
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}
