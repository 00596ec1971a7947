//! What `walbrook prune` leaves of a replica without its database: snapshots that are kept stand alone, and both programs
//! restore them and go on from it.

use std::time::{Duration, SystemTime};

use super::LEVELS;
use crate::support::application::Load;
use crate::support::process::{eventually, output_of};
use crate::support::rig::{Program, Rig, Settings};

/// Between two TXIDs.
const APART: Duration = Duration::from_secs(1800);

/// A replica of which nothing was deleted, with many snapshots.
fn replica(rig: &Rig) {
    let settings = LEVELS.replace("interval: 3s", "interval: 1s") + "\nretention: {enabled: false}";
    let walbrook = rig.start_with(Program::Walbrook, &Settings::global(&settings));
    let mut load = Load::start(&rig.db(), 30);
    eventually(|| match (rig.files(9).len() >= 5, rig.newest() >= 60) {
        (true, true) => Ok(()),
        _ => Err(format!("{:?}, {}", rig.files(9), rig.newest())),
    });
    load.pause();
    walbrook.stop().well();
    rig.assert_in_sync();
}

/// Gives the files times as if TXIDs had been half an hour apart.
fn spread_out(rig: &Rig) {
    let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    for level in 0..=9 {
        for name in rig.files(level) {
            let txid = u32::from_str_radix(&name[17..33], 16).unwrap();
            let file = std::fs::File::options()
                .write(true)
                .open(rig.level(level).join(name))
                .unwrap();
            file.set_modified(begin + APART * txid).unwrap();
        }
    }
}

fn prune(rig: &Rig, flags: &[&str]) -> Result<String, String> {
    let mut command = Program::Walbrook.command();
    output_of(command.arg("prune").args(flags).arg(rig.url()))
}

#[test]
fn kept_snapshots_stand_alone_and_everything_after_them_is_as_before() {
    let rig = Rig::new();
    replica(&rig);
    spread_out(&rig);
    let (before, snapshots) = (rig.txids(), rig.files(9));
    let rules = ["-retention", "6h", "-keep-hourly", "2", "-keep-daily", "1"];
    let dry: Vec<&str> = [&["-dry-run"], &rules[..]].concat();
    let told = prune(&rig, &dry).unwrap();
    assert!(told.contains("Nothing was deleted (-dry-run)"), "{told}");
    assert!(told.contains("a newer snapshot is older than the retention"));
    assert_eq!((rig.txids(), rig.files(9)), (before, snapshots.clone()));

    let newest = rig.restored_sum(Program::Walbrook, None).unwrap();
    let txid_of = |name: &String| u64::from_str_radix(&name[17..33], 16).unwrap();
    let states: Vec<_> = snapshots
        .iter()
        .map(|name| {
            rig.restored_sum(Program::Litestream17, Some(txid_of(name)))
                .unwrap()
        })
        .collect();
    let done = prune(&rig, &rules).unwrap();
    assert!(done.contains("Deleted "), "{done}");
    let left = rig.files(9);
    assert!(
        (2..snapshots.len()).contains(&left.len()),
        "{left:?} of {snapshots:?}"
    );
    // One stands alone below the base of the window.
    let window = rig.newest() - 12;
    assert!(txid_of(&left[1]) < window, "{left:?}");
    for restorer in Program::RESTORERS {
        for (name, state) in snapshots.iter().zip(&states) {
            let restored = rig.restored_sum(restorer, Some(txid_of(name)));
            match left.contains(name) {
                true => assert_eq!(restored.as_ref(), Ok(state), "{name} by {restorer:?}"),
                false => assert!(restored.is_err(), "{name} by {restorer:?}"),
            }
        }
        assert_eq!(rig.restored_sum(restorer, None), Ok(newest), "{restorer:?}");
    }
    let again = prune(&rig, &rules).unwrap();
    assert!(again.contains("Deleted 0 files, 0 bytes."), "{again}");

    // Litestream takes over what is left.
    let litestream = rig.start_with(Program::Litestream17, &Settings::global(LEVELS));
    let mut load = Load::start(&rig.db(), 30);
    load.wait_for(60);
    load.pause();
    rig.wait_in_sync();
    let log = litestream.stop().log;
    assert!(!log.contains("ERROR"), "{log}");
}

#[test]
fn a_replica_that_cannot_be_restored_is_left_as_it_is() {
    let rig = Rig::new();
    replica(&rig);
    spread_out(&rig);
    // Without any base, old files may be all there is.
    std::fs::remove_dir_all(rig.level(9)).unwrap();
    let before = rig.txids();
    let refused = prune(&rig, &["-retention", "1h"]).unwrap_err();
    assert!(refused.contains("nothing was deleted"), "{refused}");
    assert_eq!(rig.txids(), before);
}
