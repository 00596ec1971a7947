//! What `verify` says about each replica, as text and as JSON.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use super::Goal;
use crate::commands::CommandError;
use crate::commands::error::Reason;
use crate::commands::json::Json;
use crate::restore::{Checked, GenerationReport, Report, RestoreError};
use crate::units::{Timestamp, Txid};

/// The exit code where something of the replica is damaged or missing.
pub(super) const DAMAGED: u8 = Reason::Damaged.code();

/// What was found about one replica.
pub(super) struct Verdict {
    /// The database it is of, as far as that is known.
    pub(super) database: Option<PathBuf>,
    pub(super) location: String,
    pub(super) goal: Goal,
    pub(super) finding: Finding,
}

/// How the verification ended.
pub(super) enum Finding {
    /// The state is whole.
    Whole(Whole),
    /// The same of a state that Litestream 0.3 left.
    Generation(GenerationReport),
    /// So many files were checked, of which some may be damaged.
    Part(Checked),
    /// The state is not whole, for this reason; what is left.
    Damaged(String, Option<Left>),
    /// It could not be found out, for this reason.
    Unknown(CommandError),
}

/// The newest state that a restore still gives.
pub(super) struct Left {
    pub(super) whole: Whole,
    /// It is the very one that was to be verified: other files lead there.
    pub(super) is_same: bool,
}

/// A state that can be restored.
pub(super) struct Whole {
    pub(super) report: Report,
    /// The state's own time.
    pub(super) time: Timestamp,
    /// Its newest file carries the checksum of the database, which was compared.
    pub(super) names_database: bool,
}

impl Verdict {
    /// The exit code it asks for.
    pub(super) fn code(&self) -> u8 {
        match &self.finding {
            Finding::Whole(_) | Finding::Generation(_) => 0,
            Finding::Part(checked) if checked.damaged.is_empty() && checked.newest.is_ok() => 0,
            Finding::Part(_) | Finding::Damaged(..) => DAMAGED,
            Finding::Unknown(error) => error.reason().code(),
        }
    }

    /// In a word.
    pub(super) fn word(&self) -> &'static str {
        match self.code() {
            0 => "whole",
            DAMAGED => "damaged",
            _ => "unknown",
        }
    }

    /// The state that was verified, or up to which files join.
    pub(super) fn txid(&self) -> Option<Txid> {
        match &self.finding {
            Finding::Whole(whole) => Some(whole.report.txid),
            Finding::Part(checked) => checked.newest.as_ref().ok().copied(),
            Finding::Generation(_) | Finding::Damaged(..) | Finding::Unknown(_) => None,
        }
    }

    /// All that is wrong, in sentences without a full stop.
    fn problems(&self) -> Vec<String> {
        match &self.finding {
            Finding::Whole(_) | Finding::Generation(_) => Vec::new(),
            Finding::Part(checked) => {
                let gap = checked.newest.as_ref().err();
                checked.damaged.iter().chain(gap).map(finding).collect()
            }
            Finding::Damaged(problem, _) => vec![problem.clone()],
            Finding::Unknown(error) => vec![error.to_string()],
        }
    }

    /// What is left.
    fn left(&self) -> Option<&Left> {
        match &self.finding {
            Finding::Damaged(_, left) => left.as_ref(),
            _ => None,
        }
    }
}

/// What is wrong, without what a restore would add to that.
pub(super) fn finding(error: &RestoreError) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.find("; nothing was restored") {
        text.truncate(end);
    }
    text
}

/// Writes all verdicts.
pub(super) fn write(verdicts: &[Verdict], as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json {
        return writeln!(out, "{}", Json::List(verdicts.iter().map(json).collect()));
    }
    for verdict in verdicts {
        let location = &verdict.location;
        let of = match &verdict.database {
            Some(path) => format!("{} in {location}", path.display()),
            None => location.clone(),
        };
        match &verdict.finding {
            Finding::Whole(whole) => writeln!(out, "{of}: {}", sentence(whole, verdict.goal))?,
            Finding::Generation(report) => writeln!(
                out,
                "{of}: the state of {}, generation {:016x} of Litestream 0.3, is whole{}: {} files, {} bytes, {} ms",
                report.last.created,
                report.last.name.generation,
                checked(verdict.goal),
                report.files,
                report.bytes,
                report.duration.as_millis()
            )?,
            Finding::Part(checked) => writeln!(
                out,
                "{of}: {} of {} files were read, {} bytes ({}){}",
                checked.files,
                checked.of,
                checked.bytes,
                verdict.goal,
                match &checked.newest {
                    Ok(txid) if checked.damaged.is_empty() =>
                        format!(": they are whole, and all files join up to TXID {txid}"),
                    _ => String::new(),
                }
            )?,
            Finding::Damaged(..) | Finding::Unknown(_) => (),
        }
        let mark = match verdict.code() {
            DAMAGED => "DAMAGED",
            _ => "NOT VERIFIED",
        };
        for problem in verdict.problems() {
            writeln!(out, "{of}: {mark}: {problem}")?;
        }
        if let Some(Left { whole, is_same }) = verdict.left() {
            let (txid, time) = (whole.report.txid, whole.time);
            match is_same {
                true => writeln!(
                    out,
                    "{of}: a restore goes around that: other files lead to TXID {txid} of {time}, and are whole"
                )?,
                false => writeln!(
                    out,
                    "{of}: the newest state found to be whole before it is TXID {txid} of {time}: -txid {txid}"
                )?,
            }
        }
    }
    Ok(())
}

fn sentence(whole: &Whole, goal: Goal) -> String {
    let Report {
        txid,
        files,
        bytes,
        duration,
        ..
    } = whole.report;
    let database = match whole.names_database {
        true => "the pages are those of the database it was written from",
        false => "what the database was is not said in its newest file, so that was not compared",
    };
    let checked = checked(goal);
    format!(
        "TXID {txid} of {} is whole{checked}: {files} files, {bytes} bytes, {} ms; {database}",
        whole.time,
        duration.as_millis()
    )
}

fn checked(goal: Goal) -> &'static str {
    match goal {
        Goal::Drill(_) => ", restored and found sound by SQLite",
        _ => "",
    }
}

fn json(verdict: &Verdict) -> Json {
    let mut fields = Vec::new();
    if let Some(path) = &verdict.database {
        fields.push(("db_path", Json::text(path.display())));
    }
    fields.push(("replica", Json::text(&verdict.location)));
    fields.push(("verified", Json::text(verdict.goal)));
    fields.push(("result", Json::text(verdict.word())));
    fields.extend(verdict.txid().map(|txid| ("txid", Json::text(txid))));
    match &verdict.finding {
        Finding::Whole(whole) => {
            let Report {
                files,
                bytes,
                duration,
                ..
            } = whole.report;
            fields.extend(read_json(whole.time, files, bytes, duration));
            let compared = match whole.names_database {
                true => "matches",
                false => "none",
            };
            fields.push(("database_checksum", Json::text(compared)));
        }
        Finding::Generation(report) => {
            let GenerationReport {
                last,
                files,
                bytes,
                duration,
                ..
            } = *report;
            let generation = format!("{:016x}", last.name.generation);
            fields.push(("generation", Json::Text(generation)));
            fields.extend(read_json(last.created, files, bytes, duration));
        }
        Finding::Part(checked) => fields.extend([
            ("files", Json::Number(checked.files as u64)),
            ("bytes", Json::Number(checked.bytes)),
            ("total_files", Json::Number(checked.of as u64)),
        ]),
        Finding::Damaged(..) | Finding::Unknown(_) => (),
    }
    let problems: Vec<Json> = verdict.problems().into_iter().map(Json::Text).collect();
    if !problems.is_empty() {
        fields.push(("errors", Json::List(problems)));
    }
    if let Some(Left { whole, .. }) = verdict.left() {
        fields.push(("restorable_txid", Json::text(whole.report.txid)));
        fields.push(("restorable_timestamp", Json::text(whole.time)));
    }
    Json::Object(fields)
}

/// What was read for a state.
fn read_json(
    time: Timestamp,
    files: usize,
    bytes: u64,
    duration: Duration,
) -> [(&'static str, Json); 4] {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    [
        ("timestamp", Json::text(time)),
        ("files", Json::Number(files as u64)),
        ("bytes", Json::Number(bytes)),
        ("duration_ms", Json::Number(milliseconds)),
    ]
}
