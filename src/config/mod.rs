//! The configuration: a `litestream.yml`, read so that it means what Litestream 0.5 takes it for, except
//! where that would hide a mistake. What Litestream ignores (unknown keys, numbers without a unit, two
//! databases in one replica) is an error here that names line and column.
//!
//! The way of the text: `expand` (environment) → `yaml` (nodes) → `schema` (is every key known and supported)
//! → `build` (values; `s3` and `sftp` for what is there) → `claims` (between databases) → [`Config`].

mod build;
mod claims;
pub mod defaults;
mod directory;
mod error;
mod expand;
mod keeping;
mod location;
mod model;
mod paths;
mod pattern;
mod percent;
mod s3;
mod s3_url;
mod s3_values;
mod scalar;
mod schema;
mod section;
mod sftp;
mod sftp_url;
pub(crate) mod text;
mod yaml;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use claims::{Claim, Claims, Collision};
pub use directory::{DirectoryConfig, Files};
pub use error::{ConfigError, Problem, Warning};
pub use keeping::KeepingConfig;
pub use location::ReplicaLocation;
pub use model::{
    Config, DatabaseConfig, LogLevel, Logging, ReplicaConfig, Replicas, default_meta_path,
};
pub(crate) use paths::{Base, is_url, resolved};
pub use pattern::Pattern;
pub use yaml::{FILE_BYTES_MAX, Position};

impl Config {
    /// Reads the configuration file: `explicit` (from `-config`), else `$LITESTREAM_CONFIG`, else the first of
    /// [`defaults::CONFIG_FILES`] that exists. `expand` puts environment variables in.
    ///
    /// # Errors
    /// When there is no file, it cannot be read, or says anything that cannot be done.
    pub fn load(
        explicit: Option<&Path>,
        expand: bool,
    ) -> Result<(Config, Vec<Warning>), ConfigError> {
        let named = explicit
            .map(Path::to_owned)
            .or_else(|| from_environment(std::env::var_os("LITESTREAM_CONFIG")));
        let candidates = match named {
            Some(path) => vec![path],
            None => defaults::CONFIG_FILES.map(PathBuf::from).to_vec(),
        };
        Config::load_first(&candidates, expand)
    }

    /// Reads a configuration from `text`, as if it were a file.
    ///
    /// # Errors
    /// When it says anything that cannot be done.
    pub fn from_text(text: &str, expand: bool) -> Result<(Config, Vec<Warning>), ConfigError> {
        read(text, expand, &Base::of_process())
    }

    /// The configuration of `replicate DB URL …`: one database, every setting at its default.
    ///
    /// # Errors
    /// When any of them is not what it should be.
    pub fn from_arguments(
        database: &str,
        url: &str,
        more: &[String],
    ) -> Result<Config, ConfigError> {
        let path = database_path(database)?;
        let replica = |url: &str| {
            let location = ReplicaLocation::parse_url(url).map_err(ConfigError::new)?;
            Ok(ReplicaConfig::new(location))
        };
        let others: Result<_, ConfigError> = more.iter().map(|url| replica(url)).collect();
        let replicas = Replicas::several(replica(url)?, others?);
        let start = Position { line: 1, column: 1 };
        let placed = claims::Placed {
            replica_positions: vec![start; replicas.len()],
            database: DatabaseConfig::new(path, replicas),
            path_position: start,
        };
        claims::check(std::slice::from_ref(&placed), &mut Vec::new())
            .map_err(ConfigError::without_place)?;
        let databases = vec![placed.database];
        Ok(Config {
            network: model::bounds_for(
                databases[0]
                    .replicas
                    .iter()
                    .map(|replica| &replica.location),
            ),
            databases,
            directories: Vec::new(),
            exec: None,
            logging: Logging::default(),
            shutdown_sync_timeout: defaults::SHUTDOWN_SYNC_TIMEOUT,
            shutdown_sync_interval: defaults::SHUTDOWN_SYNC_INTERVAL,
        })
    }

    /// What the database at `path`, absolute, is replicated by; it need not be there. Symbolic links are followed if
    /// the names differ.
    ///
    /// # Errors
    /// [`Problem::NotConfigured`] when there is none.
    pub fn find(&self, path: &Path) -> Result<DatabaseConfig, ConfigError> {
        let by_name = self.databases.iter().find(|database| database.path == path);
        if let Some(database) = by_name {
            return Ok(database.clone());
        }
        if let Some(database) = self.find_in_directories(path, |directory| directory.to_owned()) {
            return database;
        }
        let place = paths::resolved(path);
        let by_place = self
            .databases
            .iter()
            .find(|database| paths::resolved(&database.path) == place);
        if let Some(database) = by_place {
            return Ok(database.clone());
        }
        self.find_in_directories(&place, paths::resolved)
            .unwrap_or_else(|| Err(ConfigError::new(self.not_configured(path))))
    }

    /// As [`Config::find`], in directories alone, whose places `placed` gives.
    fn find_in_directories(
        &self,
        path: &Path,
        placed: impl Fn(&Path) -> PathBuf,
    ) -> Option<Result<DatabaseConfig, ConfigError>> {
        self.directories.iter().find_map(|directory| {
            let relative = path.strip_prefix(placed(&directory.files.directory)).ok()?;
            directory.files.holds(relative).then(|| {
                let found = directory.database(relative);
                found.map_err(|reason| directory.error(format!("{}: {reason}", path.display())))
            })
        })
    }

    fn not_configured(&self, path: &Path) -> Problem {
        let databases = self.databases.iter().map(|database| &database.path);
        let directories = self.directories.iter().map(|directory| {
            directory
                .files
                .directory
                .join(directory.files.pattern.as_str())
        });
        Problem::NotConfigured {
            path: path.to_owned(),
            configured: databases.cloned().chain(directories).collect(),
        }
    }

    /// Lets the configured database at `path` go on in its replicas, whatever database they are of.
    ///
    /// # Errors
    /// As [`Config::find`].
    pub fn adopt(&mut self, path: &Path) -> Result<(), ConfigError> {
        let adopted = self.find(path)?.path;
        for database in &mut self.databases {
            database.adopt = database.path == adopted;
        }
        for directory in &mut self.directories {
            directory.adopted = Some(adopted.clone());
        }
        Ok(())
    }

    /// Has a snapshot of every database taken at once.
    pub fn take_snapshots(&mut self) {
        for database in &mut self.databases {
            database.keeping.snapshot_now = true;
        }
        for directory in &mut self.directories {
            directory.settings.keeping.snapshot_now = true;
        }
    }

    fn load_first(
        candidates: &[PathBuf],
        expand: bool,
    ) -> Result<(Config, Vec<Warning>), ConfigError> {
        for path in candidates {
            let text = match file_text(path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    let problem = Problem::Unreadable(error.to_string());
                    return Err(ConfigError::new(problem).in_file(path));
                }
            };
            return match read(&text, expand, &Base::of_process()) {
                Ok((config, mut warnings)) => {
                    for warning in &mut warnings {
                        warning.file = Some(path.clone());
                    }
                    Ok((config, warnings))
                }
                Err(error) => Err(error.in_file(path)),
            };
        }
        Err(ConfigError::new(Problem::NoFile {
            looked: candidates.to_vec(),
        }))
    }
}

/// The path of a database named on the command line, absolute.
///
/// # Errors
/// When it cannot be one.
pub fn database_path(text: &str) -> Result<PathBuf, ConfigError> {
    Base::of_process().database(text).map_err(|reason| {
        ConfigError::new(Problem::InvalidValue {
            key: text::quoted(text),
            reason: reason.to_owned(),
        })
    })
}

fn from_environment(value: Option<OsString>) -> Option<PathBuf> {
    value.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The text of a file that is no longer than a configuration may be.
fn file_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    if text.len() > FILE_BYTES_MAX {
        let message = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}

fn read(text: &str, expand: bool, base: &Base) -> Result<(Config, Vec<Warning>), ConfigError> {
    let (expanded, mut warnings) = if expand {
        expand::expand(text, expand::of_process)
    } else {
        (text.to_owned(), Vec::new())
    };
    let root = yaml::parse(&expanded)?;
    let config = build::build(&root, base, &mut warnings)?;
    Ok((config, warnings))
}

#[cfg(test)]
mod tests;
