//! The file locks of a process, from its descriptors: `/proc/locks` may miss some while others come and go.

use std::fs;

/// The locks that `process` holds, each as the kernel writes it, sorted.
pub(crate) fn held_by(process: u32) -> Vec<String> {
    let descriptors = fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    let mut locks = Vec::new();
    for descriptor in descriptors {
        // One that is closed meanwhile holds none.
        let info = fs::read_to_string(descriptor.unwrap().path()).unwrap_or_default();
        let held = info.lines().filter(|line| line.starts_with("lock:"));
        locks.extend(held.map(|line| line.split_once(": ").unwrap().1.to_string()));
    }
    locks.sort();
    locks
}
