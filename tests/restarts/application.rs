//! What the application and its administrator do while we replicate.

use std::time::Duration;

use crate::support::application::Session;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings, sqlite};

use super::replicating;

/// Another database, in the journal mode given.
fn another(rig: &Rig, mode: &str) -> std::path::PathBuf {
    let path = rig.path("another.db");
    let sql = format!(
        "PRAGMA journal_mode = {mode}; CREATE TABLE t(id INTEGER PRIMARY KEY, v); \
         INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 500) \
         SELECT hex(randomblob(50)) FROM n"
    );
    sqlite(&path, &sql);
    path
}

/// Replaces the database while we replicate it by another one, and expects that to be taken up when a person says so.
fn a_replacement_is_taken_up(mode: &str, replace: impl Fn(&Rig, &std::path::Path)) {
    let (rig, session, process) = replicating();
    session.close();
    let before = rig.source_sum();
    let another = another(&rig, mode);
    replace(&rig, &another);
    process.wait_for("is another database than the one that");
    assert_eq!(process.stop().code(), 1);
    assert_eq!(rig.restored_sum(Program::Walbrook, None), Ok(before));
    let process = rig.start_adopting();
    rig.wait_in_sync();
    let mut session = Session::open(&rig.db());
    assert_eq!(session.sql("SELECT count(*) FROM t"), [["500"]]);
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    let restored = rig.restore(Program::Litestream17);
    assert_eq!(sqlite(&restored, "SELECT count(*) FROM t"), "501\n");
}

fn remove_database(rig: &Rig) {
    for name in ["app.db-wal", "app.db-shm", "app.db"] {
        std::fs::remove_file(rig.path(name)).unwrap();
    }
}

#[test]
fn a_database_removed_and_replaced_by_a_copy_is_taken_up() {
    for mode in ["wal", "delete"] {
        a_replacement_is_taken_up(mode, |rig, another| {
            remove_database(rig);
            std::fs::copy(another, rig.db()).unwrap();
        });
    }
}

#[test]
fn a_database_renamed_over_ours_is_taken_up() {
    for mode in ["wal", "delete"] {
        a_replacement_is_taken_up(mode, |rig, another| {
            std::fs::remove_file(rig.wal()).unwrap();
            std::fs::remove_file(rig.path("app.db-shm")).unwrap();
            std::fs::rename(another, rig.db()).unwrap();
        });
    }
}

#[test]
fn a_database_that_comes_back_after_a_while_is_taken_up() {
    a_replacement_is_taken_up("wal", |rig, another| {
        remove_database(rig);
        let log = || std::fs::read_to_string(rig.log(Program::Walbrook)).unwrap();
        wait_until("missed", || log().contains("no such file"));
        std::fs::rename(another, rig.db()).unwrap();
    });
}

#[test]
fn a_long_reader_costs_nothing_while_the_application_is_idle() {
    let (rig, mut session, process) = replicating();
    let mut reader = Session::open(&rig.db());
    reader.sql("BEGIN");
    reader.sql("SELECT count(*) FROM t");
    // SQLite's own checkpoints are held up by the reader too.
    session.sql(
        "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 1500) \
         SELECT hex(randomblob(2000)) FROM n",
    );
    session.insert("t", 1);
    let wal = std::fs::metadata(rig.wal()).unwrap().len();
    assert!(wal > 1000 * 4096, "{wal} bytes of WAL");
    rig.wait_in_sync();
    let before = rig.txids();
    // There is nothing to wait for: what must not happen would have happened thirty times over.
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(rig.txids(), before);
    reader.sql("COMMIT");
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn the_applications_own_truncation_is_not_held_up() {
    // The usual intervals: a short one would hide that we are slow to get out of the way.
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    let unhurried = Settings {
        database: "monitor-interval: 1s".to_string(),
        ..Settings::default()
    };
    let process = rig.start_with(Program::Walbrook, &unhurried);
    session.sql("PRAGMA busy_timeout = 5000");
    let mut slowest = 0;
    for _ in 0..5 {
        session.insert("t", 5);
        rig.wait_in_sync();
        let (rows, millis) = session.attempt("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        assert_eq!(rows[0][0], "0", "it gave up after {millis} ms");
        slowest = slowest.max(millis);
    }
    println!("the slowest took {slowest} ms");
    assert!(slowest < 1000, "{slowest} ms");
    session.insert("t", 1);
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn every_way_to_checkpoint_is_followed() {
    let (rig, mut session, process) = replicating();
    for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        for _ in 0..3 {
            session.insert("t", 3);
            session.sql(&format!("PRAGMA wal_checkpoint({mode})"));
            session.insert("other", 2);
        }
        rig.wait_in_sync();
    }
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn a_database_in_rollback_mode_is_switched_to_wal() {
    let rig = Rig::new();
    sqlite(&rig.db(), "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
    let mut session = Session::open(&rig.db());
    session.insert("t", 3);
    let process = rig.start(Program::Walbrook);
    process.wait_for("switched to WAL mode");
    session.insert("t", 3);
    rig.wait_in_sync();
    assert_eq!(session.sql("PRAGMA journal_mode"), [["wal"]]);
    process.stop().well();
    rig.assert_in_sync();
}
