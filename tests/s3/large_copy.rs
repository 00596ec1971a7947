//! A first copy over a link so slow that it takes many times as long as the application's next checkpoint.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::PATIENCE;
use crate::support::proxy::Proxy;
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};

/// Bytes of a frame of the usual size.
const FRAME: u64 = 4096 + 24;

/// The speed of the link, in bytes a second; WALBROOK_LINK_SPEED=125000 is that of 1 Mbit/s.
fn speed() -> u32 {
    std::env::var("WALBROOK_LINK_SPEED").map_or(2_000_000, |text| text.parse().unwrap())
}

#[test]
fn the_wal_starts_over_while_a_large_copy_goes_up() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    proxy.rate(speed());
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    let mut session = Session::create(&rig.db());
    session.sql("PRAGMA wal_autocheckpoint = 0");
    for _ in 0..20 {
        session.sql("INSERT INTO t(v) VALUES(randomblob(1000000))");
    }
    let settings = Settings {
        database: "monitor-interval: 20ms, min-checkpoint-page-count: 100".to_string(),
        ..Settings::default()
    };
    let process = rig.start_with(Program::Walbrook, &settings);
    process.wait_for("sending every page");
    let (mut longest, started) = (0, Instant::now());
    // Each overwrites the whole of a row of 250 pages, some of them not sent yet. All of it is ten times the database.
    let mut round = 0_u32;
    while !process.log().contains("to txid 2:") {
        let row = round * 7 % 20 + 1;
        session.sql(&format!(
            "UPDATE t SET v = randomblob(1000000) WHERE id = {row}"
        ));
        round += 1;
        std::thread::sleep(Duration::from_millis(50));
        longest = longest.max(fs::metadata(rig.wal()).unwrap().len());
        assert!(started.elapsed() < PATIENCE * 20, "{}", process.log());
    }
    println!(
        "{round} updates in {:?}, the WAL at most {} frames",
        started.elapsed(),
        longest / FRAME
    );
    assert!(round > 40, "there was time for few updates");
    // A WAL that starts over keeps its length, and at the start it was as long as the database. Held by the copy, it
    // would be ten times as long.
    assert!(
        longest < 20_000 * FRAME,
        "the WAL has grown to {longest} bytes"
    );
    proxy.rate(0);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    // What the copy itself says is a state, too.
    rig.restored_sum(Program::Litestream17, Some(2)).unwrap();
}
