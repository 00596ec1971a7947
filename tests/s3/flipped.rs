//! Bits that change on the way, without TLS.

use std::io::Read;

use walbrook::ltx::Decoder;
use walbrook::storage::{ByteRange, Storage, StorageError};
use walbrook::units::{Txid, TxidRange};

use super::{Bench, pattern, store};
use crate::conformance::{get, name, names, put};
use crate::support::memory::ltx;
use crate::support::proxy::Fault;
use crate::support::s3::Kind;

#[test]
fn a_bit_that_changes_on_the_way_up_is_refused() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let storage = bench.storage();
        let content = pattern(300_000);
        bench.proxy.fault_on("^PUT", 1, Fault::FlipUp(123_456));
        let result = store(&storage, name(0, 1, 1), &content);
        match result {
            // Nobody has to do anything about it but send it again.
            Err(StorageError::Unreachable { .. }) => assert_eq!(names(&storage, 0), [], "{kind:?}"),
            result => {
                result.unwrap_or_else(|error| panic!("{kind:?}: {error:?}"));
                assert!(get(&storage, name(0, 1, 1)) == content, "{kind:?}");
            }
        }
        put(&storage, name(0, 1, 1), &content);
        assert!(get(&storage, name(0, 1, 1)) == content, "{kind:?}");
    }
}

#[test]
fn a_bit_that_changes_in_a_part_is_sent_again() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let storage = bench.storage();
        let content = pattern(6 << 20);
        bench
            .proxy
            .fault_on("partNumber=1", 1, Fault::FlipUp(123_456));
        match store(&storage, name(0, 1, 1), &content) {
            // This one forgets all parts for it.
            Err(StorageError::Unreachable { sent: false, .. }) if kind == Kind::Rclone => {
                put(&storage, name(0, 1, 1), &content);
            }
            result => assert_eq!(result.unwrap(), 6 << 20, "{kind:?}"),
        }
        assert!(get(&storage, name(0, 1, 1)) == content, "{kind:?}");
    }
}

#[test]
fn a_bit_that_changes_on_the_way_down_is_noticed_by_the_file() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    let txid = Txid::new(1).unwrap();
    let file = ltx(TxidRange::single(txid), 3, &[(1, 1), (2, 2), (3, 3)]);
    put(&storage, name(0, 1, 1), &file);
    // Some flips lead to the same pages by another way.
    let pages = |bytes: &[u8]| -> Result<Vec<Vec<u8>>, walbrook::ltx::Error> {
        let mut decoder = Decoder::open(bytes)?;
        let mut pages = Vec::new();
        while let Some(page) = decoder.next_page()? {
            pages.push(page.data().to_vec());
        }
        decoder.finish().map(|_| pages)
    };
    let expected = pages(&get(&storage, name(0, 1, 1))).unwrap();
    for byte in 0..file.len() {
        bench
            .proxy
            .fault_on("^GET", 1, Fault::FlipDown(byte as u64));
        let mut bytes = Vec::new();
        let mut reader = storage.read(name(0, 1, 1), ByteRange::From(0)).unwrap();
        reader.read_to_end(&mut bytes).unwrap();
        assert!(bytes != file, "byte {byte}");
        assert!(
            pages(&bytes).is_ok_and(|pages| pages == expected) || pages(&bytes).is_err(),
            "byte {byte}"
        );
    }
}
