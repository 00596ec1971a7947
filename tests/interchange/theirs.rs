//! We restore what Litestream writes.

use super::LEVELS;
use crate::support::application::{Load, Session};
use crate::support::process::wait_until;
use crate::support::rig::{Program, Rig, Settings};
use crate::support::sftp::Kind;

/// Lets Litestream replicate a database that is written to until there are files of levels 0, 1, 2 and 9, and
/// compares what both programs restore: the newest state with the database, every TXID with each other.
fn is_restored_alike(rig: &Rig, writer: Program, page_size: u32) {
    let mut session = Session::open(&rig.db());
    session.sql(&format!("PRAGMA page_size = {page_size}"));
    session.sql("PRAGMA journal_mode = wal");
    session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    let litestream = rig.start_with(writer, &Settings::global(LEVELS));
    let mut load = Load::start(&rig.db(), 30);
    load.wait_for(30);
    session.sql("INSERT INTO t(v) VALUES(zeroblob(200000))");
    load.wait_for(10);
    session.sql("DELETE FROM t");
    session.sql("VACUUM");
    load.wait_for(10);
    let compacted = || (0..=2).chain([9]).all(|level| !rig.files(level).is_empty());
    wait_until("compacted", || compacted() && rig.files(2).len() > 1);
    load.pause();
    let log = litestream.stop().well().log;
    assert!(!log.contains("level=ERROR"), "{log}");

    rig.assert_in_sync();
    load.losses(&rig.restore(Program::Walbrook)).none();
    let mut reachable = 0;
    for txid in 1..=rig.newest() + 1 {
        let ours = rig.restored_sum(Program::Walbrook, Some(txid));
        let theirs = rig.restored_sum(Program::Litestream17, Some(txid));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => {
                assert_eq!(ours, theirs, "at {txid}");
                reachable += 1;
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => panic!("at {txid} we restore {ours:?} and they {theirs:?}"),
        }
    }
    println!("{reachable} of {} TXIDs can be restored", rig.newest());
}

#[test]
fn files_of_litestream_0_5_17_are_restored_alike() {
    is_restored_alike(&Rig::new(), Program::Litestream17, 4096);
}

#[test]
fn files_of_litestream_0_5_15_are_restored_alike() {
    is_restored_alike(&Rig::new(), Program::Litestream15, 4096);
}

#[test]
fn files_of_litestream_with_small_pages_are_restored_alike() {
    is_restored_alike(&Rig::new(), Program::Litestream17, 512);
}

#[test]
fn files_of_litestream_with_large_pages_are_restored_alike() {
    is_restored_alike(&Rig::new(), Program::Litestream17, 65536);
}

#[test]
fn files_of_litestream_on_sftp_are_restored_alike() {
    is_restored_alike(&super::on_sftp(Kind::OpenSsh), Program::Litestream17, 4096);
}

#[test]
fn files_of_litestream_on_dropbear_are_restored_alike() {
    is_restored_alike(&super::on_sftp(Kind::Dropbear), Program::Litestream17, 4096);
}

#[test]
fn files_of_litestream_on_s3_are_restored_alike() {
    is_restored_alike(&super::on_s3(), Program::Litestream17, 4096);
}
