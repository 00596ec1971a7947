//! Links that fail in every way: what fails once is not noticed, what goes on is an error in time, and when it ends
//! everything works again.

use std::thread;
use std::time::{Duration, Instant};

use walbrook::storage::s3::Settings;
use walbrook::storage::{ByteRange, Storage, StorageError};
use walbrook::units::Level;

use super::{Bench, Known, impatient, network, open, pattern, store};
use crate::conformance::{get, name, names, put};
use crate::support::proxy::Fault;
use crate::support::s3::{Kind, Tls};

/// What is sent and read: large enough for faults in the middle.
const BYTES: usize = 300_000;
/// Four attempts of a second or two each, and the pauses between them.
const IN_TIME: Duration = Duration::from_secs(25);

const FAULTS: [Fault<'_>; 9] = [
    Fault::Reset,
    Fault::ResetUp(100_000),
    Fault::ResetDown(100),
    Fault::Stall,
    Fault::StallUp(100_000),
    Fault::StallDown(100),
    Fault::Mute,
    Fault::Truncate(100),
    Fault::Refuse,
];

/// One of each operation; a file 1 is there, and 2 is deleted.
fn operations(storage: &dyn Storage) -> [Result<(), StorageError>; 4] {
    thread::scope(|scope| {
        let read = || -> Result<(), StorageError> {
            let mut bytes = Vec::new();
            let mut reader = storage.read(name(0, 1, 1), ByteRange::From(0))?;
            let done = reader.read_to_end(&mut bytes);
            done.map_err(|source| match source.downcast::<StorageError>() {
                Ok(error) => error,
                Err(source) => StorageError::Io {
                    operation: "read",
                    location: String::new(),
                    source,
                },
            })?;
            assert_eq!(bytes, pattern(BYTES));
            Ok(())
        };
        let write = || {
            storage.write(
                name(0, 3, 3),
                walbrook::units::Timestamp::from_millis(0),
                &Known(3, &pattern(BYTES)),
            )
        };
        let threads = [
            scope.spawn(move || write().map(drop)),
            scope.spawn(move || storage.list(Level::SYNC).map(drop)),
            scope.spawn(read),
            scope.spawn(move || storage.delete(&[name(0, 2, 2), name(0, 4, 4)])),
        ];
        threads.map(|thread| thread.join().unwrap())
    })
}

/// What fails once is tried again, to the same end.
fn fails_once(kind: Kind) {
    let bench = Bench::new(kind);
    bench.warm_up();
    let storage = bench.storage();
    put(&storage, name(0, 1, 1), &pattern(BYTES));
    for fault in FAULTS {
        if matches!(fault, Fault::Refuse) {
            continue;
        }
        put(&storage, name(0, 2, 2), b"to be deleted");
        put(&storage, name(0, 4, 4), b"to be deleted");
        // The first requests of all four.
        bench.proxy.fault_times(4, fault);
        for result in operations(&storage) {
            result.unwrap_or_else(|error| panic!("{kind:?} {fault:?}: {error}"));
        }
        bench.proxy.clear();
        assert_eq!(
            names(&storage, 0),
            [name(0, 1, 1), name(0, 3, 3)],
            "{fault:?}"
        );
        assert_eq!(get(&storage, name(0, 3, 3)), pattern(BYTES), "{fault:?}");
    }
}

#[test]
fn what_fails_once_is_not_noticed() {
    for kind in Kind::all() {
        fails_once(kind);
    }
}

/// What goes on failing is an error in time.
fn fails_on(fault: Fault<'_>) {
    let bench = Bench::new(Kind::SeaweedFs);
    bench.warm_up();
    let storage = bench.storage();
    put(&storage, name(0, 1, 1), &pattern(BYTES));
    bench.proxy.fault(fault);
    let started = Instant::now();
    let results = operations(&storage);
    let took = started.elapsed();
    assert!(took < IN_TIME, "{fault:?}: {took:?}");
    let affects = match fault {
        Fault::ResetUp(_) | Fault::StallUp(_) => [true, false, false, false],
        // An answer of 100 bytes comes whole, and a download gets on by 100 bytes at a time.
        Fault::ResetDown(_) | Fault::StallDown(_) | Fault::Truncate(_) => return,
        _ => [true; 4],
    };
    for (result, affected) in results.into_iter().zip(affects) {
        match (result, affected) {
            (
                Err(StorageError::Unreachable {
                    sent, operation, ..
                }),
                true,
            ) => {
                // Of what fits into the kernel's buffer nobody knows.
                let may_have_arrived = !matches!(fault, Fault::Refuse);
                assert!(!sent || may_have_arrived, "{fault:?}: {operation}");
                assert!(
                    !sent || operation != "list" && operation != "read",
                    "{operation}"
                );
                let is_known = matches!(fault, Fault::Mute) && operation == "write";
                assert!(sent || !is_known, "{fault:?}: the outcome is unknown");
            }
            (Err(error), true) => panic!("{fault:?}: {error:?}"),
            (result, false) => result.unwrap_or_else(|error| panic!("{fault:?}: {error}")),
            (Ok(()), true) => panic!("{fault:?} was not noticed"),
        }
    }
    bench.proxy.clear();
    bench.proxy.drop_connections();
    for result in operations(&storage) {
        result.unwrap_or_else(|error| panic!("after {fault:?}: {error}"));
    }
}

#[test]
fn a_server_that_is_away_is_an_error_in_time() {
    fails_on(Fault::Refuse);
    fails_on(Fault::Reset);
    fails_on(Fault::ResetUp(100_000));
}

#[test]
fn silence_at_the_start_is_an_error_in_time() {
    fails_on(Fault::Stall);
}

#[test]
fn silence_in_the_middle_is_an_error_in_time() {
    fails_on(Fault::StallUp(100_000));
}

#[test]
fn silence_at_the_end_is_an_error_in_time() {
    fails_on(Fault::Mute);
}

#[test]
fn an_answer_that_never_ends_is_an_error_in_time() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    put(&storage, name(0, 1, 1), b"x");
    for fault in [
        Fault::StallDown(20),
        Fault::ResetDown(20),
        Fault::Truncate(20),
    ] {
        bench.proxy.fault(fault);
        let started = Instant::now();
        let error = storage.list(Level::SYNC).unwrap_err();
        assert!(
            matches!(error, StorageError::Unreachable { sent: false, .. }),
            "{error:?}"
        );
        assert!(started.elapsed() < IN_TIME, "{fault:?}");
        bench.proxy.clear();
    }
}

#[test]
fn a_server_with_tls_that_is_silent_is_an_error_in_time() {
    let bench = Bench::with(Kind::SeaweedFs, Tls::On, impatient());
    let storage = bench.storage();
    for fault in [
        Fault::Stall,
        Fault::StallDown(500),
        Fault::Mute,
        Fault::Reset,
        Fault::Truncate(500),
    ] {
        bench.proxy.drop_connections();
        bench.proxy.fault(fault);
        let started = Instant::now();
        let error = store(&storage, name(0, 1, 1), b"x").unwrap_err();
        assert!(
            !error.outcome_unknown(),
            "{fault:?}: there never was a connection: {error}"
        );
        assert!(started.elapsed() < IN_TIME, "{fault:?}: {error}");
        bench.proxy.clear();
    }
    put(&storage, name(0, 1, 1), b"x");
}

#[test]
fn an_unknown_host_is_named_as_such() {
    let bench = Bench::new(Kind::SeaweedFs);
    let endpoint = Some("http://no-such-host.invalid:9000".to_owned());
    let storage = open(
        Settings {
            endpoint,
            ..bench.settings.clone()
        },
        &network(),
    );
    let started = Instant::now();
    let error = storage.list(Level::SYNC).unwrap_err();
    assert!(started.elapsed() < IN_TIME);
    assert!(
        matches!(error, StorageError::Unreachable { sent: false, .. }),
        "{error:?}"
    );
    let text = error.to_string();
    for part in [
        "cannot list s3://walbrook/test-",
        " on http://no-such-host.invalid:9000: ",
        "lookup",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
