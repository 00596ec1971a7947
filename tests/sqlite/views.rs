//! Views equal what SQLite itself takes for the database, and the changes told make a replica equal to them.

use std::time::{Duration, Instant};

use walbrook::database::PageSet;
use walbrook::sqlite::{Blocking, Follower, Resume};

use super::replica::Replica;
use super::{Bench, Python, assert_same, image, page, whole};

/// A follower and what a replica would have from it.
struct Copied {
    follower: Follower,
    replica: Replica,
}

impl Copied {
    fn begin(bench: &Bench) -> Copied {
        let follower = bench.follow();
        let replica = Replica::of(follower.view());
        Copied { follower, replica }
    }

    /// One sync: fails unless the view and the replica are what SQLite takes for the database.
    fn sync(&mut self, bench: &mut Bench) -> PageSet {
        let mut dirty = PageSet::default();
        self.follower.advance(&mut dirty).unwrap();
        let view = self.follower.view();
        bench.assert_is_now(view);
        self.replica.take(view, &dirty);
        self.replica.assert_is(view, &bench.image());
        dirty
    }
}

#[test]
fn every_page_size() {
    for size in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let mut bench = Bench::empty(&format!("PRAGMA page_size={size}"));
        bench.sql("create table t(a integer primary key, b)");
        let mut copied = Copied::begin(&bench);
        assert_eq!(copied.follower.view().page_size().bytes(), size);
        for _ in 0..3 {
            bench.sql("insert into t(b) values (zeroblob(100000)), (randomblob(200000)), (1)");
            copied.sync(&mut bench);
            bench.sql("delete from t where a % 3 = 1");
            copied.sync(&mut bench);
        }
        bench.app.run("checkpoint('truncate')");
        copied.sync(&mut bench);
        bench.sql("insert into t(b) values (randomblob(70000))");
        copied.sync(&mut bench);
    }
}

#[test]
fn both_kinds_of_auto_vacuum() {
    for kind in ["full", "incremental"] {
        let mut bench = Bench::empty(&format!("PRAGMA auto_vacuum={kind}"));
        bench.sql("create table t(a integer primary key, b)");
        let mut copied = Copied::begin(&bench);
        for round in 0..6 {
            bench.sql("insert into t(b) values (randomblob(90000)), (randomblob(50000)), (2)");
            copied.sync(&mut bench);
            let before = copied.follower.view().pages();
            bench.sql("delete from t where a % 3 = 2; pragma incremental_vacuum(5)");
            if round % 2 == 1 {
                bench.app.run("checkpoint('passive')");
            }
            copied.sync(&mut bench);
            assert!(copied.follower.view().pages() < before, "{kind}");
        }
    }
}

#[test]
fn pages_that_growing_brings_back_without_a_frame_are_told() {
    let mut bench = Bench::new();
    bench.sql("create table big(x); insert into big values (randomblob(100000)); drop table big");
    bench.app.run("checkpoint('truncate')");
    let mut copied = Copied::begin(&bench);
    bench.update(1, 1);
    copied.sync(&mut bench);
    let (at, large) = (copied.follower.position(), copied.follower.view().pages().0);
    drop(copied.follower);
    // Two commits in one read: the first cuts the database, and its file too; the second makes it larger by
    // pages that have no frame, and so are zeros.
    bench.sql("vacuum");
    bench.app.run("checkpoint('passive')");
    let small = bench
        .app
        .run("c.execute('pragma page_count').fetchone()[0]")
        .parse::<u32>()
        .unwrap();
    bench.app.kill();
    let mut bench = bench.reopened("append_growth(4)");
    let (follower, resume, news) = bench.resume(at);
    assert_eq!(
        (resume, follower.view().pages().0),
        (Resume::Continued, small + 4)
    );
    assert!(
        small + 4 < large,
        "looking at both ends alone, nothing has grown"
    );
    assert!((small + 1..=small + 4).all(|number| news.contains(page(number))));
    let image = bench.image();
    assert!(image[small as usize * 4096..].iter().all(|byte| *byte == 0));
    copied.replica.take(follower.view(), &news);
    copied.replica.assert_is(follower.view(), &image);
}

#[test]
fn shrinking_and_growing_with_every_kind_of_checkpoint_between() {
    let mut bench = Bench::new();
    bench.sql("create table big(x); insert into big values (randomblob(200000))");
    let mut copied = Copied::begin(&bench);
    for mode in ["passive", "full", "restart", "truncate"] {
        bench.sql("delete from big; vacuum");
        copied.sync(&mut bench);
        bench.app.run(&format!("checkpoint('{mode}')"));
        copied.sync(&mut bench);
        bench.sql(
            "begin; create table z(x); insert into z values (zeroblob(150000)); drop table z; commit",
        );
        copied.sync(&mut bench);
        copied
            .follower
            .write_back(Blocking::Briefly, &mut PageSet::default())
            .unwrap();
        copied.sync(&mut bench);
        bench.sql("insert into big values (randomblob(200000))");
        copied.sync(&mut bench);
    }
}

#[test]
fn a_wal_of_many_windows() {
    let mut bench = Bench::new();
    let mut copied = Copied::begin(&bench);
    // Some 8 MiB in one commit, some in many.
    bench.sql("begin; insert into t(b) select randomblob(30000) from t; commit");
    copied.sync(&mut bench);
    bench.app.run("[c.execute('update t set b = randomblob(5000) where a = ?', (a,)) for a in range(300)] and 1");
    copied.sync(&mut bench);
    assert!(copied.follower.frames().0 > 2000);
    // And all of it at once when starting.
    let at = copied.follower.position();
    drop(copied);
    bench.update(1, 300);
    let (follower, _, news) = bench.resume(at);
    assert!(!news.is_empty());
    bench.assert_is_now(follower.view());
}

#[test]
fn a_wal_made_on_a_big_endian_machine() {
    let mut bench = Bench::new();
    bench.update(1, 50);
    let before = bench.image();
    bench.app.kill();
    let mut bench = bench.reopened("swap_checksums()");
    bench.app.run("c = connect()");
    let mut copied = Copied::begin(&bench);
    assert!(
        copied.follower.frames().0 > 0,
        "SQLite took the WAL for a good one"
    );
    assert_same(
        &whole(copied.follower.view()),
        &before,
        copied.follower.view(),
    );
    // The same WAL goes on in its own byte order.
    bench.update(20, 60);
    copied.sync(&mut bench);
    assert!(!copied.follower.has_unrecoverable_frames());
    let at = copied.follower.position();
    drop(copied);
    bench.update(1, 5);
    let (follower, resume, _) = bench.resume(at);
    assert_eq!(resume, Resume::Continued);
    bench.assert_is_now(follower.view());
}

#[test]
fn a_database_of_more_than_a_gibibyte() {
    // A database whose file is made large without writing it: 16,380 pages of 64 KiB, all but a few holes.
    let mut bench = Bench::empty("PRAGMA page_size=65536");
    bench.sql("create table t(a integer primary key, b)");
    bench.app.run("checkpoint('truncate'); c.close()");
    bench.app.run("stretch(16380)");
    bench.app.run("c = connect()");
    let mut follower = bench.follow();
    assert_eq!(follower.view().pages().0, 16380);
    let mut dirty = PageSet::default();
    bench.sql("insert into t(b) values (randomblob(800000))");
    follower.advance(&mut dirty).unwrap();
    let view = follower.view();
    let lock_page = view.page_size().lock_page();
    assert!(view.pages() > walbrook::units::PageCount(16386) && lock_page == page(16385));
    // The database file, once everything stands in it, is what the view has to equal.
    let pages: Vec<u32> = (1..10)
        .chain(16370..=view.pages().0)
        .filter(|n| *n != 16385)
        .collect();
    let ours: Vec<Vec<u8>> = pages
        .iter()
        .map(|number| {
            let mut content = vec![0; 65536];
            view.read_page(page(*number), &mut content).unwrap();
            content
        })
        .collect();
    assert!(follower.write_back(Blocking::Never, &mut dirty).unwrap());
    let to = bench.scratch.path().join("pages");
    bench
        .app
        .run(&format!("take_pages({pages:?}, '{}')", to.display()));
    assert!(ours.concat() == std::fs::read(to).unwrap());
    assert!((16381..=follower.view().pages().0).all(|number| dirty.contains(page(number))));
}

#[test]
fn views_stay_right_whatever_applications_do() {
    let seconds = std::env::var("WALBROOK_STRESS_SECONDS").map_or(15, |text| text.parse().unwrap());
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
    let mut copied = Copied::begin(&bench);
    let mut writers: Vec<Python> = (0..3).map(writer).collect();
    let (mut dirty, mut compared, mut kills, mut restarts) = (PageSet::default(), 0, 0, 0);
    let (mut salts, mut unrecoverable) = (copied.follower.position().salts, 0);
    let mut older: Option<(std::sync::Arc<walbrook::sqlite::View>, Vec<u8>)> = None;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut round = 0_u64;
    while Instant::now() < end {
        round += 1;
        let follower = &mut copied.follower;
        match round % 7 {
            0 => drop(follower.write_back(Blocking::Briefly, &mut dirty).unwrap()),
            1 => drop(follower.write_back(Blocking::Never, &mut dirty).unwrap()),
            2 => drop(follower.truncate(&mut dirty).unwrap()),
            _ => follower.advance(&mut dirty).unwrap(),
        }
        restarts += u32::from(std::mem::replace(&mut salts, follower.position().salts) != salts);
        unrecoverable += u32::from(follower.has_unrecoverable_frames());
        if round.is_multiple_of(3) {
            bench.app.run("seize(referee)");
            copied.follower.advance(&mut dirty).unwrap();
            let now = image(&mut bench.app, bench.scratch.path());
            bench.app.run("referee.execute('rollback')");
            let view = copied.follower.view();
            assert_same(&whole(view), &now, view);
            copied.replica.take(view, &std::mem::take(&mut dirty));
            copied.replica.assert_is(view, &now);
            // What an upload that takes its time reads, while much goes on.
            if let Some((view, then)) = older.take_if(|_| round.is_multiple_of(2)) {
                assert_same(&whole(&view), &then, &view);
            }
            if round.is_multiple_of(12) {
                older = Some((std::sync::Arc::clone(view), now));
            }
            compared += 1;
        }
        if round.is_multiple_of(20) {
            let victim = kills as usize % writers.len();
            writers[victim].kill();
            kills += 1;
            writers[victim] = writer(100 + kills);
        }
    }
    println!(
        "{compared} views compared, {restarts} restarts, {kills} kills, {unrecoverable} unrecoverable"
    );
    assert!(compared > 5 && restarts > 0 && kills > 0);
}
