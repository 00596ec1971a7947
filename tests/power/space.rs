//! No space is left, for the replica or for what is remembered.

use crate::support::application::Session;
use crate::support::disk::Disk;
use crate::support::process::{output_of, wait_until};
use crate::support::rig::{Program, Rig, Settings, sum_of};

#[test]
fn a_full_replica_loses_nothing_and_goes_on_when_there_is_space() {
    let rig = Rig::new();
    let disk = Disk::new(&rig.path("full"), 16);
    let replica = disk.path().join("replica");
    let mut application = Session::create(&rig.db());
    application.insert("t", 20);
    let text = Settings::default().text(&[(&rig.db(), &replica)]);
    let process = rig.start_config(Program::Walbrook, &text);
    process.wait_for("to txid 2");

    disk.fill();
    for round in 0..3 {
        application.insert("t", 100);
        application.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        if round == 0 {
            process.wait_for("No space left");
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

    let restored = rig.path("restored.db");
    let url = format!("file://{}", replica.display());
    for program in Program::RESTORERS {
        let mut command = program.command();
        output_of(command.arg("restore").arg("-o").arg(&restored).arg(&url)).unwrap();
        assert_eq!(sum_of(&restored), rig.source_sum(), "{program:?}");
        std::fs::remove_file(&restored).unwrap();
    }
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
