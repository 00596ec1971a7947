//! Which of several replicas of one database is restored from: the one with the newest state, of those that can be
//! read and hold what was asked for.
//!
//! TXIDs of different replicas do not compare, for each counts its own files. Times do: a file has the time of the
//! state that it ends at, by the clock of the same machine.

use std::path::Path;
use std::time::Instant;

use super::{GenerationPlan, Options, Outcome, Plan, Progress, RestoreError, Target, generations};
use crate::storage::Storage;
use crate::units::Timestamp;

/// A replica that holds what is to be restored.
pub struct Candidate<'a> {
    storage: &'a dyn Storage,
    target: Target,
    plan: Chosen,
    asked: Instant,
}

/// What is to be read.
pub enum Chosen {
    /// LTX files.
    Ltx(Plan),
    /// Files of Litestream 0.3.
    Generation(GenerationPlan),
}

impl<'a> Candidate<'a> {
    /// Lists the replica and plans.
    ///
    /// # Errors
    /// When the replica cannot be listed or the target cannot be reached.
    pub fn find(storage: &'a dyn Storage, target: Target) -> Result<Candidate<'a>, RestoreError> {
        let asked = Instant::now();
        let plan = choose(storage, target, super::plan_from(storage, target))?;
        Ok(Candidate {
            storage,
            target,
            plan,
            asked,
        })
    }

    /// The replica.
    pub fn storage(&self) -> &'a dyn Storage {
        self.storage
    }

    /// The files to be read.
    pub fn plan(&self) -> &Chosen {
        &self.plan
    }

    /// Restores from it, as [`super::restore`] does.
    ///
    /// # Errors
    /// See [`RestoreError`]: the output is then what it was before.
    pub fn restore(
        self,
        output: &Path,
        options: &Options,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Outcome, RestoreError> {
        let (storage, target, asked) = (self.storage, self.target, self.asked);
        let plan = match self.plan {
            // Nothing ever comes to files of Litestream 0.3 that could be followed.
            Chosen::Generation(_) if options.is_followed => super::plan_from(storage, target)?,
            Chosen::Generation(plan) => {
                return generations::carry_out(
                    plan, storage, target, output, options, asked, progress,
                );
            }
            Chosen::Ltx(plan) => plan,
        };
        super::carry_out(plan, storage, target, output, options, asked, progress)
    }

    /// The time of the state it leads to. It may cost a request.
    fn time(&self) -> Result<Timestamp, RestoreError> {
        let plan = match &self.plan {
            Chosen::Ltx(plan) => plan,
            Chosen::Generation(plan) => return Ok(plan.last().created),
        };
        let last = plan.files.last().ok_or(RestoreError::NothingPlanned)?;
        // What is gone by now is noticed when it is read.
        let exact = self.storage.exact_times(vec![*last])?;
        Ok(exact.first().unwrap_or(last).created)
    }
}

/// Takes the plan of LTX files that was made, or failed to be, or one of files of Litestream 0.3 in its place.
pub(super) fn choose(
    storage: &dyn Storage,
    target: Target,
    ltx: Result<Plan, RestoreError>,
) -> Result<Chosen, RestoreError> {
    // Whoever cannot be reached need not be asked again.
    if let Err(error @ RestoreError::Storage(_)) = ltx {
        return Err(error);
    }
    Ok(match generations::plan_from(storage, target)? {
        Some(plan) => Chosen::Generation(plan),
        None => Chosen::Ltx(ltx?),
    })
}

/// Asks all `storages`, in their order. Gives those to restore from, the newest state first, and of equals the first
/// in order; and of the others why not, in order too.
pub fn candidates<'a>(
    storages: impl IntoIterator<Item = &'a dyn Storage>,
    target: Target,
) -> (Vec<Candidate<'a>>, Vec<(&'a dyn Storage, RestoreError)>) {
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for storage in storages {
        match Candidate::find(storage, target) {
            Ok(candidate) => found.push(candidate),
            Err(error) => others.push((storage, error)),
        }
    }
    if found.len() < 2 {
        return (found, others);
    }
    let mut timed = Vec::new();
    for candidate in found {
        match candidate.time() {
            Ok(time) => timed.push((time, candidate)),
            Err(error) => others.push((candidate.storage, error)),
        }
    }
    // The sort keeps the order of equals.
    timed.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    let found = timed.into_iter().map(|(_, candidate)| candidate);
    (found.collect(), others)
}
