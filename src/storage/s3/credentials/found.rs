//! Keys as a source gives them, checked, and for how long they hold.
//!
//! The rule: how long temporary keys hold is reckoned once, when they come, and measured on the monotonic clock
//! from then on. The wall clock of a small board may say 1970 and be set right later; the server that handed the
//! keys out knows better what time it was, and tells in its answer's `Date`. Where no server is asked (a program
//! gave the keys), there is only our own clock: it may be behind, so that keys seem to hold for years, or ahead,
//! so that they seem to have expired. Hence keys that come without a server's time are renewed each hour in any
//! case, and keys that just came are tried for a minute whatever their expiration says. What is still wrong then,
//! also after the machine slept, which the monotonic clock does not count, shows as a 403, after which new keys
//! are fetched.

use std::time::Duration;

use crate::storage::s3::Keys;
use crate::units::{Secret, Timestamp};

/// Keys, and what their source says of them.
pub(super) struct Found {
    pub(super) keys: Keys,
    /// How long they hold; none says that they do until they are refused.
    pub(super) lifetime: Option<Lifetime>,
    /// Whether asking the same source again may give others.
    pub(super) may_change: bool,
}

impl Found {
    /// Keys that stay the same for as long as this process lives.
    pub(super) fn fixed(keys: Keys) -> Found {
        Found {
            keys,
            lifetime: None,
            may_change: false,
        }
    }

    /// Keys that somebody may exchange, at a time known or not.
    pub(super) fn changing(keys: Keys, lifetime: Option<Lifetime>) -> Found {
        Found {
            keys,
            lifetime,
            may_change: true,
        }
    }
}

/// How long keys hold from when they came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Lifetime {
    /// So long.
    pub(super) holds: Duration,
    /// Whether a server's clock says so, and not ours.
    pub(super) certain: bool,
}

impl Lifetime {
    /// That of keys which came just now.
    pub(super) fn new(
        expiration: Timestamp,
        server: Option<Timestamp>,
        ours: Timestamp,
    ) -> Lifetime {
        let now = server.unwrap_or(ours);
        let left = expiration.millis().saturating_sub(now.millis());
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        Lifetime {
            holds: left.max(LEAST),
            certain: server.is_some(),
        }
    }

    /// When to renew them: in good time, `jitter` (at most a minute) earlier than others.
    pub(super) fn renew_after(self, jitter: Duration) -> Duration {
        let margin = (MARGIN + jitter).min(self.holds / 3);
        let renew = self.holds - margin;
        if self.certain {
            renew
        } else {
            renew.min(UNCERTAIN)
        }
    }
}

/// Keys that just came are tried for so long.
const LEAST: Duration = Duration::from_secs(60);
/// How long before they expire keys are renewed. EC2 promises new ones five minutes before the old ones expire.
const MARGIN: Duration = Duration::from_secs(5 * 60);
/// Keys whose expiration only our own clock could judge are renewed after so long.
const UNCERTAIN: Duration = Duration::from_secs(3600);

/// Keys of these parts, which must fit into header lines.
///
/// # Errors
/// Which part does not, and why.
pub(super) fn keys(id: String, secret: String, token: Option<String>) -> Result<Keys, String> {
    let keys = Keys {
        access_key_id: id,
        secret_access_key: Secret::new(secret),
        session_token: token.filter(|token| !token.is_empty()).map(Secret::new),
    };
    check(&keys)?;
    Ok(keys)
}

/// Whether keys can be used at all.
///
/// # Errors
/// Which part cannot, and why.
pub(super) fn check(keys: &Keys) -> Result<(), String> {
    let token = keys.session_token.as_ref().map(Secret::reveal);
    for (part, text) in [
        ("access key id", Some(keys.access_key_id.as_str())),
        ("secret access key", Some(keys.secret_access_key.reveal())),
        ("session token", token),
    ] {
        let Some(text) = text else { continue };
        if text.is_empty() {
            return Err(format!("the {part} is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(format!(
                "the {part} has a line break or another control character in it; remove that"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    const HOUR: Duration = Duration::from_secs(3600);
    const NO_JITTER: Duration = Duration::ZERO;

    #[test]
    fn the_servers_clock_measures_where_there_is_one() {
        let expiration = time("2026-05-01T13:00:00Z");
        let server = Some(time("2026-05-01T12:00:00Z"));
        let lifetime = Lifetime::new(expiration, server, time("1970-01-01T00:05:00Z"));
        assert_eq!(lifetime.holds, HOUR);
        assert_eq!(
            lifetime.renew_after(NO_JITTER),
            Duration::from_secs(55 * 60)
        );
        assert_eq!(
            lifetime.renew_after(Duration::from_secs(60)),
            Duration::from_secs(54 * 60)
        );
    }

    #[test]
    fn without_a_server_a_clock_that_is_behind_renews_each_hour() {
        let lifetime = Lifetime::new(
            time("2026-05-01T13:00:00Z"),
            None,
            Timestamp::from_millis(0),
        );
        assert!(lifetime.holds > HOUR * 24 * 365);
        assert_eq!(lifetime.renew_after(NO_JITTER), HOUR);
    }

    #[test]
    fn keys_that_seem_expired_are_tried_all_the_same() {
        let lifetime = Lifetime::new(
            Timestamp::from_millis(0),
            None,
            time("2026-05-01T13:00:00Z"),
        );
        assert_eq!(lifetime.holds, LEAST);
        assert!(lifetime.renew_after(NO_JITTER) < LEAST);
    }

    #[test]
    fn short_lives_are_not_eaten_up_by_the_margin() {
        let lifetime = Lifetime {
            holds: Duration::from_secs(360),
            certain: true,
        };
        assert_eq!(lifetime.renew_after(NO_JITTER), Duration::from_secs(240));
    }

    proptest! {
        #[test]
        fn no_times_panic(expiration: i64, server: Option<i64>, ours: i64) {
            let time = Timestamp::from_millis;
            let lifetime = Lifetime::new(time(expiration), server.map(time), time(ours));
            prop_assert!(lifetime.renew_after(Duration::from_secs(60)) <= lifetime.holds);
        }
    }
}
