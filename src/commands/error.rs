//! How a command ends.

use std::fmt;
use std::io;

use crate::config::{ConfigError, Problem};
use crate::storage::StorageError;

/// How a command ended that could say all it had to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// Exit code 0.
    Success,
    /// Exit code 1; the log or the output already says why.
    Failed,
    /// The same with another exit code.
    FailedWith(u8),
}

impl Outcome {
    /// How all of several ended that have these exit codes. Damage outweighs what could not be found out.
    pub(crate) fn worst_of(codes: impl Iterator<Item = u8>) -> Outcome {
        match codes.max_by_key(|&code| (code == Reason::Damaged.code(), code)) {
            None | Some(0) => Outcome::Success,
            Some(code) => Outcome::FailedWith(code),
        }
    }
}

/// What kind of failure it was, where a script may want to know. The codes are those of BSD's `sysexits.h`, which
/// systemd knows by name (`RestartForceExitStatus=TEMPFAIL`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// None in particular: Litestream's code for every failure.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// Files of the replica are damaged or missing.
    Damaged,
    /// There is no backup.
    NoBackup,
    /// There is none of the time that was asked for.
    NoSuchTime,
    /// The storage cannot be reached; it may be later.
    Unreachable,
}

impl Reason {
    /// The exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Reason::Failed => 1,
            Reason::Usage => 64,
            Reason::Damaged => 65,
            Reason::NoBackup | Reason::NoSuchTime => 66,
            Reason::Unreachable => 75,
        }
    }
}

/// Why a command failed: `Error: …` on stderr.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct CommandError(Box<Told>); // by a pointer: every `?` of every command moves it

#[derive(Clone, Debug, Eq, PartialEq)]
struct Told {
    message: String,
    reason: Reason,
    try_command: Option<String>,
    output_closed: bool,
}

impl CommandError {
    /// An error that says `message`, a sentence without a full stop.
    pub(crate) fn new(message: impl Into<String>) -> CommandError {
        CommandError(Box::new(Told {
            message: message.into(),
            reason: Reason::Failed,
            try_command: None,
            output_closed: false,
        }))
    }

    /// Adds a command line that would do what was meant: a second line, `Try: …`.
    #[must_use]
    pub(crate) fn with_try(mut self, command: impl Into<String>) -> CommandError {
        self.0.try_command = Some(command.into());
        self
    }

    /// Says of which kind it is.
    #[must_use]
    pub(crate) fn of(mut self, reason: Reason) -> CommandError {
        self.0.reason = reason;
        self
    }

    /// Of which kind it is.
    pub(crate) fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The command line to try instead.
    pub(crate) fn try_command(&self) -> Option<&str> {
        self.0.try_command.as_deref()
    }

    /// Whether the reader of stdout went away (`walbrook … | head`). That is no failure.
    pub(crate) fn is_output_closed(&self) -> bool {
        self.0.output_closed
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for CommandError {}

/// Of writing to stdout; other input and output has better errors than these.
impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> CommandError {
        let mut failed = CommandError::new(format!("cannot write to stdout: {error}"));
        failed.0.output_closed = error.kind() == io::ErrorKind::BrokenPipe;
        failed
    }
}

impl From<StorageError> for CommandError {
    fn from(error: StorageError) -> CommandError {
        CommandError::new(error.to_string())
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> CommandError {
        CommandError::new(error.to_string())
    }
}

impl From<Problem> for CommandError {
    fn from(problem: Problem) -> CommandError {
        CommandError::new(problem.to_string())
    }
}
