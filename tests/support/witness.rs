//! Writers that do everything SQLite allows, and their notes of every state the database ever had.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::chance::Chance;
use super::process::{Process, eventually, output_of};
use super::rig::{Sum, required, sqlite, sum_of};

/// The notes about one database, see `tests/writers/torture.py`.
pub(crate) struct Witness {
    database: PathBuf,
    notes: PathBuf,
    /// What the writers are told by environment variables.
    orders: Vec<(&'static str, &'static str)>,
}

impl Witness {
    /// Creates `database` with these pragmas, and notes it in the new directory `notes`.
    pub(crate) fn create(database: &Path, notes: &Path, pragmas: &str) -> Witness {
        let tables = "PRAGMA journal_mode = wal; CREATE TABLE progress(number INTEGER); \
                      INSERT INTO progress VALUES(0); CREATE TABLE a(id INTEGER PRIMARY KEY, body BLOB); \
                      CREATE TABLE b(id INTEGER PRIMARY KEY, body BLOB)";
        sqlite(database, &format!("{pragmas}; {tables}"));
        let witness = Witness {
            database: database.to_path_buf(),
            notes: notes.to_path_buf(),
            orders: Vec::new(),
        };
        witness.note();
        witness
    }

    /// Has every writer told this, see there.
    pub(crate) fn order(mut self, name: &'static str, value: &'static str) -> Witness {
        self.orders.push((name, value));
        self
    }

    /// Tells those started from now on something else.
    pub(crate) fn order_again(&mut self, name: &'static str, value: &'static str) {
        self.orders.retain(|order| order.0 != name);
        self.orders.push((name, value));
    }

    /// Starts a writer, which stops by itself after some minutes, or when it is told.
    pub(crate) fn writer(&self, chance: &mut Chance) -> Process {
        let seed = chance.below(1 << 32);
        let log = self.notes.join(format!("writer-{seed}.log"));
        let writer = Process::start(&mut self.script(seed, 600), &log);
        writer.wait_for("going");
        writer
    }

    /// Notes the state the database has now.
    pub(crate) fn note(&self) {
        output_of(&mut self.script(0, 0)).unwrap_or_else(|error| panic!("{error}"));
    }

    /// The next writer will note the state it finds before it changes anything. For when SQLite may have gone back
    /// to an older one.
    pub(crate) fn distrust(&self) {
        std::fs::write(self.notes.join("lock"), "1").unwrap();
    }

    /// The state noted last.
    pub(crate) fn last(&self) -> (u64, String) {
        let states = self.states();
        let last = states.lines().last().unwrap();
        let (number, sum) = last.split_once(' ').unwrap();
        (number.parse().unwrap(), sum.to_string())
    }

    /// The highest number of a commit noted.
    pub(crate) fn newest(&self) -> u64 {
        let states = self.states();
        let number = |line: &str| line.split(' ').next()?.parse().ok();
        states.lines().filter_map(number).max().unwrap_or(0)
    }

    /// Waits until the state that the file `restored` holds has been noted, and gives the number of its commit.
    #[track_caller]
    pub(crate) fn recognise(&self, restored: &Path) -> u64 {
        let sum = hex(sum_of(restored));
        eventually(|| self.number_of(&sum).ok_or_else(|| self.stranger(restored)))
    }

    /// The number of the commit with this content.
    pub(crate) fn number_of(&self, sum: &str) -> Option<u64> {
        let states = self.states();
        let known: HashMap<_, _> = states
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(number, sum)| (sum, number))
            .collect();
        known.get(sum).map(|number| number.parse().unwrap())
    }

    /// What can be said of a state that the database never had.
    fn stranger(&self, restored: &Path) -> String {
        let copy = restored.with_extension("stranger");
        std::fs::copy(restored, &copy).unwrap();
        let looks = sqlite(
            &copy,
            "SELECT number FROM progress; PRAGMA integrity_check; PRAGMA page_count",
        );
        format!(
            "{} is no state the database ever had; its commit, integrity and pages: {}; the last noted is {}",
            restored.display(),
            looks.trim().replace('\n', ", "),
            self.last().0
        )
    }

    fn states(&self) -> String {
        std::fs::read_to_string(self.notes.join("states")).unwrap()
    }

    fn script(&self, seed: u64, seconds: u64) -> Command {
        let mut command = Command::new(required("WALBROOK_TEST_PYTHON"));
        command
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/tests/writers/torture.py"
            ))
            .args([&self.database, &self.notes])
            .args([seed.to_string(), seconds.to_string()]);
        command.envs(self.orders.iter().copied());
        command
    }
}

/// A sum as it stands in the notes.
pub(crate) fn hex(sum: Sum) -> String {
    sum.0.iter().map(|byte| format!("{byte:02x}")).collect()
}
