//! One database that cannot be replicated does not stop the others.

use std::fs;

use super::Fleet;
use crate::support::application::Session;
use crate::support::locks;
use crate::support::process::wait_until;

#[test]
fn garbage_and_locks_stop_nobody_else() {
    let fleet = Fleet::new("watch: true, busy-timeout: 100ms");
    fleet.create("good.db");
    let mut garbage = b"SQLite format 3\0".to_vec();
    garbage.resize(8192, 0xa5);
    fs::write(fleet.db("garbage.db"), &garbage).unwrap();
    let locked = fleet.create("locked.db");
    let mut session = Session::open(&locked);
    session.sql("PRAGMA locking_mode = exclusive");
    session.sql("INSERT INTO t(v) VALUES('mine')");
    let process = fleet.start();
    fleet.wait_in_sync(&["good.db"]);
    process.wait_for("locked.db: locked by another process");
    process.wait_for("garbage.db");
    // Another one that is broken comes, and another good one.
    fs::write(fleet.db("worse.db"), &garbage).unwrap();
    fleet.create("better.db");
    fleet.wait_in_sync(&["better.db"]);
    drop(session);
    fleet.wait_in_sync(&["locked.db"]);
    let ended = process.stop();
    assert!(!ended.status.success(), "it is said at the end too");
    assert!(ended.log.contains("garbage.db"), "{}", ended.log);
    fleet.assert_in_sync(&["good.db", "better.db", "locked.db"]);
}

#[test]
fn links_to_a_replicated_database_leave_its_locks_alone() {
    let fleet = Fleet::new("watch: true");
    let database = fleet.create("a.db");
    let process = fleet.start();
    fleet.wait_in_sync(&["a.db"]);
    let locks = || locks::held_by(process.pid()).len();
    wait_until("at rest", || locks() > 0);
    std::thread::sleep(std::time::Duration::from_millis(500));
    let before = locks();
    fs::hard_link(&database, fleet.db("b.db")).unwrap();
    std::os::unix::fs::symlink(&database, fleet.db("c.db")).unwrap();
    process.wait_for("b.db: a hard link");
    process.wait_for("c.db: a symbolic link");
    assert_eq!(locks(), before);
    fleet.insert("a.db");
    fleet.wait_in_sync(&["a.db"]);
    process.stop().well();
}

#[test]
fn one_whose_place_is_taken_is_refused_and_the_others_go_on() {
    let mut fleet = Fleet::new("watch: true");
    let listed = fleet.path("listed.sqlite");
    crate::support::rig::sqlite(&listed, "CREATE TABLE t(v)");
    fleet.others = format!(
        "  - {{path: {}, replica: {{path: {}}}}}\n",
        listed.display(),
        fleet.replica("taken.db").display()
    );
    let process = fleet.start();
    process.wait_for("replicating to");
    fleet.create("taken.db");
    fleet.create("free.db");
    fleet.wait_in_sync(&["free.db"]);
    process.wait_for("taken.db: not replicated: the replica");
    process.stop().well();
    assert_eq!(fleet.said("taken.db: not replicated"), 1);
}
