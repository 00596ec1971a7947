//! Where a replica is, from a replica URL or a path. S3 URLs are read in `s3_url`.
//!
//! A file URL must lead to the very directory Litestream uses for the same text, or replicas would not be
//! found: host and path are joined, the query is dropped, and the path stays percent-encoded as Go's URL
//! writer would encode it, so that `file:///a b` is the directory `/a%20b`.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::paths::{Base, is_url};
use super::percent::{Part, encoded, escaped, is_unreserved};
use super::s3_url;
use super::text::redacted;
use crate::storage::s3::Settings;

/// The place of one replica.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ReplicaLocation {
    /// A directory of this machine, absolute. It need not exist.
    File(PathBuf),
    /// A place in a bucket.
    S3(Box<Settings>),
}

impl ReplicaLocation {
    /// Reads a replica URL.
    ///
    /// # Errors
    /// When the scheme is unknown or not supported by this version, or the URL is malformed. The text of the
    /// error has no secrets of the URL.
    pub fn parse_url(url: &str) -> Result<ReplicaLocation, Problem> {
        let invalid = |reason: &str| invalid_url(url, reason);
        let Some((scheme, rest)) = url.split_once(':').filter(|(scheme, _)| is_scheme(scheme))
        else {
            return Err(invalid(
                "replica url scheme required; write file:///PATH for a directory, s3://BUCKET/PATH for S3",
            ));
        };
        match ReplicaKind::named(&scheme.to_ascii_lowercase())? {
            ReplicaKind::File => file_location(rest).map_err(invalid),
            ReplicaKind::S3 => s3_url::parse(rest)
                .and_then(s3_url::S3Url::into_settings)
                .map(|settings| ReplicaLocation::S3(Box::new(settings)))
                .map_err(|reason| invalid(&reason)),
        }
    }

    /// The short name Litestream has for this kind of replica.
    pub fn kind(&self) -> &'static str {
        match self {
            ReplicaLocation::File(_) => ReplicaKind::File.name(),
            ReplicaLocation::S3(_) => ReplicaKind::S3.name(),
        }
    }

    /// The directory, where the replica is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            ReplicaLocation::File(path) => Some(path),
            ReplicaLocation::S3(_) => None,
        }
    }
}

/// For messages, without secrets: a directory's path, or a URL that leads to the same place.
impl fmt::Display for ReplicaLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplicaLocation::File(path) => path.display().fmt(f),
            ReplicaLocation::S3(settings) => {
                write!(f, "s3://{}", settings.bucket)?;
                if settings.path != "." {
                    write!(f, "/{}", escaped(settings.path.as_bytes(), Part::Path))?;
                }
                match &settings.endpoint {
                    Some(endpoint) => write!(f, "?endpoint={endpoint}"),
                    None => Ok(()),
                }
            }
        }
    }
}

/// What is wrong with a URL. `reason` must have no secrets of it.
pub(super) fn invalid_url(url: &str, reason: &str) -> Problem {
    Problem::InvalidValue {
        key: "url".to_owned(),
        reason: format!("{}: {reason}", redacted(url)),
    }
}

/// A kind of replica that this version has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReplicaKind {
    File,
    S3,
}

impl ReplicaKind {
    /// The kind called `name`; the error tells a kind of later from one that does not exist.
    pub(super) fn named(name: &str) -> Result<ReplicaKind, Problem> {
        match name {
            "file" => Ok(ReplicaKind::File),
            "s3" => Ok(ReplicaKind::S3),
            "sftp" | "gs" | "abs" | "oss" | "nats" | "webdav" | "webdavs" => {
                Err(Problem::NotSupportedYet {
                    what: format!("replicas of type `{name}` are"),
                    advice: "replicate to a directory (`file`) or to `s3`, or keep Litestream for this database",
                })
            }
            _ => Err(Problem::UnknownReplicaType(name.to_owned())),
        }
    }

    /// The kind that the scheme of `url` names.
    pub(super) fn of_url(url: &str) -> Result<ReplicaKind, Problem> {
        match url.split_once(':').filter(|(scheme, _)| is_scheme(scheme)) {
            Some((scheme, _)) => ReplicaKind::named(&scheme.to_ascii_lowercase()),
            None => ReplicaLocation::parse_url(url).map(|_| ReplicaKind::File),
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            ReplicaKind::File => "file",
            ReplicaKind::S3 => "s3",
        }
    }
}

fn file_location(rest: &str) -> Result<ReplicaLocation, &'static str> {
    let root = Base {
        home: None,
        directory: PathBuf::from("/"),
    };
    root.absolute(&file_path(rest)?).map(ReplicaLocation::File)
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
                "url: /a/b: replica url scheme required; write file:///PATH for a directory, s3://BUCKET/PATH for S3",
            ),
            (
                "sftp://ada:hunter2@h/x",
                "replicas of type `sftp` are not supported yet by walbrook 0.1; replicate to a directory (`file`) or \
                 to `s3`, or keep Litestream for this database",
            ),
            (
                "ftp://ada:hunter2@h/x",
                "unknown replica type in config: `ftp`; walbrook 0.1 has `file` and `s3`",
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
