//! The power fails: the WAL has lost its tail, which the replica has. The database is right, whatever it is.

use std::fs;

use super::{End, finish};
use crate::support::application::Session;
use crate::support::process::output_of;
use crate::support::rig::{Program, Rig, sqlite};

/// What of the local state survives beside the shortened WAL.
#[derive(Clone, Copy, Debug)]
enum Remembered {
    /// That of the time the WAL goes back to.
    AsOld,
    /// The newest, which tells of frames that are gone.
    Newer,
    Nothing,
}

/// Replicates, notes the length of the WAL, lets `tail` happen and be replicated, and takes it back.
#[track_caller]
fn the_database_wins(tail: impl Fn(&mut Session)) {
    for remembered in [Remembered::AsOld, Remembered::Newer, Remembered::Nothing] {
        for followed in [false, true] {
            lose_tail(remembered, followed, &tail);
        }
    }
}

#[track_caller]
fn lose_tail(remembered: Remembered, followed: bool, tail: impl Fn(&mut Session)) {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    // No frame is written back in this test: the file must not hold what the WAL loses.
    session.sql("PRAGMA wal_autocheckpoint = 0");
    session.insert("t", 30);
    session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    let process = rig.start(Program::Walbrook);
    session.insert("t", 3);
    rig.wait_in_sync();
    rig.wait_remembered();
    let kept = fs::metadata(rig.wal()).unwrap().len();
    let database = fs::read(rig.db()).unwrap();
    let copy_state = |from: &str, to: &str| {
        let _ = fs::remove_dir_all(rig.path(to));
        let mut command = std::process::Command::new("cp");
        command.arg("-a").args([rig.path(from), rig.path(to)]);
        output_of(&mut command).unwrap();
    };
    copy_state(".app.db-litestream", "old-state");
    let before = sqlite(&rig.db(), "SELECT count(*), total(length(v)) FROM t");
    tail(&mut session);
    rig.wait_in_sync();
    // Still the same WAL: it has grown, and nothing was written back.
    assert!(fs::metadata(rig.wal()).unwrap().len() > kept);
    finish(process, End::Killed);
    drop(session);
    assert!(fs::read(rig.db()).unwrap() == database, "written back");

    let wal = fs::File::options().write(true).open(rig.wal()).unwrap();
    wal.set_len(kept).unwrap();
    fs::remove_file(rig.path("app.db-shm")).unwrap();
    match remembered {
        Remembered::AsOld => copy_state("old-state", ".app.db-litestream"),
        Remembered::Newer => {}
        Remembered::Nothing => rig.forget(),
    }
    let mut session = Session::open(&rig.db());
    let after = session.sql("SELECT count(*), total(length(v)) FROM t");
    assert_eq!(after[0].join("|"), before.trim());
    if followed {
        // The WAL grows over the place of the lost tail before we are back.
        session.insert("t", 4);
    }
    let process = rig.start(Program::Walbrook);
    rig.wait_in_sync();
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn a_lost_tail_of_rows_is_taken_back() {
    the_database_wins(|session| session.insert("t", 8));
}

#[test]
fn a_lost_tail_that_grew_the_database_is_taken_back() {
    the_database_wins(|session| {
        session.sql("INSERT INTO t(v) VALUES(zeroblob(100000))");
        session.sql("UPDATE t SET v = 'short' WHERE id < 5");
    });
}

#[test]
fn a_lost_tail_that_shrank_the_database_is_taken_back() {
    the_database_wins(|session| {
        session.sql("DELETE FROM t WHERE id > 2");
        session.sql("VACUUM");
    });
}
