//! How replication ends, and what it leaves: the last rows are on the replica, or the exit code says otherwise.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::replicating;
use crate::support::application::Session;
use crate::support::process::{Ended, wait_until};
use crate::support::rig::{Program, Rig, Settings, sqlite};

/// The rows of a restore by Litestream.
fn restored_rows(rig: &Rig) -> String {
    let restored = rig.restore(Program::Litestream17);
    sqlite(&restored, "SELECT count(*) FROM t")
        .trim()
        .to_string()
}

/// A database of three rows.
fn three_rows() -> Rig {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    session.insert("t", 3);
    session.close();
    rig
}

#[test]
fn once_brings_the_replica_up_to_date() {
    let rig = three_rows();
    rig.once();
    rig.assert_in_sync();
    let newest = rig.newest();
    sqlite(&rig.db(), "INSERT INTO t(v) VALUES('new')");
    rig.once();
    assert_eq!(rig.newest(), newest + 1);
    rig.assert_in_sync();
    assert_eq!(restored_rows(&rig), "4");
}

#[test]
fn once_fails_without_a_database() {
    let rig = Rig::new();
    let mut command = rig.replicate();
    command.arg("-once").arg(rig.db()).arg(rig.url());
    let ended = rig.run(&mut command).ended();
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("no such file"), "{}", ended.log);
}

#[test]
fn once_fails_without_a_replica_to_write_to() {
    let rig = three_rows();
    fs::write(rig.replica(), "in the way").unwrap();
    let mut command = rig.replicate();
    command.arg("-once").arg(rig.db()).arg(rig.url());
    let ended = rig.run(&mut command).ended();
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

/// Runs a shell command as the child process; `$DB` is the database. Row "last" must be replicated.
#[track_caller]
fn run_child(command: &str) -> Ended {
    let rig = three_rows();
    let ended = with_child(&rig, command).ended();
    assert_eq!(restored_rows(&rig), "4", "{}", ended.log);
    rig.assert_in_sync();
    ended
}

fn with_child(rig: &Rig, command: &str) -> crate::support::process::Process {
    let mut replicate = rig.replicate();
    replicate.env("DB", rig.db());
    replicate.args(["-exec", &format!("sh -c '{command}'")]);
    rig.run(replicate.arg(rig.db()).arg(rig.url()))
}

/// Adds the fourth row.
const LAST: &str = r#"sqlite3 $DB "INSERT INTO t(v) VALUES(4)""#;

#[test]
fn a_child_that_ends_well_ends_well() {
    assert_eq!(run_child(&format!("sleep 0.5; {LAST}")).code(), 0);
}

#[test]
fn a_child_that_ends_at_once_is_replicated() {
    assert_eq!(run_child(&format!("exec {LAST}")).code(), 0);
}

#[test]
fn a_child_that_fails_is_replicated_and_told() {
    let ended = run_child(&format!("sleep 0.3; {LAST}; exit 3"));
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("exit code 3"), "{}", ended.log);
    assert_eq!(run_child(&format!("{LAST}; exit 3")).code(), 1);
}

#[test]
fn a_child_that_is_killed_is_replicated_and_told() {
    let ended = run_child(&format!("{LAST}; kill -9 $$"));
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("was killed"), "{}", ended.log);
}

#[test]
fn a_child_that_cannot_start_is_told() {
    let rig = three_rows();
    let mut command = rig.replicate();
    command.args(["-exec", "/does/not/exist"]);
    let ended = rig.run(command.arg(rig.db()).arg(rig.url())).ended();
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("/does/not/exist"), "{}", ended.log);
}

/// Stops us while the child runs; it writes its last row on the way out.
#[track_caller]
fn stop_with_child(exit: &str) -> Ended {
    let rig = three_rows();
    let flag = rig.path("ready");
    let child = format!(
        r#"trap "sleep 0.3; sqlite3 $DB \"INSERT INTO t(v) VALUES(4)\"; {exit}" TERM; touch {}; while :; do sleep 0.05; done"#,
        flag.display()
    );
    let mut replicate = rig.replicate();
    replicate.env("DB", rig.db());
    let script = rig.path("child.sh");
    fs::write(&script, child).unwrap();
    replicate.args(["-exec", &format!("sh {}", script.display())]);
    let process = rig.run(replicate.arg(rig.db()).arg(rig.url()));
    wait_until("ready", || flag.exists());
    let ended = process.stop();
    assert_eq!(restored_rows(&rig), "4", "{}", ended.log);
    rig.assert_in_sync();
    ended
}

#[test]
fn a_signal_waits_for_the_childs_last_rows() {
    assert_eq!(stop_with_child("exit 0").code(), 0);
}

#[test]
fn a_signal_waits_for_the_last_rows_of_a_child_that_fails() {
    assert_eq!(stop_with_child("exit 5").code(), 1);
}

#[test]
fn a_child_that_dies_of_the_signal_has_done_as_told() {
    assert_eq!(stop_with_child("trap - TERM; kill -TERM $$").code(), 0);
}

#[test]
fn rows_written_right_before_the_signal_are_replicated() {
    let (rig, mut session, process) = replicating();
    session.insert("t", 5);
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn rows_written_right_after_the_start_are_replicated() {
    let rig = three_rows();
    let mut session = Session::open(&rig.db());
    let process = rig.start(Program::Walbrook);
    process.wait_for("walbrook");
    session.insert("t", 1);
    process.stop().well();
    rig.assert_in_sync();
    assert_eq!(restored_rows(&rig), "4");
}

/// A database whose replica has become unwritable, and changes that are not on it.
fn with_unwritable_replica(timeout: &str) -> (Rig, Session, crate::support::process::Process) {
    let rig = three_rows();
    let mut session = Session::open(&rig.db());
    let settings = Settings::global(&format!("shutdown-sync-timeout: {timeout}"));
    let process = rig.start_with(Program::Walbrook, &settings);
    // A replica is complete with its snapshot, and level 0 begins a moment later.
    process.wait_for("synced ");
    fs::rename(rig.level(0), rig.path("aside")).unwrap();
    fs::write(rig.level(0), "in the way").unwrap();
    session.insert("t", 1);
    process.wait_for("changes are kept track of");
    (rig, session, process)
}

#[test]
fn a_last_sync_that_fails_is_told_in_time() {
    let (rig, mut session, process) = with_unwritable_replica("2s");
    let start = Instant::now();
    let ended = process.stop();
    let took = start.elapsed();
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(
        took > Duration::from_millis(1500) && took < Duration::from_secs(4),
        "{took:?}"
    );
    assert!(ended.log.contains("app.db"), "{}", ended.log);

    // The rows come with the next start.
    fs::remove_file(rig.level(0)).unwrap();
    fs::rename(rig.path("aside"), rig.level(0)).unwrap();
    super::goes_on(&rig, &mut session);
}

#[test]
fn a_replica_that_comes_back_during_the_last_sync_gets_it() {
    let (rig, _session, mut process) = with_unwritable_replica("20s");
    process.signal(Signal::TERM);
    process.wait_for("sending the last changes");
    fs::remove_file(rig.level(0)).unwrap();
    fs::rename(rig.path("aside"), rig.level(0)).unwrap();
    process.ended().well();
    rig.assert_in_sync();
}

#[test]
fn a_second_signal_ends_at_once() {
    let (rig, mut session, mut process) = with_unwritable_replica("60s");
    process.signal(Signal::TERM);
    process.wait_for("sending the last changes");
    // Two at the same moment are one.
    std::thread::sleep(Duration::from_millis(300));
    let start = Instant::now();
    process.signal(Signal::TERM);
    let ended = process.ended();
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert!(ended.log.contains("second signal"), "{}", ended.log);
    fs::remove_file(rig.level(0)).unwrap();
    fs::rename(rig.path("aside"), rig.level(0)).unwrap();
    super::goes_on(&rig, &mut session);
}
