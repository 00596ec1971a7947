//! Tries again what failed for a passing reason: no connection, no answer, a server that is busy.

use std::io;
use std::time::Duration;

use super::{Exchange, HttpError, Request, Response};
use crate::sys::random;

/// How often a request is sent.
const ATTEMPTS: u32 = 4;
/// The first pause; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A server that asks for a longer pause gets it from whoever asked, later.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// An exchange that tries again.
pub struct Retrying<E> {
    inner: E,
    pause: fn(Duration),
}

impl<E: Exchange> Retrying<E> {
    /// Wraps `inner`.
    pub fn new(inner: E) -> Retrying<E> {
        Retrying {
            inner,
            pause: std::thread::sleep,
        }
    }
}

#[cfg(test)]
impl<E> Retrying<E> {
    pub(super) fn without_pauses(inner: E) -> Retrying<E> {
        Retrying {
            inner,
            pause: |_| {},
        }
    }

    pub(super) fn inner(&self) -> &E {
        &self.inner
    }
}

/// An answer, and what is known of the attempts before it.
pub struct Tried {
    /// The answer to the last attempt.
    pub response: Response,
    /// Whether an earlier one may have been acted upon, or may yet be, whatever this answer says.
    pub earlier_may_count: bool,
}

impl<E: Exchange> Exchange for Retrying<E> {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        self.try_until_answered(request).map(|tried| tried.response)
    }
}

impl<E: Exchange> Retrying<E> {
    /// As [`Exchange::exchange`].
    ///
    /// # Errors
    /// When no response came to any attempt.
    pub fn try_until_answered(&self, request: &Request<'_>) -> Result<Tried, HttpError> {
        let mut maybe_sent = false;
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            let result = self.inner.exchange(request);
            let asked = match &result {
                Ok(response) if is_passing(response.status) => {
                    // An error in the middle of the work says nothing about what was done.
                    maybe_sent |= response.status != 503 && response.status != 429;
                    retry_after(response)
                }
                // A certificate that is no good is not better a second later.
                Err(error) if error.source.kind() == io::ErrorKind::InvalidData => {
                    return marked(result, maybe_sent);
                }
                Err(error) => {
                    maybe_sent |= error.sent;
                    None
                }
                Ok(_) => return marked(result, maybe_sent),
            };
            if asked.is_some_and(|asked| asked > LONGEST_PAUSE) {
                return marked(result, maybe_sent);
            }
            (self.pause)(asked.unwrap_or_default().max(jittered(pause)));
            pause *= 2;
        }
        marked(self.inner.exchange(request), maybe_sent)
    }
}

/// What this attempt came to, an earlier one perhaps still being on its way.
fn marked(result: Result<Response, HttpError>, maybe_sent: bool) -> Result<Tried, HttpError> {
    match result {
        Ok(response) => Ok(Tried {
            response,
            earlier_may_count: maybe_sent,
        }),
        Err(error) => Err(HttpError {
            sent: error.sent || maybe_sent,
            ..error
        }),
    }
}

/// Whether a response with this status may be another one the next time.
pub fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// The pause that the server asks for.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.header("retry-after")?;
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    // Against the server's own clock: ours may be wrong.
    let wait = super::parse_date(text)?.millis() - response.date()?.millis();
    u64::try_from(wait).ok().map(Duration::from_millis)
}

/// Between half of `pause` and all of it, so that devices that lost their server together do not return together.
fn jittered(pause: Duration) -> Duration {
    let share = (random::unique() % 1024) as u32;
    pause / 2 + pause / 2 * share / 1024
}
