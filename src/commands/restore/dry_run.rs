//! `restore -dry-run`: which files would be read, as text or JSON.

use std::io::Write;

use super::RestoreOptions;
use crate::commands::json::Json;
use crate::commands::table::Table;
use crate::commands::{CommandError, Outcome};
use crate::ltx::name::file_name;
use crate::restore::{Candidate, Plan};
use crate::storage::{FileInfo, Storage};

/// Prints the plan of the best of `candidates`.
pub(super) fn print(
    candidates: &[Candidate<'_>],
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    if let [first, ..] = candidates {
        let (plan, storage) = (first.plan(), first.storage());
        match options.json {
            true => writeln!(out, "{}", plan_json(plan, storage, options))?,
            false => write_plan(plan, storage, options, out)?,
        }
    }
    Ok(Outcome::Success)
}

fn plan_json(plan: &Plan, storage: &dyn Storage, options: &RestoreOptions) -> Json {
    let file = |file: &FileInfo| {
        Json::Object(vec![
            ("level", Json::Number(file.name.level.value().into())),
            ("name", Json::Text(file_name(file.name.txids))),
            ("min_txid", Json::text(file.name.txids.min())),
            ("max_txid", Json::text(file.name.txids.max())),
            ("size", Json::Number(file.size)),
            ("timestamp", Json::text(file.created)),
        ])
    };
    Json::Object(vec![
        ("source", Json::text(storage.location())),
        ("target_path", Json::text(options.output.display())),
        ("replica", Json::text(storage.location())),
        ("min_txid", Json::text(plan.txids.min())),
        ("max_txid", Json::text(plan.txids.max())),
        ("files", Json::List(plan.files.iter().map(file).collect())),
    ])
}

fn write_plan(
    plan: &Plan,
    storage: &dyn Storage,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    writeln!(out, "Restore plan:")?;
    writeln!(out, "  source:  {}", storage.location())?;
    writeln!(out, "  target:  {}", options.output.display())?;
    writeln!(
        out,
        "  txid:    {} to {}",
        plan.txids.min(),
        plan.txids.max()
    )?;
    writeln!(out, "  bytes:   {}\n\nFiles to fetch:", plan.bytes)?;
    let mut table = Table::new(["level", "file", "min_txid", "max_txid", "size", "timestamp"]);
    for file in &plan.files {
        table.add([
            file.name.level.to_string(),
            file_name(file.name.txids),
            file.name.txids.min().to_string(),
            file.name.txids.max().to_string(),
            file.size.to_string(),
            file.created.to_string(),
        ]);
    }
    write!(out, "{table}")?;
    Ok(())
}
