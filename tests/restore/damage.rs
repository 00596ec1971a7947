//! Damaged replicas: a restore gives exactly the state asked for, or an error and nothing else.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tinyjson::JsonValue;

use super::vectors::{files, targets};
use crate::ltx::vectors::{field, manifest, text};
use crate::support::crash::CrashFiles;
use crate::support::memory::Memory;
use walbrook::restore::{Existing, Options, RestoreError, Target, plan, restore};
use walbrook::storage::{FileInfo, FileName, Storage};

const OUTPUT: &str = "/data/app.db";
pub(crate) const REPLICAS: [&str; 5] = [
    "ps512-notes",
    "ps1024-levels",
    "snap-retention",
    "vacuum-shrink",
    "frames-0.5.15-ps512",
];

#[test]
fn every_file_truncated_flipped_or_deleted() {
    let (mut restored, mut refused) = (0, 0);
    for replica in manifest("replicas") {
        if !REPLICAS.contains(&text(&replica["name"])) {
            continue;
        }
        let good: Vec<(FileName, i64, Vec<u8>)> = files(&replica).collect();
        let storage = Memory::holding(good.iter().cloned());
        let states = targets(&replica);
        for (name, _, bytes) in &good {
            for damaged in damages(bytes) {
                let gone = damaged.is_none();
                let any = || {
                    states
                        .iter()
                        .filter_map(|state| field(state.1, "db_sha256"))
                };
                storage.set(*name, damaged);
                for (target, expected) in states.iter().take(12) {
                    let known = field(expected, "db_sha256").map(text);
                    match attempt(&storage, *target) {
                        Ok(database) => {
                            restored += 1;
                            // Nobody can know of a file that is gone: by time, and as the latest,
                            // there may then be an older state.
                            if gone && !matches!(target, Target::Txid(_)) {
                                assert!(any().any(|state| text(state) == database));
                            } else {
                                assert_eq!(Some(&*database), known, "{name} {target:?}");
                            }
                        }
                        Err(error) => {
                            refused += 1;
                            assert!(gone || !leads_there(&storage, *name, *target), "{error}");
                            offers_what_is_good(&storage, &error, &states);
                        }
                    }
                }
                storage.set(*name, Some(bytes.clone()));
            }
        }
    }
    println!("{restored} restored as they should, {refused} refused");
    assert!(restored > 1500 && refused > 100, "{restored} {refused}");
}

/// Whether the files other than `damaged` lead to the state that all of them lead to.
fn leads_there(storage: &Memory, damaged: FileName, target: Target) -> bool {
    let mut files = storage.list_all().unwrap();
    let end = |files: &[FileInfo]| Some(plan(files, target).ok()?.txids.max());
    let wanted = end(&files);
    files.retain(|file| file.name != damaged);
    wanted.is_some() && end(&files) >= wanted
}

/// What an error offers in place of what was asked for can be had.
fn offers_what_is_good(storage: &Memory, error: &RestoreError, states: &[(Target, &JsonValue)]) {
    let RestoreError::NoOtherWay { reached, .. } = error else {
        return;
    };
    let Some(txid) = reached else {
        return;
    };
    let offered = attempt(storage, Target::Txid(*txid)).unwrap();
    let known = states.iter().find(|it| it.0 == Target::Txid(*txid));
    if let Some(known) = known.and_then(|it| field(it.1, "db_sha256")) {
        assert_eq!(text(known), offered);
    }
}

/// Restores over an existing database; the new one's SHA-256.
pub(crate) fn attempt(storage: &Memory, target: Target) -> Result<String, RestoreError> {
    let files = CrashFiles::holding([(OUTPUT, b"the old database".to_vec())]);
    let options = Options {
        existing: Existing::Replace,
        pauses: Vec::new(),
        files: Arc::new(files.clone()),
        ..Options::default()
    };
    let result = restore(storage, target, OUTPUT.as_ref(), &options, &mut |_| ());
    let now = files.now();
    assert_eq!(now.paths().count(), 1, "nothing is left over");
    let output = now.read(OUTPUT).unwrap();
    if result.is_err() {
        assert_eq!(output, b"the old database");
    }
    let hash = Sha256::digest(output);
    result.map(|_| hash.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Damaged copies of a file; none for one that is gone.
pub(crate) fn damages(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut damages = vec![None, Some(Vec::new())];
    let end = bytes.len();
    for cut in [1, 99, 100, 131, end / 2, end - 16, end - 1] {
        damages.push(Some(bytes[..cut.min(end)].to_vec()));
    }
    let places = (0..12)
        .map(|i| i * (end - 1) / 11)
        .chain([4, 8, 12, 23, 31, 100, 104]);
    for place in places {
        let mut flipped = bytes.to_vec();
        flipped[place] ^= 1 << (place % 8);
        damages.push(Some(flipped));
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    damages.push(Some(longer));
    // Cut to its own length again, this is the file itself.
    damages.retain(|damaged| damaged.as_deref() != Some(bytes));
    damages
}
