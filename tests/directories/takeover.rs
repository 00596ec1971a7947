//! The same configuration run by Litestream and by us in turn.

use super::Fleet;
use crate::support::process::eventually;
use crate::support::rig::Program;

const NAMES: [&str; 3] = ["a.db", "b c.db", "sub/100%.db"];

/// Both ways, with what each remembers where the other looks for its own.
fn in_turn(settings: &str) {
    let mut fleet = Fleet::new("recursive: true");
    fleet.settings += &settings.replace("MEMORY", fleet.path("memory").to_str().unwrap());
    for name in NAMES {
        fleet.create(name);
    }
    for round in 0..2 {
        let process = fleet.start_with(Program::Litestream17);
        for name in NAMES {
            fleet.insert(name);
            eventually(|| fleet.compare(Program::Litestream17, name));
        }
        process.stop();
        let process = fleet.start();
        for name in NAMES {
            fleet.insert(name);
        }
        fleet.wait_in_sync(&NAMES);
        process.stop().well();
        fleet.assert_in_sync(&NAMES);
        for name in NAMES {
            assert!(fleet.replica(name).join("ltx").is_dir(), "{round}: {name}");
        }
    }
}

#[test]
fn litestream_and_ours_take_over_directories_from_each_other() {
    in_turn("");
}

#[test]
fn with_what_is_remembered_below_a_meta_path() {
    in_turn(", meta-path: MEMORY");
}

#[test]
fn with_what_is_remembered_below_a_meta_dir() {
    in_turn(", meta-dir: MEMORY");
}
