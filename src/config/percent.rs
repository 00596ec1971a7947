//! Percent-encoding as Go's URLs have it.

/// Parts of a URL; they differ in which characters stay as they are.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Part {
    Path,
    Fragment,
}

/// `text` as Go writes it out again: as given when that is a valid encoding, else decoded and encoded anew.
pub(super) fn encoded(text: &str, part: Part) -> Result<String, &'static str> {
    let decoded = unescaped(text)?;
    let stays = |b: u8| b"!'()*[]%".contains(&b) || !needs_escape(b, part);
    if text.bytes().all(stays) {
        return Ok(text.to_owned());
    }
    Ok(escaped(&decoded, part))
}

pub(super) fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => (high * 16 + low) as u8,
                    _ => return Err("`%` must be followed by two hexadecimal digits; write %25"),
                }
            }
            _ => byte,
        });
    }
    Ok(decoded)
}

pub(super) fn escaped(bytes: &[u8], part: Part) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if needs_escape(byte, part) {
            text.push_str(&format!("%{byte:02X}"));
        } else {
            text.push(char::from(byte));
        }
    }
    text
}

pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

fn needs_escape(byte: u8, part: Part) -> bool {
    let reserved_that_stay: &[u8] = match part {
        Part::Path => b"$&+,/:;=@",
        Part::Fragment => b"$&+,/:;=?@!()*",
    };
    !is_unreserved(byte) && !reserved_that_stay.contains(&byte)
}
