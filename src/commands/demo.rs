//! `walbrook demo`: the main job before one's eyes, on a scratch database, with the real processes.
//!
//! The replicator and the application run as processes of their own, because that is how they meet in life, and
//! because no process may have the database open twice over (see `sqlite::files`).

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use argh::FromArgs;
use rusqlite::Connection;

use super::flags::Flag;
use super::{CommandError, CommandHelp, Outcome};
use crate::sys::random;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "demo",
    arguments: "",
    summary: "Show replication and restore on a scratch database",
    details: "Writes to a database for some seconds while it is replicated, loses it, restores it, and \
              compares. Everything happens in a new directory that is removed at the end.",
    flags: &[
        Flag {
            name: "keep",
            value: None,
            help: "Leave the directory for a look",
        },
        Flag {
            name: "write",
            value: Some("DB_PATH"),
            help: "Be the application of the demonstration (used by the demonstration itself)",
        },
    ],
};

/// show replication and restore
#[derive(FromArgs)]
pub(crate) struct DemoArguments {
    /// leave the files
    #[argh(switch)]
    keep: bool,
    /// be the application
    #[argh(option)]
    write: Option<String>,
    /// none are taken
    #[argh(positional)]
    rest: Vec<String>,
}

/// How long the application writes.
const WRITING: Duration = Duration::from_secs(5);
/// The pause between its transactions.
const BETWEEN_TRANSACTIONS: Duration = Duration::from_millis(5);

/// Runs the demonstration, or the application in it.
///
/// # Errors
/// When a step of it fails, or the restored database differs from the lost one.
pub(crate) fn run(arguments: DemoArguments, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    if !arguments.rest.is_empty() {
        return Err(CommandError::new("too many arguments").with_try("walbrook demo"));
    }
    if let Some(path) = arguments.write {
        return application(Path::new(&path), out);
    }
    let scratch = Scratch::new(arguments.keep)?;
    let shown = show(&scratch.path, out);
    if arguments.keep {
        writeln!(out, "\nEverything is left in {}.", scratch.path.display())?;
    }
    shown
}

/// A directory that goes away again.
struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    fn new(keep: bool) -> Result<Scratch, CommandError> {
        let path = std::env::temp_dir().join(format!("walbrook-demo-{:016x}", random::unique()));
        fs::create_dir(&path).map_err(|error| failed("create", &path, &error))?;
        Ok(Scratch { path, keep })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn show(scratch: &Path, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let (database, replica) = (scratch.join("app.db"), scratch.join("replica"));
    let url = format!("file://{}", replica.display());
    let own = std::env::current_exe()
        .map_err(|error| CommandError::new(format!("cannot find the program itself: {error}")))?;

    writeln!(out, "1. An application writes to {},", database.display())?;
    let mut application = start(
        Command::new(&own)
            .args(["demo", "-write"])
            .arg(&database)
            .stdout(Stdio::piped()),
    )?;
    let mut lines = BufReader::new(application.0.stdout.take().expect("it is piped")).lines();
    // Its first line says that the database is there.
    let _ = lines.next();
    writeln!(out, "   and walbrook replicates it to {url}:\n")?;
    let mut replicator = start(
        Command::new(&own)
            .args(["replicate", "-log-level", "debug"])
            .arg(&database)
            .arg(&url),
    )?;
    let report = lines.last().and_then(Result::ok).unwrap_or_default();
    application.wait("the application")?;

    writeln!(
        out,
        "\n2. The application has ended: {report}. Stopping walbrook, which sends the rest:\n"
    )?;
    out.flush()?;
    replicator.terminate();
    replicator.wait("walbrook replicate")?;

    // Nobody has the database open now. With everything written back it is one file, to be compared as such.
    let connection = Connection::open(&database).map_err(|error| sqlite_failed(&error))?;
    let settle = |mode: &str| {
        connection
            .query_row(mode, [], |_| Ok(()))
            .map_err(|error| sqlite_failed(&error))
    };
    settle("PRAGMA wal_checkpoint(TRUNCATE)")?;
    drop(connection);
    let bytes = |path: &Path| fs::read(path).map_err(|error| failed("read", path, &error));
    let before = bytes(&database)?;
    fs::remove_file(&database).map_err(|error| failed("delete", &database, &error))?;
    writeln!(out, "\n3. The database is lost: deleted. Restoring it:\n")?;
    out.flush()?;
    let restored = start(
        Command::new(&own)
            .args(["restore", "-o"])
            .arg(&database)
            .arg(&url),
    );
    restored?.wait("walbrook restore")?;

    let after = bytes(&database)?;
    if before != after {
        return Err(CommandError::new(format!(
            "the restored database differs from the lost one ({} and {} bytes); please report this",
            after.len(),
            before.len()
        )));
    }
    writeln!(
        out,
        "\n4. All {} bytes of the restored database equal those of the lost one.",
        after.len()
    )?;
    writeln!(out, "\nFor a database of your own:\n")?;
    writeln!(
        out,
        "   walbrook replicate /path/to/app.db file:///path/to/replica"
    )?;
    writeln!(
        out,
        "   walbrook restore -o /path/to/restored.db file:///path/to/replica"
    )?;
    Ok(Outcome::Success)
}

/// What runs meanwhile; killed when the demonstration fails.
struct Running(Child);

fn start(command: &mut Command) -> Result<Running, CommandError> {
    let child = command.stdin(Stdio::null()).spawn();
    child
        .map(Running)
        .map_err(|error| CommandError::new(format!("cannot start the program itself: {error}")))
}

impl Running {
    fn terminate(&self) {
        let process = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
    }

    fn wait(&mut self, name: &str) -> Result<(), CommandError> {
        match self.0.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(CommandError::new(format!("{name} failed ({status})"))),
            Err(error) => Err(CommandError::new(format!(
                "cannot wait for {name}: {error}"
            ))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The application: many small transactions, as applications make them.
fn application(path: &Path, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let write = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(path)?;
        connection.query_row("PRAGMA journal_mode=WAL", [], |_| Ok(()))?;
        connection.execute_batch(
            "CREATE TABLE reading (id INTEGER PRIMARY KEY, sensor TEXT, value REAL, at TEXT)",
        )?;
        Ok(connection)
    };
    let connection = write().map_err(|error| sqlite_failed(&error))?;
    writeln!(out, "ready")?;
    out.flush()?;
    let (end, mut transactions) = (Instant::now() + WRITING, 0_u64);
    while Instant::now() < end {
        connection
            .execute(
                "INSERT INTO reading (sensor, value, at)
                 VALUES ('sensor ' || abs(random() % 10), random() / 1e17, datetime())",
                [],
            )
            .map_err(|error| sqlite_failed(&error))?;
        transactions += 1;
        thread::sleep(BETWEEN_TRANSACTIONS);
    }
    writeln!(
        out,
        "{transactions} transactions in {} s",
        WRITING.as_secs()
    )?;
    Ok(Outcome::Success)
}

fn failed(operation: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(format!("cannot {operation} {}: {error}", path.display()))
}

fn sqlite_failed(error: &rusqlite::Error) -> CommandError {
    CommandError::new(format!("SQLite failed: {error}"))
}
