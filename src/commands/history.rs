//! `walbrook history`: which states of a database can be restored, and what each costs.

use std::io::{self, Write};

use argh::FromArgs;

use super::flags::{self, Flag};
use super::json::Json;
use super::source::{ConfigFile, ReplicaSource, none_of, warn_of};
use super::table::Table;
use super::{CommandError, CommandHelp, Outcome};
use crate::restore::{self, Hole, Point, RestoreError};
use crate::storage::Storage;
use crate::units::Timestamp;

/// So many points are shown unless another number is asked for.
const LAST: usize = 100;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "history",
    arguments: "DB_PATH|REPLICA_URL",
    summary: "List the states that can be restored",
    details: "Newest last, with what a restore to each reads: exactly those that `walbrook restore -txid` reaches. \
              A hole is where files are missing between two of them. A database path must be in the configuration; of \
              several replicas, all are listed.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        Flag {
            name: "last",
            value: Some("N"),
            help: "Show the newest N states (default 100), or all of them with 0",
        },
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

/// list what can be restored
#[derive(FromArgs)]
pub(crate) struct HistoryArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which replica
    #[argh(option)]
    replica: Option<String>,
    /// how many
    #[argh(option)]
    last: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What there is to say of one replica.
struct Told {
    location: String,
    /// The newest points, as many as were asked for.
    points: Vec<Point>,
    holes: Vec<Hole>,
    /// How many points there are, and the times of the first and the last of them.
    total: usize,
    window: Option<(Timestamp, Timestamp)>,
}

/// Lists the states. A replica that does not exist has none.
///
/// # Errors
/// When the arguments make no sense together or the replica cannot be looked into.
pub(crate) fn run(
    arguments: HistoryArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let last = arguments.last.as_deref().map_or(Ok(LAST), last)?;
    let config = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
    let example = "walbrook history DB_PATH";
    let number = arguments.replica.as_deref();
    let source = ReplicaSource::from_arguments(arguments.rest, number, config, example)?;
    let opened = source.open()?;
    let (mut replicas, mut failed) = (Vec::new(), Vec::new());
    for storage in &opened.storages {
        match tell(&**storage, last) {
            Ok(told) => replicas.push(told),
            Err(error) => failed.push((storage.location(), error.to_string())),
        }
    }
    if replicas.is_empty() {
        return Err(none_of(&failed));
    }
    warn_of(&failed);
    match arguments.json {
        true => {
            let list = Json::List(replicas.iter().map(json).collect());
            writeln!(out, "{list}")?;
        }
        false => {
            for (index, told) in replicas.iter().enumerate() {
                if opened.several {
                    let space = if index > 0 { "\n" } else { "" };
                    writeln!(out, "{space}{}:", told.location)?;
                }
                write_text(told, out)?;
            }
        }
    }
    Ok(Outcome::Success)
}

/// Looks into a replica. The points it gives have their exact times, and only those are asked for.
fn tell(storage: &dyn Storage, last: usize) -> Result<Told, RestoreError> {
    let history = restore::history_of(storage)?;
    let total = history.points.len();
    let from = total.saturating_sub(if last == 0 { total } else { last });
    let mut points: Vec<Point> = history.points[from..].to_vec();
    let oldest = history.points.first().map(|point| point.last);
    let ends = points.iter().map(|point| point.last).chain(oldest);
    let mut exact = storage.exact_times(ends.collect())?;
    exact.sort_unstable();
    let time = |point: &Point| {
        // What is gone meanwhile has the time of the listing.
        let known = exact.binary_search_by_key(&point.last.name, |file| file.name);
        known.map_or(point.time(), |at| exact[at].created)
    };
    let window = history.points.first().zip(history.points.last());
    let window = window.map(|(first, last)| (time(first), time(last)));
    for point in &mut points {
        point.last.created = time(point);
    }
    Ok(Told {
        location: storage.location(),
        points,
        holes: history.holes,
        total,
        window,
    })
}

fn write_text(told: &Told, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(["time", "txid", "level", "files", "bytes"]);
    for point in &told.points {
        table.add([
            point.time().to_string(),
            point.txid().to_string(),
            point.last.name.level.to_string(),
            point.files.to_string(),
            point.bytes.to_string(),
        ]);
    }
    write!(out, "{table}")?;
    for hole in &told.holes {
        writeln!(out, "{}", sentence(hole))?;
    }
    if let Some((first, last)) = told.window {
        let shown = match told.total - told.points.len() {
            0 => String::new(),
            left => format!("; {left} older ones are not shown (-last 0 shows them all)"),
        };
        let total = told.total;
        writeln!(
            out,
            "{total} states can be restored, from {first} to {last}{shown}."
        )?;
    }
    Ok(())
}

/// A hole in words.
fn sentence(hole: &Hole) -> String {
    let files = hole.files;
    match (hole.after, hole.before) {
        (None, _) => format!(
            "Hole: nothing can be restored, since there is no snapshot before the {files} files there are."
        ),
        (Some(after), None) => format!(
            "Hole: nothing after {after} can be restored; {files} later files do not join it. The next snapshot of \
             the database closes it."
        ),
        (Some(after), Some(before)) => {
            format!("Hole: nothing between {after} and {before} can be restored.")
        }
    }
}

fn json(told: &Told) -> Json {
    let number = |value: usize| Json::Number(value as u64);
    let point = |point: &Point| {
        Json::Object(vec![
            ("timestamp", Json::text(point.time())),
            ("txid", Json::text(point.txid())),
            ("level", Json::Number(point.last.name.level.value().into())),
            ("files", Json::Number(point.files.into())),
            ("bytes", Json::Number(point.bytes)),
        ])
    };
    let hole = |hole: &Hole| {
        let mut fields = Vec::new();
        fields.extend(hole.after.map(|txid| ("after_txid", Json::text(txid))));
        fields.extend(hole.before.map(|txid| ("before_txid", Json::text(txid))));
        fields.push(("files", number(hole.files)));
        Json::Object(fields)
    };
    let mut fields = vec![("replica", Json::text(&told.location))];
    if let Some((earliest, latest)) = told.window {
        fields.push(("earliest", Json::text(earliest)));
        fields.push(("latest", Json::text(latest)));
    }
    fields.push(("total", number(told.total)));
    let points = told.points.iter().map(point);
    fields.push(("points", Json::List(points.collect())));
    fields.push(("holes", Json::List(told.holes.iter().map(hole).collect())));
    Json::Object(fields)
}

fn last(text: &str) -> Result<usize, CommandError> {
    text.parse().map_err(|_| {
        CommandError::new(format!(
            "invalid value {text:?} for flag -last: write how many, such as 20, or 0 for all"
        ))
    })
}
