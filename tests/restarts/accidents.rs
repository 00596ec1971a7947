//! What happens to the replica.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{End, catches_up, goes_on, replicated_until, replicating};
use crate::support::application::{Load, Session};
use crate::support::process::{output_of, wait_until};
use crate::support::rig::{Program, Rig, Settings, program, sqlite};

/// Damages the replica while we are stopped; the next start makes it whole.
#[track_caller]
fn is_healed(damage: impl Fn(&Rig)) {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        damage(&rig);
        catches_up(&rig);
        goes_on(&rig, &mut session);
        damage(&rig);
        session.insert("other", 2);
        goes_on(&rig, &mut session);
    }
}

#[test]
fn a_deleted_level_0_is_healed() {
    is_healed(|rig| fs::remove_dir_all(rig.level(0)).unwrap());
}

#[test]
fn a_deleted_level_0_is_healed_without_local_state() {
    is_healed(|rig| {
        fs::remove_dir_all(rig.level(0)).unwrap();
        rig.forget();
    });
}

#[test]
fn a_deleted_replica_is_healed() {
    is_healed(|rig| fs::remove_dir_all(rig.replica()).unwrap());
}

#[test]
fn a_deleted_snapshot_is_healed() {
    is_healed(|rig| fs::remove_dir_all(rig.level(9)).unwrap());
}

#[test]
fn a_missing_file_in_the_middle_is_healed() {
    is_healed(|rig| {
        let files = rig.files(0);
        fs::remove_file(rig.level(0).join(&files[files.len() / 2])).unwrap();
    });
}

#[test]
fn a_missing_newest_file_is_healed() {
    is_healed(|rig| {
        fs::remove_file(rig.level(0).join(rig.files(0).last().unwrap())).unwrap();
    });
}

#[test]
fn a_torn_newest_file_is_healed() {
    for kept in [0, 50, 120] {
        is_healed(|rig| {
            let newest = rig.level(0).join(rig.files(0).last().unwrap());
            let file = fs::File::options().write(true).open(newest).unwrap();
            file.set_len(kept).unwrap();
        });
    }
}

#[test]
fn a_damaged_newest_file_is_healed_without_local_state() {
    is_healed(|rig| {
        let newest = rig.level(0).join(rig.files(0).last().unwrap());
        let mut bytes = fs::read(&newest).unwrap();
        bytes.truncate(bytes.len() - 7);
        fs::write(newest, bytes).unwrap();
        rig.forget();
    });
}

/// Makes the replica unreachable while the application writes, and lets it come back.
#[track_caller]
fn an_outage_loses_nothing(block: impl Fn(&Rig), unblock: impl Fn(&Rig)) {
    let rig = Rig::new();
    sqlite(&rig.db(), "PRAGMA journal_mode = wal");
    let mut load = Load::start(&rig.db(), 100);
    let process = rig.start(Program::Walbrook);
    load.wait_for(30);
    wait_until("replicated", || rig.newest() > 3);
    block(&rig);
    process.wait_for("changes are kept track of");
    let blocked_at = rig.newest();
    load.wait_for(250);
    unblock(&rig);
    wait_until("replicating again", || rig.newest() > blocked_at);
    process.wait_for("online again after");
    load.wait_for(20);
    load.pause();
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    load.losses(&rig.restore(Program::Litestream17)).none();
}

#[test]
fn a_blocked_replica_loses_nothing() {
    an_outage_loses_nothing(
        |rig| {
            fs::rename(rig.level(0), rig.path("aside")).unwrap();
            fs::write(rig.level(0), "in the way").unwrap();
        },
        |rig| {
            fs::remove_file(rig.level(0)).unwrap();
            fs::rename(rig.path("aside"), rig.level(0)).unwrap();
        },
    );
}

#[test]
fn a_replica_moved_away_and_back_loses_nothing() {
    an_outage_loses_nothing(
        |rig| {
            fs::rename(rig.replica(), rig.path("aside")).unwrap();
            fs::write(rig.replica(), "in the way").unwrap();
        },
        |rig| {
            fs::remove_file(rig.replica()).unwrap();
            fs::rename(rig.path("aside"), rig.replica()).unwrap();
        },
    );
}

/// Gives everything in the directory to a user who is not root, to whom permissions mean something.
pub(super) fn give_to_nobody(rig: &Rig) {
    let mut command = std::process::Command::new("chown");
    command.args(["-R", "nobody:nogroup"]);
    output_of(command.arg(rig.path("."))).unwrap();
}

/// A command run by that user.
pub(super) fn as_nobody(arguments: &[&Path]) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
        .args(arguments);
    command
}

pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_unwritable_replica_loses_nothing() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    fs::create_dir(rig.replica()).unwrap();
    let config = rig.path("config.yml");
    let text = Settings::default().text(&[(&rig.db(), &rig.replica())]);
    fs::write(&config, text).unwrap();
    give_to_nobody(&rig);
    let mut command = as_nobody(&[&program()]);
    command.args(["replicate", "-config"]).arg(config);
    let process = rig.run(&mut command);
    session.insert("t", 2);
    rig.wait_in_sync();
    set_mode(&rig.level(0), 0o500);
    session.insert("t", 20);
    process.wait_for("changes are kept track of");
    session.insert("t", 20);
    set_mode(&rig.level(0), 0o700);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn a_replica_that_vanishes_while_running_is_begun_anew() {
    let (rig, mut session, process) = replicating();
    fs::rename(rig.replica(), rig.path("aside")).unwrap();
    session.insert("t", 1);
    rig.wait_in_sync();
    session.insert("t", 1);
    rig.wait_in_sync();
    let log = process.stop().well().log;
    assert!(log.contains("WARN") || log.contains("ERROR"), "{log}");
    rig.assert_in_sync();
}

#[test]
fn a_level_0_that_vanishes_while_running_is_healed() {
    let (rig, mut session, process) = replicating();
    fs::remove_dir_all(rig.level(0)).unwrap();
    session.insert("t", 1);
    process.stop().well();
    // Whether it is noticed at once or at the next start: it is restorable in the end.
    goes_on(&rig, &mut session);
}

#[test]
fn two_databases_on_one_replica_are_refused() {
    let rig = Rig::new();
    for name in ["app.db", "second.db"] {
        sqlite(&rig.path(name), "CREATE TABLE t(id)");
    }
    let databases = [
        (rig.db(), rig.replica()),
        (rig.path("second.db"), rig.path("./replica/")),
    ];
    let databases = databases
        .each_ref()
        .map(|(db, replica)| (db.as_path(), replica.as_path()));
    let text = Settings::default().text(&databases);
    let ended = rig.start_config(Program::Walbrook, &text).ended();
    assert_eq!(ended.code(), 1);
    assert!(ended.log.contains("is also that of"), "{}", ended.log);
    assert!(!rig.replica().exists());
}

#[test]
fn a_disk_that_is_swapped_for_another_and_back_misses_nothing() {
    let (rig, mut session) = replicated_until(End::Stopped);
    let (first, second) = (rig.path("first"), rig.path("second"));
    // The backup disk is not mounted, and its mount point gets a replica of its own.
    fs::rename(rig.replica(), &first).unwrap();
    session.sql("UPDATE t SET v = 'new' WHERE id = 1");
    goes_on(&rig, &mut session);
    // Then it is there again, with more TXIDs than the other one, which the state is of.
    fs::rename(rig.replica(), &second).unwrap();
    fs::rename(&first, rig.replica()).unwrap();
    goes_on(&rig, &mut session);
    fs::rename(rig.replica(), &first).unwrap();
    fs::rename(&second, rig.replica()).unwrap();
    goes_on(&rig, &mut session);
}

#[test]
fn two_processes_on_one_replica_do_not_mix_their_databases() {
    let (rig, mut session, process) = replicating();
    let other = rig.path("other.db");
    sqlite(&other, "CREATE TABLE x(y); INSERT INTO x VALUES(1)");
    let intrude = |adopt: bool| {
        let mut command = rig.replicate();
        if adopt {
            command.arg("-adopt").arg(&other);
        }
        command.arg("-once").arg(&other).arg(rig.url());
        rig.run(&mut command).ended()
    };
    // By mistake it cannot be done.
    assert_eq!(intrude(false).code(), 1);
    session.insert("t", 3);
    rig.wait_in_sync();
    intrude(true).well();
    // Its TXID is taken: whoever comes later says so, and writes nothing.
    session.insert("t", 3);
    process.wait_for("another process writes to this replica");
    assert_eq!(process.stop().code(), 1);
    let restored = rig.restore(Program::Walbrook);
    assert_eq!(sqlite(&restored, "SELECT y FROM x").trim(), "1");
    // Alone again, it goes on.
    goes_on(&rig, &mut session);
}
