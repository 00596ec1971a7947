//! From the tree of nodes to the [`Config`] it means.

use std::rc::Rc;
use std::time::Duration;

use super::checks::{self, Placed};
use super::defaults;
use super::error::{ConfigError, Problem, Warning};
use super::location::{ReplicaLocation, reject_url_as_path, require_file_type};
use super::model::{Config, DatabaseConfig, LogLevel, Logging};
use super::paths::Base;
use super::text::quoted;
use super::yaml::{Entry, Node, Position, Value};
use super::{scalar, schema};

/// Builds the configuration in `root`; relative paths begin at `base`.
pub(super) fn build(
    root: &Node,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<Config, ConfigError> {
    let top = Section::new(root, String::new())?;
    let sync_interval = top.read("sync-interval", scalar::interval)?;
    let mut databases = Vec::new();
    for (index, node) in top.list("dbs")?.iter().enumerate() {
        let name = format!("dbs[{index}].");
        databases.push(database(node, name, sync_interval, base, warnings)?);
    }
    // After the databases: an unsupported replica type explains the settings for it at the top level.
    schema::check(root, "", schema::TOP, warnings)?;
    if databases.is_empty() {
        return Err(ConfigError::new(Problem::NoDatabases));
    }
    checks::check(&databases, warnings)?;
    Ok(Config {
        databases: databases
            .into_iter()
            .map(|placed| placed.database)
            .collect(),
        exec: top
            .text("exec")?
            .filter(|(command, _)| !command.is_empty())
            .map(|(command, _)| command.to_owned()),
        logging: logging(&top)?,
        shutdown_sync_timeout: top
            .read("shutdown-sync-timeout", scalar::duration)?
            .unwrap_or(defaults::SHUTDOWN_SYNC_TIMEOUT),
        shutdown_sync_interval: top
            .read("shutdown-sync-interval", scalar::interval)?
            .unwrap_or(defaults::SHUTDOWN_SYNC_INTERVAL),
    })
}

fn database(
    node: &Node,
    name: String,
    sync_interval: Option<Duration>,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<Placed, ConfigError> {
    schema::check(node, &name, schema::DATABASE, warnings)?;
    let section = Section::new(node, name)?;
    let Some((path_text, path_position)) = section.text("path")? else {
        return Err(section.missing("add `path:` with the file of the database"));
    };
    let path = base
        .database(path_text)
        .map_err(|reason| section.invalid(path_position, "path", reason))?;
    let replica_node = replica_node(&section)?;
    let replica_name = format!("{}replica.", section.name);
    let replica = replica(replica_node, replica_name, base, warnings)?;
    let mut database = DatabaseConfig::new(path, replica.location);
    let replica_interval = replica.sync_interval.or(sync_interval);
    if let Some(interval) = replica_interval {
        database.replica.sync_interval = interval;
    }
    if let Some((text, position)) = section
        .text("meta-path")?
        .filter(|(text, _)| !text.is_empty())
    {
        database.meta_path = base
            .absolute(text)
            .map_err(|reason| section.invalid(position, "meta-path", reason))?;
    }
    if let Some(interval) = section.read("monitor-interval", scalar::interval)? {
        database.monitor_interval = interval;
    }
    if let Some(interval) = section.read("checkpoint-interval", scalar::duration)? {
        database.checkpoint_interval = interval;
    }
    if let Some(timeout) = section.read("busy-timeout", scalar::duration)? {
        database.busy_timeout = timeout;
    }
    if let Some(pages) = section.read("min-checkpoint-page-count", page_threshold)? {
        database.min_checkpoint_pages = pages;
    }
    if let Some(pages) = section.read("truncate-page-n", truncate_threshold)? {
        database.truncate_pages = pages;
    }
    Ok(Placed {
        database,
        path_position,
        replica_position: replica.position,
    })
}

/// The one replica of a database, under either of its keys.
fn replica_node<'a>(section: &Section<'a>) -> Result<&'a Node, ConfigError> {
    let several = section.list("replicas")?;
    match (section.entry("replica"), several) {
        (Some(entry), []) => Ok(&entry.value),
        (Some(entry), _) => Err(ConfigError::at(
            entry.position,
            Problem::Conflict(format!(
                "{}: cannot specify `replica` and `replicas` on a database; keep `replica`",
                section.name.trim_end_matches('.')
            )),
        )),
        (None, [one]) => Ok(one),
        (None, []) => Err(section.missing(
            "must specify replica for database: add `replica:` with `path:` or `url:` below it",
        )),
        (None, [_, second, ..]) => Err(section.invalid(
            second.position,
            "replicas",
            "multiple replicas on a single database are no longer supported; keep one, as `replica`",
        )),
    }
}

struct Replica {
    location: ReplicaLocation,
    position: Position,
    sync_interval: Option<Duration>,
}

fn replica(
    node: &Node,
    name: String,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<Replica, ConfigError> {
    let section = Section::new(node, name)?;
    // The place before the other keys: of a type that is not supported, its settings are not either.
    let place = location(&section, base);
    match &place {
        Ok(_) => {}
        Err(error) if matches!(error.problem, Problem::Missing { .. }) => {}
        Err(error) => return Err(error.clone()),
    }
    schema::check(node, &section.name, schema::REPLICA, warnings)?;
    let (location, position) = place?;
    Ok(Replica {
        location,
        position,
        sync_interval: section.read("sync-interval", scalar::interval)?,
    })
}

fn location(
    section: &Section<'_>,
    base: &Base,
) -> Result<(ReplicaLocation, Position), ConfigError> {
    let given = |text: &Option<(&str, Position)>| text.is_some_and(|(text, _)| !text.is_empty());
    let url = section.text("url")?.filter(|url| given(&Some(*url)));
    let path = section.text("path")?.filter(|path| given(&Some(*path)));
    if let Some((text, position)) = path {
        reject_url_as_path(text).map_err(|reason| section.invalid(position, "path", reason))?;
    }
    if let Some((text, position)) = url {
        let location = ReplicaLocation::parse_url(text).map_err(|problem| match problem {
            Problem::InvalidValue { reason, .. } => section.invalid(position, "url", reason),
            problem => ConfigError::at(position, problem),
        })?;
        if path.is_some() {
            return Err(ConfigError::at(
                position,
                Problem::Conflict(format!(
                    "{}: cannot specify both `url` and `path`; keep one",
                    section.name.trim_end_matches('.')
                )),
            ));
        }
        return Ok((location, position));
    }
    if let Some((name, position)) = section.text("type")?.filter(|(name, _)| !name.is_empty()) {
        require_file_type(name).map_err(|problem| ConfigError::at(position, problem))?;
    }
    let Some((text, position)) = path else {
        return Err(section.missing("add `path:` with a directory, or `url:`"));
    };
    let path = base
        .absolute(text)
        .map_err(|reason| section.invalid(position, "path", reason))?;
    Ok((ReplicaLocation::File(path), position))
}

fn logging(top: &Section<'_>) -> Result<Logging, ConfigError> {
    let mut logging = Logging::default();
    let Some(entry) = top.entry("logging") else {
        return Ok(logging);
    };
    let section = Section::new(&entry.value, "logging.".to_owned())?;
    if let Some(level) = section.read("level", log_level)? {
        logging.level = level;
    }
    match section.text("type")? {
        None | Some(("" | "text", _)) => Ok(logging),
        Some((name @ ("json" | "pretty"), position)) => Err(ConfigError::at(
            position,
            Problem::NotSupportedYet {
                what: format!("logging of type `{name}` is"),
                advice: "write `type: text`",
            },
        )),
        Some((name, position)) => {
            let reason = format!("{} is no type of log; write `text`", quoted(name));
            Err(section.invalid(position, "type", reason))
        }
    }
}

fn log_level(text: &str) -> Result<LogLevel, String> {
    LogLevel::parse(text).ok_or_else(|| {
        format!(
            "{} is no level; write trace, debug, info, warn or error",
            quoted(text)
        )
    })
}

fn page_threshold(text: &str) -> Result<u32, String> {
    let pages = scalar::integer(text)?;
    match u32::try_from(pages) {
        Ok(0) | Err(_) => Err(format!("must be from 1 to {} (got {pages})", u32::MAX)),
        Ok(pages) => Ok(pages),
    }
}

/// Zero is the default, a negative number never cuts.
fn truncate_threshold(text: &str) -> Result<Option<u32>, String> {
    let pages = scalar::integer(text)?;
    match u32::try_from(pages) {
        Ok(0) => Ok(Some(defaults::TRUNCATE_PAGES)),
        Ok(pages) => Ok(Some(pages)),
        Err(_) if pages < 0 => Ok(None),
        Err(_) => Err(format!("must be at most {} (got {pages})", u32::MAX)),
    }
}
