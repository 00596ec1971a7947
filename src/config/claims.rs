//! What must hold between databases: each is there once, and no two things share a directory or the names of objects.
//! Paths are compared with symbolic links followed as far as they exist.
//!
//! Every database claims its places. They are kept in order, so that one more is held against a thousand in no time.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem, Warning};
use super::location::ReplicaLocation;
use super::model::{DatabaseConfig, ReplicaConfig};
use super::paths::resolved;
use super::yaml::Position;

/// The places of databases, none of which is in the way of another.
#[derive(Default)]
pub struct Claims {
    claimants: HashMap<Id, Claimant>,
    last: Id,
    databases: BTreeMap<PathBuf, Id>,
    memories: BTreeMap<PathBuf, Id>,
    /// Of replicas: whose they are, and which of that database's.
    directories: BTreeMap<PathBuf, (Id, usize)>,
    /// The same by who has the bucket, and which it is.
    buckets: HashMap<(String, String), BTreeMap<String, (Id, usize)>>,
}

type Id = u64;

/// A database with the places of its paths in the configuration, if they stand there.
pub(super) struct Placed {
    pub(super) database: DatabaseConfig,
    pub(super) path_position: Position,
    /// Of each replica.
    pub(super) replica_positions: Vec<Position>,
}

/// Why a database cannot have its places.
#[derive(Debug)]
pub struct Collision {
    position: Option<Position>,
    message: String,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Collision> for ConfigError {
    fn from(collision: Collision) -> ConfigError {
        let problem = Problem::Conflict(collision.message);
        match collision.position {
            Some(position) => ConfigError::at(position, problem),
            None => ConfigError::new(problem),
        }
    }
}

/// A claim that was granted.
#[derive(Debug)]
pub struct Claim(Id);

/// A database and its places.
struct Claimant {
    path: Written,
    memory: Written,
    replicas: Vec<Replica>,
}

/// A path.
struct Written {
    shown: PathBuf,
    /// Free of symbolic links.
    real: PathBuf,
    position: Option<Position>,
}

struct Replica {
    shown: String,
    place: Place,
    position: Option<Position>,
}

/// Where the files of a replica are.
enum Place {
    Directory(PathBuf),
    /// In a bucket, or on a server of SFTP.
    Bucket {
        /// Who has it, and which it is: nothing on a server.
        bucket: (String, String),
        path: String,
    },
}

/// Claims the places of databases in the order of the configuration.
pub(super) fn check(databases: &[Placed], warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
    let mut claims = Claims::default();
    for placed in databases {
        let claimant = Claimant::new(
            &placed.database,
            Some(placed.path_position),
            &placed.replica_positions,
        );
        claims.add(claimant, warnings)?;
    }
    Ok(())
}

impl Claims {
    /// Claims the places of a database.
    ///
    /// # Errors
    /// When one of them is taken. Then it has none of them.
    pub fn claim(&mut self, database: &DatabaseConfig) -> Result<Claim, Collision> {
        self.add(Claimant::new(database, None, &[]), &mut Vec::new())
    }

    /// Gives places up.
    pub fn release(&mut self, Claim(id): Claim) {
        let Some(claimant) = self.claimants.remove(&id) else {
            return;
        };
        self.databases.remove(&claimant.path.real);
        self.memories.remove(&claimant.memory.real);
        for replica in claimant.replicas {
            self.release_replica(replica);
        }
    }

    fn release_replica(&mut self, replica: Replica) {
        match replica.place {
            Place::Directory(path) => drop(self.directories.remove(&path)),
            Place::Bucket { bucket, path } => {
                if let Some(paths) = self.buckets.get_mut(&bucket) {
                    paths.remove(&path);
                }
            }
        }
    }

    fn add(&mut self, new: Claimant, warnings: &mut Vec<Warning>) -> Result<Claim, Collision> {
        self.check_database(&new)?;
        self.check_replicas(&new, warnings)?;
        self.check_replicas_against_databases(&new, warnings)?;
        self.last += 1;
        let id = self.last;
        self.databases.insert(new.path.real.clone(), id);
        self.memories.insert(new.memory.real.clone(), id);
        for (index, replica) in new.replicas.iter().enumerate() {
            match &replica.place {
                Place::Directory(path) => drop(self.directories.insert(path.clone(), (id, index))),
                Place::Bucket { bucket, path } => {
                    let paths = self.buckets.entry(bucket.clone()).or_default();
                    paths.insert(path.clone(), (id, index));
                }
            }
        }
        self.claimants.insert(id, new);
        Ok(Claim(id))
    }

    fn check_database(&self, new: &Claimant) -> Result<(), Collision> {
        if let Some(earlier) = self.databases.get(&new.path.real) {
            let whose = match self.claimants[earlier].path.position {
                Some(position) => format!("the database of line {}", position.line),
                None => "there already, listed or in another `dir`".to_owned(),
            };
            return collision(
                new.path.position,
                format!(
                    "duplicate path {}: it is {whose}; each database can be listed only once",
                    new.path
                ),
            );
        }
        if let Some(earlier) = self.memories.get(&new.memory.real) {
            return collision(
                new.path.position,
                format!(
                    "{} and {} have the same meta-path {}; give each its own",
                    self.claimants[earlier].path, new.path, new.memory
                ),
            );
        }
        Ok(())
    }

    /// Two replicas must not have files among each other's.
    fn check_replicas(&self, new: &Claimant, warnings: &mut Vec<Warning>) -> Result<(), Collision> {
        for (index, replica) in new.replicas.iter().enumerate() {
            let others = self.near(&replica.place).into_iter().map(|(id, other)| {
                let claimant = &self.claimants[&id];
                (claimant, &claimant.replicas[other])
            });
            let own = new.replicas[..index].iter().map(|other| (new, other));
            for (claimant, other) in others.chain(own) {
                check_pair((claimant, other), (new, replica), warnings)?;
            }
        }
        Ok(())
    }

    /// The replicas that lie around and inside `place`.
    fn near(&self, place: &Place) -> Vec<(Id, usize)> {
        match place {
            Place::Directory(new) => {
                let around = around(&self.directories, new);
                let inside = below(&self.directories, new);
                around.chain(inside).map(|(_, owner)| owner).collect()
            }
            Place::Bucket { bucket, path: new } => {
                let Some(paths) = self.buckets.get(bucket) else {
                    return Vec::new();
                };
                let ends = new.match_indices('/').map(|(end, _)| end);
                let around = ends
                    .chain([new.len()])
                    .filter_map(|end| paths.get(&new[..end]).copied());
                let inside = paths
                    .range::<str, _>((Bound::Excluded(new.as_str()), Bound::Unbounded))
                    .take_while(|(inner, _)| inner.starts_with(new.as_str()))
                    .map(|(_, owner)| *owner);
                around.chain(inside).collect()
            }
        }
    }

    /// A replica must be neither a database nor in a directory that holds what is remembered about one.
    fn check_replicas_against_databases(
        &self,
        new: &Claimant,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Collision> {
        for replica in &new.replicas {
            new.check_against(replica, warnings)?;
            let Place::Directory(directory) = &replica.place else {
                continue;
            };
            let others = around(&self.memories, directory)
                .chain(around(&self.databases, directory))
                .chain(below(&self.databases, directory));
            for (_, other) in others {
                self.claimants[&other].check_against(replica, warnings)?;
            }
        }
        let inside = below(&self.directories, &new.memory.real)
            .chain(below(&self.directories, &new.path.real))
            .chain(around(&self.directories, &new.path.real))
            .map(|(_, owner)| owner);
        let owners = inside.chain(self.directories.get(&new.memory.real).copied());
        for (owner, index) in owners {
            new.check_against(&self.claimants[&owner].replicas[index], warnings)?;
        }
        Ok(())
    }
}

fn check_pair(
    (earlier, first): (&Claimant, &Replica),
    (later, second): (&Claimant, &Replica),
    warnings: &mut Vec<Warning>,
) -> Result<(), Collision> {
    let (one, other) = (&first.place, &second.place);
    if one.shares_files(other) || other.shares_files(one) {
        let noun = other.noun();
        let message = match earlier.path.real == later.path.real {
            true => format!(
                "the replicas {} and {} of {} would share files; give each a {noun} of its own",
                first.shown, second.shown, later.path
            ),
            false => format!(
                "the replica {} of {}{} is also that of {}{}; give each database a {noun} of its own",
                second.shown,
                later.path,
                in_line(second.position),
                earlier.path,
                in_line(first.position)
            ),
        };
        return collision(second.position, message);
    }
    if one.contains(other) || other.contains(one) {
        warn(
            warnings,
            second.position,
            format!(
                "the replica {} of {} and the replica {} of {}{} lie inside each other; whoever deletes the outer one \
                 deletes both",
                second.shown,
                later.path,
                first.shown,
                earlier.path,
                in_line(first.position)
            ),
        );
    }
    Ok(())
}

impl Claimant {
    /// With the positions of its path and of each replica, where it is written down.
    fn new(
        database: &DatabaseConfig,
        position: Option<Position>,
        replica_positions: &[Position],
    ) -> Claimant {
        let replica = |(index, replica): (usize, &ReplicaConfig)| Replica {
            shown: replica.location.to_string(),
            place: Place::of(&replica.location),
            position: replica_positions.get(index).copied(),
        };
        Claimant {
            path: Written::new(&database.path, position),
            memory: Written::new(&database.meta_path, position),
            replicas: database.replicas.iter().enumerate().map(replica).collect(),
        }
    }

    /// Checks that a replica, of this database or another, has nothing to do with the files of this one.
    fn check_against(
        &self,
        replica: &Replica,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), Collision> {
        let Replica {
            shown: replica,
            place,
            position,
        } = replica;
        let Place::Directory(directory) = place else {
            return Ok(());
        };
        if directory.starts_with(&self.memory.real) {
            return collision(
                *position,
                format!(
                    "the replica {replica} lies in {}, where the state of {} is kept; choose another directory",
                    self.memory, self.path
                ),
            );
        }
        if directory.starts_with(&self.path.real) {
            return collision(
                *position,
                format!(
                    "the replica {replica} is at the file of the database {}; choose a directory",
                    self.path
                ),
            );
        }
        if self.path.real.starts_with(directory) {
            let message = format!(
                "the database {} lies in the directory of the replica {replica}; whoever deletes the replica deletes \
                 the database",
                self.path
            );
            warn(warnings, *position, message);
        }
        Ok(())
    }
}

impl Written {
    fn new(path: &Path, position: Option<Position>) -> Written {
        Written {
            shown: path.to_path_buf(),
            real: resolved(path),
            position,
        }
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shown.display().fmt(f)
    }
}

/// Stands for the directory that a login leads to.
const LOGIN: &str = "~";

impl Place {
    fn of(location: &ReplicaLocation) -> Place {
        match location {
            ReplicaLocation::File(path) => Place::Directory(resolved(path)),
            ReplicaLocation::S3(settings) => Place::Bucket {
                bucket: (settings.server(), settings.bucket.clone()),
                path: settings.path.clone(),
            },
            ReplicaLocation::Sftp(settings) => Place::Bucket {
                bucket: (settings.server(), String::new()),
                path: match settings.path.as_str() {
                    "/" => String::new(),
                    "." => LOGIN.to_owned(),
                    path if path.starts_with('/') => path.to_owned(),
                    path => format!("{LOGIN}/{path}"),
                },
            },
        }
    }

    /// Whether a replica at `inner` would have files among those of one here.
    fn shares_files(&self, inner: &Place) -> bool {
        match (self, inner) {
            (Place::Directory(outer), Place::Directory(inner)) => {
                inner == outer || inner.starts_with(outer.join("ltx"))
            }
            (Place::Bucket { bucket, .. }, Place::Bucket { .. }) => {
                self.rest_of(inner).is_some_and(|rest| {
                    rest.is_empty()
                        || match bucket.1.is_empty() {
                            true => rest == "/ltx" || rest.starts_with("/ltx/"),
                            false => begins_with_a_level(rest),
                        }
                })
            }
            _ => false,
        }
    }

    /// Whether deleting all of this replica deletes one at `inner`.
    fn contains(&self, inner: &Place) -> bool {
        match (self, inner) {
            (Place::Directory(outer), Place::Directory(inner)) => inner.starts_with(outer),
            _ => self
                .rest_of(inner)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        }
    }

    /// What follows this path in that of `inner`, in the same bucket.
    fn rest_of<'a>(&self, inner: &'a Place) -> Option<&'a str> {
        match (self, inner) {
            (
                Place::Bucket { bucket, path },
                Place::Bucket {
                    bucket: other,
                    path: inner,
                },
            ) if bucket == other => inner.strip_prefix(path.as_str()),
            _ => None,
        }
    }

    /// What each should have one of.
    fn noun(&self) -> &'static str {
        match self {
            Place::Directory(_) => "directory",
            Place::Bucket { .. } => "path",
        }
    }
}

/// Whether `rest` of a path is that of a level's objects: `/0000` to `/0009`, and perhaps more below it.
fn begins_with_a_level(rest: &str) -> bool {
    let name = rest.strip_prefix("/000").unwrap_or_default();
    let mut rest = name.chars();
    rest.next().is_some_and(|digit| digit.is_ascii_digit())
        && matches!(rest.next(), None | Some('/'))
}

/// Those of `places` that are `path` or lie above it, with whose they are.
fn around<'a, Owner: Copy>(
    places: &'a BTreeMap<PathBuf, Owner>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a Path, Owner)> {
    path.ancestors()
        .filter_map(|outer| Some((outer, *places.get(outer)?)))
}

/// Those of `places` that lie below `path`, with whose they are.
fn below<'a, Owner: Copy>(
    places: &'a BTreeMap<PathBuf, Owner>,
    path: &'a Path,
) -> impl Iterator<Item = (&'a Path, Owner)> {
    // Paths are ordered by component, so what lies below one follows it.
    places
        .range::<Path, _>((Bound::Excluded(path), Bound::Unbounded))
        .take_while(move |(inner, _)| inner.starts_with(path))
        .map(|(inner, owner)| (inner.as_path(), *owner))
}

fn in_line(position: Option<Position>) -> String {
    position.map_or_else(String::new, |position| format!(" (line {})", position.line))
}

fn collision<T>(position: Option<Position>, message: String) -> Result<T, Collision> {
    Err(Collision { position, message })
}

/// Only of what somebody has written, who can write something else.
fn warn(warnings: &mut Vec<Warning>, position: Option<Position>, message: String) {
    if let Some(position) = position {
        warnings.push(Warning::at(position, message));
    }
}
