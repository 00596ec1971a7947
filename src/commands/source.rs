//! What a command works on: the configuration, or a database and a replica named on the command line.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use super::{CommandError, open};
use crate::config::{
    Config, ConfigError, DatabaseConfig, KeepingConfig, ReplicaConfig, ReplicaLocation, Warning,
    database_path, is_url,
};
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

/// The replicas a command reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ReplicaSource {
    /// Those of a configured database.
    Database {
        /// The database, absolute.
        path: PathBuf,
        /// Where its replicas are configured.
        config: ConfigFile,
        /// Which of them, counted from 1; none for all.
        number: Option<usize>,
    },
    /// The one at this place.
    Url(ReplicaLocation),
}

impl ReplicaSource {
    /// Opens the replicas for reading, at least one. Reads the configuration if need be, and prints its warnings. Of
    /// several, those that cannot be used are warned of and left out.
    pub(super) fn open(&self) -> Result<Opened, CommandError> {
        Ok(self.open_with_database()?.0)
    }

    /// The same, with the database that is configured.
    pub(super) fn open_with_database(
        &self,
    ) -> Result<(Opened, Option<DatabaseConfig>), CommandError> {
        let network = |bounds| Network::new(bounds, Arc::new(SystemClock));
        match self {
            ReplicaSource::Url(location) => {
                let network = network(Bounds::default());
                let opened = Opened {
                    storages: vec![open::storage(location, &network)?],
                    several: false,
                };
                Ok((opened, None))
            }
            ReplicaSource::Database {
                path,
                config,
                number,
            } => {
                let (config, warnings) = config.load()?;
                super::print_warnings(&warnings);
                let database = config.find(path)?;
                let opened = open_replicas(&database, *number, &network(config.network))?;
                Ok((opened, Some(database)))
            }
        }
    }

    /// Opens the one replica for a writer that knows what is there; the same as [`ReplicaSource::open`] otherwise.
    /// Gives how many levels are configured, too.
    pub(super) fn open_to_write(&self) -> Result<(Arc<dyn Storage>, usize), CommandError> {
        let network = |bounds| Network::new(bounds, Arc::new(SystemClock));
        match self {
            ReplicaSource::Url(location) => {
                let storage = open::exclusive(location, &network(Bounds::default()))?;
                Ok((storage, KeepingConfig::default().levels.len()))
            }
            ReplicaSource::Database {
                path,
                config,
                number,
            } => {
                let (config, warnings) = config.load()?;
                super::print_warnings(&warnings);
                let database = config.find(path)?;
                let [replica] = chosen(&database, *number)? else {
                    let several = format!("{} has several replicas", path.display());
                    return Err(CommandError::new(format!(
                        "{several}; say which with -replica"
                    )));
                };
                let storage = open::exclusive(&replica.location, &network(config.network))?;
                Ok((storage, database.keeping.levels.len()))
            }
        }
    }

    /// Whether it is of a configured database, which is replicated still.
    pub(super) fn is_configured(&self) -> bool {
        matches!(self, ReplicaSource::Database { .. })
    }

    /// From the one argument of `walbrook COMMAND` and the value of `-replica`; `example` completes that to a line that
    /// would work.
    pub(super) fn from_arguments(
        mut arguments: Vec<String>,
        number: Option<&str>,
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
            if number.is_some() {
                return Err(CommandError::new(
                    "cannot specify a replica URL and the -replica flag; the URL alone says which replica",
                ));
            }
            return Ok(ReplicaSource::Url(ReplicaLocation::parse_url(&argument)?));
        }
        let path = database_path(&argument)?;
        let number = number.map(replica_number).transpose()?;
        Ok(ReplicaSource::Database {
            path,
            config,
            number,
        })
    }
}

/// Replicas that are open for reading, at least one.
pub(super) struct Opened {
    pub(super) storages: Vec<Arc<dyn Storage>>,
    /// There are others, or would be.
    pub(super) several: bool,
}

/// Opens all replicas of `database`, or that of this number, as [`ReplicaSource::open`] does.
pub(super) fn open_replicas(
    database: &DatabaseConfig,
    number: Option<usize>,
    network: &Arc<Network>,
) -> Result<Opened, CommandError> {
    let replicas = chosen(database, number)?;
    let (mut storages, mut failed) = (Vec::new(), Vec::new());
    for replica in replicas {
        match open::storage(&replica.location, network) {
            Ok(storage) => storages.push(storage),
            Err(error) => failed.push((replica.location.to_string(), error.to_string())),
        }
    }
    if storages.is_empty() {
        return Err(none_of(&failed));
    }
    warn_of(&failed);
    Ok(Opened {
        storages,
        several: replicas.len() > 1,
    })
}

/// Why none of the replicas, named with their errors, will do.
pub(super) fn none_of(failed: &[(String, String)]) -> CommandError {
    match failed {
        [(_, error)] => CommandError::new(error),
        _ => {
            let each: Vec<String> = failed
                .iter()
                .map(|(location, error)| format!("{location}: {error}"))
                .collect();
            CommandError::new(format!("none of the replicas will do: {}", each.join("; ")))
        }
    }
}

/// Tells on stderr which replicas are done without.
pub(super) fn warn_of(failed: &[(String, String)]) {
    for (location, error) in failed {
        let line = format!("Warning: doing without the replica {location}: {error}");
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn replica_number(text: &str) -> Result<usize, CommandError> {
    let number = text.parse().ok().filter(|&number| number > 0);
    number.ok_or_else(|| {
        CommandError::new(format!(
            "invalid value {text:?} for flag -replica: write 1 for the first one of the configuration, 2 for the second"
        ))
    })
}

/// All replicas of `database`, or that of this number.
fn chosen(
    database: &DatabaseConfig,
    number: Option<usize>,
) -> Result<&[ReplicaConfig], CommandError> {
    let replicas = &database.replicas;
    let Some(number) = number else {
        return Ok(replicas);
    };
    replicas.get(number - 1..number).ok_or_else(|| {
        let count = replicas.len();
        CommandError::new(format!(
            "there is no replica {number} of {}: it has {count}, counted from 1",
            database.path.display()
        ))
        .with_try("walbrook databases")
    })
}

/// Whether this is a database path with SQLite's own prefix, not a replica.
pub(super) fn is_sqlite_url(text: &str) -> bool {
    text.starts_with("sqlite://") || text.starts_with("sqlite3://")
}
