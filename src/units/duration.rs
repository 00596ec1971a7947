//! Durations as Go writes them (`1h30m`, `1.5s`, `300ms`), since that is what a `litestream.yml` holds.
//!
//! Only the text is Go's; the value is the standard library's [`Duration`]. Go counts nanoseconds in an
//! `i64`, so that about 292 years are the most; negative durations exist there, but nothing here waits for one.

use std::fmt;
use std::time::Duration;

/// Reads a Go duration: numbers with a unit each (`ns`, `us` or `µs`, `ms`, `s`, `m`, `h`), or a bare `0`.
///
/// # Errors
/// [`DurationError`] says which rule the text breaks.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let nanos = nanoseconds(unsigned)?;
    if negative && nanos > 0 {
        return Err(DurationError::Negative);
    }
    Ok(Duration::from_nanos(nanos))
}

/// Why a text is no duration that can be used.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DurationError {
    /// Neither a number with a unit nor several of them.
    Malformed,
    /// A number without a unit.
    MissingUnit,
    /// A unit Go does not have, days for example.
    UnknownUnit(String),
    /// Less than nothing.
    Negative,
    /// More than about 292 years.
    TooLong,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationError::Malformed => f.write_str("not a duration such as 30s, 5m or 1h30m"),
            DurationError::MissingUnit => {
                f.write_str("a number without a unit; write 30s, 5m or 1h30m")
            }
            DurationError::UnknownUnit(unit) if unit == "d" => {
                f.write_str("there is no unit d (days); write 24h for one day")
            }
            DurationError::UnknownUnit(unit) => {
                write!(
                    f,
                    "there is no unit {}; the units are ms, s, m and h",
                    unit.trim()
                )
            }
            DurationError::Negative => f.write_str("a negative duration"),
            DurationError::TooLong => f.write_str("longer than 292 years"),
        }
    }
}

impl std::error::Error for DurationError {}

fn nanoseconds(text: &str) -> Result<u64, DurationError> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err(DurationError::Malformed);
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && c != '.');
        total = total
            .checked_add(part(number, unit)?)
            .filter(|&total| total <= MAX_NS)
            .ok_or(DurationError::TooLong)?;
        rest = after;
    }
    Ok(total)
}

/// One number with its unit, in nanoseconds; a finer fraction is cut off, as in Go.
fn part(number: &str, unit: &str) -> Result<u64, DurationError> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(DurationError::Malformed);
    }
    let unit_ns: u64 = match unit {
        "" => return Err(DurationError::MissingUnit),
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return Err(DurationError::UnknownUnit(unit.to_owned())),
    };
    let digit = |byte: u8| u64::from(byte - b'0');
    let mut value: u64 = 0;
    for byte in whole.bytes() {
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(digit(byte)))
            .ok_or(DurationError::TooLong)?;
    }
    let mut value = value.checked_mul(unit_ns).ok_or(DurationError::TooLong)?;
    // Thirteen digits reach below a nanosecond of an hour; the sum of the digits cannot pass one unit.
    let mut fraction_value: u128 = 0;
    let mut scale: u128 = 1;
    for byte in fraction.bytes().take(13) {
        fraction_value = fraction_value * 10 + u128::from(digit(byte));
        scale *= 10;
    }
    let finer = fraction_value * u128::from(unit_ns) / scale;
    value = u64::try_from(finer)
        .ok()
        .and_then(|finer| value.checked_add(finer))
        .ok_or(DurationError::TooLong)?;
    Ok(value)
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

/// Go's largest duration, in nanoseconds.
const MAX_NS: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_go_reads() {
        let ms = Duration::from_millis;
        for (text, expected) in [
            ("0", ms(0)),
            ("-0s", ms(0)),
            ("1h30m", ms(5_400_000)),
            ("1.5s", ms(1500)),
            (".5s", ms(500)),
            ("1.s", ms(1000)),
            ("+300ms", ms(300)),
            ("1m1h", ms(3_660_000)),
            ("7us", Duration::from_micros(7)),
            ("7µs", Duration::from_micros(7)),
            ("7μs", Duration::from_micros(7)),
            (
                "0.3333333333333333333h",
                Duration::from_nanos(1_199_999_999_999),
            ),
            ("1.9ns", Duration::from_nanos(1)),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_it_does_not_read() {
        use DurationError::*;
        let unit = |unit: &str| UnknownUnit(unit.to_owned());
        for (text, expected) in [
            ("", Malformed),
            ("-", Malformed),
            ("s", Malformed),
            (".s", Malformed),
            ("1..5s", Malformed),
            ("5", MissingUnit),
            ("1h30", MissingUnit),
            ("1d", unit("d")),
            ("1 s", unit(" s")),
            ("1S", unit("S")),
            ("-5s", Negative),
            ("9999999h", TooLong),
            ("99999999999999999999s", TooLong),
        ] {
            assert_eq!(parse_duration(text), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_nanoseconds_are_read_exactly(nanos in 0..=MAX_NS) {
            prop_assert_eq!(parse_duration(&format!("{nanos}ns")), Ok(Duration::from_nanos(nanos)));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.hmsnuµdé ]{0,30}") {
            let _ = parse_duration(&text);
        }
    }
}
