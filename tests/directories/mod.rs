//! Directories of databases: all that are there, those that come and go, and those that are broken.

mod all;
mod broken;
mod found;
mod takeover;
mod thousand;
mod watched;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::process::{Process, eventually, output_of};
use crate::support::rig::{Program, sqlite, sum_of};
use crate::support::scratch::Scratch;

/// A directory `data` that is replicated to the directory `replica`.
struct Fleet {
    scratch: Scratch,
    /// Settings of the entry besides the places, separated by commas.
    settings: String,
    /// Further entries, a line each.
    others: String,
}

impl Fleet {
    fn new(settings: &str) -> Fleet {
        Fleet::within(Scratch::new(), settings)
    }

    fn within(scratch: Scratch, settings: &str) -> Fleet {
        std::fs::create_dir(scratch.path().join("data")).unwrap();
        Fleet {
            scratch,
            settings: settings.to_string(),
            others: String::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn db(&self, name: &str) -> PathBuf {
        self.path("data").join(name)
    }

    fn replica(&self, name: &str) -> PathBuf {
        self.path("replica").join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("walbrook.log")
    }

    /// Creates a database with a table and a row, in the directories it needs.
    #[track_caller]
    fn create(&self, name: &str) -> PathBuf {
        let path = self.db(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        sqlite(
            &path,
            "PRAGMA journal_mode = wal; CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES('first')",
        );
        path
    }

    #[track_caller]
    fn insert(&self, name: &str) {
        sqlite(
            &self.db(name),
            "INSERT INTO t(v) VALUES(hex(randomblob(100)))",
        );
    }

    fn config(&self) -> PathBuf {
        let config = self.path("config.yml");
        let top = self.scratch.path().display();
        let Fleet {
            settings, others, ..
        } = self;
        let text = format!(
            "dbs:\n  - {{dir: {top}/data, pattern: '*.db', monitor-interval: 50ms, {settings}, replica: {{path: \
             {top}/replica, sync-interval: 50ms}}}}\n{others}"
        );
        std::fs::write(&config, text).unwrap();
        config
    }

    /// A command with the configuration.
    fn command(&self, name: &str) -> Command {
        let mut command = Program::Walbrook.command();
        command.args([name, "-config"]).arg(self.config());
        command.env("LOG_LEVEL", "debug");
        command
    }

    #[track_caller]
    fn start(&self) -> Process {
        Process::start(&mut self.command("replicate"), &self.log())
    }

    #[track_caller]
    fn start_with(&self, program: Program) -> Process {
        let mut command = program.command();
        command.args(["replicate", "-config"]).arg(self.config());
        Process::start(&mut command, &self.path("other.log"))
    }

    /// What `program` restores from the replica of a database, compared with that.
    fn compare(&self, program: Program, name: &str) -> Result<(), String> {
        let number = walbrook::sys::random::unique();
        let output = self.path(&format!("restored-{number:x}.db"));
        // By a path, since the path of a file URL is taken encoded as it is.
        let config = self.path(&format!("restore-{number:x}.yml"));
        let (database, replica) = (self.db(name), self.replica(name));
        let text = format!(
            "dbs: [{{path: \"{}\", replica: {{path: \"{}\"}}}}]",
            database.display(),
            replica.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut command = program.command();
        command.args(["restore", "-config"]).arg(&config);
        let restored = output_of(command.arg("-o").arg(&output).arg(&database));
        std::fs::remove_file(config).unwrap();
        restored?;
        let restored = sum_of(&output);
        std::fs::remove_file(output).unwrap();
        let source = written_back(&self.db(name), &self.path(&format!("copy-{number:x}.db")));
        match restored == source {
            true => Ok(()),
            false => Err(format!(
                "{name}: the restored {restored:?} is not {source:?}"
            )),
        }
    }

    /// Waits until ours restores exactly these databases.
    #[track_caller]
    fn wait_in_sync(&self, names: &[&str]) {
        for name in names {
            eventually(|| self.compare(Program::Walbrook, name));
        }
    }

    /// Fails the test unless both programs restore exactly these databases.
    #[track_caller]
    fn assert_in_sync(&self, names: &[&str]) {
        for name in names {
            for program in Program::RESTORERS {
                assert_eq!(self.compare(program, name), Ok(()), "{program:?}");
            }
        }
    }

    /// How often the log has `text`.
    fn said(&self, text: &str) -> usize {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.matches(text).count()
    }
}

/// The sum of a database when its WAL is written back, which is done with a copy.
fn written_back(database: &Path, copy: &Path) -> crate::support::rig::Sum {
    let beside = |path: &Path| PathBuf::from(format!("{}-wal", path.display()));
    if beside(database).exists() {
        std::fs::copy(beside(database), beside(copy)).unwrap();
    }
    std::fs::copy(database, copy).unwrap();
    sqlite(copy, "PRAGMA wal_checkpoint(TRUNCATE)");
    let sum = sum_of(copy);
    std::fs::remove_file(copy).unwrap();
    sum
}
