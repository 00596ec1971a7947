//! What goes on without a person: lost state, lost tails, copies, restored databases, what Litestream has replicated.

use std::fs;

use super::{is_accepted, put, remove_database, replicated};
use crate::support::application::Session;
use crate::support::rig::{Program, Rig, sqlite};

#[test]
fn lost_state_needs_no_person_whatever_the_application_did() {
    let changes = [
        "SELECT 1",
        "INSERT INTO t(v) VALUES('one more')",
        "DELETE FROM t WHERE id > 3",
        "UPDATE t SET v = hex(randomblob(40))",
        "DELETE FROM t; DROP TABLE t; CREATE TABLE t(id INTEGER PRIMARY KEY, other)",
    ];
    for sql in changes {
        for vacuum in [false, true] {
            println!("{sql}, VACUUM: {vacuum}");
            let rig = Rig::new();
            let mut session = replicated(&rig, 200);
            rig.forget();
            for statement in sql.split("; ") {
                session.sql(statement);
            }
            if vacuum {
                session.sql("VACUUM");
                session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
            }
            session.close();
            let log = is_accepted(&rig);
            assert!(
                !log.contains("seeing for"),
                "it is known for our own: {log}"
            );
        }
    }
}

#[test]
fn a_lost_tail_of_the_wal_needs_no_person_without_state_either() {
    for forget in [false, true] {
        let rig = Rig::new();
        let mut session = replicated(&rig, 100);
        let (database, wal) = (fs::read(rig.db()).unwrap(), fs::read(rig.wal()).unwrap());
        session.insert("t", 60);
        session.sql("CREATE TABLE later(id)");
        rig.once();
        drop(session);
        // As after a power cut: the same file, its newest pages gone.
        fs::write(rig.db(), database).unwrap();
        fs::write(rig.wal(), wal).unwrap();
        let _ = fs::remove_file(rig.path("app.db-shm"));
        if forget {
            rig.forget();
        }
        is_accepted(&rig);
        assert_eq!(super::restored_rows(&rig), "100");
    }
}

#[test]
fn a_copy_that_was_moved_and_went_on_is_accepted() {
    for vary in [
        "SELECT 1",
        "INSERT INTO t(v) VALUES('x')",
        "DELETE FROM t WHERE id > 150",
    ] {
        let rig = Rig::new();
        replicated(&rig, 200).close();
        let copy = rig.path("copy.db");
        fs::copy(rig.db(), &copy).unwrap();
        put(&rig, &copy);
        rig.forget();
        sqlite(&rig.db(), vary);
        let log = is_accepted(&rig);
        assert!(
            log.contains("since it descends from what is there"),
            "{log}"
        );
    }
}

#[test]
fn a_container_that_restores_at_each_start_goes_on() {
    let rig = Rig::new();
    replicated(&rig, 50).close();
    for round in 0..3 {
        let restored = rig.restore(Program::RESTORERS[round % 2]);
        remove_database(&rig);
        rig.forget();
        fs::rename(restored, rig.db()).unwrap();
        let mut session = Session::open(&rig.db());
        session.insert("t", 5);
        session.close();
        is_accepted(&rig);
    }
    assert_eq!(super::restored_rows(&rig), "65");
}

#[test]
fn what_litestream_has_replicated_is_taken_over() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    session.insert("t", 100);
    let process = rig.start(Program::Litestream17);
    rig.wait_in_sync();
    session.insert("t", 100);
    rig.wait_in_sync();
    process.stop().well();
    session.insert("t", 3);
    let log = is_accepted(&rig);
    assert!(!log.contains("seeing for"), "{log}");
}

#[test]
fn litestream_reads_and_merges_what_carries_a_writer() {
    let rig = Rig::new();
    let mut session = replicated(&rig, 100);
    let bytes = fs::read(rig.level(0).join(rig.files(0).last().unwrap())).unwrap();
    assert_ne!(bytes[72..80], [0; 8], "the writer");
    let process = rig.start(Program::Litestream17);
    session.insert("t", 10);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    // And back, with a tail that carries none.
    session.insert("t", 10);
    let log = is_accepted(&rig);
    assert!(!log.contains("seeing for"), "{log}");
}
