//! The judgement by content alone, on histories of the real SQLite: what follows from the newest state is never taken
//! for anything else, however it went on, and no earlier state is taken for the newest.

use std::path::Path;
use std::sync::Arc;

use walbrook::replica::{Lineage, Shape, Title, Verdict, Voucher, WriterId, settle};
use walbrook::sqlite::FileMark;
use walbrook::storage::file::FileStorage;
use walbrook::sys::fs::SystemFiles;
use walbrook::units::{PageCount, PageNumber, PageSize};

use super::{once, put};
use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::rig::{Program, Rig, sqlite};

const HISTORIES: u64 = 12;
const SYNCS: usize = 6;

/// What is said of the database file at `path`, of which nothing else is known, and which has no WAL.
fn judgement(rig: &Rig, path: &Path) -> Verdict {
    let bytes = std::fs::read(path).unwrap();
    let page_bytes = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65536,
        bytes => u32::from(bytes),
    };
    let page_size = PageSize::new(page_bytes).unwrap();
    let shape = Shape {
        page_size,
        pages: PageCount((bytes.len() / page_bytes as usize) as u32),
    };
    let mark = FileMark {
        number: 1,
        lasting: true,
    };
    let title = Title {
        writer: WriterId::of(mark),
        voucher: Voucher::OtherFile,
    };
    let storage = FileStorage::new(rig.replica(), Arc::new(SystemFiles));
    let footing = settle(&storage, shape, None, title).unwrap();
    footing.verdict(|page: PageNumber| {
        let at = page.offset(page_size) as usize;
        let content = bytes.get(at..at + page_bytes as usize)?;
        Some(content.into())
    })
}

/// What an application does in one transaction or a few.
fn change(chance: &mut Chance, session: &mut Session) {
    let row = chance.below(300);
    let sql = match chance.below(9) {
        0..=3 => return session.insert("t", 1 + chance.below(20) as usize),
        4 => format!("UPDATE t SET v = hex(randomblob(100)) WHERE id = {row}"),
        5 => format!(
            "UPDATE t SET v = v || 'x' WHERE id BETWEEN {row} AND {}",
            row + 8
        ),
        6 => format!("DELETE FROM t WHERE id BETWEEN {row} AND {}", row + 5),
        7 => format!("CREATE TABLE IF NOT EXISTS t{row}(a, b)"),
        _ => "PRAGMA wal_checkpoint(TRUNCATE)".to_string(),
    };
    session.sql(&sql);
}

#[test]
fn whatever_follows_is_accepted_and_whatever_came_before_is_not() {
    for seed in 0..HISTORIES {
        println!("seed {seed}");
        let mut chance = Chance::of_seed(seed);
        let rig = Rig::new();
        let mut session = Session::open(&rig.db());
        session.sql(&format!("PRAGMA page_size = {}", 512 << chance.below(5)));
        session.sql("PRAGMA journal_mode = wal");
        session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        session.insert("t", 20);
        rig.once();
        for _ in 0..SYNCS {
            for _ in 0..1 + chance.below(4) {
                change(&mut chance, &mut session);
            }
            // So that every sync has something to send.
            session.insert("t", 1);
            rig.once();
        }
        session.close();
        let heir = |verdict| matches!(verdict, Verdict::Heir { lost: None, .. });
        let copy = rig.restore(Program::Litestream17);
        assert!(
            heir(judgement(&rig, &copy)),
            "seed {seed}: the newest state"
        );
        let newest = rig.newest();
        for txid in rig.txids() {
            let earlier = rig.restore_at(Program::Walbrook, Some(txid)).unwrap();
            if txid == newest || std::fs::read(&earlier).unwrap() == std::fs::read(&copy).unwrap() {
                continue;
            }
            let verdict = judgement(&rig, &earlier);
            let right = match verdict {
                Verdict::Refused(Lineage::Behind { lacks }) => lacks.txid.value() > txid,
                // Hardly anything is as it was then.
                Verdict::Refused(Lineage::Unrelated) => true,
                _ => false,
            };
            assert!(right, "seed {seed}: {txid} of {newest} is {verdict:?}");
        }
        let mut session = Session::open(&copy);
        for step in 0..8 {
            change(&mut chance, &mut session);
            session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
            let verdict = judgement(&rig, &copy);
            assert!(heir(verdict), "seed {seed}: after {step} more: {verdict:?}");
        }
        session.close();
        // The same application's, made anew.
        let other = rig.path("other.db");
        let mut session = Session::open(&other);
        session.sql(&format!("PRAGMA page_size = {}", page_size_of(&copy)));
        session.sql("PRAGMA journal_mode = wal");
        session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        for _ in 0..chance.below(20) {
            change(&mut chance, &mut session);
        }
        session.close();
        let verdict = judgement(&rig, &other);
        let refused = Verdict::Refused(Lineage::Unrelated);
        assert_eq!(verdict, refused, "seed {seed}: another one");
    }
}

fn page_size_of(database: &Path) -> String {
    sqlite(database, "PRAGMA page_size").trim().to_string()
}

#[test]
fn a_database_of_one_row_is_known_again() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    session.sql("INSERT INTO t(v) VALUES('only one')");
    rig.once();
    session.close();
    let copy = rig.restore(Program::Walbrook);
    sqlite(&copy, "INSERT INTO t(v) VALUES('and another')");
    put(&rig, &copy);
    assert_eq!(once(&rig, &[]).code(), 0);
}
