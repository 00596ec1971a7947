//! The whole program on a database that goes wrong under it.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use walbrook::ltx::Decoder;

use super::Bench;
use crate::support::rig::program;

/// The program, replicating a bench's database to a directory beside it.
struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    fn start(bench: &Bench, wrapper: &[&str]) -> Daemon {
        let log = bench.scratch.path().join("log");
        let mut words: Vec<String> = wrapper.iter().map(ToString::to_string).collect();
        words.push(program().display().to_string());
        words.extend([
            "replicate".to_string(),
            "-log-level".to_string(),
            "debug".to_string(),
        ]);
        words.push(bench.path().display().to_string());
        words.push(format!("file://{}", replica(bench).display()));
        let output = File::create(&log).unwrap();
        let child = Command::new(&words[0])
            .args(&words[1..])
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Daemon { child, log }
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn wait_for(&self, what: &str, condition: impl Fn() -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < end, "no {what}: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Processor time used so far.
    fn used(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split(' ').collect();
        let ticks: u64 = fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn replica(bench: &Bench) -> PathBuf {
    bench.scratch.path().join("replica")
}

/// The files of a level.
fn files(bench: &Bench, level: u8) -> Vec<PathBuf> {
    let level = replica(bench).join("ltx").join(level.to_string());
    let Ok(entries) = fs::read_dir(level) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "ltx"));
    files.sort();
    files
}

fn page_size(file: &Path) -> u32 {
    let bytes = fs::read(file).unwrap();
    Decoder::open(&bytes[..])
        .unwrap()
        .header()
        .page_size
        .bytes()
}

#[test]
fn a_database_of_another_page_size_never_goes_into_the_same_chain() {
    let bench = Bench::new();
    let daemon = Daemon::start(&bench, &[]);
    daemon.wait_for("base", || {
        files(&bench, 9).len() == 1 && files(&bench, 0).len() == 1
    });
    let mut other = Bench::empty("PRAGMA page_size=512");
    other.sql("create table t(a); insert into t values (randomblob(5000))");
    other.app.run("c.close()");
    // As a restore by hand does it.
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(bench.scratch.path().join(format!("app.db{suffix}"))).unwrap();
    }
    fs::rename(other.path(), bench.path()).unwrap();
    daemon.wait_for("complaint", || {
        daemon
            .said()
            .contains("the replica holds pages of 4096 bytes")
            || files(&bench, 0).len() > 1
    });
    std::thread::sleep(Duration::from_secs(2));
    for file in files(&bench, 0) {
        assert_eq!(
            page_size(&file),
            4096,
            "{}: {}",
            file.display(),
            daemon.said()
        );
    }
}

#[test]
fn a_checkpoint_that_keeps_failing_does_not_spin() {
    let mut bench = Bench::new();
    bench.app.run("checkpoint('truncate')");
    // No file may become larger than this, so the database cannot take what is in the WAL.
    let limited = "import os, resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); \
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000)); os.execv(sys.argv[1], sys.argv[1:])";
    let daemon = Daemon::start(&bench, &["python3", "-c", limited]);
    daemon.wait_for("base", || files(&bench, 0).len() == 1);
    bench.sql("insert into t(b) select zeroblob(20000) from t");
    daemon.wait_for("complaint", || daemon.said().contains("cannot checkpoint"));
    let before = daemon.used();
    std::thread::sleep(Duration::from_secs(2));
    let used = daemon.used() - before;
    assert!(
        used < Duration::from_millis(400),
        "{used:?} of processor time in 2 s: {}",
        daemon.said()
    );
    assert!(daemon.said().lines().count() < 40, "{}", daemon.said());
}

#[test]
fn another_user_does_not_create_files_that_lock_the_application_out() {
    let mut bench = Bench::new();
    bench
        .app
        .run("c.execute('pragma journal_mode=wal').fetchall(); c.close()");
    for (path, mode) in [
        (bench.scratch.path().to_path_buf(), 0o777),
        (bench.path(), 0o666),
    ] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let nobody = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let daemon = Daemon::start(&bench, &nobody);
    daemon.wait_for("complaint", || {
        daemon.said().contains("could lock the application out")
    });
    for suffix in ["-wal", "-shm"] {
        assert!(
            !bench
                .scratch
                .path()
                .join(format!("app.db{suffix}"))
                .exists()
        );
    }
    // Once the application has it open, there is nothing to create.
    bench
        .app
        .run("os.umask(0); c = connect(); c.execute('select * from t').fetchall()");
    daemon.wait_for("base", || files(&bench, 0).len() == 1);
}
