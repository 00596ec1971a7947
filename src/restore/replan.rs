//! Planning anew where files of a plan have gone meanwhile: retention deletes what was merged, and the next plan finds
//! where it went.

use std::slice;
use std::time::Duration;

use super::error::RestoreError;
use super::plan::Plan;

/// How often a plan is made anew because a file of it was gone when it was to be read. Each is another than the one
/// before, so the replica is in motion and the next may well do.
const REPLANS_MAX: usize = 100;

/// How often that may still be done.
pub(super) struct Replans<'a> {
    left: usize,
    /// To wait for before the same plan is tried again.
    pauses: slice::Iter<'a, Duration>,
}

impl<'a> Replans<'a> {
    /// With these pauses.
    pub(super) fn new(pauses: &'a [Duration]) -> Replans<'a> {
        Replans {
            left: REPLANS_MAX,
            pauses: pauses.iter(),
        }
    }

    /// A plan in place of `plan`, which has failed with `error`.
    ///
    /// # Errors
    /// `error` itself where another plan is of no use or no longer tried; those of `anew`.
    pub(super) fn after(
        &mut self,
        error: RestoreError,
        plan: &Plan,
        anew: &dyn Fn() -> Result<Plan, RestoreError>,
    ) -> Result<Plan, RestoreError> {
        if !error.is_gone() || self.left == 0 {
            return Err(error);
        }
        self.left -= 1;
        log::info!("{error}: retention removed it? planning anew");
        let anew = anew()?;
        if anew.files == plan.files {
            // The listing lags behind, or promises what is not there, and will go on to.
            let Some(pause) = self.pauses.next() else {
                return Err(error);
            };
            std::thread::sleep(*pause);
        }
        Ok(anew)
    }
}
