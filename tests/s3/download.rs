//! Downloads that break off go on where they were, in the same content.

use std::io::Read;

use walbrook::storage::{ByteRange, Storage};

use super::{Bench, pattern};
use crate::conformance::{get, name, put};
use crate::support::proxy::Fault;
use crate::support::s3::Kind;

const BYTES: usize = 1 << 20;

/// A file that comes in pieces, and what that costs.
fn comes_in_pieces(kind: Kind, fault: Fault<'_>, requests: u64) {
    let bench = Bench::new(kind);
    let storage = bench.storage();
    put(&storage, name(0, 1, 1), &pattern(BYTES));
    bench.proxy.reset_counts();
    bench.proxy.fault_on("^GET", 0, fault);
    assert!(
        get(&storage, name(0, 1, 1)) == pattern(BYTES),
        "{kind:?} {fault:?}"
    );
    let counts = bench.proxy.counts();
    assert!(counts.get <= requests, "{kind:?} {fault:?}: {counts:?}");
    // Of what was on its way when the connection was reset some comes twice, and each answer has a head.
    let most = match fault {
        Fault::ResetDown(_) => BYTES as u64 * 2,
        _ => BYTES as u64 + counts.get * 2000,
    };
    assert!(counts.bytes_down < most, "{kind:?} {fault:?}: {counts:?}");
}

#[test]
fn a_connection_that_is_reset_every_so_often_costs_time_alone() {
    for kind in Kind::all() {
        comes_in_pieces(kind, Fault::ResetDown(200_000), 12);
        comes_in_pieces(kind, Fault::Truncate(200_000), 6);
    }
}

#[test]
fn a_connection_that_falls_silent_every_so_often_does_too() {
    for kind in Kind::all() {
        comes_in_pieces(kind, Fault::StallDown(400_000), 3);
    }
}

#[test]
fn ranges_go_on_within_themselves() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    let content = pattern(BYTES);
    put(&storage, name(0, 1, 1), &content);
    bench.proxy.fault_on("^GET", 0, Fault::ResetDown(100_000));
    let read = |range| {
        let mut bytes = Vec::new();
        let mut reader = storage.read(name(0, 1, 1), range).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let exact = ByteRange::Exact {
        offset: 5,
        length: 300_000,
    };
    assert!(read(exact) == content[5..300_005]);
    assert!(read(ByteRange::From(700_000)) == content[700_000..]);
    assert!(read(ByteRange::Last(250_000)) == content[BYTES - 250_000..]);
}

#[test]
fn an_object_that_is_replaced_meanwhile_is_noticed() {
    for kind in Kind::all() {
        for new in [vec![7; BYTES], vec![7; 10], Vec::new()] {
            let bench = Bench::new(kind);
            let storage = bench.storage();
            let file = name(0, 1, 1);
            put(&storage, file, &pattern(BYTES));
            bench.proxy.fault_times(1, Fault::ResetDown(200_000));
            let mut reader = storage.read(file, ByteRange::From(0)).unwrap();
            let mut start = vec![0; 1000];
            reader.read_exact(&mut start).unwrap();
            put(&storage, file, &new);
            let mut rest = Vec::new();
            let error = reader.read_to_end(&mut rest).unwrap_err();
            assert!(error.to_string().contains("replaced"), "{kind:?}: {error}");
            assert!(
                start[..] == pattern(BYTES)[..1000]
                    && rest[..] == pattern(BYTES)[1000..1000 + rest.len()]
            );
        }
    }
}

#[test]
fn an_object_that_is_gone_meanwhile_is_noticed() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let storage = bench.storage();
        put(&storage, name(0, 1, 1), &pattern(BYTES));
        bench.proxy.fault_times(1, Fault::ResetDown(200_000));
        let mut reader = storage.read(name(0, 1, 1), ByteRange::From(0)).unwrap();
        storage.delete(&[name(0, 1, 1)]).unwrap();
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(
            error.to_string().contains("no such file"),
            "{kind:?}: {error}"
        );
    }
}
