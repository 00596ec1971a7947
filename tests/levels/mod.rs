//! Levels, snapshots and retention: by random histories, by cases, and through a year.

mod cases;
mod histories;
mod world;
mod year;
