//! The planner against Litestream's own procedure, which says what is reachable, and against plain relaxation
//! over all positions, which says what is cheapest: on every small set of files, then on random large ones.

use super::*;
use crate::storage::FileName;

/// Litestream's way: from the newest snapshot, always the file that leads furthest.
fn greedy(files: &[FileInfo], target: Target) -> Result<Vec<FileInfo>, &'static str> {
    if let Target::Before(time) = target {
        let inside =
            files.iter().any(|f| f.created <= time) && files.iter().any(|f| f.created >= time);
        if !inside {
            return Err("outside");
        }
    }
    let eligible: Vec<&FileInfo> = files
        .iter()
        .filter(|file| match target {
            Target::Latest => true,
            Target::Txid(txid) => file.name.txids.max() <= txid,
            Target::Before(time) | Target::AsOf(time) => file.created < time,
        })
        .collect();
    let mut chain = Vec::new();
    let mut end = 0;
    let snapshots = eligible
        .iter()
        .filter(|file| file.name.level == Level::SNAPSHOT);
    if let Some(base) = snapshots.max_by_key(|file| file.name.txids.max()) {
        chain.push(**base);
        end = base.name.txids.max().value();
    }
    let levels = || {
        eligible
            .iter()
            .filter(|file| file.name.level != Level::SNAPSHOT)
    };
    loop {
        let range =
            |file: &FileInfo| (file.name.txids.min().value(), file.name.txids.max().value());
        let fits = levels().filter(|file| range(file).0 <= end + 1 && range(file).1 > end);
        let best = fits.min_by_key(|file| {
            let (min, max) = range(file);
            (
                u64::MAX - max,
                min,
                9 - file.name.level.value(),
                file.created,
            )
        });
        let Some(best) = best else { break };
        chain.push(**best);
        end = range(best).1;
    }
    if target == Target::Latest && levels().any(|f| f.name.txids.min().value() > end + 1) {
        return Err("gap");
    }
    if chain.is_empty() || matches!(target, Target::Txid(txid) if txid.value() != end) {
        return Err("not available");
    }
    Ok(chain)
}

/// The fewest bytes of any chain from the newest snapshot to `end`, by relaxing until nothing changes.
fn fewest(files: &[FileInfo], target: Target, end: u64) -> u64 {
    let eligible = files.iter().filter(|file| match target {
        Target::Latest => true,
        Target::Txid(txid) => file.name.txids.max() <= txid,
        Target::Before(time) | Target::AsOf(time) => file.created < time,
    });
    let (bases, others): (Vec<&FileInfo>, Vec<&FileInfo>) =
        eligible.partition(|file| file.name.level == Level::SNAPSHOT);
    let mut cost = vec![u64::MAX; end as usize + 1];
    let base = bases.iter().max_by_key(|file| file.name.txids.max());
    let start = base.map_or(0, |file| file.name.txids.max().value());
    cost[start as usize] = base.map_or(0, |file| file.size);
    loop {
        let before = cost.clone();
        for file in &others {
            let (min, max) = (file.name.txids.min().value(), file.name.txids.max().value());
            if max <= start || max > end {
                continue;
            }
            for from in (min - 1).max(start)..max {
                let so_far = if min == 1 { 0 } else { cost[from as usize] };
                let total = so_far.saturating_add(file.size);
                cost[max as usize] = cost[max as usize].min(total);
            }
        }
        if cost == before {
            return cost[end as usize];
        }
    }
}

fn file(level: u8, min: u64, max: u64, size: u64, created: i64) -> FileInfo {
    let txid = |number| Txid::new(number).unwrap();
    FileInfo {
        name: FileName {
            level: Level::new(level).unwrap(),
            txids: TxidRange::new(txid(min), txid(max)).unwrap(),
        },
        size,
        created: Timestamp::from_millis(created),
    }
}

fn check(files: &[FileInfo], target: Target, exactly: bool) {
    let (ours, theirs) = (plan(files, target), greedy(files, target));
    let (ours, theirs) = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => (ours, theirs),
        (Err(PlanError::Gap { .. }), Err("gap")) => return,
        (Err(PlanError::OutsideWindow { .. }), Err("outside")) => return,
        (Err(PlanError::Empty), Err(_)) if files.is_empty() => return,
        (
            Err(
                PlanError::NoBase | PlanError::BeforeAll { .. } | PlanError::TxidUnreachable { .. },
            ),
            Err("not available"),
        ) => return,
        (ours, theirs) => panic!("{files:?} {target:?}: {ours:?}, Litestream {theirs:?}"),
    };
    let end = theirs.last().unwrap().name.txids.max();
    assert_eq!(ours.txids, TxidRange::snapshot(end), "{files:?} {target:?}");
    let mut at = None;
    for file in &ours.files {
        assert!(files.contains(file));
        assert!(
            file.name.txids.continues(at),
            "{files:?} {target:?} {ours:?}"
        );
        at = Some(file.name.txids.max());
    }
    assert_eq!(at, Some(end));
    assert!(ours.files[0].name.txids.is_snapshot());
    assert_eq!(ours.bytes, sum(&ours.files));
    assert!(ours.bytes <= sum(&theirs), "{files:?} {target:?} {ours:?}");
    if theirs[0].name.level == Level::SNAPSHOT && ours.files[0] != theirs[0] {
        // Only a file that makes its base superfluous.
        assert!(ours.files[0].name.txids.max() > theirs[0].name.txids.max());
    }
    if exactly {
        assert_eq!(
            ours.bytes,
            fewest(files, target, end.value()),
            "{files:?} {target:?} {ours:?}"
        );
    }
}

/// A small generator of numbers that look random (SplitMix64), so that failures repeat.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

#[test]
fn every_small_set_of_files() {
    const LAST: u64 = 4;
    let ranges: Vec<(u64, u64)> = (1..=LAST)
        .flat_map(|a| (a..=LAST).map(move |b| (a, b)))
        .collect();
    let mut numbers = Numbers(1);
    for set in 0..1_u32 << (ranges.len() + LAST as usize) {
        let mut files: Vec<FileInfo> = Vec::new();
        for (bit, (min, max)) in ranges.iter().enumerate() {
            if set & (1 << bit) != 0 {
                let (level, size, time) = (numbers.below(9), numbers.below(6), numbers.below(5));
                files.push(file(level as u8, *min, *max, size, time as i64));
            }
        }
        for max in 1..=LAST {
            if set & (1 << (ranges.len() as u64 + max - 1)) != 0 {
                files.push(file(9, 1, max, numbers.below(9), numbers.below(5) as i64));
            }
        }
        check(&files, Target::Latest, true);
        for n in 1..=LAST + 1 {
            check(&files, Target::Txid(Txid::new(n).unwrap()), true);
            check(
                &files,
                Target::Before(Timestamp::from_millis(n as i64 - 1)),
                true,
            );
        }
    }
}

#[test]
fn every_set_of_ranges_of_five_txids() {
    let ranges: Vec<(u64, u64)> = (1..=5).flat_map(|a| (a..=5).map(move |b| (a, b))).collect();
    let mut numbers = Numbers(2);
    for set in 0..1_u32 << ranges.len() {
        let mut files: Vec<FileInfo> = Vec::new();
        for (bit, (min, max)) in ranges.iter().enumerate() {
            if set & (1 << bit) != 0 {
                files.push(file(
                    numbers.below(3) as u8,
                    *min,
                    *max,
                    numbers.below(20),
                    0,
                ));
            }
        }
        if numbers.below(2) == 0 {
            files.push(file(9, 1, 1 + numbers.below(5), 5, 0));
        }
        check(&files, Target::Latest, true);
        check(
            &files,
            Target::Txid(Txid::new(1 + numbers.below(5)).unwrap()),
            true,
        );
    }
}

#[test]
fn random_replicas() {
    let mut numbers = Numbers(3);
    for round in 0..3000 {
        let last = 1 + numbers.below(60);
        let mut files = Vec::new();
        for level in 0..=4 {
            let (mut min, longest) = (1 + numbers.below(3), 1 + 3 * level);
            while min <= last {
                let max = (min + numbers.below(longest)).min(last);
                if numbers.below(12) != 0 {
                    let size = 100 + numbers.below(1000) * (max - min + 1);
                    files.push(file(level as u8, min, max, size, max as i64 * 10));
                }
                min = max + 1;
            }
        }
        for _ in 0..numbers.below(3) {
            let max = 1 + numbers.below(last);
            files.push(file(9, 1, max, 5000, max as i64 * 10));
        }
        check(&files, Target::Latest, round % 10 == 0);
        for _ in 0..5 {
            let txid = 1 + numbers.below(last);
            check(
                &files,
                Target::Txid(Txid::new(txid).unwrap()),
                round % 10 == 0,
            );
            let time = Timestamp::from_millis((txid * 10 + numbers.below(3)) as i64);
            check(&files, Target::Before(time), round % 10 == 0);
        }
    }
}

#[test]
fn a_hundred_thousand_files() {
    let mut numbers = Numbers(4);
    let mut files: Vec<FileInfo> = (2..=90_000)
        .map(|txid| file(0, txid, txid, 200 + numbers.below(1000), txid as i64))
        .collect();
    let merged = (2..90_000_u64).step_by(9);
    files.extend(merged.map(|min| file(1, min, (min + 8).min(90_000), 3000, min as i64 + 8)));
    files.push(file(9, 1, 1, 1 << 20, 0));
    let start = std::time::Instant::now();
    let plan = plan(&files, Target::Latest).unwrap();
    assert_eq!(plan.txids.max(), Txid::new(90_000).unwrap());
    assert!(plan.bytes <= sum(&greedy_by_length(&files)));
    // Some 100 ms in a debug build; anything quadratic would take minutes.
    assert!(start.elapsed().as_secs() < 5);
}

/// What Litestream takes of that replica: the base and all of level 1.
fn greedy_by_length(files: &[FileInfo]) -> Vec<FileInfo> {
    files
        .iter()
        .filter(|file| file.name.level != Level::SYNC)
        .copied()
        .collect()
}

#[test]
fn the_last_txids_of_all() {
    let files = [
        file(9, 1, u64::MAX - 1, 1, 0),
        file(0, u64::MAX, u64::MAX, 1, 0),
    ];
    let plan = plan(&files, Target::Latest).unwrap();
    assert_eq!(plan.files, files);
    let only = super::plan(&[file(9, 1, u64::MAX, 1, 0)], Target::Latest).unwrap();
    assert_eq!(only.txids.max().value(), u64::MAX);
}

#[test]
fn messages_name_the_way_on() {
    let files = [file(9, 1, 3, 1, 1000), file(0, 5, 5, 1, 5000)];
    let error = |target| plan(&files, target).unwrap_err().to_string();
    assert!(error(Target::Latest).contains("-txid 0000000000000003"));
    let message = error(Target::Txid(Txid::new(5).unwrap()));
    assert!(message.contains("-txid 0000000000000003"), "{message}");
    let message = error(Target::Before(Timestamp::from_millis(6000)));
    assert!(
        message.contains("from 1970-01-01T00:00:01Z to 1970-01-01T00:00:05Z"),
        "{message}"
    );
    let at_start = Target::Before(Timestamp::from_millis(1000));
    assert_eq!(
        error(at_start),
        "no matching backup files available: no state from before then can be restored; the earliest is of \
         1970-01-01T00:00:01Z: -txid 0000000000000003"
    );
    let before = error(Target::Before(Timestamp::from_millis(999)));
    assert!(
        before.ends_with("of 1970-01-01T00:00:01Z: -txid 0000000000000003"),
        "{before}"
    );
    let unusable = plan(&files[1..], Target::Before(Timestamp::from_millis(5000)));
    assert_eq!(unusable, Err(PlanError::NoBase));
}

#[test]
fn a_time_after_everything_is_the_latest_state_where_that_is_known_to_be_meant() {
    let files = [file(9, 1, 1, 10, 1000), file(0, 2, 2, 5, 2000)];
    let time = Timestamp::from_millis;
    let outside = Err(PlanError::OutsideWindow {
        time: time(3000),
        oldest: time(1000),
        newest: time(2000),
        earliest: Some((Txid::FIRST, time(1000))),
    });
    assert_eq!(plan(&files, Target::Before(time(3000))), outside);
    let latest = plan(&files, Target::AsOf(time(3000))).unwrap();
    assert_eq!(latest.files, plan(&files, Target::Latest).unwrap().files);
    assert_eq!(latest.window, Some((time(1000), time(2000))));
    let early = plan(&files, Target::AsOf(time(999)));
    assert!(
        matches!(early, Err(PlanError::OutsideWindow { .. })),
        "{early:?}"
    );
}
