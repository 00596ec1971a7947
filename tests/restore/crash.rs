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

fn disk(old: bool) -> CrashFiles {
    let old = old.then(|| {
        [(OUTPUT, "old"), (WAL, "old wal"), (JOURNAL, "old journal")]
            .map(|(path, content)| (path, content.as_bytes().to_vec()))
    });
    let other = ("/data/other.db", b"not ours".to_vec());
    CrashFiles::holding(old.into_iter().flatten().chain([other]))
}

fn run(files: &CrashFiles) -> Result<(), RestoreError> {
    let options = Options {
        existing: Existing::Replace,
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
