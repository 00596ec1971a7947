//! What is wrong with a configuration, and what to write instead. Secrets never get in here: values are
//! repeated only for keys that hold none, URLs only after [`redacted`](super::text::redacted).

use std::fmt;
use std::path::{Path, PathBuf};

use super::text::quoted;
use super::yaml::{Position, YamlError};

/// A configuration that cannot be used. Nothing was started.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Box<Located>); // by a pointer: every `?` of the configuration moves it

#[derive(Clone, Debug, Eq, PartialEq)]
struct Located {
    file: Option<PathBuf>,
    position: Option<Position>,
    problem: Problem,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Problem {
    /// No configuration file where one is looked for.
    NoFile {
        /// The places looked at.
        looked: Vec<PathBuf>,
    },
    /// The file is there but cannot be read.
    Unreadable(String),
    /// The file is no YAML, or YAML of a kind not accepted here.
    Yaml(String),
    /// A key that nobody knows here.
    UnknownKey {
        /// The key.
        key: String,
        /// The known key most like it.
        nearest: Option<&'static str>,
        /// Where this very key would be right.
        belongs: Option<&'static str>,
    },
    /// A setting whose feature this version does not have.
    NotSupportedYet {
        /// The setting or feature.
        what: String,
        /// What to do meanwhile; may be empty.
        advice: &'static str,
    },
    /// A value that its key cannot have.
    InvalidValue {
        /// The key with its parents: `dbs[0].replica.sync-interval`.
        key: String,
        /// What is wrong with the value and what to write instead.
        reason: String,
    },
    /// A key that must be there is not.
    Missing {
        /// Where it is missing: `dbs[0]`.
        parent: String,
        /// What to add.
        what: &'static str,
    },
    /// Two settings that cannot both hold.
    Conflict(String),
    /// A replica type or URL scheme that does not exist.
    UnknownReplicaType(String),
    /// There is no database in the configuration.
    NoDatabases,
    /// The database asked for is not in the configuration.
    NotConfigured {
        /// The database asked for.
        path: PathBuf,
        /// Those that are there.
        configured: Vec<PathBuf>,
    },
}

impl ConfigError {
    pub(super) fn new(problem: Problem) -> ConfigError {
        ConfigError(Box::new(Located {
            file: None,
            position: None,
            problem,
        }))
    }

    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    pub(super) fn without_place(self) -> ConfigError {
        ConfigError::new(self.0.problem)
    }

    pub(super) fn at(position: Position, problem: Problem) -> ConfigError {
        let mut error = ConfigError::new(problem);
        error.0.position = Some(position);
        error
    }

    pub(super) fn invalid(position: Position, key: &str, reason: impl Into<String>) -> ConfigError {
        let (key, reason) = (key.to_owned(), reason.into());
        ConfigError::at(position, Problem::InvalidValue { key, reason })
    }

    pub(super) fn in_file(mut self, file: &Path) -> ConfigError {
        self.0.file = Some(file.to_owned());
        self
    }
}

impl From<YamlError> for ConfigError {
    fn from(error: YamlError) -> ConfigError {
        ConfigError::at(error.position, Problem::Yaml(error.message))
    }
}

/// `FILE:LINE:COLUMN: what is wrong; what to do`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, self.0.file.as_deref(), self.0.position)?;
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::NoFile { looked } => write!(
                f,
                "config file not found: looked for {}; make one with a `dbs:` list (`path:` and `replica:` for \
                 each database), or name one with -config",
                list(looked)
            ),
            Problem::Unreadable(reason) => write!(f, "cannot read the config file: {reason}"),
            Problem::Yaml(message) => f.write_str(message),
            Problem::UnknownKey {
                key,
                nearest,
                belongs,
            } => {
                write!(f, "unknown key {}", quoted(key))?;
                match (belongs, nearest) {
                    (Some(place), _) => write!(f, "; it belongs {place}"),
                    (None, Some(name)) => write!(f, "; did you mean `{name}`?"),
                    (None, None) => f.write_str("; remove it or correct its name"),
                }
            }
            Problem::NotSupportedYet { what, advice } => {
                write!(f, "{what} not supported yet by walbrook {VERSION}")?;
                if !advice.is_empty() {
                    write!(f, "; {advice}")?;
                }
                Ok(())
            }
            Problem::InvalidValue { key, reason } => write!(f, "{key}: {reason}"),
            Problem::Missing { parent, what } => write!(f, "{parent}: {what}"),
            Problem::Conflict(message) => f.write_str(message),
            Problem::UnknownReplicaType(name) => write!(
                f,
                "unknown replica type in config: {}; walbrook {VERSION} has `file`, `s3` and `sftp`",
                quoted(name)
            ),
            Problem::NoDatabases => f.write_str(
                "no databases configured; add a `dbs:` list with `path:` and `replica:` for each database",
            ),
            Problem::NotConfigured { path, configured } => write!(
                f,
                "database not found in config: {}; it has {}",
                path.display(),
                list(configured)
            ),
        }
    }
}

/// Something the configuration says that does not do what it seems to. Walbrook runs all the same.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// The place in it, where there is one.
    pub position: Option<Position>,
    /// What to know, as a sentence without a full stop.
    pub message: String,
}

impl Warning {
    pub(super) fn at(position: Position, message: impl Into<String>) -> Warning {
        Warning {
            file: None,
            position: Some(position),
            message: message.into(),
        }
    }
}

/// `FILE:LINE:COLUMN: what to know`.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_place(f, self.file.as_deref(), self.position)?;
        f.write_str(&self.message)
    }
}

/// Major and minor version: what "this version" is called in messages.
const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR")
);

fn write_place(
    f: &mut fmt::Formatter<'_>,
    file: Option<&Path>,
    position: Option<Position>,
) -> fmt::Result {
    match (file, position) {
        (Some(file), Some(position)) => write!(f, "{}:{position}: ", file.display()),
        (Some(file), None) => write!(f, "{}: ", file.display()),
        (None, Some(Position { line, column })) => write!(f, "line {line}, column {column}: "),
        (None, None) => Ok(()),
    }
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    shown.join(", ")
}
