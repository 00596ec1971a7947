//! Restores that are interrupted at any moment, and what the next one makes of it.

use std::sync::Arc;

use crate::support::chance::Chance;
use crate::support::crash::{CrashFiles, Image};
use crate::support::memory::{Fault, Memory, name};
use crate::support::states::ltx_file;
use walbrook::restore::{Existing, Options, Outcome, RestoreError, Target, restore};
use walbrook::storage::{FileName, Storage};
use walbrook::units::{PageSize, Txid, TxidRange};

const OUTPUT: &str = "/data/app.db";
const JOURNAL: &str = "/data/app.db.walbrook-unfinished";
const PAGE: usize = 512;

/// Databases, one for each TXID from 1 on, that grow, shrink and change, with some pages of zeros.
struct History {
    states: Vec<Vec<u8>>,
    files: Vec<(FileName, i64, Vec<u8>)>,
}

impl History {
    /// So many TXIDs; the base is a snapshot of so many pages. Where files are `tagged`, they say what the database is.
    fn new(chance: &mut Chance, txids: u64, pages: usize, tagged: bool) -> History {
        let mut state: Vec<u8> = Vec::new();
        while state.len() < pages * PAGE {
            state.extend(page(chance));
        }
        let base = file(TxidRange::snapshot(Txid::FIRST), &state, None, tagged);
        let mut history = History {
            files: vec![(name(9, 1, 1), 1, base)],
            states: vec![state.clone()],
        };
        for txid in 2..=txids {
            let before = state.len() / PAGE;
            let mut changed: Vec<usize> = (0..before).filter(|_| chance.below(9) == 0).collect();
            match chance.below(3) {
                0 => state.truncate(PAGE * (before - before / 5).max(1)),
                1 => changed.extend(before..before + 1 + chance.below(30) as usize),
                _ => {}
            }
            if changed.last().is_some_and(|last| *last >= before) {
                state.resize((changed[changed.len() - 1] + 1) * PAGE, 0);
            }
            changed.retain(|index| index * PAGE < state.len());
            for index in &changed {
                state[index * PAGE..][..PAGE].copy_from_slice(&page(chance));
            }
            let range = TxidRange::single(Txid::new(txid).unwrap());
            let bytes = file(range, &state, Some(&changed), tagged);
            history
                .files
                .push((name(0, txid, txid), txid as i64, bytes));
            history.states.push(state.clone());
        }
        history
    }

    /// The replica up to a TXID.
    fn replica(&self, txid: usize) -> Memory {
        Memory::holding(self.files[..txid].iter().cloned())
    }
}

fn page(chance: &mut Chance) -> Vec<u8> {
    match chance.below(8) {
        0 => vec![0; PAGE],
        _ => (0..PAGE).map(|_| chance.below(256) as u8).collect(),
    }
}

fn file(txids: TxidRange, state: &[u8], changed: Option<&[usize]>, tagged: bool) -> Vec<u8> {
    let page_size = PageSize::new(PAGE as u32).unwrap();
    ltx_file(page_size, txids, state, changed, tagged)
}

/// Restores to the disk. `seen` is told how far it is each time bytes have come.
fn run(
    storage: &dyn Storage,
    target: Target,
    files: &CrashFiles,
    seen: &mut dyn FnMut(u64),
) -> Result<Outcome, RestoreError> {
    let options = Options {
        existing: Existing::Replace,
        pauses: Vec::new(),
        note_every: 1,
        files: Arc::new(files.clone()),
        ..Options::default()
    };
    restore(storage, target, OUTPUT.as_ref(), &options, &mut |at| {
        seen(at.done);
    })
}

/// The disk after a restore that succeeds from what an interrupted one has left. Gives where it began.
#[track_caller]
fn completes(image: &Image, storage: &Memory, target: Target, expected: &[u8]) -> u64 {
    let files = CrashFiles::rebooted(image);
    let mut first = None;
    run(storage, target, &files, &mut |done| {
        first.get_or_insert(done);
    })
    .unwrap();
    let now = files.now();
    assert!(now.read(OUTPUT).is_some_and(|it| it == expected));
    // A temporary that no journal names stays until it is an hour old.
    let unnamed = usize::from(image.read(JOURNAL).is_none() && image.paths().count() > 1);
    assert_eq!(now.paths().count(), 1 + unnamed, "nothing is left over");
    first.unwrap_or_default()
}

fn disk() -> CrashFiles {
    CrashFiles::holding([(OUTPUT, b"the old database".to_vec())])
}

#[test]
fn a_killed_restore_is_gone_on_with() {
    let mut chance = Chance::of_environment("a_killed_restore_is_gone_on_with");
    for tagged in [false, true] {
        let history = History::new(&mut chance, 9, 400, tagged);
        let (replica, later) = (history.replica(6), history.replica(9));
        let files = disk();
        let mut moments = Vec::new();
        run(&replica, Target::Latest, &files, &mut |done| {
            moments.push((done, files.now()));
        })
        .unwrap();
        let total = moments.last().unwrap().0;
        let mut resumed = 0;
        for (done, image) in &moments {
            assert!(
                image
                    .read(OUTPUT)
                    .is_some_and(|it| it == b"the old database")
            );
            // A read from the storage gives at most 8 KiB.
            let begun = completes(image, &replica, Target::Latest, &history.states[5]);
            let fetched = done + total - begun.saturating_sub(8 << 10);
            assert!(fetched <= total + total / 16 + (20 << 10), "{fetched}");
            resumed += u32::from(begun > total / 2);
            // The replica has gone on meanwhile.
            completes(image, &later, Target::Latest, &history.states[8]);
            // Something else is wanted.
            let third = Target::Txid(Txid::new(3).unwrap());
            completes(image, &later, third, &history.states[2]);
        }
        assert!(resumed > 5, "{resumed} of {}", moments.len());
    }
}

#[test]
fn a_power_cut_costs_no_more_than_time() {
    let mut chance = Chance::of_environment("a_power_cut_costs_no_more_than_time");
    let history = History::new(&mut chance, 4, 60, false);
    let (replica, later) = (history.replica(3), history.replica(4));
    let files = disk();
    run(&replica, Target::Latest, &files, &mut |_| ()).unwrap();
    let mut with_journal = 0;
    for operation in 0..=files.operations() {
        for image in files.images(operation) {
            with_journal += u32::from(image.read(JOURNAL).is_some());
            // Temporaries without a journal stay until they are an hour old.
            let restored = |replica: &Memory, expected: &[u8]| {
                let files = CrashFiles::rebooted(&image);
                run(replica, Target::Latest, &files, &mut |_| ()).unwrap();
                let now = files.now();
                assert!(now.read(OUTPUT).is_some_and(|it| it == expected));
                assert!(now.read(JOURNAL).is_none());
            };
            restored(&replica, &history.states[2]);
            restored(&later, &history.states[3]);
        }
    }
    assert!(with_journal > 20, "{with_journal}");
}

#[test]
fn interrupted_again_and_again_while_the_replica_goes_on() {
    let mut chance =
        Chance::of_environment("interrupted_again_and_again_while_the_replica_goes_on");
    for round in 0..150 {
        let history = History::new(&mut chance, 12, 150, round % 2 == 0);
        let (mut image, mut txid) = (disk().now(), 1 + chance.below(4) as usize);
        for _ in 0..5 {
            let files = CrashFiles::rebooted(&image);
            let replica = history.replica(txid);
            if chance.below(2) == 0 {
                // The connection breaks; what there is, is kept.
                replica.fail([Fault::Reset(1 + chance.below(60_000) as usize)]);
                let _ = run(&replica, Target::Latest, &files, &mut |_| ());
                image = files.now();
            } else {
                let mut left = chance.below(12);
                let mut killed = None;
                run(&replica, Target::Latest, &files, &mut |_| {
                    if left == 0 {
                        killed.get_or_insert(files.now());
                    }
                    left = left.saturating_sub(1);
                })
                .unwrap();
                image = killed.unwrap_or_else(|| files.now());
            }
            txid = (txid + chance.below(3) as usize).min(12);
        }
        let replica = history.replica(txid);
        let files = CrashFiles::rebooted(&image);
        run(&replica, Target::Latest, &files, &mut |_| ()).unwrap();
        let now = files.now();
        assert!(
            now.read(OUTPUT)
                .is_some_and(|it| *it == history.states[txid - 1]),
            "{round}"
        );
    }
}

#[test]
fn a_broken_connection_leaves_what_was_fetched() {
    let mut chance = Chance::of_environment("a_broken_connection_leaves_what_was_fetched");
    let history = History::new(&mut chance, 1, 400, false);
    let (replica, files) = (history.replica(1), disk());
    replica.fail([Fault::Reset(150_000)]);
    let error = run(&replica, Target::Latest, &files, &mut |_| ()).unwrap_err();
    assert!(matches!(error, RestoreError::Unreadable { .. }), "{error}");
    let image = files.now();
    assert!(image.read(JOURNAL).is_some());
    let begun = completes(&image, &replica, Target::Latest, &history.states[0]);
    assert!(begun > 100_000, "{begun}");
    // Another replica's is no use.
    let other = History::new(&mut chance, 2, 10, false);
    completes(&image, &other.replica(2), Target::Latest, &other.states[1]);
}
