//! `restore -all`: a machine that has nothing but its configuration, or not even that, gets all of its databases back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tinyjson::JsonValue;

use super::Fleet;
use crate::support::place::Place;
use crate::support::process::{Ended, Process, output_of};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Sum, sqlite, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use crate::support::sftp::{self, SftpServer};

const NAMES: [&str; 4] = ["a.db", "b c.db", "sub/a.db", "sub/deep/100%.db"];

/// Replicas of databases that are gone, at this place.
struct Lost {
    scratch: Scratch,
    place: Place,
    sums: BTreeMap<PathBuf, Sum>,
}

impl Lost {
    fn new(place: impl FnOnce(&Path) -> Place, program: Program) -> Lost {
        let scratch = Scratch::new();
        let lost = Lost {
            place: place(scratch.path()),
            scratch,
            sums: BTreeMap::new(),
        };
        for name in NAMES {
            let path = lost.db(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let sql = "PRAGMA journal_mode = wal; CREATE TABLE t(v); INSERT INTO t VALUES(hex(randomblob(9)))";
            sqlite(&path, sql);
        }
        let mut command = lost.command(program, "replicate");
        output_of(command.arg("-once").arg("-config").arg(lost.config())).unwrap();
        let sums = NAMES.map(|name| (PathBuf::from(name), sum_of(&lost.db(name))));
        std::fs::rename(lost.db(""), lost.path("away")).unwrap();
        Lost {
            sums: sums.into(),
            ..lost
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn db(&self, name: &str) -> PathBuf {
        self.path("data").join(name)
    }

    /// A new one for each run.
    fn log(&self) -> PathBuf {
        self.path(&format!("{:x}.log", walbrook::sys::random::unique()))
    }

    fn config(&self) -> PathBuf {
        let config = self.path("config.yml");
        let text = format!(
            "dbs:\n  - {{dir: {}, pattern: '*.db', recursive: true, replica: {{{}}}}}\n",
            self.db("").display(),
            self.place.settings()
        );
        std::fs::write(&config, text).unwrap();
        config
    }

    fn command(&self, program: Program, name: &str) -> Command {
        let mut command = program.command();
        command.arg(name).envs(self.place.environment());
        command
    }

    /// `walbrook restore -all FLAGS`, with the configuration.
    #[track_caller]
    fn restore(&self, flags: &[&str]) -> Ended {
        let mut command = self.command(Program::Walbrook, "restore");
        command.args(["-all", "-config"]).arg(self.config());
        Process::start(command.args(flags), &self.log()).ended()
    }

    /// `walbrook restore -all FLAGS -o out URL`.
    #[track_caller]
    fn restore_below(&self, flags: &[&str]) -> Ended {
        let mut command = self.command(Program::Walbrook, "restore");
        command.args(["-all", "-o"]).arg(self.path("out"));
        Process::start(command.args(flags).arg(self.place.url()), &self.log()).ended()
    }

    /// All files in `directory`, which must be the databases.
    #[track_caller]
    fn assert_restored(&self, directory: &Path) {
        let mut found = BTreeMap::new();
        let mut pending = vec![directory.to_path_buf()];
        while let Some(path) = pending.pop() {
            for entry in std::fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => pending.push(path),
                    false => {
                        let relative = path.strip_prefix(directory).unwrap().to_path_buf();
                        found.insert(relative, sum_of(&path));
                    }
                }
            }
        }
        assert_eq!(found, self.sums);
    }
}

fn directory(top: &Path) -> Place {
    Place::Directory(top.join("replicas"))
}

/// Every way to have all of them back, from this place.
fn all_ways(lost: &Lost) {
    let ended = lost.restore(&["-dry-run"]).well();
    assert_eq!(
        ended.log.matches("Restore plan:").count(),
        4,
        "{}",
        ended.log
    );
    assert!(!lost.db("").exists());
    let ended = lost
        .restore(&["-if-db-not-exists", "-if-replica-exists"])
        .well();
    assert_eq!(ended.log.matches("restored /").count(), 4, "{}", ended.log);
    lost.assert_restored(&lost.db(""));
    // Again, as at each start of the machine.
    let ended = lost
        .restore(&["-if-db-not-exists", "-if-replica-exists"])
        .well();
    let skipped = "a.db: database already exists, skipping";
    assert!(ended.log.contains(skipped), "{}", ended.log);
    lost.assert_restored(&lost.db(""));
    // One is in the way of itself.
    std::fs::remove_file(lost.db("sub/a.db")).unwrap();
    let ended = lost.restore(&[]);
    assert_eq!(ended.code(), 1, "{}", ended.log);
    assert!(
        ended.log.contains("3 of 4 databases were not restored"),
        "{}",
        ended.log
    );
    lost.assert_restored(&lost.db(""));
    lost.restore(&["-force"]).well();
    lost.assert_restored(&lost.db(""));

    lost.restore_below(&["-timestamp", "0s ago"]).well();
    lost.assert_restored(&lost.path("out"));
    let ended = lost.restore_below(&["-if-db-unusable", "-json"]).well();
    lost.assert_restored(&lost.path("out"));
    let json: JsonValue = json_of(&ended);
    let objects: &Vec<JsonValue> = json.get().unwrap();
    assert_eq!(objects.len(), 4);
    assert!(
        objects
            .iter()
            .all(|it| *it["result"].get::<String>().unwrap() == "skipped")
    );
}

/// The list in what was printed, between the lines about each.
fn json_of(ended: &Ended) -> JsonValue {
    let from = ended.log.find("[\n").unwrap();
    let to = ended.log.find("\n]").unwrap();
    ended.log[from..to + 2].parse().unwrap()
}

#[test]
fn from_a_directory() {
    all_ways(&Lost::new(directory, Program::Walbrook));
    all_ways(&Lost::new(directory, Program::Litestream17));
}

#[test]
fn from_buckets() {
    for kind in Kind::all() {
        let server = S3Server::shared(kind, Tls::Off);
        all_ways(&Lost::new(|_| Place::on(&server), Program::Walbrook));
    }
}

#[test]
fn from_servers_of_sftp() {
    for kind in [sftp::Kind::OpenSsh, sftp::Kind::AsyncSsh] {
        let server = SftpServer::shared(kind);
        all_ways(&Lost::new(|_| Place::on_sftp(&server), Program::Walbrook));
    }
}

#[test]
fn one_that_fails_does_not_keep_the_others_from_it() {
    let lost = Lost::new(directory, Program::Walbrook);
    let replica = |name: &str| lost.path("replicas").join(name);
    // One is damaged, one is gone, and one has no name that could be restored.
    let snapshots = replica("a.db").join("ltx/9");
    for entry in std::fs::read_dir(&snapshots).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let _ = std::fs::remove_dir_all(replica("a.db").join("ltx/0"));
    let _ = std::fs::remove_dir_all(replica("a.db").join("ltx/1"));
    std::fs::rename(replica("sub/a.db"), replica("sub/a.db-wal")).unwrap();
    let ended = lost.restore_below(&["-json"]);
    assert_eq!(ended.code(), 65, "{}", ended.log);
    assert!(ended.log.contains("/out/a.db: "), "{}", ended.log);
    let refused = "the replica `sub/a.db-wal` below ";
    assert!(ended.log.contains(refused), "{}", ended.log);
    let of = |name| sum_of(&lost.path("out").join(name));
    for name in ["b c.db", "sub/deep/100%.db"] {
        assert_eq!(of(name), lost.sums[Path::new(name)]);
    }
    assert!(!lost.path("out/a.db").exists() && !lost.path("out/sub/a.db-wal").exists());
    let json = json_of(&ended);
    let objects: &Vec<JsonValue> = json.get().unwrap();
    let mut codes: Vec<f64> = objects
        .iter()
        .filter_map(|it| {
            let fields: &std::collections::HashMap<String, JsonValue> = it.get().unwrap();
            Some(*fields.get("exit_code")?.get::<f64>().unwrap())
        })
        .collect();
    codes.sort_by(f64::total_cmp);
    assert_eq!((objects.len(), codes), (4, vec![1.0, 65.0]));
    // By the configuration, what has no name of a database is nothing to it.
    let ended = lost.restore(&[]);
    assert_eq!(ended.code(), 65, "{}", ended.log);
    assert!(!ended.log.contains("a.db-wal"), "{}", ended.log);
}

#[test]
fn nothing_there_is_no_backup() {
    let lost = Lost::new(directory, Program::Walbrook);
    std::fs::remove_dir_all(lost.path("replicas")).unwrap();
    assert_eq!(lost.restore(&[]).code(), 66);
    assert_eq!(lost.restore_below(&[]).code(), 66);
    lost.restore(&["-if-replica-exists"]).well();
    lost.restore_below(&["-if-replica-exists"]).well();
}

#[test]
fn two_that_lead_to_one_file_are_refused() {
    let lost = Lost::new(directory, Program::Walbrook);
    // As a path has it, and as a URL has it.
    let mut copy = Command::new("cp");
    copy.arg("-r").arg(lost.path("replicas/b c.db"));
    output_of(copy.arg(lost.path("replicas/b%20c.db"))).unwrap();
    let ended = lost.restore_below(&[]);
    assert_eq!(ended.code(), 1, "{}", ended.log);
    let several = "out/b c.db: several replicas lead to this file";
    assert_eq!(ended.log.matches(several).count(), 2, "{}", ended.log);
    assert!(!lost.path("out/b c.db").exists() && lost.path("out/a.db").exists());
    // A replica is not below itself.
    let mut command = lost.command(Program::Walbrook, "restore");
    command.args(["-all", "-o"]).arg(lost.path("other"));
    let url = format!("file://{}", lost.path("replicas/a.db").display());
    let error = output_of(command.arg(url)).unwrap_err();
    assert!(error.contains("is a replica itself"), "{error}");
}

#[test]
fn a_storage_that_comes_late_is_waited_for() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let lost = Lost::new(|_| Place::on(&server).through(&proxy), Program::Walbrook);
    proxy.fault(Fault::Error {
        status: 503,
        code: "SlowDown",
        retry_after: 0,
    });
    assert_eq!(lost.restore(&[]).code(), 75);
    let mut command = lost.command(Program::Walbrook, "restore");
    command
        .args(["-all", "-max-wait", "60s", "-config"])
        .arg(lost.config());
    let mut waiting = Process::start(&mut command, &lost.log());
    waiting.wait_for("trying again for up to");
    proxy.clear();
    waiting.ended().well();
    lost.assert_restored(&lost.db(""));
}

#[test]
fn listed_ones_too() {
    let mut fleet = Fleet::new("recursive: true");
    for name in ["a.db", "sub/b.db"] {
        fleet.create(name);
    }
    output_of(fleet.command("replicate").arg("-once")).unwrap();
    let sums = ["a.db", "sub/b.db"].map(|name| sum_of(&fleet.db(name)));
    let one = fleet.create("one.db");
    std::fs::rename(&one, fleet.path("one.db")).unwrap();
    fleet.others = format!(
        "  - {{path: {}, replica: {{path: {}}}}}\n",
        fleet.path("one.db").display(),
        fleet.path("replica-of-one").display()
    );
    output_of(fleet.command("replicate").arg("-once")).unwrap();
    std::fs::remove_dir_all(fleet.path("data")).unwrap();
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(fleet.path(&format!("one.db{end}")));
    }
    output_of(fleet.command("restore").arg("-all")).unwrap();
    let restored = ["a.db", "sub/b.db"].map(|name| sum_of(&fleet.db(name)));
    assert_eq!(restored, sums);
    assert!(fleet.path("one.db").exists());
}
