//! A first copy, and a later snapshot, over a link so slow that it takes many times as long as the application's next
//! checkpoint.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::{PATIENCE, Process};
use crate::support::proxy::Proxy;
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};

/// Bytes of a frame of the usual size.
const FRAME: u64 = 4096 + 24;

/// The speed of the link, in bytes a second; WALBROOK_LINK_SPEED=125000 is that of 1 Mbit/s.
fn speed() -> u32 {
    std::env::var("WALBROOK_LINK_SPEED").map_or(2_000_000, |text| text.parse().unwrap())
}

/// A database of 20 MB in rows of 125 pages each, its replica behind a proxy.
struct Large {
    proxy: Proxy,
    rig: Rig,
    session: Session,
    updates: u32,
    /// Frames of the WAL at its longest.
    longest: u64,
    started: Instant,
}

/// What is overwritten.
struct Rows {
    count: u32,
    /// So many in each.
    bytes: u32,
}

impl Large {
    fn new() -> Large {
        let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
        let proxy = Proxy::before(&server);
        let rig = Rig::with_replica(Place::on(&server).through(&proxy));
        let mut session = Session::create(&rig.db());
        session.sql("PRAGMA wal_autocheckpoint = 0");
        for _ in 0..40 {
            session.sql("INSERT INTO t(v) VALUES(randomblob(500000))");
        }
        Large {
            proxy,
            rig,
            session,
            updates: 0,
            longest: 0,
            started: Instant::now(),
        }
    }

    fn start(&self, global: &str) -> Process {
        let settings = Settings {
            global: global.to_string(),
            database: "monitor-interval: 20ms, min-checkpoint-page-count: 100".to_string(),
            // Between two syncs the WAL may start over.
            replica: "sync-interval: 1s".to_string(),
        };
        self.rig.start_with(Program::Walbrook, &settings)
    }

    /// Overwrites the whole of a row, then of another one, until the log says so.
    fn write_until(&mut self, process: &Process, said: &str, rows: &Rows) {
        while !process.log().contains(said) {
            self.session.sql(&format!(
                "UPDATE t SET v = randomblob({}) WHERE id = {}",
                rows.bytes,
                self.updates * 7 % rows.count + 1
            ));
            self.updates += 1;
            std::thread::sleep(Duration::from_millis(50));
            let length = fs::metadata(self.rig.wal()).unwrap().len();
            self.longest = self.longest.max(length / FRAME);
            let late = self.started.elapsed() > PATIENCE * 20;
            assert!(!late, "{}", process.log());
        }
        println!(
            "{} updates in {:?}, the WAL at most {} frames",
            self.updates,
            self.started.elapsed(),
            self.longest
        );
        assert!(self.updates > 30, "there was time for few updates");
    }

    fn end(self, process: Process) {
        self.proxy.rate(0);
        self.rig.wait_in_sync();
        process.stop().well();
        self.rig.assert_in_sync();
    }
}

#[test]
fn the_wal_starts_over_while_a_large_copy_goes_up() {
    let mut large = Large::new();
    large.proxy.rate(speed());
    let process = large.start("");
    process.wait_for("sending every page");
    let all = Rows {
        count: 40,
        bytes: 500_000,
    };
    large.write_until(&process, "to txid 2:", &all);
    // A WAL that starts over keeps its length, and at the start it was as long as the database. Held by the copy, it
    // would be ten times as long.
    assert!(large.longest < 20_000, "{}", process.log());
    // What the copy itself says is a state, too.
    let copy = large.rig.restored_sum(Program::Litestream17, Some(2));
    copy.unwrap();
    large.end(process);
}

#[test]
fn syncs_go_past_a_snapshot_and_the_wal_starts_over_meanwhile() {
    let mut large = Large::new();
    let process = large.start("snapshot: {interval: 3s, retention: 1h}");
    process.wait_for("to txid 2:");
    large.session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
    large.proxy.rate(speed());
    let before = large.rig.newest();
    // So few that syncs hardly slow the snapshot down.
    let few = Rows {
        count: 4,
        bytes: 100_000,
    };
    large.write_until(&process, "stored level 9", &few);
    // Held by the snapshot, the WAL would get as long as all updates together, of 25 frames each.
    let frames = u64::from(large.updates) * 25;
    assert!(large.longest < frames / 2, "{}", process.log());
    let snapshots = large.rig.files(9);
    let txid = u64::from_str_radix(&snapshots[1][17..33], 16).unwrap();
    let newest = large.rig.newest();
    println!("from TXID {before} on, a snapshot of {txid}, meanwhile up to {newest}");
    assert!(newest > txid + 3, "{}", process.log());
    let snapshot = large.rig.restored_sum(Program::Litestream17, Some(txid));
    snapshot.unwrap();
    large.end(process);
}
