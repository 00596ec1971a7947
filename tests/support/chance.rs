//! Random choices that can be made again: everything a long test does follows from one number, which it prints.

use std::time::Duration;

use walbrook::sys::random::unique;

/// A source of choices.
pub(crate) struct Chance(u64);

impl Chance {
    /// Choices that follow from `$WALBROOK_SEED` if that is set, else other ones each time; says which.
    pub(crate) fn of_environment(test: &str) -> Chance {
        let seed = match std::env::var("WALBROOK_SEED") {
            Ok(seed) => seed.parse().expect("WALBROOK_SEED is a number"),
            Err(_) => unique() >> 32,
        };
        eprintln!("{test}: WALBROOK_SEED={seed}");
        Chance(seed)
    }

    /// Choices that follow from `seed`.
    pub(crate) fn of_seed(seed: u64) -> Chance {
        Chance(seed)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// True once in `times`.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub(crate) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// A time up to `longest`, short ones as likely as long ones.
    pub(crate) fn time(&mut self, longest: Duration) -> Duration {
        let part = self.below(1000) as f64 / 1000.0;
        longest.mul_f64(part * part)
    }
}

/// How long a test may go on, from the variable `name` if it is set.
pub(crate) fn seconds(name: &str, usual: u64) -> Duration {
    let seconds = match std::env::var(name) {
        Ok(seconds) => seconds.parse().expect("a number of seconds"),
        Err(_) => usual,
    };
    Duration::from_secs(seconds)
}
