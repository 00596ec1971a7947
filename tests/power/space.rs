//! No space is left, for the replica or for what is remembered.

use crate::support::application::Session;
use crate::support::disk::Disk;
use crate::support::place::Place;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;

#[test]
fn a_full_replica_loses_nothing_and_goes_on_when_there_is_space() {
    let scratch = Scratch::new();
    let disk = Disk::new(scratch.path(), 16);
    let replica = Place::Directory(disk.path().join("replica"));
    goes_on_after_a_full_disk(&disk, replica, "No space left");
}

#[test]
fn a_server_whose_disk_is_full_loses_nothing_and_is_gone_on_with_when_there_is_space() {
    let scratch = Scratch::new();
    let disk = Disk::new(scratch.path(), 64);
    let server = S3Server::start_in(&disk.path().join("server"), Kind::SeaweedFs, Tls::Off);
    goes_on_after_a_full_disk(&disk, Place::on(&server), "the server answers 5");
}

/// Replicates to a place on `disk`, which fills up and is freed again; then the log has to say `trouble`.
fn goes_on_after_a_full_disk(disk: &Disk, replica: Place, trouble: &str) {
    let rig = Rig::with_replica(replica);
    let mut application = Session::create(&rig.db());
    application.insert("t", 20);
    let process = rig.start(Program::Walbrook);
    process.wait_for("to txid 2");

    disk.fill();
    for round in 0..3 {
        application.insert("t", 100);
        application.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        if round == 0 {
            process.wait_for(trouble);
        }
    }
    let full = process.log();
    disk.free();
    wait_until("synced again", || {
        process.log().len() > full.len() && process.log()[full.len()..].contains("synced")
    });
    application.insert("t", 1);
    let log = process.stop().well().log;
    assert!(log.contains("online again"), "{log}");
    rig.assert_in_sync();
}

#[test]
fn a_full_disk_for_the_state_costs_a_warning_and_a_full_copy() {
    let rig = Rig::new();
    let disk = Disk::new(&rig.path("full"), 16);
    let meta = disk.path().join("meta");
    let settings = Settings {
        database: format!("monitor-interval: 50ms, meta-path: \"{}\"", meta.display()),
        ..Settings::default()
    };
    let mut application = Session::create(&rig.db());
    application.insert("t", 20);
    disk.fill();
    let process = rig.start_with(Program::Walbrook, &settings);
    process.wait_for("to txid 2");
    process.wait_for("cannot remember the position");
    application.insert("t", 20);
    process.stop().well();
    rig.assert_in_sync();
    let before = rig.newest();

    disk.free();
    application.insert("t", 20);
    let process = rig.start_with(Program::Walbrook, &settings);
    wait_until("sent", || rig.newest() > before);
    let log = process.stop().well().log;
    assert!(
        log.contains("sending every page, since no position is remembered"),
        "{log}"
    );
    assert_eq!(rig.newest(), before + 1);
    assert!(meta.join("walbrook-state").exists());
    rig.assert_in_sync();
}
