//! `walbrook replicate`: its flags and what they mean together.

mod missing;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::prune::prune;
use super::source::{ConfigFile, is_sqlite_url};
use super::{CommandError, CommandHelp, Outcome, Reason, open};
use crate::config::{Config, ConfigError, LogLevel, Warning, database_path, is_url};
use crate::daemon::{self, Mode};
use crate::discovery;
use crate::storage::Network;
use crate::sys::clock::SystemClock;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "replicate",
    arguments: "[DB_PATH REPLICA_URL]",
    summary: "Replicate databases until stopped",
    details: "Without arguments, every database of the configuration is replicated, and those of its directories. \
              More than one REPLICA_URL may be given.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        Flag {
            name: "exec",
            value: Some("CMD"),
            help: "Run this command too; stop when it ends",
        },
        Flag {
            name: "once",
            value: None,
            help: "Bring every replica up to date, then stop",
        },
        Flag {
            name: "adopt",
            value: Some("DB_PATH"),
            help: "Let this database go on in its replicas, although what is there is another one's, or newer",
        },
        Flag {
            name: "log-level",
            value: Some("LEVEL"),
            help: "Log from trace, debug, info, warn or error on; beats $LOG_LEVEL and the configuration",
        },
        Flag {
            name: "force-snapshot",
            value: None,
            help: "With -once: take a snapshot too, unless there is one of the newest state",
        },
        Flag {
            name: "enforce-retention",
            value: None,
            help: "With -once: delete what has had its time too, as walbrook prune does",
        },
        Flag {
            name: "restore-if-db-not-exists",
            value: None,
            help: "Restore databases that are missing from their replicas first",
        },
    ],
};

/// replicate databases
#[derive(FromArgs)]
pub(crate) struct ReplicateArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// the command to run
    #[argh(option)]
    exec: Option<String>,
    /// one round
    #[argh(switch)]
    once: bool,
    /// the database that may go on
    #[argh(option)]
    adopt: Option<String>,
    /// what to log
    #[argh(option)]
    log_level: Option<String>,
    /// later
    #[argh(switch)]
    force_snapshot: bool,
    /// later
    #[argh(switch)]
    enforce_retention: bool,
    /// what is missing
    #[argh(switch)]
    restore_if_db_not_exists: bool,
    /// database and replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What `replicate` is asked to do.
#[derive(Clone, Eq, PartialEq)]
pub(crate) struct ReplicateOptions {
    /// What to replicate.
    pub(crate) source: ReplicateSource,
    /// The command from `-exec`; the configuration may have one as well, which this one beats.
    pub(crate) exec: Option<String>,
    /// Whether to stop after one round.
    pub(crate) once: bool,
    /// Whether a snapshot is taken at the end.
    pub(crate) takes_snapshot: bool,
    /// Whether what has had its time is deleted at the end.
    pub(crate) deletes: bool,
    /// Whether all databases that are missing are restored first, whatever the configuration says.
    pub(crate) restore_missing: bool,
    /// The database from `-adopt`, absolute.
    pub(crate) adopt: Option<PathBuf>,
    /// The level from `-log-level` or `$LOG_LEVEL`; none leaves it to the configuration.
    pub(crate) log_level: Option<LogLevel>,
}

/// Where the databases to replicate are named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ReplicateSource {
    /// In the configuration.
    File(ConfigFile),
    /// On the command line.
    Arguments(Box<Config>),
}

impl ReplicateSource {
    /// The configuration to run with, and what to warn of.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn load(&self) -> Result<(Config, Vec<Warning>), ConfigError> {
        match self {
            ReplicateSource::File(file) => file.load(),
            ReplicateSource::Arguments(config) => Ok((Config::clone(config), Vec::new())),
        }
    }
}

/// Replicates until a signal, or until all is done with `-once`.
///
/// # Errors
/// When the arguments make no sense together, the configuration is not right, or not everything was on the
/// storage at the end.
pub(crate) fn run(
    arguments: ReplicateArguments,
    _out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let options = options(arguments)?;
    let (mut config, warnings) = options.source.load()?;
    super::start_logging(options.log_level.unwrap_or(config.logging.level));
    super::print_warnings(&warnings);
    config.exec = options.exec.or(config.exec);
    if let Some(path) = &options.adopt {
        config.adopt(path)?;
    }
    if options.takes_snapshot {
        config.take_snapshots();
    }
    if options.once && config.exec.is_some() {
        return Err(CommandError::new(
            "cannot specify -once flag with `exec` in the configuration; a command runs as long as replication does",
        ));
    }
    log::info!("walbrook {}", env!("CARGO_PKG_VERSION"));
    let mode = match options.once {
        true => Mode::Once,
        false => Mode::Continuous,
    };
    let network = Network::new(config.network, Arc::new(SystemClock));
    let failed = missing::restore(&config, options.restore_missing, &network);
    if !failed.is_empty() && config.exec.is_some() {
        return Err(missing::error_of(&failed));
    }
    // What was restored may be in a directory, too.
    let found = discovery::start(&config)?;
    for remark in &found.remarks {
        log::log!(remark.level, "{}", remark.text);
    }
    let databases = match options.deletes {
        true => found.databases.clone(),
        false => Vec::new(),
    };
    let ended = daemon::replicate(&config, found, mode, &|database| {
        open::replicas_of(database, &network).map_err(|error| error.to_string())
    });
    let traffic = network.traffic().counts();
    if traffic.requests() > 0 {
        log::info!("the network was asked for {traffic}");
    }
    ended.map_err(|error| CommandError::new(error.to_string()))?;
    for database in &databases {
        if !database.keeping.deletes {
            log::warn!(
                "{}: the configuration says `retention.enabled: false`, so nothing is deleted",
                database.path.display()
            );
            continue;
        }
        for storage in open::replicas_of(database, &network)? {
            let files = prune(&*storage, &database.keeping, false)?;
            log::info!(
                "{}: deleted {} files that have had their time",
                storage.location(),
                files.len()
            );
        }
    }
    match failed.is_empty() {
        true => Ok(Outcome::Success),
        false => Err(missing::error_of(&failed).of(Reason::Failed)),
    }
}

fn options(arguments: ReplicateArguments) -> Result<ReplicateOptions, CommandError> {
    if arguments.once && arguments.exec.is_some() {
        return Err(CommandError::new(
            "cannot specify -once flag with -exec; a command runs as long as replication does",
        ));
    }
    for (given, name) in [
        (arguments.force_snapshot, "force-snapshot"),
        (arguments.enforce_retention, "enforce-retention"),
    ] {
        if given && !arguments.once {
            let message = format!("cannot specify -{name} flag without -once");
            return Err(CommandError::new(message));
        }
    }
    let log_level = match arguments.log_level {
        Some(name) => Some(log_level("-log-level", &name)?),
        None => match std::env::var("LOG_LEVEL") {
            Ok(name) if !name.is_empty() => Some(log_level("$LOG_LEVEL", &name)?),
            _ => None,
        },
    };
    let file = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    Ok(ReplicateOptions {
        source: source(&arguments.rest, file)?,
        exec: arguments.exec.filter(|command| !command.is_empty()),
        once: arguments.once,
        takes_snapshot: arguments.force_snapshot,
        deletes: arguments.enforce_retention,
        restore_missing: arguments.restore_if_db_not_exists,
        adopt: arguments.adopt.as_deref().map(database_path).transpose()?,
        log_level,
    })
}

fn source(arguments: &[String], file: ConfigFile) -> Result<ReplicateSource, CommandError> {
    let example = |database: &str| format!("walbrook replicate {database} file:///PATH");
    match arguments {
        [] => Ok(ReplicateSource::File(file)),
        [url, ..] if is_url(url) && !is_sqlite_url(url) => Err(CommandError::new(
            "the database path must come before the replica URL",
        )
        .with_try("walbrook replicate DB_PATH REPLICA_URL")),
        [database] => Err(CommandError::new(format!(
            "must specify at least one replica URL for {database}"
        ))
        .with_try(example(database))),
        [_, _, ..] if file.explicit.is_some() => Err(CommandError::new(
            "cannot specify a replica URL and the -config flag; leave one of them out",
        )),
        [database, url, more @ ..] => {
            let config = Config::from_arguments(database, url, more)?;
            Ok(ReplicateSource::Arguments(Box::new(config)))
        }
    }
}

fn log_level(origin: &str, name: &str) -> Result<LogLevel, CommandError> {
    LogLevel::parse(name).ok_or_else(|| {
        CommandError::new(format!(
            "invalid value {name:?} for {origin}: write trace, debug, info, warn or error"
        ))
    })
}

#[cfg(test)]
mod tests;
