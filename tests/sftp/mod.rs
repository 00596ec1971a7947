//! Replicas on SFTP servers: what goes wrong on the way there and on the server, what is said then, and what it costs.

mod client;
mod lost;
mod refused;
mod room;
mod slow;

use std::sync::Arc;

use walbrook::storage::sftp::{SftpSettings, SftpStorage};
use walbrook::storage::{Bounds, Network};
use walbrook::sys::clock::SystemClock;

use crate::support::rig::program;
use crate::support::sftp::SftpServer;

/// A replica in a directory of this name, opened by the user's key.
pub(crate) fn settings(server: &SftpServer, name: &str) -> SftpSettings {
    SftpSettings {
        port: Some(server.port()),
        user: Some(server.user()),
        key_path: Some(server.key()),
        host_key: Some(server.host_key()),
        ..SftpSettings::new("127.0.0.1", format!("{}/{name}", server.place()))
    }
}

/// The same through Dropbear's client, which reads other keys and asks servers for another one.
pub(crate) fn dropbear(server: &SftpServer, settings: SftpSettings) -> SftpSettings {
    SftpSettings {
        key_path: settings.key_path.map(|_| server.dropbear_key()),
        host_key: Some(server.host_key_of("ed25519")),
        ssh_command: Some("dbclient".to_owned()),
        ..settings
    }
}

/// A network with the usual bounds.
pub(crate) fn network() -> Arc<Network> {
    Network::new(Bounds::default(), Arc::new(SystemClock))
}

/// The replica. The program under test tells passwords, not the test.
pub(crate) fn open(settings: SftpSettings, network: &Arc<Network>) -> SftpStorage {
    SftpStorage::new(settings, network).with_helper(program())
}
