//! `walbrook restore`: from a replica back to a database file.

mod all;
mod attempt;
mod dry_run;
mod follow;
mod report;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use argh::FromArgs;

use self::attempt::until_reachable;
pub(super) use self::attempt::{Attempt, told};
use self::report::report;
use super::flags::{self, Flag};
use super::source::{ConfigFile, Opened, ReplicaSource};
use super::{CommandError, CommandHelp, Outcome, Reason, point};
use crate::config::{Base, LogLevel};
use crate::restore::{self, Condition, Existing, Integrity, Target};
use crate::units::parse_duration;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "restore",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "Restore a database from its replica",
    details: "A database path must be in the configuration; of several replicas the one with the newest state is \
              taken. A replica URL needs -o.\n\
              -all restores each database of the configuration to its path, those of directories as the storage has \
              them; with -o DIRECTORY REPLICA_URL, every replica below that URL to its path in DIRECTORY. One that \
              fails does not keep the others from it. The exit code is then that of the worst: 65 before the greatest \
              of the others.\n\
              Exit codes: 0 restored, or nothing to do; 64 wrong usage; 65 the replica is damaged; 66 there is no \
              backup, or none of that time; 75 the storage cannot be reached, try later; 1 any other failure.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        switch(
            "all",
            "Restore every database of the configuration, or below the URL",
        ),
        flag(
            "o",
            "PATH",
            "Write the database here; without it, to its configured path",
        ),
        point::TXID,
        point::TIMESTAMP,
        switch(
            "if-db-not-exists",
            "Succeed without doing anything if the database is already there",
        ),
        switch(
            "if-db-unusable",
            "Succeed without doing anything if the database is there and passes SQLite's quick_check; one that is \
             empty or broken is kept under another name and restored",
        ),
        switch(
            "if-replica-exists",
            "Succeed without doing anything if there is no replica",
        ),
        switch("dry-run", "Print what would be read, write nothing"),
        flag(
            "max-wait",
            "DURATION",
            "Wait so long for a storage that cannot be reached yet (default 0s)",
        ),
        switch("force", "Replace an existing database"),
        switch(
            "keep-old",
            "With -force, keep the replaced database as NAME.old-TIME, with its -wal",
        ),
        switch(
            "keep-if-unreachable",
            "With -force, succeed with the existing database, if it is usable, where the storage cannot be reached",
        ),
        switch("json", "Print JSON"),
        flag(
            "integrity-check",
            "MODE",
            "Check the result: none, quick or full (default none, and quick for what Litestream 0.3 left)",
        ),
        flag(
            "parallelism",
            "N",
            "How many requests at a time (default 4); each takes 1 MiB of memory",
        ),
        switch(
            "f",
            "Restore, then keep the copy up to date until stopped; it can be read meanwhile. One that was followed \
             before is gone on with",
        ),
        flag(
            "follow-interval",
            "DURATION",
            "With -f, how often to look for something new (default 1s); longer while nothing comes",
        ),
    ],
};

/// More would be no faster anywhere.
const PARALLELISM_MAX: usize = 64;

/// Litestream's.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(1);

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

/// restore a database
#[derive(FromArgs)]
pub(crate) struct RestoreArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which replica
    #[argh(option)]
    replica: Option<String>,
    /// every database
    #[argh(switch)]
    all: bool,
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
    /// a usable database is fine
    #[argh(switch)]
    if_db_unusable: bool,
    /// a missing replica is fine
    #[argh(switch)]
    if_replica_exists: bool,
    /// how long to wait
    #[argh(option)]
    max_wait: Option<String>,
    /// keep what is replaced
    #[argh(switch)]
    keep_old: bool,
    /// better that than nothing
    #[argh(switch)]
    keep_if_unreachable: bool,
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
    /// go on
    #[argh(switch, long = "f")]
    follow: bool,
    /// how often
    #[argh(option)]
    follow_interval: Option<String>,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What `restore` is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct RestoreOptions {
    /// The file to write, absolute: from `-o`, else the database's own path.
    pub(crate) output: PathBuf,
    /// Whether it is one of several that are restored, so that what is told has to say which.
    pub(crate) is_one_of_several: bool,
    /// Which state to restore.
    pub(crate) target: Target,
    /// What to do about a database that is there already.
    pub(crate) existing: Existing,
    /// Whether a database that is there and usable is kept.
    pub(crate) if_db_unusable: bool,
    /// Whether such a one will do where the storage cannot be reached.
    pub(crate) keep_if_unreachable: bool,
    /// How long a storage that cannot be reached is waited for.
    pub(crate) max_wait: Duration,
    /// How often a copy looks for something new, where it is to be kept up to date.
    pub(crate) follow: Option<Duration>,
    /// Whether a replica without files counts as success.
    pub(crate) if_replica_exists: bool,
    /// Whether only the plan is printed.
    pub(crate) dry_run: bool,
    /// Whether output is JSON.
    pub(crate) json: bool,
    /// How SQLite checks the result.
    pub(crate) integrity: Integrity,
    /// How many requests are under way at a time.
    pub(crate) parallelism: usize,
}

/// Restores, or says what would be restored. Success is silent but for a line at the end.
///
/// # Errors
/// When the arguments make no sense together or the restore fails; the output is then what it was before.
pub(crate) fn run(
    arguments: RestoreArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    if arguments.all {
        return all::run(arguments, out);
    }
    let (source, options) = options(arguments).map_err(|error| error.of(Reason::Usage))?;
    super::start_logging(match options.follow {
        Some(_) => LogLevel::Info,
        None => LogLevel::Warn,
    });
    // A link stays one: the file it leads to is replaced.
    let output = options
        .output
        .canonicalize()
        .unwrap_or_else(|_| options.output.clone());
    let opened = source.open()?;
    if let (Target::Txid(_), true) = (options.target, opened.several) {
        return Err(CommandError::new(
            "-txid means another state in each of several replicas; say which with -replica, or a time with -timestamp",
        )
        .with_try("walbrook ltx DB_PATH")
        .of(Reason::Usage));
    }
    match options.follow {
        None => once(&options, &output, &opened, out),
        Some(_) if opened.several => Err(CommandError::new(
            "-f follows one replica, and there are several; say which with -replica",
        )
        .of(Reason::Usage)),
        Some(interval) => {
            if !is_copy(&options, &output)? {
                once(&options, &output, &opened, out)?;
                if !output.exists() {
                    return Ok(Outcome::Success);
                }
            }
            let storage = opened.storages.into_iter().next();
            follow::follow(storage.expect("at least one"), &output, interval)
        }
    }
}

/// Whether a database is there that is followed with, or refused for that, as it is.
fn is_copy(options: &RestoreOptions, output: &Path) -> Result<bool, CommandError> {
    let is_there = output.metadata().is_ok_and(|there| there.len() > 0);
    Ok(is_there
        && match options.existing {
            Existing::Refuse | Existing::Keep => true,
            Existing::SetAside if options.if_db_unusable => !is_wanted(options, output)?,
            Existing::SetAside | Existing::Replace => false,
        })
}

/// Restores once.
fn once(
    options: &RestoreOptions,
    output: &Path,
    opened: &Opened,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let attempt = |is_patient| Attempt {
        storages: &opened.storages,
        target: options.target,
        is_patient,
    };
    let ended = match options.dry_run {
        true => until_reachable(options.max_wait, &mut |is_patient| {
            attempt(is_patient).candidates()
        })
        .and_then(|candidates| dry_run::print(&candidates, options, out)),
        // Before anybody is asked.
        false if !is_wanted(options, output)? => return Ok(Outcome::Success),
        false => {
            let how = options.how();
            until_reachable(options.max_wait, &mut |is_patient| {
                attempt(is_patient).restore(output, &how)
            })
            .and_then(|(outcome, storage)| report(outcome, storage, opened.several, options, out))
        }
    };
    match ended {
        Err(error) if error.reason() == Reason::NoBackup && options.if_replica_exists => {
            options.say("no matching backups found, skipping");
            Ok(Outcome::Success)
        }
        Err(error) if error.reason() == Reason::Unreachable && options.keep_if_unreachable => {
            go_on_without(error, output)
        }
        ended => ended,
    }
}

impl RestoreOptions {
    fn how(&self) -> restore::Options {
        restore::Options {
            existing: self.existing,
            integrity: self.integrity,
            is_followed: self.follow.is_some(),
            parallelism: self.parallelism,
            ..restore::Options::default()
        }
    }

    /// Says on stderr what becomes of the database.
    fn say(&self, message: &str) {
        match self.is_one_of_several {
            true => eprintln_unless_closed(&format!("{}: {message}", self.output.display())),
            false => eprintln_unless_closed(message),
        }
    }
}

/// Whether there is anything to do, by what is at the output.
fn is_wanted(options: &RestoreOptions, output: &Path) -> Result<bool, CommandError> {
    if !restore::is_free(output, &options.how()).map_err(|error| told(&error))? {
        options.say("database already exists, skipping");
        return Ok(false);
    }
    if !options.if_db_unusable {
        return Ok(true);
    }
    let shown = output.display();
    match restore::examine(output).map_err(|error| told(&error))? {
        Condition::Missing => return Ok(true),
        Condition::Unusable(why) => {
            eprintln_unless_closed(&format!("database {shown} cannot be used: {why}"));
            return Ok(true);
        }
        Condition::Usable => options.say("database already exists, skipping"),
        Condition::UsableAsFarAsKnown(why) => options.say(&format!(
            "database already exists, skipping (it could not be checked in full: {why})"
        )),
    }
    Ok(false)
}

/// Goes on with the database that is there, where the storage cannot be reached.
fn go_on_without(error: CommandError, output: &Path) -> Result<Outcome, CommandError> {
    match restore::examine(output).map_err(|error| told(&error))? {
        Condition::Usable | Condition::UsableAsFarAsKnown(_) => {
            let path = output.display();
            eprintln_unless_closed(&format!(
                "{error}; going on with {path} as it is, which may be older than its backup"
            ));
            Ok(Outcome::Success)
        }
        Condition::Missing | Condition::Unusable(_) => Err(error),
    }
}

/// Says something on stderr; if that is closed, the exit code says it.
fn eprintln_unless_closed(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

fn options(arguments: RestoreArguments) -> Result<(ReplicaSource, RestoreOptions), CommandError> {
    let config = ConfigFile::from_flags(arguments.config.clone(), arguments.no_expand_env);
    let shown = arguments.rest.first().cloned();
    let example = "walbrook restore DB_PATH";
    let number = arguments.replica.as_deref();
    let source = ReplicaSource::from_arguments(arguments.rest.clone(), number, config, example)?;
    let mut options = options_for(&arguments, source.is_configured())?;
    options.output = match (output(&arguments)?, &source) {
        (Some(path), _) => path,
        (None, ReplicaSource::Database { path, .. }) => path.clone(),
        (None, ReplicaSource::Url(location)) => {
            // Of a directory it is the URL that was typed, which has nothing more to say than host and path.
            let url = match location.directory() {
                Some(_) => {
                    shown.map_or_else(String::new, |url| crate::config::text::redacted(&url))
                }
                None => location.to_string(),
            };
            return Err(
                CommandError::new("-o is required when restoring from a replica URL")
                    .with_try(format!("walbrook restore -o DB_PATH {url}")),
            );
        }
    };
    Ok((source, options))
}

/// What `-o` says.
fn output(arguments: &RestoreArguments) -> Result<Option<PathBuf>, CommandError> {
    let given = arguments.output.as_deref().filter(|path| !path.is_empty());
    let path = given.map(|path| Base::of_process().absolute(path));
    path.transpose()
        .map_err(|reason| CommandError::new(format!("-o: {reason}")))
}

/// All but the output, which is left empty.
fn options_for(
    arguments: &RestoreArguments,
    is_configured: bool,
) -> Result<RestoreOptions, CommandError> {
    let (txid, time) = (arguments.txid.as_deref(), arguments.timestamp.as_deref());
    Ok(RestoreOptions {
        output: PathBuf::new(),
        is_one_of_several: arguments.all,
        follow: follow_interval(arguments)?,
        existing: existing(arguments)?,
        if_db_unusable: arguments.if_db_unusable,
        keep_if_unreachable: arguments.keep_if_unreachable,
        max_wait: duration("max-wait", arguments.max_wait.as_deref())?.unwrap_or_default(),
        if_replica_exists: arguments.if_replica_exists,
        dry_run: arguments.dry_run,
        json: arguments.json,
        integrity: integrity(arguments.integrity_check.as_deref())?,
        target: point::target(txid, time, is_configured)?,
        parallelism: parallelism(arguments.parallelism.as_deref())?,
    })
}

/// What becomes of a database that is there.
fn existing(arguments: &RestoreArguments) -> Result<Existing, CommandError> {
    let RestoreArguments {
        if_db_not_exists,
        if_db_unusable,
        force,
        keep_old,
        keep_if_unreachable,
        ..
    } = *arguments;
    for (given, flag) in [
        (keep_old && !if_db_unusable, "-keep-old"),
        (keep_if_unreachable, "-keep-if-unreachable"),
    ] {
        if given && !force {
            return Err(CommandError::new(format!(
                "cannot specify {flag} without -force, which says that a database is replaced"
            )));
        }
    }
    match (if_db_not_exists, if_db_unusable, force) {
        (true, true, _) => Err(CommandError::new(
            "cannot specify both -if-db-not-exists and -if-db-unusable; the first keeps a broken database, the second \
             restores it",
        )),
        // With both, as in Litestream, a database that is there is kept.
        (true, false, _) => Ok(Existing::Keep),
        (false, true, _) => Ok(Existing::SetAside),
        (false, false, true) if keep_old => Ok(Existing::SetAside),
        (false, false, true) => Ok(Existing::Replace),
        (false, false, false) => Ok(Existing::Refuse),
    }
}

/// How often to look for something new; none without `-f`.
fn follow_interval(arguments: &RestoreArguments) -> Result<Option<Duration>, CommandError> {
    let interval = duration("follow-interval", arguments.follow_interval.as_deref())?;
    if !arguments.follow {
        return match interval {
            None => Ok(None),
            Some(_) => Err(CommandError::new(
                "cannot specify -follow-interval without -f",
            )),
        };
    }
    for (given, flag) in [
        (arguments.txid.is_some(), "-txid"),
        (arguments.timestamp.is_some(), "-timestamp"),
        (arguments.dry_run, "-dry-run"),
        (arguments.keep_if_unreachable, "-keep-if-unreachable"),
    ] {
        if given {
            let message =
                format!("cannot use follow mode (-f) with {flag}; it follows the newest state");
            return Err(CommandError::new(message));
        }
    }
    match interval.unwrap_or(FOLLOW_INTERVAL) {
        Duration::ZERO => Err(CommandError::new("-follow-interval must be more than 0")),
        interval => Ok(Some(interval)),
    }
}

fn duration(flag: &str, text: Option<&str>) -> Result<Option<Duration>, CommandError> {
    let Some(text) = text else {
        return Ok(None);
    };
    parse_duration(text).map(Some).map_err(|error| {
        CommandError::new(format!("invalid value {text:?} for flag -{flag}: {error}"))
    })
}

fn integrity(mode: Option<&str>) -> Result<Integrity, CommandError> {
    match mode {
        None => Ok(Integrity::AsNeeded),
        Some("none") => Ok(Integrity::Unchecked),
        Some("quick") => Ok(Integrity::Quick),
        Some("full") => Ok(Integrity::Full),
        Some(other) => Err(CommandError::new(format!(
            "invalid -integrity-check value: {other}; write none, quick or full"
        ))),
    }
}

/// How many requests at a time. Litestream takes any number, and reads one file after the other.
fn parallelism(text: Option<&str>) -> Result<usize, CommandError> {
    match text.map(str::parse) {
        None => Ok(restore::PARALLELISM),
        Some(Ok(number @ 1..)) => Ok(number.min(PARALLELISM_MAX)),
        Some(_) => Err(CommandError::new(format!(
            "invalid value {:?} for flag -parallelism: write a whole number from 1 on",
            text.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests;
