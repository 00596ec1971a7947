//! What must hold between the databases of one configuration: each is listed once, and no two things share a
//! directory or the names of objects. Paths are compared with symbolic links followed as far as they exist.

use std::path::PathBuf;

use super::error::{ConfigError, Problem, Warning};
use super::location::ReplicaLocation;
use super::model::{DatabaseConfig, ReplicaConfig};
use super::paths::resolved;
use super::yaml::Position;

/// A database with the places of its paths in the file.
pub(super) struct Placed {
    pub(super) database: DatabaseConfig,
    pub(super) path_position: Position,
    /// Of each replica.
    pub(super) replica_positions: Vec<Position>,
}

/// Checks the databases against each other.
pub(super) fn check(databases: &[Placed], warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
    let resolved: Vec<Resolved<'_>> = databases.iter().map(Resolved::new).collect();
    for (index, later) in resolved.iter().enumerate() {
        for earlier in &resolved[..index] {
            check_databases(earlier, later)?;
        }
    }
    let replicas: Vec<Replica<'_>> = databases.iter().flat_map(Replica::all_of).collect();
    for (index, later) in replicas.iter().enumerate() {
        for earlier in &replicas[..index] {
            check_replicas(earlier, later, warnings)?;
        }
    }
    for replica in &replicas {
        for database in &resolved {
            check_replica_against(replica, database, warnings)?;
        }
    }
    Ok(())
}

/// A database with the true places of its paths.
struct Resolved<'a> {
    placed: &'a Placed,
    path: PathBuf,
    meta: PathBuf,
}

/// A replica with its true place.
struct Replica<'a> {
    /// Of which database.
    database: &'a DatabaseConfig,
    config: &'a ReplicaConfig,
    position: Position,
    place: Place,
}

/// Where the files of a replica are.
enum Place {
    Directory(PathBuf),
    Bucket {
        /// Who has it, and which it is.
        bucket: (String, String),
        path: String,
    },
}

impl Place {
    fn of(location: &ReplicaLocation) -> Place {
        match location {
            ReplicaLocation::File(path) => Place::Directory(resolved(path)),
            ReplicaLocation::S3(settings) => Place::Bucket {
                bucket: (settings.server(), settings.bucket.clone()),
                path: settings.path.clone(),
            },
        }
    }

    /// Whether a replica at `inner` would have files among those of one here.
    fn shares_files(&self, inner: &Place) -> bool {
        match (self, inner) {
            (Place::Directory(outer), Place::Directory(inner)) => {
                inner == outer || inner.starts_with(outer.join("ltx"))
            }
            (Place::Bucket { path: outer, .. }, Place::Bucket { path, .. })
                if self.is_in_bucket_of(inner) =>
            {
                path == outer
                    || path
                        .strip_prefix(outer.as_str())
                        .is_some_and(begins_with_a_level)
            }
            _ => false,
        }
    }

    /// Whether deleting all of this replica deletes one at `inner`.
    fn contains(&self, inner: &Place) -> bool {
        match (self, inner) {
            (Place::Directory(outer), Place::Directory(inner)) => inner.starts_with(outer),
            (Place::Bucket { path: outer, .. }, Place::Bucket { path, .. }) => {
                let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
                self.is_in_bucket_of(inner) && path.strip_prefix(outer.as_str()).is_some_and(below)
            }
            _ => false,
        }
    }

    /// What each database should have one of.
    fn noun(&self) -> &'static str {
        match self {
            Place::Directory(_) => "directory",
            Place::Bucket { .. } => "path",
        }
    }

    fn is_in_bucket_of(&self, other: &Place) -> bool {
        match (self, other) {
            (Place::Bucket { bucket: one, .. }, Place::Bucket { bucket: other, .. }) => {
                one == other
            }
            _ => false,
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

impl Resolved<'_> {
    fn new(placed: &Placed) -> Resolved<'_> {
        let database = &placed.database;
        Resolved {
            placed,
            path: resolved(&database.path),
            meta: resolved(&database.meta_path),
        }
    }
}

impl Replica<'_> {
    fn all_of(placed: &Placed) -> impl Iterator<Item = Replica<'_>> {
        let database = &placed.database;
        let positions = placed.replica_positions.iter();
        database
            .replicas
            .iter()
            .zip(positions)
            .map(|(config, &position)| Replica {
                database,
                config,
                position,
                place: Place::of(&config.location),
            })
    }
}

fn check_databases(earlier: &Resolved<'_>, later: &Resolved<'_>) -> Result<(), ConfigError> {
    let (first, second) = (&earlier.placed.database, &later.placed.database);
    if earlier.path == later.path {
        return conflict(
            later.placed.path_position,
            format!(
                "duplicate path {}: it is the database of line {}; each database can be listed only once",
                second.path.display(),
                earlier.placed.path_position.line
            ),
        );
    }
    if earlier.meta == later.meta {
        return conflict(
            later.placed.path_position,
            format!(
                "{} and {} have the same meta-path {}; give each its own",
                first.path.display(),
                second.path.display(),
                second.meta_path.display()
            ),
        );
    }
    Ok(())
}

fn check_replicas(
    earlier: &Replica<'_>,
    later: &Replica<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let (first, second) = (
        earlier.database.path.display(),
        later.database.path.display(),
    );
    let (outer, inner) = (&earlier.config.location, &later.config.location);
    if earlier.place.shares_files(&later.place) || later.place.shares_files(&earlier.place) {
        return conflict(
            later.position,
            format!(
                "the replica {inner} of {second} (line {}) is also that of {first} (line {}); give each {} \
                 a {} of its own",
                later.position.line,
                earlier.position.line,
                match earlier.database.path == later.database.path {
                    true => "replica",
                    false => "database",
                },
                later.place.noun()
            ),
        );
    }
    if later.place.contains(&earlier.place) || earlier.place.contains(&later.place) {
        warnings.push(Warning::at(
            later.position,
            format!(
                "the replica {inner} of {second} and the replica {outer} of {first} (line {}) lie inside each other; \
                 whoever deletes the outer one deletes both",
                earlier.position.line
            ),
        ));
    }
    Ok(())
}

/// A replica must be neither a database nor in a directory that holds what is remembered about one.
fn check_replica_against(
    replica: &Replica<'_>,
    other: &Resolved<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let Place::Directory(directory) = &replica.place else {
        return Ok(());
    };
    let position = replica.position;
    let replica = &replica.config.location;
    let database = other.placed.database.path.display();
    if directory.starts_with(&other.meta) {
        return conflict(
            position,
            format!(
                "the replica {replica} lies in {}, where the state of {database} is kept; choose another directory",
                other.placed.database.meta_path.display()
            ),
        );
    }
    if directory.starts_with(&other.path) {
        return conflict(
            position,
            format!(
                "the replica {replica} is at the file of the database {database}; choose a directory"
            ),
        );
    }
    if other.path.starts_with(directory) {
        warnings.push(Warning::at(
            position,
            format!(
                "the database {database} lies in the directory of the replica {replica}; whoever deletes the replica \
                 deletes the database"
            ),
        ));
    }
    Ok(())
}

fn conflict(position: Position, message: String) -> Result<(), ConfigError> {
    Err(ConfigError::at(position, Problem::Conflict(message)))
}
