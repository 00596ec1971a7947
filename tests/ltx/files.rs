//! Single files: those of real replicas, and unusual ones that are valid all the same.

use tinyjson::JsonValue;
use walbrook::ltx::{Decoder, Encoder, Header, PageIndex, Tail, Verified};
use walbrook::units::PageNumber;

use super::vectors::{
    content_sha256, field, list, manifest, number, read, read_stored, sha256, text, texts,
};

#[test]
fn every_file_of_every_replica_is_read_as_its_writer_meant_it() {
    let mut files = 0;
    for replica in manifest("replicas") {
        for file in list(&replica["files"]) {
            let path = format!("{}/{}", text(&replica["dir"]), text(&file["path"]));
            assert_eq!(sha256(&read_stored(&path)), text(&file["sha256"]), "{path}");
            let bytes = read(&path);
            let verified = compare_with_reencoded(&bytes, &path);
            check_header(&verified.header, &file["header"], &path);
            assert_eq!(verified.header.to_bytes(), bytes[..Header::BYTES], "{path}");
            assert_eq!(u64::from(verified.pages), number(&file["pages"]), "{path}");
            assert_eq!(verified.bytes(), bytes.len() as u64, "{path}");
            assert_eq!(
                verified.file_checksum.to_string(),
                text(&file["file_checksum"])
            );
            assert_eq!(verified.post_apply, None);
            check_index(&bytes, file, &path);
            files += 1;
        }
    }
    assert_eq!(files, 485);
}

#[test]
fn unusual_valid_files_are_accepted() {
    let accepted = manifest("accepted");
    assert_eq!(accepted.len(), 12);
    for file in accepted {
        let path = text(&file["path"]);
        let (verified, content) = content_sha256(&read(path)).expect(path);
        assert_eq!(u64::from(verified.pages), number(&file["pages"]), "{path}");
        assert_eq!(content, text(&file["content_sha256"]), "{path}");
    }
}

#[test]
fn finish_reads_the_pages_that_nobody_asked_for() {
    let bytes = read("accepted/literal-blocks.ltx");
    let untouched = Decoder::open(&bytes[..]).unwrap().finish().unwrap();
    assert_eq!(untouched.pages, 4);
    let mut decoder = Decoder::open(&bytes[..]).unwrap();
    decoder.next_page().unwrap();
    assert_eq!(decoder.finish(), Ok(untouched));
}

/// Writes the pages of a file anew and reads both side by side. Gives what was read of the original.
fn compare_with_reencoded(bytes: &[u8], path: &str) -> Verified {
    let mut decoder = Decoder::open(bytes).expect(path);
    let mut encoder = Encoder::new(Vec::new(), decoder.header()).unwrap();
    while let Some(page) = decoder.next_page().expect(path) {
        encoder.page(page.number(), page.data()).expect(path);
    }
    let verified = decoder.finish().expect(path);
    let (ours, size) = encoder.finish().expect(path);
    assert_eq!(size, ours.len() as u64);

    let mut theirs = Decoder::open(bytes).unwrap();
    let mut reread = Decoder::open(&ours[..]).unwrap();
    assert_eq!(theirs.header(), reread.header());
    while let Some(page) = theirs.next_page().unwrap() {
        let again = reread.next_page().unwrap().expect("as many pages");
        assert_eq!(again.number(), page.number(), "{path}");
        assert!(
            again.data() == page.data(),
            "{path}: page {}",
            page.number()
        );
    }
    assert!(reread.next_page().unwrap().is_none());
    assert_eq!(reread.finish().expect(path).pages, verified.pages);
    verified
}

fn check_header(header: &Header, expected: &JsonValue, path: &str) {
    let hex = |key| text(&expected[key]).to_owned();
    assert_eq!(text(&expected["flags"]), "0x00000002");
    assert!(!header.checksums && header.pre_apply.is_none(), "{path}");
    assert_eq!(
        u64::from(header.page_size.bytes()),
        number(&expected["page_size"])
    );
    assert_eq!(u64::from(header.commit.0), number(&expected["commit"]));
    assert_eq!(header.txids.min().to_string(), hex("min_txid"), "{path}");
    assert_eq!(header.txids.max().to_string(), hex("max_txid"), "{path}");
    assert_eq!(
        header.timestamp.millis() as u64,
        number(&expected["timestamp_ms"])
    );
    assert_eq!(header.wal.offset, number(&expected["wal_offset"]), "{path}");
    assert_eq!(header.wal.size, number(&expected["wal_size"]), "{path}");
    assert_eq!(format!("{:08x}", header.wal.salt1), hex("wal_salt1"));
    assert_eq!(format!("{:08x}", header.wal.salt2), hex("wal_salt2"));
    assert_eq!(format!("{:016x}", header.node_id), hex("node_id"));
}

/// The index read from the file's end names the pages in order, and where it says there stand frames of
/// those pages in the encodings the manifest knows.
fn check_index(bytes: &[u8], file: &JsonValue, path: &str) {
    let index = index_of(bytes);
    let size_at = bytes.len() - 24;
    let index_size = u64::from_be_bytes(bytes[size_at..size_at + 8].try_into().unwrap());
    assert_eq!(index_size, number(&file["index_size"]), "{path}");
    let mut encodings = Vec::new();
    let mut decoder = Decoder::open(bytes).unwrap();
    for entry in index.iter() {
        let page = decoder.next_page().unwrap().expect("a page for each entry");
        assert_eq!(page.number(), entry.page, "{path}");
        let frame = &bytes[entry.offset as usize..][..entry.length as usize];
        assert_eq!(frame[..4], entry.page.value().to_be_bytes(), "{path}");
        encodings.push(if frame[5] == 1 {
            "lz4-block"
        } else {
            "lz4-frame"
        });
    }
    assert!(decoder.next_page().unwrap().is_none(), "{path}");
    encodings.sort_unstable();
    encodings.dedup();
    assert_eq!(encodings, texts(&file["page_encodings"]), "{path}");
    if let Some(last) = index.iter().last() {
        assert_eq!(index.find(last.page), Some(last));
        let beyond = PageNumber::new(last.page.value() + 1).unwrap();
        assert_eq!(index.find(beyond), None);
    }
    assert_eq!(field(file, "ltx_size").is_some(), path.ends_with(".gz"));
}

/// As callers do it: 32 KiB first, then what is asked for.
fn index_of(bytes: &[u8]) -> PageIndex {
    let mut wanted = 32 << 10;
    for _ in 0..2 {
        let tail = &bytes[bytes.len().saturating_sub(wanted)..];
        match PageIndex::parse_tail(tail, bytes.len() as u64).unwrap() {
            Tail::Index(index) => return index,
            Tail::Short { bytes } => wanted = bytes as usize,
        }
    }
    panic!("asked for more twice");
}
