//! Random numbers that only need to differ: temporary names, jitter. Nothing secret rests on them.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A number that no other call is likely to give, in this process or another.
pub fn unique() -> u64 {
    // The standard library seeds each RandomState from the kernel, once a thread, and counts up from there.
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::unique;

    #[test]
    fn numbers_differ() {
        assert_ne!(unique(), unique());
    }
}
