//! One database, its replica, and the programs that replicate and restore it.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use super::place::Place;
use super::process::{Process, eventually, output_of, wait_until};
use super::scratch::Scratch;

/// The value of a variable that `tests/run` sets.
#[track_caller]
pub(crate) fn required(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/run"))
}

/// The program under test: the one that cargo built, unless `WALBROOK_TEST_PROGRAM` names another build of it.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("WALBROOK_TEST_PROGRAM")
        .map_or_else(|| env!("CARGO_BIN_EXE_walbrook").into(), PathBuf::from)
}

/// A program that replicates and restores.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    Walbrook,
    Litestream17,
    /// Writes LZ4 frames instead of blocks.
    Litestream15,
}

impl Program {
    /// Both ways to restore.
    pub(crate) const RESTORERS: [Program; 2] = [Program::Walbrook, Program::Litestream17];

    #[track_caller]
    pub(crate) fn command(self) -> Command {
        Command::new(match self {
            Program::Walbrook => program(),
            Program::Litestream17 => required("WALBROOK_TEST_LITESTREAM_0_5_17").into(),
            Program::Litestream15 => required("WALBROOK_TEST_LITESTREAM_0_5_15").into(),
        })
    }

    fn name(self) -> &'static str {
        match self {
            Program::Walbrook => "walbrook",
            Program::Litestream17 => "litestream-0.5.17",
            Program::Litestream15 => "litestream-0.5.15",
        }
    }
}

/// The SHA-256 of a database.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Sum(pub(crate) [u8; 32]);

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// That of a file.
#[track_caller]
pub(crate) fn sum_of(file: &Path) -> Sum {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    Sum(Sha256::digest(bytes).into())
}

/// Runs SQL in a process of its own. Its connection, should it be the last one, deletes the WAL.
#[track_caller]
pub(crate) fn sqlite(database: &Path, sql: &str) -> String {
    let mut command = Command::new("sqlite3");
    command.args(["-bail", "-batch"]).arg(database);
    // The dots are commands of the shell, which has no other way to be told.
    command.args(["-cmd", ".timeout 10000"]).arg(sql);
    output_of(&mut command).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// Settings common to both programs: everything at once, since waiting is not what the tests are about.
const QUICK: &str = "monitor-interval: 50ms";
/// The same of the replica.
const QUICK_REPLICA: &str = "sync-interval: 50ms";

/// What a configuration says beyond the paths.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Lines at the top.
    pub(crate) global: String,
    /// Settings of the database, separated by commas.
    pub(crate) database: String,
    /// Settings of its replica, separated by commas.
    pub(crate) replica: String,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            global: String::new(),
            database: QUICK.to_string(),
            replica: QUICK_REPLICA.to_string(),
        }
    }
}

impl Settings {
    /// The usual ones, and these lines at the top.
    pub(crate) fn global(lines: &str) -> Settings {
        Settings {
            global: lines.to_string(),
            ..Settings::default()
        }
    }

    /// The text of a configuration for these databases and their replicas in directories.
    pub(crate) fn text(&self, databases: &[(&Path, &Path)]) -> String {
        let places: Vec<_> = databases
            .iter()
            .map(|(path, target)| (*path, Place::Directory(target.to_path_buf())))
            .collect();
        let databases: Vec<_> = places.iter().map(|(path, place)| (*path, place)).collect();
        self.text_for(&databases)
    }

    /// The text of a configuration for these databases and their replicas.
    pub(crate) fn text_for(&self, databases: &[(&Path, &Place)]) -> String {
        let databases: Vec<_> = databases
            .iter()
            .map(|(path, place)| (*path, std::slice::from_ref(*place)))
            .collect();
        self.text_for_several(&databases)
    }

    /// The same where each may have several replicas, which only ours accepts.
    pub(crate) fn text_for_several(&self, databases: &[(&Path, &[Place])]) -> String {
        let Settings {
            global,
            database,
            replica,
        } = self;
        let mut text = format!("{global}\ndbs:\n");
        for (path, places) in databases {
            let path = path.display();
            let replicas: Vec<_> = places
                .iter()
                .map(|place| format!("{{{}, {replica}}}", place.settings()))
                .collect();
            let replicas = match &replicas[..] {
                [one] => format!("replica: {one}"),
                several => format!("replicas: [{}]", several.join(", ")),
            };
            text += &format!("  - {{path: \"{path}\", {database}, {replicas}}}\n");
        }
        text
    }
}

/// The arguments of `restore` for the newest state, or that at `txid`.
pub(crate) fn at_txid(txid: Option<u64>) -> Vec<String> {
    let txid = txid.map(|txid| ["-txid".to_string(), format!("{txid:016x}")]);
    txid.into_iter().flatten().collect()
}

/// A directory with a database in it, and a place for the replica, or some.
pub(crate) struct Rig {
    scratch: Scratch,
    places: Vec<Place>,
}

impl Rig {
    /// One with the replica in a directory too.
    pub(crate) fn new() -> Rig {
        let scratch = Scratch::new();
        let places = vec![Place::Directory(scratch.path().join("replica"))];
        Rig { scratch, places }
    }

    /// One with the replica somewhere else.
    pub(crate) fn with_replica(place: Place) -> Rig {
        let scratch = Scratch::new();
        let places = vec![place];
        Rig { scratch, places }
    }

    /// One with the replica in a directory, and others in these places.
    pub(crate) fn with_others(others: impl IntoIterator<Item = Place>) -> Rig {
        let mut rig = Rig::new();
        rig.places.extend(others);
        rig
    }

    /// Gives it another replica.
    pub(crate) fn add_replica(&mut self, place: Place) {
        self.places.push(place);
    }

    /// Where the replica is; the first of several.
    pub(crate) fn place(&self) -> &Place {
        &self.places[0]
    }

    /// Where all replicas are.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The database.
    pub(crate) fn db(&self) -> PathBuf {
        self.path("app.db")
    }

    /// The WAL of the database.
    pub(crate) fn wal(&self) -> PathBuf {
        self.path("app.db-wal")
    }

    /// The directory of the replica.
    #[track_caller]
    pub(crate) fn replica(&self) -> PathBuf {
        self.place().directory().to_path_buf()
    }

    /// Where both programs keep what they remember.
    pub(crate) fn meta(&self) -> PathBuf {
        self.path(".app.db-litestream")
    }

    /// The directory with the files of one level.
    #[track_caller]
    pub(crate) fn level(&self, level: u8) -> PathBuf {
        self.replica().join(format!("ltx/{level}"))
    }

    /// The names of the files of one level, in order.
    pub(crate) fn files(&self, level: u8) -> Vec<String> {
        self.place().files(level)
    }

    /// The TXIDs at which some file ends, in order.
    pub(crate) fn txids(&self) -> Vec<u64> {
        self.place().txids()
    }

    /// The newest TXID on the replica; 0 when there is none.
    pub(crate) fn newest(&self) -> u64 {
        self.place().newest()
    }

    /// Starts replicating a database that is not the one in the replica, or not as new.
    #[track_caller]
    pub(crate) fn start_adopting(&self) -> Process {
        let config = self.path("config.yml");
        let text = Settings::default().text_for_several(&[(&self.db(), &self.places)]);
        std::fs::write(&config, text).unwrap();
        let mut command = self.replicate();
        command
            .arg("-adopt")
            .arg(self.db())
            .arg("-config")
            .arg(config);
        command.envs(self.places.iter().flat_map(Place::roots));
        Process::start(&mut command, &self.log(Program::Walbrook))
    }

    /// Starts replicating with the usual settings.
    #[track_caller]
    pub(crate) fn start(&self, program: Program) -> Process {
        self.start_with(program, &Settings::default())
    }

    /// Starts replicating.
    #[track_caller]
    pub(crate) fn start_with(&self, program: Program, settings: &Settings) -> Process {
        let text = settings.text_for_several(&[(&self.db(), &self.places)]);
        self.start_config(program, &text)
    }

    /// Starts replicating by a configuration.
    #[track_caller]
    pub(crate) fn start_config(&self, program: Program, text: &str) -> Process {
        let config = self.path("config.yml");
        std::fs::write(&config, text).unwrap();
        let mut command = program.command();
        command.args(["replicate", "-config"]).arg(config);
        command.env("LOG_LEVEL", "debug");
        command.envs(self.places.iter().flat_map(Place::roots));
        Process::start(&mut command, &self.log(program))
    }

    /// `walbrook replicate`, to be completed.
    pub(crate) fn replicate(&self) -> Command {
        let mut command = Program::Walbrook.command();
        command.arg("replicate");
        command
    }

    /// Brings the replica up to date with `walbrook replicate -once`.
    #[track_caller]
    pub(crate) fn once(&self) {
        let mut command = self.replicate();
        command.arg("-once").arg(self.db()).arg(self.url());
        self.run(&mut command).ended().well();
    }

    /// Starts a command of ours.
    #[track_caller]
    pub(crate) fn run(&self, command: &mut Command) -> Process {
        command.envs(self.places.iter().flat_map(Place::environment));
        Process::start(command, &self.log(Program::Walbrook))
    }

    /// The replica as a URL.
    pub(crate) fn url(&self) -> String {
        self.place().url()
    }

    /// Where a program's output goes.
    pub(crate) fn log(&self, program: Program) -> PathBuf {
        self.path(&format!("{}.log", program.name()))
    }

    /// Restores the newest state, or that at `txid`, with `program`. Gives where it is.
    #[track_caller]
    pub(crate) fn restore_at(
        &self,
        program: Program,
        txid: Option<u64>,
    ) -> Result<PathBuf, String> {
        self.restore_from(self.place(), program, &at_txid(txid))
    }

    /// Restores from `place` with `program`, which is also given these arguments. Gives where it is.
    #[track_caller]
    pub(crate) fn restore_from(
        &self,
        place: &Place,
        program: Program,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<PathBuf, String> {
        let output = self.path(&format!(
            "restored-{:x}.db",
            walbrook::sys::random::unique()
        ));
        let mut command = program.command();
        command.arg("restore").arg("-o").arg(&output);
        command.args(arguments).envs(place.environment());
        output_of(command.arg(place.url()))?;
        Ok(output)
    }

    /// Restores the newest state.
    #[track_caller]
    pub(crate) fn restore(&self, program: Program) -> PathBuf {
        let restored = self.restore_at(program, None);
        restored.unwrap_or_else(|error| panic!("{program:?} cannot restore: {error}"))
    }

    /// The sum of the newest state, or that at `txid`, as `program` restores it.
    #[track_caller]
    pub(crate) fn restored_sum(&self, program: Program, txid: Option<u64>) -> Result<Sum, String> {
        self.restored_sum_from(self.place(), program, txid)
    }

    /// The same from one of several replicas.
    #[track_caller]
    pub(crate) fn restored_sum_from(
        &self,
        place: &Place,
        program: Program,
        txid: Option<u64>,
    ) -> Result<Sum, String> {
        let output = self.restore_from(place, program, &at_txid(txid))?;
        let sum = sum_of(&output);
        std::fs::remove_file(output).unwrap();
        Ok(sum)
    }

    /// The sum the database has when its WAL is written back. The database itself is left as it is; nobody may
    /// be writing to it.
    #[track_caller]
    pub(crate) fn source_sum(&self) -> Sum {
        let copy = self.copy_of_source();
        sqlite(&copy, "PRAGMA wal_checkpoint(TRUNCATE)");
        let sum = sum_of(&copy);
        std::fs::remove_file(copy).unwrap();
        sum
    }

    /// A copy of the database with its WAL.
    fn copy_of_source(&self) -> PathBuf {
        let name = format!("copy-{:x}.db", walbrook::sys::random::unique());
        let copy = self.path(&name);
        // In this order: a checkpoint in between is repeated from the copied WAL.
        if self.wal().exists() {
            std::fs::copy(self.wal(), self.path(&format!("{name}-wal"))).unwrap();
        }
        std::fs::copy(self.db(), &copy).unwrap();
        copy
    }

    /// Fails the test unless both programs restore exactly the database, from every replica.
    #[track_caller]
    pub(crate) fn assert_in_sync(&self) {
        let source = self.source_sum();
        for place in &self.places {
            for program in Program::RESTORERS {
                let restored = self.restored_sum_from(place, program, None);
                assert_eq!(restored, Ok(source), "{program:?} {}", place.url());
            }
        }
    }

    /// Waits until ours restores exactly the database, from every replica.
    #[track_caller]
    pub(crate) fn wait_in_sync(&self) {
        for place in &self.places {
            self.wait_in_sync_at(place);
        }
    }

    /// The same from one of several replicas.
    #[track_caller]
    pub(crate) fn wait_in_sync_at(&self, place: &Place) {
        eventually(|| {
            let (source, restored) = (
                self.source_sum(),
                self.restored_sum_from(place, Program::Walbrook, None)?,
            );
            match restored == source {
                true => Ok(()),
                false => Err(format!("the restored {restored:?} is not {source:?}")),
            }
        });
    }

    /// Waits until ours has written down where it stands, which it does a moment after its first sync.
    #[track_caller]
    pub(crate) fn wait_remembered(&self) {
        wait_until("remembered", || self.meta().join("walbrook-state").exists());
    }

    /// A command of ours that reads the configuration of the last start, to be completed.
    pub(crate) fn configured(&self, command: &str) -> Command {
        let mut walbrook = Program::Walbrook.command();
        walbrook.arg(command).arg("-config");
        walbrook.arg(self.path("config.yml"));
        walbrook.envs(self.places.iter().flat_map(Place::roots));
        walbrook
    }

    /// Makes both programs forget what they remember.
    pub(crate) fn forget(&self) {
        let _ = std::fs::remove_dir_all(self.meta());
    }
}
