//! The power of the copy's disk is cut.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::support::application::Ledger;
use crate::support::disk::Disk;
use crate::support::process::{Process, eventually, wait_until};
use crate::support::rig::{Program, Rig, sqlite};
use crate::support::scratch::Scratch;

/// What is true of every state of a ledger.
const IS_RIGHT: &str = "PRAGMA integrity_check; SELECT sum(amount), count(*) FROM a";

#[test]
fn after_a_power_cut_the_copy_is_right_at_once_and_goes_on() {
    let (rig, scratch) = (Rig::new(), Scratch::new());
    let disk = Disk::new(scratch.path(), 64);
    let copy = disk.path().join("copy.db");
    let noted = || fs::read_to_string(disk.path().join("copy.db-txid")).unwrap_or_default();
    let follow = || {
        let mut command = Program::Walbrook.command();
        command.args(["restore", "-f", "-follow-interval", "20ms", "-o"]);
        Process::start(command.arg(&copy).arg(rig.url()), &rig.path("follow.log"))
    };
    let writer = Ledger::write(&rig.db(), 5);
    let replicating = rig.start(Program::Walbrook);
    wait_until("replicated", || rig.newest() > 1);
    for round in 0..4 {
        let before = noted();
        let following = follow();
        wait_until("ahead", || noted() > before);
        sleep(Duration::from_millis(150 + 70 * round));
        disk.cut();
        following.kill();
        disk.mount_again();
        // The application of a promoted copy would find it like that.
        assert_eq!(sqlite(&copy, IS_RIGHT), "ok\n0|400\n");
    }
    writer.end();
    replicating.stop().well();
    let following = follow();
    eventually(|| match u64::from_str_radix(noted().trim_end(), 16) {
        Ok(txid) if txid == rig.newest() => Ok(()),
        noted => Err(format!("{noted:?}")),
    });
    following.stop().well();
    let restored = rig.restore(Program::Walbrook);
    assert!(super::content(&copy) == super::content(&restored));
}
