//! Held against the real Litestream: what one program writes, the other restores and goes on from.

mod ours;
mod takeover;
mod theirs;

/// Levels that fill, and level 0 emptied, within seconds.
const LEVELS: &str = "\
levels: [{interval: 1s}, {interval: 2s}]
snapshot: {interval: 3s, retention: 1h}
l0-retention: 2s
l0-retention-check-interval: 1s";
