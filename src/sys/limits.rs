//! What the system lets this process have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files may be open at once. If that is less than `wanted`, it is raised to what may be without anybody's
/// permission; not before, since programs started from here have the same limit, and those that use `select` want a
/// low one.
pub fn descriptors(wanted: usize) -> usize {
    let count = |limit: Option<u64>| {
        limit.map_or(usize::MAX, |limit| limit.try_into().unwrap_or(usize::MAX))
    };
    let limit = getrlimit(Resource::Nofile);
    let current = count(limit.current);
    if current >= wanted || limit.current == limit.maximum {
        return current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => count(limit.maximum),
        Err(_) => current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_when_more_is_wanted_and_only_then() {
        let before = getrlimit(Resource::Nofile);
        let now = descriptors(1);
        assert_eq!(getrlimit(Resource::Nofile).current, before.current);
        assert!(descriptors(usize::MAX) >= now);
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }
}
