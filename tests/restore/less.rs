//! Restores that fetch with several requests at a time, and no more than they need: what newer files superseded, and what
//! an older copy at the output has, is left where it is. Whatever is saved, what comes out is the same.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::restarts::gaps::fill;
use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::crash::CrashFiles;
use crate::support::forward::{forward, is_only_read};
use crate::support::memory::{Fault, Memory, name};
use crate::support::place::Place;
use crate::support::proxy::Proxy;
use crate::support::rig::{Program, Rig, sqlite, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::states::ltx_file;
use walbrook::restore::{Existing, Options, Outcome, Report, RestoreError, Target, restore};
use walbrook::storage::{ByteRange, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, PageSize, Txid, TxidRange};

const OUTPUT: &str = "/data/app.db";
const PAGE: usize = 4096;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// A database of noise, which cannot be compressed, and what a replica has of its states.
struct History {
    /// By TXID, from 1 on.
    states: Vec<Vec<u8>>,
    files: Vec<(FileName, i64, Vec<u8>)>,
    tagged: bool,
}

impl History {
    /// State 1 has so many pages.
    fn new(chance: &mut Chance, pages: usize, tagged: bool) -> History {
        let mut state: Vec<u8> = (0..pages * PAGE / 8)
            .flat_map(|_| chance.below(u64::MAX).to_le_bytes())
            .collect();
        state[..16].copy_from_slice(b"SQLite format 3\0");
        state[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
        let mut history = History {
            states: vec![state],
            files: Vec::new(),
            tagged,
        };
        history.snapshot();
        history
    }

    fn newest(&self) -> u64 {
        self.states.len() as u64
    }

    /// Stores the newest state whole.
    fn snapshot(&mut self) {
        self.store(9, 1, None);
    }

    /// Stores what changed since TXID `min` on a level.
    fn store(&mut self, level: u8, min: u64, changed: Option<&[usize]>) {
        let max = self.newest();
        let txid = |number| Txid::new(number).unwrap();
        let range = TxidRange::new(txid(min), txid(max)).unwrap();
        let state = &self.states[self.states.len() - 1];
        let page_size = PageSize::new(PAGE as u32).unwrap();
        let bytes = ltx_file(page_size, range, state, changed, self.tagged);
        self.files.push((name(level, min, max), max as i64, bytes));
    }

    /// A new state, with these pages changed, counted from 0; those behind the end are new.
    fn commit(&mut self, chance: &mut Chance, changed: &[usize]) {
        let mut state = self.states[self.states.len() - 1].clone();
        for &index in changed {
            state.resize(state.len().max((index + 1) * PAGE), 0);
            // The beginning of page 1 stays.
            for byte in &mut state[index * PAGE + 100..(index + 1) * PAGE] {
                *byte = chance.below(256) as u8;
            }
        }
        self.states.push(state);
        self.store(0, self.newest(), Some(changed));
    }

    fn replica(&self) -> Memory {
        Memory::holding(self.files.iter().cloned())
    }

    fn size(&self, file: FileName) -> u64 {
        let file = self.files.iter().find(|(name, ..)| *name == file);
        file.unwrap().2.len() as u64
    }
}

fn options(files: &CrashFiles, parallelism: usize) -> Options {
    Options {
        existing: Existing::Replace,
        pauses: vec![Duration::ZERO; 3],
        parallelism,
        files: Arc::new(files.clone()),
        ..Options::default()
    }
}

/// Restores the newest state to a disk that has `old`, and gives what was asked for, in bytes.
#[track_caller]
fn restored(history: &History, replica: &Memory, old: &[u8], parallelism: usize) -> (u64, Report) {
    let files = CrashFiles::holding([(OUTPUT, old.to_vec())]);
    let options = options(&files, parallelism);
    let outcome = restore(
        replica,
        Target::Latest,
        OUTPUT.as_ref(),
        &options,
        &mut |_| (),
    );
    let Ok(Outcome::Restored(report)) = outcome else {
        panic!("{outcome:?}");
    };
    let expected = history.states.last().unwrap();
    assert!(
        files.now().read(OUTPUT) == Some(expected),
        "another database"
    );
    assert_eq!(files.now().paths().count(), 1, "nothing is left over");
    let asked = replica.reads().into_iter().map(|(file, range)| {
        let size = history.size(file);
        match range {
            ByteRange::From(offset) => size - offset,
            ByteRange::Last(bytes) => bytes.min(size),
            ByteRange::Exact { length, .. } => length,
        }
    });
    (asked.sum(), report)
}

/// A replica that takes its time, and counts the reads that are under way.
struct Together {
    replica: Memory,
    under_way: Arc<AtomicUsize>,
    most: AtomicUsize,
}

struct Counted(Box<dyn Read + Send>, Arc<AtomicUsize>);

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Storage for Together {
    forward!(replica: location, list);
    is_only_read!();
    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        let now = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        let reader = self.replica.read(name, range)?;
        Ok(Box::new(Counted(reader, Arc::clone(&self.under_way))))
    }
}

#[test]
fn so_many_requests_are_under_way_and_no_more() {
    let mut chance = Chance::of_seed(1);
    // One large file, and many small ones.
    let large = History::new(&mut chance, 2016, false);
    let mut small = History::new(&mut chance, 3, false);
    (0..31).for_each(|_| small.commit(&mut chance, &[1]));
    for history in [&large, &small] {
        for parallelism in [1, 2, 4, 8] {
            let storage = Together {
                replica: history.replica(),
                under_way: Arc::default(),
                most: AtomicUsize::new(0),
            };
            let files = CrashFiles::holding([("/data/other", Vec::new())]);
            let options = options(&files, parallelism);
            restore(
                &storage,
                Target::Latest,
                OUTPUT.as_ref(),
                &options,
                &mut |_| (),
            )
            .unwrap();
            assert!(files.now().read(OUTPUT) == history.states.last().map(Vec::as_slice));
            assert_eq!(storage.most.into_inner(), parallelism);
            if parallelism == 1 {
                assert_eq!(storage.replica.reads().len(), history.files.len());
            }
        }
    }
}

#[test]
fn each_byte_is_asked_for_once() {
    let mut chance = Chance::of_seed(2);
    let mut history = History::new(&mut chance, 1000, false);
    (0..30).for_each(|page| history.commit(&mut chance, &[page * 7, page]));
    let all: u64 = history.files.iter().map(|file| file.2.len() as u64).sum();
    for parallelism in 1..6 {
        let (asked, report) = restored(&history, &history.replica(), b"", parallelism);
        assert_eq!((asked, report.bytes, report.files), (all, all, 31));
    }
}

#[test]
fn pieces_that_break_off_are_gone_on_with() {
    let mut chance = Chance::of_environment("pieces_that_break_off_are_gone_on_with");
    let history = History::new(&mut chance, 800, true);
    for _ in 0..20 {
        let replica = history.replica();
        for _ in 0..3 {
            let after = chance.below(2 * MIB) as usize;
            replica.fail([match chance.once_in(2) {
                true => Fault::Short(after),
                false => Fault::Reset(after),
            }]);
        }
        restored(&history, &replica, b"", chance.of(&[1, 2, 4]));
    }
}

#[test]
fn a_file_that_is_longer_or_shorter_than_it_was_listed_is_damaged() {
    let mut chance = Chance::of_seed(4);
    let history = History::new(&mut chance, 700, false);
    let (file, _, bytes) = history.files[0].clone();
    for parallelism in [1, 3] {
        for length in [bytes.len() + 1, 2 * MIB as usize + 5, 3, 0] {
            let storage = Lists(history.replica(), bytes.len() as u64);
            let mut other = bytes.clone();
            other.resize(length, 0);
            storage.0.set(file, Some(other));
            let files = CrashFiles::holding([("/data/other", Vec::new())]);
            let options = options(&files, parallelism);
            let outcome = restore(
                &storage,
                Target::Latest,
                OUTPUT.as_ref(),
                &options,
                &mut |_| (),
            );
            match outcome {
                Err(RestoreError::NoOtherWay { cause, .. }) => {
                    assert!(matches!(*cause, RestoreError::Damaged { .. }), "{cause}");
                }
                other => panic!("{parallelism}, {length}: {other:?}"),
            }
            assert_eq!(files.now().paths().count(), 1, "nothing is left over");
        }
    }
}

/// A replica that lists its files as of another size than they have.
struct Lists(Memory, u64);

impl Storage for Lists {
    is_only_read!();
    fn location(&self) -> String {
        self.0.location()
    }
    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        let mut files = self.0.list(level)?;
        files.iter_mut().for_each(|file| file.size = self.1);
        Ok(files)
    }
    fn read(&self, name: FileName, range: ByteRange) -> Result<Box<dyn Read + Send>, StorageError> {
        self.0.read(name, range)
    }
}

/// A snapshot of 3 MiB of which a later file replaces the middle half.
fn half_superseded(chance: &mut Chance, tagged: bool) -> History {
    let mut history = History::new(chance, 768, tagged);
    let middle: Vec<usize> = (192..576).collect();
    history.commit(chance, &middle);
    history
}

#[test]
fn what_newer_files_superseded_is_not_fetched_where_the_result_is_proven() {
    let mut chance = Chance::of_seed(5);
    let history = half_superseded(&mut chance, true);
    let (asked, report) = restored(&history, &history.replica(), b"", 4);
    let needed = 3 * MIB;
    assert!((needed..needed + 100 * KIB).contains(&asked), "{asked}");
    assert!(report.bytes.abs_diff(asked) < 40 * KIB, "{}", report.bytes);
    // Nothing would prove it here.
    let history = half_superseded(&mut chance, false);
    let (asked, report) = restored(&history, &history.replica(), b"", 4);
    assert_eq!(asked, report.bytes);
    assert!(asked > 4 * MIB, "{asked}");
}

#[test]
fn damage_in_parts_that_were_read_is_found_and_told_as_ever() {
    let mut chance = Chance::of_seed(6);
    let history = half_superseded(&mut chance, true);
    let (file, _, bytes) = history.files[0].clone();
    let expected = history.states.last().unwrap();
    let mut outcomes = [0, 0];
    // In the header, in pages that are needed, in some that are not, in the index, and in the checksum.
    for place in (0..40)
        .map(|at| at * bytes.len() / 40 + 57)
        .chain([16, bytes.len() - 1])
    {
        let replica = history.replica();
        let mut damaged = bytes.clone();
        damaged[place] ^= 1;
        replica.set(file, Some(damaged));
        let files = CrashFiles::holding([(OUTPUT, b"old".to_vec())]);
        let options = options(&files, 2);
        match restore(
            &replica,
            Target::Latest,
            OUTPUT.as_ref(),
            &options,
            &mut |_| (),
        ) {
            Ok(_) => {
                assert!(files.now().read(OUTPUT) == Some(expected), "{place}");
                outcomes[0] += 1;
            }
            Err(RestoreError::NoOtherWay { cause, .. }) => {
                assert!(matches!(*cause, RestoreError::Damaged { .. }), "{cause}");
                assert!(files.now().read(OUTPUT).is_some_and(|it| it == b"old"));
                outcomes[1] += 1;
            }
            Err(error) => panic!("{place}: {error}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 10), "{outcomes:?}");
}

#[test]
fn an_interrupted_restore_does_not_fetch_parts_again() {
    let mut chance = Chance::of_seed(7);
    let history = half_superseded(&mut chance, true);
    let mut at = Vec::new();
    let files = CrashFiles::holding([(OUTPUT, b"old".to_vec())]);
    let mut options = options(&files, 1);
    options.note_every = 1;
    let replica = history.replica();
    restore(
        &replica,
        Target::Latest,
        OUTPUT.as_ref(),
        &options,
        &mut |progress| {
            if progress.done >= 80 * KIB * at.len() as u64 {
                at.push((progress.done, files.now()));
            }
        },
    )
    .unwrap();
    let whole = 3 * MIB;
    for (done, image) in &at {
        let files = CrashFiles::rebooted(image);
        options.files = Arc::new(files.clone());
        let replica = history.replica();
        let mut fetched = 0;
        let mut first = None;
        restore(
            &replica,
            Target::Latest,
            OUTPUT.as_ref(),
            &options,
            &mut |progress| {
                let before = *first.get_or_insert(progress.done);
                fetched = progress.done - before;
            },
        )
        .unwrap();
        assert!(files.now().read(OUTPUT) == history.states.last().map(Vec::as_slice));
        // A thirty-second of all is what is not noted, and a gap here or there.
        let twice = (done + fetched).saturating_sub(whole);
        assert!(twice <= whole / 10, "{done}: {fetched} of {whole}");
    }
}

#[test]
fn onto_an_older_copy_only_what_changed_since_is_fetched() {
    let mut chance = Chance::of_seed(8);
    let mut history = History::new(&mut chance, 1500, true);
    for txid in 2..=20 {
        history.commit(&mut chance, &[txid * 3, txid * 50, 1498 + txid]);
    }
    for (txid, old) in (1..).zip(&history.states) {
        let (asked, report) = restored(&history, &history.replica(), old, 4);
        let newer = history
            .files
            .iter()
            .filter(|(name, ..)| name.txids.min().value() > txid);
        let needed: u64 = newer.map(|file| file.2.len() as u64).sum();
        let newest = history.files.last().unwrap().2.len() as u64;
        // To see that the copy is the newest state takes the head of the newest file.
        assert_eq!(asked, needed.max(newest), "from {txid}");
        assert_eq!(report.bytes, needed);
    }
}

#[test]
fn an_older_copy_is_led_on_across_snapshots() {
    let mut chance = Chance::of_seed(9);
    let mut history = History::new(&mut chance, 1500, true);
    for txid in 2..=40 {
        history.commit(&mut chance, &[txid * 3, txid * 30]);
        if txid % 10 == 0 {
            // Level 1 has every ten, level 0 the newest ones only.
            let changed: Vec<usize> = (txid - 9..=txid).flat_map(|it| [it * 3, it * 30]).collect();
            let mut changed: Vec<usize> = changed.into_iter().filter(|it| *it > 0).collect();
            changed.sort_unstable();
            history.files.retain(|(name, ..)| name.level.value() != 0);
            history.store(1, (txid - 9).max(2) as u64, Some(&changed));
            history.snapshot();
        }
    }
    history.commit(&mut chance, &[7]);
    for (txid, old) in (1..).zip(&history.states).step_by(3) {
        let (asked, _) = restored(&history, &history.replica(), old, 4);
        let newer = history
            .files
            .iter()
            .filter(|(name, ..)| name.level.value() != 9 && name.txids.max().value() > txid);
        let needed: u64 = newer.map(|file| file.2.len() as u64).sum();
        assert!(
            asked <= needed.max(8 * KIB),
            "from {txid}: {asked}, not {needed}"
        );
    }
}

#[test]
fn whatever_is_at_the_output_the_result_is_the_same() {
    let mut chance = Chance::of_environment("whatever_is_at_the_output_the_result_is_the_same");
    for round in 0..12 {
        let pages = 300 + chance.below(900) as usize;
        let mut history = History::new(&mut chance, pages, round % 4 > 0);
        for _ in 0..chance.below(12) {
            let pages = history.states.last().unwrap().len() / PAGE;
            let from = chance.below(pages as u64) as usize;
            let most = chance.of(&[4, 4, 400]);
            let to = from + 1 + chance.below(most) as usize;
            history.commit(&mut chance, &(from..to.min(pages + 9)).collect::<Vec<_>>());
            if chance.once_in(4) {
                history.snapshot();
            }
        }
        for _ in 0..6 {
            let mut old = chance_of_state(&mut chance, &history);
            for _ in 0..chance.below(3) {
                let place = chance.below(old.len() as u64) as usize;
                match chance.below(3) {
                    0 => old[place] ^= 1,
                    1 => old.truncate(place.max(1)),
                    _ => old.resize(old.len() + place, 3),
                }
            }
            restored(&history, &history.replica(), &old, chance.of(&[1, 2, 4]));
        }
    }
}

fn chance_of_state(chance: &mut Chance, history: &History) -> Vec<u8> {
    history.states[chance.below(history.newest()) as usize].clone()
}

#[test]
fn the_program_brings_a_copy_up_to_date_over_s3() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    let mut session = Session::create(&rig.db());
    fill(&mut session, 24);
    rig.once();
    let copy = rig.path("copy.db");
    let restore = |flags: &[&str]| {
        proxy.reset_counts();
        let mut command = Program::Walbrook.command();
        command
            .arg("restore")
            .args(flags)
            .arg("-o")
            .arg(&copy)
            .arg(rig.url());
        rig.run(&mut command).ended().well();
        assert!(sum_of(&copy) == rig.source_sum());
        proxy.counts()
    };
    let whole = restore(&[]).bytes_down;
    assert!(whole > 20 * MIB, "{whole}");
    for _ in 0..5 {
        session.insert("t", 20);
        rig.once();
    }
    let little = restore(&["-force", "-keep-old"]).bytes_down;
    assert!(little < MIB, "{little} bytes for what changed");
    let nothing = restore(&["-force"]).bytes_down;
    assert!(nothing < 256 * KIB, "{nothing} bytes for nothing");
    // Whoever writes to the copy makes it another database.
    sqlite(
        &copy,
        "UPDATE bulk SET v = zeroblob(1048000) WHERE rowid = 3",
    );
    let whole_again = restore(&["-force"]).bytes_down;
    assert!(whole_again > 20 * MIB, "{whole_again}");
}
