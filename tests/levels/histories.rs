//! Random histories: commits, uploads that fail in every way and arrive late, views called back, restarts with and
//! without what was remembered, hours passing, deletions that break off, a clock that is set. After every step,
//! everything that `world` knows must hold.

use std::time::Duration;

use walbrook::storage::Storage;
use walbrook::units::{Level, Timestamp};

use super::world::{HOUR, NOON, World, usual};
use crate::support::chance::Chance;
use crate::support::server::Fate;

const HISTORIES: u64 = 40;
const STEPS: usize = 150;

fn step(world: &mut World, chance: &mut Chance) {
    let what = chance.below(42);
    world.say(format!("step {what}"));
    match what {
        0..14 => {
            world.commit(chance);
            world.pass(Duration::from_millis(1000));
            world.round(&fates(chance));
        }
        14..22 => world.round(&fates(chance)),
        22..28 => {
            let time = chance.time(Duration::from_secs(400));
            world.pass(time);
            world.calm();
        }
        28..30 => {
            let time = chance.time(HOUR * 6);
            world.pass(time);
        }
        30 => world.checkpoint(),
        31 => world.save(true),
        32 => {
            world.save(false);
            world.commit(chance);
            world.restart();
        }
        33 => world.restart(),
        34 => {
            // As one of before there were levels, or after the files were lost.
            world.save(true);
            match chance.once_in(3) {
                true => world.disk = None,
                false => world.disk.iter_mut().for_each(|(_, it)| it.levels.clear()),
            }
            world.restart();
        }
        35 => {
            let delivered = world.server.deliver(chance);
            world.say(format!("  delivered {delivered:?}"));
        }
        36 => {
            world.destination.call_back(world_now(world));
        }
        37 => {
            let left = chance.below(4) as usize;
            world.server.lock().deletions_left = Some(left);
            world.round(&[]);
            world.server.lock().deletions_left = None;
        }
        38 => {
            let time = chance.of(&[0, NOON + 10 * 365 * 86_400_000, NOON]);
            world.clock.set(Timestamp::from_millis(time));
            world.doubtful_age += HOUR;
        }
        39 => world.gap(chance),
        40 => {
            world.save(chance.once_in(2));
            world.gap(chance);
        }
        _ => world.destination.ask_again(),
    }
}

fn world_now(world: &World) -> std::time::Instant {
    walbrook::sys::clock::Clock::instant(&world.clock)
}

fn fates(chance: &mut Chance) -> Vec<Fate> {
    use Fate::{AnswerLost, Answered, Delayed, NotSent};
    (0..5)
        .map(|_| {
            chance.of(&[
                Answered, Answered, Answered, Answered, AnswerLost, Delayed, NotSent,
            ])
        })
        .collect()
}

#[test]
fn every_state_can_be_restored_at_every_time() {
    let mut chance = Chance::of_environment("every_state_can_be_restored_at_every_time");
    let (mut deleted, mut surveyed, mut levels) = (0, 0, [0; 4]);
    let (mut compared, mut sent, mut tagged) = (0, 0, 0);
    for _ in 0..HISTORIES {
        let conditional = chance.once_in(2);
        let mut upkeep = usual();
        if chance.once_in(2) {
            upkeep.snapshots = Some(HOUR);
            let retention = upkeep.retention.as_mut().unwrap();
            retention.snapshots = HOUR * 2;
        }
        let mut world = World::new(upkeep, conditional);
        for number in 0..STEPS {
            step(&mut world, &mut chance);
            let ends = world.ends();
            let some: Vec<_> = match number % 25 {
                0 => ends,
                _ => (0..3.min(ends.len())).map(|_| chance.of(&ends)).collect(),
            };
            world.check(&some, &mut chance);
        }
        world.assert_in_sync();
        world.check(&world.ends(), &mut chance);
        deleted += world.deleted;
        surveyed += world.surveyed;
        compared += world.compared;
        sent += world.sent;
        tagged += world.tagged;
        for (count, level) in levels.iter_mut().zip([1, 2, 3, 9]) {
            *count += world.server.list(Level::new(level).unwrap()).unwrap().len();
        }
    }
    eprintln!("{deleted} deleted, {surveyed} surveys, files on levels 1, 2, 3 and 9: {levels:?}");
    eprintln!("{compared} compared after a gap, {tagged} of {sent} files say what the database is");
    assert!(compared > 20 && tagged > sent / 2);
    assert!(deleted > 100 && surveyed > 10 && levels.iter().all(|count| *count > 20));
}
