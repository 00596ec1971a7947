//! The rules of the output, and how a restore deals with a bad connection and with a replica in motion.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::support::memory::{Fault, Memory, ltx, name};
use crate::support::scratch::Scratch;
use walbrook::restore::{
    Existing, Integrity, Options, Outcome, OutputProblem, RestoreError, Target, restore,
};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{ByteRange, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::TxidRange;

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
    assert!(matches!(error, RestoreError::Storage(_)), "{error}");
    storage.fail(vec![Fault::Short(10); 4]);
    let error = run(&storage, &output, Existing::Refuse).unwrap_err();
    assert!(matches!(error, RestoreError::Damaged { .. }), "{error}");
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

#[test]
fn a_file_that_is_not_what_its_name_says_is_refused() {
    let scratch = Scratch::new();
    let storage = small();
    let other = TxidRange::single(name(0, 3, 3).txids.min());
    storage.set(name(0, 2, 2), Some(ltx(other, 2, &[])));
    let result = run(&storage, &scratch.path().join("app.db"), Existing::Refuse);
    assert!(
        matches!(result, Err(RestoreError::NameDiffers { .. })),
        "{result:?}"
    );
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

#[test]
fn replicas_of_litestream_03_are_named_as_such() {
    let scratch = Scratch::new();
    let root = scratch.path().join("replica");
    fs::create_dir_all(root.join("generations/0123456789abcdef")).unwrap();
    let storage = FileStorage::new(root, Arc::new(SystemFiles));
    let output = scratch.path().join("app.db");
    let result = run(&storage, &output, Existing::Refuse);
    assert!(
        matches!(result, Err(RestoreError::Litestream03 { .. })),
        "{result:?}"
    );
    let empty = run(&Memory::default(), &output, Existing::Refuse).unwrap_err();
    assert!(empty.is_not_available());
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
