//! What it costs to be there: nothing, and few connections.

use std::thread;
use std::time::Duration;

use super::Bench;
use crate::conformance::{name, names, put};
use crate::support::s3::{Kind, Tls};
use walbrook::storage::{Bounds, Storage};

#[test]
fn a_storage_that_is_kept_open_sends_nothing() {
    for tls in [Tls::Off, Tls::On] {
        let bench = Bench::with(Kind::SeaweedFs, tls, Bounds::default());
        let storage = bench.storage();
        put(&storage, name(0, 1, 1), b"x");
        assert_eq!(names(&storage, 0).len(), 1);
        thread::sleep(Duration::from_millis(200));
        let before = bench.proxy.counts();
        thread::sleep(Duration::from_secs(10));
        assert_eq!(bench.proxy.counts(), before, "{tls:?}");
    }
}

#[test]
fn connections_are_used_again() {
    for (kind, tls) in [
        (Kind::SeaweedFs, Tls::Off),
        (Kind::SeaweedFs, Tls::On),
        (Kind::JuiceFs, Tls::Off),
        (Kind::Rclone, Tls::Off),
        (Kind::Rclone, Tls::On),
    ] {
        let bench = Bench::with(kind, tls, Bounds::default());
        let storage = bench.storage();
        for txid in 1..=100 {
            put(&storage, name(0, txid, txid), b"x");
        }
        assert_eq!(names(&storage, 0).len(), 100);
        let counts = bench.proxy.counts();
        assert_eq!(counts.connections, 1, "{kind:?} {tls:?}: {counts:?}");
        // A request and its answer, headers and all, without TLS about a kilobyte.
        let bytes = (counts.bytes_up + counts.bytes_down) / 100;
        assert!(bytes < 2000, "{kind:?} {tls:?}: {bytes} bytes for each");
        storage.delete_all().unwrap();
    }
}
