//! How replicas are kept small: the keys `levels`, `snapshot`, `l0-retention`, `retention` and
//! `validation`.

use std::time::Duration;

use super::defaults;
use super::error::{ConfigError, Warning};
use super::scalar;
use super::section::Section;
use super::yaml::Position;
use crate::units::KeepRules;

/// The most levels there can be between 0, where syncs are, and 9, where snapshots are.
const LEVELS_MAX: usize = 8;

/// How a replica is kept small, and what can be restored from it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeepingConfig {
    /// How often the levels from 1 on are written, one to eight, each more than zero.
    pub levels: Vec<Duration>,
    /// How often a snapshot is taken, more than zero.
    pub snapshot_interval: Duration,
    /// Whether one is taken at once, beyond that.
    pub snapshot_now: bool,
    /// How far back every state can be restored, more than zero.
    pub snapshot_retention: Duration,
    /// Which snapshots are kept for longer than that.
    pub keep: KeepRules,
    /// How long syncs are kept after they were merged into level 1; none for ever.
    pub sync_retention: Option<Duration>,
    /// The least time between two deletions, more than zero.
    pub sync_retention_check: Duration,
    /// Whether anything is ever deleted.
    pub deletes: bool,
    /// How often the replica is listed, only to see whether anything is missing; none never.
    pub validation_interval: Option<Duration>,
}

impl Default for KeepingConfig {
    fn default() -> KeepingConfig {
        KeepingConfig {
            levels: defaults::LEVELS.to_vec(),
            snapshot_interval: defaults::SNAPSHOT_INTERVAL,
            snapshot_now: false,
            snapshot_retention: defaults::SNAPSHOT_RETENTION,
            keep: KeepRules::default(),
            sync_retention: Some(defaults::L0_RETENTION),
            sync_retention_check: defaults::L0_RETENTION_CHECK,
            deletes: true,
            validation_interval: None,
        }
    }
}

/// Reads what `top` says for all databases.
pub(super) fn shared(
    top: &Section<'_>,
    warnings: &mut Vec<Warning>,
) -> Result<KeepingConfig, ConfigError> {
    let mut keeping = KeepingConfig::default();
    if top.entry("levels").is_some() {
        keeping.levels = levels(top)?;
    }
    snapshot(top, &mut keeping, warnings)?;
    match top.read("l0-retention", scalar::duration)? {
        Some(Duration::ZERO) => keeping.sync_retention = None,
        Some(time) => keeping.sync_retention = Some(time),
        None => {}
    }
    if let Some(interval) = top.read("l0-retention-check-interval", scalar::interval)? {
        keeping.sync_retention_check = interval;
    }
    if let Some(retention) = top.section("retention")?
        && let Some(enabled) = retention.read("enabled", scalar::boolean)?
    {
        keeping.deletes = enabled;
    }
    if let Some(validation) = top.section("validation")?
        && let Some(interval) = validation.read("interval", scalar::duration)?
    {
        keeping.validation_interval = Some(interval).filter(|interval| !interval.is_zero());
    }
    Ok(keeping)
}

/// The same for one database, which has a `snapshot` section of its own.
pub(super) fn of_database(
    database: &Section<'_>,
    top: &Section<'_>,
    shared: &KeepingConfig,
    warnings: &mut Vec<Warning>,
) -> Result<KeepingConfig, ConfigError> {
    let mut keeping = shared.clone();
    snapshot(database, &mut keeping, warnings)?;
    if let (Some(own), Some(above)) = (database.section("snapshot")?, top.section("snapshot")?) {
        for key in ["interval", "retention"] {
            if let (Some(entry), Some(_)) = (own.entry(key), above.entry(key)) {
                warnings.push(Warning::at(
                    entry.position,
                    format!(
                        "`{}{key}` holds for this database; Litestream would take that at the top level for all",
                        own.name
                    ),
                ));
            }
        }
    }
    Ok(keeping)
}

fn levels(top: &Section<'_>) -> Result<Vec<Duration>, ConfigError> {
    let nodes = top.list("levels")?;
    let position = top.entry("levels").map_or(top.position, |it| it.position);
    if nodes.is_empty() {
        return Err(top.invalid(
            position,
            "levels",
            "there must be at least one; write `- interval: 30s` below it, or take the key out",
        ));
    }
    if nodes.len() > LEVELS_MAX {
        return Err(top.invalid(
            position,
            "levels",
            format!(
                "there can be {LEVELS_MAX} at most, these are {}",
                nodes.len()
            ),
        ));
    }
    let mut intervals = Vec::new();
    for (index, node) in nodes.iter().enumerate() {
        let level = Section::new(node, format!("levels[{index}]."))?;
        let Some(interval) = level.read("interval", scalar::interval)? else {
            return Err(level.missing("add `interval:` with how often the level is written"));
        };
        intervals.push(interval);
    }
    Ok(intervals)
}

fn snapshot(
    parent: &Section<'_>,
    keeping: &mut KeepingConfig,
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let Some(section) = parent.section("snapshot")? else {
        return Ok(());
    };
    let interval = section.read("interval", scalar::interval)?;
    let retention = section.read("retention", scalar::interval)?;
    keeping.snapshot_interval = interval.unwrap_or(keeping.snapshot_interval);
    keeping.snapshot_retention = retention.unwrap_or(keeping.snapshot_retention);
    if let Some(keep) = section.section("keep")? {
        keeping.keep = keep_rules(&keep)?;
    }
    let said = interval.or(retention).is_some();
    if said && keeping.snapshot_retention <= keeping.snapshot_interval {
        warnings.push(short_for_litestream(&section, section.position));
    }
    Ok(())
}

/// A kind of period that is not named keeps nothing; so a section of a database replaces all of that above.
fn keep_rules(section: &Section<'_>) -> Result<KeepRules, ConfigError> {
    let count =
        |key| -> Result<u32, ConfigError> { Ok(section.read(key, scalar::count)?.unwrap_or(0)) };
    Ok(KeepRules {
        hourly: count("hourly")?,
        daily: count("daily")?,
        weekly: count("weekly")?,
        monthly: count("monthly")?,
        yearly: count("yearly")?,
    })
}

/// Litestream deletes all snapshots that are older than the retention, so after each new one nothing before it.
fn short_for_litestream(section: &Section<'_>, position: Position) -> Warning {
    let name = section.name.trim_end_matches('.');
    Warning::at(
        position,
        format!(
            "`{name}`: the retention is not longer than the interval; walbrook keeps one snapshot more, so that every \
             state of the retention can be restored, but Litestream with this file would not: write a longer \
             `retention` if both are to use it"
        ),
    )
}
