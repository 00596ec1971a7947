//! What a configuration means: the values the rest of the program works with. Everything here is checked:
//! paths are absolute, intervals are sensible, no two replicas share a place.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::defaults;
use super::directory::DirectoryConfig;
use super::keeping::KeepingConfig;
use super::location::ReplicaLocation;
use crate::storage::Bounds;

/// A whole configuration.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The databases that are listed one by one, in the order of the file.
    pub databases: Vec<DatabaseConfig>,
    /// Directories of databases. There is at least one of both together.
    pub directories: Vec<DirectoryConfig>,
    /// The command to run while replicating, as the user wrote it.
    pub exec: Option<String>,
    /// What is logged.
    pub logging: Logging,
    /// How long the last upload at shutdown is tried again; zero means one try.
    pub shutdown_sync_timeout: Duration,
    /// The pause between two such tries, more than zero.
    pub shutdown_sync_interval: Duration,
    /// What all uploads share.
    pub network: Bounds,
}

/// Leaves the command out, which may have passwords in it.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("databases", &self.databases)
            .field("directories", &self.directories)
            .field("has_exec", &self.exec.is_some())
            .field("logging", &self.logging)
            .field("shutdown_sync_timeout", &self.shutdown_sync_timeout)
            .field("shutdown_sync_interval", &self.shutdown_sync_interval)
            .field("network", &self.network)
            .finish()
    }
}

/// One database and its replicas.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DatabaseConfig {
    /// The database file, absolute. It need not exist.
    pub path: PathBuf,
    /// The directory for what is remembered beside the database, absolute.
    pub meta_path: PathBuf,
    /// Where the changes go.
    pub replicas: Replicas,
    /// The least time between two looks at the database, more than zero.
    pub monitor_interval: Duration,
    /// The longest that changes wait in the WAL; zero switches checkpoints by time off.
    pub checkpoint_interval: Duration,
    /// How long a lock of the application is waited for.
    pub busy_timeout: Duration,
    /// Pages in the WAL from which on it is written back, more than zero.
    pub min_checkpoint_pages: u32,
    /// Pages in the WAL from which on its file is cut; none never cuts it for its length.
    pub truncate_pages: Option<u32>,
    /// How the replica is kept small.
    pub keeping: KeepingConfig,
    /// It may go on in its replicas, whatever database they are of.
    pub adopt: bool,
    /// Where it is missing, it is restored before it is replicated.
    pub restore_if_missing: bool,
}

impl DatabaseConfig {
    /// The database at `path`, absolute, with every setting at its default.
    pub fn new(path: PathBuf, replicas: Replicas) -> DatabaseConfig {
        DatabaseConfig {
            meta_path: default_meta_path(&path),
            path,
            replicas,
            monitor_interval: defaults::MONITOR_INTERVAL,
            checkpoint_interval: defaults::CHECKPOINT_INTERVAL,
            busy_timeout: defaults::BUSY_TIMEOUT,
            min_checkpoint_pages: defaults::MIN_CHECKPOINT_PAGES,
            truncate_pages: Some(defaults::TRUNCATE_PAGES),
            keeping: KeepingConfig::default(),
            adopt: false,
            restore_if_missing: false,
        }
    }
}

/// The place a database is replicated to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct ReplicaConfig {
    /// Where it is.
    pub location: ReplicaLocation,
    /// The least time between two uploads, more than zero.
    pub sync_interval: Duration,
}

impl ReplicaConfig {
    /// One at `location`, with every setting at its default.
    pub fn new(location: ReplicaLocation) -> ReplicaConfig {
        ReplicaConfig {
            location,
            sync_interval: defaults::SYNC_INTERVAL,
        }
    }
}

/// The replicas of one database, in the order of the file: at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replicas(Vec<ReplicaConfig>);

impl Replicas {
    /// A single one, as Litestream has it.
    pub fn one(replica: ReplicaConfig) -> Replicas {
        Replicas(vec![replica])
    }

    /// The first one, and these after it.
    pub fn several(first: ReplicaConfig, others: Vec<ReplicaConfig>) -> Replicas {
        Replicas([vec![first], others].concat())
    }

    /// The same, each at the place that `place` gives for its number and the place it has.
    pub(super) fn relocated(
        &self,
        place: impl Fn(usize, &ReplicaLocation) -> Result<ReplicaLocation, String>,
    ) -> Result<Replicas, String> {
        let relocated = |(number, replica): (usize, &ReplicaConfig)| {
            let location = place(number, &replica.location)?;
            Ok(ReplicaConfig {
                location,
                ..*replica
            })
        };
        let replicas = self.iter().enumerate().map(relocated);
        replicas.collect::<Result<_, _>>().map(Replicas)
    }
}

impl Deref for Replicas {
    type Target = [ReplicaConfig];

    fn deref(&self) -> &[ReplicaConfig] {
        &self.0
    }
}

/// The usual bounds for these replicas. Larger parts than usual get the memory they need.
pub(super) fn bounds_for<'a>(locations: impl Iterator<Item = &'a ReplicaLocation>) -> Bounds {
    let usual = Bounds::default();
    Bounds {
        upload_memory: usual.upload_memory.max(largest_part(locations)),
        ..usual
    }
}

/// The largest part that these replicas are sent in: the least memory that is enough. 0 without any on S3.
pub(super) fn largest_part<'a>(locations: impl Iterator<Item = &'a ReplicaLocation>) -> u64 {
    let part = |location: &ReplicaLocation| match location {
        ReplicaLocation::S3(settings) => settings.part_bytes(),
        ReplicaLocation::File(_) | ReplicaLocation::Sftp(_) => 0,
    };
    locations.map(part).max().unwrap_or(0)
}

/// What is logged, always to stderr.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Logging {
    /// The least important lines that are written.
    pub level: LogLevel,
}

impl Default for Logging {
    fn default() -> Logging {
        Logging {
            level: LogLevel::Info,
        }
    }
}

/// How important a log line is, the least first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What happened.
    Info,
    /// What may need a look.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// The level called `name`, in any case; none when there is no such.
    pub fn parse(name: &str) -> Option<LogLevel> {
        Some(match name.to_ascii_lowercase().as_str() {
            "trace" => LogLevel::Trace,
            "debug" => LogLevel::Debug,
            "info" => LogLevel::Info,
            "warn" | "warning" => LogLevel::Warn,
            "error" => LogLevel::Error,
            _ => return None,
        })
    }

    /// The filter of the `log` crate that lets this level and all above it pass.
    pub fn filter(self) -> log::LevelFilter {
        match self {
            LogLevel::Trace => log::LevelFilter::Trace,
            LogLevel::Debug => log::LevelFilter::Debug,
            LogLevel::Info => log::LevelFilter::Info,
            LogLevel::Warn => log::LevelFilter::Warn,
            LogLevel::Error => log::LevelFilter::Error,
        }
    }
}

/// Litestream's directory for the database at `path`: `.NAME-litestream` beside it.
pub fn default_meta_path(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push("-litestream");
    path.with_file_name(name)
}
