//! A directory of databases, the keys `dir`, `pattern`, `recursive`, `watch` and `meta-dir`: all files in it whose
//! names match are databases with the same settings, each with places of its own.
//!
//! Nothing here looks at the disk: which configuration a path would have follows from the path alone, so that a
//! database that is gone can be restored. What there is in a directory is found out in `discovery`.

use std::ffi::{OsStr, OsString};
use std::path::{Component, Path, PathBuf};

use super::error::{ConfigError, Problem};
use super::location::{ReplicaLocation, Written, check_found};
use super::model::{DatabaseConfig, default_meta_path};
use super::paths::Base;
use super::pattern::Pattern;
use super::scalar;
use super::section::Section;
use super::text::quoted;
use super::yaml::Position;
use crate::sys::temporary;

/// What SQLite keeps beside a database, and is none.
const SIDECARS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// One directory of databases.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct DirectoryConfig {
    /// Which files.
    pub files: Files,
    /// Settings of each database. Path and replica are those of the directory, below which each has its own.
    pub(super) settings: DatabaseConfig,
    /// How each replica was written.
    pub(super) written: Vec<Written>,
    /// The one that [may go on](DatabaseConfig::adopt) whatever its replicas hold.
    pub(super) adopted: Option<PathBuf>,
}

/// Which files of a directory are databases, and where each has its memory.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Files {
    /// The directory, absolute.
    pub directory: PathBuf,
    /// What the names of its databases match.
    pub pattern: Pattern,
    /// Whether it includes its subdirectories.
    pub recursive: bool,
    /// Whether databases may appear and vanish while running.
    pub watch: bool,
    memory: Memory,
    /// Where it stands in the configuration.
    pub(super) position: Position,
}

/// Where what is remembered about each database goes.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Memory {
    /// `.NAME-litestream` beside it.
    Beside,
    /// `.NAME-litestream` at the same place below this directory (`meta-path`).
    Hidden(PathBuf),
    /// `NAME-litestream` at the same place below this directory (`meta-dir`).
    Plain(PathBuf),
}

/// What an entry of `dbs` stands for.
pub(super) enum Target {
    /// One database.
    File {
        /// Where it is.
        path: PathBuf,
        /// Where that stands.
        position: Position,
        /// Its `meta-path`.
        memory: Option<PathBuf>,
    },
    /// All those of a directory.
    Directory(Files),
}

impl Target {
    /// Reads what `section` is about.
    pub(super) fn read(section: &Section<'_>, base: &Base) -> Result<Target, ConfigError> {
        let Some(directory) = section.given("dir")? else {
            return Target::file(section, base);
        };
        if section.given("path")?.is_some() {
            return Err(conflict(
                section,
                directory.position,
                "cannot specify both `path` and `dir`; keep one",
            ));
        }
        let Some(pattern) = section.given("pattern")? else {
            return Err(section.missing(
                "`pattern` is required when using `dir`: add `pattern:` with what the names of the databases match, \
                 such as '*.db'",
            ));
        };
        let bad_pattern =
            |reason| pattern.invalid(format!("{} is no pattern: {reason}", quoted(pattern.text)));
        let hidden = memory_root(section, "meta-path", base)?;
        let plain = memory_root(section, "meta-dir", base)?;
        let memory = match (hidden, plain) {
            (None, None) => Memory::Beside,
            (Some((root, _)), None) => Memory::Hidden(root),
            (None, Some((root, _))) => Memory::Plain(root),
            (Some(_), Some((_, position))) => {
                return Err(conflict(
                    section,
                    position,
                    "cannot specify both `meta-path` and `meta-dir`; keep one",
                ));
            }
        };
        Ok(Target::Directory(Files {
            directory: base
                .absolute(directory.text)
                .map_err(|reason| directory.invalid(reason))?,
            pattern: Pattern::parse(pattern.text).map_err(bad_pattern)?,
            recursive: section.read("recursive", scalar::boolean)?.unwrap_or(false),
            watch: section.read("watch", scalar::boolean)?.unwrap_or(false),
            memory,
            position: directory.position,
        }))
    }

    fn file(section: &Section<'_>, base: &Base) -> Result<Target, ConfigError> {
        let Some((text, position)) = section.text("path")? else {
            return Err(section.missing(
                "add `path:` with the file of the database, or `dir:` with a directory of databases",
            ));
        };
        for key in ["recursive", "watch"] {
            if section.read(key, scalar::boolean)? == Some(true) {
                return Err(only_with_directory(section, key));
            }
        }
        for key in ["pattern", "meta-dir"] {
            if section.given(key)?.is_some() {
                return Err(only_with_directory(section, key));
            }
        }
        Ok(Target::File {
            path: base
                .database(text)
                .map_err(|reason| section.invalid(position, "path", reason))?,
            position,
            memory: memory_root(section, "meta-path", base)?.map(|(root, _)| root),
        })
    }
}

fn memory_root(
    section: &Section<'_>,
    key: &'static str,
    base: &Base,
) -> Result<Option<(PathBuf, Position)>, ConfigError> {
    let Some(given) = section.given(key)? else {
        return Ok(None);
    };
    let root = base.absolute(given.text);
    Ok(Some((
        root.map_err(|reason| given.invalid(reason))?,
        given.position,
    )))
}

fn only_with_directory(section: &Section<'_>, key: &str) -> ConfigError {
    let position = section
        .entry(key)
        .map_or(section.position, |entry| entry.position);
    let message = format!(
        "`{key}` goes with `dir`, a directory of databases, and not with `path`; take it out"
    );
    conflict(section, position, &message)
}

fn conflict(section: &Section<'_>, position: Position, message: &str) -> ConfigError {
    ConfigError::at(
        position,
        Problem::Conflict(format!("{}{message}", section.prefix())),
    )
}

impl DirectoryConfig {
    /// What the database at `relative`, a path below the directory, is replicated by.
    ///
    /// # Errors
    /// When its name cannot be one of a replica.
    pub fn database(&self, relative: &Path) -> Result<DatabaseConfig, String> {
        let path = self.files.directory.join(relative);
        let meta_path = match &self.files.memory {
            Memory::Beside => default_meta_path(&path),
            Memory::Hidden(root) => default_meta_path(&root.join(relative)),
            Memory::Plain(root) => plain_meta_path(&root.join(relative)),
        };
        let replicas = self
            .settings
            .replicas
            .relocated(|number, location| location.below(relative, self.written[number]))?;
        Ok(DatabaseConfig {
            adopt: self.adopted.as_ref() == Some(&path),
            path,
            meta_path,
            replicas,
            ..self.settings.clone()
        })
    }

    /// The places of its databases' replicas: each of those that are configured, below which all have theirs.
    pub fn tops(&self) -> impl Iterator<Item = Result<ReplicaLocation, String>> {
        let replicas = self.settings.replicas.iter().zip(&self.written);
        replicas.map(|(replica, written)| replica.location.below(Path::new(""), *written))
    }

    /// The database whose replica is at the path `found`, as the storage has it, below the one of [`Self::tops`] with
    /// this number; none if it is of none of these databases.
    ///
    /// # Errors
    /// When no database can be restored by that name.
    pub fn database_at(
        &self,
        number: usize,
        top: &ReplicaLocation,
        found: &str,
    ) -> Result<Option<DatabaseConfig>, String> {
        let (location, name) = top.found_below(found, self.written[number]);
        check_found(found)?;
        if !self.files.holds(&name) {
            return Ok(None);
        }
        let database = self.database(&name)?;
        let is_its = database.replicas[number].location == location;
        Ok(is_its.then_some(database))
    }

    /// An error about what this entry of the configuration stands for.
    pub fn error(&self, message: String) -> ConfigError {
        ConfigError::at(self.files.position, Problem::Conflict(message))
    }

    /// Whether `directory`, somewhere below, holds a replica or what is remembered, and so no databases.
    pub fn leaves_out(&self, directory: &Path) -> bool {
        let is_memory = directory.file_name().is_some_and(|name| {
            let name = name.as_encoded_bytes();
            name.starts_with(b".") && name.ends_with(b"-litestream")
        });
        let memory = match &self.files.memory {
            Memory::Beside => None,
            Memory::Hidden(root) | Memory::Plain(root) => Some(root.as_path()),
        };
        let mut replicas = self.settings.replicas.iter();
        let holds = |root: Option<&Path>| root == Some(directory);
        is_memory || holds(memory) || replicas.any(|replica| holds(replica.location.directory()))
    }
}

impl Files {
    /// Whether a database at `relative`, a path below the directory, would be one of these.
    pub(super) fn holds(&self, relative: &Path) -> bool {
        let plain = |component| matches!(component, Component::Normal(_));
        let deep = relative.components().nth(1).is_some();
        relative.components().all(plain)
            && (self.recursive || !deep)
            && relative.file_name().is_some_and(|name| self.accepts(name))
    }

    /// Whether a file of this name may be a database.
    pub fn accepts(&self, name: &OsStr) -> bool {
        !is_taken(name) && self.pattern.matches(name)
    }
}

/// Whether a file of this name is SQLite's or our own, and no database.
pub(super) fn is_taken(name: &OsStr) -> bool {
    let is_sidecar = |end: &&str| name.as_encoded_bytes().ends_with(end.as_bytes());
    SIDECARS.iter().any(is_sidecar)
        || name
            .to_str()
            .is_some_and(|name| temporary::parse(name).is_some())
}

fn plain_meta_path(path: &Path) -> PathBuf {
    let mut name = OsString::from(path.file_name().unwrap_or_default());
    name.push("-litestream");
    path.with_file_name(name)
}
