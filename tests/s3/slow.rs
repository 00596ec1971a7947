//! Links that are slow and far: whatever moves gets through, at the first attempt.

use std::time::{Duration, Instant};

use walbrook::storage::Bounds;

use super::{Bench, pattern};
use crate::conformance::{get, name, names, put};
use crate::support::s3::{Kind, Tls};

/// One megabit a second.
const MEGABIT: u32 = 125_000;

/// A bench whose client has a tenth of the usual patience.
fn far() -> Bench {
    let bounds = Bounds {
        patience: Duration::from_secs(6),
        upload_memory: 64 << 20,
        ..Bounds::default()
    };
    let bench = Bench::with(Kind::SeaweedFs, Tls::Off, bounds);
    bench.proxy.latency(300);
    bench
}

#[test]
fn a_file_goes_through_at_the_first_attempt() {
    let bench = far();
    let storage = bench.storage();
    bench.proxy.rate(MEGABIT);
    let content = pattern(3 << 20);
    put(&storage, name(0, 1, 1), &content);
    let counts = bench.proxy.counts();
    assert_eq!((counts.put, counts.connections), (1, 1), "{counts:?}");
    assert!(get(&storage, name(0, 1, 1)) == content);
    assert_eq!(names(&storage, 0).len(), 1);
    assert_eq!(bench.proxy.counts().requests(), 3, "each was asked once");
}

#[test]
fn parts_go_through_at_the_first_attempt() {
    let bench = far();
    let storage = bench.storage();
    bench.proxy.rate(4 * MEGABIT);
    let content = pattern(12 << 20);
    put(&storage, name(9, 1, 9), &content);
    let counts = bench.proxy.counts();
    assert_eq!((counts.part, counts.multipart), (3, 3), "{counts:?}");
    bench.proxy.rate(0);
    assert!(get(&storage, name(9, 1, 9)) == content);
}

#[test]
fn a_link_that_was_fast_may_become_slow() {
    let bench = far();
    bench.warm_up();
    let storage = bench.storage();
    bench.proxy.rate(MEGABIT);
    let started = Instant::now();
    put(&storage, name(0, 1, 1), &pattern(2 << 20));
    let took = started.elapsed();
    let counts = bench.proxy.counts();
    assert!(
        counts.put <= 3 && took < Duration::from_secs(90),
        "{took:?} {counts:?}"
    );
}
