//! Replicas on S3: what goes wrong on the way there, and what it costs.

mod busy;
mod clock;
mod conditional;
mod deletion;
mod download;
mod encryption;
mod flipped;
mod idle;
mod large_copy;
mod multipart;
mod names;
mod outage;
mod page;
mod recorder;
mod refusals;
mod slow;
mod trust;

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use walbrook::storage::s3::{GivenKeys, Keys, S3Storage, Settings};
use walbrook::storage::{Bounds, Content, FileName, Network, Storage, StorageError};
use walbrook::sys::clock::{Clock, SystemClock};
use walbrook::units::{Secret, Timestamp};

use crate::conformance::Bytes;
use crate::support::proxy::Proxy;
use crate::support::s3::{Kind, S3Server, Tls};

/// A replica at `path` on the server, as its own key sees it.
pub(crate) fn settings(server: &S3Server, path: &str) -> Settings {
    Settings {
        endpoint: Some(server.endpoint()),
        region: Some(server.region()),
        path_style: Some(true),
        ca_file: server.ca_file(),
        keys: Some(GivenKeys::from(Keys {
            access_key_id: server.access_key_id(),
            secret_access_key: Secret::new(server.secret_access_key()),
            session_token: None,
        })),
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

/// A server behind a proxy, and how to open a replica there.
struct Bench {
    server: S3Server,
    proxy: Proxy,
    network: Arc<Network>,
    settings: Settings,
}

impl Bench {
    /// Before a server without TLS, with a client that gives up when nothing has moved for a second.
    #[track_caller]
    fn new(kind: Kind) -> Bench {
        Bench::with(kind, Tls::Off, impatient())
    }

    #[track_caller]
    fn with(kind: Kind, tls: Tls, bounds: Bounds) -> Bench {
        let server = S3Server::shared(kind, tls);
        let proxy = Proxy::before(&server);
        let settings = Settings {
            endpoint: Some(proxy.endpoint()),
            ..settings(&server, &server.fresh_path())
        };
        Bench {
            network: Network::new(bounds, Arc::new(SystemClock)),
            server,
            proxy,
            settings,
        }
    }

    fn storage(&self) -> S3Storage {
        open(self.settings.clone(), &self.network)
    }

    /// The key of a file.
    fn key(&self, name: FileName) -> String {
        let (path, level, txids) = (&self.settings.path, name.level.value(), name.txids);
        format!("{path}/{level:04x}/{txids}.ltx")
    }

    /// The keys there are, without the path.
    fn keys(&self) -> Vec<String> {
        let objects = self.server.objects(&self.settings.path);
        let skip = self.settings.path.len() + 1;
        objects
            .into_iter()
            .map(|(key, _)| key[skip..].to_owned())
            .collect()
    }

    /// Lets the client learn that the link is fast, so that its limits are short.
    #[track_caller]
    fn warm_up(&self) {
        let file = crate::conformance::name(8, 1, 1);
        for _ in 0..3 {
            store(&self.storage(), file, &[1; 1 << 20]).unwrap();
        }
        self.server.delete(&self.key(file));
        self.proxy.reset_counts();
    }
}

/// The usual bounds with little patience.
fn impatient() -> Bounds {
    Bounds {
        patience: Duration::from_secs(1),
        ..Bounds::default()
    }
}

fn store(storage: &dyn Storage, name: FileName, bytes: &[u8]) -> Result<u64, StorageError> {
    storage.write(name, Timestamp::from_millis(0), &Bytes(bytes))
}

/// Content that is the same again, and known as such.
struct Known<'a>(u64, &'a [u8]);

impl Content for Known<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.1)
    }

    fn id(&self) -> u64 {
        self.0
    }
}

/// Bytes of which no two stretches are the same.
fn pattern(length: usize) -> Vec<u8> {
    let words = (0..).map(|number: u32| number.wrapping_mul(2_654_435_761).to_be_bytes());
    words.flatten().take(length).collect()
}
