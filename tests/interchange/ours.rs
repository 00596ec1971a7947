//! Litestream restores what we write.

use super::LEVELS;
use crate::support::application::{Load, Session};
use crate::support::place::Place;
use crate::support::process::eventually;
use crate::support::rig::{Program, Rig, Settings, Sum};
use crate::support::sftp::Kind;
use crate::support::states::checksum;
use walbrook::ltx::Header;

/// A database's life: growing, changing in place, shrinking, growing again.
const LIFE: [&str; 12] = [
    "INSERT INTO t(v) VALUES('first')",
    "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 60)
     SELECT hex(randomblob(3000)) FROM n",
    "UPDATE t SET v = hex(randomblob(100)) WHERE id % 7 = 0",
    "CREATE INDEX t_v ON t(substr(v, 1, 20))",
    "DELETE FROM t WHERE id % 3 = 0",
    "PRAGMA incremental_vacuum(20)",
    "INSERT INTO t(v) VALUES(zeroblob(90000))",
    "DELETE FROM t WHERE id > 10",
    "VACUUM",
    "INSERT INTO t(v) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i+1 FROM n WHERE i < 20)
     SELECT hex(randomblob(5000)) FROM n",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "UPDATE t SET v = v || '!'",
];

fn create(rig: &Rig, page_size: u32, auto_vacuum: u32) -> Session {
    let mut session = Session::open(&rig.db());
    session.sql(&format!("PRAGMA page_size = {page_size}"));
    session.sql(&format!("PRAGMA auto_vacuum = {auto_vacuum}"));
    session.sql("PRAGMA journal_mode = wal");
    session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
    session
}

/// Lives through [`LIFE`] while we replicate, and compares every TXID.
fn every_txid_is_restored_alike(rig: &Rig, page_size: u32, auto_vacuum: u32) {
    let mut session = create(rig, page_size, auto_vacuum);
    let settings = Settings {
        replica: "sync-interval: 10ms".to_string(),
        database: "monitor-interval: 10ms".to_string(),
        ..Settings::default()
    };
    let walbrook = rig.start_with(Program::Walbrook, &settings);
    let mut states: Vec<(u64, Sum)> = Vec::new();
    for statement in LIFE {
        session.sql(statement);
        let source = rig.source_sum();
        let txid = eventually(
            || match rig.restored_sum(Program::Walbrook, None)? == source {
                true => Ok(rig.newest()),
                false => Err(format!("not yet restorable: {statement}")),
            },
        );
        states.push((txid, source));
    }
    walbrook.stop().well();
    rig.assert_in_sync();

    let txids = rig.txids();
    let expected: Vec<u64> = (1..=rig.newest()).collect();
    assert_eq!(txids, expected, "every TXID is some file's last");
    for txid in txids {
        let ours = rig.restored_sum(Program::Walbrook, Some(txid)).unwrap();
        let theirs = rig.restored_sum(Program::Litestream17, Some(txid)).unwrap();
        assert_eq!(ours, theirs, "at {txid}");
        if let Some((_, source)) = states.iter().rev().find(|(at, _)| *at == txid) {
            assert_eq!(ours, *source, "at {txid}");
        }
    }
    if let Place::Directory(_) = rig.place() {
        files_say_what_litestream_restores(rig);
    }
}

/// Every file of ours says what the database is that Litestream restores up to it.
fn files_say_what_litestream_restores(rig: &Rig) {
    for level in [0, 1, 2, 9] {
        for name in rig.files(level) {
            let bytes = std::fs::read(rig.level(level).join(&name)).unwrap();
            let header = Header::parse(bytes.first_chunk().unwrap()).unwrap();
            let txid = header.txids.max().value();
            let restored = rig.restore_at(Program::Litestream17, Some(txid)).unwrap();
            let image = std::fs::read(&restored).unwrap();
            std::fs::remove_file(restored).unwrap();
            let there_is = Some(checksum(&image, header.page_size));
            assert_eq!(header.database(), there_is, "level {level}, {name}");
        }
    }
}

#[test]
fn pages_of_512_bytes_are_restored_at_every_txid() {
    every_txid_is_restored_alike(&Rig::new(), 512, 0);
}

#[test]
fn pages_of_4096_bytes_are_restored_at_every_txid() {
    every_txid_is_restored_alike(&Rig::new(), 4096, 0);
}

#[test]
fn pages_of_65536_bytes_are_restored_at_every_txid() {
    every_txid_is_restored_alike(&Rig::new(), 65536, 2);
}

#[test]
fn a_database_that_shrinks_by_itself_is_restored_at_every_txid() {
    every_txid_is_restored_alike(&Rig::new(), 4096, 1);
}

#[test]
fn a_database_that_shrinks_when_asked_is_restored_at_every_txid() {
    every_txid_is_restored_alike(&Rig::new(), 512, 2);
}

#[test]
fn a_replica_on_s3_is_restored_at_every_txid() {
    every_txid_is_restored_alike(&super::on_s3(), 4096, 1);
}

#[test]
fn a_replica_on_sftp_is_restored_at_every_txid() {
    every_txid_is_restored_alike(&super::on_sftp(Kind::Chrooted), 4096, 1);
}

#[test]
fn a_replica_on_another_sftp_server_is_restored_at_every_txid() {
    every_txid_is_restored_alike(&super::on_sftp(Kind::AsyncSsh), 4096, 1);
}

/// What levels, snapshots and retention leave is restored by Litestream, at every stage.
#[test]
fn a_replica_with_levels_is_restored_alike_at_every_stage() {
    let rig = Rig::new();
    let mut session = create(&rig, 4096, 0);
    let walbrook = rig.start_with(Program::Walbrook, &Settings::global(LEVELS));
    let mut load = Load::start(&rig.db(), 30);
    let mut levels_seen = [false; 4];
    for statement in LIFE {
        session.sql(statement);
        load.wait_for(15);
        for (seen, level) in levels_seen.iter_mut().zip([0, 1, 2, 9]) {
            *seen |= rig.files(level).len() > usize::from(level != 0);
        }
        // Retention goes on meanwhile, so that both may have to plan again.
        for restorer in Program::RESTORERS {
            assert_eq!(load.losses(&rig.restore(restorer)).integrity, "ok");
        }
    }
    load.pause();
    let log = walbrook.stop().well().log;
    assert!(!log.contains("ERROR"), "{log}");
    assert_eq!(levels_seen, [true; 4], "levels 0, 1, 2 and 9");
    rig.assert_in_sync();
    load.losses(&rig.restore(Program::Litestream17)).none();
    let first = rig.files(9).first().cloned();
    let mut restored = 0;
    for txid in rig.txids() {
        let ours = rig.restored_sum(Program::Walbrook, Some(txid));
        let theirs = rig.restored_sum(Program::Litestream17, Some(txid));
        match (ours, theirs) {
            (Ok(ours), Ok(theirs)) => assert_eq!(ours, theirs, "at {txid}"),
            (ours, theirs) => {
                panic!("at {txid} we restore {ours:?} and they {theirs:?}, from {first:?}")
            }
        }
        restored += 1;
    }
    files_say_what_litestream_restores(&rig);
    println!("{restored} of {} TXIDs are ends of files", rig.newest());
    assert!(restored < rig.newest(), "level 0 is thinned out");
}
