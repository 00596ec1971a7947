//! Servers that cannot just now, and say so.

use std::time::{Duration, Instant};

use walbrook::storage::{Storage, StorageError};
use walbrook::units::Level;

use super::{Bench, store};
use crate::conformance::{get, name, put};
use crate::support::proxy::Fault;
use crate::support::s3::Kind;

const BUSY: [(u16, &str); 8] = [
    (500, "InternalError"),
    (502, ""),
    (503, "SlowDown"),
    (503, ""),
    (504, ""),
    (429, "TooManyRequests"),
    (408, "RequestCanceled"),
    (400, "RequestTimeout"),
];

fn busy(status: u16, code: &str) -> Fault<'_> {
    Fault::Error {
        status,
        code,
        retry_after: 0,
    }
}

#[test]
fn what_passes_is_waited_for() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    for (status, code) in BUSY {
        // A status of 400 is told from other ones by whoever asked.
        let times = if status == 400 { continue } else { 2 };
        bench.proxy.reset_counts();
        bench.proxy.fault_times(times, busy(status, code));
        put(&storage, name(0, 1, 1), b"x");
        let counts = bench.proxy.counts();
        assert_eq!((counts.put, counts.faulted), (3, 2), "{status} {code}");
        assert_eq!(get(&storage, name(0, 1, 1)), b"x");
    }
}

#[test]
fn what_does_not_pass_is_unreachable_and_not_refused() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    for (status, code) in BUSY {
        bench.proxy.fault(busy(status, code));
        let error = storage.list(Level::SYNC).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, StorageError::Unreachable { sent: false, .. }),
            "{error:?}"
        );
        assert!(
            text.contains(&format!("{status} {code}").trim().to_owned()),
            "{text}"
        );
        bench.proxy.clear();
    }
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    let slow_down = |retry_after| Fault::Error {
        status: 503,
        code: "SlowDown",
        retry_after,
    };
    bench.proxy.fault_times(1, slow_down(3));
    let started = Instant::now();
    put(&storage, name(0, 1, 1), b"x");
    let took = started.elapsed();
    assert!(
        took >= Duration::from_secs(3) && took < Duration::from_secs(6),
        "{took:?}"
    );
    // Too long to wait for here: whoever asked comes back later.
    bench.proxy.reset_counts();
    bench.proxy.fault(slow_down(3600));
    let started = Instant::now();
    let error = store(&storage, name(0, 1, 1), b"y").unwrap_err();
    assert!(
        matches!(error, StorageError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(bench.proxy.counts().put, 1);
}

#[test]
fn a_refusal_after_an_attempt_that_may_count_leaves_the_outcome_open() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    let refusal = Fault::Error {
        status: 403,
        code: "AccessDenied",
        retry_after: 0,
    };
    bench.proxy.fault_times(1, Fault::LateReset);
    bench.proxy.fault_times(1, refusal);
    let error = store(&storage, name(0, 1, 1), b"x").unwrap_err();
    assert!(error.outcome_unknown(), "it is still on its way: {error:?}");
    assert!(error.to_string().contains("AccessDenied"), "{error}");
    bench.proxy.deliver_late();
    assert_eq!(get(&storage, name(0, 1, 1)), b"x");

    bench.proxy.fault_times(1, refusal);
    let error = store(&storage, name(0, 1, 1), b"y").unwrap_err();
    assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
    assert!(!error.outcome_unknown());
}
