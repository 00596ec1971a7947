//! `walbrook version`: which program this is.

use std::io::Write;

use argh::FromArgs;

use super::flags::Flag;
use super::{CommandError, CommandHelp, Outcome};

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "version",
    arguments: "",
    summary: "Print the version",
    details: "",
    flags: &[Flag {
        name: "verbose",
        value: None,
        help: "Also print the versions of SQLite and of the Litestream it is interchangeable with",
    }],
};

/// The Litestream whose replicas, configuration and command line this program was compared with.
const COMPATIBLE_WITH: &str = "Litestream 0.5.17";

/// print the version
#[derive(FromArgs)]
pub(crate) struct VersionArguments {
    /// more than the number
    #[argh(switch)]
    verbose: bool,
}

/// Prints the version to `out`.
///
/// # Errors
/// When `out` cannot be written.
pub(crate) fn run(
    arguments: VersionArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    if arguments.verbose {
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        writeln!(out, "Version:          {version}")?;
        writeln!(out, "SQLite version:   {}", rusqlite::version())?;
        writeln!(out, "OS/Arch:          {os}/{arch}")?;
        writeln!(out, "Compatible with:  {COMPATIBLE_WITH}")?;
    } else {
        writeln!(out, "{version}")?;
    }
    Ok(Outcome::Success)
}
