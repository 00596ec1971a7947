//! `walbrook verify`: whether a replica can be restored from, found out without a restore, or with one that is thrown
//! away.

mod record;
mod report;

use std::fmt;
use std::fs::DirBuilder;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use argh::FromArgs;

use self::report::{Finding, Left, Verdict, Whole};
use super::flags::{self, Flag};
use super::progress::ProgressLine;
use super::restore::told;
use super::source::{ConfigFile, Opened, ReplicaSource, open_replicas};
use super::{CommandError, CommandHelp, Outcome, point};
use crate::config::{DatabaseConfig, LogLevel};
use crate::discovery;
use crate::restore::{self, Class, Integrity, Part, Progress, Report, RestoreError, Target};
use crate::storage::{Network, Storage, fetch_header};
use crate::sys::clock::SystemClock;
use crate::sys::fs::{DirectoryLock, FileSystem, SystemFiles};
use crate::sys::random;

pub(super) const HELP: CommandHelp = CommandHelp {
    name: "verify",
    arguments: "[DB_PATH|REPLICA_URL]",
    summary: "Prove that a replica can be restored from",
    details: "Reads what a restore would read, all of it, and keeps nothing: each file is verified, they join, no page \
              is missing, and the pages are those of the database that the newest file was written from, where that \
              file says so. Of a database path, all replicas are verified, and the result is noted beside what \
              `walbrook replicate` remembers. Exit code 0: whole; 65: something is damaged or missing; 66: there is no \
              backup, or none of that time; 75: the storage cannot be reached; 1: it could not be found out.",
    flags: &[
        flags::CONFIG,
        flags::NO_EXPAND_ENV,
        flags::REPLICA,
        point::TXID,
        point::TIMESTAMP,
        Flag {
            name: "all",
            value: None,
            help: "Verify every database of the configuration",
        },
        Flag {
            name: "drill",
            value: None,
            help: "Restore to a temporary file (in $TMPDIR), have SQLite check it in full, and remove it",
        },
        Flag {
            name: "subset",
            value: Some("N/M"),
            help: "Verify the Nth of M parts of all files there are, at whatever level. N may go on beyond M: with the \
                   day of the year for it, $(date +%j)/30, all have had their turn in 30 days",
        },
        Flag {
            name: "json",
            value: None,
            help: "Print JSON",
        },
    ],
};

/// prove that a replica is whole
#[derive(FromArgs)]
pub(crate) struct VerifyArguments {
    /// the configuration file
    #[argh(option)]
    config: Option<String>,
    /// no environment variables
    #[argh(switch)]
    no_expand_env: bool,
    /// which replica
    #[argh(option)]
    replica: Option<String>,
    /// at this transaction
    #[argh(option)]
    txid: Option<String>,
    /// at this time
    #[argh(option)]
    timestamp: Option<String>,
    /// all databases
    #[argh(switch)]
    all: bool,
    /// really restore
    #[argh(switch)]
    drill: bool,
    /// only some files
    #[argh(option)]
    subset: Option<String>,
    /// print JSON
    #[argh(switch)]
    json: bool,
    /// database or replica
    #[argh(positional)]
    rest: Vec<String>,
}

/// What is verified of a replica.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Goal {
    /// A state, without a trace.
    State(Target),
    /// A state, by a restore.
    Drill(Target),
    /// A part of the files.
    Part(Part),
}

/// As the note has it.
impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::State(_) => f.write_str("state"),
            Goal::Drill(_) => f.write_str("drill"),
            Goal::Part(part) => write!(f, "part:{part}"),
        }
    }
}

/// Verifies, and prints what it found.
///
/// # Errors
/// When the arguments make no sense together, or a replica is not there to be looked into.
pub(crate) fn run(
    arguments: VerifyArguments,
    out: &mut dyn Write,
) -> Result<Outcome, CommandError> {
    let example = "walbrook verify DB_PATH";
    let file = ConfigFile::from_flags(arguments.config.clone(), arguments.no_expand_env);
    let source = match (arguments.all, arguments.rest.is_empty()) {
        (false, _) => Some(ReplicaSource::from_arguments(
            arguments.rest.clone(),
            arguments.replica.as_deref(),
            file.clone(),
            example,
        )?),
        (true, true) if arguments.replica.is_none() && arguments.txid.is_none() => None,
        (true, _) => {
            return Err(CommandError::new(
                "-all takes neither a database nor -replica or -txid",
            ));
        }
    };
    let is_configured = source.as_ref().is_none_or(ReplicaSource::is_configured);
    let goal = goal(&arguments, is_configured)?;
    super::start_logging(LogLevel::Warn);
    let verdicts = match source {
        None => of_all(&file, goal)?,
        Some(source) => of_one(&source, goal)?,
    };
    report::write(&verdicts, arguments.json, out)?;
    Ok(Outcome::worst_of(verdicts.iter().map(Verdict::code)))
}

fn goal(arguments: &VerifyArguments, is_configured: bool) -> Result<Goal, CommandError> {
    let (txid, time) = (arguments.txid.as_deref(), arguments.timestamp.as_deref());
    let target = point::target(txid, time, is_configured)?;
    let Some(text) = arguments.subset.as_deref() else {
        return Ok(match arguments.drill {
            true => Goal::Drill(target),
            false => Goal::State(target),
        });
    };
    if arguments.drill || target != Target::Latest {
        return Err(CommandError::new(
            "-subset is of all files, so it goes with none of -txid, -timestamp and -drill",
        ));
    }
    Part::parse(text).map(Goal::Part).ok_or_else(|| {
        CommandError::new(format!(
            "invalid value {text:?} for flag -subset: write N/M, such as 3/30 for the third of 30 parts"
        ))
    })
}

/// Verifies what one argument names.
fn of_one(source: &ReplicaSource, goal: Goal) -> Result<Vec<Verdict>, CommandError> {
    let (opened, database) = source.open_with_database()?;
    let is_txid = matches!(
        goal,
        Goal::State(Target::Txid(_)) | Goal::Drill(Target::Txid(_))
    );
    if is_txid && opened.several {
        return Err(CommandError::new(
            "-txid means another state in each of several replicas; say which with -replica",
        ));
    }
    Ok(of_replicas(&opened, database.as_ref(), goal))
}

/// Verifies all databases of a configuration. One that cannot be looked into does not keep the others from it.
fn of_all(file: &ConfigFile, goal: Goal) -> Result<Vec<Verdict>, CommandError> {
    let (config, warnings) = file.load()?;
    super::print_warnings(&warnings);
    let network = Network::new(config.network, Arc::new(SystemClock));
    let databases = discovery::start(&config)?.databases;
    if databases.is_empty() {
        // Nobody should take that for a proof.
        return Err(CommandError::new(
            "the configuration has no database now, so nothing was verified",
        ));
    }
    let mut verdicts = Vec::new();
    for database in &databases {
        match open_replicas(database, None, &network) {
            Ok(opened) => verdicts.extend(of_replicas(&opened, Some(database), goal)),
            Err(error) => verdicts.push(Verdict {
                database: Some(database.path.clone()),
                location: database.replicas[0].location.to_string(),
                goal,
                finding: Finding::Unknown(error),
            }),
        }
    }
    Ok(verdicts)
}

/// Verifies each replica by itself, and notes it.
fn of_replicas(opened: &Opened, database: Option<&DatabaseConfig>, goal: Goal) -> Vec<Verdict> {
    let verdict = |storage: &Arc<dyn Storage>| Verdict {
        database: database.map(|database| database.path.clone()),
        location: storage.location(),
        goal,
        finding: find(&**storage, goal),
    };
    let verdicts: Vec<Verdict> = opened.storages.iter().map(verdict).collect();
    if let Some(database) = database {
        record::note(&database.meta_path, &verdicts);
    }
    verdicts
}

/// Verifies one replica.
fn find(storage: &dyn Storage, goal: Goal) -> Finding {
    let mut line = ProgressLine::new();
    let progress: &mut dyn FnMut(Progress) = &mut |at| line.show(at);
    let finding = match goal {
        Goal::Part(part) => match restore::check_part(storage, part, progress) {
            Ok(checked) => Finding::Part(checked),
            Err(error) => Finding::Unknown(told(&error)),
        },
        Goal::State(target) => {
            let proof = restore::prove(storage, target, progress);
            of_state(storage, target, proof, progress)
        }
        Goal::Drill(target) => match Scratch::new() {
            Ok(scratch) => {
                let proof = drill(storage, target, &scratch, progress);
                of_state(storage, target, proof, progress)
            }
            Err(error) => Finding::Unknown(CommandError::new(error)),
        },
    };
    line.clear();
    finding
}

/// What the `proof` of a state comes to. Where it failed, it is looked for what is left.
fn of_state(
    storage: &dyn Storage,
    target: Target,
    proof: Result<restore::Outcome, RestoreError>,
    progress: &mut dyn FnMut(Progress),
) -> Finding {
    match proof {
        Ok(restore::Outcome::Restored(report)) => Finding::Whole(whole(storage, target, report)),
        Ok(restore::Outcome::RestoredGeneration(report)) => Finding::Generation(report),
        // There never is anything.
        Ok(restore::Outcome::KeptExisting) => Finding::Unknown(told(&RestoreError::NothingPlanned)),
        Err(error) if error.class() == Class::Damaged => {
            let left = match error {
                // Nobody but SQLite can tell of others whether they are better.
                RestoreError::Integrity { .. } => None,
                _ => restore::left(storage, target, progress),
            };
            let left = left.map(|left| Left {
                whole: whole(storage, Target::Latest, left.report),
                is_same: left.is_same,
            });
            Finding::Damaged(report::finding(&error), left)
        }
        Err(error) => Finding::Unknown(told(&error)),
    }
}

fn whole(storage: &dyn Storage, target: Target, report: Report) -> Whole {
    let is_exact = matches!(target, Target::Before(_) | Target::AsOf(_));
    let header = fetch_header(storage, &report.last);
    Whole {
        time: point::time_of(report.last, storage, is_exact),
        names_database: header.is_ok_and(|header| header.database().is_some()),
        report,
    }
}

/// Restores to a file that nobody else can read.
fn drill(
    storage: &dyn Storage,
    target: Target,
    scratch: &Scratch,
    progress: &mut dyn FnMut(Progress),
) -> Result<restore::Outcome, RestoreError> {
    let options = restore::Options {
        integrity: Integrity::Full,
        ..restore::Options::default()
    };
    let output = scratch.path.join("database");
    restore::restore(storage, target, &output, &options, progress)
}

/// A directory of our own in that for temporary files, removed with all in it when dropped.
struct Scratch {
    path: PathBuf,
    #[expect(dead_code, reason = "held for as long as the drill goes on")]
    lock: Option<DirectoryLock>,
}

/// What its name begins with.
const SCRATCH: &str = "walbrook-drill-";

/// One that was left by a drill that was killed goes after so long; nobody holds it then.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Scratch {
    fn new() -> Result<Scratch, String> {
        let top = std::env::temp_dir();
        sweep(&top);
        let path = top.join(format!("{SCRATCH}{:016x}", random::unique()));
        let created = std::path::absolute(&path).and_then(|path| {
            DirBuilder::new().mode(0o700).create(&path)?;
            let lock = SystemFiles.lock_directory(&path)?;
            Ok(Scratch { path, lock })
        });
        created.map_err(|error| format!("cannot create {}: {error}", path.display()))
    }
}

/// Removes what drills left in `top` that were killed long ago.
fn sweep(top: &Path) {
    for entry in std::fs::read_dir(top).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|it| it.starts_with(SCRATCH));
        // Of the name itself, not of what a link leads to.
        let metadata = entry.metadata().ok().filter(|it| is_ours && it.is_dir());
        let age = metadata.and_then(|metadata| metadata.modified().ok()?.elapsed().ok());
        let path = entry.path();
        if age.is_some_and(|age| age > STALE_AFTER)
            && let Ok(Some(_free)) = SystemFiles.lock_directory(&path)
        {
            let _ = std::fs::remove_dir_all(&path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}
