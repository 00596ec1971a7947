//! One case each of what `replica::levels`, `replica::inventory` and `replica::retention` tell.

use std::time::Duration;

use walbrook::replica::{Retention, Upkeep};
use walbrook::storage::{FileName, Storage};
use walbrook::sys::clock::Clock;
use walbrook::units::{Level, Timestamp};

use super::world::{DAY, HOUR, NOON, World, usual};
use crate::support::chance::Chance;
use crate::support::memory::name;
use crate::support::server::Fate;

const SECOND: Duration = Duration::from_secs(1);
const UPDATE: &str = "INSERT INTO t(v) VALUES(hex(randomblob(300)))";

impl World {
    /// So many syncs, a second apart.
    fn write(&mut self, syncs: usize) {
        for _ in 0..syncs {
            self.sql(UPDATE);
            self.pass(SECOND);
            self.calm();
        }
    }

    fn wait(&mut self, time: Duration) {
        self.pass(time);
        self.calm();
    }

    fn has(&self, file: FileName) -> bool {
        self.server.lock().files.contains_key(&file)
    }

    fn count(&self, level: u8) -> usize {
        self.server.list(Level::new(level).unwrap()).unwrap().len()
    }

    #[track_caller]
    fn assert_sound(&mut self) {
        self.assert_in_sync();
        let mut chance = Chance::of_environment("assert_sound");
        self.check(&self.ends(), &mut chance);
    }
}

fn world() -> World {
    let mut world = World::new(usual(), true);
    world.calm();
    world
}

#[test]
fn levels_are_written_from_the_view_of_the_sync_they_end_with() {
    let mut world = world();
    world.write(40);
    assert!(world.has(name(1, 2, 32)), "{:?}", world.names());
    world.wait(SECOND * 30);
    assert!(world.has(name(1, 33, 42)), "{:?}", world.names());
    for _ in 0..10 {
        world.wait(SECOND * 29);
        world.write(2);
    }
    assert!(world.count(2) > 0, "{:?}", world.names());
    // A file of a level has the time of the sync that it ends with.
    for file in world.files() {
        let sync = FileName {
            level: Level::SYNC,
            txids: walbrook::units::TxidRange::single(file.name.txids.max()),
        };
        if let Some((created, _)) = world.server.lock().files.get(&sync)
            && file.name.level != Level::SNAPSHOT
        {
            assert_eq!(*created, file.created);
        }
    }
    world.assert_sound();
}

#[test]
fn a_level_that_would_hold_the_same_once_more_waits_for_another() {
    let mut world = world();
    world.wait(HOUR);
    world.write(1);
    world.wait(HOUR);
    assert_eq!(world.names(), [(0, 3, 3), (1, 2, 3), (9, 1, 1)]);
    world.wait(HOUR);
    world.write(1);
    world.wait(HOUR);
    assert_eq!(world.count(1), 1, "{:?}", world.names());
    assert_eq!(
        world
            .destination
            .next_tick()
            .map(|at| at > world.clock.instant()),
        Some(true)
    );
    world.write(1);
    // Both levels at once, the lower first.
    assert!(world.has(name(1, 4, 5)) && world.has(name(2, 2, 5)));
    assert_eq!(world.count(3), 0, "{:?}", world.names());
    world.assert_sound();
}

#[test]
fn a_database_that_nobody_writes_to_is_left_alone() {
    let mut world = world();
    world.write(3);
    for _ in 0..60 {
        world.wait(HOUR);
    }
    let (files, now) = (world.names(), world.clock.instant());
    assert_eq!(files, [(0, 5, 5), (1, 2, 5), (9, 1, 5)]);
    assert_eq!(world.destination.next_tick(), None);
    assert_eq!(world.destination.next_deletion(), None);
    assert!(!world.destination.has_work());
    world.wait(DAY * 30);
    assert_eq!(world.names(), files);
    assert!(world.clock.instant() > now);
    world.assert_sound();
}

#[test]
fn a_level_that_fails_stops_those_above_and_no_sync() {
    let mut world = world();
    world.write(2);
    world.wait(SECOND * 31);
    world.write(2);
    world.pass(SECOND * 300);
    world.sql(UPDATE);
    world.pass(SECOND);
    // The sync is taken, level 1 is not.
    world.round(&[Fate::Answered]);
    world.round(&[Fate::NotSent]);
    assert_eq!(
        (world.count(1), world.count(2)),
        (1, 0),
        "{:?}",
        world.names()
    );
    world.write(2);
    assert_eq!((world.count(1), world.count(2)), (1, 0), "it is held off");
    world.wait(SECOND * 11);
    world.write(1);
    assert_eq!(
        (world.count(1), world.count(2)),
        (2, 1),
        "{:?}",
        world.names()
    );
    world.assert_sound();
}

#[test]
fn a_level_file_that_arrives_late_is_deleted_once_it_is_superfluous() {
    for conditional in [true, false] {
        let mut world = World::new(usual(), conditional);
        world.calm();
        world.write(3);
        world.wait(SECOND * 31);
        world.write(1);
        world.pass(SECOND * 31);
        world.sql(UPDATE);
        world.round(&[Fate::Answered]);
        world.round(&[Fate::Delayed]);
        world.destination.call_back(world.clock.instant());
        world.write(2);
        world.wait(SECOND * 31);
        assert!(world.has(name(1, 6, 9)), "{:?}", world.names());
        world.server.deliver(&mut Chance::of_environment("late"));
        assert!(world.has(name(1, 6, 7)), "{:?}", world.names());
        world.write(1);
        world.wait(Duration::from_secs(16 * 60));
        world.write(1);
        assert!(!world.has(name(1, 6, 7)), "{:?}", world.names());
        world.assert_sound();
    }
}

#[test]
fn snapshots_are_taken_and_the_base_of_the_window_is_kept() {
    let mut world = world();
    for _ in 0..24 * 5 {
        world.write(1);
        world.wait(HOUR);
    }
    // The one at the start of the window, older than a day, and the newer ones.
    let snapshots = world.server.list(Level::SNAPSHOT).unwrap();
    assert!((2..=3).contains(&snapshots.len()), "{:?}", world.names());
    let oldest = snapshots[0].name.txids.max();
    let (confirmed, _) = world.points[&oldest];
    assert!(world.clock.instant() - confirmed > DAY);
    let below = |file: &&walbrook::storage::FileInfo| file.name.txids.max() < oldest;
    let left: Vec<_> = world
        .files()
        .iter()
        .filter(below)
        .map(|it| it.name)
        .collect();
    assert!(left.is_empty(), "{left:?}");
    world.assert_sound();
}

#[test]
fn nothing_is_deleted_where_that_is_switched_off() {
    let upkeep = Upkeep {
        retention: None,
        ..usual()
    };
    let mut world = World::new(upkeep, true);
    for _ in 0..24 * 3 {
        world.write(1);
        world.wait(HOUR);
    }
    assert_eq!((world.deleted, world.count(9)), (0, 4));
    assert_eq!(world.count(0), 24 * 3, "{:?}", world.names());
    world.assert_sound();

    let mut rules = usual();
    rules.retention = Some(Retention {
        syncs: None,
        ..rules.retention.unwrap()
    });
    let mut world = World::new(rules, true);
    for _ in 0..24 * 3 {
        world.write(1);
        world.wait(HOUR);
    }
    assert_eq!(world.count(0), 24 * 3, "level 0 for ever");
    assert!(world.count(1) < 36, "the others not");
}

#[test]
fn without_memory_of_the_levels_the_page_indexes_say_what_they_lack() {
    let mut world = world();
    world.sql(
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
         INSERT INTO t(v) SELECT hex(randomblob(200)) FROM n",
    );
    world.write(12);
    world.wait(SECOND * 31);
    world.write(12);
    world.save(true);
    if let Some((_, state)) = &mut world.disk {
        state.levels.clear();
    }
    world.restart();
    world.calm();
    world.wait(SECOND * 400);
    world.write(2);
    assert!(world.surveyed > 0, "{}", world.log());
    assert!(world.count(2) > 0, "{:?}\n{}", world.names(), world.log());
    world.assert_sound();
}

#[test]
fn what_is_remembered_of_the_levels_saves_reading() {
    let mut world = world();
    world.write(40);
    world.wait(SECOND * 31);
    world.save(false);
    world.restart();
    world.write(2);
    world.wait(HOUR);
    world.write(2);
    assert_eq!(world.surveyed, 0);
    assert!(world.count(2) > 0, "{:?}", world.names());
    world.assert_sound();
}

/// Takes a file away while the program is down, and starts it without memory.
fn lose(world: &mut World, lost: FileName) {
    assert!(world.has(lost), "{lost}: {:?}", world.names());
    world.server.delete(&[lost]).unwrap();
    world.damaged = true;
    world.disk = None;
    world.restart();
}

#[test]
fn a_hole_in_a_level_is_healed_by_the_levels_above_at_once() {
    let mut world = world();
    for _ in 0..4 {
        world.write(5);
        world.wait(SECOND * 31);
    }
    world.write(1);
    // So that what the lost file held is nowhere else.
    world.wait(SECOND * 302);
    world.wait(SECOND * 20);
    let ones = world.server.list(Level::new(1).unwrap()).unwrap();
    let lost = ones[1].name;
    assert!(world.count(2) == 0 && ones.len() > 2, "{:?}", world.names());
    lose(&mut world, lost);
    world.wait(SECOND * 20);
    world.wait(SECOND);
    (world.damaged, world.scarred) = (false, true);
    assert!(
        world.count(2) == 1 && world.destination.holes().is_empty(),
        "{:?}",
        world.names()
    );
    world.points.clear();
    world.write(3);
    world.assert_sound();
}

#[test]
fn an_empty_level_0_is_gone_on_from() {
    let mut world = world();
    for _ in 0..3 {
        world.write(5);
        world.wait(SECOND * 31);
    }
    let before = world.files().iter().map(|it| it.name.txids.max()).max();
    let syncs: Vec<FileName> = world
        .server
        .list(Level::SYNC)
        .unwrap()
        .iter()
        .map(|it| it.name)
        .collect();
    world.server.delete(&syncs).unwrap();
    world.disk = None;
    world.restart();
    world.points.clear();
    world.write(2);
    let first = world.server.list(Level::SYNC).unwrap()[0].name.txids.min();
    assert!(
        before.is_some_and(|before| first >= before),
        "{:?}",
        world.names()
    );
    world.wait(SECOND * 31);
    world.write(2);
    world.assert_sound();
}

#[test]
fn a_wrong_clock_deletes_nothing() {
    let mut chance = Chance::of_environment("a_wrong_clock_deletes_nothing");
    // While running it does not count at all.
    for wrong in [0, NOON + 10 * 365 * 86_400_000] {
        let mut world = world();
        for hour in 0..40 {
            world.write(3);
            if hour == 20 {
                world.clock.set(Timestamp::from_millis(wrong));
            }
            if hour == 30 {
                world
                    .clock
                    .set(Timestamp::from_millis(NOON + 31 * 3_600_000));
            }
            world.wait(HOUR);
            world.check(&[], &mut chance);
        }
        assert!(
            world.count(3) > 10,
            "compaction goes on: {:?}",
            world.names()
        );
        assert!(world.deleted > 50, "and retention");
        // Between runs it counts for an hour at most.
        world.doubtful_age = HOUR;
        world
            .clock
            .set(Timestamp::from_millis(NOON + 20 * 365 * 86_400_000));
        world.save(true);
        world.restart();
        for _ in 0..3 {
            world.write(3);
            world.restart();
            world.wait(SECOND * 31);
            world.check(&[], &mut chance);
        }
        world.assert_sound();
    }
}

#[test]
fn a_deletion_that_breaks_off_leaves_a_sound_replica() {
    let mut chance = Chance::of_environment("a_deletion_that_breaks_off_leaves_a_sound_replica");
    let mut world = world();
    for hour in 0..24 * 4 {
        world.server.lock().deletions_left = Some(hour % 3);
        world.write(2);
        world.wait(HOUR);
        world.check(&[], &mut chance);
    }
    world.server.lock().deletions_left = None;
    world.write(2);
    world.wait(HOUR);
    world.wait(SECOND * 20);
    assert!(world.count(9) <= 3, "{:?}", world.names());
    world.assert_sound();
}
