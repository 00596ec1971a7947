//! Which databases there are: those that are listed, and those found in directories, where they may come and go.
//!
//! A file is a database of a directory when it is a regular file, its name matches, and it begins as SQLite's files do.
//! Each claims its places (`config::Claims`); one whose places are taken is left out, and the others go on. A database
//! counts as gone only if its directory could be read and does not have it: one that cannot be read says nothing.

mod walk;

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};

use self::walk::{Identified, Reason, Sight, Unready, Walk};
use crate::config::{Claim, Claims, Config, ConfigError, DatabaseConfig, DirectoryConfig};

/// The databases there are at the start.
pub struct Start {
    /// All of them, the listed ones first.
    pub databases: Vec<DatabaseConfig>,
    /// What to know about others.
    pub remarks: Vec<Remark>,
    /// Finds those that come later; none where nobody wants it.
    pub discovery: Option<Discovery>,
}

/// Something to know about a file or directory that is not replicated.
#[derive(Debug)]
pub struct Remark {
    /// How important it is.
    pub level: log::Level,
    /// A sentence without a full stop.
    pub text: String,
}

/// A database came or went.
#[derive(Debug)]
pub enum Change {
    /// This one is there now.
    Appeared(Box<DatabaseConfig>),
    /// The one at this path is gone.
    Vanished(PathBuf),
}

/// Knows which databases there are in directories.
pub struct Discovery {
    claims: Claims,
    directories: Vec<Directory>,
}

struct Directory {
    config: DirectoryConfig,
    known: BTreeMap<PathBuf, Claim>,
    unready: BTreeMap<PathBuf, Unready>,
    /// What was said about what, so that it is not said again.
    said: BTreeMap<PathBuf, String>,
}

/// Finds the databases of a configuration.
///
/// # Errors
/// When two of them share a place, or a directory without `watch` has none.
pub fn start(config: &Config) -> Result<Start, ConfigError> {
    let mut start = Start {
        databases: config.databases.clone(),
        remarks: Vec::new(),
        discovery: None,
    };
    if config.directories.is_empty() {
        return Ok(start);
    }
    let mut claims = Claims::default();
    for database in &config.databases {
        claims.claim(database)?;
    }
    let mut watched = Vec::new();
    for config in &config.directories {
        let mut directory = Directory::new(config.clone());
        let sight = directory.see(&mut |_| {});
        let found = directory.take_up(sight, &mut claims);
        if let Some(collision) = found.collisions.into_iter().next() {
            return Err(config.error(collision));
        }
        if found.new.is_empty() && !config.files.watch {
            return Err(config.error(directory.nothing_found()));
        }
        start.remarks.push(directory.number_found(found.new.len()));
        start.databases.extend(found.new);
        start.remarks.extend(found.remarks);
        if config.files.watch {
            watched.push(directory);
        }
    }
    start.discovery = (!watched.is_empty()).then_some(Discovery {
        claims,
        directories: watched,
    });
    Ok(start)
}

impl Discovery {
    /// Looks at all directories again. `enter` is called with each before it is looked into, and with the nearest
    /// that exists where one is gone: a change in it asks for another look.
    pub fn look(&mut self, enter: &mut dyn FnMut(&Path)) -> (Vec<Change>, Vec<Remark>) {
        let (mut changes, mut remarks) = (Vec::new(), Vec::new());
        let mut sights = Vec::new();
        // What has gone first, so that its places are free for what comes.
        for directory in &mut self.directories {
            let sight = directory.see(enter);
            for relative in directory.vanished(&sight) {
                if let Some(claim) = directory.known.remove(&relative) {
                    self.claims.release(claim);
                }
                let path = directory.config.files.directory.join(relative);
                changes.push(Change::Vanished(path));
            }
            sights.push(sight);
        }
        for (directory, sight) in self.directories.iter_mut().zip(sights) {
            let found = directory.take_up(sight, &mut self.claims);
            let appeared = found.new.into_iter().map(Box::new).map(Change::Appeared);
            changes.extend(appeared);
            remarks.extend(found.remarks);
        }
        (changes, remarks)
    }

    /// Files that may become databases.
    pub fn candidates(&self) -> impl Iterator<Item = PathBuf> {
        self.directories.iter().flat_map(|directory| {
            let files = directory.unready.iter();
            let candidates = files.filter(|(_, file)| file.reason == Reason::NoDatabase);
            candidates.map(|(relative, _)| directory.config.files.directory.join(relative))
        })
    }
}

/// What a look came to.
#[derive(Default)]
struct Found {
    new: Vec<DatabaseConfig>,
    remarks: Vec<Remark>,
    /// The remarks about databases whose places are taken.
    collisions: Vec<String>,
}

impl Directory {
    fn new(config: DirectoryConfig) -> Directory {
        Directory {
            config,
            known: BTreeMap::new(),
            unready: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    fn see(&self, enter: &mut dyn FnMut(&Path)) -> Sight {
        let walk = Walk {
            directory: &self.config,
            is_known: &|relative| self.known.contains_key(relative),
            unready: &self.unready,
        };
        let sight = walk.look(enter);
        if !sight.unseen.get(Path::new("")).is_some_and(is_gone) {
            return sight;
        }
        let top = &self.config.files.directory;
        if let Some(nearest) = top.ancestors().skip(1).find(|path| path.is_dir()) {
            enter(nearest);
            // It may have come before anybody looked out for it.
            return walk.look(enter);
        }
        sight
    }

    /// The known databases that are gone.
    fn vanished(&self, sight: &Sight) -> Vec<PathBuf> {
        let there: HashSet<&Path> = sight.known.iter().map(PathBuf::as_path).collect();
        let is_hidden = |relative: &Path| {
            let mut unseen = sight.unseen.iter();
            unseen.any(|(directory, error)| relative.starts_with(directory) && !is_gone(error))
        };
        // A file that is replaced while a directory is read may be missed.
        let top = &self.config.files.directory;
        let is_there = |relative: &Path| {
            top.join(relative)
                .symlink_metadata()
                .is_ok_and(|found| found.is_file())
        };
        let missing = self
            .known
            .keys()
            .filter(|relative| !there.contains(relative.as_path()));
        let gone = missing.filter(|relative| !is_hidden(relative) && !is_there(relative));
        gone.cloned().collect()
    }

    /// Takes up what is new.
    fn take_up(&mut self, sight: Sight, claims: &mut Claims) -> Found {
        let mut found = Found::default();
        let mut said = BTreeMap::new();
        let mut identities = HashSet::new();
        let mut remark = |found: &mut Found, relative: PathBuf, level, text: String| {
            if self.said.get(&relative) != Some(&text) {
                let text = text.clone();
                found.remarks.push(Remark { level, text });
            }
            said.insert(relative, text);
        };
        let top = &self.config.files.directory;
        for (relative, error) in sight.unseen {
            let level = match is_gone(&error) {
                true => log::Level::Info,
                false => log::Level::Error,
            };
            let text = cannot_look(&top.join(&relative), &error);
            remark(&mut found, relative, level, text);
        }
        for (relative, file) in &sight.unready {
            let path = top.join(relative);
            if let Some((level, text)) = about(&path, &file.reason) {
                remark(&mut found, relative.clone(), level, text);
            }
        }
        self.unready = sight.unready;
        for (relative, identity) in sight.new {
            let path = top.join(&relative);
            if !is_first(identity, &mut identities) {
                let (level, text) = about_other_name(&path);
                remark(&mut found, relative, level, text);
                continue;
            }
            let database = self
                .config
                .database(&relative)
                .map_err(|reason| format!("{}: {reason}; it is not replicated", path.display()));
            let claimed = database.and_then(|database| match claims.claim(&database) {
                Ok(claim) => Ok((database, claim)),
                Err(collision) => {
                    found.collisions.push(collision.to_string());
                    Err(format!("{}: not replicated: {collision}", path.display()))
                }
            });
            match claimed {
                Ok((database, claim)) => {
                    found.new.push(database);
                    self.known.insert(relative, claim);
                }
                Err(text) => remark(&mut found, relative, log::Level::Error, text),
            }
        }
        self.said = said;
        found
    }

    fn number_found(&self, number: usize) -> Remark {
        let directory = self.config.files.directory.display();
        Remark {
            level: log::Level::Info,
            text: format!("{directory}: {number} databases found"),
        }
    }

    fn nothing_found(&self) -> String {
        let files = &self.config.files;
        format!(
            "no databases in {} with names that match `{}`; correct `dir` or `pattern`, or write `watch: true` to wait \
             for them",
            files.directory.display(),
            files.pattern.as_str()
        )
    }
}

/// Whether this is the first name of an inode.
fn is_first(identity: Identified, identities: &mut HashSet<crate::sys::fs::FileIdentity>) -> bool {
    identity.is_none_or(|identity| identities.insert(identity))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn cannot_look(path: &Path, error: &io::Error) -> String {
    let what_follows = match is_gone(error) {
        true => "databases are replicated when they appear in it",
        false => "databases that were found in it before stay replicated; new ones are not seen",
    };
    format!("{}: {error}; {what_follows}", path.display())
}

/// What to know about a file that is not replicated though its name fits.
fn about(path: &Path, reason: &Reason) -> Option<(log::Level, String)> {
    let path_shown = path.display();
    match reason {
        Reason::NoDatabase => None,
        Reason::OtherName => Some(about_other_name(path)),
        Reason::Link => Some((
            log::Level::Warn,
            format!(
                "{path_shown}: a symbolic link, which is not followed; to have what it leads to replicated, list that \
                 with `path`"
            ),
        )),
        Reason::Unreadable(error) => Some((
            log::Level::Error,
            format!(
                "{path_shown}: {error}; it is not replicated, if it is a database; run walbrook as the application's \
                 user"
            ),
        )),
    }
}

fn about_other_name(path: &Path) -> (log::Level, String) {
    let text = format!(
        "{}: a hard link of a database that is replicated under another name; it is not replicated twice",
        path.display()
    );
    (log::Level::Warn, text)
}

#[cfg(test)]
mod tests;
