//! What goes out after the WAL was lost: the pages that differ, as long as the sums of the pages are there.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{End, finish};
use crate::support::application::Session;
use crate::support::process::{Process, wait_until};
use crate::support::rig::{Program, Rig, Settings};

/// A database of so many mebibytes, copied to its replica.
fn copied(mebibytes: usize, settings: &Settings) -> (Rig, Session, Process) {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    fill(&mut session, mebibytes);
    let process = rig.start_with(Program::Walbrook, settings);
    rig.wait_in_sync();
    wait_until("sums", || sums_file(&rig).is_some());
    session.insert("t", 1);
    rig.wait_in_sync();
    rig.wait_remembered();
    (rig, session, process)
}

pub(crate) fn fill(session: &mut Session, mebibytes: usize) {
    session.sql("CREATE TABLE bulk(v)");
    session.sql(&format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {mebibytes}) \
         INSERT INTO bulk SELECT randomblob(1048000) FROM n"
    ));
}

fn sums_file(rig: &Rig) -> Option<PathBuf> {
    let entries = fs::read_dir(rig.meta()).ok()?;
    let mut paths = entries.map(|entry| entry.unwrap().path());
    paths.find(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("walbrook-sums-") && !name.ends_with(".tmp")
    })
}

/// Bytes in the files of level 0 above `txid`.
fn sent_since(rig: &Rig, txid: u64) -> u64 {
    let name = |name: &str| u64::from_str_radix(&name[..16], 16).unwrap();
    let newer = rig.files(0).into_iter().filter(|file| name(file) > txid);
    newer
        .map(|file| fs::metadata(rig.level(0).join(file)).unwrap().len())
        .sum()
}

/// Twenty rows, a checkpoint that leaves nothing of the WAL, and twenty rows more.
fn lose_the_wal(session: &mut Session) {
    session.insert("t", 20);
    session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    session.insert("t", 20);
}

/// Goes on until all is sent. Gives the bytes that this took.
fn catch_up(rig: &Rig) -> u64 {
    let before = rig.newest();
    rig.once();
    rig.assert_in_sync();
    sent_since(rig, before)
}

#[test]
fn after_a_gap_the_pages_that_differ_go_out() {
    for end in [End::Killed, End::Stopped] {
        let (rig, mut session, process) = copied(32, &Settings::default());
        finish(process, end);
        lose_the_wal(&mut session);
        let sent = catch_up(&rig);
        println!("{end:?}: {sent} bytes sent of 32 MiB");
        assert!(sent > 0 && sent < 64 << 10, "{sent}");
    }
}

#[test]
fn without_sums_everything_goes_out() {
    for ruin in [
        |path: PathBuf| fs::remove_file(path).unwrap(),
        |path: PathBuf| fs::write(&path, &fs::read(&path).unwrap()[..1000]).unwrap(),
        |path: PathBuf| {
            let mut bytes = fs::read(&path).unwrap();
            bytes[500] ^= 1;
            fs::write(path, bytes).unwrap();
        },
    ] {
        let (rig, mut session, process) = copied(4, &Settings::default());
        finish(process, End::Killed);
        lose_the_wal(&mut session);
        ruin(sums_file(&rig).unwrap());
        let sent = catch_up(&rig);
        assert!(sent > 4 << 20, "{sent}");
        // All is known again.
        session.insert("t", 1);
        rig.once();
        lose_the_wal(&mut session);
        let sent = catch_up(&rig);
        assert!(sent > 0 && sent < 64 << 10, "{sent}");
    }
}

#[test]
fn old_sums_are_as_good_as_what_was_sent_since_is_known() {
    let settings = Settings::global(
        "levels: [{interval: 1s}, {interval: 2s}]\nl0-retention: 1s\nl0-retention-check-interval: 1s",
    );
    let (rig, mut session, process) = copied(8, &settings);
    let old = fs::read(sums_file(&rig).unwrap()).unwrap();
    for _ in 0..30 {
        session.insert("t", 2);
        rig.wait_in_sync();
        std::thread::sleep(Duration::from_millis(100));
    }
    wait_until("a file that was merged and deleted", || {
        session.insert("t", 1);
        let third = |name: &String| name.starts_with("0000000000000003-");
        !rig.files(0).iter().any(third)
    });
    assert!(!rig.files(1).is_empty());
    assert!(
        fs::read(sums_file(&rig).unwrap()).unwrap() == old,
        "too eager"
    );
    // Without a sync that the state on disk names, all would go out. Another WAL has it written anew.
    let state = || fs::read(rig.meta().join("walbrook-state")).unwrap();
    let before = state();
    session.sql("PRAGMA wal_checkpoint(RESTART)");
    wait_until("a newer state", || {
        session.insert("t", 1);
        state() != before
    });
    rig.wait_in_sync();
    finish(process, End::Killed);
    lose_the_wal(&mut session);
    let sent = catch_up(&rig);
    println!("{sent} bytes sent of 8 MiB");
    assert!(sent > 0 && sent < 128 << 10, "{sent}");
}

#[test]
fn sums_that_are_lost_are_learnt_again_while_the_wal_goes_on() {
    let (rig, mut session, process) = copied(4, &Settings::default());
    finish(process, End::Killed);
    fs::remove_file(sums_file(&rig).unwrap()).unwrap();
    session.insert("t", 1);
    let process = rig.start(Program::Walbrook);
    wait_until("sums", || sums_file(&rig).is_some());
    rig.wait_in_sync();
    finish(process, End::Killed);
    lose_the_wal(&mut session);
    let sent = catch_up(&rig);
    assert!(sent > 0 && sent < 64 << 10, "{sent}");
}

#[test]
fn nothing_goes_out_after_the_application_has_closed_and_nothing_has_changed() {
    let (rig, session, process) = copied(2, &Settings::default());
    finish(process, End::Stopped);
    session.close();
    assert!(!rig.wal().exists());
    let (newest, log) = (rig.newest(), rig.log(Program::Walbrook));
    for _ in 0..2 {
        rig.once();
        assert_eq!(rig.newest(), newest);
        let mut session = Session::open(&rig.db());
        session.sql("SELECT count(*) FROM t");
        session.close();
        assert!(!rig.wal().exists());
    }
    rig.assert_in_sync();
    let log = fs::read_to_string(log).unwrap();
    assert_eq!(log.matches("sending every page").count(), 1, "{log}");
}

#[test]
fn every_page_size_and_a_database_that_shrank_and_grew() {
    for page_size in [512, 4096, 65536] {
        let rig = Rig::new();
        let mut session = Session::open(&rig.db());
        session.sql(&format!("PRAGMA page_size = {page_size}"));
        session.sql("PRAGMA auto_vacuum = full");
        session.sql("PRAGMA journal_mode = wal");
        session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        fill(&mut session, 3);
        rig.once();
        for statement in [
            "DELETE FROM bulk WHERE rowid > 1",
            "INSERT INTO bulk VALUES (randomblob(1048000))",
            "INSERT INTO bulk VALUES (zeroblob(2096000))",
            "DELETE FROM bulk",
        ] {
            session.sql(statement);
            session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
            session.insert("t", 1);
            let sent = catch_up(&rig);
            assert!(
                sent > 0 && sent < 1_500_000,
                "{page_size}: {statement}: {sent}"
            );
            rig.restore(Program::Litestream17);
        }
    }
}
