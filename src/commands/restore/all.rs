//! `restore -all`: every database of a configuration, or every replica below a URL, one after the other.
//!
//! On a machine that starts with nothing, which databases a directory had is known to the storage alone, so it is
//! looked there, whatever is in the directory. Names in a storage are anybody's: one that leads elsewhere is refused,
//! and so are two that lead to the same file. What becomes of one database is nothing to the others.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attempt::until_reachable;
use super::{RestoreArguments, RestoreOptions, eprintln_unless_closed, once, options_for, output};

use crate::commands::source::{ConfigFile, Opened, none_of, open_replicas, warn_of};
use crate::commands::{CommandError, Outcome, Reason, open};
use crate::config::{Config, DatabaseConfig, DirectoryConfig, LogLevel, ReplicaLocation, is_url};
use crate::restore::is_unreachable;
use crate::storage::{Bounds, Found, Network, StorageError, find_replicas};
use crate::sys::clock::SystemClock;

/// One database to restore.
struct Job {
    /// Where to; a directory where it is about what could not be found out there.
    output: PathBuf,
    /// From where; an error where that is known not to work.
    from: Result<From, CommandError>,
}

enum From {
    Configured(Box<DatabaseConfig>),
    Url(ReplicaLocation),
}

/// All that is restored with.
struct All {
    options: RestoreOptions,
    network: Arc<Network>,
    start: Instant,
}

/// Restores all, and tells of each.
///
/// # Errors
/// When the arguments make no sense together, or it cannot be found out what there is.
pub(super) fn run(
    arguments: RestoreArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let options = |is_configured| -> Result<RestoreOptions, CommandError> {
        check(&arguments)?;
        options_for(&arguments, is_configured)
    };
    let is_configured = arguments.rest.is_empty();
    let options = options(is_configured).map_err(|error| error.of(Reason::Usage))?;
    let all = |options, bounds| All {
        options,
        network: Network::new(bounds, Arc::new(SystemClock)),
        start: Instant::now(),
    };
    let (all, jobs, nothing) = match arguments.rest.first() {
        Some(url) => {
            let usage = |error: CommandError| error.of(Reason::Usage);
            let top = ReplicaLocation::parse_url(url);
            let top = top.map_err(|error| usage(error.into()))?;
            let directory = output(&arguments).map_err(usage)?.unwrap_or_default();
            super::super::start_logging(LogLevel::Warn);
            let all = all(options, Bounds::default());
            let jobs = all.below(&top, &directory)?;
            (all, jobs, format!("there is no replica below {top}"))
        }
        None => {
            let file = ConfigFile::from_flags(arguments.config, arguments.no_expand_env);
            super::super::start_logging(LogLevel::Warn);
            let (config, warnings) = file.load()?;
            super::super::print_warnings(&warnings);
            let all = all(options, config.network);
            let jobs = all.of_configuration(&config);
            let nothing = "the configuration has no database".to_owned();
            (all, jobs, nothing)
        }
    };
    if jobs.is_empty() {
        let error = CommandError::new(nothing).of(Reason::NoBackup);
        return all.nothing(error, out);
    }
    all.restore(apart(jobs), out)
}

/// Whether the arguments go with `-all`.
fn check(arguments: &RestoreArguments) -> Result<(), CommandError> {
    let is_of_one = arguments.txid.is_some()
        || arguments.follow
        || arguments.follow_interval.is_some()
        || arguments.replica.is_some();
    let has_output = arguments.output.as_ref().is_some_and(|it| !it.is_empty());
    let message = match &arguments.rest[..] {
        _ if is_of_one => {
            "-all restores each database to its newest state or that of -timestamp, and so takes none of -txid, -f, \
             -follow-interval and -replica"
        }
        [] if has_output => {
            "-all restores the databases of a configuration to their own paths, so -o goes with a replica URL only"
        }
        [] => return Ok(()),
        [url] if !is_url(url) || crate::commands::source::is_sqlite_url(url) => {
            "-all takes a configuration, or a replica URL with databases below it, and no database"
        }
        [_] if arguments.config.is_some() => {
            "cannot specify a replica URL and the -config flag; the URL alone says where the replicas are"
        }
        [_] if has_output => return Ok(()),
        [_] => "-o DIRECTORY is required when restoring all that is below a replica URL",
        _ => "too many arguments",
    };
    Err(CommandError::new(message).with_try("walbrook restore -all -o DIRECTORY REPLICA_URL"))
}

impl All {
    /// Every replica below `top`, at its path in `directory`.
    fn below(&self, top: &ReplicaLocation, directory: &Path) -> Result<Vec<Job>, CommandError> {
        let found = until_reachable(self.rest(), &mut |_| self.find(top))?;
        let mut jobs = unseen(&found, directory);
        for path in &found.replicas {
            let Some(name) = path.strip_suffix('/') else {
                return Err(CommandError::new(format!(
                    "{top} is a replica itself; nothing was restored, since -all is of those below a URL"
                ))
                .with_try(format!("walbrook restore -o DB_PATH {top}")));
            };
            jobs.push(match top.database_at(name) {
                Ok((location, relative)) => Job {
                    output: directory.join(relative),
                    from: Ok(From::Url(location)),
                },
                Err(reason) => refused(top, name, &reason, directory),
            });
        }
        Ok(jobs)
    }

    /// Every database that is listed, and all of directories that any of their replicas has.
    fn of_configuration(&self, config: &Config) -> Vec<Job> {
        let listed = config.databases.iter().map(|database| Job {
            output: database.path.clone(),
            from: Ok(From::Configured(Box::new(database.clone()))),
        });
        let mut jobs: Vec<Job> = listed.collect();
        for directory in &config.directories {
            let found = until_reachable(self.rest(), &mut |is_patient| {
                self.of_directory(directory, is_patient)
            });
            jobs.extend(found.unwrap_or_else(|error| {
                vec![Job {
                    output: directory.files.directory.clone(),
                    from: Err(error),
                }]
            }));
        }
        jobs
    }

    /// The databases of `directory` that any of its replicas has; at least one. Where it `is_patient`, all must answer.
    fn of_directory(
        &self,
        directory: &DirectoryConfig,
        is_patient: bool,
    ) -> Result<Vec<Job>, CommandError> {
        let files = &directory.files;
        let (mut databases, mut jobs, mut failed) = (BTreeMap::new(), Vec::new(), Vec::new());
        let mut worst = Reason::Failed;
        let mut shown = Vec::new();
        for (number, top) in directory.tops().enumerate() {
            let top = top.map_err(CommandError::new)?;
            let found = match self.find(&top) {
                Ok(found) => found,
                Err(error) => {
                    if error.reason() == Reason::Unreachable {
                        worst = Reason::Unreachable;
                    }
                    failed.push((top.to_string(), error.to_string()));
                    continue;
                }
            };
            jobs.extend(unseen(&found, &files.directory));
            for path in &found.replicas {
                // The place itself can be that of no database.
                let Some(name) = path.strip_suffix('/') else {
                    continue;
                };
                match directory.database_at(number, &top, name) {
                    Ok(Some(database)) => drop(databases.insert(database.path.clone(), database)),
                    Ok(None) => {}
                    Err(reason) => jobs.push(refused(&top, name, &reason, &files.directory)),
                }
            }
            shown.push(top.to_string());
        }
        if shown.is_empty() || (is_patient && worst == Reason::Unreachable) {
            return Err(none_of(&failed).of(worst));
        }
        warn_of(&failed);
        jobs.extend(databases.into_values().map(|database| Job {
            output: database.path.clone(),
            from: Ok(From::Configured(Box::new(database))),
        }));
        if jobs.is_empty() {
            return Err(CommandError::new(format!(
                "there is no replica of a database with a name that matches `{}` below {}",
                files.pattern.as_str(),
                shown.join(", ")
            ))
            .of(Reason::NoBackup));
        }
        Ok(jobs)
    }

    fn find(&self, top: &ReplicaLocation) -> Result<Found, CommandError> {
        let storage = open::storage(top, &self.network)?;
        find_replicas(&*storage).map_err(of_storage)
    }

    /// What is left of the time that a storage may take to be reached, which is for all together.
    fn rest(&self) -> Duration {
        self.options.max_wait.saturating_sub(self.start.elapsed())
    }

    /// Restores each, and tells how it went.
    fn restore(&self, jobs: Vec<Job>, out: &mut dyn Write) -> Result<Outcome, CommandError> {
        let (mut codes, mut objects) = (Vec::new(), Vec::new());
        for job in jobs {
            let (path, mut told) = (job.output.clone(), Vec::new());
            let ended = self.restore_one(job, &mut told);
            if let Err(error) = &ended {
                if error.is_output_closed() {
                    return ended;
                }
                eprintln_unless_closed(&format!("Error: {}: {error}", path.display()));
            }
            codes.push(
                ended
                    .as_ref()
                    .map_or_else(|error| error.reason().code(), |_| 0),
            );
            if self.options.json {
                objects.push(object(&path, &ended, &told));
            } else {
                if codes.len() > 1 && !told.is_empty() {
                    writeln!(out)?;
                }
                out.write_all(&told)?;
            }
        }
        if self.options.json {
            writeln!(out, "[\n{}\n]", objects.join(",\n"))?;
        }
        let failed = codes.iter().filter(|code| **code != 0).count();
        if failed > 0 {
            let count = codes.len();
            eprintln_unless_closed(&format!("{failed} of {count} databases were not restored"));
        }
        Ok(Outcome::worst_of(codes.into_iter()))
    }

    fn restore_one(&self, job: Job, out: &mut dyn Write) -> Result<Outcome, CommandError> {
        let options = RestoreOptions {
            output: job.output,
            max_wait: self.rest(),
            ..self.options.clone()
        };
        let opened = match job.from {
            Ok(From::Configured(database)) => open_replicas(&database, None, &self.network)?,
            Ok(From::Url(location)) => Opened {
                storages: vec![open::storage(&location, &self.network)?],
                several: false,
            },
            Err(error) if error.reason() == Reason::NoBackup && options.if_replica_exists => {
                options.say("no matching backups found, skipping");
                return Ok(Outcome::Success);
            }
            Err(error) => return Err(error),
        };
        let output = options.output.canonicalize();
        let output = output.unwrap_or_else(|_| options.output.clone());
        once(&options, &output, &opened, out)
    }

    /// Where there is nothing to restore from at all.
    fn nothing(&self, error: CommandError, out: &mut dyn Write) -> Result<Outcome, CommandError> {
        if !self.options.if_replica_exists {
            return Err(error);
        }
        eprintln_unless_closed(&format!("{error}, skipping"));
        if self.options.json {
            writeln!(out, "[]")?;
        }
        Ok(Outcome::Success)
    }
}

/// Refuses those that lead to the same file.
fn apart(mut jobs: Vec<Job>) -> Vec<Job> {
    let mut counts: HashMap<PathBuf, usize> = HashMap::new();
    let is_database = |job: &&Job| job.from.is_ok();
    for job in jobs.iter().filter(is_database) {
        *counts
            .entry(crate::config::resolved(&job.output))
            .or_default() += 1;
    }
    for job in &mut jobs {
        if job.from.is_ok() && counts[&crate::config::resolved(&job.output)] > 1 {
            job.from = Err(CommandError::new(
                "several replicas lead to this file, so none was restored; restore the right one by itself",
            ));
        }
    }
    jobs
}

fn unseen<'a>(found: &'a Found, directory: &'a Path) -> Vec<Job> {
    let job = |error: &StorageError| Job {
        output: directory.to_owned(),
        from: Err(CommandError::new(format!(
            "{error}; what is in there was not restored"
        ))),
    };
    found.unseen.iter().map(job).collect()
}

fn refused(top: &ReplicaLocation, name: &str, reason: &str, directory: &Path) -> Job {
    let shown = crate::config::text::quoted(name);
    Job {
        output: directory.to_owned(),
        from: Err(CommandError::new(format!(
            "the replica {shown} below {top}: {reason}; restore it by its own URL, with -o"
        ))),
    }
}

fn of_storage(error: StorageError) -> CommandError {
    let reason = match is_unreachable(&error) {
        true => Reason::Unreachable,
        false => Reason::Failed,
    };
    CommandError::from(error).of(reason)
}

/// What became of one, as a JSON object in a list. `told` is what its restore told.
fn object(path: &Path, ended: &Result<Outcome, CommandError>, told: &[u8]) -> String {
    use crate::commands::json::Json;
    let told = String::from_utf8_lossy(told);
    let text = match ended {
        Ok(_) if !told.is_empty() => told.trim_end().to_owned(),
        ended => {
            let mut fields = vec![("db_path", Json::text(path.display()))];
            match ended {
                Ok(_) => fields.push(("result", Json::text("skipped"))),
                Err(error) => fields.extend([
                    ("result", Json::text("failed")),
                    ("exit_code", Json::Number(error.reason().code().into())),
                    ("error", Json::text(error)),
                ]),
            }
            Json::Object(fields).to_string()
        }
    };
    // No line ends within a text of JSON.
    let lines: Vec<String> = text.lines().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}
