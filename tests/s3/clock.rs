//! Machines whose clock is wrong by decades.

use std::sync::Arc;

use walbrook::storage::{Storage, StorageError};
use walbrook::sys::clock::{Clock, ManualClock, SystemClock};
use walbrook::units::{Level, Timestamp};

use super::{network_at, open, settings};
use crate::conformance::{get, name, put};
use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::rig::{Rig, required};
use crate::support::s3::{Kind, S3Server, Tls};

const CLOCKS: [&str; 2] = ["1970-01-01T00:00:10Z", "2040-06-01T12:00:00Z"];

fn clock(time: &str) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::parse(time).unwrap()))
}

#[test]
fn requests_are_signed_with_the_servers_time() {
    for kind in Kind::all() {
        for time in CLOCKS {
            let server = S3Server::shared(kind, Tls::Off);
            let network = network_at(clock(time), None);
            let storage = open(settings(&server, &server.fresh_path()), &network);
            assert_eq!(storage.list(Level::SYNC).unwrap(), [], "{kind:?} {time}");
            put(&storage, name(0, 1, 1), b"x");
            assert_eq!(get(&storage, name(0, 1, 1)), b"x");
            let requests = network.traffic().counts().requests();
            assert!(
                requests <= 4,
                "{kind:?} {time}: only the first was sent twice, not {requests}"
            );
        }
    }
}

/// The error of a list by this clock, over TLS, with `tls-min-time` as given.
fn tls_error(time: &str, tls_min_time: Option<Timestamp>) -> Option<StorageError> {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::On);
    let network = network_at(clock(time), tls_min_time);
    let storage = open(settings(&server, &server.fresh_path()), &network);
    storage.list(Level::SYNC).err()
}

#[test]
fn certificates_are_checked_as_of_no_earlier_than_the_floor() {
    let error = tls_error(CLOCKS[0], Some(Timestamp::from_millis(0)))
        .unwrap()
        .to_string();
    for part in [
        "127.0.0.1 is valid from 2",
        "clock says 1970-01-01",
        "`tls-min-time`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let now = SystemClock.now();
    assert!(
        tls_error(CLOCKS[0], Some(now)).is_none(),
        "where the floor allows it, it works"
    );
    let error = tls_error(CLOCKS[1], None).unwrap().to_string();
    assert!(error.contains("has expired on 2036"), "{error}");
}

#[test]
fn a_machine_with_a_wrong_clock_replicates() {
    for time in ["@1970-01-01 00:00:10", "@2040-06-01 12:00:00"] {
        let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
        let rig = Rig::with_replica(Place::on(&server));
        let mut session = Session::create(&rig.db());
        session.insert("t", 20);
        let mut command = rig.replicate();
        command
            .args(["-log-level", "debug"])
            .arg(rig.db())
            .arg(rig.url())
            .env("LD_PRELOAD", required("WALBROOK_TEST_LIBFAKETIME"))
            .env("FAKETIME", time)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let process = rig.run(&mut command);
        process.wait_for("to txid 2:");
        session.insert("t", 20);
        rig.wait_in_sync();
        let log = process.stop().well().log;
        assert_eq!(
            log.matches("signed with the server's time").count(),
            1,
            "{log}"
        );
        rig.assert_in_sync();
    }
}
