//! Which state of a database is meant: the values of `-txid` and `-timestamp`.

use super::CommandError;
use super::flags::Flag;
use crate::restore::Target;
use crate::storage::{FileInfo, Storage};
use crate::sys::clock::{Clock, SystemClock};
use crate::units::{Timestamp, Txid, parse_duration};

pub(super) const TXID: Flag = Flag {
    name: "txid",
    value: Some("TXID"),
    help: "Take the state at this transaction (16 hexadecimal digits, see `walbrook history`)",
};

pub(super) const TIMESTAMP: Flag = Flag {
    name: "timestamp",
    value: Some("TIME"),
    help: "Take the newest state before this time: 2026-11-28T10:30:00Z, 2026-11-28 10:30 or 2026-11-28 (both UTC), \
           or 90m, 2h, 3d or 1d12h with ` ago` behind it",
};

/// What the values of the two flags mean. Of a time long ago, which cannot be one in the wrong time zone, and of a
/// replica that `is_configured`, so that it is known to be replicated still, it is known that nothing happened where
/// nothing is newer; of others the time must lie within what the replica spans.
pub(super) fn target(
    txid: Option<&str>,
    timestamp: Option<&str>,
    is_configured: bool,
) -> Result<Target, CommandError> {
    match (txid, timestamp) {
        (None, None) => Ok(Target::Latest),
        (Some(_), Some(_)) => Err(CommandError::new(
            "cannot specify both -txid and -timestamp; each names one state, leave one out",
        )),
        (Some(text), None) => Txid::from_hex(text).map(Target::Txid).ok_or_else(|| {
            CommandError::new(format!(
                "invalid value {text:?} for flag -txid: invalid txid format, write 16 hexadecimal digits as \
                 `walbrook ltx` prints them"
            ))
            .with_try("walbrook ltx DB_PATH")
        }),
        (None, Some(text)) => {
            if let Some(time) = ago(text, SystemClock.now()) {
                return Ok(Target::AsOf(time));
            }
            match (Timestamp::parse_loosely(text), is_configured) {
                (Ok(time), true) => Ok(Target::AsOf(time)),
                (Ok(time), false) => Ok(Target::Before(time)),
                (Err(_), _) => Err(CommandError::new(format!(
                    "invalid -timestamp {text:?}, must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z), or as \
                     \"2000-01-01 00:00\" or 2000-01-01, both UTC, or as \"2h ago\" or \"3d ago\""
                ))),
            }
        }
    }
}

/// The time of the state that `last` leads to: that in its header. Unless the listing it is from `is_exact`, it may
/// cost a request.
pub(super) fn time_of(last: FileInfo, storage: &dyn Storage, is_exact: bool) -> Timestamp {
    let asked = match is_exact {
        true => None,
        // What cannot be asked now was known well enough.
        false => storage.exact_times(vec![last]).ok(),
    };
    asked
        .and_then(|files| files.first().copied())
        .unwrap_or(last)
        .created
}

/// The time of a text such as `2h ago`, `3d ago` or `1d12h30m ago`.
fn ago(text: &str, now: Timestamp) -> Option<Timestamp> {
    let duration = text.strip_suffix("ago")?;
    let duration = duration.strip_suffix(' ')?.trim();
    let (days, rest) = match duration.split_once('d') {
        Some((days, rest)) if days.bytes().all(|byte| byte.is_ascii_digit()) => {
            (days.parse::<i64>().ok()?, rest)
        }
        _ => (0, duration),
    };
    let rest = match rest {
        "" if duration.ends_with('d') => 0,
        rest if rest.starts_with(['+', '-']) => return None,
        rest => parse_duration(rest).ok()?.as_millis().try_into().ok()?,
    };
    let before = days.checked_mul(86_400_000)?.checked_add(rest)?;
    now.millis().checked_sub(before).map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_long_ago() {
        let now = Timestamp::parse("2026-11-28T10:30:05.5Z").unwrap();
        let known = [
            ("2h ago", "2026-11-28T08:30:05.5Z"),
            ("90m ago", "2026-11-28T09:00:05.5Z"),
            ("3d ago", "2026-11-25T10:30:05.5Z"),
            ("1d12h30m ago", "2026-11-26T22:00:05.5Z"),
            ("0s ago", "2026-11-28T10:30:05.5Z"),
            ("500ms ago", "2026-11-28T10:30:05Z"),
        ];
        for (text, expected) in known {
            let time = ago(text, now).map(|time| time.to_string());
            assert_eq!(time.as_deref(), Some(expected), "{text}");
        }
        for bad in [
            "2h",
            "ago",
            " ago",
            "2 ago",
            "d ago",
            "-2h ago",
            "1d-2h ago",
            "1.5d ago",
            "2hago",
            "1h1d ago",
            "99999999999999d ago",
            "106751991168d ago",
            "yesterday",
        ] {
            assert_eq!(ago(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn what_lies_after_everything() {
        let of = |text, is_configured| target(None, Some(text), is_configured).unwrap();
        let day = Timestamp::parse("2026-11-28T00:00:00Z").unwrap();
        assert_eq!(of("2026-11-28", false), Target::Before(day));
        assert_eq!(of("2026-11-28", true), Target::AsOf(day));
        assert!(matches!(of("2h ago", false), Target::AsOf(_)));
    }
}
