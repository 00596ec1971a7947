//! What the application does while nobody replicates.

use super::{End, catches_up, goes_on, replicated_until};
use crate::support::application::Session;
use crate::support::rig::{Program, Rig, sqlite};

/// Does something to the database while we are stopped, after each way to stop.
#[track_caller]
fn is_made_up_for(happening: impl Fn(&Rig, &mut Session)) {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        happening(&rig, &mut session);
        catches_up(&rig);
        happening(&rig, &mut session);
        goes_on(&rig, &mut session);
    }
}

#[test]
fn rows_of_another_table_behind_a_checkpoint_are_made_up_for() {
    is_made_up_for(|_, session| {
        session.insert("other", 40);
        session.sql("PRAGMA wal_checkpoint(PASSIVE)");
        session.insert("t", 1);
    });
}

#[test]
fn two_restarts_of_the_wal_are_made_up_for() {
    is_made_up_for(|_, session| {
        for _ in 0..2 {
            session.sql("PRAGMA wal_checkpoint(PASSIVE)");
            session.insert("other", 1);
        }
    });
}

#[test]
fn a_restarted_wal_as_long_as_before_is_made_up_for() {
    is_made_up_for(|rig, session| {
        let before = std::fs::metadata(rig.wal()).map_or(0, |metadata| metadata.len());
        session.insert("other", 2);
        session.sql("PRAGMA wal_checkpoint(RESTART)");
        session.insert("t", 2);
        let frames = |rig: &Rig| std::fs::metadata(rig.wal()).unwrap().len();
        while frames(rig) < before {
            session.insert("t", 1);
        }
    });
}

#[test]
fn a_truncated_wal_is_made_up_for() {
    is_made_up_for(|_, session| {
        session.insert("other", 3);
        session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    });
    is_made_up_for(|_, session| {
        session.insert("other", 3);
        session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        session.insert("t", 3);
    });
}

#[test]
fn a_vacuum_is_made_up_for() {
    is_made_up_for(|_, session| {
        session.sql("INSERT INTO other(v) VALUES(zeroblob(100000))");
        session.sql("DELETE FROM other");
        session.sql("VACUUM");
        session.sql("PRAGMA wal_checkpoint(PASSIVE)");
        session.insert("t", 1);
    });
}

#[test]
fn the_end_of_the_application_is_made_up_for() {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        session.insert("t", 3);
        session.close();
        catches_up(&rig);
        let mut session = Session::open(&rig.db());
        session.insert("other", 3);
        goes_on(&rig, &mut session);
    }
}

#[test]
fn a_replaced_database_is_taken_up_when_a_person_says_so() {
    for end in [End::Stopped, End::Killed] {
        let (rig, session) = replicated_until(end);
        session.close();
        std::fs::remove_file(rig.db()).unwrap();
        sqlite(
            &rig.db(),
            "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('another')",
        );
        let process = rig.start(Program::Walbrook);
        process.wait_for("is another database than the one that");
        assert_eq!(process.stop().code(), 1);
        let process = rig.start_adopting();
        rig.wait_in_sync();
        process.stop().well();
        goes_on(&rig, &mut Session::open(&rig.db()));
    }
}

#[test]
fn a_database_put_back_to_an_earlier_copy_is_taken_up() {
    for end in [End::Stopped, End::Killed] {
        let (rig, session) = replicated_until(end);
        session.close();
        let copy = rig.path("earlier.db");
        std::fs::copy(rig.db(), &copy).unwrap();
        let mut session = Session::open(&rig.db());
        session.insert("t", 20);
        session.sql("DELETE FROM t WHERE id < 10");
        catches_up(&rig);
        session.close();
        std::fs::copy(&copy, rig.db()).unwrap();
        catches_up(&rig);
        goes_on(&rig, &mut Session::open(&rig.db()));
    }
}

/// While the application keeps the WAL where it is.
#[test]
fn a_restart_without_changes_sends_little_or_nothing() {
    for end in [End::Stopped, End::Killed] {
        let (rig, _session) = replicated_until(end);
        let newest = rig.newest();
        catches_up(&rig);
        let log = std::fs::read_to_string(rig.log(Program::Walbrook)).unwrap();
        assert_eq!(log.matches("sending every page").count(), 1, "{log}");
        match end {
            End::Stopped => assert_eq!(rig.newest(), newest),
            // What was remembered is a little old, so some pages come twice.
            End::Killed => assert!(rig.newest() <= newest + 1, "{log}"),
        }
    }
}
