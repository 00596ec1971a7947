//! The program from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
mod ltx;
mod sqlite;
mod support;
