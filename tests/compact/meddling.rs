//! Somebody else writes to the replica meanwhile.

use std::io::Read;

use crate::support::forward::forward;
use crate::support::memory::{Memory, ltx, name};
use walbrook::compact::{CompactError, Compactor, Goal};
use walbrook::storage::{ByteRange, Content, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, Timestamp};

/// A replica where another file appears while one is written.
struct Meddled {
    replica: Memory,
    other: FileName,
}

struct Bytes(Vec<u8>);

impl Content for Bytes {
    fn write_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&self.0)
    }
}

impl Meddled {
    fn meddle(&self) {
        let content = Bytes(ltx(self.other.txids, 2, &[(2, 9)]));
        let time = Timestamp::from_millis(0);
        self.replica.write(self.other, time, &content).unwrap();
    }
}

impl Storage for Meddled {
    forward!(replica: location, list, read, delete, delete_all);
    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        self.meddle();
        self.replica.write(name, created, content)
    }
}

fn meddled(other: FileName) -> Meddled {
    let file = |name: FileName, pages: &[(u32, u8)]| (name, 0, ltx(name.txids, 2, pages));
    Meddled {
        replica: Memory::holding([
            file(name(9, 1, 1), &[(1, 1), (2, 1)]),
            file(name(0, 2, 2), &[(2, 2)]),
            file(name(0, 3, 3), &[(2, 3)]),
        ]),
        other,
    }
}

fn goal() -> Goal {
    Goal {
        level: Level::new(3).unwrap(),
        snapshot: false,
    }
}

#[test]
fn what_appears_before_a_file_is_written_stops_it() {
    let storage = meddled(name(0, 4, 4));
    let mut compactor = Compactor::open(&storage, goal()).unwrap();
    storage.meddle();
    let error = compactor.write_next().unwrap_err();
    assert!(
        matches!(error, CompactError::Changed { written: None, .. }),
        "{error}"
    );
    assert_eq!(storage.list(Level::new(1).unwrap()).unwrap(), []);
}

#[test]
fn a_file_that_overlaps_another_is_taken_away_again() {
    let storage = meddled(name(1, 2, 4));
    let mut compactor = Compactor::open(&storage, goal()).unwrap();
    let error = compactor.write_next().unwrap_err();
    let CompactError::Overlap {
        ours,
        other,
        left: None,
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((ours, other), (name(1, 2, 3), name(1, 2, 4)));
    let left = storage.list(Level::new(1).unwrap()).unwrap();
    assert_eq!(
        left.iter().map(|file| file.name).collect::<Vec<_>>(),
        [other]
    );
}

#[test]
fn a_file_beside_which_somebody_else_goes_on_stays() {
    let storage = meddled(name(0, 4, 4));
    let mut compactor = Compactor::open(&storage, goal()).unwrap();
    let error = compactor.write_next().unwrap_err();
    let CompactError::Changed { written, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(written, Some(name(1, 2, 3)));
    let left = storage.list(Level::new(1).unwrap()).unwrap();
    assert_eq!(left.len(), 1);
}
