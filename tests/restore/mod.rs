//! Restores: of what Litestream wrote, of damaged replicas, of files that are whole and wrong, over bad connections, from
//! replicas in motion, with the power cut.

mod boot;
mod crash;
pub(crate) mod damage;
mod harmed;
mod killed;
mod less;
mod motion;
mod proof;
mod resumed;
mod rules;
pub(crate) mod vectors;
