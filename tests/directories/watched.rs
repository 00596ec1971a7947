//! Databases that come, go and come back while running.

use std::fs;
use std::process::Command;

use super::{Fleet, written_back};
use crate::support::application::Session;
use crate::support::process::{Process, output_of, wait_until};
use crate::support::rig::{Program, sqlite, sum_of};

const ADDED: &str = "added database to replication";
const REMOVED: &str = "removed database from replication";

fn watching() -> Fleet {
    Fleet::new("recursive: true, watch: true")
}

#[test]
fn a_database_that_appears_is_replicated() {
    let fleet = watching();
    let process = fleet.start();
    process.wait_for("walbrook 0");
    fleet.create("a.db");
    fleet.wait_in_sync(&["a.db"]);
    // A new directory, with one in it already when it takes its name.
    fs::create_dir(fleet.path("new")).unwrap();
    sqlite(
        &fleet.path("new/b.db"),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
    );
    fs::rename(fleet.path("new"), fleet.db("sub")).unwrap();
    fleet.wait_in_sync(&["sub/b.db"]);
    // And one later, deeper.
    fleet.create("sub/deep/c.db");
    fleet.wait_in_sync(&["sub/deep/c.db"]);
    assert_eq!(fleet.said(ADDED), 3);
    process.stop().well();
    fleet.assert_in_sync(&["a.db", "sub/b.db", "sub/deep/c.db"]);
}

#[test]
fn an_empty_file_becomes_a_database_later() {
    let fleet = watching();
    let process = fleet.start();
    process.wait_for("walbrook 0");
    fs::write(fleet.db("a.db"), "").unwrap();
    fs::write(fleet.db("b.db"), "something else").unwrap();
    // Past the moment in which it is looked at.
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert_eq!(fleet.said(ADDED), 0);
    let before = std::time::Instant::now();
    sqlite(
        &fleet.db("a.db"),
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v)",
    );
    fleet.wait_in_sync(&["a.db"]);
    assert!(before.elapsed().as_secs() < 10, "not by the slow poll");
    fs::remove_file(fleet.db("b.db")).unwrap();
    fleet.create("b.db");
    fleet.wait_in_sync(&["b.db"]);
    process.stop().well();
}

#[test]
fn a_database_that_vanishes_is_let_go_and_its_replica_stays() {
    let fleet = watching();
    for name in ["a.db", "b.db"] {
        fleet.create(name);
    }
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db", "b.db"]);
    let kept = fleet.path("kept.db");
    fs::copy(fleet.db("b.db"), &kept).unwrap();
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(fleet.db(&format!("b.db{end}"))).unwrap();
    }
    process.wait_for(REMOVED);
    fleet.insert("a.db");
    fleet.wait_in_sync(&["a.db"]);
    // What is gone can be restored, by its name, while the others go on.
    output_of(fleet.command("restore").arg(fleet.db("b.db"))).unwrap();
    wait_until("taken up again", || fleet.said(ADDED) == 1);
    fleet.insert("b.db");
    fleet.wait_in_sync(&["b.db"]);
    let ended = process.stop().well();
    assert!(!ended.log.contains("ERROR"), "{}", ended.log);
    fleet.assert_in_sync(&["a.db", "b.db"]);
}

#[test]
fn a_renamed_database_goes_on_under_its_new_name() {
    let fleet = watching();
    fleet.create("a.db");
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db"]);
    process.wait_for("a.db to txid 2");
    let newest = output_of(fleet.command("ltx").arg(fleet.db("a.db"))).unwrap();
    for end in ["", "-wal", "-shm"] {
        let (from, to) = (format!("a.db{end}"), format!("b.db{end}"));
        fs::rename(fleet.db(&from), fleet.db(&to)).unwrap();
    }
    fleet.wait_in_sync(&["b.db"]);
    fleet.insert("b.db");
    fleet.wait_in_sync(&["b.db"]);
    process.wait_for(REMOVED);
    let kept = output_of(fleet.command("ltx").arg(fleet.db("a.db"))).unwrap();
    assert_eq!(kept, newest, "nothing on the replica was touched");
    process.stop().well();
    fleet.assert_in_sync(&["b.db"]);
}

#[test]
fn a_database_that_is_replaced_or_away_for_an_instant_is_not_let_go() {
    let fleet = watching();
    fleet.create("a.db");
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db"]);
    let replacement = fleet.path("replacement");
    sqlite(
        &replacement,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('another')",
    );
    for end in ["-wal", "-shm"] {
        fs::remove_file(fleet.db(&format!("a.db{end}"))).unwrap();
    }
    fs::rename(&replacement, fleet.db("a.db")).unwrap();
    fleet.wait_in_sync(&["a.db"]);
    fs::rename(fleet.db("a.db"), fleet.path("aside")).unwrap();
    fs::rename(fleet.path("aside"), fleet.db("a.db")).unwrap();
    fleet.insert("a.db");
    fleet.wait_in_sync(&["a.db"]);
    assert_eq!((fleet.said(ADDED), fleet.said(REMOVED)), (0, 0));
    process.stop().well();
}

#[test]
fn the_directory_itself_may_come_later_and_go_and_come_back() {
    let fleet = watching();
    fs::remove_dir(fleet.db("")).unwrap();
    let process = fleet.start();
    process.wait_for("databases are replicated when they appear in it");
    fleet.create("sub/a.db");
    fleet.wait_in_sync(&["sub/a.db"]);
    fs::rename(fleet.path("data"), fleet.path("away")).unwrap();
    process.wait_for(REMOVED);
    sqlite(
        &fleet.path("away/sub/a.db"),
        "INSERT INTO t(v) VALUES('while away')",
    );
    // What is remembered may have been put where the directory was, which is not the point here.
    let _ = fs::remove_dir_all(fleet.path("data"));
    fs::rename(fleet.path("away"), fleet.path("data")).unwrap();
    wait_until("taken up again", || fleet.said(ADDED) == 2);
    fleet.insert("sub/a.db");
    fleet.wait_in_sync(&["sub/a.db"]);
    process.stop().well();
    fleet.assert_in_sync(&["sub/a.db"]);
}

#[test]
fn it_waits_without_any_database_until_told_to_stop() {
    let fleet = watching();
    let process = fleet.start();
    process.wait_for("walbrook 0");
    std::thread::sleep(std::time::Duration::from_millis(300));
    process.stop().well();
    let once = output_of(fleet.command("replicate").arg("-once"));
    assert!(once.is_ok(), "nothing to do is no failure: {once:?}");
}

#[test]
fn the_command_ends_and_with_it_those_that_came_since() {
    let fleet = watching();
    let create = format!(
        "sh -c \"sleep 1; sqlite3 {} 'PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v)'; sleep 2\"",
        fleet.db("a.db").display()
    );
    let mut command = fleet.command("replicate");
    let mut process = Process::start(command.args(["-exec", &create]), &fleet.log());
    process.ended().well();
    assert_eq!(fleet.said(ADDED), 1);
    fleet.assert_in_sync(&["a.db"]);
}

#[test]
fn what_came_is_there_after_a_crash() {
    let fleet = watching();
    let process = fleet.start();
    process.wait_for("walbrook 0");
    fleet.create("a.db");
    fleet.wait_in_sync(&["a.db"]);
    process.kill();
    fleet.insert("a.db");
    fleet.create("b.db");
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db", "b.db"]);
    process.stop().well();
    for program in Program::RESTORERS {
        assert_eq!(fleet.compare(program, "a.db"), Ok(()));
    }
}

/// The application has committed, and deletes the database before the next sync is due.
#[test]
fn what_was_committed_before_a_database_is_deleted_is_sent() {
    let fleet = Fleet::new("watch: true, checkpoint-interval: 0");
    let config = fleet.config();
    let slow = fs::read_to_string(&config)
        .unwrap()
        .replace("sync-interval: 50ms", "sync-interval: 3s");
    fs::write(&config, slow).unwrap();
    let mut command = Program::Walbrook.command();
    command.args(["replicate", "-config"]).arg(&config);
    let mut session = Session::create(&fleet.db("a.db"));
    let process = Process::start(&mut command, &fleet.log());
    process.wait_for("a.db to txid 2");
    // This one goes out at once, or soon, and the next one has to wait.
    session.insert("t", 1);
    std::thread::sleep(std::time::Duration::from_millis(3500));
    session.insert("t", 1);
    std::thread::sleep(std::time::Duration::from_millis(200));
    session.insert("t", 5);
    let source = written_back(&fleet.db("a.db"), &fleet.path("copy.db"));
    for end in ["", "-wal", "-shm"] {
        fs::remove_file(fleet.db(&format!("a.db{end}"))).unwrap();
    }
    process.wait_for(REMOVED);
    let ended = process.stop().well();
    assert!(!ended.log.contains("were not sent"), "{}", ended.log);
    let restored = fleet.path("restored.db");
    let mut restore = Program::Walbrook.command();
    restore
        .args(["restore", "-config"])
        .arg(&config)
        .arg("-o")
        .arg(&restored);
    output_of(restore.arg(fleet.db("a.db"))).unwrap();
    assert_eq!(sum_of(&restored), source);
}

/// Bound to its place, as a disk is mounted: no event tells of that.
#[test]
fn a_disk_may_be_mounted_and_taken_away() {
    let fleet = watching();
    let disk = fleet.path("disk");
    fs::create_dir(&disk).unwrap();
    let mount = |arguments: &[&str]| {
        output_of(
            Command::new("mount")
                .args(arguments)
                .args([&disk, &fleet.db("")]),
        )
        .unwrap();
    };
    let unmount = || output_of(Command::new("umount").arg("-l").arg(fleet.db(""))).unwrap();
    mount(&["--bind"]);
    fleet.create("a.db");
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db"]);
    let newest = output_of(fleet.command("ltx").arg(fleet.db("a.db"))).unwrap();
    unmount();
    process.wait_for(REMOVED);
    let kept = output_of(fleet.command("ltx").arg(fleet.db("a.db"))).unwrap();
    assert_eq!(kept, newest, "nothing on the replica was touched");
    mount(&["--bind"]);
    wait_until("taken up again", || fleet.said(ADDED) == 1);
    fleet.insert("a.db");
    fleet.wait_in_sync(&["a.db"]);
    process.stop().well();
    fleet.assert_in_sync(&["a.db"]);
    unmount();
}

#[test]
fn without_watches_enough_databases_are_polled() {
    let fleet = watching();
    fleet.create("a.db");
    let mut command = Command::new("unshare");
    let few = "echo 1 > /proc/sys/user/max_inotify_watches; exec \"$@\"";
    command.args(["--user", "--map-root-user", "sh", "-c", few, "sh"]);
    command.arg(Program::Walbrook.command().get_program());
    command.args(["replicate", "-config"]).arg(fleet.config());
    let process = Process::start(&mut command, &fleet.log());
    fleet.wait_in_sync(&["a.db"]);
    process.wait_for("raise fs.inotify.max_user_watches");
    fleet.insert("a.db");
    fleet.create("sub/b.db");
    fleet.wait_in_sync(&["a.db", "sub/b.db"]);
    process.stop().well();
    assert_eq!(fleet.said("max_user_watches"), 1);
}
