//! What several tests use.

pub(crate) mod crash;
pub(crate) mod memory;
pub(crate) mod scratch;
