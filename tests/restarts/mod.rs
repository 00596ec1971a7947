//! Stops, crashes and accidents: what a restore gives afterwards.

mod accidents;
mod application;
mod endings;
mod forced;
pub(crate) mod gaps;
mod healing;
mod kills;
mod offline;
mod power;
mod refused;
mod state;
mod stopped;

use crate::support::application::Session;
use crate::support::process::{Process, wait_until};
use crate::support::rig::{Program, Rig};

/// How replication ends before something happens.
#[derive(Clone, Copy, Debug)]
enum End {
    Stopped,
    Killed,
}

/// A database with two tables and some rows, replicated until `end`. The application stays.
fn replicated_until(end: End) -> (Rig, Session) {
    let (rig, session, process) = replicating();
    finish(process, end);
    (rig, session)
}

/// A database with two tables and some rows, being replicated.
fn replicating() -> (Rig, Session, Process) {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    session.sql("CREATE TABLE other(id INTEGER PRIMARY KEY, v TEXT)");
    let process = rig.start(Program::Walbrook);
    for _ in 0..3 {
        session.insert("t", 10);
        rig.wait_in_sync();
    }
    rig.wait_remembered();
    (rig, session, process)
}

fn finish(process: Process, end: End) {
    match end {
        End::Stopped => drop(process.stop().well()),
        End::Killed => process.kill(),
    }
}

/// Starts again, lets the application write once more, stops, and compares.
#[track_caller]
fn goes_on(rig: &Rig, session: &mut Session) {
    let process = rig.start(Program::Walbrook);
    rig.wait_in_sync();
    session.insert("t", 1);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}

/// As [`goes_on`], but with no write to help it along.
#[track_caller]
fn catches_up(rig: &Rig) {
    let openings = || {
        let log = std::fs::read_to_string(rig.log(Program::Walbrook)).unwrap_or_default();
        log.matches("replicating to").count()
    };
    let before = openings();
    let process = rig.start(Program::Walbrook);
    // The replica may be up to date already, and the process not yet ready to be stopped.
    wait_until("opened", || openings() > before);
    rig.wait_in_sync();
    process.stop().well();
    rig.assert_in_sync();
}
