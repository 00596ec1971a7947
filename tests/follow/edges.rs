//! What ends following, what it overcomes, and what becomes of the copy after it.

use std::fs;

use super::{assert_same, content, copy, follow, follow_with, noted, wait_caught_up};
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, sqlite};

/// A replicated database with a table, and a copy of it that has been followed with once.
fn followed() -> Rig {
    let rig = Rig::new();
    sqlite(&rig.db(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    rig.once();
    let following = follow(&rig, &[]);
    following.wait_for("following from");
    following.stop().well();
    rig
}

/// Writes a row and replicates it.
fn write(rig: &Rig, row: u32) {
    sqlite(&rig.db(), &format!("INSERT INTO t VALUES ({row})"));
    rig.once();
}

#[test]
fn higher_levels_and_snapshots_fill_what_level_0_lacks() {
    let rig = followed();
    let at = noted(&rig);
    for row in 2..5 {
        write(&rig, row);
    }
    let mut compact = Program::Walbrook.command();
    compact.args(["compact", "-level", "1"]).arg(rig.url());
    rig.run(&mut compact).ended().well();
    let merged = format!("-{:016x}.ltx", rig.newest());
    assert!(rig.files(1).iter().any(|name| name.ends_with(&merged)));
    let newest = rig.newest();
    assert!(newest > at + 2);
    for name in rig.files(0) {
        if !name.contains(&format!("{newest:016x}")) {
            rig.place().remove(0, &name);
        }
    }
    let following = follow(&rig, &[]);
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);

    // Only a snapshot leads on.
    for row in 5..8 {
        write(&rig, row);
    }
    for level in [0, 1] {
        for name in rig
            .files(level)
            .iter()
            .filter(|name| !name.contains(&format!("-{:016x}", rig.newest())))
        {
            rig.place().remove(level, name);
        }
    }
    let following = follow(&rig, &[]);
    following.wait_for("files between are missing");
    // A replica with a hole is healed with everything, as a snapshot too.
    write(&rig, 8);
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);
}

#[test]
fn a_replica_that_was_set_back_or_is_gone_ends_it() {
    let rig = followed();
    let old = rig.path("old");
    let copy_of = |from: &std::path::Path, to: &std::path::Path| {
        let mut command = std::process::Command::new("cp");
        crate::support::process::output_of(command.arg("-a").args([from, to])).unwrap();
    };
    copy_of(&rig.replica(), &old);
    write(&rig, 2);
    let mut following = follow(&rig, &[]);
    wait_caught_up(&rig);
    let before = content(&copy(&rig));
    fs::rename(rig.replica(), rig.path("away")).unwrap();
    let ended = following.ended();
    assert_eq!(ended.code(), 66, "{}", ended.log);
    assert!(
        ended.log.contains("the replica is empty now"),
        "{}",
        ended.log
    );
    copy_of(&old, &rig.replica());
    let ended = follow(&rig, &[]).ended();
    assert_eq!(ended.code(), 65, "{}", ended.log);
    assert!(ended.log.contains("it was set back"), "{}", ended.log);
    assert!(content(&copy(&rig)) == before);
    // Anew, from there.
    fs::remove_file(rig.path("follow.log")).unwrap();
    let following = follow(&rig, &["-force", "-keep-old"]);
    following.wait_for("following from");
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);
}

#[test]
fn a_replica_of_another_database_with_the_same_txids_ends_it() {
    let (rig, other) = (followed(), Rig::new());
    let sql = "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO u VALUES (100)";
    sqlite(&other.db(), sql);
    other.once();
    let mut following = follow(&rig, &[]);
    for row in 2..5 {
        write(&rig, row);
        wait_caught_up(&rig);
        write(&other, row);
    }
    write(&other, 5);
    assert_eq!(other.newest(), rig.newest() + 1);
    let before = content(&copy(&rig));
    fs::rename(rig.replica(), rig.path("away")).unwrap();
    fs::rename(other.replica(), rig.replica()).unwrap();
    let ended = following.ended();
    assert_eq!(ended.code(), 65, "{}", ended.log);
    assert!(
        ended.log.contains("does not continue the state"),
        "{}",
        ended.log
    );
    assert!(content(&copy(&rig)) == before);
}

#[test]
fn a_copy_that_somebody_wrote_to_is_left_alone() {
    let rig = followed();
    let mut following = follow(&rig, &[]);
    write(&rig, 2);
    wait_caught_up(&rig);
    sqlite(&copy(&rig), "INSERT INTO t VALUES (77)");
    write(&rig, 3);
    let ended = following.ended();
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(
        ended.log.contains("somebody else has written to it"),
        "{}",
        ended.log
    );
    assert_eq!(sqlite(&copy(&rig), "SELECT max(a) FROM t"), "77\n");

    // Without its note it is no copy.
    fs::remove_file(rig.path("copy.db-txid")).unwrap();
    let ended = follow(&rig, &[]).ended();
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(ended.log.contains("no -txid beside it"), "{}", ended.log);
}

#[test]
fn a_promoted_copy_is_a_database_like_any_other() {
    let rig = followed();
    write(&rig, 2);
    let following = follow(&rig, &[]);
    wait_caught_up(&rig);
    following.stop().well();
    let promoted = Rig::new();
    fs::rename(copy(&rig), promoted.db()).unwrap();
    assert_eq!(sqlite(&promoted.db(), "PRAGMA integrity_check"), "ok\n");
    let replicating = promoted.start(Program::Walbrook);
    sqlite(&promoted.db(), "INSERT INTO t VALUES (3)");
    promoted.wait_in_sync();
    replicating.stop().well();
    promoted.assert_in_sync();
    let restored = promoted.restore(Program::Litestream17);
    assert_eq!(
        sqlite(&restored, "SELECT group_concat(a) FROM t"),
        "1,2,3\n"
    );
}

#[test]
fn a_broken_copy_is_restored_anew_where_that_is_asked_for() {
    let rig = followed();
    fs::write(copy(&rig), "torn").unwrap();
    write(&rig, 2);
    fs::remove_file(rig.path("follow.log")).unwrap();
    let following = follow(&rig, &["-if-db-unusable"]);
    following.wait_for("following from");
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);
    let whole = fs::metadata(copy(&rig)).unwrap();
    // A sound one is gone on with.
    let following = follow(&rig, &["-if-db-unusable"]);
    following.wait_for("already exists, skipping");
    write(&rig, 3);
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(copy(&rig)).unwrap().ino(), whole.ino());
}

#[test]
fn either_program_goes_on_with_the_copy_of_the_other() {
    let rig = Rig::new();
    sqlite(&rig.db(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    rig.once();
    let theirs = follow_with(&rig, Program::Litestream17, &[]);
    wait_until("restored", || noted(&rig) > 0);
    theirs.stop().well();
    // Its page 1 is in WAL mode until a change comes to it.
    write(&rig, 2);
    let ours = follow(&rig, &[]);
    wait_caught_up(&rig);
    assert_eq!(
        sqlite(&copy(&rig), "PRAGMA journal_mode; SELECT max(a) FROM t"),
        "delete\n2\n"
    );
    ours.stop().well();
    assert_same(&rig);

    // Litestream starts again only where the newest snapshot is as new as the copy.
    let mut compact = Program::Walbrook.command();
    compact.args(["compact", "-level", "9"]).arg(rig.url());
    rig.run(&mut compact).ended().well();
    let theirs = follow_with(&rig, Program::Litestream17, &[]);
    write(&rig, 3);
    wait_caught_up(&rig);
    theirs.stop().well();
    assert_eq!(
        sqlite(&copy(&rig), "SELECT group_concat(a) FROM t"),
        "1,2,3\n"
    );
}
