//! What a power cut after each operation leaves of the remembered state, and of files stored one after another.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::support::crash::CrashFiles;
use walbrook::database::{
    DestinationState, Durability, Mark, PageSet, PageSums, Remembered, State, StateFile, SumsAt,
    SumsFile,
};
use walbrook::ltx::Checksum;
use walbrook::sqlite::{FrameNumber, Salts, WalChecksum, WalPosition};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{Content, FileName, Storage};
use walbrook::units::{Level, PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

const META: &str = "/data/.app.db-litestream";

#[test]
fn a_state_saved_for_good_is_the_old_one_or_the_new_one_and_then_the_new_one() {
    let (old, new) = (state(1, 3), state(2, 9000));
    let files = holding(&old);
    file(&files).save(&new, Durability::Power).unwrap();
    for n in 0..=files.operations() {
        for image in files.images(n) {
            let found = load(&CrashFiles::rebooted(&image));
            match n == files.operations() {
                true => assert_eq!(found.as_ref(), Some(&new)),
                false => assert!(
                    found == Some(old.clone()) || found.as_ref() == Some(&new),
                    "{n}"
                ),
            }
        }
    }
}

#[test]
fn a_state_saved_for_now_is_the_old_one_or_the_new_one_or_none_but_never_another() {
    let states = [state(1, 3), state(2, 9000), state(3, 1), state(4, 500)];
    let files = holding(&states[0]);
    for state in &states[1..] {
        file(&files).save(state, Durability::Process).unwrap();
    }
    let (mut found_any, mut found_none) = (false, false);
    for n in 0..=files.operations() {
        for image in files.images(n) {
            match load(&CrashFiles::rebooted(&image)) {
                Some(found) => {
                    assert!(states.contains(&found), "{n}");
                    found_any = true;
                }
                None => found_none = true,
            }
        }
    }
    assert!(found_any && found_none);
    assert_eq!(load(&files).as_ref(), states.last(), "without a power cut");
}

#[test]
fn a_state_that_cannot_be_saved_leaves_the_old_one() {
    let (old, new) = (state(1, 3), state(2, 9000));
    for durability in [Durability::Process, Durability::Power] {
        for at in 0.. {
            let files = holding(&old);
            files.fail_at(at, io::ErrorKind::StorageFull);
            let saved = file(&files).save(&new, durability);
            let found = load(&files);
            if saved.is_ok() {
                assert_eq!(found.as_ref(), Some(&new));
                assert!(at >= 3, "only {at} operations");
                break;
            }
            assert!(
                found.as_ref() == Some(&old) || found.as_ref() == Some(&new),
                "{at}"
            );
        }
    }
}

#[test]
fn sums_are_the_old_ones_or_the_new_ones_and_then_the_new_ones() {
    let files = CrashFiles::holding([("/data/app.db", Vec::new())]);
    let file = |files: &CrashFiles| {
        let fs = Arc::new(files.clone());
        SumsFile::new(fs, Path::new(META), "file:///replica")
    };
    let (old, new) = (sums(1, 3), sums(2, 900));
    file(&files).save(7, &old).unwrap();
    let files = CrashFiles::rebooted(&files.now());
    file(&files).save(7, &new).unwrap();
    for n in 0..=files.operations() {
        for image in files.images(n) {
            let found = file(&CrashFiles::rebooted(&image)).load(7);
            let found = found.map(|found| found.at.txid);
            match n == files.operations() {
                true => assert_eq!(found, Some(new.at.txid)),
                false => assert!([old.at.txid, new.at.txid].map(Some).contains(&found), "{n}"),
            }
        }
    }
    for at in 0.. {
        let files = CrashFiles::rebooted(&files.now());
        files.fail_at(at, io::ErrorKind::StorageFull);
        if file(&files).save(7, &old).is_ok() {
            assert!(at >= 3, "only {at} operations");
            break;
        }
        assert!(file(&files).load(7).is_some(), "{at}");
    }
}

#[test]
fn a_later_file_of_a_replica_never_survives_without_the_earlier_ones() {
    let files = CrashFiles::holding([("/replica/other", Vec::new())]);
    let storage = FileStorage::new("/replica".into(), Arc::new(files.clone()));
    let names = [(9, 1), (0, 2), (0, 3)].map(|(level, txid)| {
        let level = Level::new(level).unwrap();
        let txids = TxidRange::single(Txid::new(txid).unwrap());
        FileName { level, txids }
    });
    let mut confirmed_at = Vec::new();
    for name in names {
        storage
            .write(name, Timestamp::from_millis(0), &Text)
            .unwrap();
        confirmed_at.push(files.operations());
    }
    for n in 0..=files.operations() {
        for image in files.images(n) {
            let there: Vec<_> = [
                "9/0000000000000001",
                "0/0000000000000002",
                "0/0000000000000003",
            ]
            .iter()
            .map(|start| format!("/replica/ltx/{start}-{}.ltx", &start[2..]))
            .map(|path| image.read(path))
            .collect();
            assert!(
                there.iter().flatten().all(|bytes| *bytes == b"content"),
                "{n}"
            );
            let survived = there.iter().filter(|file| file.is_some()).count();
            assert!(there[..survived].iter().all(Option::is_some), "{n}");
            let confirmed = confirmed_at.iter().filter(|at| **at <= n).count();
            assert!(survived >= confirmed, "{n}");
        }
    }
}

struct Text;

impl Content for Text {
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(b"content")
    }
}

/// A disk with a state on it.
fn holding(state: &State) -> CrashFiles {
    let files = CrashFiles::holding([("/data/app.db", Vec::new())]);
    file(&files).save(state, Durability::Power).unwrap();
    CrashFiles::rebooted(&files.now())
}

fn load(files: &CrashFiles) -> Option<State> {
    match file(files).load() {
        Remembered::At(state) => Some(state),
        Remembered::Nothing | Remembered::UnderWay => None,
    }
}

fn file(files: &CrashFiles) -> StateFile {
    StateFile::new(Arc::new(files.clone()), Path::new(META))
}

/// Sums of so many pages at a TXID.
fn sums(txid: u64, pages: u32) -> SumsAt {
    let mut sums = PageSums::unknown(PageSize::new(4096).unwrap(), PageCount(pages));
    for page in (1..=pages).filter_map(PageNumber::new) {
        sums.set(page, Checksum::of_page(page, &txid.to_be_bytes()));
    }
    let at = Mark {
        txid: Txid::new(txid).unwrap(),
        time: Timestamp::from_millis(0),
    };
    SumsAt::new(at, sums)
}

/// A state at a TXID, with so many dirty runs.
fn state(txid: u64, runs: u32) -> State {
    let mut dirty = PageSet::default();
    for run in 0..runs {
        dirty.insert(PageNumber::new(run * 2 + 1).unwrap());
    }
    State {
        inode: 7,
        position: WalPosition {
            salts: Salts([txid as u8; 8]),
            frame: FrameNumber(txid as u32 * 7),
            checksum: WalChecksum([1, 2]),
            pages: PageCount(20_000),
        },
        under_way: Vec::new(),
        destinations: vec![DestinationState {
            under_way: true,
            levels: Vec::new(),
            sums: None,
            location: "file:///replica".to_string(),
            acked: Mark {
                txid: Txid::new(txid).unwrap(),
                time: Timestamp::from_millis(1_795_392_000_000),
            },
            dirty,
        }],
    }
}
