//! Real power cuts at random moments, of a disk that holds everything, or the replica, or the database.
//!
//! Whatever was confirmed before the cut can be restored after it, no file of the replica is torn or ever changes, and
//! replication goes on by itself, even where the database has lost commits that the replica has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::disk::Disk;
use crate::support::process::{Process, output_of, wait_until};
use crate::support::rig::{Program, Settings, Sum, sqlite, sum_of};
use crate::support::scratch::Scratch;
use crate::support::witness::{Witness, hex};
use walbrook::ltx::Decoder;

/// Power cuts of one test. `$WALBROOK_SEED` makes them at the same moments again, more or less.
const CUTS: usize = 4;
/// Confirmed TXIDs looked at after each.
const LOOKS: usize = 6;

#[test]
fn a_machine_that_loses_power_goes_on_and_has_lost_nothing_confirmed() {
    Machine::new("machine", Place::Disk, Place::Disk).survive();
}

#[test]
fn a_replica_that_loses_power_goes_on_and_has_lost_nothing_confirmed() {
    Machine::new("replica", Place::Safe, Place::Disk).survive();
}

#[test]
fn a_database_that_loses_power_goes_on_with_the_replica_it_had() {
    Machine::new("database", Place::Disk, Place::Safe).survive();
}

/// Where something is kept.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Place {
    /// On the disk that loses power.
    Disk,
    /// On another one.
    Safe,
}

struct Machine {
    chance: Chance,
    writers: Vec<Process>,
    replicator: Option<Process>,
    witness: Witness,
    database: PathBuf,
    replica: PathBuf,
    /// Only the replica's disk loses power, so that everything else goes on.
    replica_alone: bool,
    /// The newest TXID confirmed before the last cut.
    acked: u64,
    /// Files seen after a cut: they never change.
    files: HashMap<PathBuf, Sum>,
    starts: usize,
    disk: Disk,
    safe: Scratch,
}

impl Machine {
    fn new(name: &str, database: Place, replica: Place) -> Machine {
        let chance = Chance::of_environment(&format!("power cuts of the {name}"));
        let safe = Scratch::new();
        let disk = Disk::new(safe.path(), 64);
        let at = |place| match place {
            Place::Disk => disk.path(),
            Place::Safe => safe.path(),
        };
        let (path, replica_path) = (at(database).join("app.db"), at(replica).join("replica"));
        let witness = Witness::create(&path, &safe.path().join("notes"), "PRAGMA page_size = 1024")
            .order("TORTURE_SPILLS", "no");
        Machine {
            chance,
            writers: Vec::new(),
            replicator: None,
            witness,
            database: path,
            replica: replica_path,
            replica_alone: database == Place::Safe,
            acked: 0,
            files: HashMap::new(),
            starts: 0,
            disk,
            safe,
        }
    }

    fn survive(mut self) {
        for _ in 0..CUTS {
            self.run();
            self.cut();
            self.look();
        }
        self.run();
        self.calm_down();
    }

    /// Starts what is not running, the application or replication first, and lets it work for a while.
    fn run(&mut self) {
        let mode = self.chance.of(&["NORMAL", "FULL"]);
        self.witness.order_again("TORTURE_SYNCHRONOUS", mode);
        let early = self.chance.once_in(2);
        if early {
            self.start_replicator();
        }
        while self.writers.len() < 2 {
            self.writers.push(self.witness.writer(&mut self.chance));
        }
        self.start_replicator();
        // It has to have begun, so that there is something to lose.
        let replicator = self.replicator.as_ref().unwrap();
        wait_until("synced", || newest_in(&replicator.log()) > 0);
        std::thread::sleep(self.chance.time(Duration::from_millis(2500)));
    }

    fn start_replicator(&mut self) {
        if self.replicator.is_some() {
            return;
        }
        self.starts += 1;
        let settings = Settings {
            database:
                "monitor-interval: 10ms, checkpoint-interval: 1s, min-checkpoint-page-count: 50"
                    .to_string(),
            replica: "sync-interval: 20ms".to_string(),
            ..Settings::default()
        };
        let config = self.safe.path().join("config.yml");
        std::fs::write(&config, settings.text(&[(&self.database, &self.replica)])).unwrap();
        let mut command = Program::Walbrook.command();
        command
            .args(["replicate", "-log-level", "debug", "-config"])
            .arg(config);
        let log = self
            .safe
            .path()
            .join(format!("walbrook-{}.log", self.starts));
        self.replicator = Some(Process::start(&mut command, &log));
    }

    /// Cuts the power, and mounts the disk again.
    fn cut(&mut self) {
        // Read before the cut: what is in it has been confirmed.
        let log = self.replicator.as_ref().unwrap().log();
        self.disk.cut();
        self.acked = self.acked.max(newest_in(&log));
        if !self.replica_alone {
            for process in self.writers.drain(..).chain(self.replicator.take()) {
                process.kill();
            }
            self.witness.distrust();
        }
        self.disk.mount_again();
    }

    /// Everything confirmed before the cut can be restored, and nothing has changed or is torn.
    fn look(&mut self) {
        if !self.replica_alone {
            // On a copy, since the first to open the real one runs SQLite's recovery.
            let copy = self.safe.path().join("copy.db");
            copy_database(&self.database, &copy);
            assert_eq!(sqlite(&copy, "PRAGMA integrity_check").trim(), "ok");
        }
        self.look_at_files();
        let mut txids = vec![self.acked];
        txids.extend((0..LOOKS).map(|_| self.chance.below(self.acked) + 1));
        for txid in txids {
            self.look_at(txid);
        }
        eprintln!(
            "cut: {} commits, txid {} confirmed",
            self.witness.last().0,
            self.acked
        );
    }

    fn look_at_files(&mut self) {
        let levels = std::fs::read_dir(self.replica.join("ltx")).unwrap();
        for level in levels {
            for file in std::fs::read_dir(level.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                // Leftovers of uploads have other endings.
                if path.extension().is_some_and(|extension| extension == "ltx") {
                    decode(&path);
                    let sum = sum_of(&path);
                    let earlier = *self.files.entry(path.clone()).or_insert(sum);
                    assert!(earlier == sum, "{} has changed", path.display());
                }
            }
        }
    }

    fn look_at(&mut self, txid: u64) {
        let restored = self.restore(Program::Walbrook, Some(txid));
        let sum = hex(sum_of(&restored));
        if self.witness.number_of(&sum).is_none() {
            // Its writer may have been killed between the commit, or a VACUUM, and the note.
            let state = sqlite(
                &restored,
                "SELECT number FROM progress; PRAGMA integrity_check",
            );
            let newest = self.witness.newest();
            let may_be = [newest, newest + 1].map(|number| format!("{number}\nok"));
            assert!(
                may_be.iter().any(|it| it == state.trim()),
                "txid {txid}: {state}, not {may_be:?}"
            );
        }
        std::fs::remove_file(restored).unwrap();
    }

    /// Lets everybody finish: the replica has what the database has.
    fn calm_down(mut self) {
        for writer in self.writers.drain(..) {
            writer.stop().well();
        }
        self.witness.note();
        let log = self.replicator.take().unwrap().stop().well().log;
        assert!(!log.contains("panicked"), "{log}");
        for program in Program::RESTORERS {
            let restored = self.restore(program, None);
            assert_eq!(hex(sum_of(&restored)), self.witness.last().1, "{program:?}");
            std::fs::remove_file(restored).unwrap();
        }
    }

    fn restore(&self, program: Program, txid: Option<u64>) -> PathBuf {
        let output = self.safe.path().join("restored.db");
        let mut command: Command = program.command();
        command.arg("restore").arg("-o").arg(&output);
        if let Some(txid) = txid {
            command.args(["-txid", &format!("{txid:016x}")]);
        }
        command.arg(format!("file://{}", self.replica.display()));
        output_of(&mut command)
            .unwrap_or_else(|error| panic!("{program:?} cannot restore {txid:?}: {error}"));
        output
    }
}

/// The newest TXID that is confirmed in a log.
fn newest_in(log: &str) -> u64 {
    let synced = log.lines().filter(|line| line.contains("synced "));
    let txid = |line: &str| {
        line.split_once(" to txid ")?
            .1
            .split_once(':')?
            .0
            .parse()
            .ok()
    };
    synced.filter_map(txid).max().unwrap_or(0)
}

/// Reads a file to its end, with all its checks.
fn decode(path: &Path) {
    let refused = |error| panic!("{}: {error}", path.display());
    let mut decoder = Decoder::open(std::fs::File::open(path).unwrap()).unwrap_or_else(refused);
    while decoder
        .next_page()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .is_some()
    {}
    decoder
        .finish()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Copies a database that nobody has open, with its WAL.
fn copy_database(from: &Path, to: &Path) {
    for end in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{end}", path.display()));
        let _ = std::fs::remove_file(with(to));
        if with(from).exists() {
            std::fs::copy(with(from), with(to)).unwrap();
        }
    }
}
