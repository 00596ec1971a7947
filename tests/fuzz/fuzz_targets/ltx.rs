//! LTX files: whatever the bytes are, decoding ends in a verified file or an error, and a file that was verified
//! survives being encoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use walbrook::ltx::{Decoder, Encoder, Header, PageIndex, Tail};

fuzz_target!(|bytes: &[u8]| {
    let _ = PageIndex::parse_tail(bytes, bytes.len() as u64);
    let Ok(mut decoder) = Decoder::open(bytes) else {
        return;
    };
    // Ours are without database checksums.
    let header = Header { checksums: false, pre_apply: None, ..*decoder.header() };
    let mut encoder = Encoder::new(Vec::new(), &header).ok();
    while let Ok(Some(page)) = decoder.next_page() {
        encoder = encoder.and_then(|mut encoder| {
            encoder.page(page.number(), page.data()).ok()?;
            Some(encoder)
        });
    }
    if let Ok(verified) = decoder.finish() {
        let (copy, _) = encoder.expect("a valid header").finish().expect("valid pages");
        let mut again = Decoder::open(&*copy).expect("what we wrote");
        while again.next_page().expect("what we wrote").is_some() {}
        assert_eq!(again.finish().expect("what we wrote").pages, verified.pages);
        let tail = PageIndex::parse_tail(&copy, copy.len() as u64);
        assert!(matches!(tail, Ok(Tail::Index(index)) if index.iter().count() == verified.pages as usize));
    }
});
