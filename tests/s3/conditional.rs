//! Names that are taken: two writers, answers that were lost, uploads that arrive late, servers that heed no
//! conditions.

use std::time::Duration;

use walbrook::storage::s3::S3Storage;
use walbrook::storage::{Storage, StorageError};
use walbrook::units::Timestamp;

use super::{Bench, Known};
use crate::conformance::{get, name};
use crate::support::proxy::Fault;
use crate::support::s3::Kind;

fn write(storage: &S3Storage, id: u64, bytes: &[u8]) -> Result<u64, StorageError> {
    let created = Timestamp::from_millis(id as i64 * 1000);
    storage.write(name(0, 1, 1), created, &Known(id, bytes))
}

#[test]
fn a_second_writer_is_found_out() {
    let bench = Bench::new(Kind::SeaweedFs);
    let (one, other) = (bench.storage().exclusive(), bench.storage().exclusive());
    write(&one, 1, b"one").unwrap();
    let error = write(&other, 2, b"other").unwrap_err();
    assert!(matches!(error, StorageError::InUse { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("another process writes to this replica"),
        "{error}"
    );
    assert_eq!(get(&one, name(0, 1, 1)), b"one");
    // The same after its own restart.
    assert!(matches!(
        write(&bench.storage().exclusive(), 1, b"one"),
        Ok(3)
    ));
    assert!(!one.late_writes_replace() || !other.late_writes_replace());
}

#[test]
fn an_answer_that_was_lost_does_not_matter() {
    for fault in [Fault::Mute, Fault::ResetDown(0)] {
        let bench = Bench::new(Kind::SeaweedFs);
        let storage = bench.storage().exclusive();
        bench.proxy.fault_on("^PUT", 1, fault);
        assert_eq!(write(&storage, 1, b"content").unwrap(), 7, "{fault:?}");
        assert_eq!(get(&storage, name(0, 1, 1)), b"content");
    }
}

/// A storage on which an upload has arrived, or will, of which it knows nothing.
fn with_outcome_unknown(bench: &Bench, fault: Fault<'_>) -> S3Storage {
    let storage = bench.storage().exclusive();
    bench.proxy.fault_on("^(PUT|HEAD)", 0, fault);
    let error = write(&storage, 1, b"first").unwrap_err();
    assert!(error.outcome_unknown(), "{error:?}");
    bench.proxy.clear();
    storage
}

#[test]
fn the_same_content_again_is_known() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = with_outcome_unknown(&bench, Fault::Mute);
    assert_eq!(write(&storage, 1, b"first").unwrap(), 5);
    assert_eq!(get(&storage, name(0, 1, 1)), b"first");
    // From now on nothing is in doubt.
    let error = write(&storage, 2, b"second").unwrap_err();
    assert!(matches!(error, StorageError::InUse { .. }), "{error:?}");
}

#[test]
fn an_earlier_content_that_has_arrived_stays() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = with_outcome_unknown(&bench, Fault::Mute);
    match write(&storage, 2, b"second").unwrap_err() {
        StorageError::Arrived { created, .. } => assert_eq!(created.millis(), 1000),
        error => panic!("{error:?}"),
    }
    assert_eq!(get(&storage, name(0, 1, 1)), b"first");
}

#[test]
fn what_arrives_late_replaces_nothing() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = with_outcome_unknown(&bench, Fault::LateReset);
    assert_eq!(write(&storage, 2, b"second").unwrap(), 6);
    let late = bench.proxy.deliver_late();
    let puts: Vec<u16> = late
        .iter()
        .filter(|(line, _)| line.starts_with("PUT"))
        .map(|(_, status)| *status)
        .collect();
    assert_eq!(puts, [412; 4], "{late:?}");
    assert_eq!(get(&storage, name(0, 1, 1)), b"second");
    assert!(!storage.late_writes_replace());
}

#[test]
fn whether_a_server_heeds_conditions_is_found_out() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        assert!(
            bench.storage().late_writes_replace(),
            "nothing is known yet"
        );
        let storage = with_outcome_unknown(&bench, Fault::LateReset);
        write(&storage, 2, b"second").unwrap();
        bench.proxy.deliver_late();
        let content = get(&storage, name(0, 1, 1));
        let replaced = content == b"first";
        assert!(replaced || content == b"second");
        assert_eq!(storage.late_writes_replace(), replaced, "{kind:?}");
        assert_eq!(kind == Kind::SeaweedFs, !replaced, "{kind:?}");
        let keys = bench.keys();
        assert!(keys.len() == 1, "what was asked with is removed: {keys:?}");
    }
}

#[test]
fn a_server_that_does_not_know_conditions_is_written_to_without() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage().exclusive();
    let unknown = Fault::Error {
        status: 501,
        code: "NotImplemented",
        retry_after: 0,
    };
    bench.proxy.fault_times(1, unknown);
    write(&storage, 1, b"one").unwrap();
    write(&storage, 2, b"two").unwrap();
    assert_eq!(get(&storage, name(0, 1, 1)), b"two");
    assert!(storage.late_writes_replace());
    assert_eq!(bench.proxy.counts().put, 3);
}

#[test]
fn two_that_write_at_the_same_time_are_not_both_told_that_it_worked() {
    let bench = Bench::new(Kind::SeaweedFs);
    for _ in 0..20 {
        let storages = [1, 2, 3].map(|id| (id, bench.storage().exclusive()));
        let results = std::thread::scope(|scope| {
            let threads = storages.each_ref().map(|(id, storage)| {
                scope.spawn(move || {
                    write(storage, *id, &[*id as u8; 1000])
                        .is_ok()
                        .then_some(*id)
                })
            });
            threads.map(|thread| thread.join().unwrap())
        });
        let winners: Vec<u64> = results.into_iter().flatten().collect();
        assert!(winners.len() <= 1, "{winners:?}");
        if let [winner] = winners[..] {
            assert_eq!(get(&storages[0].1, name(0, 1, 1)), [winner as u8; 1000]);
        }
        bench.storage().delete(&[name(0, 1, 1)]).unwrap();
    }
}

#[test]
fn of_two_writers_the_earlier_is_told_where_conditions_are_not_heeded() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let writer = || {
            let storage = bench.storage().exclusive();
            storage.with_claim_believed_for(Duration::from_millis(500))
        };
        let (one, other) = (writer(), writer());
        one.claim(1).unwrap();
        write(&one, 1, b"one").unwrap();
        other.claim(2).unwrap();
        let asked = || (bench.proxy.counts().put, bench.proxy.counts().get);
        let before = asked();
        one.claim(1).unwrap();
        assert_eq!(asked(), before, "{kind:?}: not each time");
        std::thread::sleep(Duration::from_millis(600));
        match (kind, one.claim(1)) {
            (Kind::SeaweedFs, kept) => kept.unwrap(),
            (_, Err(StorageError::InUse { by: Some(by), .. })) => assert_eq!(by.writer, 2),
            (_, kept) => panic!("{kind:?}: {kept:?}"),
        }
        other.claim(2).unwrap();
        assert_eq!(
            other.list_all().unwrap().len(),
            1,
            "{kind:?}: it is no file"
        );
        other.delete_all().unwrap();
        let left = |key: &String| !key.ends_with('/');
        assert!(
            !bench.keys().iter().any(left),
            "{kind:?}: {:?}",
            bench.keys()
        );
    }
}
