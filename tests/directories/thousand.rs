//! A thousand databases: what they cost when nobody writes.

use std::process::Command;
use std::time::{Duration, Instant};

use super::Fleet;
use crate::support::process::wait_until;
use crate::support::rig::Program;
use crate::support::scratch::Scratch;

const DATABASES: usize = 1000;

/// What the process has, by the name of its field in /proc/PID/status.
fn field(pid: u32, name: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_idle_databases_are_cheap() {
    let fleet = Fleet::within(Scratch::in_memory(), "watch: true");
    let template = fleet.create("0000.db");
    let names: Vec<String> = (0..DATABASES)
        .map(|number| format!("{number:04}.db"))
        .collect();
    for name in &names[1..] {
        std::fs::copy(&template, fleet.db(name)).unwrap();
    }
    let begin = Instant::now();
    let process = fleet.start();
    wait_until("all of them synced", || {
        std::fs::read_dir(fleet.path("replica")).is_ok_and(|found| found.count() == DATABASES)
            && fleet.said("synced ") >= DATABASES
    });
    let start = begin.elapsed();
    // Some are written to, while the others are not.
    for name in names.iter().step_by(100) {
        fleet.insert(name);
    }
    let sample: Vec<&str> = names.iter().step_by(50).map(String::as_str).collect();
    fleet.wait_in_sync(&sample);
    let pid = process.pid();
    let (rss, threads) = (field(pid, "VmRSS:"), field(pid, "Threads:"));
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    println!("{start:?} to start, {rss} kB, {threads} threads, {descriptors} descriptors");
    assert!(rss < DATABASES * 200, "{rss} kB");
    assert!(threads < DATABASES + 20, "{threads} threads");
    assert!(descriptors < DATABASES * 12, "{descriptors} descriptors");
    let stopping = Instant::now();
    process.stop().well();
    assert!(stopping.elapsed() < Duration::from_secs(25));
    for name in &sample {
        assert_eq!(fleet.compare(Program::Walbrook, name), Ok(()));
    }
}

#[test]
fn without_descriptors_enough_the_others_go_on_and_it_is_said_what_to_do() {
    let fleet = Fleet::new("watch: true");
    for number in 0..20 {
        fleet.create(&format!("{number:02}.db"));
    }
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 100; exec \"$@\"", "sh"]);
    command.arg(Program::Walbrook.command().get_program());
    command.args(["replicate", "-config"]).arg(fleet.config());
    let process = crate::support::process::Process::start(&mut command, &fleet.log());
    process.wait_for("raise the limit");
    // The limits of this process, which it has to make do with.
    wait_until("some of them synced", || {
        std::fs::read_dir(fleet.path("replica")).is_ok_and(|found| found.count() >= 2)
    });
    let ended = process.stop();
    assert!(!ended.status.success(), "some were never replicated");
}
