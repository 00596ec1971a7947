//! Sizes as people write them: `5MB` is 5,000,000 bytes, `5MiB` is 5,242,880.

use std::fmt;

/// Reads a size in bytes: a whole number, alone or with one of `B`, `kB`, `MB`, `GB`, `TB` (powers of 1000)
/// or `KiB`, `MiB`, `GiB`, `TiB` (powers of 1024), in any case, a space between them allowed.
///
/// # Errors
/// [`SizeError`] for any other text and for sizes past 64 bits.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_bytes: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1000,
        "m" | "mb" => 1000_u64.pow(2),
        "g" | "gb" => 1000_u64.pow(3),
        "t" | "tb" => 1000_u64.pow(4),
        "ki" | "kib" => 1 << 10,
        "mi" | "mib" => 1 << 20,
        "gi" | "gib" => 1 << 30,
        "ti" | "tib" => 1 << 40,
        _ => return Err(SizeError),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_bytes))
        .ok_or(SizeError)
}

/// A text that is no size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SizeError;

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a size such as 1048576, 5MB or 5MiB")
    }
}

impl std::error::Error for SizeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_and_1024s() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("5MB", 5_000_000),
            ("5MiB", 5 << 20),
            ("5 mib", 5 << 20),
            ("1k", 1000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "MB", "-1", "1.5MB", "5MX", "99999999999TB", "５MB"] {
            assert_eq!(parse_size(bad), Err(SizeError), "{bad}");
        }
    }
}
