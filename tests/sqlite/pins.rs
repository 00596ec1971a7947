//! What a held view keeps in its place, what it does not get in the way of, and the order that loses nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use walbrook::database::PageSet;
use walbrook::sqlite::{Blocking, Follower, Resume, SqliteError};

use super::replica::Replica;
use super::{Bench, assert_same, page, whole};

const MODES: [&str; 4] = ["passive", "full", "restart", "truncate"];

/// Commits and checkpoints of every kind, more of them than a WAL could restart under one view.
fn write_and_checkpoint(bench: &mut Bench) {
    for round in 0..12 {
        bench.update(round * 20 + 1, round * 20 + 15);
        bench
            .app
            .run(&format!("checkpoint('{}')", MODES[round as usize % 4]));
    }
}

#[test]
fn frames_stay_until_they_are_read_whoever_checkpoints() {
    for at_rest in [false, true] {
        let mut bench = Bench::new();
        let mut follower = bench.follow();
        assert!(
            follower
                .write_back(Blocking::Never, &mut PageSet::default())
                .unwrap()
        );
        if !at_rest {
            bench.update(1, 2);
            follower.advance(&mut PageSet::default()).unwrap();
        }
        assert_eq!(follower.at_rest(), at_rest);
        let (mut replica, then) = (Replica::of(follower.view()), whole(follower.view()));
        write_and_checkpoint(&mut bench);
        // The view is still what it was, and everything since is there to be read.
        assert_same(&whole(follower.view()), &then, follower.view());
        let mut news = PageSet::default();
        follower.advance(&mut news).unwrap();
        bench.assert_is_now(follower.view());
        replica.take(follower.view(), &news);
        replica.assert_is(follower.view(), &bench.image());
    }
}

#[test]
fn frames_are_lost_when_the_older_view_goes_before_they_are_read() {
    let mut bench = Bench::new();
    let follower = bench.follow();
    let at = follower.position();
    drop(follower);
    write_and_checkpoint(&mut bench);
    let (_, resume, _) = bench.resume(at);
    assert!(
        matches!(resume, Resume::Gap(_)),
        "else the test above proves nothing"
    );
}

#[test]
fn one_restart_after_another_is_followed_without_a_gap() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let mut replica = Replica::of(follower.view());
    let (mut salts, mut restarts) = (follower.position().salts, 0);
    for round in 0..40 {
        bench
            .app
            .run(&format!("checkpoint('{}')", MODES[round % 4]));
        let mut news = PageSet::default();
        // Slides on to the database file alone, so that the next write restarts the WAL.
        follower.advance(&mut news).unwrap();
        bench.update(round as u32 + 1, round as u32 + 8);
        if round % 3 == 0 {
            bench.app.run("checkpoint('truncate')");
            bench.update(200, 210);
        }
        follower.advance(&mut news).unwrap();
        replica.take(follower.view(), &news);
        replica.assert_is(follower.view(), &bench.image());
        restarts += u32::from(std::mem::replace(&mut salts, follower.position().salts) != salts);
    }
    assert!(restarts >= 30, "{restarts}");
}

#[test]
fn a_view_of_the_file_alone_stays_right_while_the_wal_is_cut() {
    let mut bench = Bench::new();
    bench.sql("pragma journal_size_limit=1000");
    let mut follower = bench.follow();
    assert!(
        follower
            .write_back(Blocking::Never, &mut PageSet::default())
            .unwrap()
    );
    let (held, then) = (Arc::clone(follower.view()), whole(follower.view()));
    let busy = bench.app.run("checkpoint('truncate')");
    assert!(
        busy.starts_with("(0,"),
        "a view of the file alone is in nobody's way: {busy}"
    );
    assert_eq!(follower.files().wal_size().unwrap(), 0);
    assert_same(&whole(&held), &then, &held);
    // A commit that restarts a long WAL cuts it to the limit.
    bench.update(1, 300);
    follower.advance(&mut PageSet::default()).unwrap();
    assert_same(&whole(&held), &then, &held);
    drop(held);
    assert!(
        follower
            .write_back(Blocking::Never, &mut PageSet::default())
            .unwrap()
    );
    let (held, then) = (Arc::clone(follower.view()), whole(follower.view()));
    let long = follower.files().wal_size().unwrap();
    bench.update(1, 1);
    assert!(follower.files().wal_size().unwrap() < long / 10);
    assert_same(&whole(&held), &then, &held);
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
}

#[test]
fn an_idle_view_makes_way_for_the_applications_own_truncate() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    bench.update(1, 50);
    follower.advance(&mut PageSet::default()).unwrap();
    bench
        .app
        .send("[time.monotonic(), checkpoint('truncate', 5), time.monotonic()]");
    let (start, mut noticed) = (Instant::now(), None);
    while start.elapsed() < Duration::from_secs(4) && follower.files().wal_size().unwrap() > 0 {
        if follower.files().another_checkpoints().unwrap() {
            noticed.get_or_insert(start.elapsed());
            follower.advance(&mut PageSet::default()).unwrap();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(noticed.is_some(), "a waiting checkpointer can be seen");
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "{:?}",
        start.elapsed()
    );
    let answer = bench.app.answer();
    assert!(answer.contains("(0, 0, 0)"), "{answer}");
}

#[test]
fn a_view_that_met_a_checkpointer_gives_way_later() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    bench.app.run("checkpoint('passive')");
    // A checkpointer that has written everything back but still holds its locks: CKPT and READ(0).
    let mut checkpointer = super::Python::start(&bench.path());
    for byte in [121, 123] {
        checkpointer.run(&format!(
            "fcntl.lockf(keep(path + '-shm'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, {byte})"
        ));
    }
    follower.advance(&mut PageSet::default()).unwrap();
    assert!(
        !follower.at_rest(),
        "this view holds no lock on the file alone"
    );
    checkpointer.kill();
    assert!(
        bench.app.run("checkpoint('truncate')").starts_with("(1,"),
        "it is in the way"
    );
    follower.advance(&mut PageSet::default()).unwrap();
    assert!(follower.at_rest());
    assert!(bench.app.run("checkpoint('truncate')").starts_with("(0,"));
}

#[test]
fn commits_without_checksums_are_replicated_and_marked_until_they_are_written_back() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let mut replica = Replica::of(follower.view());
    let mut news = PageSet::default();
    bench.app.run("lose_checksums(c)");
    let zeros: u32 = bench.app.run("zero_frames()").parse().unwrap();
    if zeros == 0 {
        let version = bench.app.run("sqlite3.sqlite_version");
        assert!(
            version.as_str() >= "3.42",
            "{version} has the bug, and the test misses it"
        );
        return;
    }
    follower.advance(&mut news).unwrap();
    assert!(follower.has_unrecoverable_frames());
    replica.take(follower.view(), &news);
    replica.assert_is(follower.view(), &bench.image());
    // A good commit after them does not make them recoverable.
    bench.update(250, 255);
    follower.advance(&mut news).unwrap();
    assert!(
        follower.has_unrecoverable_frames(),
        "they are not written back yet"
    );
    // Nor does starting anew.
    drop(follower);
    let mut follower = bench.follow();
    assert!(
        follower.has_unrecoverable_frames(),
        "found when starting, too"
    );
    assert!(follower.write_back(Blocking::Never, &mut news).unwrap());
    assert!(!follower.has_unrecoverable_frames());
    replica.take(follower.view(), &news);
    replica.assert_is(follower.view(), &bench.image());
    assert_same(&bench.image(), &bench.app_file(), follower.view());
}

#[test]
fn commits_that_a_recovery_lost_and_others_replaced_are_no_continuation() {
    for extra in [0, 1, 100] {
        let mut bench = Bench::new();
        let mut follower = bench.follow();
        let mut news = PageSet::default();
        bench.update(1, 2);
        follower.advance(&mut news).unwrap();
        bench.app.run("lose_checksums(c)");
        if bench.app.run("zero_frames()") == "0" {
            return;
        }
        follower.advance(&mut news).unwrap();
        let end = follower.frames();
        // Its writer is killed in the middle of a commit; whoever comes next recovers the WAL, without the
        // commits that have no checksum, and writes others in their place.
        bench.app.kill();
        let mut bench = bench.reopened("spoil_wal_index(); c = connect()");
        let mut row = 0;
        let frames = |bench: &mut Bench| bench.app.run("wal_index()[0]").parse::<u32>().unwrap();
        bench.update(299, 299);
        assert!(frames(&mut bench) < end.0, "the recovery lost commits");
        while frames(&mut bench) < end.0 + extra {
            row += 1;
            bench.update(row % 290, row % 290);
        }
        let advanced = follower.advance(&mut news);
        assert!(
            matches!(advanced, Err(SqliteError::Lost { .. })),
            "{extra}: {advanced:?}, while {} frames became {}",
            end,
            frames(&mut bench)
        );
        // A new start on the same files is right again.
        let files = Arc::clone(follower.files());
        drop(follower);
        let (follower, _) = Follower::start(files, None, &mut news).unwrap();
        bench.assert_is_now(follower.view());
    }
}

#[test]
fn a_recovery_that_loses_nothing_is_followed_without_a_gap() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let mut replica = Replica::of(follower.view());
    for round in 0..3 {
        bench.update(1, 40);
        let mut news = PageSet::default();
        if round == 1 {
            follower.write_back(Blocking::Never, &mut news).unwrap();
        }
        bench.app.kill();
        bench = bench.reopened("spoil_wal_index(); c = connect()");
        bench.update(30, 60);
        follower.advance(&mut news).unwrap();
        replica.take(follower.view(), &news);
        replica.assert_is(follower.view(), &bench.image());
        bench.assert_is_now(follower.view());
    }
}

#[test]
fn a_torn_wal_index_header_is_recovered_and_stops_no_view() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let then = bench.image();
    bench.app.run("spoil_wal_index()");
    assert_same(&whole(follower.view()), &then, follower.view());
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
    bench.update(3, 4);
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
}

#[test]
fn a_torn_wal_index_header_with_a_live_writer_means_later() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let then = bench.image();
    let mut writer = super::Python::start(&bench.path());
    writer.run("fcntl.lockf(keep(path + '-shm'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 120)");
    writer.run("spoil_wal_index()");
    let start = Instant::now();
    let advanced = follower.advance(&mut PageSet::default());
    assert!(
        advanced.as_ref().is_err_and(SqliteError::is_passing),
        "{advanced:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(15));
    assert_same(&whole(follower.view()), &then, follower.view());
    writer.kill();
    follower.advance(&mut PageSet::default()).unwrap();
    bench.update(3, 4);
    follower.advance(&mut PageSet::default()).unwrap();
    bench.assert_is_now(follower.view());
}

#[test]
fn views_that_are_all_in_use_are_waited_for() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    let mut held = Vec::new();
    let error = loop {
        held.push((Arc::clone(follower.view()), bench.image()));
        bench.update(1, 9);
        if let Err(error) = follower.advance(&mut PageSet::default()) {
            break error;
        }
    };
    assert!(matches!(error, SqliteError::NoConnection(_)) && error.is_passing());
    for (view, then) in held.drain(..) {
        assert_same(&whole(&view), &then, &view);
    }
    let mut news = PageSet::default();
    follower.advance(&mut news).unwrap();
    assert!(!news.is_empty() && !news.contains(page(u32::MAX)));
    bench.assert_is_now(follower.view());
}
