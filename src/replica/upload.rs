//! The files of one sync, written from one view.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::database::PageSet;
use crate::ltx::{Encoder, Header};
use crate::sqlite::View;
use crate::storage::{Content, FileName, Storage, StorageError};
use crate::units::{Level, PageCount, Timestamp, TxidRange};

/// A long upload says how far it is so often, looking at the clock every so many pages.
const REPORT_AFTER: Duration = Duration::from_secs(30);
const REPORT_PAGES: u32 = 256;

/// A view lent to an upload. It can be called back while the upload hangs, since a view keeps the WAL from
/// starting over.
#[derive(Clone)]
pub(super) struct LentView(Arc<Mutex<Option<Arc<View>>>>);

impl LentView {
    /// Lends `view`.
    fn new(view: &Arc<View>) -> LentView {
        LentView(Arc::new(Mutex::new(Some(Arc::clone(view)))))
    }

    /// Takes the view back, and drops it. The upload fails when it wants the next page. Gives whether the view
    /// was still lent.
    pub(super) fn call_back(&self) -> bool {
        let lent = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        lent.is_some()
    }

    /// Whether the view is still lent.
    pub(super) fn is_lent(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }

    fn with<T>(&self, action: impl FnOnce(&View) -> io::Result<T>) -> io::Result<T> {
        // Locked for one page at a time, and never while the storage is being written.
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(view) => action(view),
            None => Err(io::Error::other(
                "the read view was called back: this upload kept the WAL from starting over for too long",
            )),
        }
    }
}

/// One LTX file to be written from a view.
#[derive(Clone)]
pub struct UploadFile {
    /// Its name.
    pub name: FileName,
    /// The time it gets.
    pub created: Timestamp,
    /// Which pages it holds; those the state no longer has, and the lock page, are left out.
    pub pages: Arc<PageSet>,
}

/// What one sync writes: files from one view, in order. Later ones are written only after earlier ones.
/// It can be run again, and then writes the same bytes.
#[derive(Clone)]
pub struct Upload {
    view: LentView,
    header: Header,
    files: Vec<UploadFile>,
    /// How many of them are confirmed, from the front.
    confirmed: usize,
}

/// How an upload ended.
#[derive(Debug)]
pub struct UploadResult {
    /// How many files the storage has confirmed, from the first on that was not yet.
    pub confirmed: usize,
    /// Bytes in those files.
    pub bytes: u64,
    /// Why the next one failed, if not all were confirmed.
    pub error: Option<StorageError>,
    /// Whether something sent earlier may yet replace what is confirmed.
    pub late_writes_replace: bool,
}

impl UploadResult {
    /// A result for an upload that could not even be begun.
    pub fn not_begun(error: StorageError) -> UploadResult {
        UploadResult {
            confirmed: 0,
            bytes: 0,
            error: Some(error),
            late_writes_replace: false,
        }
    }
}

impl Upload {
    /// An upload of `files` from `view`.
    pub fn new(view: &Arc<View>, files: Vec<UploadFile>) -> Upload {
        Upload {
            view: LentView::new(view),
            // The range and time of each file are filled in when it is written.
            header: Header::new(
                view.page_size(),
                view.pages(),
                TxidRange::single(crate::units::Txid::FIRST),
                Timestamp::from_millis(0),
            ),
            files,
            confirmed: 0,
        }
    }

    /// An upload of `files` from the same view, for as long as that is lent to this one.
    pub(super) fn followed_by(&self, files: Vec<UploadFile>) -> Upload {
        Upload {
            view: self.view.clone(),
            header: self.header,
            files,
            confirmed: 0,
        }
    }

    /// Whether a file that is not confirmed holds every page.
    pub fn holds_everything(&self) -> bool {
        let pages = u64::from(self.header.commit.0);
        let mut left = self.files[self.confirmed..].iter();
        left.any(|file| file.pages.len() >= pages)
    }

    /// How many pages the database has.
    pub(super) fn commit(&self) -> PageCount {
        self.header.commit
    }

    /// The files that are not confirmed, and their times.
    pub fn files(&self) -> impl Iterator<Item = (FileName, Timestamp)> + '_ {
        let left = self.files[self.confirmed..].iter();
        left.map(|file| (file.name, file.created))
    }

    /// The view it reads from.
    pub(super) fn view(&self) -> &LentView {
        &self.view
    }

    /// Notes that so many more files are confirmed.
    pub(super) fn confirm(&mut self, files: usize) {
        self.confirmed += files;
    }

    /// The newest `files` that are confirmed.
    pub(super) fn newly_confirmed(&self, files: usize) -> &[UploadFile] {
        let from = self.confirmed.saturating_sub(files);
        &self.files[from..self.confirmed]
    }

    /// The first file, if it is confirmed.
    pub(super) fn first_confirmed(&self) -> Option<FileName> {
        self.files[..self.confirmed].first().map(|file| file.name)
    }

    /// The last file that is confirmed, and its time.
    pub(super) fn last_confirmed(&self) -> Option<(FileName, Timestamp)> {
        let last = self.files[..self.confirmed].last()?;
        Some((last.name, last.created))
    }

    /// The first file that is not confirmed.
    pub(super) fn next(&self) -> Option<&UploadFile> {
        self.files.get(self.confirmed)
    }

    /// Its name.
    pub(super) fn next_file(&self) -> Option<FileName> {
        self.next().map(|file| file.name)
    }

    /// Writes the files that are not confirmed to `storage`, which may take long.
    pub fn run(&self, storage: &dyn Storage) -> UploadResult {
        let mut result = UploadResult {
            confirmed: 0,
            bytes: 0,
            error: None,
            late_writes_replace: false,
        };
        for file in &self.files[self.confirmed..] {
            let content = FileContent { upload: self, file };
            match storage.write(file.name, file.created, &content) {
                Ok(size) => {
                    result.confirmed += 1;
                    result.bytes += size;
                }
                Err(error) => {
                    result.error = Some(error);
                    break;
                }
            }
        }
        // Asked last: only writing may show what the storage does with a name that is taken.
        result.late_writes_replace = storage.late_writes_replace();
        result
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.files.iter().map(|file| file.name))
            .finish()
    }
}

struct FileContent<'a> {
    upload: &'a Upload,
    file: &'a UploadFile,
}

impl Content for FileContent<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = Header {
            txids: self.file.name.txids,
            timestamp: self.file.created,
            ..self.upload.header
        };
        let lock_page = header.page_size.lock_page();
        let mut content = vec![0; header.page_size.bytes() as usize];
        let mut encoder = Encoder::new(out, &header)?;
        let mut report = Instant::now() + REPORT_AFTER;
        for page in self.file.pages.iter() {
            if !header.commit.holds(page) {
                break;
            }
            if page == lock_page {
                continue;
            }
            let read = |view: &View| view.read_page(page, &mut content).map_err(io::Error::other);
            self.upload.view.with(read)?;
            encoder.page(page, &content)?;
            if page.value().is_multiple_of(REPORT_PAGES) && Instant::now() >= report {
                report += REPORT_AFTER;
                log::info!(
                    "writing {}: at page {page} of {}",
                    self.file.name,
                    header.commit
                );
            }
        }
        encoder.finish()?;
        Ok(())
    }
}

/// The name of the file of one sync.
pub(super) fn sync_file(txids: TxidRange) -> FileName {
    FileName {
        level: Level::SYNC,
        txids,
    }
}
