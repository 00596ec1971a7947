//! What a command works on: the configuration, or a database and a replica named on the command line.

use std::path::PathBuf;
use std::sync::Arc;

use super::{CommandError, open};
use crate::config::{Config, ConfigError, ReplicaLocation, Warning, database_path, is_url};
use crate::storage::{Bounds, Network, Storage};
use crate::sys::clock::SystemClock;

/// Which configuration file to read, and how.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ConfigFile {
    /// The file named with `-config`; none looks in the usual places.
    pub(crate) explicit: Option<PathBuf>,
    /// Whether environment variables in it are replaced.
    pub(crate) expand: bool,
}

impl ConfigFile {
    /// From the values of `-config` and `-no-expand-env`.
    pub(super) fn from_flags(config: Option<String>, no_expand_env: bool) -> ConfigFile {
        ConfigFile {
            explicit: config.filter(|path| !path.is_empty()).map(PathBuf::from),
            expand: !no_expand_env,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn load(&self) -> Result<(Config, Vec<Warning>), ConfigError> {
        Config::load(self.explicit.as_deref(), self.expand)
    }
}

/// The replica a command reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ReplicaSource {
    /// That of a configured database.
    Database {
        /// The database, absolute.
        path: PathBuf,
        /// Where its replica is configured.
        config: ConfigFile,
    },
    /// The one at this place.
    Url(ReplicaLocation),
}

impl ReplicaSource {
    /// Opens the replica for reading. Reads the configuration if need be, and prints its warnings.
    pub(super) fn open(&self) -> Result<Arc<dyn Storage>, CommandError> {
        let network = |bounds| Network::new(bounds, Arc::new(SystemClock));
        match self {
            ReplicaSource::Url(location) => open::storage(location, &network(Bounds::default())),
            ReplicaSource::Database { path, config } => {
                let (config, warnings) = config.load()?;
                super::print_warnings(&warnings);
                let location = &config.find(path)?.replicas[0].location;
                open::storage(location, &network(config.network))
            }
        }
    }

    /// From the one argument of `walbrook COMMAND`; `example` completes that to a line that would work.
    pub(super) fn from_arguments(
        mut arguments: Vec<String>,
        config: ConfigFile,
        example: &str,
    ) -> Result<ReplicaSource, CommandError> {
        if arguments.len() > 1 {
            return Err(CommandError::new("too many arguments").with_try(example));
        }
        let Some(argument) = arguments.pop().filter(|argument| !argument.is_empty()) else {
            let message = "database path or replica URL required";
            return Err(CommandError::new(message).with_try(example));
        };
        if is_url(&argument) && !is_sqlite_url(&argument) {
            if config.explicit.is_some() {
                return Err(CommandError::new(
                    "cannot specify a replica URL and the -config flag; the URL alone says where the replica is",
                ));
            }
            return Ok(ReplicaSource::Url(ReplicaLocation::parse_url(&argument)?));
        }
        let path = database_path(&argument)?;
        Ok(ReplicaSource::Database { path, config })
    }
}

/// Whether this is a database path with SQLite's own prefix, not a replica.
pub(super) fn is_sqlite_url(text: &str) -> bool {
    text.starts_with("sqlite://") || text.starts_with("sqlite3://")
}
