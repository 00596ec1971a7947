//! Uploads in parts: what a failure costs, how much memory they take, and what they leave behind.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use walbrook::storage::{Bounds, Content, Network, Storage, StorageError};
use walbrook::sys::clock::SystemClock;
use walbrook::units::Timestamp;

use super::{Bench, Known, impatient, open, pattern, store};
use crate::conformance::{get, name, put};
use crate::support::process::wait_until;
use crate::support::proxy::Fault;
use crate::support::s3::{Kind, Request, Tls};

const PART: usize = 5 << 20;
/// Three parts.
const BYTES: usize = 12 << 20;

fn roomy(parts: usize) -> Bounds {
    Bounds {
        upload_memory: (parts * PART) as u64,
        ..impatient()
    }
}

/// The unfinished uploads of the replica, as the server lists them.
fn unfinished(bench: &Bench) -> Vec<String> {
    let answer = bench.server.request(&Request {
        method: "GET",
        path: &format!("/{}", bench.server.bucket()),
        query: &[("uploads", "")],
        ..Request::default()
    });
    let body = String::from_utf8(answer.body).unwrap();
    let keys = body
        .split("<Key>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap().to_owned());
    keys.filter(|key| key.starts_with(&bench.settings.path))
        .collect()
}

#[test]
fn a_part_that_fails_is_sent_again_alone() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        bench.warm_up();
        let storage = bench.storage();
        bench
            .proxy
            .fault_on("partNumber=2", 1, Fault::ResetUp(1 << 20));
        bench.proxy.fault_on("partNumber=3", 1, Fault::Mute);
        put(&storage, name(9, 1, 9), &pattern(BYTES));
        let counts = bench.proxy.counts();
        assert_eq!((counts.part, counts.put), (5, 0), "{kind:?}: {counts:?}");
        assert!(
            counts.bytes_up < BYTES as u64 * 8 / 5,
            "{kind:?}: {counts:?}"
        );
        bench.proxy.clear();
        assert!(get(&storage, name(9, 1, 9)) == pattern(BYTES), "{kind:?}");
        assert_eq!(unfinished(&bench), [""; 0], "{kind:?}");
    }
}

#[test]
fn parts_go_side_by_side_as_far_as_memory_allows() {
    for (parts, connections) in [(1, 1), (3, 3)] {
        let bounds = Bounds {
            patience: Duration::from_secs(10),
            ..roomy(parts)
        };
        let bench = Bench::with(Kind::SeaweedFs, Tls::Off, bounds);
        let storage = bench.storage();
        bench.proxy.latency(300);
        put(&storage, name(9, 1, 9), &pattern(3 * PART));
        let counts = bench.proxy.counts();
        assert_eq!(counts.part, 3);
        assert_eq!(
            counts.connections, connections,
            "{parts} parts fit into memory: {counts:?}"
        );
    }
}

/// A long content that tells how much of it was taken.
struct Counting(Arc<AtomicU64>, u64);

impl Content for Counting {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let block = [5; 64 << 10];
        for _ in 0..self.1 / block.len() as u64 {
            out.write_all(&block)?;
            self.0.fetch_add(block.len() as u64, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn no_more_is_taken_than_fits_into_the_memory_of_all() {
    let bench = Bench::with(Kind::SeaweedFs, Tls::Off, roomy(3));
    let taken = Arc::new(AtomicU64::new(0));
    bench.proxy.fault_on("^PUT", 0, Fault::Stall);
    thread::scope(|scope| {
        for txid in 1..=4 {
            let (storage, content) = (bench.storage(), Counting(Arc::clone(&taken), BYTES as u64));
            scope.spawn(move || {
                let written = storage.write(name(9, 1, txid), Timestamp::from_millis(0), &content);
                assert_eq!(written.unwrap(), BYTES as u64);
            });
        }
        wait_until("the memory full", || {
            taken.load(Ordering::SeqCst) == 3 * PART as u64
        });
        thread::sleep(Duration::from_secs(2));
        assert_eq!(taken.load(Ordering::SeqCst), 3 * PART as u64);
        bench.proxy.clear();
        bench.proxy.drop_connections();
    });
    assert_eq!(taken.load(Ordering::SeqCst), 4 * BYTES as u64);
}

/// Fails when it has given this much.
struct Failing(usize);

impl Content for Failing {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&vec![1; self.0])?;
        Err(io::Error::other("the database went away"))
    }
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let storage = bench.storage();
        let file = name(9, 1, 9);
        let failed = storage.write(file, Timestamp::from_millis(0), &Failing(BYTES));
        assert!(
            matches!(failed, Err(StorageError::Content { .. })),
            "{kind:?}: {failed:?}"
        );
        assert_eq!(unfinished(&bench), [""; 0], "{kind:?}");
        for (pattern, status, code) in [
            ("partNumber=2", 403, "AccessDenied"),
            ("^POST .*uploadId=", 400, "EntityTooSmall"),
            ("^POST .*uploadId=", 400, "InvalidPart"),
        ] {
            let error = Fault::Error {
                status,
                code,
                retry_after: 0,
            };
            bench.proxy.fault_on(pattern, 0, error);
            let error = store(&storage, file, &vec![1; BYTES]).unwrap_err();
            assert!(
                matches!(error, StorageError::Refused { .. }),
                "{kind:?}: {error:?}"
            );
            assert!(error.to_string().contains(code), "{error}");
            bench.proxy.clear();
            assert_eq!(unfinished(&bench), [""; 0], "{kind:?} {code}");
            assert_eq!(bench.keys(), [""; 0], "{kind:?} {code}");
        }
    }
}

#[test]
fn what_dead_runs_left_is_thrown_away() {
    let bench = Bench::new(Kind::SeaweedFs);
    for file in [name(9, 1, 9), name(9, 1, 8)] {
        let path = format!("/{}/{}", bench.server.bucket(), bench.key(file));
        let begun = bench.server.request(&Request {
            method: "POST",
            path: &path,
            query: &[("uploads", "")],
            ..Request::default()
        });
        assert_eq!(begun.status, 200);
    }
    assert_eq!(unfinished(&bench).len(), 2);
    put(&bench.storage(), name(9, 1, 9), &pattern(BYTES));
    // That of another file may be on its way.
    assert_eq!(unfinished(&bench), [bench.key(name(9, 1, 8))]);
}

/// The request that puts the parts together takes effect, or will, and its answer does not come.
fn completion(kind: Kind, fault: Fault<'_>, exclusive: bool) {
    let bench = Bench::new(kind);
    let storage = match exclusive {
        true => bench.storage().exclusive(),
        false => bench.storage(),
    };
    let file = name(9, 1, 9);
    bench.proxy.fault_on("^POST .*uploadId=", 1, fault);
    let content = pattern(BYTES);
    let written = storage.write(file, Timestamp::from_millis(0), &Known(1, &content));
    assert_eq!(written.unwrap(), BYTES as u64, "{kind:?} {fault:?}");
    bench.proxy.deliver_late();
    assert!(get(&storage, file) == content, "{kind:?} {fault:?}");
    assert_eq!(unfinished(&bench), [""; 0], "{kind:?} {fault:?}");
}

#[test]
fn a_completion_whose_answer_is_lost_ends_well() {
    for kind in Kind::all() {
        for fault in [
            Fault::Mute,
            Fault::Late,
            Fault::LateReset,
            Fault::Truncate(5),
            Fault::ResetDown(5),
        ] {
            completion(kind, fault, false);
            completion(kind, fault, true);
        }
    }
}

#[test]
fn a_completion_that_never_comes_through_is_known_later() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage().exclusive();
    let (file, content) = (name(9, 1, 9), pattern(BYTES));
    let write = |id| storage.write(file, Timestamp::from_millis(5), &Known(id, &content));
    bench
        .proxy
        .fault_on("^POST .*uploadId=", 0, Fault::LateReset);
    let error = write(1).unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    bench.proxy.clear();
    // It was aborted meanwhile.
    let late = bench.proxy.deliver_late();
    assert!(late.iter().all(|(_, status)| *status == 404), "{late:?}");
    assert_eq!(write(1).unwrap(), BYTES as u64);

    // It arrived before it could be aborted.
    let (file, content) = (name(9, 1, 10), pattern(BYTES));
    let write = |id| storage.write(file, Timestamp::from_millis(5), &Known(id, &content));
    bench.proxy.fault_on("^POST .*uploadId=", 0, Fault::Mute);
    bench.proxy.fault_on("^HEAD", 0, Fault::Reset);
    let error = write(2).unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    bench.proxy.clear();
    bench.proxy.reset_counts();
    assert_eq!(write(2).unwrap(), BYTES as u64);
    let counts = bench.proxy.counts();
    assert_eq!(
        (counts.head, counts.part),
        (1, 0),
        "it is found there before it is sent again"
    );
}

#[test]
fn long_uploads_outlive_outages() {
    let bench = Bench::new(Kind::SeaweedFs);
    bench.warm_up();
    let storage = open(
        bench.settings.clone(),
        &Network::new(roomy(1), Arc::new(SystemClock)),
    );
    let content = pattern(BYTES);
    thread::scope(|scope| {
        let upload = scope.spawn(|| store(&storage, name(9, 1, 9), &content));
        wait_until("a part there", || bench.proxy.counts().part > 0);
        bench.proxy.fault(Fault::Refuse);
        thread::sleep(Duration::from_secs(12));
        bench.proxy.clear();
        upload.join().unwrap().unwrap();
    });
    assert!(get(&storage, name(9, 1, 9)) == content);
}
