//! Databases that cannot be replicated: a clear message, and the others go on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::accidents::{as_nobody, give_to_nobody, set_mode};
use crate::support::application::Session;
use crate::support::process::{Ended, Process, eventually, output_of};
use crate::support::rig::{Program, Rig, Settings, program, sqlite};

/// Starts with two databases, of which the second is the good one.
fn start_with_bad(rig: &Rig, bad: &Path) -> Process {
    let text = config_with_bad(rig, bad);
    rig.start_config(Program::Walbrook, &text)
}

fn config_with_bad(rig: &Rig, bad: &Path) -> String {
    let bad_replica = rig.path("bad-replica");
    Settings::global("shutdown-sync-timeout: 2s")
        .text(&[(bad, &bad_replica), (&rig.db(), &rig.replica())])
}

/// Expects the message, and that the good database is replicated all the same. With the bad one unreplicated at
/// the end, the exit code is `code`.
#[track_caller]
fn is_refused(rig: &Rig, process: Process, message: &str, code: i32) -> Ended {
    process.wait_for(message);
    let mut session = Session::open(&rig.db());
    session.insert("t", 3);
    rig.wait_in_sync();
    let ended = process.stop();
    assert_eq!(ended.code(), code, "{}", ended.log);
    rig.assert_in_sync();
    assert!(!rig.path("bad-replica/ltx").exists());
    ended
}

/// As [`is_refused`], and nobody waits for it at the end: it would not change.
#[track_caller]
fn is_refused_for_good(rig: &Rig, process: Process, message: &str) {
    let ended = is_refused(rig, process, message, 1);
    assert!(ended.took < Duration::from_millis(1500), "{:?}", ended.took);
}

/// A directory with a good database, and the path of a bad one.
fn good_and_bad() -> (Rig, std::path::PathBuf) {
    let rig = Rig::new();
    Session::create(&rig.db()).close();
    let bad = rig.path("bad.db");
    (rig, bad)
}

/// Waits until the bad database, good by now, is replicated.
#[track_caller]
fn is_taken_up(rig: &Rig, rows: &str) {
    let url = format!("file://{}", rig.path("bad-replica").display());
    eventually(|| {
        let output = rig.path("bad-restored.db");
        let _ = fs::remove_file(&output);
        let mut command = Program::Walbrook.command();
        command.args(["restore", "-o"]).arg(&output).arg(&url);
        output_of(&mut command)?;
        match sqlite(&output, "SELECT count(*) FROM t").trim() == rows {
            true => Ok(()),
            false => Err("not all rows yet".to_string()),
        }
    });
}

#[test]
fn a_missing_database_is_waited_for() {
    let (rig, bad) = good_and_bad();
    let process = start_with_bad(&rig, &bad);
    is_refused(&rig, process, "bad.db: no such file", 0);

    let process = start_with_bad(&rig, &bad);
    process.wait_for("bad.db: no such file");
    sqlite(&bad, "CREATE TABLE t(id); INSERT INTO t VALUES(1)");
    is_taken_up(&rig, "1");
    process.stop().well();
}

#[test]
fn an_empty_file_is_waited_for() {
    let (rig, bad) = good_and_bad();
    fs::write(&bad, "").unwrap();
    let process = start_with_bad(&rig, &bad);
    is_refused(&rig, process, "bad.db: the file is empty", 0);

    let process = start_with_bad(&rig, &bad);
    process.wait_for("bad.db: the file is empty");
    sqlite(&bad, "CREATE TABLE t(id); INSERT INTO t VALUES(1)");
    is_taken_up(&rig, "1");
    process.stop().well();
}

#[test]
fn what_is_no_database_is_refused() {
    let (rig, bad) = good_and_bad();
    fs::write(&bad, "just some text, and rather a lot of it".repeat(300)).unwrap();
    let process = start_with_bad(&rig, &bad);
    is_refused_for_good(&rig, process, "bad.db: not an SQLite database");
}

#[test]
fn a_directory_is_refused() {
    let (rig, bad) = good_and_bad();
    fs::create_dir(&bad).unwrap();
    let process = start_with_bad(&rig, &bad);
    is_refused(&rig, process, "bad.db", 1);
}

#[test]
fn a_database_without_permission_is_refused() {
    let (rig, bad) = good_and_bad();
    sqlite(&bad, "PRAGMA journal_mode = wal; CREATE TABLE t(id)");
    fs::create_dir(rig.replica()).unwrap();
    let config = rig.path("config.yml");
    fs::write(&config, config_with_bad(&rig, &bad)).unwrap();
    give_to_nobody(&rig);
    std::os::unix::fs::chown(&bad, Some(0), Some(0)).unwrap();
    set_mode(&bad, 0o600);
    let mut command = as_nobody(&[&program()]);
    let process = rig.run(command.args(["replicate", "-config"]).arg(config));
    is_refused_for_good(&rig, process, "run it as the application's user");
}

#[test]
fn a_database_locked_exclusively_is_taken_up_when_it_is_free() {
    let (rig, bad) = good_and_bad();
    let mut session = Session::open(&bad);
    session.sql("PRAGMA locking_mode = exclusive");
    session.sql("PRAGMA journal_mode = wal");
    session.sql("CREATE TABLE t(id)");
    let process = start_with_bad(&rig, &bad);
    is_refused(&rig, process, "bad.db: locked by another process", 1);

    let process = start_with_bad(&rig, &bad);
    process.wait_for("bad.db: locked by another process");
    session.sql("INSERT INTO t VALUES(1)");
    session.close();
    is_taken_up(&rig, "1");
    process.stop().well();
}
