//! Paths of the configuration and the command line, made absolute the way Litestream does: `~` is the home
//! directory, `.` and `..` are taken out of the text without a look at the disk. Two spellings of one place
//! are found by [`resolved`], which does look.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What relative paths are relative to.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// The user's home directory, where there is one.
    pub(crate) home: Option<PathBuf>,
    /// The working directory.
    pub(crate) directory: PathBuf,
}

impl Base {
    /// This process's directories. Without a working directory (it was removed), relative paths begin at `/`.
    pub(crate) fn of_process() -> Base {
        Base {
            home: std::env::home_dir().filter(|home| home.is_absolute()),
            directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        }
    }

    /// `text` as an absolute path; the error says what is wrong with it.
    pub(crate) fn absolute(&self, text: &str) -> Result<PathBuf, &'static str> {
        if text.is_empty() {
            return Err("the path is empty");
        }
        if text.contains('\0') {
            return Err("the path has a NUL byte in it");
        }
        let in_home = match text.strip_prefix('~') {
            Some("") => Some(""),
            Some(rest) => rest.strip_prefix('/'),
            None => None,
        };
        match (in_home, &self.home) {
            (Some(rest), Some(home)) => Ok(cleaned(&home.join(rest.trim_start_matches('/')))),
            (Some(_), None) => Err("`~` cannot be used: the home directory is unknown; set $HOME"),
            (None, _) => Ok(cleaned(&self.directory.join(text))),
        }
    }

    /// The path of a database, which may have SQLite's own prefixes.
    pub(crate) fn database(&self, text: &str) -> Result<PathBuf, &'static str> {
        let text = ["sqlite3://", "sqlite://"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix))
            .unwrap_or(text);
        if text == ":memory:" {
            return Err("a database in memory cannot be replicated");
        }
        let path = self.absolute(text)?;
        if path.file_name().is_none() {
            return Err("a directory, not the file of a database");
        }
        Ok(path)
    }
}

/// Whether `text` is a URL: a word, then `://`.
pub(crate) fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty()
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
    })
}

/// `path` with symbolic links followed as far as it exists.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(real) = fs::canonicalize(ancestor) {
            let rest = path.strip_prefix(ancestor).unwrap_or(Path::new(""));
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    path.to_owned()
}

/// `path`, which is absolute, without `.`, `..`, doubled and trailing slashes.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Base {
        Base {
            home: Some(PathBuf::from("/home/ada")),
            directory: PathBuf::from("/srv"),
        }
    }

    #[test]
    fn paths_become_absolute() {
        for (text, expected) in [
            ("/a/b", "/a/b"),
            ("/a//b/./c/../d/", "/a/b/d"),
            ("/../..", "/"),
            ("a b", "/srv/a b"),
            ("../x", "/x"),
            ("~", "/home/ada"),
            ("~/x", "/home/ada/x"),
            ("~//x", "/home/ada/x"),
            ("~bob/x", "/srv/~bob/x"),
        ] {
            assert_eq!(base().absolute(text), Ok(PathBuf::from(expected)), "{text}");
        }
        assert!(base().absolute("").is_err());
        assert!(base().absolute("a\0").is_err());
        let homeless = Base {
            home: None,
            ..base()
        };
        assert!(homeless.absolute("~/x").unwrap_err().contains("$HOME"));
    }

    #[test]
    fn databases_lose_sqlites_prefix() {
        for (text, expected) in [
            ("sqlite:///a/b.db", "/a/b.db"),
            ("sqlite3://b.db", "/srv/b.db"),
            ("sqlite://~/b.db", "/home/ada/b.db"),
        ] {
            assert_eq!(base().database(text), Ok(PathBuf::from(expected)), "{text}");
        }
        assert!(base().database("/").is_err());
        assert!(base().database(":memory:").is_err());
    }

    #[test]
    fn what_is_a_url() {
        for url in ["s3://b", "file:///x", "a_1://"] {
            assert!(is_url(url), "{url}");
        }
        for path in ["/a/b", "://x", "a b://x", "file:/x", "a-b://x", ""] {
            assert!(!is_url(path), "{path}");
        }
    }
}
