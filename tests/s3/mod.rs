//! Replicas on S3: what goes wrong on the way there, and what it costs.

mod clock;
mod large_copy;
mod offline;

use std::sync::Arc;

use walbrook::storage::s3::{Keys, S3Storage, Settings};
use walbrook::storage::{Bounds, Network};
use walbrook::sys::clock::{Clock, SystemClock};
use walbrook::units::{Secret, Timestamp};

use crate::support::s3::S3Server;

/// A replica at `path` on the server, as its own key sees it.
pub(crate) fn settings(server: &S3Server, path: &str) -> Settings {
    Settings {
        endpoint: Some(server.endpoint()),
        region: Some(server.region()),
        path_style: Some(true),
        ca_file: server.ca_file(),
        keys: Some(Keys {
            access_key_id: server.access_key_id(),
            secret_access_key: Secret::new(server.secret_access_key()),
            session_token: None,
        }),
        ..Settings::new(server.bucket(), path)
    }
}

/// A network with the usual bounds.
pub(crate) fn network() -> Arc<Network> {
    network_at(Arc::new(SystemClock), None)
}

/// The same by this clock, trusting no certificate as of an earlier time.
fn network_at(clock: Arc<dyn Clock>, tls_min_time: Option<Timestamp>) -> Arc<Network> {
    let bounds = Bounds {
        tls_min_time,
        ..Bounds::default()
    };
    Network::new(bounds, clock)
}

/// Opens it.
pub(crate) fn open(settings: Settings, network: &Arc<Network>) -> S3Storage {
    S3Storage::open(settings, network).unwrap()
}
