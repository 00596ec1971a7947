//! Two writers on one replica.

use std::fs;
use std::path::{Path, PathBuf};

use super::{everywhere, is_refused, replicated};
use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::Process;
use crate::support::rig::{Program, Rig, Settings, sqlite};
use crate::support::s3::{Kind, S3Server, Tls};

/// A copy of the whole directory of the database, state and all, on the same replica. Nobody may write meanwhile.
fn clone(rig: &Rig) -> PathBuf {
    let directory = rig.path("clone");
    fs::create_dir(&directory).unwrap();
    for name in ["app.db", "app.db-wal"] {
        if rig.path(name).exists() {
            fs::copy(rig.path(name), directory.join(name)).unwrap();
        }
    }
    let meta = directory.join(".app.db-litestream");
    fs::create_dir(&meta).unwrap();
    fs::copy(
        rig.meta().join("walbrook-state"),
        meta.join("walbrook-state"),
    )
    .unwrap();
    directory.join("app.db")
}

fn start(rig: &Rig, database: &Path) -> Process {
    let text = Settings::default().text_for(&[(database, rig.place())]);
    let config = rig.path("clone.yml");
    fs::write(&config, text).unwrap();
    let mut command = rig.replicate();
    command.arg("-config").arg(config).envs(rig.place().roots());
    Process::start(&mut command, &rig.path("clone.log"))
}

#[test]
fn a_clone_beside_the_original_at_work_is_told_to_stop() {
    everywhere(at_work);
}

fn at_work(rig: &Rig) {
    let mut session = replicated(rig, 100);
    let process = rig.start(Program::Walbrook);
    session.insert("t", 1);
    rig.wait_in_sync();
    rig.wait_remembered();
    let clone = clone(rig);
    let theirs = start(rig, &clone);
    theirs.wait_for("seeing for");
    session.insert("t", 5);
    theirs.wait_for("another process writes to this replica (writer ");
    assert_eq!(theirs.stop().code(), 1);
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn of_a_clone_and_an_idle_original_whoever_writes_second_stops() {
    // On servers without conditional writes the original learns it within a minute (tests/s3/conditional.rs).
    at_rest(&Rig::new());
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    at_rest(&Rig::with_replica(Place::on(&server)));
}

fn at_rest(rig: &Rig) {
    let mut session = replicated(rig, 100);
    let process = rig.start(Program::Walbrook);
    session.insert("t", 1);
    rig.wait_in_sync();
    rig.wait_remembered();
    let clone = clone(rig);
    let before = rig.newest();
    let theirs = start(rig, &clone);
    theirs.wait_for("goes on where another writer");
    crate::support::process::wait_until("the clone writes", || rig.newest() > before);
    session.insert("t", 1);
    process.wait_for("another process writes to this replica (writer ");
    assert_eq!(process.stop().code(), 1);
    theirs.stop().well();
}

#[test]
fn a_clone_that_lags_behind_the_original_stops_for_good() {
    everywhere(behind);
}

fn behind(rig: &Rig) {
    let mut session = replicated(rig, 100);
    let clone = clone(rig);
    // The original goes on, and is switched off.
    session.insert("t", 50);
    rig.once();
    session.close();
    let mut theirs = Session::open(&clone);
    theirs.insert("t", 1);
    theirs.close();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        let _ = fs::remove_file(rig.path(name));
    }
    rig.forget();
    for name in ["app.db", ".app.db-litestream"] {
        fs::rename(clone.with_file_name(name), rig.path(name)).unwrap();
    }
    is_refused(rig, "is an earlier state of what");
    assert_eq!(super::restored_rows(rig), "150");
}

#[test]
fn two_machines_with_new_databases_of_one_application_do_not_mix() {
    let rig = Rig::new();
    drop(replicated(&rig, 100));
    let other = rig.path("other.db");
    let mut session = Session::create(&other);
    session.insert("t", 150);
    session.close();
    let before = rig.newest();
    let process = start(&rig, &other);
    process.wait_for("is another database than the one that");
    assert_eq!(process.stop().code(), 1);
    assert_eq!(rig.newest(), before);
    assert_eq!(sqlite(&other, "SELECT count(*) FROM t").trim(), "150");
}
