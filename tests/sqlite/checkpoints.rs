//! Our own checkpoints: what they write back, whom they make wait, and what does not count as done.

use std::time::{Duration, Instant};

use walbrook::database::PageSet;
use walbrook::sqlite::Blocking;

use super::{Bench, Python, assert_same};

/// An application that commits without pause and notes the longest time a commit took.
const BUSY_WRITER: &str = "exec('''
busy, longest, commits, end = connect(10), 0, 0, time.monotonic() + SECONDS
while time.monotonic() < end:
    start = time.monotonic()
    busy.execute(\"update t set b = randomblob(900) where a = abs(random()) % 300\")
    longest, commits = max(longest, time.monotonic() - start), commits + 1
''')";

fn longest(app: &mut Python) -> Duration {
    Duration::from_secs_f64(app.run("longest").parse().unwrap())
}

#[test]
fn everything_is_written_back_and_the_next_write_restarts_the_wal() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let salts = follower.position().salts;
    let mut news = PageSet::default();
    bench.update(1, 100);
    assert!(follower.write_back(Blocking::Never, &mut news).unwrap());
    assert!(follower.at_rest() && !news.is_empty());
    let image = bench.image();
    assert_same(&bench.app_file(), &image, follower.view());
    bench.update(5, 5);
    follower.advance(&mut news).unwrap();
    assert!(follower.position().salts != salts && follower.frames().0 < 5);
    bench.assert_is_now(follower.view());
}

#[test]
fn writers_that_never_pause_are_held_up_only_for_a_moment() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let (mut restarts, mut salts) = (0, follower.position().salts);
    // On a busy machine a round may see only one or two.
    for _ in 0..8 {
        bench.app.send(&BUSY_WRITER.replace("SECONDS", "3"));
        let end = Instant::now() + Duration::from_millis(2800);
        while Instant::now() < end {
            // While writers commit without pause, a view may not be had at once.
            match follower.write_back(Blocking::Briefly, &mut PageSet::default()) {
                Ok(_) => {}
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
            let now = follower.position().salts;
            restarts += u32::from(std::mem::replace(&mut salts, now) != salts);
            std::thread::sleep(Duration::from_millis(20));
        }
        bench.app.answer();
        if restarts > 3 {
            break;
        }
    }
    let longest = longest(&mut bench.app);
    println!(
        "{} commits, the longest took {longest:?}",
        bench.app.run("commits")
    );
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    assert!(restarts > 3, "{restarts} restarts");
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
}

#[test]
fn a_large_backlog_is_never_written_back_under_the_write_lock() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    // A reader of the application keeps everything since from being written back, and then goes.
    bench.app.run("reader = connect(); reader.execute('begin'); reader.execute('select count(*) from t').fetchall()");
    bench.sql("insert into t(b) select randomblob(100000) from t");
    assert!(
        !follower
            .write_back(Blocking::Briefly, &mut PageSet::default())
            .unwrap()
    );
    assert!(bench.app.run("wal_index()[0]").parse::<u32>().unwrap() > 5000);
    let mut writer = Python::start(&bench.path());
    writer.send(&BUSY_WRITER.replace("SECONDS", "2"));
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..20 {
        let _ = follower.write_back(Blocking::Briefly, &mut PageSet::default());
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.answer();
    let longest = longest(&mut writer);
    println!(
        "{} commits, the longest took {longest:?}",
        writer.run("commits")
    );
    assert!(longest < Duration::from_millis(500), "{longest:?}");
}

#[test]
fn a_checkpoint_that_could_not_start_is_not_done() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    bench.update(1, 50);
    let mut checkpointer = Python::start(&bench.path());
    let lock = "fcntl.lockf(keep(path + '-shm'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 121)";
    checkpointer.run(lock);
    assert_eq!(bench.app.run("checkpoint('truncate')"), "(1, -1, -1)");
    assert!(
        !follower
            .write_back(Blocking::Briefly, &mut PageSet::default())
            .unwrap()
    );
    assert!(!follower.at_rest());
    assert!(!follower.truncate(&mut PageSet::default()).unwrap());
    assert!(follower.files().wal_size().unwrap() > 0);
    assert_eq!(
        bench.app.run("wal_index()[-1]"),
        "0",
        "nothing is written back"
    );
    checkpointer.kill();
    assert!(
        follower
            .write_back(Blocking::Never, &mut PageSet::default())
            .unwrap()
    );
}

#[test]
fn truncating_leaves_no_wal_and_takes_nothing_from_a_writer() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    bench.update(1, 50);
    assert!(follower.truncate(&mut PageSet::default()).unwrap());
    assert_eq!(follower.files().wal_size().unwrap(), 0);
    bench.assert_is_now(follower.view());
    bench.app.send(&BUSY_WRITER.replace("SECONDS", "2"));
    let end = Instant::now() + Duration::from_millis(1900);
    let mut truncated = 0;
    while Instant::now() < end {
        match follower.truncate(&mut PageSet::default()) {
            Ok(done) => truncated += u32::from(done),
            Err(error) => assert!(error.is_passing(), "{error}"),
        }
    }
    bench.app.answer();
    let longest = longest(&mut bench.app);
    println!(
        "{truncated} truncated, {} commits, the longest took {longest:?}",
        bench.app.run("commits")
    );
    assert!(longest < Duration::from_millis(500), "{longest:?}");
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
}

#[test]
fn truncating_waits_for_nobody() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    bench.update(1, 50);
    bench.app.run("reader = connect(); reader.execute('begin'); reader.execute('select count(*) from t').fetchall()");
    bench.update(60, 70);
    let start = Instant::now();
    assert!(!follower.truncate(&mut PageSet::default()).unwrap());
    bench
        .app
        .run("reader.close(); c.execute('begin immediate')");
    assert!(
        !follower.truncate(&mut PageSet::default()).unwrap(),
        "a writer is about"
    );
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    bench.app.run("c.execute('rollback')");
    assert!(follower.truncate(&mut PageSet::default()).unwrap());
    bench.assert_is_now(follower.view());
}
