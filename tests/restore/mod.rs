//! Restores: of what Litestream wrote, of damaged replicas, over bad connections, with the power cut.

mod crash;
mod damage;
mod rules;
mod vectors;
