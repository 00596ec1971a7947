//! Held against the real Litestream: what one program writes, the other restores and goes on from.

mod kept;
mod ours;
mod s3;
mod takeover;
mod theirs;

use crate::support::place::Place;
use crate::support::rig::Rig;
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::sftp::{self as ssh, SftpServer};

/// Levels that fill, and level 0 emptied, within seconds.
const LEVELS: &str = "\
levels: [{interval: 1s}, {interval: 2s}]
snapshot: {interval: 3s, retention: 1h}
l0-retention: 2s
l0-retention-check-interval: 1s";

/// A database with its replica on a server of S3.
fn on_s3() -> Rig {
    Rig::with_replica(Place::on(&S3Server::shared(Kind::SeaweedFs, Tls::Off)))
}

/// A database with its replica on an SSH server.
fn on_sftp(kind: ssh::Kind) -> Rig {
    Rig::with_replica(Place::on_sftp(&SftpServer::shared(kind)))
}
