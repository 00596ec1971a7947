//! Stops, crashes and accidents: what a restore gives afterwards.
