//! Around files that are of no use: levels overlap, so others may lead to the same state.
//!
//! The rule: what was asked for, or an error. A state is not taken for the latest, or for the last before some time,
//! because the file that leads to a newer one is damaged. So the plan by names says how far it has to lead, and the one
//! around them must lead there too.

use super::error::RestoreError;
use super::plan::{Plan, PlanError, Target, plan};
use crate::ltx::Fault;
use crate::storage::{FileInfo, FileName, Storage};
use crate::units::Txid;

/// Lists the replica and plans without the files that are known to be `useless`.
///
/// # Errors
/// When the replica cannot be listed or the target cannot be reached; [`RestoreError::NoOtherWay`] when it could be
/// with those files.
pub(super) fn plan_around(
    storage: &dyn Storage,
    target: Target,
    useless: &[FileName],
) -> Result<Plan, RestoreError> {
    let (files, by_names) = super::listed_and_planned(storage, target)?;
    let is_useless = |file: &FileInfo| file.is_too_short() || useless.contains(&file.name);
    let Some(first) = by_names.files.iter().find(|file| is_useless(file)) else {
        return Ok(by_names);
    };
    let wanted = by_names.txids.max();
    let sound: Vec<FileInfo> = files.into_iter().filter(|file| !is_useless(file)).collect();
    match plan(&sound, target) {
        Ok(plan) if plan.txids.max() >= wanted => {
            log::warn!("{} is damaged: going around it", first.name);
            Ok(plan)
        }
        _ => Err(RestoreError::NoOtherWay {
            cause: Box::new(RestoreError::Damaged {
                file: first.name,
                fault: Fault::Truncated {
                    part: "the smallest possible LTX file",
                    offset: 0,
                },
            }),
            reached: newest_before(&sound, wanted),
        }),
    }
}

/// The newest TXID before `txid` to which `files` lead.
fn newest_before(files: &[FileInfo], txid: Txid) -> Option<Txid> {
    match plan(files, Target::Txid(txid)) {
        Err(PlanError::TxidUnreachable { reached, .. }) => reached,
        _ => None,
    }
}
