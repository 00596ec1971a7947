//! What `restore` tells when it is done, in a line or as JSON.

use std::io::Write;
use std::time::Duration;

use super::{RestoreOptions, eprintln_unless_closed};
use crate::commands::json::Json;
use crate::commands::{CommandError, Outcome, point};
use crate::restore::{self, GenerationReport, Integrity, Report};
use crate::storage::Storage;
use crate::units::Timestamp;

/// Tells how a restore ended.
pub(super) fn report(
    outcome: restore::Outcome,
    storage: &dyn Storage,
    several: bool,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let state = match outcome {
        restore::Outcome::KeptExisting => {
            options.say("database already exists, skipping");
            return Ok(Outcome::Success);
        }
        restore::Outcome::Restored(report) => State::of(&report, storage, options),
        restore::Outcome::RestoredGeneration(report) => State::of_generation(&report),
    };
    if options.json {
        writeln!(out, "{}", report_json(&state, storage, options))?;
        return Ok(Outcome::Success);
    }
    let source = match several {
        true => format!(" of {}", storage.location()),
        false => String::new(),
    };
    let (mut time, mut window) = (String::new(), String::new());
    if let Some((earliest, latest)) = state.window {
        time = format!(" of {}", state.time);
        window = format!("; what can be restored is from {earliest} to {latest}");
    }
    eprintln_unless_closed(&format!(
        "restored {} to {}{time}{source}: {} files, {} bytes, {} ms{window}",
        options.output.display(),
        match state.generation {
            Some(generation) => format!("generation {generation:016x}"),
            None => format!("txid {}", state.txid),
        },
        state.files,
        state.bytes,
        state.duration.as_millis()
    ));
    Ok(Outcome::Success)
}

/// What is told of a state that was restored.
struct State {
    /// Empty where there is none.
    txid: String,
    /// Of Litestream 0.3.
    generation: Option<u64>,
    time: Timestamp,
    /// Where it is told.
    window: Option<(Timestamp, Timestamp)>,
    files: usize,
    bytes: u64,
    integrity: Integrity,
    duration: Duration,
}

impl State {
    /// Its time may cost a request, and only JSON has it where none was asked for.
    fn of(report: &Report, storage: &dyn Storage, options: &RestoreOptions) -> State {
        let is_exact = report.window.is_some() || !options.json;
        State {
            txid: report.txid.to_string(),
            generation: None,
            time: point::time_of(report.last, storage, is_exact),
            window: report.window,
            files: report.files,
            bytes: report.bytes,
            integrity: options.integrity,
            duration: report.duration,
        }
    }

    fn of_generation(report: &GenerationReport) -> State {
        State {
            txid: String::new(),
            generation: Some(report.last.name.generation),
            time: report.last.created,
            window: Some(report.window),
            files: report.files,
            bytes: report.bytes,
            integrity: report.integrity,
            duration: report.duration,
        }
    }
}

fn report_json(state: &State, storage: &dyn Storage, options: &RestoreOptions) -> Json {
    let milliseconds = u64::try_from(state.duration.as_millis()).unwrap_or(u64::MAX);
    let mut fields = vec![
        ("db_path", Json::text(options.output.display())),
        ("replica", Json::text(storage.location())),
        ("txid", Json::text(&state.txid)),
        ("timestamp", Json::text(state.time)),
        ("duration_ms", Json::Number(milliseconds)),
        ("integrity_check", Json::text(state.integrity)),
    ];
    let generation = state.generation.map(|number| format!("{number:016x}"));
    fields.extend(generation.map(|number| ("generation", Json::Text(number))));
    Json::Object(fields)
}
