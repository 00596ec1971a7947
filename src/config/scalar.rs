//! Text of one scalar to the value its key asks for. Litestream's YAML is version 1.1, so `yes` and `on` are
//! booleans; durations are Go's.

use std::time::Duration;

use super::text::quoted;
use crate::units::parse_duration;

/// A boolean in any of the spellings of YAML 1.1.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    let spellings = |word: &str, letter: &str| {
        [word, letter]
            .iter()
            .any(|known| is_spelling_of(text, known))
    };
    if spellings("yes", "y") || spellings("on", "true") {
        Ok(true)
    } else if spellings("no", "n") || spellings("off", "false") {
        Ok(false)
    } else {
        Err(format!("{} is not true or false", quoted(text)))
    }
}

/// A duration of at least zero.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    if is_number && digits.bytes().any(|b| b != b'0') {
        return Err(format!(
            "{} has no unit: write {digits}s; Litestream would read this as {digits} nanoseconds",
            quoted(text)
        ));
    }
    if is_number {
        return Ok(Duration::ZERO);
    }
    parse_duration(text).map_err(|error| format!("{} is refused: {error}", quoted(text)))
}

/// A duration longer than zero.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("must be greater than 0; write 1s for a second".to_owned()),
        duration => Ok(duration),
    }
}

/// How many of something, 0 included.
pub(super) fn count(text: &str) -> Result<u32, String> {
    let number = integer(text)?;
    u32::try_from(number).map_err(|_| format!("must be from 0 to {}", u32::MAX))
}

/// A whole number, `_` allowed between digits.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let error = || format!("{} is not a whole number", quoted(text));
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(format!(
            "{} begins with 0, which YAML reads as octal; write it without",
            quoted(text)
        ));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(error());
    }
    text.replace('_', "").parse().map_err(|_| error())
}

/// A number of bytes: `5MB` is 10⁶ times five, `5MiB` 2²⁰ times five, without a unit it is bytes. As in Litestream,
/// case does not count, `B` may be left out, and there may be a fraction.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let refuse = |what: &str| {
        Err(format!(
            "{} {what}; write 8388608, 8MiB or 10MB",
            quoted(text)
        ))
    };
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.contains('.') {
        return refuse("is no number of bytes");
    }
    let unit = unit.trim().to_ascii_lowercase();
    let bytes: u128 = match unit.strip_suffix('b').unwrap_or(&unit) {
        "" => 1,
        "k" => 1000,
        "m" => 1_000_000,
        "g" => 1_000_000_000,
        "t" => 1_000_000_000_000,
        "ki" => 1 << 10,
        "mi" => 1 << 20,
        "gi" => 1 << 30,
        "ti" => 1 << 40,
        _ => return refuse("has no unit of bytes at its end"),
    };
    if whole.len() > 19 || fraction.len() > 9 {
        return refuse("has too many digits");
    }
    let scale = 10u128.pow(fraction.len() as u32);
    let digits: u128 = format!("{whole}{fraction}").parse().unwrap_or(u128::MAX);
    match u64::try_from(digits.saturating_mul(bytes) / scale) {
        Ok(size) => Ok(size),
        Err(_) => refuse("is too much"),
    }
}

/// Whether `text` is `word` in lower case, upper case or with a capital.
fn is_spelling_of(text: &str, word: &str) -> bool {
    let capital = word[..1].to_ascii_uppercase() + &word[1..];
    text == word || text == word.to_ascii_uppercase() || text == capital
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_of_yaml_1_1() {
        for yes in ["y", "Y", "yes", "Yes", "YES", "on", "On", "true", "TRUE"] {
            assert_eq!(boolean(yes), Ok(true), "{yes}");
        }
        for no in ["n", "N", "no", "No", "off", "OFF", "false", "False"] {
            assert_eq!(boolean(no), Ok(false), "{no}");
        }
        for neither in ["", "1", "0", "yEs", "t", "enabled"] {
            assert!(boolean(neither).is_err(), "{neither}");
        }
    }

    #[test]
    fn a_bare_number_is_no_duration() {
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        assert_eq!(duration("1m"), Ok(Duration::from_secs(60)));
        assert_eq!(
            duration("5").unwrap_err(),
            "`5` has no unit: write 5s; Litestream would read this as 5 nanoseconds"
        );
        assert_eq!(
            duration("1d").unwrap_err(),
            "`1d` is refused: there is no unit d (days); write 24h for one day"
        );
        assert_eq!(
            duration("-1s").unwrap_err(),
            "`-1s` is refused: a negative duration"
        );
        assert!(interval("0s").is_err());
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("5242880", 5_242_880),
            ("5MB", 5_000_000),
            ("5m", 5_000_000),
            ("5MiB", 5 << 20),
            ("5 mib", 5 << 20),
            ("8Mi", 8 << 20),
            ("1.5KiB", 1536),
            ("1.5GB", 1_500_000_000),
            ("100B", 100),
            ("9223372036854775807", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for bad in [
            "",
            "MB",
            "-1",
            "1,000",
            "1_000",
            ".5MB",
            "1.2.3",
            "5 apples",
            "5é",
            "99999999TiB",
            "1e6",
        ] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(
            size("5 apples").unwrap_err(),
            "`5 apples` has no unit of bytes at its end; write 8388608, 8MiB or 10MB"
        );
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(integer("1_000"), Ok(1000));
        assert_eq!(integer("-1"), Ok(-1));
        assert_eq!(integer("0"), Ok(0));
        for bad in [
            "",
            "1.0",
            "0x10",
            "010",
            "-",
            "_1",
            "1e3",
            "99999999999999999999",
        ] {
            assert!(integer(bad).is_err(), "{bad}");
        }
    }
}
