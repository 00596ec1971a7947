//! `walbrook restore`: its flags and what they mean together.

use std::io::Write;
use std::path::PathBuf;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::source::{ConfigFile, ReplicaSource};
use super::{CommandError, CommandHelp, Outcome};
use crate::config::Base;
use crate::units::{Timestamp, Txid};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "restore",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "Restore a database from its replica",
    details: "A database path must be in the configuration; a replica URL needs -o.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flag(
            "o",
            "PATH",
            "Write the database here; without it, to its configured path",
        ),
        flag(
            "txid",
            "TXID",
            "Restore up to this transaction (16 hexadecimal digits)",
        ),
        flag(
            "timestamp",
            "TIME",
            "Restore the state before this time (2000-01-01T00:00:00Z)",
        ),
        switch(
            "if-db-not-exists",
            "Succeed without doing anything if the database is already there",
        ),
        switch(
            "if-replica-exists",
            "Succeed without doing anything if there is no replica",
        ),
        switch("dry-run", "Print what would be read, write nothing"),
        switch("force", "Replace an existing database"),
        switch("json", "Print JSON"),
        flag(
            "integrity-check",
            "MODE",
            "Check the result: none, quick or full (default none)",
        ),
        flag(
            "parallelism",
            "N",
            "Read up to so many files at once (default 8)",
        ),
        switch("f", "Not supported yet"),
        flag("follow-interval", "DURATION", "Not supported yet"),
    ],
};

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        value: Some(value),
        help,
    }
}

const fn switch(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        value: None,
        help,
    }
}

/// How many files are read at once unless `-parallelism` says otherwise; Litestream's number.
const PARALLELISM: usize = 8;

/// restore a database
#[derive(FromArgs)]
pub struct RestoreArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// where to
    #[argh(option, long = "o")]
    output: Option<String>,
    /// up to this transaction
    #[argh(option)]
    txid: Option<String>,
    /// up to this time
    #[argh(option)]
    timestamp: Option<String>,
    /// an existing database is fine
    #[argh(switch)]
    if_db_not_exists: bool,
    /// a missing replica is fine
    #[argh(switch)]
    if_replica_exists: bool,
    /// only the plan
    #[argh(switch)]
    dry_run: bool,
    /// replace
    #[argh(switch)]
    force: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// check the result
    #[argh(option)]
    integrity_check: Option<String>,
    /// files at once
    #[argh(option)]
    parallelism: Option<String>,
    /// later
    #[argh(switch, long = "f")]
    follow: bool,
    /// later
    #[argh(option)]
    follow_interval: Option<String>,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What `restore` is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RestoreOptions {
    /// The replica to read.
    pub source: ReplicaSource,
    /// The file to write, absolute: from `-o`, else the database's own path.
    pub output: PathBuf,
    /// Which state to restore.
    pub target: Target,
    /// Whether a database that is there already counts as success.
    pub if_db_not_exists: bool,
    /// Whether a replica without files counts as success.
    pub if_replica_exists: bool,
    /// Whether only the plan is printed.
    pub dry_run: bool,
    /// Whether an existing database is replaced.
    pub force: bool,
    /// Whether output is JSON.
    pub json: bool,
    /// How the result is checked.
    pub integrity_check: IntegrityCheck,
    /// How many files are read at once, at least 1.
    pub parallelism: usize,
}

/// Which state of the database to restore.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// The newest.
    Latest,
    /// That after this transaction.
    Txid(Txid),
    /// The last one made before this time.
    Timestamp(Timestamp),
}

/// How a restored database is checked by SQLite.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IntegrityCheck {
    /// Not at all.
    None,
    /// By `PRAGMA quick_check`.
    Quick,
    /// By `PRAGMA integrity_check`.
    Full,
}

/// Restores.
///
/// # Errors
/// When the arguments make no sense together.
pub fn run(arguments: RestoreArguments, _out: &mut dyn Write) -> Result<Outcome, CommandError> {
    options(arguments)?;
    Err(super::not_built("restore"))
}

fn options(arguments: RestoreArguments) -> Result<RestoreOptions, CommandError> {
    if arguments.follow {
        return Err(super::not_supported_yet(
            "-f",
            "run restore again to catch up",
        ));
    }
    if arguments.follow_interval.is_some() {
        return Err(super::not_supported_yet("-follow-interval", "leave it out"));
    }
    let target = target(arguments.txid.as_deref(), arguments.timestamp.as_deref())?;
    let integrity_check = integrity_check(arguments.integrity_check.as_deref())?;
    let parallelism = parallelism(arguments.parallelism.as_deref())?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let shown = arguments.rest.first().cloned();
    let example = "walbrook restore DB_PATH";
    let source = ReplicaSource::from_arguments(arguments.rest, config, example)?;
    let output = match (arguments.output.filter(|path| !path.is_empty()), &source) {
        (Some(path), _) => Base::of_process()
            .absolute(&path)
            .map_err(|reason| CommandError::new(format!("-o: {reason}")))?,
        (None, ReplicaSource::Database { path, .. }) => path.clone(),
        (None, ReplicaSource::Url(_)) => {
            let url = shown.map_or_else(String::new, |url| crate::config::text::redacted(&url));
            return Err(
                CommandError::new("-o is required when restoring from a replica URL")
                    .with_try(format!("walbrook restore -o DB_PATH {url}")),
            );
        }
    };
    Ok(RestoreOptions {
        source,
        output,
        target,
        if_db_not_exists: arguments.if_db_not_exists,
        if_replica_exists: arguments.if_replica_exists,
        dry_run: arguments.dry_run,
        force: arguments.force,
        json: arguments.json,
        integrity_check,
        parallelism,
    })
}

fn target(txid: Option<&str>, timestamp: Option<&str>) -> Result<Target, CommandError> {
    match (txid, timestamp) {
        (None, None) => Ok(Target::Latest),
        (Some(_), Some(_)) => Err(CommandError::new(
            "cannot specify both -txid and -timestamp; each names one state, leave one out",
        )),
        (Some(text), None) => Txid::from_hex(text).map(Target::Txid).ok_or_else(|| {
            CommandError::new(format!(
                "invalid value {text:?} for flag -txid: invalid txid format, write 16 hexadecimal digits as \
                 `walbrook ltx` prints them"
            ))
            .with_try("walbrook ltx DB_PATH")
        }),
        (None, Some(text)) => Timestamp::parse(text).map(Target::Timestamp).map_err(|_| {
            CommandError::new(format!(
                "invalid -timestamp {text:?}, must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z)"
            ))
        }),
    }
}

fn integrity_check(mode: Option<&str>) -> Result<IntegrityCheck, CommandError> {
    match mode {
        None | Some("none") => Ok(IntegrityCheck::None),
        Some("quick") => Ok(IntegrityCheck::Quick),
        Some("full") => Ok(IntegrityCheck::Full),
        Some(other) => Err(CommandError::new(format!(
            "invalid -integrity-check value: {other}; write none, quick or full"
        ))),
    }
}

fn parallelism(text: Option<&str>) -> Result<usize, CommandError> {
    match text.map(str::parse::<usize>) {
        None => Ok(PARALLELISM),
        Some(Ok(number)) if number > 0 => Ok(number),
        Some(_) => Err(CommandError::new(format!(
            "invalid value {:?} for flag -parallelism: write a whole number from 1 on",
            text.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests;
