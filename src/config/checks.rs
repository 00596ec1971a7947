//! What must hold between the databases of one configuration: each is listed once, and no two things share a
//! directory. Paths are compared with symbolic links followed as far as they exist.

use std::path::{Path, PathBuf};

use super::error::{ConfigError, Problem, Warning};
use super::model::DatabaseConfig;
use super::paths::resolved;
use super::yaml::Position;

/// A database with the places of its paths in the file.
pub(super) struct Placed {
    pub(super) database: DatabaseConfig,
    pub(super) path_position: Position,
    pub(super) replica_position: Position,
}

/// Checks the databases against each other.
pub(super) fn check(databases: &[Placed], warnings: &mut Vec<Warning>) -> Result<(), ConfigError> {
    let resolved: Vec<Resolved<'_>> = databases.iter().map(Resolved::new).collect();
    for (index, later) in resolved.iter().enumerate() {
        for earlier in &resolved[..index] {
            check_pair(earlier, later, warnings)?;
        }
    }
    for owner in &resolved {
        for other in &resolved {
            check_replica_against(owner, other, warnings)?;
        }
    }
    Ok(())
}

/// A database with the true places of its paths.
struct Resolved<'a> {
    placed: &'a Placed,
    path: PathBuf,
    meta: PathBuf,
    replica: PathBuf,
}

impl Resolved<'_> {
    fn new(placed: &Placed) -> Resolved<'_> {
        let database = &placed.database;
        Resolved {
            placed,
            path: resolved(&database.path),
            meta: resolved(&database.meta_path),
            replica: resolved(database.replica.location.directory()),
        }
    }
}

fn check_pair(
    earlier: &Resolved<'_>,
    later: &Resolved<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
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
    let replicas_collide = shares_files(&earlier.replica, &later.replica)
        || shares_files(&later.replica, &earlier.replica);
    if replicas_collide {
        return conflict(
            later.placed.replica_position,
            format!(
                "the replica {} of {} (line {}) is also that of {} (line {}); give each database a directory of \
                 its own",
                second.replica.location,
                second.path.display(),
                later.placed.replica_position.line,
                first.path.display(),
                earlier.placed.replica_position.line
            ),
        );
    }
    if later.replica.starts_with(&earlier.replica) || earlier.replica.starts_with(&later.replica) {
        warnings.push(Warning::at(
            later.placed.replica_position,
            format!(
                "the replica {} of {} and the replica {} of {} (line {}) lie inside each other; whoever deletes the \
                 outer directory deletes both",
                second.replica.location,
                second.path.display(),
                first.replica.location,
                first.path.display(),
                earlier.placed.replica_position.line
            ),
        ));
    }
    Ok(())
}

/// A replica must be neither a database nor in a directory that holds what is remembered about one.
fn check_replica_against(
    owner: &Resolved<'_>,
    other: &Resolved<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let replica = &owner.placed.database.replica.location;
    let position = owner.placed.replica_position;
    let database = other.placed.database.path.display();
    if owner.replica.starts_with(&other.meta) {
        return conflict(
            position,
            format!(
                "the replica {replica} lies in {}, where the state of {database} is kept; choose another directory",
                other.placed.database.meta_path.display()
            ),
        );
    }
    if owner.replica.starts_with(&other.path) {
        return conflict(
            position,
            format!(
                "the replica {replica} is at the file of the database {database}; choose a directory"
            ),
        );
    }
    if other.path.starts_with(&owner.replica) {
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

/// Whether a replica at `inner` would have files among those of one at `outer`.
fn shares_files(outer: &Path, inner: &Path) -> bool {
    inner == outer || inner.starts_with(outer.join("ltx"))
}

fn conflict(position: Position, message: String) -> Result<(), ConfigError> {
    Err(ConfigError::at(position, Problem::Conflict(message)))
}
