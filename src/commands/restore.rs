//! `walbrook restore`: from a replica back to a database file.

use std::io::{self, Write};
use std::path::PathBuf;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::progress::ProgressLine;
use super::source::{ConfigFile, Opened, ReplicaSource, none_of, warn_of};
use super::table::Table;
use super::{CommandError, CommandHelp, Outcome, point};
use crate::config::{Base, LogLevel};
use crate::ltx::name::file_name;
use crate::restore::{self, Candidate, Existing, Integrity, Plan, Report, RestoreError, Target};
use crate::storage::{FileInfo, Storage};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "restore",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "Restore a database from its replica",
    details: "A database path must be in the configuration; of several replicas the one with the newest state is \
              taken. A replica URL needs -o.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
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
            "Taken for Litestream's sake: files are read one after the other",
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
pub(crate) struct RestoreOptions {
    /// The replica to read.
    pub(crate) source: ReplicaSource,
    /// The file to write, absolute: from `-o`, else the database's own path.
    pub(crate) output: PathBuf,
    /// Which state to restore.
    pub(crate) target: Target,
    /// What to do about a database that is there already.
    pub(crate) existing: Existing,
    /// Whether a replica without files counts as success.
    pub(crate) if_replica_exists: bool,
    /// Whether only the plan is printed.
    pub(crate) dry_run: bool,
    /// Whether output is JSON.
    pub(crate) json: bool,
    /// How SQLite checks the result.
    pub(crate) integrity: Integrity,
}

/// Restores, or says what would be restored. Success is silent but for a line at the end.
///
/// # Errors
/// When the arguments make no sense together or the restore fails; the output is then what it was before.
pub(crate) fn run(
    arguments: RestoreArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let options = options(arguments)?;
    super::start_logging(LogLevel::Warn);
    if options.dry_run {
        return dry_run(&options, out);
    }
    let how = restore::Options {
        existing: options.existing,
        integrity: options.integrity,
        ..restore::Options::default()
    };
    // A link stays one: the file it leads to is replaced.
    let output = options
        .output
        .canonicalize()
        .unwrap_or_else(|_| options.output.clone());
    let opened = options.source.open()?;
    // Before anybody is asked.
    if !restore::is_free(&output, &how).map_err(told)? {
        return kept();
    }
    let mut candidates = candidates(&opened, &options)?.into_iter().peekable();
    while let Some(candidate) = candidates.next() {
        let storage = candidate.storage();
        let mut progress = ProgressLine::new();
        let result = candidate.restore(&output, &how, &mut |at| progress.show(at));
        progress.clear();
        match result {
            Err(error) if error.is_of_replica() && candidates.peek().is_some() => {
                warn_of(&[(storage.location(), error.to_string())]);
            }
            result => return report(result, storage, opened.several, &options, out),
        }
    }
    nothing()
}

/// Tells how a restore ended.
fn report(
    result: Result<restore::Outcome, RestoreError>,
    storage: &dyn Storage,
    several: bool,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    match result {
        Ok(restore::Outcome::Restored(report)) if options.json => {
            writeln!(out, "{}", report_json(&report, storage, options))?;
        }
        Ok(restore::Outcome::Restored(report)) => {
            let source = match several {
                true => format!(" of {}", storage.location()),
                false => String::new(),
            };
            let (time, window) = match report.window {
                Some((earliest, latest)) => (
                    format!(" of {}", report.last.created),
                    format!("; what can be restored is from {earliest} to {latest}"),
                ),
                None => (String::new(), String::new()),
            };
            eprintln_unless_closed(&format!(
                "restored {} to txid {}{time}{source}: {} files, {} bytes, {} ms{window}",
                options.output.display(),
                report.txid,
                report.files,
                report.bytes,
                report.duration.as_millis()
            ));
        }
        Ok(restore::Outcome::KeptExisting) => return kept(),
        Err(error) if options.if_replica_exists && error.is_not_available() => return nothing(),
        Err(error) => return Err(told(error)),
    }
    Ok(Outcome::Success)
}

/// The replicas to restore from, the best first. None when there is no replica, and that is fine.
fn candidates<'a>(
    opened: &'a Opened,
    options: &RestoreOptions,
) -> Result<Vec<Candidate<'a>>, CommandError> {
    if let (Target::Txid(_), true) = (options.target, opened.several) {
        return Err(CommandError::new(
            "-txid means another state in each of several replicas; say which with -replica, or a time with -timestamp",
        )
        .with_try("walbrook ltx DB_PATH"));
    }
    let storages = opened.storages.iter().map(|storage| &**storage);
    let (found, others) = restore::candidates(storages, options.target);
    let nothing_there = others.iter().all(|(_, error)| error.is_not_available());
    let failed: Vec<(String, String)> = others
        .iter()
        .map(|(storage, error)| (storage.location(), error.to_string()))
        .collect();
    if found.is_empty() && !(options.if_replica_exists && nothing_there) {
        return Err(none_of(&failed));
    }
    if !found.is_empty() {
        warn_of(&failed);
    }
    Ok(found)
}

fn kept() -> Result<Outcome, CommandError> {
    eprintln_unless_closed("database already exists, skipping");
    Ok(Outcome::Success)
}

fn nothing() -> Result<Outcome, CommandError> {
    eprintln_unless_closed("no matching backups found, skipping");
    Ok(Outcome::Success)
}

fn told(error: RestoreError) -> CommandError {
    CommandError::new(error.to_string())
}

fn report_json(report: &Report, storage: &dyn Storage, options: &RestoreOptions) -> Json {
    let time = point::time_of(report.last, storage, report.window.is_some());
    let milliseconds = u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX);
    Json::Object(vec![
        ("db_path", Json::text(options.output.display())),
        ("replica", Json::text(storage.location())),
        ("txid", Json::text(report.txid)),
        ("timestamp", Json::text(time)),
        ("duration_ms", Json::Number(milliseconds)),
        ("integrity_check", Json::text(options.integrity)),
    ])
}

fn dry_run(options: &RestoreOptions, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let opened = options.source.open()?;
    let candidates = candidates(&opened, options)?;
    let Some(first) = candidates.first() else {
        return nothing();
    };
    let (plan, storage) = (first.plan(), first.storage());
    match options.json {
        true => writeln!(out, "{}", plan_json(plan, storage, options))?,
        false => write_plan(plan, storage, options, out)?,
    }
    Ok(Outcome::Success)
}

fn plan_json(plan: &Plan, storage: &dyn Storage, options: &RestoreOptions) -> Json {
    let file = |file: &FileInfo| {
        Json::Object(vec![
            ("level", Json::Number(file.name.level.value().into())),
            ("name", Json::Text(file_name(file.name.txids))),
            ("min_txid", Json::text(file.name.txids.min())),
            ("max_txid", Json::text(file.name.txids.max())),
            ("size", Json::Number(file.size)),
            ("timestamp", Json::text(file.created)),
        ])
    };
    Json::Object(vec![
        ("source", Json::text(storage.location())),
        ("target_path", Json::text(options.output.display())),
        ("replica", Json::text(storage.location())),
        ("min_txid", Json::text(plan.txids.min())),
        ("max_txid", Json::text(plan.txids.max())),
        ("files", Json::List(plan.files.iter().map(file).collect())),
    ])
}

fn write_plan(
    plan: &Plan,
    storage: &dyn Storage,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    writeln!(out, "Restore plan:")?;
    writeln!(out, "  source:  {}", storage.location())?;
    writeln!(out, "  target:  {}", options.output.display())?;
    writeln!(
        out,
        "  txid:    {} to {}",
        plan.txids.min(),
        plan.txids.max()
    )?;
    writeln!(out, "  bytes:   {}\n\nFiles to fetch:", plan.bytes)?;
    let mut table = Table::new(["level", "file", "min_txid", "max_txid", "size", "timestamp"]);
    for file in &plan.files {
        table.add([
            file.name.level.to_string(),
            file_name(file.name.txids),
            file.name.txids.min().to_string(),
            file.name.txids.max().to_string(),
            file.size.to_string(),
            file.created.to_string(),
        ]);
    }
    write!(out, "{table}")?;
    Ok(())
}

/// Says something on stderr; if that is closed, the exit code says it.
fn eprintln_unless_closed(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
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
    let (txid, time) = (arguments.txid.as_deref(), arguments.timestamp.as_deref());
    let existing = match (arguments.if_db_not_exists, arguments.force) {
        // With both, as in Litestream, a database that is there is kept.
        (true, _) => Existing::Keep,
        (false, true) => Existing::Replace,
        (false, false) => Existing::Refuse,
    };
    let integrity = integrity(arguments.integrity_check.as_deref())?;
    check_parallelism(arguments.parallelism.as_deref())?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let shown = arguments.rest.first().cloned();
    let example = "walbrook restore DB_PATH";
    let number = arguments.replica.as_deref();
    let source = ReplicaSource::from_arguments(arguments.rest, number, config, example)?;
    let target = point::target(txid, time, source.is_configured())?;
    let output = match (arguments.output.filter(|path| !path.is_empty()), &source) {
        (Some(path), _) => Base::of_process()
            .absolute(&path)
            .map_err(|reason| CommandError::new(format!("-o: {reason}")))?,
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
    Ok(RestoreOptions {
        source,
        output,
        target,
        existing,
        if_replica_exists: arguments.if_replica_exists,
        dry_run: arguments.dry_run,
        json: arguments.json,
        integrity,
    })
}

fn integrity(mode: Option<&str>) -> Result<Integrity, CommandError> {
    match mode {
        None | Some("none") => Ok(Integrity::Unchecked),
        Some("quick") => Ok(Integrity::Quick),
        Some("full") => Ok(Integrity::Full),
        Some(other) => Err(CommandError::new(format!(
            "invalid -integrity-check value: {other}; write none, quick or full"
        ))),
    }
}

/// Litestream takes the flag and reads one file after the other all the same, as is done here.
fn check_parallelism(text: Option<&str>) -> Result<(), CommandError> {
    match text.map(str::parse::<usize>) {
        None | Some(Ok(1)) => Ok(()),
        Some(Ok(number)) if number > 1 => {
            eprintln_unless_closed(
                "Warning: -parallelism has no effect: files are read one after the other",
            );
            Ok(())
        }
        Some(_) => Err(CommandError::new(format!(
            "invalid value {:?} for flag -parallelism: write a whole number from 1 on",
            text.unwrap_or_default()
        ))),
    }
}

#[cfg(test)]
mod tests;
