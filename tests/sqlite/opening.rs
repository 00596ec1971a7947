//! Opening: what is refused and why, which files belong together, and whose locks stay.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use walbrook::database::PageSet;
use walbrook::sqlite::{Blocking, DatabaseFiles, Follower, OpenOptions, SqliteError};

use super::{Bench, PATIENT, Python};
use crate::support::scratch::Scratch;

const HASTY: OpenOptions = OpenOptions {
    patience: std::time::Duration::from_millis(50),
    destinations: 1,
};

fn error(path: &Path) -> SqliteError {
    DatabaseFiles::open(path, HASTY).err().unwrap()
}

/// The locks this process holds on a file.
fn locks(path: &Path) -> Vec<String> {
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let mut ours = crate::support::locks::held_by(std::process::id());
    ours.retain(|lock| lock.contains(&inode));
    ours
}

#[test]
fn what_is_no_database_in_order_is_refused() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path().join(name);
    assert!(matches!(error(&path("missing")), SqliteError::Missing(_)));
    fs::write(path("empty"), "").unwrap();
    assert!(matches!(error(&path("empty")), SqliteError::Empty(_)));
    fs::write(path("short"), "SQLite format 3\0").unwrap();
    assert!(matches!(
        error(&path("short")),
        SqliteError::NotADatabase(_)
    ));
    let random: Vec<u8> = (0..8192_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    fs::write(path("encrypted"), random).unwrap();
    assert!(matches!(
        error(&path("encrypted")),
        SqliteError::NotADatabase(_)
    ));
    for name in ["missing", "empty", "short", "encrypted"] {
        assert!(!path(&format!("{name}-wal")).exists() && !path(&format!("{name}-shm")).exists());
    }
}

#[test]
fn a_database_with_a_rollback_journal_is_switched_once_nobody_is_in_the_way() {
    let scratch = Scratch::new();
    let path = scratch.path().join("app.db");
    let mut app = Python::start(&path);
    app.run("c = connect()");
    app.run("c.executescript('create table t(a); begin; insert into t values (1)')");
    assert!(
        matches!(error(&path), SqliteError::Locked(_)),
        "an open transaction"
    );
    app.run("c.execute('commit')");
    let files = DatabaseFiles::open(&path, PATIENT).unwrap();
    let mut follower = Follower::start(files, None, &mut PageSet::default())
        .unwrap()
        .0;
    app.run("c.executescript('insert into t values (2)')");
    assert_eq!(
        app.run("c.execute('pragma journal_mode').fetchone()[0]"),
        "wal"
    );
    let mut news = PageSet::default();
    follower.advance(&mut news).unwrap();
    assert!(!news.is_empty());
    assert!(
        app.fail("c.execute('pragma journal_mode=delete').fetchall()")
            .contains("locked")
    );
}

#[test]
fn a_database_held_exclusively_is_waited_for() {
    let mut bench = Bench::new();
    bench
        .app
        .run("c.execute('pragma locking_mode=exclusive').fetchall()");
    bench.update(1, 1);
    assert!(matches!(error(&bench.path()), SqliteError::Locked(_)));
    bench.app.run("c.close()");
    drop(bench.open().unwrap());
}

#[test]
fn the_same_file_under_two_names_is_open_once() {
    let bench = Bench::new();
    let (link, alias) = (
        bench.scratch.path().join("link.db"),
        bench.scratch.path().join("alias.db"),
    );
    fs::hard_link(bench.path(), &link).unwrap();
    symlink(bench.path(), &alias).unwrap();
    let files = bench.open().unwrap();
    for name in [&link, &alias, &bench.path()] {
        assert!(
            matches!(error(name), SqliteError::AlreadyOpen(_)),
            "{}",
            name.display()
        );
    }
    drop(files);
    drop(DatabaseFiles::open(&alias, PATIENT).unwrap());
    drop(bench.open().unwrap());
}

#[test]
fn locks_on_one_database_outlive_everything_else_that_is_opened_and_closed() {
    let mut bench = Bench::new();
    let other = Bench::new();
    let mut follower = bench.follow();
    follower
        .write_back(Blocking::Never, &mut PageSet::default())
        .unwrap();
    bench.update(1, 2);
    follower.advance(&mut PageSet::default()).unwrap();
    let shm = bench.scratch.path().join("app.db-shm");
    let before = (locks(&bench.path()), locks(&shm));
    assert!(!before.0.is_empty() && before.1.len() >= 2, "{before:?}");
    drop(other.follow());
    let link = bench.scratch.path().join("link.db");
    fs::hard_link(bench.path(), &link).unwrap();
    for name in [&link, &bench.path(), &bench.scratch.path().join("missing")] {
        drop(error(name));
    }
    follower.files().check_unmoved().unwrap();
    follower.files().another_checkpoints().unwrap();
    follower.files().wal_size().unwrap();
    follower.advance(&mut PageSet::default()).unwrap();
    assert_eq!((locks(&bench.path()), locks(&shm)), before);
    // A slide and a checkpoint leave the locks of the new view.
    bench.update(1, 2);
    follower.advance(&mut PageSet::default()).unwrap();
    assert_eq!(locks(&shm).len(), before.1.len());
    drop(follower);
    assert_eq!(
        (locks(&bench.path()), locks(&shm)),
        (Vec::new(), Vec::new())
    );
}

#[test]
fn a_file_that_is_moved_away_or_replaced_is_noticed_before_anything_is_done() {
    for suffix in ["", "-wal", "-shm"] {
        for replaced in [false, true] {
            let mut bench = Bench::new();
            let files = bench.open().unwrap();
            let (path, away) = (
                bench.scratch.path().join(format!("app.db{suffix}")),
                bench.scratch.path().join("away"),
            );
            fs::rename(&path, &away).unwrap();
            if replaced {
                // A copy, made by a process of its own.
                let copied = std::process::Command::new("cp")
                    .arg(&away)
                    .arg(&path)
                    .status();
                assert!(copied.unwrap().success());
            }
            let started = Follower::start(files, None, &mut PageSet::default());
            assert!(
                matches!(started.err(), Some(SqliteError::Replaced(_))),
                "{suffix}: before the first view"
            );
            fs::rename(&away, &path).unwrap();

            let mut follower = bench.follow();
            bench.update(1, 30);
            let written = bench.app.run("wal_index()[-1]");
            fs::rename(&path, &away).unwrap();
            if replaced {
                let copied = std::process::Command::new("cp")
                    .arg(&away)
                    .arg(&path)
                    .status();
                assert!(copied.unwrap().success());
            }
            let mut news = PageSet::default();
            let outcomes = [
                follower.advance(&mut news).err(),
                follower.write_back(Blocking::Briefly, &mut news).err(),
                follower.truncate(&mut news).err(),
            ];
            for outcome in outcomes {
                let outcome = outcome.unwrap();
                assert!(matches!(outcome, SqliteError::Replaced(_)) && outcome.wants_reopening());
            }
            fs::rename(&away, &path).unwrap();
            assert_eq!(
                bench.app.run("wal_index()[-1]"),
                written,
                "no checkpoint crossed files"
            );
            follower.advance(&mut news).unwrap();
            bench.assert_is_now(follower.view());
        }
    }
}

#[test]
fn a_link_that_leads_elsewhere_now_is_noticed() {
    let (old, new) = (Bench::new(), Bench::new());
    let link = old.scratch.path().join("current");
    symlink(old.path(), &link).unwrap();
    let files = DatabaseFiles::open(&link, PATIENT).unwrap();
    let mut follower = Follower::start(files, None, &mut PageSet::default())
        .unwrap()
        .0;
    let next = old.scratch.path().join("next");
    symlink(new.path(), &next).unwrap();
    fs::rename(&next, &link).unwrap();
    let advanced = follower.advance(&mut PageSet::default());
    assert!(
        matches!(advanced, Err(SqliteError::Replaced(_))),
        "{advanced:?}"
    );
}

#[test]
fn nothing_is_left_behind_in_a_database_that_was_only_looked_at() {
    let mut bench = Bench::new();
    bench.app.run("checkpoint('truncate')");
    let before = bench.app_file();
    let mut follower = bench.follow();
    follower.advance(&mut PageSet::default()).unwrap();
    follower.truncate(&mut PageSet::default()).unwrap();
    drop(follower);
    assert!(
        bench.app_file() == before,
        "Walbrook writes nothing of its own"
    );
}

#[test]
fn only_what_nobody_else_can_reach_is_taken_for_deleted() {
    let bench = Bench::new();
    let path = |end: &str| bench.scratch.path().join(format!("app.db{end}"));
    let files = bench.open().unwrap();
    assert!(!files.is_deleted());
    fs::rename(path(""), path(".new")).unwrap();
    assert!(!files.is_deleted(), "others may open it by its new name");
    fs::remove_file(path(".new")).unwrap();
    assert!(files.is_deleted());
    fs::write(path(""), "").unwrap();
    assert!(!files.is_deleted(), "another one could write to the WAL");
    for end in ["-wal", "-shm"] {
        fs::remove_file(path(end)).unwrap();
    }
    assert!(files.is_deleted(), "it would have a WAL of its own");
}
