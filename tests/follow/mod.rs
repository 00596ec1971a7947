//! Copies that follow a replica: always right for their readers, whatever the writer does and whenever they are killed;
//! interchangeable with Litestream's; and ready to be used in the writer's place.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::place::Place;
use crate::support::process::{Process, eventually};
use crate::support::rig::{Program, Rig, sqlite};

mod edges;
mod journal;
mod kills;
mod live;
mod power;

/// The copy.
fn copy(rig: &Rig) -> PathBuf {
    rig.path("copy.db")
}

/// Follows with the copy.
fn follow(rig: &Rig, flags: &[&str]) -> Process {
    follow_with(rig, Program::Walbrook, flags)
}

/// The same with either program.
fn follow_with(rig: &Rig, program: Program, flags: &[&str]) -> Process {
    let mut command = program.command();
    command.args(["restore", "-f", "-follow-interval", "50ms"]);
    command.args(flags).arg("-o").arg(copy(rig)).arg(rig.url());
    command.envs(rig.places().iter().flat_map(Place::environment));
    Process::start(&mut command, &rig.path("follow.log"))
}

/// The state that is noted beside the copy; 0 when there is none.
fn noted(rig: &Rig) -> u64 {
    let text = fs::read_to_string(rig.path("copy.db-txid")).unwrap_or_default();
    u64::from_str_radix(text.trim_end(), 16).unwrap_or(0)
}

/// Waits until the copy has everything that the replica has.
#[track_caller]
fn wait_caught_up(rig: &Rig) {
    eventually(|| match (noted(rig), rig.newest()) {
        (noted, newest) if noted == newest => Ok(()),
        (noted, newest) => Err(format!("the copy is at {noted}, the replica at {newest}")),
    });
}

/// A database without what a copy has of its own in page 1: its mode, and what counts its changes.
#[track_caller]
fn content(database: &Path) -> Vec<u8> {
    let mut bytes = fs::read(database).unwrap();
    for own in [18..20, 24..28, 92..96] {
        bytes[own].fill(0);
    }
    bytes
}

/// Fails the test unless the copy is the newest state of the replica, page for page.
#[track_caller]
fn assert_same(rig: &Rig) {
    assert_eq!(sqlite(&copy(rig), "PRAGMA integrity_check"), "ok\n");
    let restored = rig.restore(Program::Walbrook);
    // Not compared by assert_eq, which would print megabytes.
    assert!(content(&copy(rig)) == content(&restored), "they differ");
    fs::remove_file(restored).unwrap();
}
