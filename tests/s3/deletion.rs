//! Deleting: many at once, those that cannot be deleted, and what is not ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use walbrook::storage::{Storage, StorageError};

use super::recorder::Recorder;
use super::{Bench, network, open, settings};
use crate::conformance::{name, names, put};
use crate::support::s3::{Kind, S3Server, Tls};

#[test]
fn many_go_a_thousand_at_a_time() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    let next = AtomicU64::new(1);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let txid = next.fetch_add(1, Ordering::Relaxed);
                    if txid > 1501 {
                        break;
                    }
                    put(&storage, name(0, txid, txid), b"x");
                }
            });
        }
    });
    bench.proxy.reset_counts();
    assert_eq!(names(&storage, 0).len(), 1501);
    assert_eq!(bench.proxy.counts().list, 2, "in two pages");
    let doomed: Vec<_> = (1..=1500).map(|txid| name(0, txid, txid)).collect();
    storage.delete(&doomed).unwrap();
    let counts = bench.proxy.counts();
    assert_eq!((counts.delete_batch, counts.delete), (2, 0));
    assert_eq!(names(&storage, 0), [name(0, 1501, 1501)]);
}

/// What comes of a batch that is answered so.
fn batch(body: &'static str) -> Result<(), StorageError> {
    let recorder =
        Recorder::new(move |_| (200, "Content-Type: application/xml\r\n", body.to_owned()));
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let settings = walbrook::storage::s3::Settings {
        endpoint: Some(recorder.endpoint()),
        ..settings(&server, "p")
    };
    open(settings, &network()).delete(&[name(0, 1, 1), name(0, 2, 2), name(0, 3, 3)])
}

#[test]
fn each_that_cannot_be_deleted_is_told() {
    batch("<DeleteResult/>").unwrap();
    batch("<DeleteResult><Error><Key>p/x</Key><Code>NoSuchKey</Code></Error></DeleteResult>")
        .unwrap();
    let error = batch(
        "<DeleteResult><Error><Key>p/a</Key><Code>AccessDenied</Code></Error><Error><Key>p/b</Key>\
         <Code>AccessDenied</Code></Error></DeleteResult>",
    )
    .unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        "s3://walbrook/p/a",
        "AccessDenied",
        "1 more of 3",
        "needs the rights",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let error =
        batch("<DeleteResult><Error><Key>p/a</Key><Code>SlowDown</Code></Error></DeleteResult>");
    assert!(
        matches!(error, Err(StorageError::Unreachable { .. })),
        "{error:?}"
    );
    let error = batch("<DeleteResult><Error/></DeleteResult>");
    assert!(
        matches!(error, Err(StorageError::Refused { .. })),
        "{error:?}"
    );
}

#[test]
fn what_is_not_of_the_replica_stays() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let path = &bench.settings.path;
        let storage = bench.storage();
        for level in [0, 1, 9] {
            put(&storage, name(level, 1, 1), b"x");
        }
        let foreign = [
            format!("{path}/README"),
            format!("{path}/000a/0000000000000001-0000000000000001.ltx"),
            format!("{path}/0000x"),
            format!("{path}-2/0000/0000000000000001-0000000000000001.ltx"),
        ];
        for key in &foreign {
            bench.server.put(key, b"not ours");
        }
        storage.delete_all().unwrap();
        let mut left: Vec<String> = bench
            .server
            .objects(path)
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        // JuiceFS shows directories as well.
        left.retain(|key| !key.ends_with('/'));
        left.sort();
        let mut expected = foreign.to_vec();
        expected.sort();
        assert_eq!(left, expected, "{kind:?}");
    }
}
