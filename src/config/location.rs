//! Where a replica is, from a replica URL or a path.
//!
//! A file URL must lead to the very directory Litestream uses for the same text, or replicas would not be
//! found: host and path are joined, the query is dropped, and the path stays percent-encoded as Go's URL
//! writer would encode it, so that `file:///a b` is the directory `/a%20b`. The encoding rules are below.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::paths::{Base, is_url};
use super::text::redacted;

/// The place of one replica.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ReplicaLocation {
    /// A directory of this machine, absolute. It need not exist.
    File(PathBuf),
}

impl ReplicaLocation {
    /// Reads a replica URL.
    ///
    /// # Errors
    /// When the scheme is unknown or not supported by this version, or the URL is malformed. The text of the
    /// error has no secrets of the URL.
    pub fn parse_url(url: &str) -> Result<ReplicaLocation, Problem> {
        let invalid = |reason: &str| Problem::InvalidValue {
            key: "url".to_owned(),
            reason: format!("{}: {reason}", redacted(url)),
        };
        let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Err(invalid(
                "replica url scheme required; write file:///PATH for a directory",
            ));
        };
        require_file_type(&scheme.to_ascii_lowercase())?;
        let path = file_path(rest).map_err(invalid)?;
        Base {
            home: None,
            directory: PathBuf::from("/"),
        }
        .absolute(&path)
        .map(ReplicaLocation::File)
        .map_err(invalid)
    }

    /// The short name Litestream has for this kind of replica.
    pub fn kind(&self) -> &'static str {
        match self {
            ReplicaLocation::File(_) => "file",
        }
    }

    /// The directory of a file replica.
    pub fn directory(&self) -> &Path {
        match self {
            ReplicaLocation::File(path) => path,
        }
    }
}

/// For messages, without secrets.
impl fmt::Display for ReplicaLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplicaLocation::File(path) => path.display().fmt(f),
        }
    }
}

/// Lets the type `file` pass; the error tells a type of later from one that does not exist.
pub(super) fn require_file_type(name: &str) -> Result<(), Problem> {
    match name {
        "file" => Ok(()),
        "s3" | "sftp" | "gs" | "abs" | "oss" | "nats" | "webdav" | "webdavs" => {
            Err(Problem::NotSupportedYet {
                what: format!("replicas of type `{name}` are"),
                advice: "replicate to a directory (`file`), or keep Litestream for this database",
            })
        }
        _ => Err(Problem::UnknownReplicaType(name.to_owned())),
    }
}

fn is_scheme(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-._".contains(&b))
}

/// The path of the file URL `file:` + `rest`, still encoded.
fn file_path(rest: &str) -> Result<String, &'static str> {
    if rest.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("a control character in a URL");
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, _query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match rest.strip_prefix("//") {
        Some(rest) => rest.split_at(rest.find('/').unwrap_or(rest.len())),
        None => ("", rest),
    };
    if host.contains(['@', ':']) {
        return Err("a file URL has no user and no port; write file:///PATH");
    }
    if !host.bytes().all(|b| is_unreserved(b) || b >= 0x80) {
        return Err("this host cannot be a directory's name; write file:///PATH");
    }
    if !path.is_empty() && !path.starts_with('/') {
        return Err("the path is not absolute; write file:///PATH");
    }
    let mut result = String::from("/");
    result.push_str(&escaped(host.as_bytes(), Part::Path));
    result.push_str(&encoded(path, Part::Path)?);
    if result.bytes().all(|b| b == b'/') {
        return Err("the URL has no path; write file:///PATH");
    }
    if !fragment.is_empty() {
        result.push('#');
        result.push_str(&encoded(fragment, Part::Fragment)?);
    }
    Ok(result)
}

/// Parts of a URL; they differ in which characters stay as they are.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Part {
    Path,
    Fragment,
}

/// `text` as Go writes it out again: as given when that is a valid encoding, else decoded and encoded anew.
fn encoded(text: &str, part: Part) -> Result<String, &'static str> {
    let decoded = unescaped(text)?;
    let stays = |b: u8| b"!'()*[]%".contains(&b) || !needs_escape(b, part);
    if text.bytes().all(stays) {
        return Ok(text.to_owned());
    }
    Ok(escaped(&decoded, part))
}

fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
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

fn escaped(bytes: &[u8], part: Part) -> String {
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

fn needs_escape(byte: u8, part: Part) -> bool {
    let reserved_that_stay: &[u8] = match part {
        Part::Path => b"$&+,/:;=@",
        Part::Fragment => b"$&+,/:;=?@!()*",
    };
    !is_unreserved(byte) && !reserved_that_stay.contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

/// Whether `path` was written where a URL belongs.
pub(super) fn reject_url_as_path(path: &str) -> Result<(), String> {
    if is_url(path) {
        return Err(format!(
            "replica path cannot be a url, please use the `url` key instead: {}",
            redacted(path)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_litestream_uses() {
        for (url, expected) in [
            ("file:///a/b", "/a/b"),
            ("file://a/b", "/a/b"),
            ("file:/a/b", "/a/b"),
            ("FILE:///a/b", "/a/b"),
            ("file:///a//b/../c/", "/a/c"),
            ("file:///a b", "/a%20b"),
            ("file:///a%20b", "/a%20b"),
            ("file:///a%2fb", "/a%2fb"),
            ("file:///a%2fb c", "/a/b%20c"),
            ("file:///it's (1)", "/it%27s%20%281%29"),
            ("file:///it's(1)", "/it's(1)"),
            ("file:///ä", "/%C3%A4"),
            ("file:///a?x=y", "/a"),
            ("file:///a?x=y#f?", "/a#f?"),
            ("file:///$a&b=c:d@e;f,g+h", "/$a&b=c:d@e;f,g+h"),
            ("file:///~/x", "/~/x"),
        ] {
            assert_eq!(
                ReplicaLocation::parse_url(url),
                Ok(ReplicaLocation::File(PathBuf::from(expected))),
                "{url}"
            );
        }
    }

    #[test]
    fn errors_say_what_to_write_and_keep_secrets() {
        for (url, expected) in [
            (
                "/a/b",
                "url: /a/b: replica url scheme required; write file:///PATH for a directory",
            ),
            (
                "s3://key:hunter2@bucket/x",
                "replicas of type `s3` are not supported yet by walbrook 0.1; replicate to a directory (`file`), \
                 or keep Litestream for this database",
            ),
            (
                "ftp://ada:hunter2@h/x",
                "unknown replica type in config: `ftp`; walbrook 0.1 has `file`",
            ),
            (
                "file://ada:hunter2@h/x",
                "url: file://h/x: a file URL has no user and no port; write file:///PATH",
            ),
            (
                "file://",
                "url: file://: the URL has no path; write file:///PATH",
            ),
            (
                "file:a",
                "url: file:a: the path is not absolute; write file:///PATH",
            ),
            (
                "file:///a%zz",
                "url: file:///a%zz: `%` must be followed by two hexadecimal digits; write %25",
            ),
        ] {
            let error = ReplicaLocation::parse_url(url).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
    }
}
