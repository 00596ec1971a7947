//! From a replica back to a database file: [`plan`] decides which files are read, the rest reads them, builds the
//! database beside the output, checks it and gives it its name.
//!
//! The rule: a restored database is complete, made of verified files only, and exactly what was asked for; else
//! the output stays what it was.

mod ahead;
mod apply;
mod around;
mod aside;
mod build;
mod candidate;
mod class;
mod error;
mod fetch;
mod follow;
mod generations;
mod image;
mod integrity;
mod journal;
mod note;
mod nowhere;
mod older;
mod output;
pub mod page;
mod parts;
pub mod plan;
mod points;
mod proof;
mod prove;
mod replan;
mod usable;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use apply::Progress;
pub use candidate::{Candidate, Chosen, candidates};
pub use class::{Class, is_unreachable};
pub use error::RestoreError;
pub use fetch::PAUSES;
pub use follow::{Follower, Gate, Look};
pub use generations::{Fault, GenerationPlan, GenerationReport, Problem};
pub use integrity::Integrity;
pub use note::noted;
pub use output::{Existing, OutputProblem};
pub use plan::{Plan, PlanError, Target, plan};
pub use points::{History, Hole, Point, history};
pub use prove::{Checked, Left, Part, check_part, left, prove};
pub use usable::{Condition, examine};

use self::apply::Job;
use self::build::Built;
use self::output::{Published, Side};
use self::replan::Replans;
use crate::storage::{FileInfo, Storage};
use crate::sys::fs::{FileSystem, SystemFiles};
use crate::units::{Timestamp, Txid};

/// How often a replica is listed again because its files do not join. A listing is not of one moment: a file
/// may have come and gone between two of its parts.
const RELISTS_MAX: usize = 3;

/// So many files may be of no use: where there are more, each would be found so, one by one.
const USELESS_MAX: usize = 100;

/// So many requests at a time. Each takes a connection, and memory.
pub const PARALLELISM: usize = 4;

/// Less than this is fetched anew rather than noted.
const NOTE_EVERY: u64 = 2 << 20;

/// How to restore.
#[derive(Clone)]
pub struct Options {
    /// What to do about a database that is there already.
    pub existing: Existing,
    /// Which check SQLite makes before the database gets its name. Needs the machine's own file system.
    pub integrity: Integrity,
    /// Whether it is to be a copy that a [`Follower`] goes on with.
    pub is_followed: bool,
    /// How long to wait before each new attempt to go on with a file.
    pub pauses: Vec<Duration>,
    /// After how many bytes, at least, it is put on disk how far a restore has come, for one that goes on after it was
    /// interrupted. In large restores it is a thirty-second of all.
    pub note_every: u64,
    /// How many requests are under way at a time, at most: at least one. Each but one takes up to 1 MiB of memory.
    pub parallelism: usize,
    /// Every file of the plan is read whole, as a proof has to, where less would do too.
    pub reads_all: bool,
    /// Where the output is.
    pub files: Arc<dyn FileSystem>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            existing: Existing::default(),
            integrity: Integrity::default(),
            is_followed: false,
            pauses: PAUSES.to_vec(),
            note_every: NOTE_EVERY,
            parallelism: PARALLELISM,
            reads_all: false,
            files: Arc::new(SystemFiles),
        }
    }
}

/// How a restore ended well.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The output is the restored database.
    Restored(Report),
    /// The same, from files of Litestream 0.3.
    RestoredGeneration(GenerationReport),
    /// A database is at the output, and [`Existing::Keep`] was asked for.
    KeptExisting,
}

/// What was restored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Report {
    /// The state the database has.
    pub txid: Txid,
    /// The file that ends there, with the state's time as the listing has it.
    pub last: FileInfo,
    /// The times of the earliest and the latest state that could be restored, where a time was asked for.
    pub window: Option<(Timestamp, Timestamp)>,
    /// How many files were read.
    pub files: usize,
    /// What was read of them, in bytes.
    pub bytes: u64,
    /// How long it took.
    pub duration: Duration,
}

/// Restores `target` from `storage` to the file `output`, an absolute path; a symbolic link there is replaced, not
/// followed. `progress` is called after every read from the storage; a new plan starts it again.
///
/// # Errors
/// See [`RestoreError`]: the output is then what it was before.
pub fn restore(
    storage: &dyn Storage,
    target: Target,
    output: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    if !is_free(output, options)? {
        return Ok(Outcome::KeptExisting);
    }
    Candidate::find(storage, target)?.restore(output, options, progress)
}

/// Whether there is anything to do: false when a database is there that is to be kept.
///
/// # Errors
/// When the output must not be written to.
pub fn is_free(output: &Path, options: &Options) -> Result<bool, RestoreError> {
    output::check(&*options.files, output, options.existing)
}

/// Carries out `plan`, and makes a new one for `target` when files of it have gone meanwhile, or are of no use.
fn carry_out(
    mut plan: Plan,
    storage: &dyn Storage,
    target: Target,
    output: &Path,
    options: &Options,
    start: Instant,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    let mut replans = Replans::new(&options.pauses);
    let mut useless = Vec::new();
    loop {
        let error = match build(&plan, storage, output, options, progress) {
            Ok(built) => return finish(built, &plan, options, start),
            // The newest file says how large the database is, and has not been read whole so far.
            Err(error @ RestoreError::NoSpace { .. }) => {
                let newest = *plan.files.last().ok_or(RestoreError::NothingPlanned)?;
                let checked = apply::check_file(storage, newest, &options.pauses);
                checked.err().unwrap_or(error)
            }
            Err(error) => error,
        };
        let anew = || around::plan_around(storage, target, &useless);
        let error = match error.is_gone() {
            true => match replans.after(error, &plan, &anew) {
                Ok(other) => {
                    plan = other;
                    continue;
                }
                Err(error) => error,
            },
            false => error,
        };
        let Some(file) = error.useless_file().filter(|_| useless.len() < USELESS_MAX) else {
            return Err(error);
        };
        useless.push(file);
        log::warn!("{error}; looking for other files that lead there");
        plan = match around::plan_around(storage, target, &useless) {
            Err(RestoreError::NoOtherWay { reached, .. }) => {
                let cause = Box::new(error);
                return Err(RestoreError::NoOtherWay { cause, reached });
            }
            planned => planned?,
        };
    }
}

/// Carries out a plan made before, as [`restore`] does.
///
/// # Errors
/// See [`RestoreError`]: the output is then what it was before.
pub fn run(
    plan: &Plan,
    storage: &dyn Storage,
    output: &Path,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, RestoreError> {
    let start = Instant::now();
    if !is_free(output, options)? {
        return Ok(Outcome::KeptExisting);
    }
    let built = build(plan, storage, output, options, progress)?;
    finish(built, plan, options, start)
}

fn build<'a>(
    plan: &Plan,
    storage: &dyn Storage,
    output: &Path,
    options: &'a Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Built<'a>, RestoreError> {
    let job = Job {
        plan,
        storage,
        fs: &*options.files,
        output,
        pauses: &options.pauses,
        note_every: options.note_every.max(plan.bytes / 32),
        parallelism: options.parallelism,
        reads_all: options.reads_all,
    };
    apply::apply(&job, progress)
}

fn finish(
    built: Built<'_>,
    plan: &Plan,
    options: &Options,
    start: Instant,
) -> Result<Outcome, RestoreError> {
    let mut side = built.side;
    if options.is_followed {
        side.write(follow::leave_wal_mode)?;
    }
    integrity::check(side.path(), options.integrity)
        .map_err(|finding| RestoreError::Integrity { finding })?;
    let last = *plan.files.last().ok_or(RestoreError::NothingPlanned)?;
    let published = match options.is_followed {
        true => publish_noted(side, plan.txids.max(), options),
        false => side.publish(options.existing),
    };
    Ok(match published? {
        Published::KeptExisting => Outcome::KeptExisting,
        Published::New => Outcome::Restored(Report {
            txid: plan.txids.max(),
            last,
            window: plan.window,
            files: built.files,
            bytes: built.bytes,
            duration: start.elapsed(),
        }),
    })
}

/// Publishes a copy that is followed, with its note. Killed at any moment, there is no note of another database: where
/// there was none it is written before, else after.
fn publish_noted(side: Side<'_>, txid: Txid, options: &Options) -> Result<Published, RestoreError> {
    let (fs, output) = (&*options.files, side.output().to_path_buf());
    let is_first = output::status(fs, &output)?.is_none_or(|there| there.size == 0);
    match is_first {
        true => note::note(fs, &output, txid)?,
        false => note::forget(fs, &output)?,
    }
    let published = side.publish(options.existing);
    match &published {
        Ok(Published::New) if is_first => {}
        Ok(Published::New) => note::note(fs, &output, txid)?,
        _ => note::forget(fs, &output)?,
    }
    published
}

/// Lists the replica and plans: what a dry run shows.
///
/// # Errors
/// When the replica cannot be listed or the target cannot be reached.
pub fn plan_from(storage: &dyn Storage, target: Target) -> Result<Plan, RestoreError> {
    around::plan_around(storage, target, &[])
}

/// All files of the replica, and the plan by their names.
fn listed_and_planned(
    storage: &dyn Storage,
    target: Target,
) -> Result<(Vec<FileInfo>, Plan), RestoreError> {
    let mut files = list(storage, target)?;
    for _ in 0..RELISTS_MAX {
        match plan(&files, target) {
            Err(error) if error.may_be_of_motion() => {
                let again = list(storage, target)?;
                if again == files {
                    return Err(error.into());
                }
                log::info!("{error}: files came and went meanwhile, listing anew");
                files = again;
            }
            planned => return Ok((files, planned?)),
        }
    }
    let planned = plan(&files, target)?;
    Ok((files, planned))
}

/// What can be restored from the replica, as [`history`] finds it.
///
/// # Errors
/// When the replica cannot be listed.
pub fn history_of(storage: &dyn Storage) -> Result<History, RestoreError> {
    let list = || {
        let mut files = list(storage, Target::Latest)?;
        files.retain(|file| !file.is_too_short());
        Ok::<_, RestoreError>(files)
    };
    let mut files = list()?;
    let mut found = history(&files);
    for _ in 0..RELISTS_MAX {
        if found.holes.is_empty() {
            break;
        }
        // Files may have come and gone meanwhile.
        let again = list()?;
        if again == files {
            break;
        }
        found = history(&again);
        files = again;
    }
    Ok(found)
}

fn list(storage: &dyn Storage, target: Target) -> Result<Vec<FileInfo>, RestoreError> {
    let mut files = storage.list_all()?;
    if let Target::Before(_) | Target::AsOf(_) = target {
        files = storage.exact_times(files)?;
    }
    if files.is_empty()
        && let Some(window) = generations::window(storage)?
    {
        let location = storage.location();
        return Err(RestoreError::Litestream03 { location, window });
    }
    Ok(files)
}
