//! Keys that a program of the user's prints (`credential_process` of a profile).
//!
//! AWS's programs differ in how they run the line: Go's, and so Litestream, give it to a shell, others split it
//! themselves. Here a line of plain words, which means the same to all of them, is run without a shell, so that
//! it works on a machine that has none; everything else goes to `sh -c`. The program gets no input and a limit of
//! time, in a process group of its own, so that whatever it started ends with it.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::CredentialsError;
use super::ask::words;
use super::document::Document;
use super::found::Found;
use crate::units::Timestamp;

/// The keys that `command`, which stands at `place`, prints.
pub(super) fn fetch(command: &str, place: &str, now: Timestamp) -> Result<Found, CredentialsError> {
    let place = format!("the credential_process of {place}");
    let printed = run(command, LIMIT).map_err(|failure| failure.at(&place))?;
    read(&printed, now).map_err(|reason| CredentialsError::unusable(&place, reason))
}

fn read(printed: &[u8], now: Timestamp) -> Result<Found, String> {
    let document = Document::parse(printed)?;
    if document.number("Version") != Some(1.0) {
        return Err("what it prints does not say \"Version\": 1".to_owned());
    }
    document.found("SessionToken", None, now)
}

/// How long a program may take.
const LIMIT: Duration = Duration::from_secs(60);
/// What it may print: more is cut off.
const MOST_BYTES: u64 = 64 << 10;

/// Why nothing was printed.
struct Failure {
    reason: String,
    /// Whether it may work another time: the program asks a server, perhaps.
    transient: bool,
}

impl Failure {
    fn lasting(reason: String) -> Failure {
        Failure {
            reason,
            transient: false,
        }
    }

    fn passing(reason: String) -> Failure {
        Failure {
            reason,
            transient: true,
        }
    }

    fn at(self, place: &str) -> CredentialsError {
        if self.transient {
            CredentialsError::unavailable(place, self.reason)
        } else {
            CredentialsError::unusable(place, self.reason)
        }
    }
}

/// What the program writes to its standard output.
fn run(command: &str, limit: Duration) -> Result<Vec<u8>, Failure> {
    let deadline = Instant::now() + limit;
    let mut running = Running::start(command)?;
    let printed = running.printed.recv_timeout(limit);
    let status = match printed {
        Ok(_) => running.wait_until(deadline),
        Err(_) => None,
    };
    let Some(status) = status else {
        return Err(Failure::passing(format!(
            "it did not end within {limit:?} and was stopped"
        )));
    };
    if !status.success() {
        return Err(failed(status, running.complaint()));
    }
    printed
        .unwrap_or_else(|_| Ok(Vec::new()))
        .map_err(|error| Failure::passing(format!("what it printed could not be read: {error}")))
}

fn failed(status: ExitStatus, complaint: String) -> Failure {
    let reason = if complaint.is_empty() {
        format!("it failed ({status}) without saying why")
    } else {
        format!("it failed ({status}): {complaint}")
    };
    match status.code() {
        // A shell's words for a program that is not there or cannot be run.
        Some(126 | 127) => Failure::lasting(reason),
        _ => Failure::passing(reason),
    }
}

/// The program, which ends at the latest when this goes.
struct Running {
    child: Child,
    ended: bool,
    printed: Receiver<io::Result<Vec<u8>>>,
    complained: Receiver<io::Result<Vec<u8>>>,
}

impl Running {
    fn start(command: &str) -> Result<Running, Failure> {
        let (program, mut command) = prepared(command);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::lasting(format!("cannot run {program}: {error}")))?;
        let printed = collect(child.stdout.take());
        let complained = collect(child.stderr.take());
        Ok(Running {
            child,
            ended: false,
            printed,
            complained,
        })
    }

    /// Waits for the program to end; none when the time is up.
    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        loop {
            // That it cannot be waited for cannot happen to a child of ours, and would last.
            if let Some(status) = self.child.try_wait().ok()? {
                self.ended = true;
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it wrote to its standard error. Something it started may hold that open: not worth a wait.
    fn complaint(&self) -> String {
        let written = self.complained.recv_timeout(Duration::from_secs(1));
        let written = written.ok().and_then(Result::ok).unwrap_or_default();
        words(&String::from_utf8_lossy(&written))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        // Not yet waited for, so the number is still that of this group. It may have ended just now.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The program's name for messages, and how to run it.
fn prepared(line: &str) -> (String, Command) {
    let is_plain = |word: &str| {
        word.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./:@%+=,".contains(&byte))
    };
    let words: Vec<&str> = line
        .split([' ', '\t', '\n'])
        .filter(|word| !word.is_empty())
        .collect();
    match words.as_slice() {
        // A shell takes a first word with `=` for a variable, and a line's end for the end of a command.
        [program, arguments @ ..]
            if words.iter().all(|word| is_plain(word))
                && !program.contains('=')
                && !line.contains('\n') =>
        {
            let mut command = Command::new(program);
            command.args(arguments);
            ((*program).to_owned(), command)
        }
        _ => {
            let mut command = Command::new("sh");
            command.arg("-c").arg(line);
            ("sh".to_owned(), command)
        }
    }
}

/// Reads a pipe to its end on a thread, and gives the first part of it. All is read, so that the program never
/// waits for us.
fn collect<R: Read + Send + 'static>(pipe: Option<R>) -> Receiver<io::Result<Vec<u8>>> {
    let (done, result) = channel();
    let collect = move || {
        let mut bytes = Vec::new();
        let Some(mut pipe) = pipe else { return };
        let read = pipe.by_ref().take(MOST_BYTES).read_to_end(&mut bytes);
        let read = read.and_then(|_| io::copy(&mut pipe, &mut io::sink()));
        let _ = done.send(read.map(|_| bytes));
    };
    // Without a thread there is no answer, which the receiver sees.
    let _ = std::thread::Builder::new()
        .name("credentials".to_owned())
        .stack_size(64 << 10)
        .spawn(collect);
    result
}

#[cfg(test)]
mod tests {
    use super::super::fake::scratch;
    use super::*;

    fn error(command: &str) -> CredentialsError {
        fetch(command, "the profile p", Timestamp::from_millis(0))
            .err()
            .unwrap()
    }

    #[test]
    fn keys_are_printed_by_a_program_or_a_shell() {
        let home = scratch("process");
        let json = r#"{"Version": 1, "AccessKeyId": "ASIA1", "SecretAccessKey": "s", "SessionToken": "t",
                       "Expiration": "1970-01-01T02:00:00Z"}"#;
        std::fs::write(home.join("keys"), json).unwrap();
        let file = home.join("keys").display().to_string();
        for command in [
            format!("cat {file}"),
            format!("X='{file}'; cat \"$X\""),
            format!("cat < {file}"),
        ] {
            let found = fetch(&command, "the profile p", Timestamp::from_millis(0)).unwrap();
            assert_eq!(found.keys.access_key_id, "ASIA1");
            let lifetime = found.lifetime.unwrap();
            assert!(!lifetime.certain && lifetime.holds.as_secs() == 7200);
        }
    }

    #[test]
    fn plain_words_need_no_shell() {
        for (line, program) in [
            ("/opt/helper  --cert /a/b.pem --x=y", "/opt/helper"),
            ("helper \"a b\"", "sh"),
            ("X=1 helper", "sh"),
            ("~/helper", "sh"),
            ("a\nb", "sh"),
        ] {
            assert_eq!(prepared(line).0, program, "{line}");
        }
    }

    #[test]
    fn failing_shows_what_it_says_of_it_and_never_what_it_prints() {
        let failed = error("echo hunter2; echo no network >&2; echo more >&2; exit 3");
        assert!(failed.is_transient());
        let said = failed.to_string();
        assert!(said.contains("exit status: 3): no network"), "{said}");
        assert!(
            said.contains("credential_process of the profile p"),
            "{said}"
        );
        assert!(
            !said.contains("hunter2") && !said.contains("more"),
            "{said}"
        );
    }

    #[test]
    fn what_is_not_there_has_to_be_put_there() {
        for command in ["/nonexistent/helper", "/nonexistent/helper 'a'"] {
            let error = error(command);
            assert!(!error.is_transient(), "{error}");
            assert!(error.to_string().contains("/nonexistent/helper"), "{error}");
        }
    }

    #[test]
    fn other_output_is_refused_and_not_shown() {
        for (command, said) in [
            ("echo hunter2", "not JSON"),
            ("echo '{\"AccessKeyId\": \"hunter2\"}'", "Version"),
            ("true", "not JSON"),
        ] {
            let error = error(command);
            assert!(
                !error.is_transient() && error.to_string().contains(said),
                "{error}"
            );
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_program_that_hangs_is_stopped_with_all_it_started() {
        let home = scratch("hangs");
        let file = home.join("pid").display().to_string();
        for command in [
            format!("echo $$ > {file}; sleep 1000 & wait"),
            format!("exec >&- 2>&-; echo $$ > {file}; sleep 1000"),
        ] {
            let begun = Instant::now();
            let failure = run(&command, Duration::from_millis(300)).err().unwrap();
            assert!(
                failure.transient && failure.reason.contains("did not end"),
                "{}",
                failure.reason
            );
            assert!(begun.elapsed() < Duration::from_secs(30));
            let pid: i32 = std::fs::read_to_string(&file)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            let group = Pid::from_raw(pid).unwrap();
            let gone = || rustix::process::test_kill_process_group(group).is_err();
            while !gone() {
                assert!(
                    begun.elapsed() < Duration::from_secs(30),
                    "something still runs"
                );
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }

    #[test]
    fn long_output_does_not_hang() {
        let printed = run("yes hunter2 | head -c 1000000", Duration::from_secs(60));
        assert_eq!(printed.ok().unwrap().len() as u64, MOST_BYTES);
    }
}
