//! Applications: other processes, with another SQLite than ours.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::process::output_of;
use super::rig::required;

/// A script of `tests/writers`.
fn script(name: &str) -> Command {
    let mut command = Command::new(required("WALBROOK_TEST_PYTHON"));
    command.arg(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/writers")
            .join(name),
    );
    command
}

/// A child process that answers each line with a line. Dropped, it is killed.
struct Dialogue {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Dialogue {
    fn start(command: &mut Command) -> Dialogue {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Dialogue {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the application has died");
        line.pop();
        line
    }

    fn close(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An application with one connection that stays open, and does what it is told.
pub(crate) struct Session(Dialogue);

impl Session {
    /// Opens `database`.
    pub(crate) fn open(database: &Path) -> Session {
        Session(Dialogue::start(script("session.py").arg(database)))
    }

    /// Opens `database` and creates table `t(id, v)` there, in WAL mode.
    pub(crate) fn create(database: &Path) -> Session {
        let mut session = Session::open(database);
        session.sql("PRAGMA journal_mode = wal");
        session.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        session
    }

    /// Runs a statement and gives its rows.
    #[track_caller]
    pub(crate) fn sql(&mut self, statement: &str) -> Vec<Vec<String>> {
        match self.attempt(statement) {
            Ok((rows, _)) => rows,
            Err(error) => panic!("{statement}: {error}"),
        }
    }

    /// Runs a statement and gives its rows and how many milliseconds it took.
    #[track_caller]
    pub(crate) fn attempt(&mut self, statement: &str) -> Result<(Vec<Vec<String>>, u64), String> {
        self.0.say(&statement.replace('\n', " "));
        let answer = self.0.hear();
        let mut parts = answer.splitn(3, '\t');
        if parts.next() != Some("ok") {
            return Err(answer);
        }
        let millis = parts.next().unwrap().parse().unwrap();
        let rows = parts.next().unwrap();
        let rows = rows.split('\x1e').filter(|row| !row.is_empty());
        let rows = rows.map(|row| row.split('\x1f').map(str::to_string).collect());
        Ok((rows.collect(), millis))
    }

    /// Adds `count` rows to `table`, each in a transaction of its own.
    #[track_caller]
    pub(crate) fn insert(&mut self, table: &str, count: usize) {
        for _ in 0..count {
            self.sql(&format!(
                "INSERT INTO {table}(v) VALUES(hex(randomblob(200)))"
            ));
        }
    }

    /// Closes the connection. The last one of a database checkpoints and deletes the WAL.
    pub(crate) fn close(self) {
        self.0.close();
    }
}

/// An application that writes all the time, see `tests/writers/load.py`.
pub(crate) struct Load {
    dialogue: Dialogue,
    history: PathBuf,
}

impl Load {
    /// Writes to `database`, `transactions` times a second, until told otherwise.
    pub(crate) fn start(database: &Path, transactions: u32) -> Load {
        let history = database.with_extension("history");
        let mut command = script("load.py");
        command
            .args([database, &history])
            .arg(transactions.to_string());
        let mut dialogue = Dialogue::start(&mut command);
        assert_eq!(dialogue.hear(), "going");
        Load { dialogue, history }
    }

    /// Stops writing; when this returns, all is committed and nothing is under way.
    pub(crate) fn pause(&mut self) {
        self.dialogue.say("pause");
        assert_eq!(self.dialogue.hear(), "paused");
    }

    /// Goes on.
    pub(crate) fn go(&mut self) {
        self.dialogue.say("go");
        assert_eq!(self.dialogue.hear(), "going");
    }

    /// Transactions committed so far, by all loads on this database.
    pub(crate) fn committed(&self) -> usize {
        let history = std::fs::read_to_string(&self.history).unwrap_or_default();
        history.matches('\n').count()
    }

    /// Waits until `count` more transactions are committed.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let before = self.committed();
        super::process::wait_until("written", || self.committed() >= before + count);
    }

    /// How far `database` is from what was committed. While the load is running, what it commits in the
    /// meantime counts as missing.
    #[track_caller]
    pub(crate) fn losses(&self, database: &Path) -> Losses {
        let output = output_of(script("verify.py").args([database, &self.history])).unwrap();
        let mut words = output.trim().splitn(4, ' ');
        let mut number = || words.next().unwrap().parse().unwrap();
        Losses {
            rows: number(),
            missing: number(),
            stale: number(),
            integrity: words.next().unwrap().to_string(),
        }
    }
}

/// What a restored database lacks.
#[derive(Debug)]
pub(crate) struct Losses {
    pub(crate) rows: u64,
    pub(crate) missing: u64,
    pub(crate) stale: u64,
    pub(crate) integrity: String,
}

impl Losses {
    /// Fails the test unless nothing is lost.
    #[track_caller]
    pub(crate) fn none(&self) {
        assert!(self.rows > 0, "nothing was ever written");
        let Losses { missing, stale, .. } = self;
        assert_eq!((*missing, *stale, self.integrity.as_str()), (0, 0, "ok"));
    }
}

/// A ledger that is written to, or a copy of it that is read and must always be right, see `ledger.py`.
pub(crate) struct Ledger(Dialogue);

impl Ledger {
    /// Creates it, and goes on writing.
    #[track_caller]
    pub(crate) fn write(database: &Path, seed: u64) -> Ledger {
        Ledger::start(&["write", database.to_str().unwrap(), &seed.to_string()])
    }

    /// Reads it again and again.
    #[track_caller]
    pub(crate) fn read(database: &Path) -> Ledger {
        Ledger::start(&["read", database.to_str().unwrap()])
    }

    #[track_caller]
    fn start(arguments: &[&str]) -> Ledger {
        let mut dialogue = Dialogue::start(script("ledger.py").args(arguments));
        assert_eq!(dialogue.hear(), "ready");
        Ledger(dialogue)
    }

    /// Ends it; fails if it was ever wrong.
    #[track_caller]
    pub(crate) fn end(self) {
        self.0.close();
    }
}
