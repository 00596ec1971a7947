//! What tells this machine from another one with the same files. A memory card that was copied has all else in
//! common with the original: inodes, host name, even the machine id.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use ring::digest::{SHA256, digest};

/// Where a board says which one it is.
const SERIAL: &str = "proc/device-tree/serial-number";
/// One directory for each network interface.
const INTERFACES: &str = "sys/class/net";
const MACHINE_ID: &str = "etc/machine-id";

/// A number for this machine: the same at each start, most likely another on any other machine. Where nothing tells
/// machines apart, as in a container, it is the same for all of them.
pub fn fingerprint() -> u64 {
    static FINGERPRINT: OnceLock<u64> = OnceLock::new();
    *FINGERPRINT.get_or_init(|| number_of(&facts(Path::new("/"))))
}

/// A number for `bytes`, of which nothing can be learnt from it.
pub fn number_of(bytes: &[u8]) -> u64 {
    let digest = digest(&SHA256, bytes);
    let first = digest.as_ref().first_chunk().expect("32 bytes hold eight");
    u64::from_be_bytes(*first)
}

/// A board's own number, or else those burnt into its network hardware.
fn facts(root: &Path) -> Vec<u8> {
    let mut facts = fs::read(root.join(SERIAL)).unwrap_or_default();
    if facts.is_empty() {
        let mut addresses: Vec<_> = fs::read_dir(root.join(INTERFACES))
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            // Bridges, tunnels and the like make their addresses up.
            .filter(|interface| interface.join("device").exists())
            .filter_map(|interface| fs::read(interface.join("address")).ok())
            .collect();
        addresses.sort();
        facts = addresses.concat();
    }
    facts.extend(fs::read(root.join(MACHINE_ID)).unwrap_or_default());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_differ_by_their_hardware() {
        let root = std::env::temp_dir().join(format!("machine-{}", crate::sys::random::unique()));
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("etc/machine-id", "copied with the card\n");
        let bare = facts(&root);
        write("sys/class/net/docker0/address", "02:42:00:00:00:01\n");
        assert_eq!(facts(&root), bare, "made up");
        for (name, address) in [
            ("wlan0", "b8:00:00:00:00:02\n"),
            ("eth0", "b8:00:00:00:00:01\n"),
        ] {
            write(&format!("sys/class/net/{name}/address"), address);
            write(&format!("sys/class/net/{name}/device/vendor"), "x");
        }
        let wired = facts(&root);
        assert!(wired.starts_with(b"b8:00:00:00:00:01\nb8:00:00:00:00:02\ncopied"));
        write("proc/device-tree/serial-number", "10000000deadbeef\0");
        assert!(facts(&root).starts_with(b"10000000deadbeef\0copied"));
        assert_ne!(number_of(&facts(&root)), number_of(&wired));
        fs::remove_dir_all(root).unwrap();
    }
}
