//! The directory backend: the contract, a power cut at every operation, disks that come and go.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use super::{
    Bytes, Meanwhile, Times, conforms, get, ignores_foreign_names, name, names, put, time,
};
use crate::support::crash::CrashFiles;
use crate::support::scratch::Scratch;
use walbrook::storage::file::{FileStorage, Ownership};
use walbrook::storage::{Storage, StorageError};
use walbrook::sys::fs::{FileSystem, Owner, SystemFiles};
use walbrook::sys::random::unique;
use walbrook::units::{Level, Timestamp};

#[test]
fn conforms_on_disk() {
    let scratch = Scratch::new();
    conforms(Times::Milliseconds, || {
        let root = scratch.path().join(unique().to_string());
        Box::new(FileStorage::new(root, Arc::new(SystemFiles)))
    });
}

#[test]
fn conforms_in_memory() {
    let files = CrashFiles::holding([("/disk/other", Vec::new())]);
    conforms(Times::Milliseconds, || {
        let root = Path::new("/disk").join(unique().to_string());
        Box::new(FileStorage::new(root, Arc::new(files.clone())))
    });
}

#[test]
fn foreign_names_are_ignored() {
    let scratch = Scratch::new();
    let level = scratch.path().join("ltx/0");
    ignores_foreign_names(&on_disk(scratch.path()), |name| {
        std::fs::write(level.join(name), "foreign").unwrap();
    });
    std::fs::create_dir(level.join("0000000000000002-0000000000000002.ltx")).unwrap();
    assert_eq!(names(&on_disk(scratch.path()), 0), [name(0, 1, 1)]);
}

#[test]
fn a_power_cut_leaves_the_old_file_or_the_new_one() {
    const PATH: &str = "/replica/ltx/0/0000000000000001-0000000000000001.ltx";
    let (old, new) = (vec![1; 1000], vec![2; 300_000]);
    for replacing in [false, true] {
        let files = match replacing {
            true => CrashFiles::holding([(PATH, old.clone())]),
            false => CrashFiles::default(),
        };
        let storage = FileStorage::new("/replica".into(), Arc::new(files.clone()));
        put(&storage, name(0, 1, 1), &new);
        for n in 0..=files.operations() {
            for image in files.images(n) {
                match image.read(PATH) {
                    Some(bytes) => assert!(bytes == new || (replacing && bytes == old), "{n}"),
                    None => assert!(!replacing, "{n}"),
                }
                if n == files.operations() {
                    assert_eq!(image.read(PATH), Some(&new[..]));
                    assert_eq!(image.paths().count(), 1, "no temporary is left");
                }
            }
        }
    }
}

#[test]
fn a_failing_disk_leaves_the_old_file_or_the_new_one_and_says_which() {
    const PATH: &str = "/replica/ltx/0/0000000000000001-0000000000000001.ltx";
    let (old, new) = (vec![1; 1000], vec![2; 300_000]);
    for at in 0.. {
        let files = CrashFiles::holding([(PATH, old.clone())]);
        let storage = FileStorage::new("/replica".into(), Arc::new(files.clone()));
        files.fail_at(at, io::ErrorKind::StorageFull);
        let written = storage.write(name(0, 1, 1), Timestamp::from_millis(0), &Bytes(&new));
        let now = files.now();
        match &written {
            Ok(_) => assert_eq!(now.read(PATH), Some(&new[..])),
            Err(error) if error.outcome_unknown() => assert_eq!(now.read(PATH), Some(&new[..])),
            Err(_) => assert_eq!(now.read(PATH), Some(&old[..])),
        }
        assert_eq!(now.paths().count(), 1, "{at}: no temporary is left");
        if written.is_ok() {
            assert!(at == 6, "only {at} operations");
            break;
        }
    }
}

#[test]
fn another_disk_is_not_written_to_until_listed() {
    let scratch = Scratch::new();
    let (root, away) = (scratch.path().join("usb"), scratch.path().join("away"));
    let storage = on_disk(&root);
    storage.list(Level::SYNC).unwrap();
    put(&storage, name(0, 1, 1), b"one");
    assert_eq!(names(&storage, 0), [name(0, 1, 1)]);

    std::fs::rename(&root, &away).unwrap();
    refused(&storage);
    std::fs::create_dir(&root).unwrap();
    refused(&storage);
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    assert_eq!(names(&storage, 0), []);
    put(&storage, name(0, 1, 1), b"the first on the other");

    std::fs::remove_dir_all(&root).unwrap();
    std::fs::rename(&away, &root).unwrap();
    refused(&storage);
    assert_eq!(names(&storage, 0), [name(0, 1, 1)]);
    assert_eq!(get(&storage, name(0, 1, 1)), b"one");
    put(&storage, name(0, 2, 2), b"two");
}

#[test]
fn a_writer_is_in_nobodys_way_but_another_writers() {
    let scratch = Scratch::new();
    let [one, other] = [(); 2].map(|()| on_disk(scratch.path()).exclusive());
    let in_use = |number| {
        let result = other.write(name(0, number, number), time(0), &Bytes(b"other"));
        assert!(
            matches!(result, Err(StorageError::InUse { .. })),
            "{result:?}"
        );
    };
    // A snapshot takes long, and syncs go past it.
    let during = || {
        for number in [2, 3] {
            put(&one, name(0, number, number), b"short");
            // The end of a short one does not end the hold of the long one.
            in_use(4);
        }
    };
    one.write(name(9, 1, 1), time(0), &Meanwhile(&during))
        .unwrap();
    in_use(2);
    put(&other, name(0, 4, 4), b"free again");
}

#[test]
fn leftovers_of_dead_runs_are_removed() {
    let scratch = Scratch::new();
    let level = scratch.path().join("ltx/0");
    std::fs::create_dir_all(&level).unwrap();
    let ours =
        "0000000000000001-0000000000000001.ltx.walbrook-00000000000000aa-00000000000000bb.tmp";
    let living =
        "0000000000000001-0000000000000001.ltx.walbrook-00000000000000aa-00000000000000cc.tmp";
    let foreign = "0000000000000001-0000000000000001.ltx.tmp";
    for (file, age_s) in [(ours, 7200), (living, 60), (foreign, 7200)] {
        let path = level.join(file);
        std::fs::write(&path, "half").unwrap();
        let old = std::time::SystemTime::now() - std::time::Duration::from_secs(age_s);
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(old).unwrap();
    }
    put(&on_disk(scratch.path()), name(0, 1, 1), b"one");
    assert!(!level.join(ours).exists());
    assert!(level.join(living).exists());
    assert!(level.join(foreign).exists());
}

#[test]
fn directories_and_files_belong_to_whom_the_caller_says() {
    let scratch = Scratch::new();
    let mine = SystemFiles.status(scratch.path()).unwrap().owner;
    let root = scratch.path().join("a/b");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o7777;
    let ownership = Ownership {
        directories: Owner {
            mode: 0o751,
            ..mine
        },
        files: Owner {
            mode: 0o640,
            ..mine
        },
    };
    let storage = FileStorage::new(root.clone(), Arc::new(SystemFiles));
    put(&storage.with_ownership(ownership), name(0, 1, 1), b"one");
    for directory in ["a", "a/b", "a/b/ltx", "a/b/ltx/0"] {
        assert_eq!(mode(&scratch.path().join(directory)), 0o751, "{directory}");
    }
    let file = "ltx/0/0000000000000001-0000000000000001.ltx";
    assert_eq!(mode(&root.join(file)), 0o640);

    let private = scratch.path().join("private");
    put(&on_disk(&private), name(0, 1, 1), b"one");
    assert_eq!(mode(&private.join("ltx")), 0o700);
    assert_eq!(mode(&private.join(file)), 0o600);
}

#[test]
fn delete_all_leaves_what_is_not_ours() {
    let scratch = Scratch::new();
    let (root, alone) = (scratch.path().join("shared"), scratch.path().join("alone"));
    for root in [&root, &alone] {
        put(&on_disk(root), name(0, 1, 1), b"one");
    }
    std::fs::write(root.join("notes.txt"), "mine").unwrap();
    on_disk(&root).delete_all().unwrap();
    on_disk(&alone).delete_all().unwrap();
    assert!(root.join("notes.txt").exists());
    assert!(!root.join("ltx").exists());
    assert!(!alone.exists());
}

#[test]
fn errors_say_what_to_do() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("ltx"), "a file in the way").unwrap();
    let error = on_disk(scratch.path()).list(Level::SYNC).unwrap_err();
    let expected = format!("cannot list {}", scratch.path().join("ltx/0").display());
    assert!(error.to_string().starts_with(&expected), "{error}");

    let source = io::Error::from_raw_os_error(28);
    let location = "/r/x.ltx".to_owned();
    let error = StorageError::Io {
        operation: "write",
        location,
        source,
    };
    assert!(error.to_string().contains("free some space"), "{error}");
}

fn on_disk(root: &Path) -> FileStorage {
    FileStorage::new(root.to_path_buf(), Arc::new(SystemFiles))
}

fn refused(storage: &dyn Storage) {
    let write = storage.write(name(0, 9, 9), Timestamp::from_millis(0), &Bytes(b"x"));
    assert!(
        matches!(write, Err(StorageError::Replaced { .. })),
        "{write:?}"
    );
    let delete = storage.delete(&[name(0, 1, 1)]);
    assert!(
        matches!(delete, Err(StorageError::Replaced { .. })),
        "{delete:?}"
    );
}
