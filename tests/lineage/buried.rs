//! What must not bury a history: new databases, other ones, earlier states.

use super::{
    everywhere, is_accepted, is_refused, once, put, remove_database, replicated, restored_rows,
};
use crate::support::application::Session;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings, sqlite};

/// What somebody, or a restore that failed, left in place of a database with 500 rows.
fn replacements() -> [(&'static str, &'static str); 4] {
    [
        ("empty", "PRAGMA user_version = 1"),
        (
            "the application's, new",
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)",
        ),
        (
            "the application's, with rows",
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); \
             INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 700) \
             SELECT hex(randomblob(20)) FROM n",
        ),
        (
            "with a table of its own",
            "CREATE TABLE x(y); INSERT INTO x VALUES('mine')",
        ),
    ]
}

#[test]
fn a_new_database_does_not_bury_500_rows() {
    for (what, sql) in replacements() {
        for mode in ["wal", "delete"] {
            println!("{what}, {mode}");
            let rig = Rig::new();
            drop(replicated(&rig, 500));
            remove_database(&rig);
            rig.forget();
            sqlite(&rig.db(), &format!("PRAGMA journal_mode = {mode}; {sql}"));
            is_refused(&rig, "is another database than the one that");
            assert_eq!(restored_rows(&rig), "500");
            // The state of the refused run vouches for nothing.
            is_refused(&rig, "is another database than the one that");
        }
    }
}

#[test]
fn a_new_database_does_not_bury_it_although_the_state_is_kept() {
    everywhere(|rig| {
        drop(replicated(rig, 500));
        // The file system may well give it the same inode.
        remove_database(rig);
        sqlite(&rig.db(), "CREATE TABLE t(id INTEGER PRIMARY KEY, v)");
        is_refused(rig, "is another database than the one that");
        assert_eq!(restored_rows(rig), "500");
        // Nor without it.
        rig.forget();
        is_refused(rig, "is another database than the one that");
        assert_eq!(restored_rows(rig), "500");
    });
}

#[test]
fn litestream_buries_it() {
    let rig = Rig::new();
    drop(replicated(&rig, 500));
    remove_database(&rig);
    rig.forget();
    sqlite(
        &rig.db(),
        "PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
    );
    let before = rig.newest();
    let process = rig.start(Program::Litestream17);
    wait_until("sent", || rig.newest() > before);
    process.stop().well();
    assert_eq!(restored_rows(&rig), "0");
}

#[test]
fn adopt_goes_on_with_it_and_keeps_what_was_there() {
    let rig = Rig::new();
    drop(replicated(&rig, 500));
    let before = rig.newest();
    remove_database(&rig);
    rig.forget();
    sqlite(
        &rig.db(),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES(1, 'new')",
    );
    is_refused(&rig, "is another database");
    let db = rig.db();
    let ended = once(&rig, &["-adopt", db.to_str().unwrap()]);
    assert_eq!(ended.code(), 0, "{}", ended.log);
    assert!(
        ended.log.contains("adopted, as -adopt asks for"),
        "{}",
        ended.log
    );
    rig.assert_in_sync();
    assert_eq!(restored_rows(&rig), "1");
    let old = rig.restore_at(Program::Walbrook, Some(before)).unwrap();
    assert_eq!(sqlite(&old, "SELECT count(*) FROM t").trim(), "500");
    // It is the replica's own from now on.
    sqlite(&rig.db(), "INSERT INTO t VALUES(2, 'newer')");
    is_accepted(&rig);
}

#[test]
fn adopt_names_a_database_that_is_replicated() {
    let rig = Rig::new();
    drop(replicated(&rig, 10));
    let ended = once(&rig, &["-adopt", "/nowhere/else.db"]);
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("/nowhere/else.db"), "{}", ended.log);
}

#[test]
fn a_database_restored_to_an_earlier_point_stops() {
    for forget in [false, true] {
        for back in [1, 2] {
            println!("{back} back, without state: {forget}");
            let rig = Rig::new();
            let mut session = replicated(&rig, 100);
            for _ in 0..3 {
                session.insert("t", 5);
                rig.once();
            }
            session.close();
            let newest = rig.newest();
            let earlier = rig
                .restore_at(Program::Walbrook, Some(newest - back))
                .unwrap();
            put(&rig, &earlier);
            if forget {
                rig.forget();
            }
            is_refused(&rig, "is an earlier state of what");
            assert_eq!(restored_rows(&rig), "115");
            // The way on that is offered first.
            let latest = rig.restore(Program::Walbrook);
            put(&rig, &latest);
            is_accepted(&rig);
        }
    }
}

#[test]
fn a_replica_of_litestream_is_not_buried_either() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    session.insert("t", 300);
    let process = rig.start(Program::Litestream17);
    rig.wait_in_sync();
    process.stop().well();
    session.close();
    remove_database(&rig);
    rig.forget();
    sqlite(&rig.db(), "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    is_refused(&rig, "is another database");
    assert_eq!(restored_rows(&rig), "300");
}

#[test]
fn a_database_replaced_while_running_stops_and_the_application_goes_on() {
    let rig = Rig::new();
    drop(replicated(&rig, 200));
    let process = rig.start_with(
        Program::Walbrook,
        &Settings {
            database: "monitor-interval: 50ms, min-checkpoint-page-count: 20".to_string(),
            ..Settings::default()
        },
    );
    process.wait_for("replicating to");
    rig.wait_in_sync();
    let before = rig.newest();
    remove_database(&rig);
    let mut session = Session::create(&rig.db());
    process.wait_for("is another database than the one that");
    // Nothing is held for a replica that gets nothing: the WAL is written back, by us and by the application.
    session.sql("PRAGMA wal_autocheckpoint = 0");
    session.insert("t", 100);
    wait_until("written back", || {
        std::fs::metadata(rig.db()).unwrap().len() > 5 * 4096
    });
    session.insert("t", 10);
    session.sql("PRAGMA busy_timeout = 5000");
    // It may meet with one of ours, which does not wait.
    wait_until("cut", || {
        session.sql("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == "0"
    });
    assert_eq!(rig.newest(), before);
    assert_eq!(process.stop().code(), 1);
    assert_eq!(restored_rows(&rig), "200");
}

#[test]
fn one_databases_stop_does_not_stop_the_others() {
    let rig = Rig::new();
    drop(replicated(&rig, 100));
    remove_database(&rig);
    rig.forget();
    sqlite(&rig.db(), "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    let other = rig.path("other.db");
    sqlite(
        &other,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(1, 'x')",
    );
    let (db, replica, theirs) = (rig.db(), rig.replica(), rig.path("other-replica"));
    let text = Settings::default().text(&[(&db, &replica), (&other, &theirs)]);
    let process = rig.start_config(Program::Walbrook, &text);
    process.wait_for("is another database than the one that");
    wait_until("the other is replicated", || theirs.join("ltx/9").exists());
    let files = || std::fs::read_dir(theirs.join("ltx/0")).map_or(0, Iterator::count);
    let before = files();
    sqlite(&other, "INSERT INTO t VALUES(2, 'y')");
    wait_until("it goes on", || files() > before);
    let ended = process.stop();
    assert_eq!(ended.code(), 1);
    assert!(
        !ended.log.contains("other.db: the last changes"),
        "{}",
        ended.log
    );
    assert_eq!(restored_rows(&rig), "100");
}
