//! Every replica of the vectors, at every TXID and time they name: the same bytes as Litestream restores.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tinyjson::JsonValue;

use crate::ltx::vectors::{field, list, manifest, number, read, text, texts};
use crate::support::memory::{Memory, name};
use crate::support::scratch::Scratch;
use walbrook::ltx::{Class, Decoder};
use walbrook::restore::{Options, Outcome, Plan, RestoreError, Target, plan_from, restore, run};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{Content, FileInfo, FileName, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::{Timestamp, Txid, TxidRange};

#[test]
fn every_state_litestream_restores() {
    let replicas = manifest("replicas");
    let light = replicas
        .iter()
        .filter(|replica| field(replica, "heavy").is_none());
    let restores: usize = light
        .map(|replica| check_all(replica, &Scratch::in_memory()))
        .sum();
    assert!(restores > 700, "{restores}");
}

#[test]
fn databases_across_the_lock_page() {
    let replicas = manifest("replicas");
    let heavy = replicas
        .iter()
        .filter(|replica| field(replica, "heavy").is_some());
    let restores: usize = heavy
        .map(|replica| check_all(replica, &Scratch::new()))
        .sum();
    assert!(restores > 5, "{restores}");
}

#[test]
fn plans_are_never_dearer_than_litestreams() {
    let (mut ours, mut theirs) = (0, 0);
    for replica in manifest("replicas") {
        let files: Vec<_> = files(&replica).collect();
        let storage = Memory::holding(files.iter().cloned());
        for (target, expected) in targets(&replica) {
            let Some(plan) = field(expected, "plan") else {
                continue;
            };
            let mut bytes = 0;
            for path in texts(plan) {
                let named = parse_name(&format!("ltx/{path}"));
                let file = files.iter().find(|(name, ..)| *name == named);
                bytes += file.unwrap().2.len() as u64;
            }
            let plan = plan_from(&storage, target).unwrap();
            assert!(plan.bytes <= bytes, "{target:?}");
            ours += plan.bytes;
            theirs += bytes;
        }
    }
    println!("bytes planned: {ours}, by Litestream {theirs}");
}

#[test]
fn unusual_but_valid_chains() {
    let mut chains = 0;
    for vector in manifest("accepted") {
        let Some(paths) = field(&vector, "chain") else {
            continue;
        };
        let scratch = Scratch::in_memory();
        let (storage, plan) = chain(&texts(paths));
        let output = scratch.path().join("restored.db");
        run(&plan, &storage, &output, &Options::default(), &mut |_| ()).unwrap();
        assert_eq!(
            sha256(&output),
            text(&vector["db_sha256"]),
            "{}",
            text(&vector["name"])
        );
        chains += 1;
    }
    assert!(chains > 0);
}

#[test]
fn invalid_chains() {
    let vectors = manifest("malformed");
    let mut count = 0;
    for vector in vectors
        .iter()
        .filter(|vector| text(&vector["scope"]) == "chain")
    {
        let scratch = Scratch::in_memory();
        let (storage, plan) = chain(&texts(&vector["chain"]));
        let output = scratch.path().join("restored.db");
        let result = run(&plan, &storage, &output, &Options::default(), &mut |_| ());
        let class = match result.unwrap_err() {
            RestoreError::Damaged { fault, .. } => fault.class(),
            RestoreError::Gap { .. } => Class::TxidGap,
            RestoreError::NoSnapshot { .. } => Class::NoSnapshot,
            RestoreError::MissingPage { .. } => Class::MissingPage,
            RestoreError::PageSizeDiffers { .. } => Class::PageSizeMismatch,
            other => panic!("{}: {other:?}", text(&vector["name"])),
        };
        let (class, classes) = (class.to_string(), texts(&vector["classes"]));
        assert!(
            classes.contains(&&*class),
            "{}: {class}",
            text(&vector["name"])
        );
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
        count += 1;
    }
    assert_eq!(count, 7);
}

/// Makes every restore of a replica that the manifest tells the result of; how many.
fn check_all(replica: &JsonValue, scratch: &Scratch) -> usize {
    let storage = FileStorage::new(scratch.path().join("replica"), Arc::new(SystemFiles));
    for (name, time, bytes) in files(replica) {
        let time = Timestamp::from_millis(time);
        storage.write(name, time, &Stored(bytes)).unwrap();
    }
    let targets = targets(replica);
    for (target, expected) in &targets {
        check(
            &storage,
            *target,
            expected,
            &scratch.path().join("restored.db"),
        );
    }
    targets.len()
}

/// The files of a replica in the manifest: name, time, content.
pub(crate) fn files(replica: &JsonValue) -> impl Iterator<Item = (FileName, i64, Vec<u8>)> {
    let dir = text(&replica["dir"]);
    list(&replica["files"]).iter().map(move |file| {
        let path = text(&file["path"]);
        let time = number(&file["timestamp_ms"]) as i64;
        (parse_name(path), time, read(&format!("{dir}/{path}")))
    })
}

/// What the manifest says about restores of a replica.
pub(crate) fn targets(replica: &JsonValue) -> Vec<(Target, &JsonValue)> {
    let mut targets = vec![(Target::Latest, &replica["latest"])];
    for expected in field(replica, "txids").map_or(&[][..], list) {
        let txid = Txid::from_hex(text(&expected["txid"])).unwrap();
        targets.push((Target::Txid(txid), expected));
    }
    for expected in field(replica, "timestamps").map_or(&[][..], list) {
        let time = Timestamp::from_millis(number(&expected["timestamp_ms"]) as i64);
        targets.push((Target::Before(time), expected));
    }
    targets
}

fn check(storage: &dyn Storage, target: Target, expected: &JsonValue, output: &Path) {
    let mut last = None;
    let result = restore(
        storage,
        target,
        output,
        &Options::default(),
        &mut |progress| {
            last = Some(progress);
        },
    );
    if field(expected, "expect").is_some() {
        assert!(
            matches!(result, Err(RestoreError::Plan(_))),
            "{target:?} {result:?}"
        );
        assert!(!output.exists());
        return;
    }
    let Ok(Outcome::Restored(report)) = result else {
        panic!("{target:?}: {result:?}");
    };
    assert_eq!(sha256(output), text(&expected["db_sha256"]), "{target:?}");
    let progress = last.unwrap();
    assert_eq!(
        (progress.done, progress.total),
        (report.bytes, report.bytes)
    );
    if let Target::Txid(txid) = target {
        assert_eq!(report.txid, txid);
    }
    std::fs::remove_file(output).unwrap();
}

/// A replica of these files, each named as its header says, and the plan to apply them as they come.
fn chain(paths: &[&str]) -> (Memory, Plan) {
    let files: Vec<(FileName, i64, Vec<u8>)> = paths
        .iter()
        .map(|path| {
            let bytes = read(path);
            let txids = Decoder::open(&bytes[..]).unwrap().header().txids;
            (name(0, txids.min().value(), txids.max().value()), 0, bytes)
        })
        .collect();
    let info = |file: &(FileName, i64, Vec<u8>)| FileInfo {
        name: file.0,
        size: file.2.len() as u64,
        created: Timestamp::from_millis(0),
    };
    let infos: Vec<FileInfo> = files.iter().map(info).collect();
    let plan = Plan {
        txids: TxidRange::snapshot(infos[infos.len() - 1].name.txids.max()),
        bytes: infos.iter().map(|file| file.size).sum(),
        back: Vec::new(),
        window: None,
        files: infos,
    };
    (Memory::holding(files), plan)
}

fn parse_name(path: &str) -> FileName {
    let mut parts = path.split('/').skip(1);
    let level = parts.next().unwrap().parse().unwrap();
    let (min, max) = parts.next().unwrap().split_once('-').unwrap();
    let txid = |text: &str| Txid::from_hex(text.split('.').next().unwrap()).unwrap();
    let txids = TxidRange::new(txid(min), txid(max)).unwrap();
    name(level, txids.min().value(), txids.max().value())
}

struct Stored(Vec<u8>);

impl Content for Stored {
    fn write_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&self.0)
    }
}

fn sha256(path: &Path) -> String {
    let (mut file, mut hash) = (File::open(path).unwrap(), Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).unwrap() {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
