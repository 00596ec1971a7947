//! The application as a child process: started after replication, ended before it.

use std::fmt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::Sender;

use rustix::process::{Pid, Signal, kill_process};

use super::{DaemonError, Happening, cannot_start, spawn};

/// The running command of `-exec`.
pub(super) struct Child {
    process: Pid,
}

impl Child {
    /// Starts `command`, split into words as a shell would but run without one, and has its end told.
    pub(super) fn start(command: &str, happen: Sender<Happening>) -> Result<Child, DaemonError> {
        let words = split(command).map_err(|reason| DaemonError::Command(reason.to_string()))?;
        let [program, arguments @ ..] = words.as_slice() else {
            return Err(DaemonError::Command("it is empty".to_string()));
        };
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| DaemonError::Command(format!("{program}: {error}")))?;
        let process = Pid::from_child(&child);
        let wait = move || {
            let failure = child.wait().map_or(Some(Failure::Unknown), failure_of);
            let _ = happen.send(Happening::ChildEnded(failure));
        };
        spawn("child", wait).map_err(cannot_start("the thread that waits for the command"))?;
        Ok(Child { process })
    }

    /// Passes a signal on.
    pub(super) fn signal(&self, number: i32) {
        let signal = match number {
            signal_hook::consts::SIGINT => Signal::INT,
            _ => Signal::TERM,
        };
        // It may have ended just now.
        let _ = kill_process(self.process, signal);
    }
}

/// How a command failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Failure {
    /// By an exit code other than 0.
    Code(i32),
    /// By a signal.
    Killed,
    /// How is not known.
    Unknown,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Code(code) => write!(f, "ended with exit code {code}"),
            Failure::Killed => f.write_str("was killed by a signal"),
            Failure::Unknown => f.write_str("could not be waited for"),
        }
    }
}

fn failure_of(status: ExitStatus) -> Option<Failure> {
    match (status.success(), status.code()) {
        (true, _) => None,
        (false, Some(code)) => Some(Failure::Code(code)),
        (false, None) => Some(Failure::Killed),
    }
}

/// Splits a command line into words: blanks part them, single quotes take everything literally, double quotes
/// all but backslashes, a backslash the next character.
fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('\'') => break,
                        Some(quoted) => word.push(quoted),
                        None => return Err("a single quote is not closed"),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some('"') => break,
                        Some('\\') => match characters.next() {
                            Some(escaped @ ('"' | '\\' | '$' | '`')) => word.push(escaped),
                            Some(other) => word.extend(['\\', other]),
                            None => return Err("a double quote is not closed"),
                        },
                        Some(quoted) => word.push(quoted),
                        None => return Err("a double quote is not closed"),
                    }
                }
            }
            '\\' => match characters.next() {
                Some(escaped) => word.get_or_insert_default().push(escaped),
                None => return Err("it ends with a backslash"),
            },
            plain => word.get_or_insert_default().push(plain),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (command, words) in [
            ("app -v  data.db", &["app", "-v", "data.db"][..]),
            (
                r#"sh -c "echo 'a b' \"c\" \n""#,
                &["sh", "-c", r#"echo 'a b' "c" \n"#],
            ),
            (r"a\ b ''", &["a b", ""]),
            (r#"x'y'"z""#, &["xyz"]),
            ("  ", &[]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
        for open in ["'a", "\"a", "\"a\\", "a\\"] {
            assert!(split(open).is_err(), "{open}");
        }
    }
}
