//! What all storages of a process that are reached over a network share: connections, counts, the rate limit, and
//! the memory for uploads to each server.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::http::{Client, Counted, Distance, Exchange, Pace, Tls, Traffic, Trust};
use super::memory::Memory;
use super::sftp::{Link, SftpSettings};
use crate::sys::clock::Clock;
use crate::units::Timestamp;

/// One part of the least size there can be, and room for the small uploads of other databases.
const UPLOAD_MEMORY: u64 = 8 << 20;

/// How long a mobile link may be gone before a connection over it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bounds that hold for all storages together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// The most bytes a second that go up; none is as fast as it goes.
    pub max_upload_rate: Option<NonZeroU64>,
    /// The most bytes of uploads to one server that are held in memory at once; of one part at least.
    pub upload_memory: u64,
    /// Certificates are never checked against an earlier time than this; none is the time of the build.
    pub tls_min_time: Option<Timestamp>,
    /// How long nothing may move, and how long a server may think about an answer, before a request is given up.
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            max_upload_rate: None,
            upload_memory: UPLOAD_MEMORY,
            tls_min_time: None,
            patience: PATIENCE,
        }
    }
}

/// The shared part.
pub struct Network {
    pub(super) clock: Arc<dyn Clock>,
    upload_memory: u64,
    memories: Mutex<HashMap<String, Arc<Memory>>>,
    traffic: Arc<Traffic>,
    pace: Option<Arc<Pace>>,
    tls_min_time: Option<Timestamp>,
    patience: Duration,
    clients: Mutex<Vec<Known>>,
    links: Mutex<Vec<Arc<Link>>>,
}

struct Known {
    trust: Trust,
    distance: Distance,
    client: Arc<dyn Exchange>,
}

impl Network {
    /// Nothing is connected before it is needed.
    pub fn new(bounds: Bounds, clock: Arc<dyn Clock>) -> Arc<Network> {
        Arc::new(Network {
            clock,
            upload_memory: bounds.upload_memory,
            memories: Mutex::default(),
            traffic: Arc::default(),
            pace: bounds.max_upload_rate.map(|rate| Arc::new(Pace::new(rate))),
            tls_min_time: bounds.tls_min_time,
            patience: bounds.patience,
            clients: Mutex::default(),
            links: Mutex::default(),
        })
    }

    /// What went over the network so far.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// The memory for uploads to the server `authority`. Each server has its own: what waits for one that hangs must
    /// not hold up what goes to another.
    pub(super) fn memory_for(&self, authority: &str) -> Arc<Memory> {
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = memories.entry(authority.to_string());
        Arc::clone(memory.or_insert_with(|| Memory::new(self.upload_memory)))
    }

    /// The connection to the SFTP server of `settings`, which all replicas there share.
    pub(super) fn link(&self, settings: &SftpSettings, helper: Option<PathBuf>) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.iter().find(|link| link.serves(settings, &helper)) {
            return Arc::clone(link);
        }
        let (pace, traffic) = (self.pace.clone(), Arc::clone(&self.traffic));
        let link = Link::new(settings.clone(), helper, self.patience, pace, traffic);
        let link = Arc::new(link);
        links.push(Arc::clone(&link));
        link
    }

    /// The client for servers that are trusted as `trust` says. All its requests are counted.
    ///
    /// # Errors
    /// When the environment names a proxy, or `trust` a file, that cannot be used.
    pub(super) fn exchange(
        &self,
        trust: &Trust,
        distance: Distance,
    ) -> io::Result<Arc<dyn Exchange>> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let same = clients
            .iter()
            .find(|known| known.trust == *trust && known.distance == distance);
        if let Some(known) = same {
            return Ok(Arc::clone(&known.client));
        }
        let tls = Tls::new(trust.clone(), self.tls_min_time, Arc::clone(&self.clock));
        if matches!(trust, Trust::File(_)) {
            // A mistake in the configuration is told at the start.
            tls.config()?;
        }
        let client = Client::new(Arc::new(tls), self.pace.clone(), distance, self.patience)?;
        let counted: Arc<dyn Exchange> = Arc::new(Counted::new(client, Arc::clone(&self.traffic)));
        clients.push(Known {
            trust: trust.clone(),
            distance,
            client: Arc::clone(&counted),
        });
        Ok(counted)
    }
}
