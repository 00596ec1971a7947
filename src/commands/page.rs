//! `walbrook page`: one page of a database, read from its replica by itself.

use std::io::Write;
use std::path::Path;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::restore::told;
use super::source::{ConfigFile, ReplicaSource};
use super::{CommandError, CommandHelp, Outcome, point};
use crate::restore::page;
use crate::units::PageNumber;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "page",
    arguments: "DB_PATH|REPLICA_URL PAGE",
    summary: "Print one page of a database as its replica has it",
    details: "Its bytes go to stdout as they are. Pages are counted from 1; without -txid or -timestamp it is that of \
              the newest state. Only page indexes and the page are read, so damage elsewhere is not found: see \
              `walbrook verify`.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        point::TXID,
        point::TIMESTAMP,
        Flag {
            name: "o",
            value: Some("PATH"),
            help: "Write it to this new file",
        },
    ],
};

/// print one page
#[derive(FromArgs)]
pub(crate) struct PageArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which replica
    #[argh(option)]
    replica: Option<String>,
    /// at this transaction
    #[argh(option)]
    txid: Option<String>,
    /// at this time
    #[argh(option)]
    timestamp: Option<String>,
    /// where to
    #[argh(option, long = "o")]
    output: Option<String>,
    /// database or replica, and page
    #[argh(positional)]
    rest: Vec<String>,
}

/// Prints the page.
///
/// # Errors
/// When the arguments make no sense together or the page cannot be had.
pub(crate) fn run(
    mut arguments: PageArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let example = "walbrook page DB_PATH 1";
    let number = match arguments.rest.len() {
        2 => arguments.rest.pop().unwrap_or_default(),
        _ => {
            let message = "database path or replica URL, and the number of a page required";
            return Err(CommandError::new(message).with_try(example));
        }
    };
    let wanted = number.parse().ok().and_then(PageNumber::new);
    let wanted = wanted.ok_or_else(|| {
        CommandError::new(format!(
            "{number:?} is not the number of a page: pages are counted from 1"
        ))
    })?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let replica = arguments.replica.as_deref();
    let source = ReplicaSource::from_arguments(arguments.rest, replica, config, example)?;
    let (txid, time) = (arguments.txid.as_deref(), arguments.timestamp.as_deref());
    let target = point::target(txid, time, source.is_configured())?;
    let opened = source.open()?;
    let [storage] = &opened.storages[..] else {
        return Err(CommandError::new(
            "the database has several replicas; say which with -replica",
        ));
    };
    let found = page::fetch(&**storage, target, wanted).map_err(|error| told(&error))?;
    match arguments.output.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => write_new(Path::new(path), &found.content)?,
        None => out.write_all(&found.content)?,
    }
    Ok(Outcome::Success)
}

/// Never over a file that is there, which may be the database.
fn write_new(path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let create = || std::fs::File::create_new(path)?.write_all(content);
    create().map_err(|error| CommandError::new(format!("cannot write {}: {error}", path.display())))
}
