//! `walbrook compact`: merges the levels of a replica whose machine is gone.

use std::io::Write;
use std::sync::Arc;

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::source::{ConfigFile, ReplicaSource};
use super::{CommandError, CommandHelp, Outcome};
use crate::compact::{CompactError, Compactor, Goal, Merge};
use crate::storage::{FileInfo, Storage};
use crate::units::Level;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "compact",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "Merge the levels of a replica whose machine is gone",
    details: "For a replica that nobody writes to any more, so that it takes fewer files to restore it: `walbrook \
              replicate` and Litestream do this by themselves. Nothing may write to the replica meanwhile. Files are \
              added, none is deleted.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        Flag {
            help: "Of a database with several replicas, merge the Nth of the configuration",
            ..flags::REPLICA
        },
        Flag {
            name: "level",
            value: Some("LEVEL"),
            help: "Merge the levels up to this one, 1 to 8 (default those of the configuration, or 3); \
                   9 for those and a snapshot of the newest state",
        },
        Flag {
            name: "dry-run",
            value: None,
            help: "Only show what would be written",
        },
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

/// merge the levels of a replica
#[derive(FromArgs)]
pub(crate) struct CompactArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which of its replicas
    #[argh(option)]
    replica: Option<String>,
    /// the uppermost level
    #[argh(option)]
    level: Option<String>,
    /// write nothing
    #[argh(switch)]
    dry_run: bool,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// Writes what the levels lack. A replica that lacks nothing is a success.
///
/// # Errors
/// When the arguments make no sense together, or the replica cannot be compacted.
pub(crate) fn run(
    arguments: CompactArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let asked = arguments.level.as_deref().map(level).transpose()?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let example = "walbrook compact DB_PATH";
    let source = ReplicaSource::from_arguments(
        arguments.rest,
        arguments.replica.as_deref(),
        config,
        example,
    )?;
    let (storage, levels): (Arc<dyn Storage>, usize) = source.open_to_write()?;
    let goal = goal(asked, levels);
    let mut compactor = Compactor::open(&*storage, goal)
        .map_err(|error| CommandError::new(format!("{error}; nothing was written")))?;
    let mut report = Report {
        out,
        lines: (!arguments.json).then_some(0),
        json: Vec::new(),
    };
    if arguments.dry_run {
        for merge in compactor.planned() {
            report.add(merge, None)?;
        }
    } else {
        let mut written = 0_usize;
        while let Some((merge, file)) = compactor.write_next().map_err(|e| stopped(&e, written))? {
            report.add(&merge, Some(file))?;
            written += 1;
        }
    }
    report.end()?;
    Ok(Outcome::Success)
}

/// Up to where; `levels` is how many there are if nothing is asked for.
fn goal(asked: Option<Level>, levels: usize) -> Goal {
    let usual = u8::try_from(levels).ok().and_then(Level::new);
    let usual = usual.expect("at most eight can be configured");
    match asked {
        Some(Level::SNAPSHOT) => Goal {
            level: usual,
            snapshot: true,
        },
        asked => Goal {
            level: asked.unwrap_or(usual),
            snapshot: false,
        },
    }
}

fn level(text: &str) -> Result<Level, CommandError> {
    let level = text.parse().ok().and_then(Level::new);
    level.filter(|level| *level != Level::SYNC).ok_or_else(|| {
        CommandError::new(format!(
            "invalid value {text:?} for flag -level: level must be between 1 and 8, or 9 for a snapshot too"
        ))
    })
}

/// What is said about each file: as it is written, or all at the end as JSON.
struct Report<'a> {
    out: &'a mut dyn Write,
    /// How many were printed; none for JSON.
    lines: Option<usize>,
    json: Vec<Json>,
}

impl Report<'_> {
    /// A file that is to be written, or was.
    fn add(&mut self, merge: &Merge, written: Option<FileInfo>) -> Result<(), CommandError> {
        let Some(lines) = &mut self.lines else {
            self.json.push(json(merge, written));
            return Ok(());
        };
        *lines += 1;
        let files = merge.inputs.len();
        let files = format!("{files} file{}", if files == 1 { "" } else { "s" });
        match written {
            Some(file) => writeln!(
                self.out,
                "Wrote {} from {files}: {} bytes",
                merge.name, file.size
            )?,
            None => writeln!(self.out, "Would write {} from {files}", merge.name)?,
        }
        Ok(())
    }

    fn end(self) -> Result<(), CommandError> {
        match self.lines {
            None => writeln!(self.out, "{}", Json::List(self.json))?,
            Some(0) => writeln!(self.out, "Nothing to merge")?,
            Some(_) => (),
        }
        Ok(())
    }
}

fn json(merge: &Merge, written: Option<FileInfo>) -> Json {
    let mut fields = vec![
        ("level", Json::Number(merge.name.level.value().into())),
        ("min_txid", Json::text(merge.name.txids.min())),
        ("max_txid", Json::text(merge.name.txids.max())),
        ("files", Json::Number(merge.inputs.len() as u64)),
    ];
    fields.extend(written.map(|file| ("size", Json::Number(file.size))));
    Json::Object(fields)
}

/// What there is to say when something goes wrong after so many files.
fn stopped(error: &CompactError, written: usize) -> CommandError {
    CommandError::new(match written {
        0 => error.to_string(),
        _ => format!(
            "{error}; the files written before ({written}) are complete and stay, and the next run goes on from them"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_which_level() {
        let of = |text: Option<&str>| {
            let asked = text
                .map(level)
                .transpose()
                .map_err(|error| error.to_string())?;
            let Goal { level, snapshot } = goal(asked, 3);
            Ok((level.value(), snapshot))
        };
        assert_eq!(of(None), Ok((3, false)));
        assert_eq!(of(Some("1")), Ok((1, false)));
        assert_eq!(of(Some("8")), Ok((8, false)));
        assert_eq!(of(Some("9")), Ok((3, true)));
        for wrong in ["0", "10", "all", ""] {
            let expected = format!(
                "invalid value {wrong:?} for flag -level: level must be between 1 and 8, or 9 for a snapshot too"
            );
            assert_eq!(of(Some(wrong)), Err(expected));
        }
    }
}
