//! A database that does not descend from what the replica holds does not bury it, and one that does goes on without a
//! person.

mod buried;
mod descends;
mod judged;
mod writers;

use std::path::Path;

use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::Ended;
use crate::support::rig::{Program, Rig, sqlite};
use crate::support::s3::{Kind, S3Server, Tls};

/// A database with so many rows, replicated and at rest.
fn replicated(rig: &Rig, rows: usize) -> Session {
    let mut session = Session::create(&rig.db());
    let half = rows / 2;
    session.insert("t", half);
    rig.once();
    session.insert("t", rows - half);
    rig.once();
    session
}

/// Tries it with a replica in a directory, on a server with conditional writes, and on one without.
fn everywhere(case: impl Fn(&Rig)) {
    case(&Rig::new());
    for kind in [Kind::SeaweedFs, Kind::Rclone] {
        println!("{kind:?}");
        let server = S3Server::shared(kind, Tls::Off);
        case(&Rig::with_replica(Place::on(&server)));
    }
}

/// How many rows the replica restores.
#[track_caller]
fn restored_rows(rig: &Rig) -> String {
    let restored = rig.restore(Program::Walbrook);
    sqlite(&restored, "SELECT count(*) FROM t")
        .trim()
        .to_string()
}

/// Runs `walbrook replicate -once` on the database, with these arguments in front.
#[track_caller]
fn once(rig: &Rig, arguments: &[&str]) -> Ended {
    let mut command = rig.replicate();
    command
        .args(arguments)
        .arg("-once")
        .arg(rig.db())
        .arg(rig.url());
    rig.run(&mut command).ended()
}

/// Replication stops, says so, and leaves the replica as it is.
#[track_caller]
fn is_refused(rig: &Rig, why: &str) {
    let before = rig.txids();
    let ended = once(rig, &[]);
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(ended.log.contains(why), "{}", ended.log);
    for way in [
        "walbrook restore -force -o",
        "walbrook replicate -adopt",
        "path of its own",
    ] {
        assert!(ended.log.contains(way), "no {way:?} in {}", ended.log);
    }
    assert_eq!(rig.txids(), before, "something was sent");
}

/// Replication goes on without a person, and the replica is what the database is.
#[track_caller]
fn is_accepted(rig: &Rig) -> String {
    let ended = once(rig, &[]);
    assert_eq!(ended.code(), 0, "{}", ended.log);
    rig.assert_in_sync();
    ended.log
}

/// Removes the database with its WAL.
fn remove_database(rig: &Rig) {
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        let _ = std::fs::remove_file(rig.path(name));
    }
}

/// Puts another file with this content in place of the database.
fn put(rig: &Rig, content: &Path) {
    let new = rig.path("new.db");
    std::fs::copy(content, &new).unwrap();
    remove_database(rig);
    std::fs::rename(new, rig.db()).unwrap();
}
