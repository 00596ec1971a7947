//! Restores while the replica is in motion: levels are written and files deleted as fast as they can be.

use std::time::{Duration, Instant};

use crate::support::application::Load;
use crate::support::chance::seconds;
use crate::support::place::Place;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings, sqlite};
use crate::support::s3::{Kind, S3Server, Tls};

/// Nothing is kept longer than it takes to merge it.
const HASTY: &str = "\
levels: [{interval: 1s}, {interval: 2s}]
snapshot: {interval: 2s, retention: 2s}
l0-retention: 1s
l0-retention-check-interval: 1s";

/// Restores again and again, by two at once: all give a state that the database had, and later ones none that
/// is older.
fn every_restore_succeeds(rig: &Rig) {
    sqlite(&rig.db(), "PRAGMA journal_mode = wal");
    // Enough that a restore takes a while.
    sqlite(
        &rig.db(),
        "CREATE TABLE bulk(v); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16) \
         INSERT INTO bulk SELECT randomblob(1048000) FROM n",
    );
    let mut load = Load::start(&rig.db(), 100);
    let process = rig.start_with(Program::Walbrook, &Settings::global(HASTY));
    wait_until("files on every level", || {
        [0, 1, 2, 9]
            .iter()
            .all(|level| !rig.files(*level).is_empty())
    });
    let end = Instant::now() + seconds("WALBROOK_MOTION_SECONDS", 15);
    let restored: Vec<usize> = std::thread::scope(|scope| {
        let loops: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| restore_until(rig, end)))
            .collect();
        loops.into_iter().map(|it| it.join().unwrap()).collect()
    });
    println!("{restored:?} restores");
    assert!(restored.iter().all(|count| *count > 3), "{restored:?}");
    load.pause();
    process.stop().well();
    rig.assert_in_sync();
    load.losses(&rig.restore(Program::Walbrook)).none();
}

/// Gives how many restores there were.
fn restore_until(rig: &Rig, end: Instant) -> usize {
    let mut newest = 0;
    let mut count = 0;
    while Instant::now() < end {
        let restored = rig.restore(Program::Walbrook);
        // Each transaction of the load adds five rows and gives its number to all it touches.
        let said = sqlite(
            &restored,
            "PRAGMA integrity_check; SELECT max(generation), count(*) - 5 * max(generation) FROM load",
        );
        let (integrity, state) = said.trim().split_once('\n').unwrap();
        let (generation, excess) = state.split_once('|').unwrap();
        assert_eq!((integrity, excess), ("ok", "0"), "{said}");
        let generation: u64 = generation.parse().unwrap();
        assert!(generation >= newest, "{generation} after {newest}");
        newest = generation;
        count += 1;
        std::fs::remove_file(restored).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    count
}

#[test]
fn every_restore_from_a_directory_in_motion_succeeds() {
    every_restore_succeeds(&Rig::new());
}

#[test]
fn every_restore_from_s3_in_motion_succeeds() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    every_restore_succeeds(&Rig::with_replica(Place::on(&server)));
}
