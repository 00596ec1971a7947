//! A start without a network: changes are kept track of at once, the WAL does not grow without bound, and all of
//! it goes out as one file when the storage answers.

use std::fs;
use std::time::Duration;

use super::{End, replicated_until};
use crate::support::application::Session;
use crate::support::rig::{Program, Rig, Settings};

/// Bytes of so many frames of the usual size.
fn frames(count: u64) -> u64 {
    count * (4096 + 24)
}

/// Starts while the replica cannot be reached, lets the application write, and brings the replica back.
/// The WAL's length is a reason to cut it from `truncate` pages on.
fn start_offline(rig: &Rig, session: &mut Session, truncate: u32) {
    let newest = rig.newest();
    fs::create_dir_all(rig.replica()).unwrap();
    fs::rename(rig.replica(), rig.path("aside")).unwrap();
    fs::write(rig.replica(), "in the way").unwrap();
    let log = rig.log(Program::Walbrook);
    let said_before = fs::read_to_string(&log).unwrap_or_default().len();
    let settings = Settings {
        database: format!(
            "monitor-interval: 10ms, min-checkpoint-page-count: 50, truncate-page-n: {truncate}"
        ),
        ..Settings::default()
    };
    let process = rig.start_with(Program::Walbrook, &settings);
    process.wait_for("offline since");
    session.sql("PRAGMA wal_autocheckpoint = 0");
    // More than 50 frames each. A checkpoint that meets a writer is tried again a second later, so these leave gaps;
    // on a busy machine it takes more of them until the WAL is shorter than what was written to it.
    let mut rounds = 0;
    while rounds < 70 || fs::metadata(rig.wal()).unwrap().len() > frames(rounds * 40) {
        session.sql("INSERT INTO t(v) VALUES(hex(randomblob(60000)))");
        session.sql("DELETE FROM t WHERE id < (SELECT max(id) - 10 FROM t)");
        std::thread::sleep(Duration::from_millis(100));
        rounds += 1;
        assert!(rounds < 400, "the WAL only grows:\n{}", process.log());
    }
    fs::remove_file(rig.replica()).unwrap();
    fs::rename(rig.path("aside"), rig.replica()).unwrap();
    process.wait_for("online again after");
    rig.wait_in_sync();
    let said = process.log()[said_before..].to_string();
    assert_eq!(said.matches("offline since").count(), 1, "{said}");
    // The last write may be seen only after the outage is over.
    let files = rig.newest() - newest.max(1);
    assert!((1..=2).contains(&files), "{files} files: {said}");
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn going_on_from_an_earlier_run() {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        start_offline(&rig, &mut session, 100_000);
        let log = fs::read_to_string(rig.log(Program::Walbrook)).unwrap();
        assert_eq!(log.matches("sending every page").count(), 1, "{log}");
    }
}

#[test]
fn for_the_first_time() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    start_offline(&rig, &mut session, 250);
}
