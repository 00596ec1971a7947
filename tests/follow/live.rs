//! A writer, a program that replicates it, a copy that follows, and readers of the copy, all at once.

use std::thread::sleep;
use std::time::Duration;

use super::{assert_same, copy, follow, wait_caught_up};
use crate::support::application::Ledger;
use crate::support::place::Place;
use crate::support::process::wait_until;
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Rig, sqlite};
use crate::support::s3::{Kind, S3Server, Tls};

/// Readers of the copy see whole states only, and the copy is the source in the end.
fn follows(rig: &Rig, program: Program) {
    let writer = Ledger::write(&rig.db(), 1);
    let replicating = rig.start(program);
    wait_until("replicated", || rig.newest() > 1);
    let following = follow(rig, &[]);
    following.wait_for("following from");
    let readers = [Ledger::read(&copy(rig)), Ledger::read(&copy(rig))];
    sleep(Duration::from_secs(6));
    writer.end();
    replicating.stop().well();
    wait_caught_up(rig);
    readers.into_iter().for_each(Ledger::end);
    following.stop().well();
    assert_same(rig);
}

#[test]
fn of_ours_in_a_directory() {
    follows(&Rig::new(), Program::Walbrook);
}

#[test]
fn of_ours_on_s3() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    follows(&Rig::with_replica(Place::on(&server)), Program::Walbrook);
}

#[test]
fn of_litestreams_in_a_directory() {
    follows(&Rig::new(), Program::Litestream17);
}

#[test]
fn of_litestreams_on_s3() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    follows(
        &Rig::with_replica(Place::on(&server)),
        Program::Litestream17,
    );
}

#[test]
fn it_asks_for_little_and_outlasts_an_outage() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    sqlite(&rig.db(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    rig.once();
    let following = follow(&rig, &[]);
    following.wait_for("following from");
    sleep(Duration::from_secs(1));
    proxy.reset_counts();
    sleep(Duration::from_secs(5));
    let counts = proxy.counts();
    // A hundred looks at the interval; one request each, and fewer of them while nothing comes.
    assert_eq!(counts.requests(), counts.list, "{counts:?}");
    assert!((1..30).contains(&counts.list), "{counts:?}");

    proxy.fault(Fault::Refuse);
    following.wait_for("trying again");
    proxy.clear();
    sqlite(&rig.db(), "INSERT INTO t VALUES (2)");
    rig.once();
    wait_caught_up(&rig);
    following.wait_for("can be read again");
    following.stop().well();
    assert_same(&rig);
}
