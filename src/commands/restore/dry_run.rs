//! `restore -dry-run`: which files would be read, as text or JSON.

use std::io::{self, Write};

use super::RestoreOptions;
use crate::commands::json::Json;
use crate::commands::table::Table;
use crate::commands::{CommandError, Outcome};
use crate::ltx::name::file_name;
use crate::restore::{Candidate, Chosen, GenerationPlan, Plan};
use crate::storage::{FileInfo, GenerationFile, Storage};

/// Prints the plan of the best of `candidates`.
pub(super) fn print(
    candidates: &[Candidate<'_>],
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    if let [first, ..] = candidates {
        let storage = first.storage();
        match (first.plan(), options.json) {
            (Chosen::Ltx(plan), true) => json(ltx_json(plan), storage, options, out)?,
            (Chosen::Ltx(plan), false) => {
                write_head(storage, options, out)?;
                write_ltx(plan, out)?;
            }
            (Chosen::Generation(plan), true) => {
                json(generation_json(plan), storage, options, out)?;
            }
            (Chosen::Generation(plan), false) => {
                write_head(storage, options, out)?;
                write_generation(plan, out)?;
            }
        }
    }
    Ok(Outcome::Success)
}

fn json(
    mut plan: Vec<(&'static str, Json)>,
    storage: &dyn Storage,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut fields = vec![
        ("source", Json::text(storage.location())),
        ("target_path", Json::text(options.output.display())),
        ("replica", Json::text(storage.location())),
    ];
    fields.append(&mut plan);
    writeln!(out, "{}", Json::Object(fields))
}

fn ltx_json(plan: &Plan) -> Vec<(&'static str, Json)> {
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
    vec![
        ("min_txid", Json::text(plan.txids.min())),
        ("max_txid", Json::text(plan.txids.max())),
        ("files", Json::List(plan.files.iter().map(file).collect())),
    ]
}

fn generation_json(plan: &GenerationPlan) -> Vec<(&'static str, Json)> {
    let file = |file: &GenerationFile| {
        Json::Object(vec![
            ("name", Json::text(file.name)),
            ("size", Json::Number(file.size)),
            ("timestamp", Json::text(file.created)),
        ])
    };
    let generation = plan.last().name.generation;
    vec![
        ("generation", Json::Text(format!("{generation:016x}"))),
        ("files", Json::List(plan.files.iter().map(file).collect())),
    ]
}

fn write_head(
    storage: &dyn Storage,
    options: &RestoreOptions,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(out, "Restore plan:")?;
    writeln!(out, "  source:  {}", storage.location())?;
    writeln!(out, "  target:  {}", options.output.display())
}

fn write_ltx(plan: &Plan, out: &mut dyn Write) -> io::Result<()> {
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
    write!(out, "{table}")
}

fn write_generation(plan: &GenerationPlan, out: &mut dyn Write) -> io::Result<()> {
    let last = plan.last();
    writeln!(
        out,
        "  state:   of {}, generation {:016x} of Litestream 0.3",
        last.created, last.name.generation
    )?;
    writeln!(out, "  bytes:   {}\n\nFiles to fetch:", plan.bytes)?;
    let mut table = Table::new(["file", "size", "timestamp"]);
    for file in &plan.files {
        table.add([
            file.name.to_string(),
            file.size.to_string(),
            file.created.to_string(),
        ]);
    }
    write!(out, "{table}")
}
