//! What the world outside gives: files, time, randomness. Behind traits, so that tests can cut the power,
//! set the clock back and repeat a run.

pub mod clock;
pub mod fs;
pub mod random;
pub mod temporary;
