//! Changes made in place, seen by SQLite: whole or not at all, wherever they are broken off.

use std::fs;
use std::path::Path;

use crate::support::process::output_of;
use crate::support::rig::sqlite;
use crate::support::scratch::Scratch;
use walbrook::sqlite::{Change, InPlace};
use walbrook::units::{PageNumber, PageSize};

/// A database of several pages, whose pages of a table are to be overwritten.
fn database(scratch: &Scratch, page_size: u32) -> std::path::PathBuf {
    let path = scratch.path().join("a.db");
    let sql = format!(
        "PRAGMA page_size={page_size}; CREATE TABLE t(a); INSERT INTO t SELECT hex(zeroblob(1000)) FROM \
         (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) SELECT i FROM n)"
    );
    sqlite(&path, &sql);
    path
}

/// Begins a change that overwrites every page with zeros and cuts half of them off.
fn begin(database: &mut InPlace, page_size: u32) -> Change<'_> {
    let size = PageSize::new(page_size).unwrap();
    let mut change = database.begin().unwrap().unwrap();
    let pages = u32::try_from(change.size().unwrap()).unwrap() / page_size;
    let mut all = (1..=pages + 3).map(|number| PageNumber::new(number).unwrap());
    change.keep(size, pages, &mut all).unwrap();
    change
}

fn overwrite(change: &mut Change<'_>, page_size: u32) {
    assert!(change.try_exclusive().unwrap());
    let pages = change.size().unwrap() / u64::from(page_size);
    for page in 0..pages + 3 {
        let zeros = vec![0; page_size as usize];
        change.write(&zeros, page * u64::from(page_size)).unwrap();
    }
}

fn is_whole(path: &Path) {
    assert_eq!(
        sqlite(path, "SELECT count(*) FROM t; PRAGMA integrity_check"),
        "200\nok\n"
    );
}

#[test]
fn one_that_is_broken_off_has_not_happened() {
    for page_size in [512, 4096, 65536] {
        let scratch = Scratch::new();
        let path = database(&scratch, page_size);
        let before = fs::read(&path).unwrap();
        let journal = scratch.path().join("a.db-journal");
        // Before anything was written, nobody has anything to do.
        drop(begin(&mut InPlace::open(&path).unwrap(), page_size));
        assert!(!journal.exists());
        is_whole(&path);
        // Then SQLite puts it back, whoever opens it next.
        for ours in [false, true] {
            let mut database = InPlace::open(&path).unwrap();
            let mut change = begin(&mut database, page_size);
            overwrite(&mut change, page_size);
            drop(change);
            drop(database);
            assert!(journal.exists());
            assert_ne!(fs::read(&path).unwrap(), before);
            match ours {
                true => drop(InPlace::open(&path).unwrap()),
                false => is_whole(&path),
            }
            assert!(!journal.exists());
            assert!(fs::read(&path).unwrap() == before, "{page_size}");
        }
        // A journal that a power cut has torn is of a database that was not written to yet.
        let mut database = InPlace::open(&path).unwrap();
        let mut change = begin(&mut database, page_size);
        let whole = fs::read(&journal).unwrap();
        assert!(change.try_exclusive().unwrap());
        drop(change);
        drop(database);
        for length in [0, 100, 512, 513, whole.len() / 2, whole.len() - 1] {
            fs::write(&journal, &whole[..length]).unwrap();
            is_whole(&path);
            assert!(fs::read(&path).unwrap() == before, "{page_size} {length}");
            let _ = fs::remove_file(&journal);
        }
        // Killed before its header was written, it is nobody's: the next change goes on over it.
        for left in [&[][..], &[0; 100], &[&[0; 512], &whole[512..]].concat()] {
            fs::write(&journal, left).unwrap();
            drop(begin(&mut InPlace::open(&path).unwrap(), page_size));
            assert!(!journal.exists());
            assert!(fs::read(&path).unwrap() == before, "{page_size}");
        }
        // A whole one that comes while the database is open is another writer's, and for SQLite to deal with.
        let mut database = InPlace::open(&path).unwrap();
        fs::write(&journal, &whole).unwrap();
        assert!(database.begin().is_err());
        assert!(journal.exists());
    }
}

#[test]
fn locks_meet_those_of_sqlite() {
    let scratch = Scratch::new();
    let path = database(&scratch, 4096);
    let try_sql = |sql: &str| {
        let mut command = std::process::Command::new("sqlite3");
        output_of(command.args(["-bail", "-batch"]).arg(&path).arg(sql))
    };
    let mut database = InPlace::open(&path).unwrap();
    let mut change = begin(&mut database, 4096);
    assert!(
        try_sql("SELECT count(*) FROM t").is_ok(),
        "readers are not held up yet"
    );
    let written = try_sql("INSERT INTO t VALUES (1)").unwrap_err();
    assert!(written.contains("locked"), "{written}");
    assert!(change.try_exclusive().unwrap());
    let read = try_sql("SELECT count(*) FROM t").unwrap_err();
    assert!(read.contains("locked"), "{read}");
    drop(change);
    is_whole(&path);
    try_sql("INSERT INTO t VALUES (1)").unwrap();
}
