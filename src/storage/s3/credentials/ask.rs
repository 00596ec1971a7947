//! One question to a server that hands out keys. What goes wrong on the way, and what a server says when it is
//! overloaded, is worth another try; every other answer is for the asker to judge.

use super::CredentialsError;
use crate::storage::http::{Exchange, Request};
use crate::units::Timestamp;

/// A server's answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
    /// What time it is there.
    pub(super) time: Option<Timestamp>,
}

/// Asks the server known as `place`.
///
/// # Errors
/// When no answer came, or it says to try again.
pub(super) fn ask(
    exchange: &dyn Exchange,
    request: &Request<'_>,
    place: &str,
) -> Result<Answer, CredentialsError> {
    let response = exchange
        .exchange(request)
        .map_err(|error| CredentialsError::unavailable(place, error))?;
    let (status, time) = (response.status, response.date());
    let body = response
        .into_bytes(MOST_BYTES)
        .map_err(|error| CredentialsError::unavailable(place, error))?;
    if status == 408 || status == 429 || status >= 500 {
        let reason = format!("it answered with status {status}");
        return Err(CredentialsError::unavailable(place, reason));
    }
    Ok(Answer { status, body, time })
}

/// No such answer is longer.
const MOST_BYTES: u64 = 64 << 10;

/// What of a server's or program's own words can stand in a message: the first line, not too long of it, and
/// nothing that moves a terminal's cursor.
pub(super) fn words(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    line.chars()
        .filter(|character| !character.is_control())
        .take(200)
        .collect()
}

/// The host of a URL, with its port, and without a user or anything else that may be secret.
pub(super) fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_user() {
        assert_eq!(host("https://user:hunter2@h:1/p?q#f"), "h:1");
        assert_eq!(host("http://[::1]?q"), "[::1]");
        assert_eq!(host("h/p"), "h");
    }

    #[test]
    fn words_are_one_short_plain_line() {
        assert_eq!(words("\n  \x1b[31mno\n more"), "[31mno");
        assert_eq!(words(&"ä".repeat(300)).chars().count(), 200);
    }
}
