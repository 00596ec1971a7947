//! From host names to addresses, asked for once in a while and not for each request.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// How long an answer is used again. Servers move seldom, and a failed connection forgets it at once.
const FRESH: Duration = Duration::from_secs(300);
/// Answers kept: a handful of servers is all that one process talks to.
const KEPT: usize = 16;

/// Asks the system's resolver and remembers the answers.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Vec<Known>>>);

struct Known {
    server: String,
    addresses: ResolvedSocketAddrs,
    since: Instant,
}

impl Names {
    /// Forgets all answers: one of them led nowhere.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let server = match (uri.scheme(), uri.authority()) {
            (Some(scheme), Some(authority)) => DefaultResolver::host_and_port(scheme, authority),
            _ => None,
        };
        let Some(server) = server else {
            return Err(ureq::Error::BadUri(uri.to_string()));
        };
        if let Some(addresses) = local(self, uri, &server) {
            return Ok(addresses);
        }
        {
            let mut known = self.known();
            known.retain(|known| known.since.elapsed() < FRESH);
            if let Some(known) = known.iter().find(|known| known.server == server) {
                return Ok(known.addresses.clone());
            }
        }
        let addresses = DefaultResolver::default()
            .resolve(uri, config, timeout)
            .map_err(|error| match error {
                ureq::Error::Io(error) => ureq::Error::Other(Box::new(error)),
                other => other,
            })?;
        let mut known = self.known();
        if known.len() >= KEPT {
            known.remove(0);
        }
        known.push(Known {
            server,
            addresses: addresses.clone(),
            since: Instant::now(),
        });
        Ok(addresses)
    }
}

/// Names below `localhost` are this machine by definition (RFC 6761), which not every resolver knows.
fn local(names: &Names, uri: &Uri, server: &str) -> Option<ResolvedSocketAddrs> {
    let host = uri.host()?.trim_end_matches('.').to_ascii_lowercase();
    if !host.ends_with(".localhost") {
        return None;
    }
    let port = server.rsplit_once(':')?.1.parse().ok()?;
    let mut addresses = names.empty();
    addresses.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    addresses.push(SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port));
    Some(addresses)
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Names")
    }
}
