//! From a replica back to a database file.

pub mod plan;

pub use plan::{Plan, PlanError, Target, plan};
