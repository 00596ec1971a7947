//! Programs as child processes: their output kept in a file, themselves ended with the test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything takes that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How often conditions are looked at.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `attempt` succeeds, and fails the test with its last error when it does not in time.
#[track_caller]
pub(crate) fn eventually<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) if Instant::now() > deadline => panic!("in {PATIENCE:?}: {error}"),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    eventually(|| {
        condition()
            .then_some(())
            .ok_or_else(|| format!("not yet {what}"))
    });
}

/// A running program.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// Bytes that others had written there before.
    logged: usize,
}

impl Process {
    /// Starts `command`, with its output going to the end of `log`.
    #[track_caller]
    pub(crate) fn start(command: &mut Command, log: &Path) -> Process {
        let output = File::options().create(true).append(true).open(log).unwrap();
        let logged = output.metadata().unwrap().len() as usize;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // It makes Litestream refuse to start.
            .env_remove("AWS_CA_BUNDLE")
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Process {
            child,
            log: log.to_path_buf(),
            logged,
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has printed so far.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(&self.log);
        let bytes = bytes.unwrap_or_else(|error| format!("(no log: {error})").into_bytes());
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(|| match self.log().contains(text) {
            true => Ok(()),
            false => Err(format!("no {text:?} in:\n{}", self.log())),
        });
    }

    /// Waits until it has itself printed `text`, whoever has written to the log before.
    #[track_caller]
    pub(crate) fn wait_for_own(&self, text: &str) {
        wait_until(text, || {
            let own = std::fs::read(&self.log).unwrap().split_off(self.logged);
            String::from_utf8_lossy(&own).contains(text)
        });
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Asks it to end, and waits until it has.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Kills it, without warning.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Ended {
        let start = Instant::now();
        let status = eventually(|| match self.child.try_wait().unwrap() {
            Some(status) => Ok(status),
            None => Err(format!("still running:\n{}", self.log())),
        });
        Ended {
            status,
            log: self.log(),
            took: start.elapsed(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let skip = log.len().saturating_sub(6000);
            let tail = log.get(skip..).unwrap_or(&log);
            eprintln!("--- {}\n{tail}", self.log.display());
        }
    }
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
    /// How long that was waited for.
    pub(crate) took: Duration,
}

impl Ended {
    /// Its exit code.
    #[track_caller]
    pub(crate) fn code(&self) -> i32 {
        let Ended { status, log, .. } = self;
        status.code().unwrap_or_else(|| panic!("{status}:\n{log}"))
    }

    /// Fails the test if it did not succeed.
    #[track_caller]
    pub(crate) fn well(self) -> Ended {
        assert!(self.status.success(), "{}:\n{}", self.status, self.log);
        self
    }
}

/// Runs a program to its end and gives its output, or what it printed on standard error.
#[track_caller]
pub(crate) fn output_of(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .env_remove("AWS_CA_BUNDLE")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stdout) + &text(&output.stderr)),
    }
}
