//! From the tree of nodes to the [`Config`] it means.

use std::num::NonZeroU64;

use super::claims::{self, Placed};
use super::defaults;
use super::directory::{DirectoryConfig, Target};
use super::error::{ConfigError, Problem, Warning};
use super::keeping;
use super::location::{ReplicaKind, ReplicaLocation, Written, invalid_url, reject_url_as_path};
use super::model::{
    Config, DatabaseConfig, LogLevel, Logging, ReplicaConfig, Replicas, bounds_for, largest_part,
};
use super::paths::Base;
use super::section::{Layers, Section};
use super::text::quoted;
use super::yaml::{Node, Position};
use super::{s3, s3_url, scalar, schema, sftp, sftp_url};
use crate::storage::Bounds;
use crate::units::Timestamp;

/// Builds the configuration in `root`; relative paths begin at `base`.
pub(super) fn build(
    root: &Node,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<Config, ConfigError> {
    let top = Section::new(root, String::new())?;
    let mut entries = Vec::new();
    for (index, node) in top.list("dbs")?.iter().enumerate() {
        let name = format!("dbs[{index}].");
        entries.push(entry(node, name, &top, base, warnings)?);
    }
    // After the databases: an unsupported replica type explains the settings for it at the top level.
    let locations = || {
        entries
            .iter()
            .flat_map(|entry| entry.settings().replicas.iter())
            .map(|replica| &replica.location)
    };
    let kinds: Vec<&str> = locations().map(ReplicaLocation::kind).collect();
    schema::check(root, "", schema::TOP, &kinds, warnings)?;
    if entries.is_empty() {
        return Err(ConfigError::new(Problem::NoDatabases));
    }
    let network = network(&top, locations)?;
    let keeping = keeping::shared(&top, warnings)?;
    for (entry, node) in entries.iter_mut().zip(top.list("dbs")?) {
        let section = Section::new(node, entry.name.clone())?;
        entry.settings_mut().keeping = keeping::of_database(&section, &top, &keeping, warnings)?;
    }
    let (mut placed, mut directories) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry.stands_for {
            StandsFor::One(database) => placed.push(database),
            StandsFor::All(directory) => directories.push(directory),
        }
    }
    claims::check(&placed, warnings)?;
    Ok(Config {
        network,
        databases: placed.into_iter().map(|placed| placed.database).collect(),
        directories,
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

/// An entry of `dbs`.
struct Entry {
    name: String,
    stands_for: StandsFor,
}

enum StandsFor {
    One(Placed),
    All(DirectoryConfig),
}

impl Entry {
    fn settings(&self) -> &DatabaseConfig {
        match &self.stands_for {
            StandsFor::One(placed) => &placed.database,
            StandsFor::All(directory) => &directory.settings,
        }
    }

    fn settings_mut(&mut self) -> &mut DatabaseConfig {
        match &mut self.stands_for {
            StandsFor::One(placed) => &mut placed.database,
            StandsFor::All(directory) => &mut directory.settings,
        }
    }
}

fn entry(
    node: &Node,
    name: String,
    top: &Section<'_>,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<Entry, ConfigError> {
    schema::check(node, &name, schema::DATABASE, &[], warnings)?;
    let section = Section::new(node, name)?;
    let target = Target::read(&section, base)?;
    let (replicas, places) = replicas(&section, top, base, warnings)?;
    let path = match &target {
        Target::File { path, .. } => path,
        Target::Directory(files) => &files.directory,
    };
    let mut database = DatabaseConfig::new(path.clone(), replicas);
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
    if section.read("restore-if-db-not-exists", scalar::boolean)? == Some(true) {
        match &target {
            Target::File { .. } => database.restore_if_missing = true,
            Target::Directory(files) => warnings.push(Warning::at(
                files.position,
                format!(
                    "`{}restore-if-db-not-exists` has no effect with `dir`: which of its databases are missing is not \
                     known; `walbrook restore` restores one by its path",
                    section.name
                ),
            )),
        }
    }
    let stands_for = match target {
        Target::Directory(files) => StandsFor::All(DirectoryConfig {
            files,
            settings: database,
            written: places.into_iter().map(|place| place.written).collect(),
            adopted: None,
        }),
        Target::File {
            position, memory, ..
        } => {
            database.meta_path = memory.unwrap_or(database.meta_path);
            StandsFor::One(Placed {
                database,
                path_position: position,
                replica_positions: places.into_iter().map(|place| place.position).collect(),
            })
        }
    };
    Ok(Entry {
        name: section.name,
        stands_for,
    })
}

/// The replicas of a database, with their places in the file: one under `replica`, or some under `replicas`.
fn replicas(
    section: &Section<'_>,
    top: &Section<'_>,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<(Replicas, Vec<ReplicaPlace>), ConfigError> {
    let nodes: Vec<(String, &Node)> = match (section.entry("replica"), section.list("replicas")?) {
        (Some(entry), []) => vec![("replica".to_owned(), &entry.value)],
        (Some(entry), _) => {
            return Err(ConfigError::at(
                entry.position,
                Problem::Conflict(format!(
                    "{}: cannot specify `replica` and `replicas` on a database; keep `replica`",
                    section.name.trim_end_matches('.')
                )),
            ));
        }
        // Named as the one that it is.
        (None, [one]) => vec![("replica".to_owned(), one)],
        (None, several) => several
            .iter()
            .enumerate()
            .map(|(index, node)| (format!("replicas[{index}]"), &**node))
            .collect(),
    };
    let (mut replicas, mut places) = (Vec::new(), Vec::new());
    for (name, node) in nodes {
        let name = format!("{}{name}.", section.name);
        let (config, place) = replica(node, name, top, base, warnings)?;
        replicas.push(config);
        places.push(place);
    }
    let mut replicas = replicas.into_iter();
    let Some(first) = replicas.next() else {
        return Err(section.missing(
            "must specify replica for database: add `replica:` with `path:` or `url:` below it",
        ));
    };
    Ok((Replicas::several(first, replicas.collect()), places))
}

/// How and where the place of a replica stands in the configuration.
struct ReplicaPlace {
    written: Written,
    position: Position,
}

fn replica(
    node: &Node,
    name: String,
    top: &Section<'_>,
    base: &Base,
    warnings: &mut Vec<Warning>,
) -> Result<(ReplicaConfig, ReplicaPlace), ConfigError> {
    let section = Section::new(node, name)?;
    if let Some(path) = section.given("path")? {
        reject_url_as_path(path.text).map_err(|reason| path.invalid(reason))?;
    }
    // The kind before the other keys: of one that is not supported, its settings are not either.
    let kind = kind(&section)?;
    schema::check(
        node,
        &section.name,
        schema::REPLICA,
        &[kind.name()],
        warnings,
    )?;
    let layers = Layers {
        own: &section,
        shared: top,
    };
    let (location, position) = match kind {
        ReplicaKind::File => file_location(&section, base)?,
        ReplicaKind::S3 => s3_location(&layers, base)?,
        ReplicaKind::Sftp => sftp_location(&layers, base)?,
    };
    let mut replica = ReplicaConfig::new(location);
    let own = section.read("sync-interval", scalar::interval)?;
    let shared = || top.read("sync-interval", scalar::interval);
    if let Some(interval) = own.map_or_else(shared, |own| Ok(Some(own)))? {
        replica.sync_interval = interval;
    }
    let written = match section.given("url")? {
        Some(_) => Written::AsUrl,
        None => Written::AsPath,
    };
    Ok((replica, ReplicaPlace { written, position }))
}

/// The scheme of the URL says it, whatever the type is; without both it is a directory.
fn kind(section: &Section<'_>) -> Result<ReplicaKind, ConfigError> {
    if let Some(url) = section.given("url")? {
        return ReplicaKind::of_url(url.text).map_err(|problem| match problem {
            Problem::InvalidValue { reason, .. } => url.invalid(reason),
            problem => ConfigError::at(url.position, problem),
        });
    }
    match section.given("type")? {
        Some(name) => {
            ReplicaKind::named(name.text).map_err(|problem| ConfigError::at(name.position, problem))
        }
        None => Ok(ReplicaKind::File),
    }
}

fn file_location(
    section: &Section<'_>,
    base: &Base,
) -> Result<(ReplicaLocation, Position), ConfigError> {
    if let Some(url) = section.given("url")? {
        reject_beside_url(section, url.position, "path")?;
        let location = ReplicaLocation::parse_url(url.text).map_err(|problem| match problem {
            Problem::InvalidValue { reason, .. } => url.invalid(reason),
            problem => ConfigError::at(url.position, problem),
        })?;
        return Ok((location, url.position));
    }
    let Some(path) = section.given("path")? else {
        return Err(section.missing("add `path:` with a directory, or `url:`"));
    };
    let directory = base
        .absolute(path.text)
        .map_err(|reason| path.invalid(reason))?;
    Ok((ReplicaLocation::File(directory), path.position))
}

fn s3_location(
    layers: &Layers<'_>,
    base: &Base,
) -> Result<(ReplicaLocation, Position), ConfigError> {
    let url = parsed_url(layers.own, &["path", "bucket"], s3_url::parse)?;
    let (settings, position) = s3::settings(layers, url, base)?;
    Ok((ReplicaLocation::S3(Box::new(settings)), position))
}

fn sftp_location(
    layers: &Layers<'_>,
    base: &Base,
) -> Result<(ReplicaLocation, Position), ConfigError> {
    let url = parsed_url(layers.own, &["path", "host"], sftp_url::parse)?;
    let (settings, position) = sftp::settings(layers, url, base)?;
    Ok((ReplicaLocation::Sftp(Box::new(settings)), position))
}

/// What `parse` makes of the URL behind its scheme, if there is one, which excludes the other `places`.
fn parsed_url<T>(
    section: &Section<'_>,
    places: &[&'static str],
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<(T, Position)>, ConfigError> {
    let Some(url) = section.given("url")? else {
        return Ok(None);
    };
    for place in places {
        reject_beside_url(section, url.position, place)?;
    }
    let rest = url.text.split_once(':').map_or("", |(_, rest)| rest);
    match parse(rest) {
        Ok(parsed) => Ok(Some((parsed, url.position))),
        Err(reason) => Err(match invalid_url(url.text, &reason) {
            Problem::InvalidValue { reason, .. } => url.invalid(reason),
            problem => ConfigError::at(url.position, problem),
        }),
    }
}

fn reject_beside_url(
    section: &Section<'_>,
    position: Position,
    key: &'static str,
) -> Result<(), ConfigError> {
    match section.given(key)? {
        None => Ok(()),
        Some(_) => Err(ConfigError::at(
            position,
            Problem::Conflict(format!(
                "{}cannot specify both `url` and `{key}`; keep one",
                section.prefix()
            )),
        )),
    }
}

fn network<'a, Locations>(
    top: &Section<'_>,
    locations: impl Fn() -> Locations,
) -> Result<Bounds, ConfigError>
where
    Locations: Iterator<Item = &'a ReplicaLocation>,
{
    let mut network = bounds_for(locations());
    let largest_part = largest_part(locations());
    let enough = |text: &str| match scalar::size(text)? {
        size if size >= largest_part => Ok(size),
        size => Err(format!(
            "{} is {size} bytes, less than one part of the largest `part-size`; write {largest_part} or more",
            quoted(text)
        )),
    };
    if let Some(size) = top.read("upload-memory", enough)? {
        network.upload_memory = size;
    }
    let rate = top.read("max-upload-rate", scalar::size)?;
    network.max_upload_rate = rate.and_then(NonZeroU64::new);
    network.tls_min_time = top.read("tls-min-time", |text| {
        Timestamp::parse(text).map_err(|error| format!("{} is {error}", quoted(text)))
    })?;
    Ok(network)
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
