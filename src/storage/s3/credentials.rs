//! The keys that requests to S3 are signed with: where they come from ([`chain`]), for how long they hold
//! ([`found`]), and here, that all threads of a storage share one set.
//!
//! The rule: keys that hold are given out at once, also while one thread fetches the next ones, in good time
//! before they expire. That this fails is no trouble as long as they hold. Without keys that hold, all wait for the
//! one thread that fetches, and share what it gets, be it an error. A server that refuses keys is right, whatever
//! the clocks say: then they are fetched again, but not over and over when the same ones come.

mod ask;
mod chain;
mod container;
mod document;
mod environment;
mod error;
#[cfg(test)]
mod fake;
mod files;
mod found;
mod ini;
mod instance;
mod process;
mod profile;
#[cfg(test)]
mod tests;
mod web_identity;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub(in crate::storage) use self::environment::Environment;
pub(in crate::storage) use self::error::CredentialsError;

use self::chain::Chain;
use self::found::Found;
use super::settings::{Keys, Settings};
use crate::storage::http::Exchange;
use crate::sys::clock::Clock;
use crate::sys::random;

/// The ways to the servers that hand out keys.
#[derive(Clone)]
pub(in crate::storage) struct Sources {
    /// To those on the Internet.
    pub(in crate::storage) remote: Arc<dyn Exchange>,
    /// To those on this machine or beside it. Mostly nobody is there: it should not wait for long, and must not
    /// go through a proxy.
    pub(in crate::storage) metadata: Arc<dyn Exchange>,
}

/// The keys of one storage.
pub(in crate::storage) struct Credentials {
    chain: Chain,
    state: Mutex<State>,
    /// A thread has fetched keys, or failed to.
    fetched: Condvar,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Whether a thread is fetching keys.
    fetching: bool,
    /// How often one did.
    fetches: u64,
    /// Why the last time failed.
    failure: Option<CredentialsError>,
    /// Keys that a server refused, and when they were last forgotten for it.
    refused: Option<(Keys, Instant)>,
}

/// Keys at hand. Times are on the monotonic clock; none is never.
struct Held {
    keys: Keys,
    may_change: bool,
    renew: Option<Instant>,
    expire: Option<Instant>,
}

impl Held {
    fn holds(&self, now: Instant) -> bool {
        self.expire.is_none_or(|expire| now < expire)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.renew.is_some_and(|renew| now >= renew)
    }
}

impl Credentials {
    /// Those for a replica with these settings. Nothing is read or asked yet.
    pub(in crate::storage) fn new(
        settings: &Settings,
        sources: Sources,
        environment: Environment,
        clock: Arc<dyn Clock>,
    ) -> Credentials {
        Credentials {
            chain: Chain {
                configured: settings.keys.clone(),
                // That of another provider says nothing about where AWS's token service is.
                region: settings
                    .region
                    .clone()
                    .filter(|_| settings.endpoint.is_none()),
                environment,
                sources,
                clock,
                instance_known: AtomicBool::new(false),
            },
            state: Mutex::default(),
            fetched: Condvar::new(),
        }
    }

    /// The keys to sign with now.
    ///
    /// # Errors
    /// When there are none, or those there were have expired and no new ones can be had.
    pub(in crate::storage) fn current(&self) -> Result<Keys, CredentialsError> {
        let mut state = self.lock();
        loop {
            let now = self.chain.clock.instant();
            match &state.held {
                Some(held) if held.holds(now) && (state.fetching || !held.is_due(now)) => {
                    return Ok(held.keys.clone());
                }
                _ if state.fetching => {
                    state = self.wait(state);
                    let holds = state.held.as_ref().is_some_and(|held| held.holds(now));
                    if let Some(failure) = state.failure.clone().filter(|_| !holds) {
                        return Err(failure);
                    }
                }
                _ => return self.fetch(state),
            }
        }
    }

    /// Takes note that a server refused `used` because it does not know them, or no longer: unless others came in
    /// the meantime they are forgotten. Gives whether it is worth trying again with what [`Credentials::current`]
    /// gives now: not so for keys that cannot change, and for those that came again just after they were refused.
    pub(in crate::storage) fn refused(&self, used: &Keys) -> bool {
        let mut state = self.lock();
        let Some(held) = state.held.as_ref().filter(|held| held.keys == *used) else {
            return true;
        };
        if !held.may_change {
            return false;
        }
        let now = self.chain.clock.instant();
        let again = |(keys, at): &(Keys, Instant)| keys == used && now.duration_since(*at) < PAUSE;
        if state.refused.as_ref().is_some_and(again) {
            return false;
        }
        state.refused = Some((used.clone(), now));
        state.held = None;
        true
    }

    /// Fetches keys on this thread, while no other does.
    fn fetch(&self, mut state: MutexGuard<'_, State>) -> Result<Keys, CredentialsError> {
        state.fetching = true;
        drop(state);
        let found = self.chain.find();
        let mut state = self.lock();
        state.fetching = false;
        state.fetches += 1;
        state.failure = None;
        let result = match found {
            Ok(found) => Ok(state.hold(found, self.chain.clock.instant())),
            Err(error) => state.go_on(error, self.chain.clock.instant()),
        };
        self.fetched.notify_all();
        result
    }

    /// Waits until the thread that fetches is done.
    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let before = state.fetches;
        let waiting = |state: &mut State| state.fetches == before;
        let waited = self.fetched.wait_while(state, waiting);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps keys that just came.
    fn hold(&mut self, found: Found, now: Instant) -> Keys {
        // So that a fleet which started together does not ask together for ever.
        let jitter = Duration::from_millis(random::unique() % 60_000);
        self.held = Some(Held {
            keys: found.keys.clone(),
            may_change: found.may_change,
            // What the clock cannot count to is never.
            renew: found
                .lifetime
                .and_then(|life| now.checked_add(life.renew_after(jitter))),
            expire: found.lifetime.and_then(|life| now.checked_add(life.holds)),
        });
        found.keys
    }

    /// No new keys came: goes on with those at hand as long as they hold.
    fn go_on(&mut self, error: CredentialsError, now: Instant) -> Result<Keys, CredentialsError> {
        if let Some(held) = self.held.as_mut().filter(|held| held.holds(now)) {
            held.renew = now.checked_add(PAUSE);
            log::warn!("{error}; those at hand hold for now, and this is tried again in a minute");
            return Ok(held.keys.clone());
        }
        self.held = None;
        self.failure = Some(error.clone());
        Err(error)
    }
}

/// So long nobody asks again for what was not to be had.
const PAUSE: Duration = Duration::from_secs(60);
