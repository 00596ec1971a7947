//! `walbrook prune`: deletes what a replica no longer needs, or only says what that is.
//!
//! The plan is the one that `replicate` follows, made from a listing alone (`replica::superfluous`). So it is as safe
//! beside a running `replicate`, and where the database is gone.

use std::io::{self, Write};
use std::time::Duration;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::source::{ConfigFile, ReplicaSource, none_of, warn_of};
use super::table::Table;
use super::{CommandError, CommandHelp, Outcome};
use crate::config::KeepingConfig;
use crate::replica::{Listing, Retention, Superfluous, superfluous};
use crate::restore::{Target, plan};
use crate::storage::{FileInfo, FileName, Storage};
use crate::units::{KeepRules, parse_duration};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "prune",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "Delete what a replica no longer needs",
    details: "A database path must be in the configuration, which says what is kept; for a URL the flags say it.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        Flag {
            name: "retention",
            value: Some("DURATION"),
            help: "Keep every state so far back from the newest file (only with a URL)",
        },
        keep(
            "keep-hourly",
            "Keep a snapshot of each of the last N hours that have one, for longer (only with a URL)",
        ),
        keep("keep-daily", "The same for days"),
        keep("keep-weekly", "The same for weeks"),
        keep("keep-monthly", "The same for months"),
        keep("keep-yearly", "The same for years"),
        Flag {
            name: "dry-run",
            value: None,
            help: "Only print what would be deleted, and why",
        },
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

const fn keep(name: &'static str, help: &'static str) -> Flag {
    Flag {
        name,
        value: Some("N"),
        help,
    }
}

/// delete what a replica no longer needs
#[derive(FromArgs)]
pub(crate) struct PruneArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// one of several
    #[argh(option)]
    replica: Option<String>,
    /// the window
    #[argh(option)]
    retention: Option<String>,
    /// hours
    #[argh(option)]
    keep_hourly: Option<String>,
    /// days
    #[argh(option)]
    keep_daily: Option<String>,
    /// weeks
    #[argh(option)]
    keep_weekly: Option<String>,
    /// months
    #[argh(option)]
    keep_monthly: Option<String>,
    /// years
    #[argh(option)]
    keep_yearly: Option<String>,
    /// only print
    #[argh(switch)]
    dry_run: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What `prune` is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PruneOptions {
    /// The replica.
    pub(crate) source: ReplicaSource,
    /// What the flags say is kept; none leaves it to the configuration.
    pub(crate) keeping: Option<KeepingConfig>,
    /// Whether nothing is deleted.
    pub(crate) dry_run: bool,
    /// Whether output is JSON.
    pub(crate) json: bool,
}

/// Deletes, unless it is a dry run, and prints what.
///
/// # Errors
/// When the arguments make no sense together, the replica cannot be looked into, its newest state cannot be
/// restored, or a file cannot be deleted.
pub(crate) fn run(arguments: PruneArguments, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let options = options(arguments)?;
    let keeping = match (&options.keeping, &options.source) {
        (Some(keeping), _) => keeping.clone(),
        (None, ReplicaSource::Database { path, config, .. }) => {
            config.load()?.0.find(path)?.keeping
        }
        (None, ReplicaSource::Url(_)) => KeepingConfig::default(),
    };
    if !keeping.deletes {
        return Err(CommandError::new(
            "the configuration says `retention.enabled: false`, so nothing is deleted; name the replica's URL and \
             -retention to do it all the same",
        ));
    }
    let opened = options.source.open()?;
    let (mut pruned, mut failed) = (Vec::new(), Vec::new());
    for storage in &opened.storages {
        match prune(&**storage, &keeping, options.dry_run) {
            Ok(files) => pruned.push((storage.location(), files)),
            Err(error) => failed.push((storage.location(), error.to_string())),
        }
    }
    if pruned.is_empty() {
        return Err(none_of(&failed));
    }
    warn_of(&failed);
    match options.json {
        true => writeln!(out, "{}", json(&pruned, opened.several))?,
        false => write_tables(&pruned, &options, opened.several, out)?,
    }
    Ok(match failed.is_empty() {
        true => Outcome::Success,
        false => Outcome::Failed,
    })
}

/// Deletes what is not needed, unless it is a dry run, and gives it.
///
/// # Errors
/// When the replica cannot be looked into, its newest state cannot be restored, or a file cannot be deleted.
pub(super) fn prune(
    storage: &dyn Storage,
    keeping: &KeepingConfig,
    dry_run: bool,
) -> Result<Vec<Superfluous>, CommandError> {
    let files = planned(storage, keeping)?;
    if !dry_run {
        let names: Vec<FileName> = files.iter().map(|it| it.file.name).collect();
        storage.delete(&names)?;
    }
    Ok(files)
}

/// What is not needed any more in a replica that is sound.
fn planned(
    storage: &dyn Storage,
    keeping: &KeepingConfig,
) -> Result<Vec<Superfluous>, CommandError> {
    let listing = Listing {
        files: storage.list_all()?,
        stamped: storage.stamps_files(),
        damaged: Vec::new(),
    };
    if listing.files.is_empty() {
        return Ok(Vec::new());
    }
    // Where files are missing, older ones may be all there is.
    let whole = |file: &&FileInfo| !file.is_too_short();
    let whole: Vec<FileInfo> = listing.files.iter().filter(whole).copied().collect();
    plan(&whole, Target::Latest).map_err(|error| {
        CommandError::new(format!(
            "the newest state of {} cannot be restored, so nothing was deleted: {error}",
            storage.location()
        ))
    })?;
    let rules = Retention {
        snapshots: keeping.snapshot_retention,
        keep: keeping.keep,
        syncs: keeping.sync_retention,
        check: keeping.sync_retention_check,
    };
    Ok(superfluous(&listing, keeping.levels.len(), &rules))
}

fn json(pruned: &[(String, Vec<Superfluous>)], several: bool) -> Json {
    let mut items = Vec::new();
    for (location, files) in pruned {
        for it in files {
            let txids = it.file.name.txids;
            let mut fields = vec![
                ("level", Json::Number(it.file.name.level.value().into())),
                ("min_txid", Json::text(txids.min())),
                ("max_txid", Json::text(txids.max())),
                ("size", Json::Number(it.file.size)),
                ("timestamp", Json::text(it.file.created)),
                ("age_seconds", Json::Number(it.age.as_secs())),
                ("reason", Json::text(it.reason)),
            ];
            if several {
                fields.push(("replica", Json::text(location)));
            }
            items.push(Json::Object(fields));
        }
    }
    Json::List(items)
}

/// A table for each replica, with what became of its files.
fn write_tables(
    pruned: &[(String, Vec<Superfluous>)],
    options: &PruneOptions,
    several: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let done = match options.dry_run {
        true => "Nothing was deleted (-dry-run); it would be",
        false => "Deleted",
    };
    for (location, files) in pruned {
        if several {
            writeln!(out, "{location}:")?;
        }
        let bytes: u64 = files.iter().map(|it| it.file.size).sum();
        write!(out, "{}", table(files))?;
        writeln!(out, "{done} {} files, {bytes} bytes.", files.len())?;
    }
    Ok(())
}

fn table(files: &[Superfluous]) -> Table<6> {
    let mut table = Table::new(["level", "min_txid", "max_txid", "size", "age", "reason"]);
    for it in files {
        table.add([
            it.file.name.level.to_string(),
            it.file.name.txids.min().to_string(),
            it.file.name.txids.max().to_string(),
            it.file.size.to_string(),
            age(it.age),
            it.reason.to_string(),
        ]);
    }
    table
}

/// To the minute, for people.
fn age(age: Duration) -> String {
    let minutes = age.as_secs() / 60;
    match minutes {
        0..60 => format!("{minutes}m"),
        60..2880 => format!("{}h{}m", minutes / 60, minutes % 60),
        _ => format!("{}d{}h", minutes / 1440, minutes / 60 % 24),
    }
}

fn options(arguments: PruneArguments) -> Result<PruneOptions, CommandError> {
    let counts = [
        ("-keep-hourly", &arguments.keep_hourly),
        ("-keep-daily", &arguments.keep_daily),
        ("-keep-weekly", &arguments.keep_weekly),
        ("-keep-monthly", &arguments.keep_monthly),
        ("-keep-yearly", &arguments.keep_yearly),
    ];
    let [hourly, daily, weekly, monthly, yearly] =
        counts.map(|(name, value)| count(name, value.as_deref()));
    let keep = KeepRules {
        hourly: hourly?,
        daily: daily?,
        weekly: weekly?,
        monthly: monthly?,
        yearly: yearly?,
    };
    let retention = arguments.retention.as_deref().map(retention).transpose()?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let example = "walbrook prune -dry-run DB_PATH";
    let number = arguments.replica.as_deref();
    let source = ReplicaSource::from_arguments(arguments.rest, number, config, example)?;
    let keeping = match (&source, retention) {
        (ReplicaSource::Url(_), Some(snapshot_retention)) => Some(KeepingConfig {
            snapshot_retention,
            keep,
            ..KeepingConfig::default()
        }),
        (ReplicaSource::Url(_), None) => {
            // Its configuration may keep much more than the defaults would.
            return Err(CommandError::new(
                "with a replica URL, -retention must say how far back every state is kept",
            )
            .with_try("walbrook prune -dry-run -retention 720h REPLICA_URL"));
        }
        (ReplicaSource::Database { .. }, None) if keep == KeepRules::default() => None,
        (ReplicaSource::Database { .. }, _) => {
            return Err(CommandError::new(
                "cannot specify -retention or -keep flags with a database path; its configuration says what is kept",
            ));
        }
    };
    Ok(PruneOptions {
        source,
        keeping,
        dry_run: arguments.dry_run,
        json: arguments.json,
    })
}

fn retention(text: &str) -> Result<Duration, CommandError> {
    match parse_duration(text) {
        Ok(window) if !window.is_zero() => Ok(window),
        _ => Err(CommandError::new(format!(
            "invalid value {text:?} for flag -retention: write a time such as 720h"
        ))),
    }
}

fn count(name: &str, text: Option<&str>) -> Result<u32, CommandError> {
    let Some(text) = text else {
        return Ok(0);
    };
    text.parse().map_err(|_| {
        CommandError::new(format!(
            "invalid value {text:?} for flag {name}: write how many, such as 7"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parsed;

    fn options_of(line: &[&str]) -> Result<PruneOptions, String> {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        let arguments = parsed(&HELP, &line).map_err(|error| error.to_string())?;
        options(arguments.expect("no help asked for")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_kept_is_said_in_one_place() {
        let line = ["-retention=48h", "-keep-daily=7", "-dry-run", "file:///r"];
        let options = options_of(&line).unwrap();
        let keeping = options.keeping.unwrap();
        assert!(options.dry_run && !options.json);
        assert_eq!(
            (keeping.snapshot_retention.as_secs(), keeping.keep.daily),
            (48 * 3600, 7)
        );
        assert_eq!(options_of(&["/x.db"]).unwrap().keeping, None);
        for (line, expected) in [
            (
                &["file:///r"][..],
                "with a replica URL, -retention must say how far back every state is kept",
            ),
            (
                &["-keep-daily", "7", "/x.db"],
                "cannot specify -retention or -keep flags with a database path; its configuration says what is kept",
            ),
            (
                &["-retention", "0", "file:///r"],
                "invalid value \"0\" for flag -retention: write a time such as 720h",
            ),
            (
                &["-keep-weekly=-1", "file:///r"],
                "invalid value \"-1\" for flag -keep-weekly: write how many, such as 7",
            ),
        ] {
            assert_eq!(options_of(line).unwrap_err(), expected);
        }
    }

    #[test]
    fn ages_are_short() {
        let cases = [(59, "0m"), (3540, "59m"), (7265, "2h1m"), (180_000, "2d2h")];
        for (seconds, expected) in cases {
            assert_eq!(age(Duration::from_secs(seconds)), expected);
        }
    }
}
