//! The power is cut, or the disk fails, at every operation of a restore.

use std::io;
use std::sync::Arc;

use crate::support::crash::CrashFiles;
use crate::support::memory::{Memory, ltx, name};
use walbrook::restore::{Existing, Options, RestoreError, Target, restore};

const OUTPUT: &str = "/data/app.db";
const WAL: &str = "/data/app.db-wal";
const JOURNAL: &str = "/data/app.db-journal";

#[test]
fn the_output_is_the_old_database_or_the_new_one() {
    for old in [false, true] {
        let files = disk(old);
        run(&files).unwrap();
        let mut seen_both = (false, false);
        for n in 0..=files.operations() {
            for image in files.images(n) {
                let output = image.read(OUTPUT);
                let is_new = output == Some(&expected());
                match output {
                    None => assert!(!old, "{n}"),
                    Some(output) => assert!(is_new || (old && output == b"old"), "{n}"),
                }
                if is_new {
                    let stale = [WAL, JOURNAL].iter().any(|path| image.read(path).is_some());
                    assert!(!stale, "{n}: SQLite would replay it over the new database");
                }
                assert!(is_new || n < files.operations());
                if old && !is_new && image.read(WAL).is_none() {
                    let whole = |path| image.read(path) == Some(&expected());
                    assert!(image.paths().any(whole), "{n}: neither is there in full");
                }
                seen_both.0 |= is_new;
                seen_both.1 |= !is_new;
            }
        }
        assert_eq!(seen_both, (true, true));
    }
}

#[test]
fn a_failing_disk_leaves_the_old_database_whole() {
    for at in 0.. {
        let files = disk(true);
        files.fail_at(at, io::ErrorKind::StorageFull);
        let result = run(&files);
        let now = files.now();
        let output = now.read(OUTPUT).unwrap();
        if result.is_ok() {
            assert_eq!(output, expected());
            assert!(at >= 8, "only {at} operations");
            break;
        }
        assert!(output == b"old" || output == expected(), "{at}");
        assert!(
            now.paths()
                .all(|path| !path.to_str().unwrap().ends_with(".tmp")),
            "{at}"
        );
        // After the power comes back it simply works.
        let again = CrashFiles::rebooted(&now);
        run(&again).unwrap();
        assert_eq!(again.now().read(OUTPUT), Some(&expected()[..]));
    }
}

#[test]
fn what_is_kept_is_never_lost_nor_mixed_with_the_new() {
    for has_links in [true, false] {
        let files = match has_links {
            true => disk(true),
            false => disk(true).without_links(),
        };
        replace(&files, Existing::SetAside).unwrap();
        let mut gaps = 0;
        for n in 0..=files.operations() {
            for image in files.images(n) {
                let kept = |suffix: &str| {
                    let mut paths = image.paths().filter(|path| {
                        let path = path.to_str().unwrap();
                        path.starts_with(&format!("{OUTPUT}.old-")) && path.ends_with(suffix)
                    });
                    paths.next().map(|path| image.read(path).unwrap())
                };
                let (wal, journal) = (image.read(WAL), image.read(JOURNAL));
                let at_output = image.read(OUTPUT);
                let whole_at_output =
                    at_output == Some(b"old") && wal.is_some() && journal.is_some();
                let whole_aside = kept("Z") == Some(b"old")
                    && kept("-wal") == Some(b"old wal")
                    && kept("-journal") == Some(b"old journal");
                match has_links {
                    true => assert!(whole_at_output || whole_aside, "{n}"),
                    // Each file has a name at any time.
                    false => {
                        assert!(
                            at_output == Some(b"old") || kept("Z") == Some(b"old"),
                            "{n}"
                        );
                        assert!(wal.or(kept("-wal")) == Some(b"old wal"), "{n}");
                    }
                }
                match at_output {
                    Some(b"old") => assert!(whole_at_output, "{n}: it lacks its -wal"),
                    Some(new) => {
                        assert_eq!(new, expected());
                        assert!(whole_aside && wal.is_none() && journal.is_none(), "{n}");
                    }
                    None => gaps += 1,
                }
            }
        }
        assert!(gaps > 0, "the gap that the header tells of");
    }
}

#[test]
fn a_failing_disk_leaves_what_was_to_be_kept() {
    let all = disk(true);
    replace(&all, Existing::SetAside).unwrap();
    let mut failures = 0;
    for at in 0..all.operations() {
        let files = disk(true);
        files.fail_at(at, io::ErrorKind::StorageFull);
        let result = replace(&files, Existing::SetAside);
        let now = files.now();
        for content in [&b"old"[..], b"old wal", b"old journal"] {
            let mut paths = now.paths();
            assert!(paths.any(|path| now.read(path) == Some(content)), "{at}");
        }
        match result {
            // Without hard links it goes on by renaming.
            Ok(()) => assert_eq!(now.read(OUTPUT), Some(&expected()[..]), "{at}"),
            Err(_) => failures += 1,
        }
        let again = CrashFiles::rebooted(&now);
        replace(&again, Existing::SetAside).unwrap();
        assert_eq!(again.now().read(OUTPUT), Some(&expected()[..]));
    }
    assert!(failures >= 12, "only {failures}");
}

fn disk(old: bool) -> CrashFiles {
    let old = old.then(|| {
        [(OUTPUT, "old"), (WAL, "old wal"), (JOURNAL, "old journal")]
            .map(|(path, content)| (path, content.as_bytes().to_vec()))
    });
    let other = ("/data/other.db", b"not ours".to_vec());
    CrashFiles::holding(old.into_iter().flatten().chain([other]))
}

fn run(files: &CrashFiles) -> Result<(), RestoreError> {
    replace(files, Existing::Replace)
}

fn replace(files: &CrashFiles, existing: Existing) -> Result<(), RestoreError> {
    let options = Options {
        existing,
        files: Arc::new(files.clone()),
        ..Options::default()
    };
    restore(
        &replica(),
        Target::Latest,
        OUTPUT.as_ref(),
        &options,
        &mut |_| (),
    )
    .map(drop)
}

fn replica() -> Memory {
    let file = |level, min, max, commit, pages: &[(u32, u8)]| {
        let name = name(level, min, max);
        (name, 0, ltx(name.txids, commit, pages))
    };
    Memory::holding([
        file(
            9,
            1,
            1,
            6,
            &[(1, 11), (2, 12), (3, 13), (4, 14), (5, 15), (6, 16)],
        ),
        file(0, 2, 2, 6, &[(2, 22), (6, 26)]),
        file(0, 3, 3, 5, &[(2, 32), (4, 34)]),
    ])
}

fn expected() -> Vec<u8> {
    [11, 32, 13, 34, 15]
        .iter()
        .flat_map(|&byte| [byte; 512])
        .collect()
}
