//! Damaged replicas of Litestream 0.3: what comes out is the state that was asked for, or nothing and a reason that names
//! a file.

use std::collections::BTreeSet;

use super::{Kept, Vector, restored};
use walbrook::restore::{Class, Fault, Problem, RestoreError, Target};
use walbrook::storage::{GenerationFile, GenerationPart};

/// The vectors that hold WAL.
fn vectors() -> Vec<Vector> {
    ["everyday", "pages_512", "pages_65536"]
        .map(Vector::named)
        .into()
}

/// Whether a restore of the newest state needs this file, with the snapshot that it takes.
fn is_planned(storage: &Kept, file: &GenerationFile) -> bool {
    let snapshots = storage
        .files
        .iter()
        .filter(|(file, _)| file.name.is_snapshot());
    let base = snapshots.max_by_key(|(file, _)| file.created).unwrap().0;
    file.name == base.name
        || !file.name.is_snapshot()
            && file.name.generation == base.name.generation
            && file.name.index >= base.name.index
}

/// Restores the newest state of a replica in which `damaged` is what its name says. Gives whether it was restored.
fn right_or_nothing(storage: &Kept, newest: &str, damaged: &GenerationFile, how: &str) -> bool {
    let context = format!("{how} {}", damaged.name);
    match restored(storage, Target::Latest) {
        Ok(digest) => {
            assert_eq!(digest, newest, "{context}");
            true
        }
        Err(error) => {
            assert!(is_planned(storage, damaged), "{context}: {error}");
            let text = error.to_string();
            assert!(
                matches!(error, RestoreError::Generation(_)),
                "{context}: {text}"
            );
            assert_eq!(error.class(), Class::Damaged, "{context}");
            assert!(
                text.contains(&damaged.name.to_string()),
                "{context}: {text}"
            );
            assert!(text.contains("nothing was restored"), "{context}: {text}");
            false
        }
    }
}

#[test]
fn files_cut_short_and_bits_flipped() {
    let (mut refused, mut spared, mut around) = (0, 0, 0);
    for vector in vectors() {
        let (storage, newest) = (vector.kept(), vector.newest());
        for (at, (file, bytes)) in storage.files.iter().enumerate() {
            let length = bytes.len();
            let cuts = [0, 1, 4, 7, 12, length / 2, length - 5, length - 1];
            let flips = [0, 4, 5, 6, 8, 20, length / 3, length - 7, length - 1];
            let cut = cuts.map(|cut| bytes[..cut].to_vec());
            let flipped = flips.map(|flip| {
                let mut bytes = bytes.clone();
                bytes[flip] ^= 0x10;
                bytes
            });
            for bytes in cut.into_iter().chain(flipped) {
                let storage = storage.with(at, bytes);
                match right_or_nothing(&storage, &newest, file, "damaged") {
                    false => refused += 1,
                    true if is_planned(&storage, file) => around += 1,
                    true => spared += 1,
                }
            }
        }
    }
    // Around the newest of three snapshots, and no more.
    assert_eq!(around, 17);
    assert!(refused > 500 && spared > 500, "{refused} {spared}");
}

#[test]
fn missing_files() {
    let (mut refused, mut unseen) = (0, Vec::new());
    for vector in vectors() {
        let (storage, newest) = (vector.kept(), vector.newest());
        let known: BTreeSet<&String> = vector
            .states
            .iter()
            .filter_map(|(_, it)| it.as_ref())
            .collect();
        for (at, (file, _)) in storage.files.iter().enumerate() {
            let of_generation = |other: &&(GenerationFile, Vec<u8>)| {
                other.0.name.generation == file.name.generation && !other.0.name.is_snapshot()
            };
            let later = || {
                storage
                    .files
                    .iter()
                    .filter(of_generation)
                    .filter(|(it, _)| it.name > file.name)
            };
            match restored(&storage.without(at), Target::Latest) {
                Ok(digest) if digest == newest => {}
                // It is a replica that ends before it, or one of the generation before.
                Ok(digest) if later().count() == 0 || file.name.is_snapshot() => {
                    assert!(known.contains(&digest), "{}", file.name);
                }
                // The end of a WAL: that it was longer stands nowhere.
                Ok(_) => {
                    assert!(
                        later().all(|(it, _)| it.name.index > file.name.index),
                        "{}",
                        file.name
                    );
                    unseen.push(file.name);
                }
                Err(RestoreError::Generation(fault)) => {
                    assert_missing(&fault, file);
                    refused += 1;
                }
                Err(RestoreError::Unsound { .. }) => refused += 1,
                // It was the only snapshot.
                Err(error) => assert!(file.name.is_snapshot(), "{}: {error}", file.name),
            }
        }
    }
    assert!(refused >= 40 && unseen.len() <= 2, "{refused} {unseen:?}");
}

/// What is missing is the very segment that is gone.
fn assert_missing(fault: &Fault, gone: &GenerationFile) {
    let Problem::Missing { index, offset } = fault.problem else {
        panic!("{fault}");
    };
    let GenerationPart::Segment {
        offset: of_gone, ..
    } = gone.name.part
    else {
        panic!("{fault}: {}", gone.name);
    };
    assert_eq!((index, offset), (gone.name.index, of_gone), "{fault}");
}

/// As of a time before the files behind a hole it is still seen: what is missing may be of before that time.
#[test]
fn missing_files_before_a_time() {
    let vector = Vector::named("pages_512");
    let storage = vector.kept();
    let mut refused = 0;
    for (at, (file, _)) in storage.files.iter().enumerate() {
        let of_wal =
            |it: &&GenerationFile| !it.name.is_snapshot() && it.name.index == file.name.index;
        let of_wal = storage.files.iter().map(|(file, _)| file).filter(of_wal);
        // That the end of a WAL is missing stands nowhere.
        if file.name.is_snapshot() || of_wal.map(|it| it.name).max() == Some(file.name) {
            continue;
        }
        let damaged = storage.without(at);
        for (time, expected) in &vector.states {
            let Some(time) = time else { continue };
            match restored(&damaged, Target::AsOf(*time)) {
                Ok(digest) => assert_eq!(Some(&digest), expected.as_ref(), "{} {time}", file.name),
                Err(error) => {
                    // Whether the beginning of the WAL came before the snapshot or after it, nobody knows.
                    let is_first = file.name.to_string().ends_with("_00000000.wal.lz4");
                    assert!(
                        *time >= file.created || is_first,
                        "{} {time}: {error}",
                        file.name
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn the_state_before_the_damage_is_named_and_can_be_had() {
    let vector = Vector::named("pages_512");
    let storage = vector.kept();
    let mut had = 0;
    for (at, (file, _)) in storage.files.iter().enumerate() {
        if file.name.is_snapshot() {
            continue;
        }
        for damaged in [storage.with(at, b"no LZ4".to_vec()), storage.without(at)] {
            let Err(RestoreError::Generation(fault)) = restored(&damaged, Target::Latest) else {
                continue;
            };
            let Some(before) = fault.before else {
                // What is before it is a snapshot.
                assert!(
                    file.name.index == 0 && fault.to_string().ends_with("nothing was restored")
                );
                continue;
            };
            assert!(fault.to_string().contains(&format!("-timestamp {before}")));
            let (_, expected) = vector
                .states
                .iter()
                .find(|(time, _)| *time == Some(before))
                .unwrap();
            let digest = restored(&damaged, Target::Before(before));
            assert_eq!(&digest.ok(), expected, "{}", file.name);
            had += 1;
        }
    }
    assert!(had > 40, "{had}");
}

/// Each file stays whole, and stands under another's name. (Of snapshots this cannot be seen.)
#[test]
fn files_in_each_others_places() {
    let mut refused = 0;
    for vector in vectors() {
        let (storage, newest) = (vector.kept(), vector.newest());
        let is_segment = |at: &usize| {
            let (file, _) = &storage.files[*at];
            !file.name.is_snapshot() && is_planned(&storage, file)
        };
        let segments: Vec<usize> = (0..storage.files.len()).filter(is_segment).collect();
        for (place, &one) in segments.iter().enumerate() {
            for &other in &segments[place + 1..] {
                let bytes = |at: usize| storage.files[at].1.clone();
                if bytes(one) == bytes(other) {
                    continue;
                }
                let swapped = storage.with(one, bytes(other)).with(other, bytes(one));
                let result = restored(&swapped, Target::Latest);
                let error = result.map(|digest| assert_eq!(digest, newest)).unwrap_err();
                assert_eq!(error.class(), Class::Damaged, "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

/// A WAL that stands where the one before it should be, whole.
#[test]
fn whole_wals_in_each_others_places() {
    let vector = Vector::named("pages_512");
    let mut storage = vector.kept();
    let indexes: BTreeSet<u32> = storage
        .files
        .iter()
        .map(|(file, _)| file.name.index)
        .collect();
    assert_eq!(indexes.len(), 3);
    for (one, other) in [(0, 1), (1, 2), (0, 2)] {
        let swap = |storage: &mut Kept| {
            for (file, _) in storage
                .files
                .iter_mut()
                .filter(|(file, _)| !file.name.is_snapshot())
            {
                let index = &mut file.name.index;
                *index = if *index == one {
                    other
                } else if *index == other {
                    one
                } else {
                    *index
                };
            }
        };
        swap(&mut storage);
        let error = restored(&storage, Target::Latest).unwrap_err();
        assert!(error.to_string().contains("salts"), "{error}");
        swap(&mut storage);
    }
    assert_eq!(restored(&storage, Target::Latest).unwrap(), vector.newest());
    // And one that is left out.
    let kept = |file: &GenerationFile| file.name.is_snapshot() || file.name.index != 1;
    storage.files.retain(|(file, _)| kept(file));
    for (file, _) in &mut storage.files {
        file.name.index = file.name.index.min(1);
    }
    let error = restored(&storage, Target::Latest).unwrap_err();
    assert!(error.to_string().contains("salts"), "{error}");
}
