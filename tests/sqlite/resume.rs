//! Starting again from a remembered position: it counts only while the WAL still runs through it.

use walbrook::database::PageSet;
use walbrook::sqlite::{Follower, FrameNumber, Resume, WalPosition};

use super::{Bench, page};

/// Stops following at the end of what there is.
fn stop(mut follower: Follower) -> WalPosition {
    follower.advance(&mut PageSet::default()).unwrap();
    follower.position()
}

fn is_gap(resume: Resume) -> bool {
    matches!(resume, Resume::Gap(_))
}

#[test]
fn the_same_wal_tells_exactly_what_has_changed() {
    let mut bench = Bench::new();
    let follower = bench.follow();
    let at = stop(follower);
    let (follower, resume, news) = bench.resume(at);
    assert_eq!((resume, news.len()), (Resume::Continued, 0));
    drop(follower);
    let before = bench.image();
    bench.update(7, 20);
    let after = bench.image();
    let (follower, resume, news) = bench.resume(at);
    assert_eq!(resume, Resume::Continued);
    for (number, (old, new)) in (1..).zip(before.chunks(4096).zip(after.chunks(4096))) {
        assert_eq!(old != new, news.contains(page(number)), "page {number}");
    }
    bench.assert_is_now(follower.view());
}

#[test]
fn a_wal_written_back_in_part_or_whole_is_still_the_same() {
    let mut bench = Bench::new();
    let at = stop(bench.follow());
    bench.update(1, 10);
    bench.app.run("checkpoint('passive')");
    let (follower, resume, news) = bench.resume(at);
    assert_eq!(resume, Resume::Continued);
    assert!(!news.is_empty());
    bench.assert_is_now(follower.view());
}

#[test]
fn a_restarted_wal_is_a_gap_even_with_more_frames_than_before() {
    let mut bench = Bench::new();
    let at = stop(bench.follow());
    bench.app.run("checkpoint('restart')");
    bench.update(1, 300);
    bench.update(1, 300);
    let (follower, resume, _) = bench.resume(at);
    assert!(is_gap(resume));
    assert!(follower.frames() > at.frame);
    bench.assert_is_now(follower.view());
}

#[test]
fn a_wal_that_lost_its_tail_is_a_gap() {
    let mut bench = Bench::new();
    bench.update(1, 3);
    let at = stop(bench.follow());
    bench
        .app
        .run("wal = open(path + '-wal', 'rb').read(); main = open(path, 'rb').read()");
    bench.app.kill();
    let mut bench = bench.reopened(&format!(
        "open(path + '-wal', 'r+b').truncate(32 + 4120 * {})",
        at.frame.0 - 1
    ));
    let (follower, resume, _) = bench.resume(at);
    assert!(is_gap(resume), "{resume:?}");
    bench.assert_is_now(follower.view());
}

#[test]
fn other_frames_up_to_the_same_number_are_a_gap() {
    let mut bench = Bench::new();
    bench.update(1, 3);
    let at = stop(bench.follow());
    bench.app.kill();
    // The last transaction is lost with the power, and the application makes another one instead.
    let mut bench = bench.reopened(&format!(
        "open(path + '-wal', 'r+b').truncate(32 + 4120 * {})",
        at.frame.0 - 1
    ));
    bench.app.run("c = connect()");
    bench.update(1, 3);
    for _ in 0..2 {
        let (follower, resume, _) = bench.resume(at);
        assert!(follower.frames() >= at.frame);
        assert!(is_gap(resume), "{resume:?}");
        bench.assert_is_now(follower.view());
        drop(follower);
        // And with more frames than remembered.
        bench.update(9, 30);
    }
}

#[test]
fn a_position_before_the_first_frame_continues_with_the_wal_that_begins_there() {
    let mut bench = Bench::new();
    let mut follower = bench.follow();
    // One connection of the application restarts the WAL and writes to it, so that the salts stay.
    bench
        .app
        .run("c.execute('pragma wal_checkpoint(truncate)').fetchall()");
    follower.advance(&mut PageSet::default()).unwrap();
    bench
        .app
        .run("c.execute('pragma wal_checkpoint(truncate)').fetchall()");
    let at = stop(follower);
    assert_eq!(at.frame, FrameNumber(0));
    bench.update(50, 60);
    let (follower, resume, news) = bench.resume(at);
    assert_eq!(resume, Resume::Continued);
    assert!(!news.is_empty());
    bench.assert_is_now(follower.view());
}

#[test]
fn an_empty_wal_says_nothing_about_what_came_before_it() {
    let mut bench = Bench::new();
    bench.app.run("c.close()");
    let at = stop(bench.follow());
    // The application comes and goes while nobody looks, and leaves an empty WAL behind as it found one.
    bench.app.run("c = connect()");
    bench.update(1, 100);
    bench.app.run("c.close()");
    let (follower, resume, _) = bench.resume(at);
    assert!(is_gap(resume), "100 changed rows would be missed");
    bench.assert_is_now(follower.view());
}
