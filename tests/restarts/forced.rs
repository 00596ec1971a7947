//! `replicate -once` with `-force-snapshot` and `-enforce-retention`, as cron runs it.

use std::time::Duration;

use super::gaps::fill;
use crate::support::application::Session;
use crate::support::rig::{Program, Rig, Settings};

/// Runs it once with these flags too.
#[track_caller]
fn once(rig: &Rig, flags: &[&str], settings: &Settings) -> String {
    let text = settings.text(&[(&rig.db(), &rig.replica())]);
    std::fs::write(rig.path("config.yml"), text).unwrap();
    let mut command = rig.configured("replicate");
    rig.run(command.arg("-once").args(flags)).ended().well().log
}

#[test]
fn a_snapshot_is_taken_of_what_has_none() {
    for mebibytes in [1, 40] {
        let (rig, settings) = (Rig::new(), Settings::default());
        let mut session = Session::create(&rig.db());
        fill(&mut session, mebibytes);
        once(&rig, &[], &settings);
        session.insert("t", 1);
        once(&rig, &[], &settings);
        assert_eq!(rig.files(9).len(), 1, "none is due yet");
        session.insert("t", 1);
        for _ in 0..2 {
            once(&rig, &["-force-snapshot"], &settings);
            let snapshot = format!("{:016x}-{:016x}.ltx", 1, rig.newest());
            assert_eq!(rig.files(9).len(), 2);
            assert_eq!(rig.files(9).last(), Some(&snapshot));
        }
        // Without a change, too.
        session.insert("t", 1);
        once(&rig, &[], &settings);
        once(&rig, &["-force-snapshot"], &settings);
        assert_eq!(rig.files(9).len(), 3);
        rig.assert_in_sync();
    }
}

#[test]
fn what_has_had_its_time_is_deleted() {
    let rig = Rig::new();
    let settings = Settings::global("snapshot: {interval: 1h, retention: 1s}");
    let mut session = Session::create(&rig.db());
    for _ in 0..4 {
        session.insert("t", 1);
        once(&rig, &["-force-snapshot"], &settings);
        std::thread::sleep(Duration::from_millis(1100));
    }
    let before = rig.files(9);
    assert_eq!(before.len(), 4);
    let never =
        Settings::global("snapshot: {interval: 1h, retention: 1s}\nretention: {enabled: false}");
    let log = once(&rig, &["-enforce-retention"], &never);
    assert!(log.contains("nothing is deleted"), "{log}");
    assert_eq!(rig.files(9), before);
    once(&rig, &["-enforce-retention"], &settings);
    let after = rig.files(9);
    assert!(
        after.len() < 4 && before.ends_with(&after),
        "{before:?} {after:?}"
    );
    rig.assert_in_sync();
    // Both at once, and another program goes on.
    session.insert("t", 1);
    once(&rig, &["-force-snapshot", "-enforce-retention"], &settings);
    let process = rig.start(Program::Litestream17);
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}
