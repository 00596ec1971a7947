//! One replica that cannot be reached, or hangs: the other goes on, and so does the WAL.

use std::fs;
use std::time::{Duration, Instant};

use super::{directory_and_s3, stored};
use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::{Process, wait_until};
use crate::support::proxy::Fault;
use crate::support::rig::{Program, Rig, Settings, sqlite};

/// Bytes of a frame of the usual size.
const FRAME: u64 = 4096 + 24;
/// The pages from which on the WAL is written back, and that it must not become longer than.
const WRITTEN_BACK: u64 = 50;
const LIMIT: u64 = 300;

/// A WAL of `WRITTEN_BACK` pages is written back, one of `LIMIT` in any case.
fn short_wal() -> Settings {
    Settings {
        database: format!(
            "monitor-interval: 20ms, min-checkpoint-page-count: {WRITTEN_BACK}, truncate-page-n: {LIMIT}"
        ),
        ..Settings::default()
    }
}

/// Overwrites ten rows again and again, not much at once, with the replica `place` following. The WAL may become half as
/// long as that would make it: on a busy machine a checkpoint fails now and then, and the next comes seconds later. Gives
/// how long it was, in frames.
#[track_caller]
fn write_much(rig: &Rig, session: &mut Session, place: &Place) -> u64 {
    const ROUNDS: u64 = 10 * LIMIT / 20;
    /// Of 60,000 bytes.
    const FRAMES_A_ROUND: u64 = 15;
    session.insert("t", 10);
    let mut longest = 0;
    for round in 0..ROUNDS {
        let row = round % 10 + 1;
        session.sql(&format!(
            "UPDATE t SET v = randomblob(60000) WHERE id = {row}"
        ));
        std::thread::sleep(Duration::from_millis(50));
        if round % 30 == 29 {
            rig.wait_in_sync_at(place);
        }
        longest = longest.max(fs::metadata(rig.wal()).unwrap().len() / FRAME);
    }
    rig.wait_in_sync_at(place);
    assert!(
        longest < ROUNDS * FRAMES_A_ROUND / 2,
        "the WAL has grown to {longest} pages"
    );
    longest
}

fn lines_with<'a>(log: &'a str, text: &'a str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(text)).collect()
}

#[test]
fn both_are_equal_to_the_database() {
    let (rig, _proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let process = rig.start(Program::Walbrook);
    for _ in 0..5 {
        session.insert("t", 10);
        rig.wait_in_sync();
    }
    let log = process.stop().well().log;
    rig.assert_in_sync();
    for place in rig.places() {
        assert!(place.newest() > 2);
        let location = place.location();
        let end = lines_with(&log, "stopped at txid");
        assert_eq!(end.len(), 2, "{log}");
        assert!(end.iter().any(|line| line.contains(&location)), "{log}");
    }
}

#[test]
fn one_that_is_down_holds_back_neither_the_other_nor_the_wal() {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let process = rig.start_with(Program::Walbrook, &short_wal());
    session.insert("t", 10);
    rig.wait_in_sync();
    proxy.fault(Fault::Refuse);
    session.insert("t", 1);
    process.wait_for("offline since");
    write_much(&rig, &mut session, rig.place());
    let before = rig.places()[1].newest();
    proxy.reset_counts();
    proxy.clear();
    process.wait_for("online again after");
    rig.wait_in_sync();
    // All that was missed, and perhaps once more what may have arrived before.
    let sent = stored(&proxy);
    assert!((1..=2).contains(&sent.len()), "{sent:?}");
    assert!(rig.places()[1].newest() <= before + 2);
    let log = process.stop().well().log;
    rig.assert_in_sync();
    let outage = lines_with(&log, "offline since");
    assert_eq!(outage.len(), 1, "{log}");
    assert!(outage[0].contains(&rig.places()[1].location()), "{log}");
    // The other has not missed a beat.
    assert!(rig.newest() > 60, "{} syncs", rig.newest());
}

#[test]
fn one_that_was_never_there_ends_the_waiting_at_the_limit() {
    let mut rig = Rig::new();
    fs::write(rig.path("file"), "no directory").unwrap();
    rig.add_replica(Place::Directory(rig.path("file/replica")));
    let mut session = Session::create(&rig.db());
    let process = rig.start_with(Program::Walbrook, &short_wal());
    process.wait_for("offline since");
    let longest = write_much(&rig, &mut session, rig.place());
    // It cannot be known whether Litestream wrote there, so the WAL is kept for it, but not for ever.
    assert!(longest > 2 * WRITTEN_BACK, "the WAL has {longest} pages");
    fs::remove_file(rig.path("file")).unwrap();
    process.wait_for("online again after");
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

#[test]
fn an_upload_that_hangs_is_called_back_without_touching_the_other() {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let process = rig.start_with(Program::Walbrook, &short_wal());
    session.insert("t", 10);
    rig.wait_in_sync();
    proxy.fault(Fault::Stall);
    session.insert("t", 1);
    write_much(&rig, &mut session, rig.place());
    process.wait_for("the upload is too slow");
    proxy.clear();
    proxy.drop_connections();
    rig.wait_in_sync();
    let log = process.stop().well().log;
    rig.assert_in_sync();
    let location = rig.places()[1].location();
    for line in lines_with(&log, "the upload is") {
        assert!(line.contains(&location), "{log}");
    }
    // The other has not missed a beat.
    assert!(rig.newest() > 60, "{} syncs", rig.newest());
}

#[test]
fn a_stop_tells_which_replica_is_behind() {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let settings = Settings::global("shutdown-sync-timeout: 1s");
    let process = rig.start_with(Program::Walbrook, &settings);
    session.insert("t", 10);
    rig.wait_in_sync();
    proxy.fault(Fault::Refuse);
    session.insert("t", 1);
    let asked = Instant::now();
    let ended = process.stop();
    assert!(asked.elapsed() < Duration::from_secs(10), "{}", ended.log);
    assert_eq!(ended.code(), 1, "{}", ended.log);
    let [directory, bucket] = [0, 1].map(|index| rig.places()[index].location());
    let told = lines_with(&ended.log, "the last changes are not on the storage");
    assert_eq!(told.len(), 1, "{}", ended.log);
    assert!(told[0].contains(&bucket), "{}", ended.log);
    let stopped = lines_with(&ended.log, "stopped at txid");
    assert_eq!(stopped.len(), 1, "{}", ended.log);
    assert!(stopped[0].contains(&directory), "{}", ended.log);
    rig.wait_in_sync_at(rig.place());
}

#[test]
fn once_brings_those_up_to_date_that_can_be_reached() {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    session.insert("t", 10);
    proxy.fault(Fault::Refuse);
    let once = |rig: &Rig| {
        let mut command = rig.replicate();
        command.arg("-once").arg(rig.db());
        command.args(rig.places().iter().map(Place::url));
        rig.run(&mut command).ended()
    };
    let ended = once(&rig);
    assert_eq!(ended.code(), 1, "{}", ended.log);
    let missing = rig.places()[1].location();
    assert!(
        lines_with(&ended.log, "Error").concat().contains(&missing),
        "{}",
        ended.log
    );
    rig.wait_in_sync_at(rig.place());
    proxy.clear();
    let newest = rig.newest();
    once(&rig).well();
    rig.assert_in_sync();
    assert_eq!(rig.newest(), newest, "there was nothing new for the first");
}

#[test]
fn two_databases_with_two_replicas_each() {
    let (rig, proxy) = directory_and_s3();
    let second = rig.path("second.db");
    let places: Vec<Place> = rig
        .places()
        .iter()
        .map(|place| place.beside("second"))
        .collect();
    let mut first = Session::create(&rig.db());
    let mut other = Session::create(&second);
    let text =
        Settings::default().text_for_several(&[(&rig.db(), rig.places()), (&second, &places)]);
    let start = || rig.start_config(Program::Walbrook, &text);
    let write = |first: &mut Session, other: &mut Session| {
        first.insert("t", 5);
        other.insert("t", 3);
        other.sql("UPDATE t SET v = 'second'");
    };
    let process = start();
    write(&mut first, &mut other);
    rig.wait_in_sync();
    proxy.fault(Fault::Refuse);
    write(&mut first, &mut other);
    process.wait_for("offline since");
    rig.wait_in_sync_at(rig.place());
    proxy.clear();
    rig.wait_in_sync();
    process.kill();
    write(&mut first, &mut other);
    let process = start();
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    let count = "SELECT count(*) FROM t WHERE v = 'second'";
    for place in &places {
        let restored = rig.restore_from(place, Program::Litestream17, &[""; 0]);
        assert_eq!(sqlite(&restored.unwrap(), count).trim(), "9");
    }
}

/// The lines of what a start sends, each naming its replica.
#[track_caller]
fn restarted(rig: &Rig, session: &mut Session, before: impl FnOnce()) -> String {
    let process = rig.start(Program::Walbrook);
    session.insert("t", 10);
    rig.wait_in_sync();
    rig.wait_remembered();
    process.stop().well();
    fs::remove_file(rig.log(Program::Walbrook)).unwrap();
    before();
    let process: Process = rig.start(Program::Walbrook);
    process.wait_for("replicating to");
    session.insert("t", 1);
    rig.wait_in_sync();
    let log = process.stop().well().log;
    rig.assert_in_sync();
    log
}

#[test]
fn a_restart_goes_on_with_both() {
    let (rig, _proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let log = restarted(&rig, &mut session, || {});
    assert!(!log.contains("sending every page"), "{log}");
}

#[test]
fn a_restart_without_the_state_sends_every_page_to_both() {
    let (rig, _proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let log = restarted(&rig, &mut session, || rig.forget());
    assert_eq!(log.matches("sending every page").count(), 2, "{log}");
}

#[test]
fn a_state_of_an_only_replica_still_counts_when_there_is_a_second() {
    let (both, _proxy) = directory_and_s3();
    let mut session = Session::create(&both.db());
    let text = Settings::default().text(&[(&both.db(), &both.replica())]);
    let process = both.start_config(Program::Walbrook, &text);
    session.insert("t", 10);
    both.wait_in_sync_at(both.place());
    both.wait_remembered();
    process.stop().well();
    fs::remove_file(both.log(Program::Walbrook)).unwrap();
    let process = both.start(Program::Walbrook);
    both.wait_in_sync();
    wait_until("sent", || process.log().contains("sending every page"));
    let log = process.stop().well().log;
    let every = lines_with(&log, "sending every page");
    assert_eq!(every.len(), 1, "{log}");
    assert!(every[0].contains(&both.places()[1].location()), "{log}");
    both.assert_in_sync();
}
