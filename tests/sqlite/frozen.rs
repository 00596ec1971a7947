//! A frozen state stays what it was while applications write, vacuum, checkpoint and die.

use std::time::{Duration, Instant};

use walbrook::sqlite::{Blocking, Changes, Follower, Frozen};
use walbrook::units::{PageCount, PageNumber};

use super::{Bench, Python, assert_same, image};

/// Tells a frozen state of changes.
struct Keeping<'a>(&'a Frozen);

impl Changes for Keeping<'_> {
    fn changed(&mut self, first: PageNumber, last: PageNumber) {
        self.0.keep(first, last);
    }

    fn shrunk(&mut self, pages: PageCount) {
        self.0.keep_from(pages);
    }
}

/// Reads pages of a frozen state one after the other.
struct Reading {
    frozen: Frozen,
    bytes: Vec<u8>,
    next: u32,
}

impl Reading {
    fn begin(bench: &Bench, follower: &Follower) -> Reading {
        let frozen = Frozen::of(follower.view(), bench.scratch.path()).unwrap();
        Reading {
            frozen,
            bytes: Vec::new(),
            next: 1,
        }
    }

    /// Reads so many pages on. Gives whether those were the last.
    fn read(&mut self, pages: u32) -> bool {
        let mut content = vec![0; self.frozen.page_size().bytes() as usize];
        for _ in 0..pages {
            if self.next > self.frozen.pages().0 {
                return true;
            }
            let page = PageNumber::new(self.next).unwrap();
            self.frozen.read_page(page, &mut content).unwrap();
            self.frozen.done(page);
            self.bytes.extend_from_slice(&content);
            self.next += 1;
        }
        self.next > self.frozen.pages().0
    }
}

#[test]
fn the_wal_starts_over_while_a_state_is_read() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let then = bench.image();
    let mut reading = Reading::begin(&bench, &follower);
    reading.read(10);
    for _ in 0..5 {
        bench.update(1, 300);
        let written = follower.write_back(Blocking::Never, &mut Keeping(&reading.frozen));
        assert!(written.unwrap(), "no view stands in the way");
    }
    assert!(follower.frames().0 < 200, "the WAL has started over");
    assert!(reading.read(u32::MAX));
    assert_same(&reading.bytes, &then, follower.view());
}

#[test]
fn what_does_not_fit_into_memory_goes_into_a_file_without_a_name() {
    let mut bench = Bench::new();
    bench.sql("insert into t(b) select randomblob(4000) from t a, (select 1 from t limit 8) b");
    let mut follower = bench.follow();
    follower
        .truncate(&mut walbrook::database::PageSet::default())
        .unwrap();
    let then = bench.image();
    let mut reading = Reading::begin(&bench, &follower);
    assert_eq!(reading.frozen.spilled_bytes(), 0);
    bench.update(1, 5000);
    follower.truncate(&mut Keeping(&reading.frozen)).unwrap();
    assert!(reading.frozen.spilled_bytes() > 1 << 20);
    let names: Vec<_> = std::fs::read_dir(bench.scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| !name.contains("kept")), "{names:?}");
    assert!(reading.read(u32::MAX));
    assert_same(&reading.bytes, &then, follower.view());
}

#[test]
fn pages_that_are_cut_off_are_kept() {
    let mut bench = Bench::new();
    // Pages of their own, which a deletion does not touch.
    bench.sql("pragma secure_delete=off; insert into t(b) values(randomblob(900000))");
    let mut follower = bench.follow();
    follower
        .truncate(&mut walbrook::database::PageSet::default())
        .unwrap();
    let then = bench.image();
    let mut reading = Reading::begin(&bench, &follower);
    bench.sql("delete from t where a > 10; vacuum");
    follower.truncate(&mut Keeping(&reading.frozen)).unwrap();
    assert!(bench.app_file().len() < then.len() / 2);
    bench.sql("insert into t(b) select zeroblob(900) from t a, t b, t c limit 400");
    follower.truncate(&mut Keeping(&reading.frozen)).unwrap();
    assert!(reading.read(u32::MAX));
    assert_same(&reading.bytes, &then, follower.view());
}

#[test]
fn a_lost_state_is_not_read() {
    let bench = Bench::new();
    let follower = bench.follow();
    let reading = Reading::begin(&bench, &follower);
    reading.frozen.lose("the WAL did not continue");
    let mut content = vec![0; 4096];
    let error = reading.frozen.read_page(PageNumber::FIRST, &mut content);
    assert_eq!(error.unwrap_err().to_string(), "the WAL did not continue");
}

#[test]
fn frozen_states_stay_right_whatever_applications_do() {
    let seconds = std::env::var("WALBROOK_STRESS_SECONDS").map_or(10, |text| text.parse().unwrap());
    let seed = walbrook::sys::random::unique();
    println!("seed {seed}");
    let mut bench = Bench::new();
    bench.app.run("referee = connect()");
    let path = bench.path();
    let writer = |n: u64| {
        let seed = (seed % 1_000_000 + n).to_string();
        let mut writer = Python::start_script("sq_stress.py", &[path.to_str().unwrap(), &seed]);
        assert_eq!(writer.line(), "ready");
        writer
    };
    let mut follower = bench.follow();
    let mut writers: Vec<Python> = (0..2).map(writer).collect();
    let (mut whole, mut kills, mut restarts) = (0, 0, 0);
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        bench.app.run("seize(referee)");
        follower
            .advance(&mut walbrook::database::PageSet::default())
            .unwrap();
        let then = image(&mut bench.app, bench.scratch.path());
        let mut reading = Reading::begin(&bench, &follower);
        bench.app.run("referee.execute('rollback')");
        let slice = reading.frozen.pages().0 / 12 + 1;
        let mut round = 0_u64;
        while !reading.read(slice) {
            round += 1;
            let salts = follower.position().salts;
            let keeping = &mut Keeping(&reading.frozen);
            match round % 5 {
                0 => drop(follower.write_back(Blocking::Briefly, keeping).unwrap()),
                1 => drop(follower.write_back(Blocking::Never, keeping).unwrap()),
                2 => drop(follower.truncate(keeping).unwrap()),
                _ => follower.advance(keeping).unwrap(),
            }
            restarts += u32::from(follower.position().salts != salts);
            if round == 7 {
                let victim = kills as usize % writers.len();
                writers[victim].kill();
                kills += 1;
                writers[victim] = writer(100 + kills);
            }
        }
        assert_same(&reading.bytes, &then, follower.view());
        whole += 1;
    }
    println!("{whole} states read whole, {restarts} restarts of the WAL, {kills} kills");
    assert!(whole > 2 && restarts > 0);
}
