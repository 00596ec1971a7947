//! `walbrook compact`: what it merges restores as before, by both programs, and Litestream goes on from it.

mod meddling;
mod memory;
mod refused;
mod states;

use std::collections::BTreeMap;

use crate::support::process::output_of;
use crate::support::rig::{Program, Rig, Sum};

/// Runs `walbrook compact` on the replica, to its end. Gives what it printed.
fn compact(rig: &Rig, arguments: &[&str]) -> Result<String, String> {
    let mut command = Program::Walbrook.command();
    command.arg("compact").args(arguments).arg(rig.url());
    output_of(command.envs(rig.place().environment()))
}

/// What `program` restores at each TXID that is the end of a file, where it can.
fn states(rig: &Rig, program: Program) -> BTreeMap<u64, Sum> {
    let restored = |txid| Some((txid, rig.restored_sum(program, Some(txid)).ok()?));
    rig.txids().into_iter().filter_map(restored).collect()
}

/// The names of all files, by level.
fn tree(rig: &Rig) -> Vec<(u8, String)> {
    let on_level = |level| rig.files(level).into_iter().map(move |name| (level, name));
    (0..=9).flat_map(on_level).collect()
}

/// The name of a file.
fn name(min: u64, max: u64) -> String {
    format!("{min:016x}-{max:016x}.ltx")
}
