//! Files of any level are missing or cut short: the next start heals it, and the real Litestream goes on from there
//! without a complaint. Litestream itself is stuck then for good, or begins anew at TXID 1.

use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};

/// Levels that fill within seconds. Level 0 stays, or what is missing on it would not be needed any more.
const LEVELS: &str = "\
levels: [{interval: 1s}, {interval: 2s}]
snapshot: {interval: 1h, retention: 24h}";

/// Which files of a level suffer.
#[derive(Clone, Copy, Debug)]
enum Which {
    All,
    Newest,
    Middle,
    Oldest,
}

/// What happens to them.
#[derive(Clone, Copy, Debug)]
enum How {
    Gone,
    /// Cut to this many bytes.
    Short(usize),
}

/// The same where nothing is merged but what has to be at once.
const HEALING_ONLY: &str = "\
levels: [{interval: 1h}, {interval: 2h}]
snapshot: {interval: 3h, retention: 24h}";

fn damage(place: &Place, level: u8, which: Which, how: How) {
    let files = place.files(level);
    assert!(files.len() >= 2, "level {level}: {files:?}");
    let (first, last) = match which {
        Which::All => (0, files.len()),
        Which::Newest => (files.len() - 1, files.len()),
        Which::Middle => (files.len() / 2, files.len() / 2 + 1),
        Which::Oldest => (0, 1),
    };
    for name in &files[first..last] {
        match how {
            How::Gone => place.remove(level, name),
            How::Short(bytes) => place.write(level, name, &place.read(level, name)[..bytes]),
        }
    }
}

/// Writes until both levels have come farther.
fn write_on(rig: &Rig, session: &mut Session) {
    let newest = |level| rig.files(level).last().cloned();
    let before = [newest(1), newest(2)];
    wait_until("both levels have come farther", || {
        session.insert("t", 1);
        let now = [newest(1), newest(2)];
        (0..2).all(|level| now[level] > before[level])
    });
}

/// A replica with some files on every level, not being replicated.
fn filled(rig: &Rig) -> Session {
    let mut session = Session::create(&rig.db());
    session.sql("CREATE TABLE other(id INTEGER PRIMARY KEY, v TEXT)");
    let process = rig.start_with(Program::Walbrook, &Settings::global(LEVELS));
    write_on(rig, &mut session);
    write_on(rig, &mut session);
    rig.wait_in_sync();
    process.stop().well();
    session
}

#[track_caller]
fn is_healed(rig: &Rig, level: u8, which: Which, how: How) {
    let case = format!("{which:?} of level {level}, {how:?}");
    let mut session = filled(rig);
    let newest = rig.newest();
    damage(rig.place(), level, which, how);
    let process = rig.start_with(Program::Walbrook, &Settings::global(LEVELS));
    session.insert("other", 1);
    write_on(rig, &mut session);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
    assert!(rig.newest() > newest, "{case}: TXIDs do not go back");
    is_taken_over(rig, &mut session, &case);
}

#[track_caller]
fn is_taken_over(rig: &Rig, session: &mut Session, case: &str) {
    let process = rig.start_with(Program::Litestream17, &Settings::global(LEVELS));
    session.insert("other", 1);
    write_on(rig, session);
    rig.wait_in_sync();
    let log = process.stop().well().log;
    let complaints: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("level=ERROR") || line.contains("non-contiguous"))
        .collect();
    assert!(complaints.is_empty(), "{case}: {complaints:#?}");
    rig.assert_in_sync();
}

#[track_caller]
fn missing_files_are_healed(level: u8) {
    for which in [Which::All, Which::Newest, Which::Middle, Which::Oldest] {
        is_healed(&Rig::new(), level, which, How::Gone);
    }
}

#[track_caller]
fn short_files_are_healed(level: u8) {
    for (which, bytes) in [(Which::All, 0), (Which::Newest, 90), (Which::Middle, 0)] {
        is_healed(&Rig::new(), level, which, How::Short(bytes));
    }
}

#[test]
fn files_missing_on_level_0_are_healed() {
    missing_files_are_healed(0);
}

#[test]
fn files_missing_on_level_1_are_healed() {
    missing_files_are_healed(1);
}

#[test]
fn files_missing_on_level_2_are_healed() {
    missing_files_are_healed(2);
}

#[test]
fn short_files_on_level_0_are_healed() {
    short_files_are_healed(0);
}

#[test]
fn short_files_on_level_1_are_healed() {
    short_files_are_healed(1);
}

#[test]
fn short_files_on_level_2_are_healed() {
    short_files_are_healed(2);
}

#[test]
fn levels_on_s3_are_healed() {
    for (level, which, how) in [
        (0, Which::All, How::Gone),
        (1, Which::All, How::Gone),
        (1, Which::Newest, How::Short(0)),
        (2, Which::Middle, How::Gone),
    ] {
        let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
        is_healed(&Rig::with_replica(Place::on(&server)), level, which, how);
    }
}

#[test]
fn a_level_that_ends_before_the_next_one_is_written_at_once() {
    for which in [Which::All, Which::Newest] {
        let rig = Rig::new();
        let mut session = filled(&rig);
        // Level 2 ends with a file of level 1, and that one goes.
        while rig.files(1).last().map(|name| &name[17..])
            > rig.files(2).last().map(|name| &name[17..])
        {
            rig.place().remove(1, rig.files(1).last().unwrap());
        }
        damage(rig.place(), 1, which, How::Gone);
        let left = rig.files(1);
        let process = rig.start_with(Program::Walbrook, &Settings::global(HEALING_ONLY));
        session.insert("other", 1);
        wait_until("level 1 is healed", || rig.files(1).last() > left.last());
        rig.wait_in_sync();
        process.stop().well();
        is_taken_over(&rig, &mut session, "level 1 ends before level 2");
    }
}

#[test]
fn a_short_file_that_cannot_be_deleted_is_passed_by_a_snapshot() {
    let rig = Rig::new();
    let mut session = filled(&rig);
    let snapshots = rig.files(9);
    damage(rig.place(), 2, Which::Middle, How::Short(0));
    let settings = format!("{HEALING_ONLY}\nretention: {{enabled: false}}");
    let process = rig.start_with(Program::Walbrook, &Settings::global(&settings));
    session.insert("other", 1);
    wait_until("there is a new snapshot", || {
        rig.files(9).len() > snapshots.len()
    });
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}
