//! flipped
