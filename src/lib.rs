//! Walbrook: continuous backup of SQLite databases.
//!
//! A page travels out `sqlite → database → replica → ltx → storage` and back `storage → ltx → restore → file`.
//! Which room may import which is a table, and a test, in `tests/tidy.rs`.

pub mod commands;
pub mod compact;
pub mod config;
pub mod daemon;
pub mod database;
pub mod discovery;
pub mod ltx;
pub mod replica;
pub mod restore;
pub mod sqlite;
pub mod storage;
pub mod sys;
pub mod units;
