//! The states that Litestream 0.3 restores, byte for byte.

use super::{Vector, restored};
use crate::support::scratch::Scratch;
use walbrook::restore::{PlanError, Problem, RestoreError, Target};
use walbrook::storage::Storage;
use walbrook::units::Timestamp;

#[test]
fn every_state_litestream_restores() {
    let mut states = 0;
    for vector in Vector::all() {
        let scratch = Scratch::in_memory();
        let storage = vector.plant(scratch.path());
        for (time, expected) in &vector.states {
            let targets = match time {
                None => vec![Target::Latest],
                // It means the same all the time until the next file.
                Some(time) => vec![
                    Target::Before(*time),
                    Target::AsOf(*time),
                    Target::AsOf(Timestamp::from_millis(time.millis() + 9_999)),
                ],
            };
            for target in targets {
                let result = restored(&storage, target);
                match (result, expected) {
                    (Ok(digest), Some(expected)) => {
                        assert_eq!(&digest, expected, "{} {target:?}", vector.name);
                        states += 1;
                    }
                    (Err(_), None) => assert_eq!(vector.name, "encrypted"),
                    (result, _) => panic!("{} {target:?}: {result:?}", vector.name),
                }
            }
        }
    }
    assert!(states > 290, "{states}");
}

#[test]
fn times_outside_of_the_window_are_refused_and_later_ones_only_where_that_is_a_mistake() {
    let vector = Vector::named("everyday");
    let storage = vector.kept();
    let (first, last) = (vector.files[0].1, vector.files.last().unwrap().1);
    let early = Timestamp::from_millis(first.millis() - 1);
    let late = Timestamp::from_millis(last.millis() + 1);
    for target in [
        Target::Before(early),
        Target::AsOf(early),
        Target::Before(late),
    ] {
        let result = restored(&storage, target);
        assert!(
            matches!(result, Err(RestoreError::Plan(PlanError::OutsideWindow { oldest, newest, .. }))
                if oldest == first && newest == last),
            "{target:?}: {result:?}"
        );
    }
    assert_eq!(
        restored(&storage, Target::AsOf(late)).unwrap(),
        vector.newest()
    );
}

/// After a copy without them, times say nothing; after one in which only the order is lost, they mislead.
#[test]
fn files_that_came_in_another_order_lead_to_the_newest_state_all_the_same() {
    let vector = Vector::named("pages_512");
    let mut storage = vector.kept();
    for (place, (file, _)) in storage.files.iter_mut().enumerate() {
        file.created = Timestamp::from_millis(1_000_000 - place as i64 % 7);
    }
    assert_eq!(restored(&storage, Target::Latest).unwrap(), vector.newest());
}

#[test]
fn what_is_encrypted_says_so() {
    for target in [
        Target::Latest,
        Target::AsOf(Timestamp::from_millis(1_800_000_000_000)),
    ] {
        let error = restored(&Vector::named("encrypted").kept(), target).unwrap_err();
        assert!(
            matches!(&error, RestoreError::Generation(fault) if fault.problem == Problem::Encrypted),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.contains("age") && text.contains("Litestream 0.3"),
            "{text}"
        );
    }
}

#[test]
fn connections_that_fail_are_gone_on_with() {
    let vector = Vector::named("pages_65536");
    let storage = vector.kept();
    let most = storage
        .files
        .iter()
        .map(|(file, _)| file.size)
        .max()
        .unwrap();
    for after in [0, 3, 50, most as usize / 2] {
        for fails in [true, false] {
            storage.faults.lock().unwrap().extend([(after, fails); 3]);
            assert_eq!(restored(&storage, Target::Latest).unwrap(), vector.newest());
            assert!(storage.faults.lock().unwrap().is_empty());
        }
    }
    // One that fails each time does in the end.
    storage.faults.lock().unwrap().extend([(1, true); 50]);
    let error = restored(&storage, Target::Latest).unwrap_err();
    assert!(matches!(error, RestoreError::Storage(_)), "{error:?}");
    assert!(error.to_string().contains("generations/"), "{error}");
}

#[test]
fn a_database_larger_than_the_disk_is_refused_before_it_is_written() {
    let storage = Vector::named("only_a_snapshot").kept();
    // It says of itself that it has 4 TiB, which 16 GiB of LZ4 could hold.
    let mut page = vec![0; 4096];
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..18].copy_from_slice(&4096_u16.to_be_bytes());
    page[28..32].copy_from_slice(&(1_u32 << 30).to_be_bytes());
    let mut huge = storage.with(0, stored_frame(&page));
    let error = restored(&huge, Target::Latest).unwrap_err();
    assert!(matches!(error, RestoreError::Generation(_)), "{error}");
    huge.files[0].0.size = 16 << 30;
    let error = restored(&huge, Target::Latest).unwrap_err();
    assert!(
        matches!(error, RestoreError::NoSpace { needed, .. } if needed == 4 << 40),
        "{error}"
    );
}

/// An LZ4 frame with one block that is stored as it is.
fn stored_frame(content: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x04, 0x22, 0x4d, 0x18, 0x64, 0x70, 0xb9];
    frame.extend((content.len() as u32 | 1 << 31).to_le_bytes());
    frame.extend(content);
    frame
}

#[test]
fn a_directory_with_foreign_files_is_read_past_them() {
    let vector = Vector::named("only_a_snapshot");
    let scratch = Scratch::in_memory();
    let storage = vector.plant(scratch.path());
    let generations = scratch.path().join("generations");
    for path in ["README", "0123456789abcdef", "not-a-generation/wal"] {
        std::fs::create_dir_all(generations.join(path)).unwrap();
    }
    std::fs::write(generations.join("file"), "").unwrap();
    assert_eq!(storage.list_generations().unwrap().len(), 1);
    assert_eq!(restored(&storage, Target::Latest).unwrap(), vector.newest());
}
