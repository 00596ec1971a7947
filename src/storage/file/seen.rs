//! What listings have told about a replica's directory, and whether that still holds.
//!
//! The rule: a caller may write or delete only while every level it knows was listed in the directory that
//! stands there now. Otherwise it would continue, on a disk just mounted, the TXIDs of another one, or take the
//! empty mount point of a disk that went away for a new replica. Where a file system gives a directory a new
//! inode number for no reason (FAT may), the price is one more listing.

use crate::sys::fs::FileIdentity;
use crate::units::Level;

/// What is known of the directory.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// For each level, as of its last listing.
    levels: [Option<Listed>; LEVELS],
    /// The caller was told that the directory is another one, and has not listed since.
    refused: bool,
}

/// How many levels there are.
const LEVELS: usize = 10;

#[derive(Clone, Copy, Debug)]
struct Listed {
    /// The directory; none when there was none.
    root: Option<FileIdentity>,
    /// Whether any file was found.
    files: bool,
}

impl Seen {
    /// `level` was listed in the directory `root`, and had files or not.
    pub(super) fn listed(&mut self, level: Level, root: Option<FileIdentity>, files: bool) {
        self.refused = false;
        self.levels[usize::from(level.value())] = Some(Listed { root, files });
    }

    /// We created the directory ourselves, in the place of none or an empty one.
    pub(super) fn created(&mut self, root: Option<FileIdentity>) {
        for listed in self.levels.iter_mut().flatten() {
            listed.root = root;
        }
    }

    /// A file of `level` was written in the directory that was listed.
    pub(super) fn wrote(&mut self, level: Level) {
        if let Some(listed) = &mut self.levels[usize::from(level.value())] {
            listed.files = true;
        }
    }

    /// Whether what is known holds for the directory `now` there. After a no it is forgotten, and the answer
    /// stays no until the next listing.
    pub(super) fn holds(&mut self, now: Option<FileIdentity>) -> bool {
        // A directory without files may go and come back: nothing was learnt from it.
        let same = |listed: &Listed| listed.root == now || (now.is_none() && !listed.files);
        let holds = !self.refused && self.levels.iter().flatten().all(same);
        if !holds {
            self.refuse();
        }
        holds
    }

    /// Forgets all. Nothing holds until the next listing.
    pub(super) fn refuse(&mut self) {
        *self = Seen {
            refused: true,
            ..Seen::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Option<FileIdentity> = Some(FileIdentity {
        device: 1,
        inode: 2,
    });
    const OTHER: Option<FileIdentity> = Some(FileIdentity {
        device: 1,
        inode: 3,
    });

    #[test]
    fn nothing_listed_allows_everything() {
        assert!(Seen::default().holds(None));
        assert!(Seen::default().holds(ONE));
    }

    #[test]
    fn another_directory_is_refused_until_listed_again() {
        for (was, files, now) in [
            (ONE, true, OTHER),
            (ONE, true, None),
            (ONE, false, OTHER),
            (None, false, ONE),
        ] {
            let mut seen = Seen::default();
            seen.listed(Level::SYNC, was, files);
            assert!(seen.holds(was), "{was:?}");
            assert!(!seen.holds(now), "{was:?} {now:?}");
            assert!(!seen.holds(now), "asking twice changes nothing");
            assert!(!seen.holds(was), "nor does the old one coming back");
            seen.listed(Level::SYNC, now, files);
            assert!(seen.holds(now));
        }
    }

    #[test]
    fn an_empty_directory_may_vanish_and_be_made_again() {
        let mut seen = Seen::default();
        seen.listed(Level::SYNC, ONE, false);
        assert!(seen.holds(None));
        seen.created(OTHER);
        assert!(seen.holds(OTHER));
    }

    #[test]
    fn a_directory_that_was_empty_may_not_vanish_once_it_was_written_to() {
        let mut seen = Seen::default();
        seen.listed(Level::SYNC, None, false);
        seen.created(ONE);
        seen.wrote(Level::SYNC);
        assert!(seen.holds(ONE));
        assert!(!seen.holds(None));
    }

    #[test]
    fn levels_listed_in_different_directories_are_refused() {
        let mut seen = Seen::default();
        seen.listed(Level::SNAPSHOT, ONE, true);
        seen.listed(Level::SYNC, OTHER, true);
        assert!(!seen.holds(OTHER));
    }
}
