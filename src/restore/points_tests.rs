//! The points against the planner, one by one, on random listings; and that many files take no longer than they must.

use proptest::prelude::*;

use super::*;
use crate::restore::{Target, plan};
use crate::storage::FileName;
use crate::units::TxidRange;

fn file(level: u8, min: u64, max: u64, size: u64) -> FileInfo {
    let txid = |number| Txid::new(number).unwrap();
    FileInfo {
        name: FileName {
            level: Level::new(level).unwrap(),
            txids: TxidRange::new(txid(min), txid(max)).unwrap(),
        },
        size,
        created: Timestamp::from_millis(max as i64 * 1000),
    }
}

fn txids(history: &History) -> Vec<u64> {
    history.points.iter().map(|it| it.txid().value()).collect()
}

fn holes(history: &History) -> Vec<(u64, u64, usize)> {
    let number = |txid: Option<Txid>| txid.map_or(0, Txid::value);
    let holes = history.holes.iter();
    holes
        .map(|it| (number(it.after), number(it.before), it.files))
        .collect()
}

#[test]
fn what_was_merged_is_no_hole_and_what_is_missing_is() {
    let merged = [
        file(9, 1, 1, 500),
        file(1, 2, 9, 80),
        file(0, 9, 9, 10),
        file(0, 10, 10, 10),
        file(0, 12, 12, 10),
        file(2, 12, 14, 40),
        file(9, 1, 20, 600),
        file(0, 21, 21, 10),
        file(0, 23, 25, 10),
    ];
    let found = history(&merged);
    assert_eq!(txids(&found), [1, 9, 10, 20, 21]);
    assert_eq!(holes(&found), [(10, 20, 2), (21, 0, 1)]);
    let costs: Vec<_> = found.points.iter().map(|it| (it.files, it.bytes)).collect();
    assert_eq!(costs, [(1, 500), (2, 580), (3, 590), (1, 600), (2, 610)]);

    // The snapshot changes nothing where files lead across it.
    let crossed = [
        file(9, 1, 1, 9),
        file(2, 2, 30, 9),
        file(9, 1, 20, 9),
        file(0, 21, 21, 9),
    ];
    let found = history(&crossed);
    assert_eq!(
        (txids(&found), holes(&found)),
        (vec![1, 20, 21, 30], vec![])
    );
    let kept_by_the_calendar = [file(9, 1, 5, 9), file(9, 1, 6, 9), file(9, 1, 30, 9)];
    assert_eq!(holes(&history(&kept_by_the_calendar)), [(6, 30, 0)]);
    assert_eq!(holes(&history(&[file(0, 2, 3, 9)])), [(0, 0, 1)]);
    assert_eq!(history(&[]), History::default());
}

fn listing() -> impl Strategy<Value = Vec<FileInfo>> {
    let any_file = (0u8..=9, 1u64..40, 0u64..8, 1u64..500);
    let file = any_file.prop_map(|(level, min, more, size)| match level {
        // Most of them snapshots, as they are.
        9 if size % 8 > 0 => file(9, 1, min + more, size),
        0..=3 if size % 2 == 0 => file(level, min, min, size),
        level => file(level, min, min + more, size),
    });
    proptest::collection::vec(file, 0..60).prop_map(|mut files| {
        files.sort();
        files.dedup_by_key(|file| file.name);
        files
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn points_are_what_the_planner_reaches(files in listing().prop_shuffle()) {
        let found = history(&files);
        let mut points = found.points.iter().peekable();
        for number in 1..60 {
            let txid = Txid::new(number).unwrap();
            let point = points.next_if(|point| point.txid() == txid);
            match (plan(&files, Target::Txid(txid)), point) {
                (Ok(plan), Some(point)) => {
                    let expected = (plan.files.last(), plan.files.len(), plan.bytes);
                    let point = (Some(&point.last), point.files as usize, point.bytes);
                    prop_assert_eq!(point, expected);
                }
                (Err(_), None) => {}
                other => prop_assert!(false, "{} {:?}", txid, other),
            }
        }
        prop_assert_eq!(points.next(), None);
    }

    #[test]
    fn holes_are_where_no_file_leads_on(files in listing()) {
        let found = history(&files);
        let leads_on = |after: Txid, to: Txid| {
            let increments = files.iter().filter(|file| file.name.level != Level::SNAPSHOT);
            let mut joining = increments.filter(|file| file.name.txids.continues(Some(after)));
            to.value() == after.value() + 1 || joining.any(|file| file.name.txids.max() >= to)
        };
        let pairs = found.points.windows(2).map(|pair| (pair[0].txid(), pair[1].txid()));
        let expected: Vec<_> = pairs.filter(|(a, b)| !leads_on(*a, *b)).collect();
        let between = found.holes.iter().filter_map(|hole| hole.after.zip(hole.before));
        prop_assert_eq!(between.collect::<Vec<_>>(), expected);
        let latest = plan(&files, Target::Latest);
        prop_assert_eq!(
            latest.is_err() && !files.is_empty(),
            found.points.is_empty() && !files.is_empty()
                || found.holes.iter().any(|hole| hole.before.is_none())
        );
    }
}

#[test]
fn a_hundred_thousand_files() {
    let mut files: Vec<FileInfo> = (2..=90_000)
        .map(|txid| file(0, txid, txid, 200 + txid * 7919 % 1000))
        .collect();
    files.extend(
        (2..90_000)
            .step_by(9)
            .map(|min| file(1, min, (min + 8).min(90_000), 3000)),
    );
    files.extend(
        (1..90_000)
            .step_by(1000)
            .map(|max| file(9, 1, max, 1 << 20)),
    );
    let start = std::time::Instant::now();
    let found = history(&files);
    assert_eq!(found.points.len(), 90_000);
    let newest = Target::Txid(Txid::new(90_000).unwrap());
    let bytes = plan(&files, newest).unwrap().bytes;
    assert_eq!(found.points.last().unwrap().bytes, bytes);
    println!("{:?}", start.elapsed());
    // Some 200 ms in a debug build; a plan for each point would take hours.
    assert!(start.elapsed().as_secs() < 5);
}
