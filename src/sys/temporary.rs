//! Names of files being written: `<final name>.walbrook-<run>-<number>.tmp`, beside the final name, both parts
//! 16 hexadecimal digits, the run being the same for all files of one process.
//!
//! The rule: no two writers ever share such a name, so they cannot trip over each other, and what a killed run
//! left behind can be told from what a living one is writing ([`stale`]). The storage room and the restore room
//! rely on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use super::fs::{Entry, FileSystem, publish, with_suffix};
use super::random;
use crate::units::Timestamp;

/// A temporary of another run that was not written to for this long was left by a run that died. Much longer
/// than any pause inside a write: removing a living writer's file makes that write fail and be tried again.
pub const STALE_AFTER: Duration = Duration::from_secs(3600);

const MARK: &str = ".walbrook-";
const END: &str = ".tmp";

/// A name beside `path` that nobody else uses, for content that will be renamed to `path`.
pub fn beside(path: &Path) -> PathBuf {
    let suffix = format!("{MARK}{:016x}-{:016x}{END}", run(), random::unique());
    with_suffix(path, &suffix)
}

/// Gives `path` this content, durably, in place of what was there; a new file has the permission bits `mode` less the
/// umask.
///
/// # Errors
/// When the disk refuses; `path` then holds what it held before, or the new content.
pub fn store(fs: &dyn FileSystem, path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let temporary = beside(path);
    let stored = fs.create_with_mode(&temporary, mode).and_then(|mut file| {
        file.write_all(content)?;
        publish(fs, file, &temporary, path)
    });
    if stored.is_err() {
        let _ = fs.remove(&temporary);
    }
    stored
}

/// The final name that `temporary` is content for, and whether this process is writing it; none when it is no
/// temporary of ours.
pub fn parse(temporary: &str) -> Option<(&str, bool)> {
    let (name, numbers) = temporary.strip_suffix(END)?.rsplit_once(MARK)?;
    let (writer, number) = numbers.split_once('-')?;
    let is_number = |text: &str| text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
    let ours = writer == format!("{:016x}", run());
    (!name.is_empty() && is_number(writer) && is_number(number)).then_some((name, ours))
}

/// The temporaries among `entries` that a run now dead left behind. `now` is the time the same file system
/// gives to a file written now, so that a wrong clock here, or on a server, does not matter.
pub fn stale(entries: &[Entry], now: Timestamp) -> impl Iterator<Item = &Entry> {
    let oldest = now.millis().saturating_sub(STALE_AFTER.as_millis() as i64);
    entries.iter().filter(move |entry| {
        parse(&entry.name).is_some_and(|(_, ours)| !ours) && entry.modified.millis() < oldest
    })
}

/// The number of this run.
fn run() -> u64 {
    static RUN: OnceLock<u64> = OnceLock::new();
    *RUN.get_or_init(random::unique)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ_and_are_recognised() {
        let (one, two) = (beside(Path::new("/r/a.ltx")), beside(Path::new("/r/a.ltx")));
        assert_ne!(one, two);
        let name = one.file_name().unwrap().to_str().unwrap();
        assert_eq!(parse(name), Some(("a.ltx", true)));
    }

    #[test]
    fn only_old_files_of_other_runs_are_stale() {
        let hour = STALE_AFTER.as_millis() as i64;
        let entry = |name: &str, modified| Entry {
            name: name.to_owned(),
            size: 0,
            modified: Timestamp::from_millis(modified),
        };
        let foreign = "a.ltx.walbrook-00000000000000aa-00000000000000bb.tmp";
        let mine = beside(Path::new("a.ltx")).to_str().unwrap().to_owned();
        let entries = [
            entry(foreign, 0),
            entry(foreign, 1),
            entry(&mine, 0),
            entry("a.ltx.tmp", 0),
            entry("a.ltx.walbrook-aa-bb.tmp", 0),
            entry("a.ltx", 0),
        ];
        let now = Timestamp::from_millis(hour + 1);
        assert_eq!(stale(&entries, now).collect::<Vec<_>>(), [&entries[0]]);
    }
}
