//! The disk of the replica falls off while it is replicated to.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::support::application::Session;
use crate::support::disk::Disk;
use crate::support::place::Place;
use crate::support::rig::{Program, Rig};
use crate::support::scratch::Scratch;

#[test]
fn the_mount_point_of_a_disk_that_is_gone_is_left_alone() {
    let scratch = Scratch::new();
    let disk = Disk::new(scratch.path(), 16);
    let rig = Rig::with_replica(Place::Directory(disk.path().join("backups/replica")));
    let mut application = Session::create(&rig.db());
    application.insert("t", 20);
    let process = rig.start(Program::Walbrook);
    process.wait_for("to txid 2");

    disk.unmount();
    application.insert("t", 20);
    process.wait_for("(unmounted, mounted or replaced?)");
    // It is asked again meanwhile where the replica stands.
    sleep(Duration::from_secs(3));
    application.insert("t", 20);
    let found = fs::read_dir(disk.path()).unwrap().count();
    assert_eq!(found, 0, "{}", process.log());

    disk.mount();
    process.wait_for("online again");
    application.insert("t", 20);
    let log = process.stop().well().log;
    assert_eq!(
        log.matches("since the replica is empty").count(),
        1,
        "{log}"
    );
    rig.assert_in_sync();
}
