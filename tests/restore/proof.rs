//! Files that say what the database is after them: a restore is compared with that.

use crate::support::memory::{Memory, ltx, name, tagged_ltx};
use crate::support::scratch::Scratch;
use crate::support::states::checksum;
use walbrook::ltx::Checksum;
use walbrook::restore::{Options, RestoreError, Target, restore};
use walbrook::storage::FileName;
use walbrook::units::PageSize;

/// The checksum of a database whose pages are all the given bytes.
fn database(pages: &[u8]) -> Option<Checksum> {
    let image: Vec<u8> = pages.iter().flat_map(|byte| [*byte; 512]).collect();
    Some(checksum(&image, PageSize::new(512).unwrap()))
}

const BASE: (u8, u64, u64) = (9, 1, 1);
const MIDDLE: (u8, u64, u64) = (0, 2, 2);
const NEWEST: (u8, u64, u64) = (0, 3, 3);

fn of((level, min, max): (u8, u64, u64)) -> FileName {
    name(level, min, max)
}

/// Three pages, of which the second is all zeros; then the third changes, and then a fourth comes to it.
fn replica(tag: Option<Checksum>) -> Memory {
    let [base, middle, newest] = [BASE, MIDDLE, NEWEST].map(of);
    Memory::holding([
        (base, 0, ltx(base.txids, 3, &[(1, 1), (2, 0), (3, 3)])),
        (middle, 1, ltx(middle.txids, 3, &[(3, 5)])),
        (
            newest,
            2,
            tagged_ltx(newest.txids, 4, &[(1, 7), (4, 4)], tag),
        ),
    ])
}

fn attempt(replica: &Memory) -> Result<Vec<u8>, RestoreError> {
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let options = Options::default();
    let restored = restore(replica, Target::Latest, &output, &options, &mut |_| ());
    if restored.is_err() {
        let left = std::fs::read_dir(scratch.path()).unwrap().count();
        assert_eq!(left, 0, "nothing is published, and nothing left");
    }
    restored.map(|_| std::fs::read(output).unwrap())
}

#[test]
fn what_is_as_the_newest_file_says_is_restored() {
    let right = database(&[7, 0, 5, 4]);
    let tagged = attempt(&replica(right)).unwrap();
    assert_eq!(tagged, [[7; 512], [0; 512], [5; 512], [4; 512]].concat());
    assert_eq!(attempt(&replica(None)).unwrap(), tagged, "nothing is said");
}

#[test]
fn what_is_not_is_refused() {
    // Each file is whole, but not the one that was there when the newest was written.
    let tag = database(&[7, 0, 5, 4]);
    let (base, middle) = (of(BASE), of(MIDDLE));
    let others = [
        (middle, ltx(middle.txids, 3, &[(3, 6)])),
        (middle, ltx(middle.txids, 3, &[(1, 5)])),
        (base, ltx(base.txids, 3, &[(1, 1), (2, 2), (3, 3)])),
    ];
    for (name, other) in others {
        let replica = replica(tag);
        replica.set(name, Some(other));
        let error = attempt(&replica).unwrap_err();
        assert!(
            matches!(error, RestoreError::OtherDatabase { file } if file == of(NEWEST)),
            "{error}"
        );
        let text = error.to_string();
        assert!(text.contains("nothing was restored"), "{text}");
        assert!(text.contains(&of(NEWEST).to_string()), "{text}");
    }
    // What a newer file replaces is of no matter.
    let replica = replica(tag);
    replica.set(base, Some(ltx(base.txids, 3, &[(1, 9), (2, 0), (3, 9)])));
    attempt(&replica).unwrap();
}
