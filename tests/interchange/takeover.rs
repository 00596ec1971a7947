//! One program takes over from the other on a database that is being written to, and back, and again.

use super::LEVELS;
use crate::support::application::Load;
use crate::support::process::{Process, eventually, wait_until};
use crate::support::rig::{Program, Rig, Settings};
use crate::support::sftp::Kind;

/// How one program ends before the next one starts.
#[derive(Clone, Copy, Debug)]
enum End {
    Stopped,
    Killed,
}

/// What becomes of what the programs remember about the database.
#[derive(Clone, Copy, Debug)]
enum Memory {
    Kept,
    Deleted,
}

const RELAY: [Program; 4] = [
    Program::Litestream17,
    Program::Walbrook,
    Program::Litestream17,
    Program::Walbrook,
];

/// Hands the database on from program to program. Each is ended twice: with the application still, to compare
/// its replica with the database byte for byte, and then in the middle of writes.
fn relay(rig: &Rig, programs: [Program; 4], end: End, memory: Memory, settings: &Settings) {
    let mut load = Load::start(&rig.db(), 60);
    load.pause();
    crate::support::rig::sqlite(&rig.db(), "PRAGMA journal_mode = wal");
    for (leg, program) in programs.into_iter().enumerate() {
        load.go();
        let process = rig.start_with(program, settings);
        wait_until_replicating(rig, &process, program);
        load.wait_for(40);
        // If the WAL begins anew while nobody watches, Litestream goes on at the beginning of the new one, even if it had
        // not seen the end of the old one.
        let must_watch = program == Program::Litestream17;
        if must_watch {
            load.pause();
        }
        finish(process, end);
        // The same program again: what was written in between must not be lost either.
        let process = rig.start_with(program, settings);
        if must_watch {
            process.wait_for_own("msg=verify");
            load.go();
        }
        wait_until_replicating(rig, &process, program);
        load.wait_for(20);
        load.pause();
        if let End::Killed = end {
            eventually(|| {
                let (source, restored) = (
                    rig.source_sum(),
                    rig.restored_sum(Program::Litestream17, None)?,
                );
                match source == restored {
                    true => Ok(()),
                    false => Err(format!("leg {leg}: {restored:?} is not {source:?}")),
                }
            });
        }
        finish(process, end);
        println!("leg {leg}, {program:?}: TXID {}", rig.newest());
        rig.assert_in_sync();
        for restorer in Program::RESTORERS {
            load.losses(&rig.restore(restorer)).none();
        }
        if let Memory::Deleted = memory {
            rig.forget();
        }
    }
    let log = std::fs::read_to_string(rig.log(Program::Litestream17)).unwrap();
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

/// Waits until a new TXID has come.
fn wait_until_replicating(rig: &Rig, process: &Process, program: Program) {
    let before = rig.newest();
    eventually(|| match rig.newest() > before {
        true => Ok(()),
        false => Err(format!("{program:?} does not go on:\n{}", process.log())),
    });
}

fn finish(process: Process, end: End) {
    match end {
        End::Stopped => drop(process.stop().well()),
        End::Killed => process.kill(),
    }
}

#[test]
fn a_database_is_handed_to_and_fro() {
    relay(
        &Rig::new(),
        RELAY,
        End::Stopped,
        Memory::Kept,
        &Settings::default(),
    );
}

#[test]
fn a_database_is_handed_to_and_fro_by_kills() {
    relay(
        &Rig::new(),
        RELAY,
        End::Killed,
        Memory::Kept,
        &Settings::default(),
    );
}

#[test]
fn a_database_is_handed_to_and_fro_without_local_state() {
    relay(
        &Rig::new(),
        RELAY,
        End::Stopped,
        Memory::Deleted,
        &Settings::default(),
    );
}

#[test]
fn a_database_is_handed_to_and_fro_by_kills_without_local_state() {
    relay(
        &Rig::new(),
        RELAY,
        End::Killed,
        Memory::Deleted,
        &Settings::default(),
    );
}

#[test]
fn a_database_is_handed_to_and_fro_with_levels() {
    relay(
        &Rig::new(),
        RELAY,
        End::Stopped,
        Memory::Kept,
        &Settings::global(LEVELS),
    );
}

#[test]
fn a_database_is_handed_to_and_fro_by_kills_with_levels() {
    let settings = Settings::global(LEVELS);
    relay(&Rig::new(), RELAY, End::Killed, Memory::Kept, &settings);
}

#[test]
fn a_database_is_handed_to_and_fro_with_levels_without_local_state() {
    let settings = Settings::global(LEVELS);
    relay(&Rig::new(), RELAY, End::Stopped, Memory::Deleted, &settings);
}

#[test]
fn a_database_of_an_older_litestream_is_handed_on() {
    let programs = [
        Program::Litestream15,
        Program::Walbrook,
        Program::Litestream17,
        Program::Walbrook,
    ];
    relay(
        &Rig::new(),
        programs,
        End::Killed,
        Memory::Kept,
        &Settings::default(),
    );
}

#[test]
fn a_replica_on_sftp_is_handed_to_and_fro() {
    let (rig, settings) = (super::on_sftp(Kind::OpenSsh), Settings::default());
    relay(&rig, RELAY, End::Stopped, Memory::Kept, &settings);
}

#[test]
fn a_replica_on_sftp_is_handed_to_and_fro_by_kills() {
    let (rig, settings) = (super::on_sftp(Kind::Chrooted), Settings::default());
    relay(&rig, RELAY, End::Killed, Memory::Kept, &settings);
}

#[test]
fn a_replica_on_sftp_is_handed_to_and_fro_with_levels() {
    let (rig, levels) = (super::on_sftp(Kind::Dropbear), Settings::global(LEVELS));
    relay(&rig, RELAY, End::Stopped, Memory::Kept, &levels);
}

#[test]
fn a_replica_on_s3_is_handed_to_and_fro() {
    relay(
        &super::on_s3(),
        RELAY,
        End::Stopped,
        Memory::Kept,
        &Settings::default(),
    );
}

#[test]
fn a_replica_on_s3_is_handed_to_and_fro_by_kills() {
    relay(
        &super::on_s3(),
        RELAY,
        End::Killed,
        Memory::Kept,
        &Settings::default(),
    );
}

#[test]
fn a_replica_on_s3_is_handed_to_and_fro_with_levels() {
    let levels = Settings::global(LEVELS);
    relay(&super::on_s3(), RELAY, End::Stopped, Memory::Kept, &levels);
}

#[test]
fn a_replica_without_a_snapshot_is_given_one_before_level_0_is_emptied() {
    let (rig, settings) = (Rig::new(), Settings::global(LEVELS));
    let mut load = Load::start(&rig.db(), 60);
    load.wait_for(20);
    // While somebody writes, Litestream may find the database locked and give up.
    load.pause();
    // It leaves the base on level 0 and nowhere else.
    let config = rig.path("once.yml");
    let text = settings.text_for(&[(&rig.db(), rig.place())]);
    std::fs::write(&config, text).unwrap();
    let mut once = Program::Litestream17.command();
    once.args(["replicate", "-once", "-config"]).arg(config);
    Process::start(&mut once, &rig.log(Program::Litestream17))
        .ended()
        .well();
    load.go();
    let base = "0000000000000001-0000000000000001.ltx".to_string();
    assert!(rig.files(0).contains(&base) && rig.files(9).is_empty());

    let walbrook = rig.start_with(Program::Walbrook, &settings);
    wait_until("level 1", || !rig.files(1).is_empty());
    walbrook.stop().well();
    // Litestream deletes what level 1 has passed, whether or not its own snapshot has come through.
    let snapshots = rig.level(9);
    if !snapshots.exists() {
        std::fs::write(&snapshots, "none can be stored").unwrap();
    }
    let litestream = rig.start_with(Program::Litestream17, &settings);
    wait_until("the base is gone from level 0", || {
        !rig.files(0).contains(&base)
    });
    load.pause();
    litestream.stop().well();
    rig.assert_in_sync();
}
