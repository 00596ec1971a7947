//! The program from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod compact;
mod conformance;
mod destinations;
mod directories;
mod follow;
mod generations;
mod interchange;
mod late;
mod levels;
mod lineage;
mod ltx;
mod power;
mod prove;
mod replica;
mod restarts;
mod restore;
mod s3;
mod servers;
mod sftp;
mod sqlite;
mod support;
mod torture;
