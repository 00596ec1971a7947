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
