//! `verify` says that a state is whole where a restore gives it, and of what is damaged it says what and why.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::{Answer, Stored, answer, of_url, planted, replicated, walbrook};
use crate::ltx::vectors::{field, list, manifest, number, text};
use crate::restore::vectors::targets;
use crate::support::memory::{name, tagged_ltx};
use crate::support::place::Place;
use crate::support::rig::{Program, Rig, sqlite};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use crate::support::states::checksum;
use walbrook::ltx::Checksum;
use walbrook::storage::file::FileStorage;
use walbrook::storage::{FileName, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::{PageSize, Timestamp};

/// What damage is done to a file.
const DAMAGES: [&str; 4] = ["cut", "emptied", "flipped", "deleted"];

fn damage(place: &Place, level: u8, name: &str, how: &str) {
    let mut bytes = place.read(level, name);
    let middle = bytes.len() / 2;
    match how {
        "cut" => bytes.truncate(middle.max(150)),
        "emptied" => bytes.clear(),
        "flipped" => bytes[middle] ^= 1,
        _ => return place.remove(level, name),
    }
    place.write(level, name, &bytes);
}

fn on_s3() -> Rig {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    Rig::with_replica(Place::on(&server))
}

#[test]
fn every_state_of_litestreams_replicas() {
    let scratch = Scratch::new();
    let replicas = manifest("replicas");
    let mut proven = 0;
    for replica in replicas
        .iter()
        .filter(|it| field(it, "heavy").is_none())
        .take(5)
    {
        let (_, url) = planted(replica, &scratch);
        for (target, expected) in targets(replica).iter().take(8) {
            let mut line = vec!["verify".to_owned()];
            match target {
                walbrook::restore::Target::Txid(txid) => {
                    line.extend(["-txid".into(), txid.to_string()])
                }
                walbrook::restore::Target::Latest => (),
                _ => continue,
            }
            line.push(url.clone());
            let answer = walbrook(&line);
            let restores = field(expected, "expect").is_none();
            assert_eq!(answer.code == 0, restores, "{target:?} {answer:?}");
            // Litestream says nothing of the database.
            if restores {
                assert!(answer.out.contains("that was not compared"), "{answer:?}");
                proven += 1;
            }
        }
        fs::remove_dir_all(scratch.path().join("replica")).unwrap();
    }
    assert!(proven > 20, "{proven}");
}

/// Whole, then each of the files of the newest state damaged in each way.
fn whole_and_damaged(rig: &Rig) {
    replicated(rig, 4);
    let whole = of_url(rig, &["verify"]);
    assert_eq!(whole.code, 0, "{whole:?}");
    let newest = format!("TXID {:016x}", rig.newest());
    assert!(whole.out.contains(&newest), "{newest} {whole:?}");
    assert!(
        whole.out.contains("the pages are those of the database"),
        "{whole:?}"
    );

    let plan = of_url(rig, &["restore", "-dry-run", "-json", "-o", "/nowhere"]).json();
    let files = list(&plan["files"]);
    assert!(files.len() > 2, "{plan:?}");
    for (index, file) in files.iter().enumerate() {
        let (level, name) = (number(&file["level"]) as u8, text(&file["name"]));
        for how in DAMAGES {
            let bytes = rig.place().read(level, name);
            damage(rig.place(), level, name, how);
            let answer = of_url(rig, &["verify"]);
            let is_newest = index == files.len() - 1;
            if how == "deleted" && is_newest {
                // Nobody can know of it.
                assert_eq!(answer.code, 0, "{answer:?}");
            } else {
                assert_eq!(answer.code, 65, "{name} {how}: {answer:?}");
                let blamed = match how {
                    "deleted" if index == 0 => "no snapshot".to_owned(),
                    "deleted" => "files are missing between TXID".to_owned(),
                    _ => format!(
                        "level {level} {} is damaged: ",
                        name.trim_end_matches(".ltx")
                    ),
                };
                assert!(answer.out.contains(&blamed), "{how} {blamed} {answer:?}");
                // What is before it is whole.
                let before = files
                    .get(index.wrapping_sub(1))
                    .map(|file| text(&file["max_txid"]));
                match before {
                    Some(txid) => assert!(
                        answer.out.contains(&format!("-txid {txid}\n")),
                        "{answer:?}"
                    ),
                    None => assert!(!answer.out.contains("found to be whole"), "{answer:?}"),
                }
                let drill = of_url(rig, &["verify", "-drill", "-json"]);
                assert_eq!(drill.code, 65, "{drill:?}");
            }
            rig.place().write(level, name, &bytes);
        }
    }
    assert_eq!(of_url(rig, &["verify", "-drill"]).code, 0);
}

#[test]
fn a_live_replica_in_a_directory_whole_and_damaged() {
    whole_and_damaged(&Rig::new());
}

#[test]
fn a_live_replica_on_s3_whole_and_damaged() {
    whole_and_damaged(&on_s3());
}

/// A file, its pages, and the database that it says it leads to.
type Made<'a> = (FileName, &'a [(u32, u8)], Option<Checksum>);

/// A replica in a directory made of these files.
fn made_of(scratch: &Scratch, files: &[Made<'_>]) -> FileStorage {
    let root = scratch.path().join("replica");
    let storage = FileStorage::new(root, Arc::new(SystemFiles));
    for (name, pages, tag) in files {
        let bytes = tagged_ltx(name.txids, 3, pages, *tag);
        let time = Timestamp::from_millis(name.txids.max().value() as i64 * 1000);
        storage.write(*name, time, &Stored(bytes)).unwrap();
    }
    storage
}

#[test]
fn files_that_are_whole_but_not_of_this_database() {
    let scratch = Scratch::new();
    let image: Vec<u8> = [7, 2, 5].iter().flat_map(|byte| [*byte; 512]).collect();
    let tag = Some(checksum(&image, PageSize::new(512).unwrap()));
    let (base, middle, newest) = (name(9, 1, 1), name(0, 2, 2), name(0, 3, 3));
    let files = [
        (base, &[(1, 1), (2, 2), (3, 3)][..], None),
        (middle, &[(3, 5)], None),
        (newest, &[(1, 7)], tag),
    ];
    let storage = made_of(&scratch, &files);
    let url = format!("file://{}", storage.location());
    let whole = walbrook(&["verify", "-json", &url]).json();
    assert_eq!(text(&whole[0]["database_checksum"]), "matches");

    let time = Timestamp::from_millis(2000);
    let other = tagged_ltx(middle.txids, 3, &[(3, 6)], None);
    storage.write(middle, time, &Stored(other)).unwrap();
    let answer = walbrook(&["verify", &url]);
    assert_eq!(answer.code, 65, "{answer:?}");
    let blamed = "DAMAGED: the database that the files up to level 0 0000000000000003";
    assert!(answer.out.contains(blamed), "{answer:?}");
    // Nothing says what the one before it was.
    assert!(
        answer.out.contains("-txid 0000000000000002\n"),
        "{answer:?}"
    );
    // Each file by itself is whole.
    assert_eq!(walbrook(&["verify", "-subset", "1/1", &url]).code, 0);
}

#[test]
fn a_damaged_file_is_named_also_where_others_lead_to_the_same_state() {
    let scratch = Scratch::new();
    let merged = name(1, 2, 3);
    let files = [
        (name(9, 1, 1), &[(1, 1), (2, 2), (3, 3)][..], None),
        (name(0, 2, 2), &[(3, 5)], None),
        (name(0, 3, 3), &[(3, 7)], None),
        (merged, &[(3, 7)], None),
    ];
    let storage = made_of(&scratch, &files);
    let url = format!("file://{}", storage.location());
    assert_eq!(walbrook(&["verify", &url]).code, 0);
    let mut bytes = tagged_ltx(merged.txids, 3, &[(3, 7)], None);
    bytes[30] ^= 1;
    storage
        .write(merged, Timestamp::from_millis(3000), &Stored(bytes))
        .unwrap();
    let answer = walbrook(&["verify", &url]);
    assert_eq!(answer.code, 65, "{answer:?}");
    let around = "a restore goes around that: other files lead to TXID 0000000000000003 of 1970-01-01T00:00:03Z";
    assert!(
        answer
            .out
            .contains("level 1 0000000000000002-0000000000000003"),
        "{answer:?}"
    );
    assert!(answer.out.contains(around), "{answer:?}");
    assert_eq!(walbrook(&["history", &url]).code, 0);
}

#[test]
fn a_drill_finds_what_only_sqlite_can_see_and_leaves_nothing() {
    let rig = Rig::new();
    // An index that lacks a row: sound pages, and nothing that a checksum could tell.
    let sql = "PRAGMA journal_mode=WAL; CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES (1);
        PRAGMA writable_schema=ON;
        UPDATE sqlite_schema SET sql='CREATE INDEX i ON t(a) WHERE a>5' WHERE name='i';
        PRAGMA writable_schema=RESET; INSERT INTO t VALUES (2);
        PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql='CREATE INDEX i ON t(a)' WHERE name='i';";
    sqlite(&rig.db(), sql);
    rig.once();
    assert_eq!(of_url(&rig, &["verify"]).code, 0);
    let temporary = rig.path("tmp");
    fs::create_dir(&temporary).unwrap();
    // One left behind by a drill that was killed the day before yesterday, and one that may be under way.
    let [old, new] = ["old", "new"].map(|name| temporary.join(format!("walbrook-drill-{name}")));
    for left in [&old, &new] {
        fs::create_dir(left).unwrap();
        fs::write(left.join("database"), "x").unwrap();
    }
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(48 * 3600);
    fs::File::open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    let mut command = Program::Walbrook.command();
    command.args(["verify", "-drill"]).arg(rig.url());
    let drill = answer(command.env("TMPDIR", &temporary));
    assert_eq!(drill.code, 65, "{drill:?}");
    assert!(drill.out.contains("integrity check"), "{drill:?}");
    let left: Vec<_> = fs::read_dir(&temporary)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    assert_eq!(left, [new]);
    // Where it cannot be tried, nothing is proven, and nothing damaged.
    let nowhere = answer(command.env("TMPDIR", rig.path("none")));
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    assert!(nowhere.out.contains("NOT VERIFIED"), "{nowhere:?}");
}

/// Each part once.
fn parts(rig: &Rig, of: usize) -> Vec<Answer> {
    let part = |number| format!("{number}/{of}");
    let parts = (1..=of).map(part);
    parts
        .map(|part| of_url(rig, &["verify", "-json", "-subset", &part]))
        .collect()
}

/// Damages files that no restore of the newest state reads; a part finds them, and only one.
fn parts_find_everything(rig: &Rig) {
    replicated(rig, 6);
    let all: usize = (0..=9).map(|level| rig.files(level).len()).sum();
    let read = |answers: &[Answer]| {
        let files = answers.iter().map(|answer| {
            let json: tinyjson::JsonValue = answer.out.parse().unwrap();
            number(&json[0]["files"])
        });
        files.sum::<u64>()
    };
    let answers = parts(rig, 3);
    assert!(answers.iter().all(|answer| answer.code == 0), "{answers:?}");
    assert_eq!(read(&answers), all as u64, "each file is in one part");
    for how in ["cut", "flipped"] {
        for level in [0, 9] {
            let name = rig.files(level)[0].clone();
            let bytes = rig.place().read(level, &name);
            damage(rig.place(), level, &name, how);
            let answers = parts(rig, 3);
            let found = answers.iter().filter(|answer| answer.code == 65);
            let found: Vec<_> = found.collect();
            assert_eq!(found.len(), 1, "{answers:?}");
            let blamed = format!("level {level} {} is damaged", name.trim_end_matches(".ltx"));
            assert!(found[0].out.contains(&blamed), "{found:?}");
            rig.place().write(level, &name, &bytes);
        }
    }
    // That files do not join is seen with every part.
    let name = rig.files(0)[1].clone();
    rig.place().remove(0, &name);
    let answers = parts(rig, 2);
    assert!(
        answers
            .iter()
            .all(|it| it.code == 65 && it.out.contains("files are missing")),
        "{answers:?}"
    );
}

#[test]
fn parts_find_everything_in_a_directory() {
    parts_find_everything(&Rig::new());
}

#[test]
fn parts_find_everything_on_s3() {
    parts_find_everything(&on_s3());
}

#[test]
fn the_result_is_noted_beside_the_state() {
    let rig = Rig::with_others([]);
    let mut session = crate::support::application::Session::create(&rig.db());
    session.insert("t", 10);
    let process = rig.start(Program::Walbrook);
    rig.wait_in_sync();
    process.stop().well();
    let note = rig.meta().join("walbrook-verify");
    assert_eq!(of_url(&rig, &["verify"]).code, 0);
    assert!(!note.exists(), "nobody said which database this is of");

    let whole = answer(rig.configured("verify").arg(rig.db()));
    assert_eq!(whole.code, 0, "{whole:?}");
    let newest = rig.newest();
    let line = |kind: &str, result: &str, txid: &str| {
        format!(" {kind} {result} {txid} {}\n", rig.place().location())
    };
    let noted = fs::read_to_string(&note).unwrap();
    assert!(
        noted.ends_with(&line("state", "whole", &format!("{newest:016x}"))),
        "{noted}"
    );

    let name = rig.files(9)[0].clone();
    damage(rig.place(), 9, &name, "flipped");
    let all = answer(rig.configured("verify").args(["-all", "-subset", "7/1"]));
    assert_eq!(all.code, 65, "{all:?}");
    assert!(all.out.contains(rig.db().to_str().unwrap()), "{all:?}");
    let noted = fs::read_to_string(&note).unwrap();
    assert!(
        noted.contains(&line("state", "whole", &format!("{newest:016x}"))),
        "{noted}"
    );
    assert!(
        noted.ends_with(&line("part:1/1", "damaged", &format!("{newest:016x}"))),
        "{noted}"
    );

    rig.forget();
    assert_eq!(answer(rig.configured("verify").arg(rig.db())).code, 65);
    assert!(!rig.meta().exists(), "no directory is made for it");
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    let refused = |line: &[&str], expected: &str| {
        let answer = walbrook(line);
        assert_eq!(answer.code, 1, "{answer:?}");
        assert!(answer.said.contains(expected), "{expected} {answer:?}");
    };
    refused(&["verify"], "database path or replica URL required");
    refused(&["verify", "-all", "/x.db"], "-all takes neither");
    refused(&["verify", "-subset", "x", "file:///r"], "write N/M");
    refused(
        &["verify", "-subset", "1/3", "-drill", "file:///r"],
        "-subset is of all files",
    );
    let scratch = Scratch::new();
    let config = scratch.path().join("c.yml");
    let entry = "{dir: /nowhere, pattern: '*.db', watch: true, replica: {path: /nowhere/r}}";
    fs::write(&config, format!("dbs: [{entry}]")).unwrap();
    let none = ["verify", "-all", "-config", config.to_str().unwrap()];
    refused(&none, "nothing was verified");
    let empty = walbrook(&["verify", "file:///nowhere/at/all"]);
    assert_eq!(empty.code, 66, "{empty:?}");
    assert!(
        empty.out.contains("NOT VERIFIED: no matching backup files"),
        "{empty:?}"
    );
    assert!(!Path::new("/nowhere").exists());
}
