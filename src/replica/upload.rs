//! The files of one sync, written from one view.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::WriterId;
use super::proof::Proof;
use crate::database::PageSet;
use crate::ltx::{Checksum, Encoder, Header};
use crate::sqlite::{Frozen, SqliteError, View};
use crate::storage::{Content, FileName, Storage, StorageError};
use crate::sys::random;
use crate::units::{Level, PageCount, PageNumber, PageSize, Timestamp, TxidRange};

/// A long upload says how far it is so often, looking at the clock every so many pages.
const REPORT_AFTER: Duration = Duration::from_secs(30);
const REPORT_PAGES: u32 = 256;

/// An upload of so many bytes is made from a frozen state, since it may take hours on a slow link.
const FROZEN_FROM_BYTES: u64 = 8 << 20;
/// But not while more than this is in the WAL only, all of which would have to be kept aside.
const FROZEN_IN_WAL_BYTES_MAX: u64 = 64 << 20;
/// So many pages that a later file holds once more may be kept aside for it.
const AGAIN_MAX: u64 = 8;

/// What an upload reads from: a view that is lent to it, or a frozen state, which is its own. It can be called back
/// while the upload hangs, since a view keeps the WAL from starting over.
#[derive(Clone)]
pub(super) struct LentView(Arc<Mutex<Option<Source>>>);

enum Source {
    View(Arc<View>),
    Frozen(Frozen),
}

impl LentView {
    /// Lends `view`.
    fn new(view: &Arc<View>) -> LentView {
        LentView(Arc::new(Mutex::new(Some(Source::View(Arc::clone(view))))))
    }

    /// Takes the view back, and drops it. The upload fails when it wants the next page. Gives whether it was
    /// still lent.
    pub(super) fn call_back(&self) -> bool {
        self.source().take().is_some()
    }

    /// Whether the view, or the frozen state, is still lent.
    pub(super) fn is_lent(&self) -> bool {
        self.source().is_some()
    }

    /// Whether a frozen state is lent.
    pub(super) fn is_frozen(&self) -> bool {
        matches!(&*self.source(), Some(Source::Frozen(_)))
    }

    /// Whether a view is lent, which keeps the WAL from starting over.
    pub(super) fn holds_view(&self) -> bool {
        matches!(&*self.source(), Some(Source::View(_)))
    }

    /// Has a frozen state keep what has changed since it was taken.
    pub(super) fn keep(&self, keep: impl FnOnce(&Frozen)) {
        if let Some(Source::Frozen(frozen)) = &*self.source() {
            keep(frozen);
        }
    }

    /// Gives a frozen state up: it is read but once.
    fn end_reading(&self) {
        self.source()
            .take_if(|source| matches!(source, Source::Frozen(_)));
    }

    fn read(&self, page: PageNumber, content: &mut [u8], release: Release) -> io::Result<()> {
        // Locked for one page at a time, and never while the storage is being written.
        match &*self.source() {
            Some(Source::View(view)) => view.read_page(page, content).map_err(io::Error::other),
            Some(Source::Frozen(frozen)) => {
                frozen.read_page(page, content)?;
                match release {
                    Release::Nothing => Ok(()),
                    Release::Page => {
                        frozen.done(page);
                        Ok(())
                    }
                    Release::AllBut => frozen.hold(page, content),
                }
            }
            None => Err(io::Error::other(
                "the read view was called back: this upload kept the WAL from starting over for too long",
            )),
        }
    }

    fn source(&self) -> MutexGuard<'_, Option<Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What of a frozen state is not needed any more once a page was read.
#[derive(Clone, Copy)]
enum Release {
    /// A later file reads it all again.
    Nothing,
    /// This page, and those before it.
    Page,
    /// Those before it; a later file reads this page again.
    AllBut,
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
    /// Tells its content from that of any other file.
    id: u64,
    /// What it says of the database, once that is decided.
    database: Arc<OnceLock<Option<Checksum>>>,
}

impl UploadFile {
    /// A new one.
    pub fn new(name: FileName, created: Timestamp, pages: Arc<PageSet>) -> UploadFile {
        UploadFile {
            name,
            created,
            pages,
            id: random::unique(),
            database: Arc::default(),
        }
    }
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
    /// Another upload is to read everything from the same source.
    followed: bool,
    proof: Proof,
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
            header: Header {
                node_id: WriterId::of(view.mark()).number(),
                ..Header::new(
                    view.page_size(),
                    view.pages(),
                    TxidRange::single(crate::units::Txid::FIRST),
                    Timestamp::from_millis(0),
                )
            },
            files,
            confirmed: 0,
            followed: false,
            proof: Proof::of_new(None),
        }
    }

    /// The same, `followed` by one that reads everything from the same source, or not.
    pub(super) fn followed(self, followed: bool) -> Upload {
        Upload { followed, ..self }
    }

    /// The same, with what is known of the database.
    pub(super) fn proven_by(self, proof: Proof) -> Upload {
        Upload { proof, ..self }
    }

    /// Makes a large upload independent of its view, which then does not keep the WAL from starting over for hours.
    /// What has to be kept aside for it goes into memory, and from there into a file in `directory`. From now on it
    /// has to be told of changes. Nothing is done for a small one.
    ///
    /// # Errors
    /// When that cannot be; the upload reads from its view as before. Nor is it done from a view that is no longer
    /// `newest`: of what has changed since, nothing was kept.
    pub fn freeze(&self, newest: &Arc<View>, directory: &Path) -> Result<(), SqliteError> {
        let mut source = self.view.source();
        let Some(Source::View(view)) = &*source else {
            return Ok(());
        };
        if !Arc::ptr_eq(view, newest) {
            return Ok(());
        }
        let page = u64::from(view.page_size().bytes());
        let bytes = u64::from(view.pages().0) * page;
        let in_wal = view.pages_in_wal().count() as u64 * page;
        if bytes >= FROZEN_FROM_BYTES && in_wal <= FROZEN_IN_WAL_BYTES_MAX {
            let frozen = Frozen::of(view, directory)?;
            *source = Some(Source::Frozen(frozen));
        }
        Ok(())
    }

    /// An upload of `files` from the same view, for as long as that is lent to this one.
    pub(super) fn followed_by(&self, files: Vec<UploadFile>) -> Upload {
        Upload {
            view: self.view.clone(),
            header: self.header,
            files,
            confirmed: 0,
            followed: false,
            proof: Proof::of_confirmed(self.proof.database()),
        }
    }

    /// Whether it is followed by one that reads everything.
    pub(super) fn is_followed(&self) -> bool {
        self.followed
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

    /// The size of the pages.
    pub(super) fn page_size(&self) -> PageSize {
        self.header.page_size
    }

    /// The sums of the pages of its first file that the database has, in order, once that was written.
    pub(super) fn sums(&self) -> Option<&[Checksum]> {
        self.proof.of_sent()
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
        let files = &self.files[self.confirmed..];
        // Of levels there is only one content for a name.
        let syncs = files.iter().any(|file| file.name.level == Level::SYNC);
        if syncs && let Err(error) = storage.claim(self.header.node_id) {
            return UploadResult::not_begun(error);
        }
        for (index, file) in files.iter().enumerate() {
            let content = FileContent {
                upload: self,
                file,
                later: &files[index + 1..],
            };
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
        if !self.followed && !matches!(result.error, Some(StorageError::Content { .. })) {
            self.view.end_reading();
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
    /// Those that follow it.
    later: &'a [UploadFile],
}

impl FileContent<'_> {
    /// What is not needed any more once `page` was read.
    fn release(&self, page: PageNumber) -> Release {
        let mut later = self.later.iter();
        if self.upload.followed || later.any(|file| file.pages.len() > AGAIN_MAX) {
            return Release::Nothing;
        }
        match self.later.iter().any(|file| file.pages.contains(page)) {
            true => Release::AllBut,
            false => Release::Page,
        }
    }
}

impl FileContent<'_> {
    /// The pages it holds, in order.
    fn pages(&self) -> impl Iterator<Item = PageNumber> + '_ {
        let Header {
            commit, page_size, ..
        } = self.upload.header;
        let lock_page = page_size.lock_page();
        let pages = self.file.pages.iter();
        pages
            .take_while(move |page| commit.holds(*page))
            .filter(move |page| *page != lock_page)
    }

    /// Whether the sums of its pages are wanted.
    fn is_summed(&self) -> bool {
        let first = self.upload.files.first();
        first.is_some_and(|first| first.id == self.file.id) && self.upload.proof.lacks_sent()
    }

    /// What it says of the database. Decided once, so that it has the same bytes however often it is written.
    fn database(&self) -> io::Result<Option<Checksum>> {
        if let Some(decided) = self.file.database.get() {
            return Ok(*decided);
        }
        let Upload {
            view,
            proof,
            followed,
            ..
        } = self.upload;
        let can_be_read_again = view.holds_view() || *followed;
        if self.is_summed() && proof.lacks_only_sent() && can_be_read_again {
            let mut content = vec![0; self.upload.header.page_size.bytes() as usize];
            let mut sums = Vec::new();
            for page in self.pages() {
                view.read(page, &mut content, Release::Nothing)?;
                sums.push(Checksum::of_page(page, &content));
            }
            proof.sent(sums);
        }
        Ok(*self.file.database.get_or_init(|| proof.database()))
    }
}

impl Content for FileContent<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let header = Header {
            txids: self.file.name.txids,
            timestamp: self.file.created,
            ..self.upload.header
        };
        let header = header.with_database(self.database()?);
        let mut sums = self.is_summed().then(Vec::new);
        let mut content = vec![0; header.page_size.bytes() as usize];
        let mut encoder = Encoder::new(out, &header)?;
        let mut report = Instant::now() + REPORT_AFTER;
        for page in self.pages() {
            let view = &self.upload.view;
            view.read(page, &mut content, self.release(page))?;
            encoder.page(page, &content)?;
            if let Some(sums) = &mut sums {
                sums.push(Checksum::of_page(page, &content));
            }
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
        if let Some(sums) = sums {
            self.upload.proof.sent(sums);
        }
        Ok(())
    }

    fn id(&self) -> u64 {
        self.file.id
    }

    fn most_bytes(&self) -> u64 {
        let header = &self.upload.header;
        let pages = self.file.pages.len().min(header.commit.0.into());
        Encoder::<Vec<u8>>::most_bytes(pages, header.page_size)
    }
}

/// The name of the file of one sync.
pub(super) fn sync_file(txids: TxidRange) -> FileName {
    FileName {
        level: Level::SYNC,
        txids,
    }
}
