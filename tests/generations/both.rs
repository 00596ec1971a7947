//! Replicas that Litestream 0.3 began and 0.5, or we, went on with: which of the two is restored from.

use std::time::Duration;

use super::{Kept, Vector};
use crate::support::memory::{Memory, ltx, name};
use crate::support::scratch::Scratch;
use walbrook::restore::{Candidate, Chosen, Options, Outcome, RestoreError, Target};
use walbrook::units::{Timestamp, Txid};

/// The vector, whose files came one each ten seconds, with LTX files of two states beside it: a snapshot of the first
/// time, and one more file of the second; both in seconds after the vector began.
fn both(snapshot: i64, sync: i64) -> (Kept, impl Fn(i64) -> Timestamp) {
    let vector = Vector::named("pages_512");
    let begin = vector.files[0].1.millis();
    let at = move |second: i64| Timestamp::from_millis(begin + second * 1000);
    let (one, two) = (name(9, 1, 1), name(0, 2, 2));
    let file = |name: walbrook::storage::FileName| ltx(name.txids, 1, &[(1, 7)]);
    let ltx = Memory::holding([
        (one, at(snapshot).millis(), file(one)),
        (two, at(sync).millis(), file(two)),
    ]);
    (
        Kept {
            ltx,
            ..vector.kept()
        },
        at,
    )
}

/// The time of the state, and whether it is of Litestream 0.3.
fn chosen(storage: &Kept, target: Target) -> Result<(Timestamp, bool), RestoreError> {
    let candidate = Candidate::find(storage, target)?;
    Ok(match candidate.plan() {
        Chosen::Ltx(plan) => (plan.files.last().unwrap().created, false),
        Chosen::Generation(plan) => (plan.last().created, true),
    })
}

#[test]
fn the_newer_one_is_taken() {
    // The last file of Litestream 0.3 is of second 240.
    for (sync, is_old) in [(239, true), (240, false), (500, false)] {
        let (storage, at) = both(100, sync);
        let time = if is_old { at(240) } else { at(sync) };
        assert_eq!(
            chosen(&storage, Target::Latest).unwrap(),
            (time, is_old),
            "{sync}"
        );
    }
}

#[test]
fn of_a_time_the_one_with_the_newer_snapshot_before_it_is_taken() {
    let (storage, at) = both(100, 300);
    // The only snapshot of Litestream 0.3 is of second 0.
    for (second, time, is_old) in [
        (0, 0, true),
        (99, 90, true),
        (100, 100, true),
        (101, 100, false),
        (299, 100, false),
    ] {
        for target in [Target::Before(at(second)), Target::AsOf(at(second))] {
            assert_eq!(
                chosen(&storage, target).unwrap(),
                (at(time), is_old),
                "{target:?}"
            );
        }
    }
    assert_eq!(
        chosen(&storage, Target::AsOf(at(301))).unwrap(),
        (at(300), false)
    );
    let outside = [
        Target::Before(at(301)),
        Target::AsOf(at(-1)),
        Target::Before(at(-1)),
    ];
    for target in outside {
        assert!(chosen(&storage, target).is_err(), "{target:?}");
    }
    // LTX files that begin later do not narrow what can be asked for, nor do older ones.
    let (storage, at) = both(1000, 1001);
    assert_eq!(
        chosen(&storage, Target::Before(at(500))).unwrap(),
        (at(240), true)
    );
    let (storage, at) = both(-200, -100);
    assert_eq!(
        chosen(&storage, Target::Before(at(-150))).unwrap(),
        (at(-200), false)
    );
    assert_eq!(
        chosen(&storage, Target::Before(at(33))).unwrap(),
        (at(30), true)
    );
}

#[test]
fn txids_and_copies_that_follow_are_of_ltx_files() {
    let (storage, at) = both(-200, -100);
    let txid = Target::Txid(Txid::new(2).unwrap());
    assert_eq!(chosen(&storage, txid).unwrap(), (at(-100), false));
    let candidate = Candidate::find(&storage, Target::Latest).unwrap();
    assert!(matches!(candidate.plan(), Chosen::Generation(_)));
    let scratch = Scratch::in_memory();
    let options = Options {
        is_followed: true,
        pauses: vec![Duration::ZERO],
        ..Options::default()
    };
    let outcome = candidate.restore(&scratch.path().join("app.db"), &options, &mut |_| ());
    assert!(
        matches!(outcome, Ok(Outcome::Restored(report)) if report.txid.value() == 2),
        "{outcome:?}"
    );
}
