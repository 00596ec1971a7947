//! Everything at once: several writers in other processes and with another SQLite, readers that stay, checkpoints
//! of every kind, and replicators and writers that are killed at any moment. Whatever is restored, from any TXID
//! and at any time, has to be byte for byte a state that the database had.

mod weather;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use weather::Weather;

use crate::support::chance::{Chance, seconds};
use crate::support::place::Place;
use crate::support::process::{Ended, Process};
use crate::support::rig::{Program, Rig, Settings, at_txid, sum_of};
use crate::support::witness::{Witness, hex};

/// How many processes write at once.
const WRITERS: usize = 3;
/// How long one database is worked on.
const ROUND: Duration = Duration::from_secs(8);
/// TXIDs looked at in the end of a round, for each program that restores.
const LAST_LOOKS: [(Program, usize); 2] = [(Program::Walbrook, 12), (Program::Litestream17, 2)];

/// `WALBROOK_TORTURE_SECONDS` makes it longer, `WALBROOK_SEED` makes the same choices again.
#[test]
fn whatever_is_restored_is_a_state_the_database_had() {
    let mut chance = Chance::of_environment("torture");
    let end = Instant::now() + seconds("WALBROOK_TORTURE_SECONDS", 32);
    while Instant::now() < end {
        Storm::new(&mut chance, None).rage();
    }
}

/// The same with the replica on S3, over a link on which everything goes wrong, and a server that is killed too.
#[test]
fn whatever_is_restored_from_s3_is_a_state_the_database_had() {
    let mut chance = Chance::of_environment("torture on S3");
    let weather = Weather::over_s3();
    let end = Instant::now() + seconds("WALBROOK_TORTURE_SECONDS", 12);
    while Instant::now() < end {
        Storm::new(&mut chance, Some(&weather)).rage();
    }
}

/// The same on an SSH server.
#[test]
fn whatever_is_restored_from_sftp_is_a_state_the_database_had() {
    let mut chance = Chance::of_environment("torture on SFTP");
    let weather = Weather::over_sftp();
    let end = Instant::now() + seconds("WALBROOK_TORTURE_SECONDS", 12);
    while Instant::now() < end {
        Storm::new(&mut chance, Some(&weather)).rage();
    }
}

/// One database, everybody who works on it, and what is left of it.
struct Storm<'a> {
    chance: &'a mut Chance,
    /// What happens on the way to the replica, and on its server.
    weather: Option<&'a Weather>,
    /// The replica, by another way.
    shelter: Place,
    settings: Settings,
    /// Writers are killed too.
    violent: bool,
    // These end before their directory does.
    replicator: Option<Process>,
    writers: Vec<Process>,
    witness: Witness,
    rig: Rig,
    restored: usize,
}

impl<'a> Storm<'a> {
    fn new(chance: &'a mut Chance, weather: Option<&'a Weather>) -> Storm<'a> {
        let (rig, shelter) = match weather {
            None => {
                let rig = Rig::new();
                let place = rig.place().clone();
                (rig, place)
            }
            Some(weather) => {
                let place = weather.new_place();
                let outside = weather.on_the_way_to(&place);
                (Rig::with_replica(outside), place)
            }
        };
        let pragmas = format!(
            "PRAGMA page_size = {}; PRAGMA auto_vacuum = {}",
            chance.of(&[512, 1024, 4096, 4096, 16384, 65536]),
            chance.below(3)
        );
        let violent = chance.once_in(2);
        let witness = Witness::create(&rig.db(), &rig.path("notes"), &pragmas)
            .order("TORTURE_SPILLS", if violent { "no" } else { "yes" });
        let settings = Settings {
            global: String::new(),
            database: format!(
                "monitor-interval: {}ms, checkpoint-interval: {}, min-checkpoint-page-count: {}, \
                 truncate-page-n: {}",
                chance.of(&[5, 50, 500]),
                chance.of(&["100ms", "1s", "1m"]),
                chance.of(&[1, 20, 1000]),
                chance.of(&[50, 1000, 121_359]),
            ),
            replica: format!("sync-interval: {}ms", chance.of(&[10, 100, 1000])),
        };
        eprintln!("round: {pragmas}; violent: {violent}; {settings:?}");
        Storm {
            chance,
            weather,
            shelter,
            settings,
            violent,
            replicator: None,
            writers: Vec::new(),
            witness,
            rig,
            restored: 0,
        }
    }

    fn rage(mut self) {
        let end = Instant::now() + ROUND;
        while Instant::now() < end {
            self.repopulate();
            if let Some(weather) = self.weather {
                weather.change(self.chance);
            }
            std::thread::sleep(self.chance.time(Duration::from_millis(1200)));
            match self.chance.below(12) {
                0..4 => self.kill_replicator(),
                4 => self.stop_replicator(),
                5..7 if self.violent => self.kill_writer(),
                7 if self.violent => self.kill_everybody(),
                8 | 9 => self.look_at_any(Program::Walbrook),
                _ => self.look(Program::Walbrook, None),
            }
        }
        self.calm_down();
    }

    /// Starts whom the last accident has ended.
    fn repopulate(&mut self) {
        if self.replicator.is_none() {
            let started = self.rig.start_with(Program::Walbrook, &self.settings);
            self.replicator = Some(started);
        }
        while self.writers.len() < WRITERS {
            self.writers.push(self.witness.writer(self.chance));
        }
    }

    fn kill_replicator(&mut self) {
        if let Some(replicator) = self.replicator.take() {
            replicator.kill();
        }
        std::thread::sleep(self.chance.time(Duration::from_millis(700)));
    }

    fn stop_replicator(&mut self) {
        self.clear_up();
        if let Some(replicator) = self.replicator.take() {
            end(replicator);
        }
        if self.chance.once_in(2) {
            self.rig.once();
        }
    }

    fn kill_writer(&mut self) {
        let victim = self.chance.below(self.writers.len() as u64);
        self.writers.swap_remove(victim as usize).kill();
    }

    /// The next one to come runs SQLite's recovery.
    fn kill_everybody(&mut self) {
        for process in self.writers.drain(..).chain(self.replicator.take()) {
            process.kill();
        }
        self.witness.distrust();
    }

    fn clear_up(&self) {
        if let Some(weather) = self.weather {
            weather.clear();
        }
    }

    /// Lets everybody finish, and looks whether everything is there.
    fn calm_down(mut self) {
        self.clear_up();
        self.repopulate();
        for writer in self.writers.drain(..) {
            writer.stop().well();
        }
        self.witness.note();
        if let Some(replicator) = self.replicator.take() {
            let ended = end(replicator);
            assert!(!ended.log.contains("panicked"), "{}", ended.log);
        }
        let last = self.witness.last();
        for (program, looks) in LAST_LOOKS {
            let restored = self.restored(program, None);
            assert_eq!(hex(sum_of(&restored)), last.1, "{program:?}");
            for _ in 0..looks {
                self.look_at_any(program);
            }
        }
        eprintln!(
            "round: {} commits, {} TXIDs, {} restored",
            last.0,
            self.rig.newest(),
            self.restored
        );
    }

    fn look_at_any(&mut self, program: Program) {
        let txids = self.rig.txids();
        if !txids.is_empty() {
            let txid = self.chance.of(&txids);
            self.look(program, Some(txid));
        }
    }

    /// Restores, and looks whether that is a state the database had.
    fn look(&mut self, program: Program, txid: Option<u64>) {
        if self.rig.newest() == 0 {
            return;
        }
        let restored = self.restored(program, txid);
        self.witness.recognise(&restored);
        std::fs::remove_file(restored).unwrap();
        self.restored += 1;
    }

    fn restored(&self, program: Program, txid: Option<u64>) -> PathBuf {
        let restored = self
            .rig
            .restore_from(&self.shelter, program, &at_txid(txid));
        restored.unwrap_or_else(|error| panic!("{program:?} cannot restore {txid:?}: {error}"))
    }
}

/// Stops it in order, which it knows of only once it has begun.
fn end(replicator: Process) -> Ended {
    replicator.wait_for_own("replicating to");
    replicator.stop().well()
}
