//! Where a replica is, from a replica URL or a path. Those of S3 and SFTP are read in `s3_url` and `sftp_url`.
//!
//! A file URL must lead to the very directory Litestream uses for the same text, or replicas would not be
//! found: host and path are joined, the query is dropped, and the path stays percent-encoded as Go's URL
//! writer would encode it, so that `file:///a b` is the directory `/a%20b`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::directory::is_taken;
use super::error::Problem;
use super::paths::{Base, is_url};
use super::percent::{Part, encoded, escaped, is_unreserved, unescaped};
use super::text::redacted;
use super::{s3_url, sftp_url};
use crate::storage::s3::Settings;
use crate::storage::sftp::SftpSettings;

/// The place of one replica.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ReplicaLocation {
    /// A directory of this machine, absolute. It need not exist.
    File(PathBuf),
    /// A place in a bucket.
    S3(Box<Settings>),
    /// A directory of an SFTP server.
    Sftp(Box<SftpSettings>),
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
                "replica url scheme required; write file:///PATH for a directory, s3://BUCKET/PATH for S3, \
                 sftp://USER@HOST/PATH for SFTP",
            ));
        };
        match ReplicaKind::named(&scheme.to_ascii_lowercase())? {
            ReplicaKind::File => file_location(rest).map_err(invalid),
            ReplicaKind::S3 => s3_url::parse(rest)
                .and_then(s3_url::S3Url::into_settings)
                .map(|settings| ReplicaLocation::S3(Box::new(settings)))
                .map_err(|reason| invalid(&reason)),
            ReplicaKind::Sftp => sftp_url::parse(rest)
                .map(|settings| ReplicaLocation::Sftp(Box::new(settings)))
                .map_err(|reason| invalid(&reason)),
        }
    }

    /// The short name Litestream has for this kind of replica.
    pub fn kind(&self) -> &'static str {
        match self {
            ReplicaLocation::File(_) => ReplicaKind::File.name(),
            ReplicaLocation::S3(_) => ReplicaKind::S3.name(),
            ReplicaLocation::Sftp(_) => ReplicaKind::Sftp.name(),
        }
    }

    /// The place of the database at `relative` where this is that of a whole directory of them: the one Litestream
    /// uses, which depends on how this one was written.
    ///
    /// # Errors
    /// When the name cannot be one of an object.
    pub(super) fn below(
        &self,
        relative: &Path,
        written: Written,
    ) -> Result<ReplicaLocation, String> {
        Ok(match (self, written) {
            (ReplicaLocation::File(path), Written::AsPath) => {
                ReplicaLocation::File(path.join(relative))
            }
            (ReplicaLocation::File(path), Written::AsUrl) => {
                ReplicaLocation::File(below_file_url(path, relative))
            }
            (ReplicaLocation::S3(settings), _) => {
                let relative = text(relative)?;
                let mut settings = settings.clone();
                let joined = joined(&settings.path, relative);
                settings.path = match written {
                    Written::AsPath => joined,
                    Written::AsUrl => joined.trim_start_matches('/').to_owned(),
                };
                ReplicaLocation::S3(settings)
            }
            (ReplicaLocation::Sftp(settings), _) => {
                let mut settings = settings.clone();
                let joined = joined(&settings.path, text(relative)?);
                // Litestream's is no longer below the login directory then.
                settings.path = match settings.path == "." && written == Written::AsUrl {
                    true => format!("/{joined}"),
                    false => joined,
                };
                ReplicaLocation::Sftp(settings)
            }
        })
    }

    /// The replica at `found`, a path below this place as the storage has it, and the database that Litestream keeps
    /// there where this is the place of a whole directory of them: the path of that below the directory.
    pub(super) fn found_below(&self, found: &str, written: Written) -> (ReplicaLocation, PathBuf) {
        match self {
            ReplicaLocation::File(top) => {
                let is_escape = |name: &Vec<u8>| escaped(name, Part::Path) == found;
                let name = unescaped(found).ok();
                let name = name.filter(|name| written == Written::AsUrl && is_escape(name));
                let name = name.unwrap_or_else(|| found.into());
                let name = PathBuf::from(OsString::from_vec(name));
                (ReplicaLocation::File(top.join(found)), name)
            }
            ReplicaLocation::S3(settings) => {
                let mut settings = settings.clone();
                settings.path = within(&settings.path, found);
                (ReplicaLocation::S3(settings), PathBuf::from(found))
            }
            ReplicaLocation::Sftp(settings) => {
                let mut settings = settings.clone();
                settings.path = within(&settings.path, found);
                (ReplicaLocation::Sftp(settings), PathBuf::from(found))
            }
        }
    }

    /// The database that is found at the path `found`, as the storage has it, below this place, a URL, and its replica.
    ///
    /// # Errors
    /// When no database can be restored by that name.
    pub fn database_at(&self, found: &str) -> Result<(ReplicaLocation, PathBuf), String> {
        let (location, name) = self.found_below(found, Written::AsUrl);
        check_found(found)?;
        check_found(&name.to_string_lossy())?;
        match name.file_name().is_some_and(is_taken) {
            true => Err("SQLite or walbrook keeps other things under such a name".to_owned()),
            false => Ok((location, name)),
        }
    }

    /// The directory, where the replica is one.
    pub fn directory(&self) -> Option<&Path> {
        match self {
            ReplicaLocation::File(path) => Some(path),
            ReplicaLocation::S3(_) | ReplicaLocation::Sftp(_) => None,
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
            ReplicaLocation::Sftp(settings) => f.write_str(&settings.location()),
        }
    }
}

/// How the place of a replica was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// As a URL, whose path is encoded.
    AsUrl,
    /// As a path, taken as it is.
    AsPath,
}

/// The directory that Litestream uses when `relative` is put behind the path of a file URL: the path is decoded for
/// that, and encoded anew; a fragment stays at the end.
fn below_file_url(directory: &Path, relative: &Path) -> PathBuf {
    let text = directory.as_os_str().as_bytes();
    let end = text.iter().position(|b| *b == b'#').unwrap_or(text.len());
    let (path, fragment) = text.split_at(end);
    let path = String::from_utf8_lossy(path);
    let mut decoded = unescaped(&path).unwrap_or_else(|_| path.as_bytes().to_vec());
    decoded.push(b'/');
    decoded.extend(relative.as_os_str().as_bytes());
    let mut below = OsString::from(escaped(&decoded, Part::Path));
    below.push(OsStr::from_bytes(fragment));
    PathBuf::from(below)
}

/// The name of a database as a text, which those of other machines are.
fn text(relative: &Path) -> Result<&str, &'static str> {
    let not_text = "its name is no UTF-8, as names of other machines have to be; rename it";
    relative.to_str().ok_or(not_text)
}

/// `found` below `path`, each as the storage has it.
fn within(path: &str, found: &str) -> String {
    match path {
        "" | "." => found.to_owned(),
        path if path.ends_with('/') => format!("{path}{found}"),
        path => format!("{path}/{found}"),
    }
}

/// Whether `found` can be the path of a database, as whoever writes to a storage may call anything in it.
pub(super) fn check_found(found: &str) -> Result<(), String> {
    let mut parts = found.split('/');
    if parts.any(|part| matches!(part, "" | "." | "..")) {
        return Err("it leads somewhere else, so nothing is restored by that name".to_owned());
    }
    match found.chars().any(char::is_control) {
        true => Err("it has control characters, so nothing is restored by that name".to_owned()),
        false => Ok(()),
    }
}

/// `path` and `relative` as Go's `path.Join` puts them together.
pub(super) fn joined(path: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let rooted = path.starts_with('/');
    for part in path.split('/').chain(relative.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match rooted {
        true => format!("/{joined}"),
        false => joined,
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
    Sftp,
}

impl ReplicaKind {
    /// The kind called `name`; the error tells a kind of later from one that does not exist.
    pub(super) fn named(name: &str) -> Result<ReplicaKind, Problem> {
        match name {
            "file" => Ok(ReplicaKind::File),
            "s3" => Ok(ReplicaKind::S3),
            "sftp" => Ok(ReplicaKind::Sftp),
            "gs" | "abs" | "oss" | "nats" | "webdav" | "webdavs" => Err(Problem::NotSupportedYet {
                what: format!("replicas of type `{name}` are"),
                advice: "replicate to a directory (`file`), to `s3` or `sftp`, or keep Litestream for this database",
            }),
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
            ReplicaKind::Sftp => "sftp",
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

    /// As the real Litestream was seen to do it.
    #[test]
    fn databases_of_a_directory_lie_where_litestream_has_them() {
        for (url, relative, expected) in [
            ("file:///r", "sub/c.db", "/r/sub/c.db"),
            ("file:///u x", "a b.db", "/u%20x/a%20b.db"),
            ("file:///u", "100%.db", "/u/100%25.db"),
            ("file:///u", "ä#?.db", "/u/%C3%A4%23%3F.db"),
            ("file:///v%2fy?x=1#frag", "a b.db", "/v/y/a%20b.db#frag"),
            ("s3://b", "a b.db", "a b.db"),
            ("s3://b/", "a.db", "a.db"),
            ("s3://b/x/", "sub/a.db", "x/sub/a.db"),
            ("s3://b//x", "a.db", "x/a.db"),
            ("sftp://h/x/", "sub/a b.db", "/x/sub/a b.db"),
            ("sftp://h", "a.db", "/a.db"),
            ("sftp://h/./x", "a.db", "x/a.db"),
        ] {
            let location = ReplicaLocation::parse_url(url).unwrap();
            let below = location.below(Path::new(relative), Written::AsUrl).unwrap();
            let place = match &below {
                ReplicaLocation::File(path) => path.to_str().unwrap(),
                ReplicaLocation::S3(settings) => &settings.path,
                ReplicaLocation::Sftp(settings) => &settings.path,
            };
            assert_eq!(place, expected, "{url} {relative}");
        }
        for (path, expected) in [
            ("", "a.db"),
            ("x", "x/a.db"),
            ("x/", "x/a.db"),
            ("/x", "/x/a.db"),
            ("./x/../y", "y/a.db"),
            ("../x", "../x/a.db"),
        ] {
            let location = ReplicaLocation::S3(Box::new(Settings::new("b", path)));
            let below = location.below(Path::new("a.db"), Written::AsPath).unwrap();
            let ReplicaLocation::S3(settings) = below else {
                panic!("still a bucket");
            };
            assert_eq!(settings.path, expected, "{path}");
        }
        let file = ReplicaLocation::File(PathBuf::from("/r%20"));
        let below = file.below(Path::new("a b"), Written::AsPath);
        assert_eq!(below, Ok(ReplicaLocation::File(PathBuf::from("/r%20/a b"))));
        let odd = Path::new(OsStr::from_bytes(b"a\xff"));
        let bucket = ReplicaLocation::parse_url("s3://b").unwrap();
        assert!(bucket.below(odd, Written::AsUrl).is_err());
        assert!(file.below(odd, Written::AsPath).is_ok());
    }

    #[test]
    fn what_is_found_leads_back_to_its_database() {
        let databases = [
            ("file:///u x", "a b.db"),
            ("file:///u", "100%.db"),
            ("file:///u", "sub/ä#?.db"),
            ("file:///u", "a%20b.db"),
            ("s3://b", "a b.db"),
            ("s3://b/x/", "sub/100%.db"),
            ("sftp://h/x", "sub/100%.db"),
        ];
        for (url, relative) in databases {
            let top = ReplicaLocation::parse_url(url).unwrap();
            let place = |location: ReplicaLocation| match location {
                ReplicaLocation::File(path) => path.to_str().unwrap().to_owned(),
                ReplicaLocation::S3(settings) => settings.path,
                ReplicaLocation::Sftp(settings) => settings.path,
            };
            let below = |name: &str| top.below(Path::new(name), Written::AsUrl).unwrap();
            let (top_place, at) = (place(below("")), place(below(relative)));
            let found = at.strip_prefix(&top_place).unwrap().trim_start_matches('/');
            let expected = (below(relative), PathBuf::from(relative));
            assert_eq!(top.database_at(found), Ok(expected), "{url} {relative}");
        }
        let top = ReplicaLocation::parse_url("file:///u").unwrap();
        // Nothing that a URL leads to; so it was called by its path.
        let literal = (ReplicaLocation::File("/u/a b.db".into()), "a b.db".into());
        assert_eq!(top.database_at("a b.db"), Ok(literal));
        for bad in [
            "../x.db",
            "a/../../x.db",
            "/x.db",
            "a//x.db",
            "./x.db",
            "..",
            "a\u{1b}.db",
            "%0A.db",
            "a.db-wal",
            "sub/a.db-shm",
        ] {
            assert!(top.database_at(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn errors_say_what_to_write_and_keep_secrets() {
        for (url, expected) in [
            (
                "/a/b",
                "url: /a/b: replica url scheme required; write file:///PATH for a directory, s3://BUCKET/PATH for S3, \
                 sftp://USER@HOST/PATH for SFTP",
            ),
            (
                "webdav://ada:hunter2@h/x",
                "replicas of type `webdav` are not supported yet by walbrook 0.1; replicate to a directory (`file`), \
                 to `s3` or `sftp`, or keep Litestream for this database",
            ),
            (
                "ftp://ada:hunter2@h/x",
                "unknown replica type in config: `ftp`; walbrook 0.1 has `file`, `s3` and `sftp`",
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
