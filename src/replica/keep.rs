//! Which snapshots are kept beyond the window in which every state can be restored, each as a restore point by itself.
//!
//! For each rule it is the newest snapshot of each of the last periods that have any: hours, days, weeks … of the
//! calendar, by the snapshots' own times as the storage lists them. The periods do not move, so a snapshot that is the
//! newest of its period stays so, and one that was dropped would never have been kept later.
//!
//! Times are the writer's where no server stamps the files, and its clock may be wrong. It must not cost a snapshot:
//!
//! - Periods are counted from the newest TXID down, never from what our clock says.
//! - A step of more than a year, or backwards, is that of a clock which was set; the period before it does not use up
//!   a place.
//! - Behind a time that was once too late, the times of syncs only creep on, a millisecond each. What lies between
//!   snapshots that seem less than [`CREEP_MS`] apart has not been measured; of those as many are kept as there are
//!   places in all.

use crate::units::{KeepRules, Timestamp};

/// Snapshots less than this apart may be anywhere in time: a sync a second for a day, at a millisecond each.
const CREEP_MS: i64 = 120_000;
const YEAR_MS: i64 = 366 * 86_400_000;

/// Which of the snapshots with these `times`, in the order of their TXIDs, are kept.
pub(super) fn kept(rules: KeepRules, times: &[Timestamp]) -> Vec<bool> {
    let mut kept = vec![false; times.len()];
    let step = |index: usize| {
        let newer = times.get(index + 1)?;
        Some(newer.millis().saturating_sub(times[index].millis()))
    };
    for (period, count) in rules.each() {
        let (mut places, mut last) = (count, None);
        for index in (0..times.len()).rev() {
            let number = period.number(times[index]);
            if count == 0 || last == Some(number) {
                continue;
            }
            if step(index).is_none_or(|step| (0..=YEAR_MS).contains(&step)) {
                let Some(left) = places.checked_sub(1) else {
                    break;
                };
                places = left;
            }
            last = Some(number);
            kept[index] = true;
        }
    }
    let places: u64 = rules
        .each()
        .iter()
        .map(|(_, count)| u64::from(*count))
        .sum();
    let mut places = usize::try_from(places).unwrap_or(usize::MAX);
    for index in (0..times.len()).rev() {
        let creeps = step(index).is_some_and(|step| (0..CREEP_MS).contains(&step));
        if creeps && !kept[index] && places > 0 {
            kept[index] = true;
            places -= 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const HOUR_MS: i64 = 3_600_000;
    const DAY_MS: i64 = 24 * HOUR_MS;
    const RULES: KeepRules = KeepRules {
        hourly: 24,
        daily: 7,
        weekly: 4,
        monthly: 12,
        yearly: 0,
    };

    /// What is left of `store` once it is thinned.
    fn thinned(rules: KeepRules, store: &[Timestamp]) -> Vec<Timestamp> {
        let kept = kept(rules, store);
        let left = store.iter().zip(kept).filter(|(_, kept)| *kept);
        left.map(|(time, _)| *time).collect()
    }

    /// The newest of each of the last periods, from everything there ever was.
    fn promised(rules: KeepRules, all: &[Timestamp]) -> Vec<Timestamp> {
        let mut promised = Vec::new();
        for (period, count) in rules.each() {
            let newest: BTreeMap<i64, Timestamp> = all
                .iter()
                .map(|time| (period.number(*time), *time))
                .collect();
            promised.extend(newest.into_values().rev().take(count as usize));
        }
        promised.sort();
        promised.dedup();
        promised
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10))]
        #[test]
        fn through_a_year_the_newest_of_each_period_is_there(
            start in 0..3 * 365 * DAY_MS,
            every in prop::sample::select(vec![HOUR_MS, 6 * HOUR_MS, DAY_MS]),
            pauses in prop::collection::vec((1..2000_usize, 1..40_i64), 0..6),
            counts in prop::array::uniform5(0..30_u32),
        ) {
            let [hourly, daily, weekly, monthly, yearly] = counts;
            let rules = KeepRules { hourly, daily, weekly, monthly, yearly };
            let most: usize = counts.iter().map(|count| *count as usize).sum();
            let (mut all, mut store, mut now) = (Vec::new(), Vec::new(), start);
            for step in 0..usize::try_from(365 * DAY_MS / every).unwrap() {
                // Off for some days, and never quite on time.
                let off = pauses.iter().find(|(at, _)| *at == step).map_or(0, |(_, days)| *days);
                now += every + off * DAY_MS + i64::try_from(step % 7).unwrap() * 1000;
                let time = Timestamp::from_millis(now);
                all.push(time);
                store.push(time);
                store = thinned(rules, &store);
                prop_assert_eq!(&store, &promised(rules, &all));
                prop_assert!(store.len() <= most);
                if all.len() > 1000 {
                    // As far as they still matter.
                    all = promised(rules, &all);
                }
            }
        }

        #[test]
        fn thinned_at_any_pace_the_same_is_left(
            times in prop::collection::vec(0..60 * DAY_MS, 1..200),
            paces in prop::collection::vec(1..20_usize, 1..20),
        ) {
            let mut times = times;
            times.sort_unstable();
            times.dedup_by(|later, earlier| *later - *earlier < CREEP_MS);
            let times: Vec<Timestamp> = times.into_iter().map(Timestamp::from_millis).collect();
            let (mut store, mut rest, mut pace) = (Vec::new(), &times[..], paces.iter().cycle());
            while !rest.is_empty() {
                let (some, more) = rest.split_at(rest.len().min(*pace.next().unwrap()));
                store.extend_from_slice(some);
                store = thinned(RULES, &store);
                rest = more;
            }
            prop_assert_eq!(store, thinned(RULES, &times));
        }
    }

    /// A store that is thinned with each snapshot, and those of `days` days put into it, `step` apart.
    fn grow(store: &mut Vec<Timestamp>, from: i64, days: i64, step: i64) {
        for day in 0..days {
            store.push(Timestamp::from_millis(from + day * step));
            *store = thinned(RULES, store);
        }
    }

    #[test]
    fn a_wrong_clock_costs_nothing() {
        let (now, later) = (57 * 366 * DAY_MS, 67 * 366 * DAY_MS);
        // 400 days with a right clock.
        let mut right = Vec::new();
        grow(&mut right, now, 400, DAY_MS);
        assert!((24..=47).contains(&right.len()));
        let months = |store: &[Timestamp]| {
            let mut months: Vec<i64> = store
                .iter()
                .filter(|time| time.millis() < later)
                .map(|time| crate::units::Period::Month.number(*time))
                .collect();
            months.dedup();
            months.len()
        };
        // Ten years ahead for a day, and then right again, so that times creep: nothing is pushed out by it.
        let mut ahead = right.clone();
        grow(&mut ahead, later, 1, DAY_MS);
        assert!(right.iter().all(|time| ahead.contains(time)));
        grow(&mut ahead, later + 1000, 300, 86_400);
        assert_eq!(months(&ahead), months(&right));
        // Of the days that are not told apart, the last stay; and not all for ever.
        let crept = ahead.iter().filter(|time| time.millis() >= later).count();
        assert!((47..=60).contains(&crept), "{crept}");
        // 1970, and then right.
        let mut behind = Vec::new();
        grow(&mut behind, DAY_MS, 1, DAY_MS);
        grow(&mut behind, now, 330, DAY_MS);
        assert_eq!(behind[0].millis(), DAY_MS);
        assert!(months(&behind) >= 11);
    }
}
