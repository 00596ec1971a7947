//! LTX files against files that other programs wrote, against broken ones, and against random ones.

#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do

mod chains;
mod files;
mod properties;
mod refused;
pub(crate) mod vectors;
