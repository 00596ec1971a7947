//! The follower is killed at any moment, and started again.

use std::thread::sleep;
use std::time::Duration;

use super::{assert_same, copy, follow, noted, wait_caught_up};
use crate::support::application::Ledger;
use crate::support::chance::Chance;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig};

#[test]
fn killed_twenty_times() {
    let rig = Rig::new();
    let mut chance = Chance::of_environment("follow");
    let writer = Ledger::write(&rig.db(), chance.below(1 << 30));
    let replicating = rig.start(Program::Walbrook);
    wait_until("replicated", || rig.newest() > 1);
    let mut readers = None;
    for _ in 0..20 {
        let before = noted(&rig);
        let following = follow(&rig, &[]);
        wait_until("ahead", || noted(&rig) > before);
        // Readers go on over all the kills, and repair what they find half done.
        readers.get_or_insert_with(|| Ledger::read(&copy(&rig)));
        sleep(Duration::from_micros(chance.below(300_000)));
        following.kill();
    }
    let following = follow(&rig, &[]);
    writer.end();
    replicating.stop().well();
    wait_caught_up(&rig);
    readers.unwrap().end();
    following.stop().well();
    assert_same(&rig);
}

#[test]
fn killed_during_the_first_restore() {
    let rig = Rig::new();
    let writer = Ledger::write(&rig.db(), 3);
    let replicating = rig.start(Program::Walbrook);
    wait_until("replicated", || rig.newest() > 1);
    for micros in (0..20).map(|round| round * 2_000) {
        let following = follow(&rig, &[]);
        sleep(Duration::from_micros(micros));
        following.kill();
        for name in ["copy.db", "copy.db-txid", "copy.db-journal"] {
            let path = rig.path(name);
            // A note without a copy is that of a restore that did not get far.
            assert!(name == "copy.db-txid" || !path.exists() || noted(&rig) > 0);
        }
        if micros % 8_000 == 0 {
            for name in ["copy.db-journal", "copy.db"] {
                let _ = std::fs::remove_file(rig.path(name));
            }
        }
    }
    let following = follow(&rig, &[]);
    writer.end();
    replicating.stop().well();
    wait_caught_up(&rig);
    following.stop().well();
    assert_same(&rig);
}
