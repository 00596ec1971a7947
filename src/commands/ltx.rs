//! `walbrook ltx`: what files a replica has.

use std::io::{self, Write};

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::source::{ConfigFile, ReplicaSource, none_of, warn_of};
use super::table::Table;
use super::{CommandError, CommandHelp, Outcome};
use crate::storage::{FileInfo, Storage};
use crate::units::Level;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "ltx",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "List the files of a replica",
    details: "A database path must be in the configuration; of several replicas, all are listed.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        Flag {
            name: "level",
            value: Some("LEVEL"),
            help: "List this level, 0 to 9, or all (default 0)",
        },
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

/// list the files of a replica
#[derive(FromArgs)]
pub(crate) struct LtxArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which replica
    #[argh(option)]
    replica: Option<String>,
    /// which level
    #[argh(option)]
    level: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What `ltx` is asked to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct LtxOptions {
    /// The replica to look at.
    pub(crate) source: ReplicaSource,
    /// The level to list; none lists all.
    pub(crate) level: Option<Level>,
    /// Whether output is JSON.
    pub(crate) json: bool,
}

/// Lists the files. A replica that does not exist has none.
///
/// # Errors
/// When the arguments make no sense together or the replica cannot be looked into.
pub(crate) fn run(arguments: LtxArguments, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let options = options(arguments)?;
    let opened = options.source.open()?;
    let (mut listed, mut failed) = (Vec::new(), Vec::new());
    for storage in &opened.storages {
        let files = match options.level {
            Some(level) => storage.list(level),
            None => storage.list_all(),
        };
        match files {
            Ok(files) => {
                if files.is_empty() {
                    tell_of_litestream_03(&**storage);
                }
                listed.push((storage.location(), files));
            }
            Err(error) => failed.push((storage.location(), error.to_string())),
        }
    }
    if listed.is_empty() {
        return Err(none_of(&failed));
    }
    warn_of(&failed);
    match (options.json, opened.several) {
        (true, several) => writeln!(out, "{}", json(&listed, several))?,
        (false, true) => write_tables(&listed, out)?,
        (false, false) => {
            for (_, files) in &listed {
                write!(out, "{}", table(files))?;
            }
        }
    }
    Ok(Outcome::Success)
}

/// Says why there are none, where that is so because they are of another kind.
fn tell_of_litestream_03(storage: &dyn Storage) {
    // Whoever asks for LTX files need not know why others could not be listed.
    let count = storage.list_generations().map_or(0, |files| files.len());
    if count > 0 {
        let line = format!(
            "{} holds {count} files of Litestream 0.3 (generations/), which are no LTX files; `walbrook restore` reads \
             them, and with -dry-run shows which",
            storage.location()
        );
        let _ = writeln!(io::stderr(), "{line}");
    }
}

fn json(listed: &[(String, Vec<FileInfo>)], several: bool) -> Json {
    let mut items = Vec::new();
    for (location, files) in listed {
        for file in files {
            let mut fields = vec![
                ("level", Json::Number(file.name.level.value().into())),
                ("min_txid", Json::text(file.name.txids.min())),
                ("max_txid", Json::text(file.name.txids.max())),
                ("size", Json::Number(file.size)),
                ("timestamp", Json::text(file.created)),
            ];
            if several {
                fields.push(("replica", Json::text(location)));
            }
            items.push(Json::Object(fields));
        }
    }
    Json::List(items)
}

/// A table for each replica, under its name.
fn write_tables(listed: &[(String, Vec<FileInfo>)], out: &mut dyn Write) -> io::Result<()> {
    for (index, (location, files)) in listed.iter().enumerate() {
        let space = if index > 0 { "\n" } else { "" };
        write!(out, "{space}{location}:\n{}", table(files))?;
    }
    Ok(())
}

fn table(files: &[FileInfo]) -> Table<5> {
    let mut table = Table::new(["level", "min_txid", "max_txid", "size", "created"]);
    for file in files {
        table.add([
            file.name.level.to_string(),
            file.name.txids.min().to_string(),
            file.name.txids.max().to_string(),
            file.size.to_string(),
            file.created.to_string(),
        ]);
    }
    table
}

fn options(arguments: LtxArguments) -> Result<LtxOptions, CommandError> {
    let level = match arguments.level.as_deref() {
        None => Some(Level::SYNC),
        Some("all") => None,
        Some(text) => Some(text.parse().ok().and_then(Level::new).ok_or_else(|| {
            CommandError::new(format!(
                "invalid value {text:?} for flag -level: level must be between 0 and 9, or all"
            ))
        })?),
    };
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    Ok(LtxOptions {
        source: ReplicaSource::from_arguments(
            arguments.rest,
            arguments.replica.as_deref(),
            config,
            "walbrook ltx DB_PATH",
        )?,
        level,
        json: arguments.json,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::parsed;

    fn options_of(line: &[&str]) -> Result<LtxOptions, String> {
        let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        let arguments = parsed(&HELP, &line).map_err(|error| error.to_string())?;
        options(arguments.expect("no help asked for")).map_err(|error| error.to_string())
    }

    #[test]
    fn levels() {
        let level = |line: &[&str]| options_of(line).map(|options| options.level);
        assert_eq!(level(&["/x.db"]), Ok(Some(Level::SYNC)));
        assert_eq!(level(&["-level=9", "/x.db"]), Ok(Some(Level::SNAPSHOT)));
        assert_eq!(level(&["-level", "all", "file:///r"]), Ok(None));
        assert_eq!(
            level(&["-level", "10", "/x.db"]).unwrap_err(),
            "invalid value \"10\" for flag -level: level must be between 0 and 9, or all"
        );
        assert_eq!(
            level(&[]).unwrap_err(),
            "database path or replica URL required"
        );
    }
}
