//! Follows a replica: applies what comes to it to a copy that was restored from it, in place, one file after the other.
//!
//! A file is fetched whole and verified before the copy is touched. It is applied as SQLite itself would write, with
//! its locks and a journal (`sqlite::rollback`): a reader sees the state before or after, also when this program is
//! killed in between, and a copy that is opened after that needs nobody to repair it. Only then is its TXID noted
//! (`note`). Killed between the two, the file is applied once more, which gives the same state: a file holds the pages
//! that have changed as they are after it, so what is written is what is there.
//!
//! A file that does not continue this very state is refused before that, where it says what the database is after it
//! (`proof`).
//!
//! Two things in page 1 are not the source's: the copy is in rollback mode (bytes 18 and 19 are 1), since in WAL mode
//! readers would not heed those locks; and every file counts up the change counter (bytes 24 and 92), by which readers
//! know that what they remember of the copy is stale. A source in WAL mode leaves it as it is.

use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::error::RestoreError;
use super::fetch::{Fetch, Span, storage_error};
use super::proof::{Pages, Proof};
use super::{PAUSES, note, plan};
use crate::ltx::{self, Decoder, Header};
use crate::sqlite::{Change, InPlace};
use crate::storage::{FileInfo, Storage};
use crate::sys::fs::{FileSystem, OpenFile, SystemFiles, with_suffix};
use crate::sys::temporary;
use crate::units::{Level, PageCount, PageNumber, PageSize, Txid};

/// Larger files are kept on the disk between fetching and applying.
const MEMORY_BYTES: u64 = 2 << 20;
/// So many files of level 0 are worth a look at the levels, which have their pages only once.
const MANY_FILES: usize = 32;
/// How often a lock is asked for.
const LOCK_PAUSE: Duration = Duration::from_millis(5);
/// How long no reader may begin while older ones are waited for, and how long they may after that.
const HOLDING_BACK: Duration = Duration::from_secs(1);
const GIVING_WAY: Duration = Duration::from_millis(100);
/// A wait for readers that is worth a line in the log.
const LONG_WAIT: Duration = Duration::from_secs(5);

/// Bytes 18 and 19 of a database in rollback mode.
const ROLLBACK_MODE: [u8; 2] = [1, 1];
/// Where page 1 says which mode it is in, what change it is of, and what change its size is of.
const MODE: usize = 18;
const COUNTER: usize = 24;
const SIZE_COUNTER: usize = 92;

const WRITTEN_TO: &str = "somebody else has written to it, so it is a copy no more; restore it anew with -force, or \
                          remove its -txid if it is to stay as it is";

/// A change to the copy.
struct Edit<'a> {
    page_size: PageSize,
    /// The size of the database after it; none for that before it.
    commit: Option<PageCount>,
    /// The pages that are written, ascending.
    pages: &'a [PageNumber],
}

/// Writes the pages of a change to the copy of this name. It is given the beginning of page 1, which is written last.
type WritePages<'a> =
    dyn FnMut(&mut Change<'_>, &mut [u8; 100], &Path) -> Result<(), RestoreError> + 'a;

/// A copy, and the replica that it follows.
pub struct Follower {
    storage: Arc<dyn Storage>,
    output: PathBuf,
    copy: InPlace,
    at: Txid,
    /// The change counter that was written last; another one is somebody else's.
    counter: Option<u32>,
    proof: Proof,
    /// Files that turned out to be damaged. What they hold may come in another one.
    damaged: Vec<FileInfo>,
    gate: Arc<Gate>,
}

/// Through which a follower goes to apply a file, and which can be shut.
#[derive(Default)]
pub struct Gate {
    is_shut: AtomicBool,
    applying: Mutex<()>,
}

impl Gate {
    /// Shuts it: returns when no file is being applied, and none will be.
    pub fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
        drop(self.applying.lock());
    }

    /// Passes it; none where it is shut.
    fn pass(&self) -> Option<MutexGuard<'_, ()>> {
        let inside = self.applying.lock();
        let inside = inside.unwrap_or_else(PoisonError::into_inner);
        (!self.is_shut()).then_some(inside)
    }

    fn is_shut(&self) -> bool {
        self.is_shut.load(Ordering::SeqCst)
    }
}

/// What a look at the replica came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Look {
    /// The copy has a newer state.
    Applied {
        /// How many files were applied.
        files: usize,
    },
    /// There is nothing new.
    Nothing,
    /// There is something newer, but files before it are missing.
    Hole {
        /// The newest TXID there is.
        newest: Txid,
    },
    /// The replica ends before the state of the copy: it was set back, or it is another one now.
    Behind {
        /// The newest TXID there is; none when it is empty.
        newest: Option<Txid>,
    },
    /// The gate is shut.
    Stopped,
}

impl Follower {
    /// Follows `storage` with the copy `output`, a database file with its note. What a killed run left half done is
    /// taken back first.
    ///
    /// # Errors
    /// When there is no such copy, or somebody has written to it.
    pub fn open(
        storage: Arc<dyn Storage>,
        output: &Path,
        gate: Arc<Gate>,
    ) -> Result<Follower, RestoreError> {
        let refused = |why: &str| RestoreError::io("follow with", output, io::Error::other(why));
        let at = note::noted(&SystemFiles, output)?.ok_or_else(|| {
            refused(
                "there is no -txid beside it that says which state it has, so it is no copy that is followed; restore \
                 it anew with -force",
            )
        })?;
        let wal = SystemFiles.status(&with_suffix(output, "-wal"));
        if wal.is_ok_and(|wal| wal.size > 0) {
            return Err(refused(WRITTEN_TO));
        }
        let copy =
            InPlace::open(output).map_err(|error| RestoreError::io("open", output, error))?;
        Ok(Follower {
            storage,
            output: output.to_path_buf(),
            copy,
            at,
            counter: None,
            proof: Proof::default(),
            damaged: Vec::new(),
            gate,
        })
    }

    /// The state the copy has.
    pub fn txid(&self) -> Txid {
        self.at
    }

    /// Looks once at the replica, with one request where there is nothing new, and applies what there is.
    ///
    /// # Errors
    /// When the replica cannot be read, or the copy not written; see [`RestoreError::is_of_replica`].
    pub fn look(&mut self) -> Result<Look, RestoreError> {
        if !self.leave_wal_mode()? {
            return Ok(Look::Stopped);
        }
        // With the file that the copy is at, so that a replica that was set back is noticed.
        let newest = self.storage.list_from(Level::SYNC, self.at)?;
        let chain = self.chain(&newest);
        if (1..MANY_FILES).contains(&chain.len()) {
            return self.apply_all(&chain);
        }
        if newest.iter().any(|file| file.name.txids.max() == self.at) && newest.len() == 1 {
            return Ok(Look::Nothing);
        }
        let all = self.storage.list_all()?;
        let newest = all.iter().map(|file| file.name.txids.max()).max();
        match newest.filter(|newest| *newest >= self.at) {
            None => Ok(Look::Behind { newest }),
            Some(newest) if newest == self.at => Ok(Look::Nothing),
            Some(newest) => match self.chain(&all) {
                chain if chain.is_empty() => Ok(Look::Hole { newest }),
                chain => self.apply_all(&chain),
            },
        }
    }

    /// The files that lead on.
    fn chain(&self, files: &[FileInfo]) -> Vec<FileInfo> {
        let sound = files.iter().filter(|file| !self.damaged.contains(file));
        plan::onward(&sound.copied().collect::<Vec<_>>(), self.at)
    }

    fn apply_all(&mut self, chain: &[FileInfo]) -> Result<Look, RestoreError> {
        let before = self.at;
        let mut files = 0;
        for &file in chain {
            match self.apply(file) {
                Ok(true) => files += 1,
                Ok(false) => return Ok(Look::Stopped),
                // Merged and deleted since the listing; the next look finds where it went.
                Err(error) if error.is_gone() && self.at > before => break,
                Err(error) => {
                    if matches!(
                        error,
                        RestoreError::Damaged { .. } | RestoreError::NameDiffers { .. }
                    ) {
                        self.damaged.push(file);
                    }
                    return Err(error);
                }
            }
        }
        Ok(Look::Applied { files })
    }

    /// Applies one file, which joins the state of the copy. False where the gate is shut.
    fn apply(&mut self, file: FileInfo) -> Result<bool, RestoreError> {
        let mut spool = self.fetch(file)?;
        let (header, pages) = verified(&mut spool, file)?;
        let gate = Arc::clone(&self.gate);
        let Some(_inside) = gate.pass() else {
            return Ok(false);
        };
        let first = self.first()?;
        let unchanged = check_copy(&first, self.counter, header.page_size);
        unchanged.map_err(|error| RestoreError::io("apply changes to", &self.output, error))?;
        let proof = self.proof.after(&header, &pages, &self.copy);
        let proof = proof.map_err(|error| RestoreError::io("read", &self.output, error))?;
        let proof = proof.ok_or(RestoreError::OtherDatabase { file: file.name })?;
        let edit = Edit {
            page_size: header.page_size,
            commit: Some(header.commit),
            pages: &pages.numbers,
        };
        if !self.edit(&edit, &mut |change, first, output| {
            write_pages(change, &mut spool, file, first, output)
        })? {
            return Ok(false);
        }
        self.proof = proof;
        self.at = file.name.txids.max();
        note::note(&SystemFiles, &self.output, self.at)?;
        Ok(true)
    }

    /// Puts a copy into rollback mode that Litestream has restored, and has not written to yet. False where the
    /// gate is shut.
    fn leave_wal_mode(&mut self) -> Result<bool, RestoreError> {
        let first = self.first()?;
        let Some(page_size) = page_size(&first).filter(|_| first[MODE..MODE + 2] != ROLLBACK_MODE)
        else {
            return Ok(true);
        };
        let gate = Arc::clone(&self.gate);
        let Some(_inside) = gate.pass() else {
            return Ok(false);
        };
        let edit = Edit {
            page_size,
            commit: None,
            pages: &[],
        };
        self.edit(&edit, &mut |_, _, _| Ok(()))
    }

    /// The beginning of page 1.
    fn first(&self) -> Result<[u8; 100], RestoreError> {
        let mut first = [0; 100];
        let read = self.copy.read(&mut first, 0);
        read.map_err(|error| RestoreError::io("read", &self.output, error))?;
        Ok(first)
    }

    /// Makes a change to the copy as a whole, page 1 always being a part of it; `write` writes the pages. False
    /// where the gate is shut.
    fn edit(&mut self, edit: &Edit<'_>, write: &mut WritePages<'_>) -> Result<bool, RestoreError> {
        let (output, gate) = (&*self.output, &*self.gate);
        let failed = |error| RestoreError::io("apply changes to", output, error);
        let mut wait = Wait::new(output, "another process writes to it");
        let mut change = loop {
            if gate.is_shut() {
                return Ok(false);
            }
            if let Some(change) = self.copy.begin().map_err(failed)? {
                break change;
            }
            wait.once();
        };
        let mut first = [0; 100];
        change.read(&mut first, 0).map_err(failed)?;
        check_copy(&first, self.counter, edit.page_size).map_err(failed)?;
        let bytes = change.size().map_err(failed)?;
        let before = bytes / u64::from(edit.page_size.bytes());
        let before = PageCount(u32::try_from(before).unwrap_or(u32::MAX));
        let commit = edit.commit.unwrap_or(before);
        let lock_page = edit.page_size.lock_page();
        let mut kept = [PageNumber::FIRST]
            .into_iter()
            .chain(edit.pages.iter().copied())
            .filter(|page| commit.holds(*page))
            .chain((commit.0.saturating_add(1)..=before.0).filter_map(PageNumber::new))
            .enumerate()
            .filter(|(index, page)| {
                *page != lock_page && (*index == 0 || *page != PageNumber::FIRST)
            })
            .map(|(_, page)| page);
        change
            .keep(edit.page_size, before.0, &mut kept)
            .map_err(failed)?;
        if !exclusive(&mut change, output, gate).map_err(failed)? {
            return Ok(false);
        }
        remove_empty_wal(output).map_err(failed)?;
        let counter = u32_at(&first, COUNTER).wrapping_add(1);
        write(&mut change, &mut first, output)?;
        first[MODE..MODE + 2].copy_from_slice(&ROLLBACK_MODE);
        first[COUNTER..COUNTER + 4].copy_from_slice(&counter.to_be_bytes());
        first[SIZE_COUNTER..SIZE_COUNTER + 4].copy_from_slice(&counter.to_be_bytes());
        change.write(&first, 0).map_err(failed)?;
        let size = commit.bytes(edit.page_size);
        change.commit(size).map_err(failed)?;
        self.counter = Some(counter);
        Ok(true)
    }

    /// Fetches a whole file.
    fn fetch(&self, file: FileInfo) -> Result<Spool, RestoreError> {
        let mut spool = match file.size {
            0..=MEMORY_BYTES => Spool::Memory(Cursor::new(Vec::new())),
            _ => Spool::beside(&self.output)
                .map_err(|error| RestoreError::io("make room beside", &self.output, error))?,
        };
        let mut fetch = Fetch::new(&*self.storage, Span::rest(file, 0), &PAUSES);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = match fetch.read(&mut buffer) {
                Ok(0) => return Ok(spool),
                Ok(count) => count,
                Err(error) => return Err(storage_error(error, file).into()),
            };
            spool
                .append(&buffer[..count])
                .map_err(|error| RestoreError::io("write beside", &self.output, error))?;
        }
    }
}

/// Puts page 1 of a database, or its beginning, into rollback mode: a copy is in that from its first moment.
pub(super) fn leave_wal_mode(file: &mut dyn OpenFile) -> io::Result<()> {
    file.write_all_at(&ROLLBACK_MODE, MODE as u64)
}

/// The size of pages that page 1 tells of.
fn page_size(first: &[u8; 100]) -> Option<PageSize> {
    PageSize::new(match u16::from_be_bytes([first[16], first[17]]) {
        1 => 65536,
        bytes => bytes.into(),
    })
}

/// Whether the copy is what was left the last time. `first` is the beginning of page 1.
fn check_copy(first: &[u8; 100], counter: Option<u32>, now: PageSize) -> io::Result<()> {
    let why = if page_size(first) != Some(now) {
        "the pages of the source have another size now; restore the copy anew with -force"
    } else if counter.is_some_and(|counter| counter != u32_at(first, COUNTER)) {
        WRITTEN_TO
    } else {
        return Ok(());
    };
    Err(io::Error::other(why))
}

/// While nobody reads, removes the -wal of a reader that was killed when the copy was in WAL mode: SQLite would go by
/// its presence and not by page 1.
fn remove_empty_wal(output: &Path) -> io::Result<()> {
    let wal = with_suffix(output, "-wal");
    match SystemFiles.status(&wal) {
        Ok(there) if there.size > 0 => Err(io::Error::other(WRITTEN_TO)),
        Ok(_) => {
            let _ = SystemFiles.remove(&with_suffix(output, "-shm"));
            SystemFiles.remove(&wal)
        }
        Err(_) => Ok(()),
    }
}

/// Reads a file to its end and verifies it. Gives its header and what its pages are.
fn verified(spool: &mut Spool, file: FileInfo) -> Result<(Header, Pages), RestoreError> {
    let mut decoder = open(spool, file)?;
    let header = *decoder.header();
    if header.txids != file.name.txids {
        return Err(RestoreError::NameDiffers {
            file: file.name,
            header: header.txids,
        });
    }
    let mut pages = Pages::new();
    while let Some(page) = decoder.next_page().map_err(|error| damaged(error, file))? {
        pages.add(page.number(), page.data(), header.commit);
    }
    decoder.finish().map_err(|error| damaged(error, file))?;
    Ok((header, pages))
}

/// Writes the pages of the verified file in `spool`. `first` becomes the beginning of page 1, if that is one of them.
fn write_pages(
    change: &mut Change<'_>,
    spool: &mut Spool,
    file: FileInfo,
    first: &mut [u8; 100],
    output: &Path,
) -> Result<(), RestoreError> {
    let mut decoder = open(spool, file)?;
    let (commit, page_size) = (decoder.header().commit, decoder.header().page_size);
    while let Some(page) = decoder.next_page().map_err(|error| damaged(error, file))? {
        if page.number() == PageNumber::FIRST {
            first.copy_from_slice(&page.data()[..100]);
        }
        if commit.holds(page.number()) {
            let written = change.write(page.data(), page.number().offset(page_size));
            written.map_err(|error| RestoreError::io("apply changes to", output, error))?;
        }
    }
    Ok(())
}

/// Waits until nobody reads. False where the gate is shut.
fn exclusive(change: &mut Change<'_>, output: &Path, gate: &Gate) -> io::Result<bool> {
    let mut wait = Wait::new(output, "others read it");
    let mut held_back = Instant::now();
    while !change.try_exclusive()? {
        if gate.is_shut() {
            return Ok(false);
        }
        wait.once();
        if held_back.elapsed() > HOLDING_BACK {
            change.give_way()?;
            thread::sleep(GIVING_WAY);
            held_back = Instant::now();
        }
    }
    Ok(true)
}

/// A wait for somebody else's lock, which is told of when it gets long, and each minute after that.
struct Wait<'a> {
    output: &'a Path,
    why: &'static str,
    told_at: Instant,
}

impl<'a> Wait<'a> {
    fn new(output: &'a Path, why: &'static str) -> Wait<'a> {
        Wait {
            output,
            why,
            told_at: Instant::now() + LONG_WAIT,
        }
    }

    fn once(&mut self) {
        let now = Instant::now();
        if now >= self.told_at {
            log::warn!("{}: waiting, since {}", self.output.display(), self.why);
            self.told_at = now + Duration::from_secs(60);
        }
        thread::sleep(LOCK_PAUSE);
    }
}

fn open(spool: &mut Spool, file: FileInfo) -> Result<Decoder<&mut dyn Read>, RestoreError> {
    let input = spool.start();
    let input = input.map_err(|error| damaged(ltx::Error::Io(error), file))?;
    Decoder::open(input).map_err(|error| damaged(error, file))
}

fn damaged(error: ltx::Error, file: FileInfo) -> RestoreError {
    match error {
        ltx::Error::Io(error) => RestoreError::Storage(storage_error(error, file)),
        ltx::Error::Invalid(fault) => RestoreError::Damaged {
            file: file.name,
            fault,
        },
    }
}

fn u32_at(bytes: &[u8; 100], at: usize) -> u32 {
    let [a, b, c, d] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
    u32::from_be_bytes([a, b, c, d])
}

/// A fetched file.
enum Spool {
    Memory(Cursor<Vec<u8>>),
    /// Without a name, so that it goes with this process.
    Disk(std::fs::File),
}

impl Spool {
    fn beside(output: &Path) -> io::Result<Spool> {
        let path = temporary::beside(output);
        let mut options = std::fs::File::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(path)?;
        Ok(Spool::Disk(file))
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Spool::Memory(memory) => memory.write_all(bytes),
            Spool::Disk(file) => file.write_all(bytes),
        }
    }

    /// It, from its first byte on.
    fn start(&mut self) -> io::Result<&mut dyn Read> {
        match self {
            Spool::Memory(memory) => {
                memory.set_position(0);
                Ok(memory)
            }
            Spool::Disk(file) => {
                file.seek(SeekFrom::Start(0))?;
                Ok(file)
            }
        }
    }
}
