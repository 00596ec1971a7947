//! The commands: one file each. This one picks the command and turns its outcome into an exit code.
//!
//! Arguments are understood in three steps: `flags` brings Go's spelling into argh's, argh fills the
//! command's argument struct, and the command's `options` says what they mean together. Exit codes are
//! Litestream's, 0 for success and 1 for failure, but `restore`, `verify` and `page` say more (`error::Reason`).

mod compact;
mod databases;
mod demo;
mod error;
mod flags;
mod help;
mod history;
mod json;
mod ltx;
mod open;
mod page;
mod point;
mod progress;
mod prune;
mod replicate;
mod reset;
mod restore;
mod source;
mod table;
mod verify;
mod version;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use argh::FromArgs;

use error::{CommandError, Outcome, Reason};
use flags::Rewritten;
use help::CommandHelp;

use crate::config::text::{nearest, quoted};
use crate::config::{LogLevel, Warning};
use crate::storage::sftp;

/// Runs the command line `arguments` (without the program's name) and gives the exit code.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if let Some(code) = sftp::answer() {
        return code;
    }
    // Not locked: the log may write to stdout from other threads for as long as the command runs.
    let mut out = io::stdout();
    let outcome = utf8(arguments).and_then(|arguments| {
        let outcome = dispatch(&arguments, &mut out)?;
        out.flush()?;
        Ok(outcome)
    });
    match outcome {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Failed) => ExitCode::FAILURE,
        Ok(Outcome::FailedWith(code)) => ExitCode::from(code),
        Err(error) if error.is_output_closed() => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves only the exit code to tell it.
            let mut stderr = io::stderr().lock();
            let _ = writeln!(stderr, "Error: {error}");
            if let Some(command) = error.try_command() {
                let _ = writeln!(stderr, "Try: {command}");
            }
            ExitCode::from(error.reason().code())
        }
    }
}

/// Every command there is, as the help lists them.
const COMMANDS: &[&CommandHelp] = &[
    &replicate::HELP,
    &restore::HELP,
    &history::HELP,
    &verify::HELP,
    &page::HELP,
    &ltx::HELP,
    &prune::HELP,
    &databases::HELP,
    &compact::HELP,
    &reset::HELP,
    &demo::HELP,
    &version::HELP,
];

/// Litestream's commands that this version does not have.
const LATER: &[&str] = &[
    "info",
    "list",
    "mcp",
    "register",
    "start",
    "status",
    "stop",
    "sync",
    "unregister",
];

fn dispatch(arguments: &[String], out: &mut dyn Write) -> Result<Outcome, CommandError> {
    let Some((name, rest)) = arguments.split_first() else {
        help::write_overview(out, COMMANDS)?;
        return Ok(Outcome::Failed);
    };
    match name.as_str() {
        "replicate" => command(&replicate::HELP, rest, out, replicate::run),
        "restore" => match parsed(&restore::HELP, rest) {
            Ok(Some(arguments)) => restore::run(arguments, out),
            Ok(None) => write_help(&restore::HELP, out),
            Err(error) => Err(error.of(Reason::Usage)),
        },
        "history" => command(&history::HELP, rest, out, history::run),
        "verify" => command(&verify::HELP, rest, out, verify::run),
        "page" => command(&page::HELP, rest, out, page::run),
        "ltx" => command(&ltx::HELP, rest, out, ltx::run),
        "wal" => {
            let _ = writeln!(
                io::stderr(),
                "Warning: `walbrook wal` is deprecated; use `walbrook ltx`"
            );
            command(&ltx::HELP, rest, out, ltx::run)
        }
        "prune" => command(&prune::HELP, rest, out, prune::run),
        "databases" => command(&databases::HELP, rest, out, databases::run),
        "compact" => command(&compact::HELP, rest, out, compact::run),
        "reset" => command(&reset::HELP, rest, out, reset::run),
        "demo" => command(&demo::HELP, rest, out, demo::run),
        "version" => command(&version::HELP, rest, out, version::run),
        "-version" | "--version" => command(&version::HELP, &[], out, version::run),
        "help" => match rest.first() {
            Some(name) => match COMMANDS.iter().find(|command| command.name == name) {
                Some(command) => write_help(command, out),
                None => Err(unknown(name)),
            },
            None => {
                help::write_overview(out, COMMANDS)?;
                Ok(Outcome::Success)
            }
        },
        "-h" | "--h" | "-help" | "--help" => {
            help::write_overview(out, COMMANDS)?;
            Ok(Outcome::Success)
        }
        flag if flag.starts_with('-') => {
            help::write_overview(out, COMMANDS)?;
            let message = format!("flag {} must come after a command", quoted(flag));
            Err(CommandError::new(message).with_try("walbrook help"))
        }
        name => Err(unknown(name)),
    }
}

/// Parses the arguments of a command and runs it, or prints its help.
fn command<A: FromArgs>(
    help: &CommandHelp,
    arguments: &[String],
    out: &mut dyn Write,
    run: fn(A, &mut dyn Write) -> Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    match parsed(help, arguments)? {
        Some(arguments) => run(arguments, out),
        None => write_help(help, out),
    }
}

/// The argument struct of a command; none when its help is asked for.
fn parsed<A: FromArgs>(
    help: &CommandHelp,
    arguments: &[String],
) -> Result<Option<A>, CommandError> {
    let Rewritten::Run(rewritten) = flags::rewrite(help, arguments)? else {
        return Ok(None);
    };
    let rewritten: Vec<&str> = rewritten.iter().map(String::as_str).collect();
    A::from_args(&[help.name], &rewritten)
        .map(Some)
        .map_err(|exit| match exit.output.trim() {
            // argh has no words for an argument too many, where a command takes none.
            text if text.starts_with("Unrecognized argument") => {
                CommandError::new("too many arguments")
                    .with_try(format!("walbrook {} -h", help.name))
            }
            text => CommandError::new(text),
        })
}

fn write_help(command: &CommandHelp, out: &mut dyn Write) -> Result<Outcome, CommandError> {
    write!(out, "{command}")?;
    Ok(Outcome::Success)
}

/// Tells the user on stderr which settings have no effect.
fn print_warnings(warnings: &[Warning]) {
    let mut stderr = io::stderr().lock();
    for warning in warnings {
        let _ = writeln!(stderr, "Warning: {warning}");
    }
}

fn unknown(name: &str) -> CommandError {
    if LATER.contains(&name) {
        return CommandError::new(format!(
            "`walbrook {name}` is not supported yet by this version"
        ))
        .with_try("walbrook help");
    }
    let shown = quoted(name);
    let message = format!("walbrook {}: unknown command", shown.trim_matches('`'));
    let known = COMMANDS.iter().map(|command| command.name);
    let try_command = match nearest(name, known.chain(["help"])) {
        Some(near) => format!("walbrook {near}"),
        None => "walbrook help".to_owned(),
    };
    CommandError::new(message).with_try(try_command)
}

/// Has the log written to stderr, from `level` on.
fn start_logging(level: LogLevel) {
    let quiet = level.filter().min(log::LevelFilter::Warn);
    let logger = simple_logger::SimpleLogger::new()
        .with_level(level.filter())
        // Their details are not for users, and hold header lines with keys in them.
        .with_module_level("ureq", quiet)
        .with_module_level("ureq_proto", quiet)
        .with_module_level("rustls", quiet);
    // Fails only if there is a logger already, which is then a test's.
    let _ = logger.init();
}

/// The arguments as text: paths in a configuration are text too.
fn utf8(arguments: Vec<OsString>) -> Result<Vec<String>, CommandError> {
    let text = |argument: OsString| {
        argument.into_string().map_err(|argument| {
            CommandError::new(format!(
                "argument {argument:?} is not valid UTF-8; rename the file or use a link to it"
            ))
        })
    };
    arguments.into_iter().map(text).collect()
}

#[cfg(test)]
mod tests;
