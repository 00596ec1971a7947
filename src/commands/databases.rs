//! `walbrook databases`: what is configured, and found in directories.

use std::io::Write;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::source::ConfigFile;
use super::table::Table;
use super::{CommandError, CommandHelp, Outcome};
use crate::config::ReplicaConfig;
use crate::discovery::{self, Remark};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "databases",
    arguments: "",
    summary: "List the databases of the configuration",
    details: "Those of directories are listed one by one.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

/// list the databases of the configuration
#[derive(FromArgs)]
pub(crate) struct DatabasesArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// none are taken
    #[argh(positional)]
    rest: Vec<String>,
}

/// Prints the databases there are to `out`.
///
/// # Errors
/// When the configuration cannot be used or `out` cannot be written.
pub(crate) fn run(
    arguments: DatabasesArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    if !arguments.rest.is_empty() {
        return Err(CommandError::new("too many arguments").with_try("walbrook databases"));
    }
    let file = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let (config, warnings) = file.load()?;
    super::print_warnings(&warnings);
    let found = discovery::start(&config)?;
    let warns = |remark: &&Remark| remark.level <= log::Level::Warn;
    for remark in found.remarks.iter().filter(warns) {
        eprintln!("Warning: {}", remark.text);
    }
    let rows = found.databases.iter().flat_map(|database| {
        let row = |replica: &ReplicaConfig| {
            let path = database.path.display().to_string();
            let shown = match &database.replicas[..] {
                [_] => replica.location.kind().to_owned(),
                // Of several it has to be said which.
                _ => replica.location.to_string(),
            };
            (path, shown)
        };
        database.replicas.iter().map(row)
    });
    if arguments.json {
        let object = |(path, replica)| {
            Json::Object(vec![
                ("path", Json::Text(path)),
                ("replica", Json::Text(replica)),
            ])
        };
        writeln!(out, "{}", Json::List(rows.map(object).collect()))?;
    } else {
        let mut table = Table::new(["path", "replica"]);
        for (path, replica) in rows {
            table.add([path, replica]);
        }
        write!(out, "{table}")?;
    }
    Ok(Outcome::Success)
}
