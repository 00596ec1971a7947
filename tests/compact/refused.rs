//! What cannot be merged is left as it is, and the error says why.

use super::{compact, name, tree};
use crate::support::memory::{ltx, tagged_ltx};
use crate::support::rig::Rig;
use walbrook::ltx::{Checksum, Encoder, Header};
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

fn range(min: u64, max: u64) -> TxidRange {
    TxidRange::new(Txid::new(min).unwrap(), Txid::new(max).unwrap()).unwrap()
}

/// A replica of a database of two pages, of these files above a snapshot of TXID 1.
fn replica(files: &[(u8, u64, u64)]) -> Rig {
    let rig = Rig::new();
    let base = ltx(range(1, 1), 2, &[(1, 1), (2, 1)]);
    rig.place().write(9, &name(1, 1), &base);
    for &(level, min, max) in files {
        let pages: &[(u32, u8)] = if min == 1 {
            &[(1, 7), (2, 7)]
        } else {
            &[(2, max as u8)]
        };
        let file = ltx(range(min, max), 2, pages);
        rig.place().write(level, &name(min, max), &file);
    }
    rig
}

#[track_caller]
fn refused(rig: &Rig, arguments: &[&str], expected: &str) {
    let before = tree(rig);
    let error = compact(rig, arguments).unwrap_err();
    assert!(error.contains(expected), "{error}");
    assert_eq!(tree(rig), before);
}

#[test]
fn a_hole_that_cuts_off_the_newest_state() {
    let rig = replica(&[(0, 2, 2), (0, 3, 3), (0, 5, 5)]);
    refused(
        &rig,
        &[],
        "files are missing between TXID 0000000000000003 and 0000000000000005",
    );
    refused(&rig, &["-dry-run"], "; nothing was written");
}

#[test]
fn a_hole_below_the_newest_snapshot() {
    let files = [(1, 2, 3), (0, 5, 5), (0, 6, 6), (0, 7, 7), (9, 1, 6)];
    let expected = "level 1 cannot be merged: on the level below, TXID 0000000000000004 and what follows is missing \
                    before level 0 0000000000000005-0000000000000005";
    refused(&replica(&files), &[], expected);
    // Level 1 could be merged, but not level 2.
    let files = [
        (1, 2, 3),
        (1, 4, 4),
        (1, 7, 9),
        (0, 10, 10),
        (0, 11, 11),
        (9, 1, 9),
    ];
    refused(&replica(&files), &[], "level 2 cannot be merged");
}

#[test]
fn damage_anywhere_in_a_file() {
    let rig = replica(&[(0, 2, 2), (0, 3, 3), (0, 4, 4)]);
    let whole = rig.place().read(0, &name(3, 3));
    for at in [3, 40, 120, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        rig.place().write(0, &name(3, 3), &damaged);
        refused(&rig, &["-level", "9"], "0000000000000003-0000000000000003");
    }
    rig.place().write(0, &name(3, 3), &whole);
    compact(&rig, &[]).unwrap();
}

#[test]
fn a_file_that_is_another_than_its_name_says() {
    let rig = replica(&[(0, 2, 2), (0, 3, 3)]);
    rig.place()
        .write(0, &name(3, 3), &rig.place().read(0, &name(2, 2)));
    refused(
        &rig,
        &[],
        "holds the TXIDs 0000000000000002-0000000000000002",
    );
}

#[test]
fn another_page_size() {
    let rig = replica(&[(0, 2, 2), (0, 3, 3), (0, 4, 4)]);
    let size = PageSize::new(1024).unwrap();
    let header = Header::new(size, PageCount(2), range(3, 3), Timestamp::from_millis(0));
    let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
    encoder.page(PageNumber::FIRST, &[3; 1024]).unwrap();
    let (file, _) = encoder.finish().unwrap();
    rig.place().write(0, &name(3, 3), &file);
    refused(&rig, &[], "has pages of 1024 bytes, the newest file of 512");
}

#[test]
fn files_of_another_history() {
    let rig = replica(&[(0, 2, 2)]);
    let page = |number, fill| Checksum::of_page(PageNumber::new(number).unwrap(), &[fill; 512]);
    let database = |first: u8| {
        Checksum::EMPTY_DATABASE
            .toggle(page(1, first))
            .toggle(page(2, 3))
    };
    let tagged = |first| tagged_ltx(range(3, 3), 2, &[(2, 3)], Some(database(first)));
    rig.place().write(0, &name(3, 3), &tagged(8));
    compact(&rig, &[]).unwrap();
    refused(&rig, &["-level", "9"], "one of them is of another history");
    // The page that is really there.
    rig.place().remove(1, &name(2, 3));
    rig.place().write(0, &name(3, 3), &tagged(1));
    compact(&rig, &["-level", "9"]).unwrap();
    for (level, file) in [(1, name(2, 3)), (9, name(1, 3))] {
        let merged = rig.place().read(level, &file);
        let header = Header::parse(merged.first_chunk().unwrap()).unwrap();
        assert_eq!(header.database(), Some(database(1)), "level {level}");
    }
}

#[test]
fn what_is_not_there() {
    refused(
        &Rig::new(),
        &[],
        "the replica is empty; nothing was written",
    );
}
