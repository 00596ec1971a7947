//! Two replicas of one database, a thousand TXIDs apart.

use std::fs;
use std::time::Duration;

use super::{directory_and_s3, stored};
use crate::support::application::Session;
use crate::support::process::wait_until;
use crate::support::proxy::Fault;
use crate::support::rig::{Program, Settings};

/// How far.
const APART: u64 = 1000;

#[test]
fn a_crash_and_then_a_gap() {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    // One WAL for all of it: one that starts over while nobody looks would be a gap.
    session.sql("PRAGMA wal_autocheckpoint = 0");
    let settings = Settings {
        database: "monitor-interval: 5ms, min-checkpoint-page-count: 100000".to_string(),
        replica: "sync-interval: 5ms".to_string(),
        ..Settings::default()
    };
    let process = rig.start_with(Program::Walbrook, &settings);
    session.insert("t", 10);
    rig.wait_in_sync();
    proxy.fault(Fault::Refuse);
    let behind = rig.places()[1].newest();
    while rig.newest() < behind + APART {
        for _ in 0..50 {
            session.insert("t", 1);
            std::thread::sleep(Duration::from_millis(15));
        }
    }
    process.kill();
    session.insert("t", 5);
    let log = rig.log(Program::Walbrook);
    fs::remove_file(&log).unwrap();

    // The state is some TXIDs behind the one, and tells all that the other lacks.
    proxy.clear();
    proxy.reset_counts();
    let process = rig.start_with(Program::Walbrook, &settings);
    rig.wait_in_sync();
    // One file, and once more what an upload cut off by the crash may have had.
    let sent = stored(&proxy);
    assert!((1..=2).contains(&sent.len()), "{sent:?}");
    assert!(rig.places()[1].newest() <= behind + 2);
    assert!(
        !process.log().contains("sending every page"),
        "{}",
        process.log()
    );
    proxy.fault(Fault::Refuse);
    session.insert("t", 5);
    rig.wait_in_sync_at(rig.place());
    process.kill();

    // The place in the WAL is gone, and with it what either lacks: each has sums of its own.
    session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    session.sql("UPDATE t SET v = 'after the checkpoint' WHERE id % 3 = 0");
    proxy.clear();
    let process = rig.start_with(Program::Walbrook, &settings);
    rig.wait_in_sync();
    wait_until("told", || {
        process.log().matches("with what the replica has: ").count() == 2
    });
    process.stop().well();
    rig.assert_in_sync();
}
