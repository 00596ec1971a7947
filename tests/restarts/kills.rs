//! Killed again and again under load.

use crate::support::application::Load;
use crate::support::rig::{Program, Rig, Settings, sqlite};

/// Six kills, each followed by a start at once, while an application with SQLite's own checkpoints goes on
/// inserting and updating. Then both settle, and the replica is restored.
fn killed_six_times(program: Program, settings: &Settings) -> (Rig, Load) {
    let rig = Rig::new();
    sqlite(&rig.db(), "PRAGMA journal_mode = wal");
    let mut load = Load::start(&rig.db(), 100);
    let mut process = rig.start_with(program, settings);
    for _ in 0..6 {
        load.wait_for(150);
        process.kill();
        process = rig.start_with(program, settings);
    }
    load.wait_for(200);
    load.pause();
    process.stop().well();
    (rig, load)
}

/// The programs' own intervals.
fn unhurried() -> Settings {
    Settings {
        global: String::new(),
        database: "monitor-interval: 1s".to_string(),
        replica: "sync-interval: 1s".to_string(),
    }
}

fn loses_nothing(settings: &Settings) {
    let (rig, load) = killed_six_times(Program::Walbrook, settings);
    rig.assert_in_sync();
    let losses = load.losses(&rig.restore(Program::Litestream17));
    println!("walbrook: {losses:?}");
    losses.none();
    load.losses(&rig.db()).none();
}

#[test]
fn six_kills_under_load_lose_nothing() {
    loses_nothing(&unhurried());
}

#[test]
fn six_kills_under_load_lose_nothing_with_short_intervals() {
    loses_nothing(&Settings::default());
}

/// For comparison; whatever the outcome, it is not ours. See it with `--show-output`.
#[test]
fn six_kills_of_litestream_for_comparison() {
    let (rig, load) = killed_six_times(Program::Litestream17, &unhurried());
    let losses = load.losses(&rig.restore(Program::Litestream17));
    println!("Litestream 0.5.17: {losses:?}");
}
