//! Usage texts, made from the same tables the flags are read by.

use std::fmt;
use std::io::{self, Write};

use super::flags::Flag;

/// What the help says about a command.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommandHelp {
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// Its arguments: names with a space between them, or with `|` for one of several,
    /// between brackets when they may be left out.
    pub(super) arguments: &'static str,
    /// What it does, without a full stop.
    pub(super) summary: &'static str,
    /// More about its arguments, in whole sentences; may be empty.
    pub(super) details: &'static str,
    /// Its flags.
    pub(super) flags: &'static [Flag],
}

impl fmt::Display for CommandHelp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Usage: walbrook {} [flags]", self.name)?;
        match self.arguments {
            "" => writeln!(f)?,
            arguments => writeln!(f, " {arguments}")?,
        }
        writeln!(f, "\n{}.", self.summary)?;
        if !self.details.is_empty() {
            writeln!(f, "{}", self.details)?;
        }
        writeln!(f, "\nFlags:")?;
        for flag in self.flags {
            match flag.value {
                Some(value) => writeln!(f, "  -{} {value}", flag.name)?,
                None => writeln!(f, "  -{}", flag.name)?,
            }
            writeln!(f, "      {}.", flag.help)?;
        }
        Ok(())
    }
}

/// Writes what `walbrook` without a command says.
pub(super) fn write_overview(out: &mut dyn Write, commands: &[&CommandHelp]) -> io::Result<()> {
    writeln!(
        out,
        "Walbrook replicates SQLite databases continuously; Litestream can read its replicas.\n\n\
         Usage: walbrook COMMAND [flags] [arguments]\n\nCommands:"
    )?;
    for command in commands {
        writeln!(out, "  {:11}{}", command.name, command.summary)?;
    }
    writeln!(
        out,
        "\n`walbrook COMMAND -h` tells more about a command. Flags come before arguments."
    )
}
