//! What the world outside gives: files and clocks, behind traits, so that tests can cut the power and set the
//! clock back; names that differ; and what tells machines apart.

pub mod clock;
pub mod fs;
pub mod limits;
pub mod machine;
pub mod random;
pub mod temporary;
