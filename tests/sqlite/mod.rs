//! SQLite's files under our eyes while applications in other processes do everything they may.
//!
//! This process never opens a database by itself: closing any descriptor of one drops the locks of all views.
//! What a database really is comes from SQLite's own `serialize`, in a process of its own.

mod checkpoints;
mod daemon;
mod frozen;
mod history;
mod opening;
mod pins;
mod python;
mod replica;
mod resume;
mod views;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use walbrook::database::PageSet;
use walbrook::sqlite::{
    DatabaseFiles, Follower, OpenOptions, Resume, SqliteError, View, WalPosition,
};
use walbrook::units::PageNumber;

use crate::support::scratch::Scratch;
pub(crate) use python::Python;

const PATIENT: OpenOptions = OpenOptions {
    patience: Duration::from_secs(5),
    destinations: 1,
};

/// A database in a directory of its own, and the application that has it open.
struct Bench {
    scratch: Scratch,
    app: Python,
}

impl Bench {
    /// A database in WAL mode with table `t` of 300 rows, and connection `c` of the application.
    fn new() -> Bench {
        let mut bench = Bench::empty("");
        bench.app.run(
            "c.executescript('create table t(a integer primary key, b); \
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 300) \
             insert into t select i, randomblob(900) from n')",
        );
        bench
    }

    /// A database in WAL mode, prepared by `pragmas`, with connection `c` of the application.
    fn empty(pragmas: &str) -> Bench {
        let scratch = Scratch::new();
        let mut app = Python::start(&scratch.path().join("app.db"));
        app.run("c = connect()");
        app.run(&format!("c.executescript('{pragmas}')"));
        app.run("c.execute('PRAGMA journal_mode=WAL').fetchall()");
        app.run("c.executescript('create table first(a); drop table first')");
        Bench { scratch, app }
    }

    /// The same database after all processes have died, `code` was run on it, and the application is back.
    fn reopened(mut self, code: &str) -> Bench {
        self.app = Python::start(&self.path());
        self.app.run(code);
        self
    }

    fn path(&self) -> PathBuf {
        self.scratch.path().join("app.db")
    }

    fn sql(&mut self, sql: &str) {
        self.app.run(&format!("c.executescript(\"{sql}\")"));
    }

    fn update(&mut self, from: u32, to: u32) {
        self.sql(&format!(
            "update t set b = randomblob(length(b)) where a between {from} and {to}"
        ));
    }

    fn open(&self) -> Result<Arc<DatabaseFiles>, SqliteError> {
        DatabaseFiles::open(&self.path(), PATIENT)
    }

    fn follow(&self) -> Follower {
        let files = self.open().unwrap();
        Follower::start(files, None, &mut PageSet::default())
            .unwrap()
            .0
    }

    fn resume(&self, position: WalPosition) -> (Follower, Resume, PageSet) {
        let mut news = PageSet::default();
        let files = self.open().unwrap();
        let (follower, resume) = Follower::start(files, Some(position), &mut news).unwrap();
        (follower, resume, news)
    }

    /// What SQLite takes for the database now.
    fn image(&mut self) -> Vec<u8> {
        image(&mut self.app, self.scratch.path())
    }

    /// The database file by itself, which another process reads.
    fn app_file(&mut self) -> Vec<u8> {
        let to = self.scratch.path().join("file");
        self.app.run(&format!(
            "open('{}', 'wb').write(keep(path).read())",
            to.display()
        ));
        fs::read(to).unwrap()
    }

    fn assert_is_now(&mut self, view: &View) {
        let image = self.image();
        assert_same(&whole(view), &image, view);
    }
}

fn image(app: &mut Python, scratch: &Path) -> Vec<u8> {
    let to = scratch.join("image");
    app.run(&format!("image('{}')", to.display()));
    fs::read(to).unwrap()
}

/// Every page of a view.
fn whole(view: &View) -> Vec<u8> {
    let size = view.page_size().bytes() as usize;
    let mut bytes = vec![0; size * view.pages().0 as usize];
    for (page, content) in (1..).zip(bytes.chunks_mut(size)) {
        view.read_page(PageNumber::new(page).unwrap(), content)
            .unwrap();
    }
    bytes
}

/// Fails with the numbers of the pages that differ.
fn assert_same(ours: &[u8], theirs: &[u8], view: &View) {
    let size = view.page_size().bytes() as usize;
    let differing: Vec<usize> = ours
        .chunks(size)
        .zip(theirs.chunks(size))
        .enumerate()
        .filter(|(_, (ours, theirs))| ours != theirs)
        .map(|(index, _)| index + 1)
        .collect();
    assert!(
        ours.len() == theirs.len() && differing.is_empty(),
        "{} pages, SQLite has {}; these differ: {differing:?}",
        ours.len() / size,
        theirs.len() / size,
    );
}

fn page(number: u32) -> PageNumber {
    PageNumber::new(number).unwrap()
}
