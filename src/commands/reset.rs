//! `walbrook reset`: forgets what is remembered about a database.
//!
//! That is a cache: without it the next start finds out what it can from the replica, and copies every page if that is
//! not enough. The replica is not touched. What Litestream keeps in the same directory goes too, as with its own
//! command, since it would be as outdated.

use std::io::Write;
use std::path::{Path, PathBuf};

use argh::FromArgs;

use super::flags::{self, Flag};
use super::source::ConfigFile;
use super::{CommandError, CommandHelp, Outcome};
use crate::config::{database_path, default_meta_path};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "reset",
    arguments: "DB_PATH",
    summary: "Forget what is remembered about a database",
    details: "Stop `walbrook replicate` first. The replica is not touched. The configuration, which may say where \
              the memory is (meta-path), is read only with -config.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        Flag {
            name: "dry-run",
            value: None,
            help: "Only show what would be removed",
        },
    ],
};

/// forget what is remembered
#[derive(FromArgs)]
pub(crate) struct ResetArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// change nothing
    #[argh(switch)]
    dry_run: bool,
    /// the database
    #[argh(positional)]
    rest: Vec<String>,
}

/// Removes the local state of a database.
///
/// # Errors
/// When there is no such database, or something cannot be removed.
pub(crate) fn run(arguments: ResetArguments, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let example = "walbrook reset DB_PATH";
    let path = match &arguments.rest[..] {
        [path] if !path.is_empty() => database_path(path)?,
        [] | [_] => return Err(CommandError::new("database path required").with_try(example)),
        _ => return Err(CommandError::new("too many arguments").with_try(example)),
    };
    if !path.exists() {
        let message = format!("database does not exist: {}", path.display());
        return Err(CommandError::new(message));
    }
    let meta = match ConfigFile::from_flags(arguments.config, arguments.no_expand_env) {
        file if file.explicit.is_some() => {
            let (config, warnings) = file.load()?;
            super::print_warnings(&warnings);
            config.find(&path)?.meta_path
        }
        _ => default_meta_path(&path),
    };
    let remembered = remembered(&meta)?;
    if remembered.is_empty() {
        writeln!(out, "No local state to reset for {}", path.display())?;
        return Ok(Outcome::Success);
    }
    writeln!(out, "Resetting local state for: {}", path.display())?;
    for entry in &remembered {
        writeln!(out, "Removing: {}", entry.display())?;
        if !arguments.dry_run {
            remove(entry)?;
        }
    }
    match arguments.dry_run {
        true => writeln!(out, "Nothing was removed (-dry-run).")?,
        false => writeln!(
            out,
            "Reset complete. The next replication sends what the replica may lack, if need be every page."
        )?,
    }
    Ok(Outcome::Success)
}

/// What of the directory `meta` is ours or Litestream's.
fn remembered(meta: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let entries = match std::fs::read_dir(meta) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("look into", meta, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("look into", meta, &error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("walbrook-") || name == "ltx" {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

fn remove(path: &Path) -> Result<(), CommandError> {
    let removed = match path.is_dir() {
        true => std::fs::remove_dir_all(path),
        false => std::fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn failed(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(format!(
        "cannot {what} {}: {error}; the database and its replica are as they were",
        path.display()
    ))
}
