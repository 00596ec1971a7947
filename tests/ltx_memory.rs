//! What reading and writing LTX files allocates: little, and nothing per page.
//!
//! In a program of its own, because it replaces the allocator with one that counts.

#![allow(clippy::unwrap_used)] // helpers of tests fail as tests do
#![allow(unsafe_code)] // the allocator below passes every call on to the system's

#[allow(dead_code)]
#[path = "ltx/vectors.rs"]
mod vectors;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use walbrook::ltx::{Decoder, Encoder, Header};
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

#[test]
fn no_malformed_file_makes_the_decoder_allocate_much() {
    for vector in vectors::manifest("malformed") {
        let bytes = vectors::read(vectors::text(&vector["path"]));
        let used = usage(|| drop(vectors::decode(&bytes)));
        assert!(
            used.bytes <= DECODER_BYTES_MAX,
            "{:?}: {used:?}",
            vector["name"]
        );
    }
}

#[test]
fn no_announced_size_makes_the_decoder_allocate_much() {
    for valid in [
        "replicas/frames-0.5.15-ps512/ltx/0",
        "replicas/ps512-notes/ltx/0",
    ] {
        let name = format!("{valid}/0000000000000001-0000000000000001.ltx");
        let bytes = vectors::read(&name);
        for at in 0..bytes.len() {
            for fill in [0xff, 0x7f, 0x00] {
                let mut damaged = bytes.clone();
                let end = bytes.len().min(at + 8);
                damaged[at..end].fill(fill);
                let used = usage(|| drop(vectors::decode(&damaged)));
                assert!(used.bytes <= DECODER_BYTES_MAX, "{name} at {at}: {used:?}");
            }
        }
    }
}

#[test]
fn pages_are_read_and_written_without_allocating() {
    for page_bytes in [512, 4096, 65536] {
        let page_size = PageSize::new(page_bytes).unwrap();
        let txids = TxidRange::snapshot(Txid::FIRST);
        let header = Header::new(page_size, PageCount(200), txids, Timestamp::from_millis(0));
        let mut encoder = Encoder::new(Vec::with_capacity(32 << 20), &header).unwrap();
        let page = |number: u32| PageNumber::new(number).unwrap();
        let data: Vec<u8> = (0..page_bytes).map(|n| ((n * n) >> 7) as u8).collect();
        let used = usage(|| {
            for number in 1..=200 {
                encoder.page(page(number), &data).unwrap();
            }
        });
        assert!(used.calls <= INDEX_GROWTHS_MAX, "{page_bytes}: {used:?}");
        let (bytes, _) = encoder.finish().unwrap();
        let mut decoder = Decoder::open(&bytes[..]).unwrap();
        let used = usage(|| while decoder.next_page().unwrap().is_some() {});
        assert_eq!(used.calls, 0, "{page_bytes}: {used:?}");
        decoder.finish().unwrap();
    }
}

/// One page, one compressed page, read buffer, and what error values take.
const DECODER_BYTES_MAX: usize = 160 << 10;

/// The index notes grow by doubling: 200 pages take well under 1 KiB.
const INDEX_GROWTHS_MAX: usize = 8;

#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    calls: usize,
    bytes: usize,
}

/// What this thread allocates during `action`, frees not deducted.
fn usage(action: impl FnOnce()) -> Usage {
    USAGE.set(Usage::default());
    action();
    USAGE.get()
}

thread_local! {
    static USAGE: Cell<Usage> = const { Cell::new(Usage { calls: 0, bytes: 0 }) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator with the same arguments; counting touches only a
// thread-local cell that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let usage = USAGE.get();
        USAGE.set(Usage {
            calls: usage.calls + 1,
            bytes: usage.bytes + layout.size(),
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
