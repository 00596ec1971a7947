//! Restores: of what Litestream wrote, of damaged replicas, of files that are whole and wrong, over bad connections, with
//! the power cut.

mod crash;
mod damage;
mod proof;
mod rules;
mod vectors;
