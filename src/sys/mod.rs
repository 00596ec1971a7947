//! What the world outside gives: files and clocks, behind traits, so that tests can cut the power and set the
//! clock back; and names that differ.

pub mod clock;
pub mod fs;
pub mod limits;
pub mod random;
pub mod temporary;
