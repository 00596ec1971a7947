//! A year in the life of a database, in seconds: busy hours and quiet weeks, restarts, power cuts, outages, a clock
//! that is wrong at start. What was promised can be restored all the time, and the replica stays small.

use std::time::Duration;

use walbrook::replica::{Retention, Upkeep};
use walbrook::storage::Storage;
use walbrook::sys::clock::Clock;
use walbrook::units::{KeepRules, Level, Timestamp};

use super::world::{DAY, HOUR, NOON, World, usual};
use crate::support::chance::Chance;
use crate::support::server::Fate;

const DAYS: u64 = 365;

/// What the machine does in one day.
fn live_through_a_day(world: &mut World, chance: &mut Chance, day: u64) {
    // Off for a while, now and then; then it starts with the clock of 1970.
    if chance.once_in(20) {
        world.say(format!("day {day}: off"));
        match chance.once_in(2) {
            true => world.save(false),
            false => world.save(true),
        }
        if chance.once_in(3) {
            world.disk = None;
        }
        world.pass(DAY * chance.below(5) as u32);
        if chance.once_in(3) {
            world.clock.set(Timestamp::from_millis(86_400_000));
        }
        match chance.once_in(2) {
            true => world.gap(chance),
            false => world.restart(),
        }
    }
    let busy = chance.below(4);
    let mut left = DAY;
    for part in 0..8 {
        let outage = chance.once_in(30);
        let commits = match busy {
            0 => 0,
            1 => u64::from(part == 3),
            _ => chance.below(6),
        };
        for _ in 0..commits {
            world.commit(chance);
            let pause = Duration::from_secs(1 + chance.below(40));
            world.pass(pause);
            left = left.saturating_sub(pause);
            match outage {
                true => world.round(&[Fate::NotSent, Fate::NotSent]),
                false => world.calm(),
            }
        }
        world.pass(HOUR.min(left));
        left = left.saturating_sub(HOUR);
        world.calm();
    }
    world.pass(left);
    world.calm();
    if chance.once_in(5) {
        world.checkpoint();
        world.save(true);
    }
    // The clock is set right once it has a network.
    if world.clock.now().millis() < NOON {
        let millis = NOON + i64::try_from(day).unwrap() * 86_400_000;
        world.clock.set(Timestamp::from_millis(millis));
    }
}

/// A year, in which `each_day` does more. Gives the most files there were.
fn live_through_a_year(
    world: &mut World,
    chance: &mut Chance,
    each_day: impl Fn(&mut World, u64),
) -> usize {
    world.calm();
    let mut most = 0;
    for day in 0..DAYS {
        each_day(world, day);
        live_through_a_day(world, chance, day);
        let ends = world.ends();
        let some: Vec<_> = (0..4.min(ends.len())).map(|_| chance.of(&ends)).collect();
        world.check(&some, chance);
        most = most.max(world.files().len());
        let horizon = world.clock.instant() - DAY * 3;
        world.points.retain(|_, (at, _)| *at > horizon);
    }
    world.assert_in_sync();
    world.check(&world.ends(), chance);
    most
}

#[test]
fn a_year_in_which_everything_happens() {
    let mut chance = Chance::of_environment("a_year_in_which_everything_happens");
    let mut world = World::new(usual(), true);
    let most = live_through_a_year(&mut world, &mut chance, |_, _| ());
    let snapshots = world.server.list(Level::SNAPSHOT).unwrap().len();
    eprintln!(
        "{} deleted, at most {most} files, {snapshots} snapshots left; {} compared, {} of {} files tagged",
        world.deleted, world.compared, world.tagged, world.sent
    );
    assert!(world.tagged > world.sent / 10 * 9 && world.compared > 0);
    assert!(most < 400 && snapshots <= 4, "{:?}", world.names());
}

#[test]
fn a_year_of_which_hours_days_weeks_and_months_are_kept() {
    let mut chance = Chance::of_environment("a_year_of_which_hours_days_weeks_and_months_are_kept");
    let mut world = World::new(keeping(), true);
    live_through_a_year(&mut world, &mut chance, |_, _| ());
    let snapshots = world.server.list(Level::SNAPSHOT).unwrap().len();
    // Besides those that are kept: what is still in the window, and what lies between two of a wrong clock.
    assert!((20..2 * 32).contains(&snapshots), "{:?}", world.names());
}

#[test]
fn a_year_with_a_clock_that_jumps_keeps_what_it_should() {
    let mut chance = Chance::of_environment("a_year_with_a_clock_that_jumps_keeps_what_it_should");
    for ahead in [false, true] {
        let mut world = World::new(keeping(), true);
        let set = |world: &mut World, millis: i64| {
            world.clock.set(Timestamp::from_millis(millis));
            world.doubtful_age = HOUR;
        };
        live_through_a_year(&mut world, &mut chance, |world, day| match (day, ahead) {
            (100, false) => set(world, 0),
            (200, true) => set(world, NOON + 10 * 365 * 86_400_000),
            (230, true) => set(world, NOON + 230 * 86_400_000),
            _ => (),
        });
        let snapshots = world.server.list(Level::SNAPSHOT).unwrap().len();
        assert!((20..3 * 32).contains(&snapshots), "{:?}", world.names());
    }
}

/// Snapshots every six hours, and rules that keep 31 of them.
fn keeping() -> Upkeep {
    let usual = usual();
    Upkeep {
        snapshots: Some(HOUR * 6),
        retention: usual.retention.map(|retention| Retention {
            keep: KeepRules {
                hourly: 8,
                daily: 7,
                weekly: 4,
                monthly: 12,
                yearly: 0,
            },
            ..retention
        }),
        ..usual
    }
}
