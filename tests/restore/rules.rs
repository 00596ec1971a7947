//! The rules of the output, and how a restore deals with a bad connection and with a replica in motion.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::forward::forward;
use crate::support::memory::{Fault, Memory, ltx, name};
use crate::support::scratch::Scratch;
use walbrook::restore::{
    Class, Existing, Integrity, Options, Outcome, OutputProblem, RestoreError, Target, restore,
};
use walbrook::storage::{ByteRange, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, TxidRange};

#[test]
fn what_is_there_decides() {
    let scratch = Scratch::new();
    let output = scratch.path().join("deep/er/app.db");
    let go = |existing| run(&small(), &output, existing);
    go(Existing::Refuse).unwrap();
    assert_eq!(fs::read(&output).unwrap(), [[1; 512], [3; 512]].concat());

    assert!(matches!(go(Existing::Refuse), Err(problem!(Exists))));
    assert_eq!(go(Existing::Keep).unwrap(), Outcome::KeptExisting);
    fs::write(&output, "").unwrap();
    assert_eq!(go(Existing::Keep).unwrap(), Outcome::KeptExisting);
    go(Existing::Refuse).unwrap();

    fs::remove_file(&output).unwrap();
    for suffix in ["-wal", "-shm", "-journal"] {
        let sidecar = scratch.path().join(format!("deep/er/app.db{suffix}"));
        fs::write(&sidecar, "old").unwrap();
        assert!(matches!(go(Existing::Refuse), Err(problem!(Sidecar))));
        assert!(matches!(go(Existing::Keep), Err(problem!(Sidecar))));
        go(Existing::Replace).unwrap();
        assert!(!sidecar.exists());
        fs::remove_file(&output).unwrap();
    }
    fs::create_dir(&output).unwrap();
    for existing in [Existing::Refuse, Existing::Keep, Existing::Replace] {
        assert!(matches!(go(existing), Err(problem!(Directory))));
    }
    assert_eq!(fs::read_dir(output.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_replaced_database_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    fs::write(&output, "old").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o640)).unwrap();
    run(&small(), &output, Existing::Replace).unwrap();
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
}

#[test]
fn a_database_that_appears_meanwhile_is_not_replaced() {
    let scratch = Scratch::new();
    for existing in [Existing::Refuse, Existing::Keep] {
        let output = scratch.path().join("app.db");
        let options = Options {
            existing,
            ..Options::default()
        };
        let result = restore(&small(), Target::Latest, &output, &options, &mut |_| {
            fs::write(&output, "created by the application").unwrap();
        });
        match existing {
            Existing::Keep => assert_eq!(result.unwrap(), Outcome::KeptExisting),
            _ => assert!(matches!(result, Err(problem!(Exists)))),
        }
        assert_eq!(fs::read(&output).unwrap(), b"created by the application");
        fs::remove_file(&output).unwrap();
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_broken_database_is_not_published() {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    fs::write(&output, "old").unwrap();
    let options = Options {
        existing: Existing::Replace,
        integrity: Integrity::Quick,
        ..Options::default()
    };
    let result = restore(&small(), Target::Latest, &output, &options, &mut |_| ());
    assert!(
        matches!(result, Err(RestoreError::Integrity { .. })),
        "{result:?}"
    );
    assert_eq!(fs::read(&output).unwrap(), b"old");
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn a_stream_goes_on_where_it_broke() {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let storage = small();
    storage.fail([Fault::Reset(50), Fault::Short(70), Fault::Reset(0)]);
    run(&storage, &output, Existing::Refuse).unwrap();
    let offsets: Vec<_> = storage.reads().iter().map(|read| read.1).collect();
    let expected = [0, 50, 120, 120, 0].map(ByteRange::From);
    assert_eq!(offsets, expected);

    fs::remove_file(&output).unwrap();
    storage.fail(vec![Fault::Reset(10); 4]);
    let error = run(&storage, &output, Existing::Refuse).unwrap_err();
    assert!(matches!(error, RestoreError::Unreadable { .. }), "{error}");
    storage.fail(vec![Fault::Short(10); 4]);
    let error = run(&storage, &output, Existing::Refuse).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(!output.exists());
}

#[test]
fn a_file_gone_since_the_listing_leads_to_a_new_plan() {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let merged = name(1, 2, 2);
    let file = ltx(merged.txids, 2, &[(2, 3)]);
    let storage = small();
    storage.fail([Fault::Compacted(vec![(merged, file)])]);
    run(&storage, &output, Existing::Refuse).unwrap();
    assert_eq!(fs::read(&output).unwrap(), [[1; 512], [3; 512]].concat());
}

/// As often as files are merged while it reads.
#[test]
fn a_plan_is_made_anew_as_often_as_the_replica_has_changed() {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let storage = small();
    storage.fail((1..=8).map(|level| {
        let merged = name(level, 2, 2);
        Fault::Compacted(vec![(merged, ltx(merged.txids, 2, &[(2, 3)]))])
    }));
    run(&storage, &output, Existing::Refuse).unwrap();
    assert_eq!(fs::read(&output).unwrap(), [[1; 512], [3; 512]].concat());
}

#[test]
fn a_listing_that_promises_what_is_not_there_is_an_error_in_the_end() {
    let scratch = Scratch::new();
    let listed = small().list_all().unwrap();
    let storage = Listed::new(small(), [listed]);
    storage.memory.set(name(0, 2, 2), None);
    let error = run(&storage, &scratch.path().join("app.db"), Existing::Refuse).unwrap_err();
    let RestoreError::NoOtherWay { cause, reached } = &error else {
        panic!("{error}");
    };
    let is_missing =
        matches!(&**cause, RestoreError::Unreadable { error, .. } if error.is_not_found());
    assert!(is_missing && reached.is_some(), "{error}");
    assert_eq!(error.class(), Class::Damaged);
    // At first, and once after each read; before the last, every pause has been taken. Then to find a way around.
    assert_eq!(storage.listings_asked(), 1 + 4 + 1);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_read_is_gone_around() {
    let beside = name(1, 2, 2);
    let both = || {
        let storage = small();
        // Larger, so that it is only the second choice.
        let pages = [(1, 1), (2, 3)];
        storage.add(beside, ltx(beside.txids, 2, &pages));
        storage
    };
    let missing = Listed::new(both(), [both().list_all().unwrap()]);
    missing.memory.set(name(0, 2, 2), None);
    let broken = both();
    broken.fail(vec![Fault::Broken; 4]);
    for storage in [&missing as &dyn Storage, &broken] {
        let scratch = Scratch::new();
        let output = scratch.path().join("app.db");
        run(storage, &output, Existing::Refuse).unwrap();
        assert_eq!(fs::read(&output).unwrap(), [[1; 512], [3; 512]].concat());
    }
    // Where there is no way around, the error says what is wrong with it, and that it is not damage.
    let storage = small();
    storage.fail(vec![Fault::Broken; 4]);
    let scratch = Scratch::new();
    let error = run(&storage, &scratch.path().join("app.db"), Existing::Refuse).unwrap_err();
    assert_eq!(error.class(), Class::Other);
    assert!(error.to_string().contains("permission denied"), "{error}");
    // One that cannot be reached for now is waited for, by whoever wants to.
    storage.fail(vec![Fault::Reset(0); 4]);
    let error = run(&storage, &scratch.path().join("app.db"), Existing::Refuse).unwrap_err();
    assert_eq!(error.class(), Class::Unreachable);
}

#[test]
fn files_that_came_and_went_during_a_listing_are_no_hole() {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let all = small().list_all().unwrap();
    let base = name(9, 1, 1);
    let without_base = all
        .iter()
        .filter(|file| file.name != base)
        .copied()
        .collect();
    let storage = Listed::new(small(), [without_base, all.clone()]);
    run(&storage, &output, Existing::Refuse).unwrap();
    assert_eq!(fs::read(&output).unwrap(), [[1; 512], [3; 512]].concat());
    assert_eq!(storage.listings_asked(), 2);

    // What is missing in the second listing too is missing.
    fs::remove_file(&output).unwrap();
    let hole: Vec<_> = all.into_iter().filter(|file| file.name != base).collect();
    let storage = Listed::new(small(), [hole]);
    let error = run(&storage, &output, Existing::Refuse).unwrap_err();
    assert!(matches!(error, RestoreError::Plan(_)), "{error}");
    assert_eq!(storage.listings_asked(), 2);
}

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused() {
    let scratch = Scratch::new();
    let storage = small();
    let other = TxidRange::single(name(0, 3, 3).txids.min());
    storage.set(name(0, 2, 2), Some(ltx(other, 2, &[])));
    let result = run(&storage, &scratch.path().join("app.db"), Existing::Refuse);
    let Err(RestoreError::NoOtherWay { cause, reached }) = result else {
        panic!("{result:?}");
    };
    assert!(matches!(*cause, RestoreError::NameDiffers { .. }));
    assert_eq!(reached, Some(name(0, 1, 1).txids.max()));
}

#[test]
fn a_database_larger_than_the_disk_is_refused_at_once() {
    let scratch = Scratch::new();
    let storage = small();
    let name = name(0, 2, 2);
    // 2 TiB of pages of 512 bytes; no disk of a test machine has that.
    storage.set(name, Some(ltx(name.txids, u32::MAX - 1, &[])));
    let result = run(&storage, &scratch.path().join("app.db"), Existing::Refuse);
    assert!(
        matches!(result, Err(RestoreError::NoSpace { .. })),
        "{result:?}"
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_restore_left_is_removed_in_time() {
    let scratch = Scratch::new();
    let numbers = "walbrook-00000000000000aa-00000000000000bb.tmp";
    let hour = Duration::from_secs(3601);
    for (left, age) in [
        ("app.db", hour),
        ("app.db2", Duration::ZERO),
        ("other.db", hour),
    ] {
        let file = fs::File::create(scratch.path().join(format!("{left}.{numbers}"))).unwrap();
        file.set_modified(std::time::SystemTime::now() - age)
            .unwrap();
    }
    run(&small(), &scratch.path().join("app.db"), Existing::Refuse).unwrap();
    let left = fs::read_dir(scratch.path()).unwrap();
    let mut left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let expected = [
        "app.db".to_owned(),
        format!("app.db2.{numbers}"),
        format!("other.db.{numbers}"),
    ];
    assert_eq!(left, expected);
}

/// Matches an output refused for this reason.
macro_rules! problem {
    ($reason:ident) => {
        RestoreError::Output {
            reason: OutputProblem::$reason,
            ..
        }
    };
}
use problem;

fn run(storage: &dyn Storage, output: &Path, existing: Existing) -> Result<Outcome, RestoreError> {
    let options = Options {
        existing,
        pauses: vec![Duration::ZERO; 3],
        // So that faults meet the reads in their order.
        parallelism: 1,
        ..Options::default()
    };
    restore(storage, Target::Latest, output, &options, &mut |_| ())
}

/// Two files, two pages.
fn small() -> Memory {
    let (base, next) = (name(9, 1, 1), name(0, 2, 2));
    Memory::holding([
        (base, 0, ltx(base.txids, 2, &[(1, 1), (2, 2)])),
        (next, 1, ltx(next.txids, 2, &[(2, 3)])),
    ])
}

/// A replica with these listings, one after the other, the last one for good.
struct Listed {
    memory: Memory,
    listings: Vec<Vec<FileInfo>>,
    asked: AtomicUsize,
}

impl Listed {
    fn new(memory: Memory, listings: impl IntoIterator<Item = Vec<FileInfo>>) -> Listed {
        Listed {
            memory,
            listings: listings.into_iter().collect(),
            asked: AtomicUsize::new(0),
        }
    }

    fn listings_asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Storage for Listed {
    forward!(memory: location, list, read, write, delete, delete_all);
    fn list_all(&self) -> Result<Vec<FileInfo>, StorageError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.listings[asked.min(self.listings.len() - 1)].clone())
    }
}
