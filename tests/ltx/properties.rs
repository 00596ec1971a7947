//! Random files: what is written is read back, and what is damaged is refused, never a panic.

use proptest::collection::vec;
use proptest::prelude::*;
use walbrook::ltx::{Decoder, Encoder, Error, Header, PageIndex, Tail, Verified, WalSource};
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

use super::vectors::read;

type Pages = Vec<(PageNumber, Vec<u8>)>;

/// How a page's content comes about.
#[derive(Clone, Debug)]
enum Fill {
    Byte(u8),
    Noise(u64),
    Words(u64),
}

fn fill() -> impl Strategy<Value = Fill> {
    prop_oneof![
        any::<u8>().prop_map(Fill::Byte),
        any::<u64>().prop_map(Fill::Noise),
        any::<u64>().prop_map(Fill::Words),
    ]
}

fn content(fill: &Fill, bytes: usize) -> Vec<u8> {
    let mut state = match fill {
        Fill::Byte(byte) => return vec![*byte; bytes],
        Fill::Noise(seed) | Fill::Words(seed) => *seed,
    };
    let mut data = Vec::with_capacity(bytes + 8);
    while data.len() < bytes {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let noise = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (noise ^ (noise >> 27)).to_le_bytes();
        match fill {
            Fill::Words(_) => {
                data.extend([b"page", b"leaf", b"row ", b"\0\0\0\0"][word[0] as usize % 4])
            }
            _ => data.extend(word),
        }
    }
    data.truncate(bytes);
    data
}

prop_compose! {
    fn any_file()(
        page_size in (9..=16u32).prop_map(|power| PageSize::new(1 << power).unwrap()),
        min in 1..4u64,
        more in 0..1000u64,
        timestamp in any::<i64>(),
        node_id in any::<u64>(),
        reserved in any::<[u8; 20]>(),
        wal in (32..1u64 << 40, 0..1u64 << 40, any::<u32>(), any::<u32>()),
        pages in vec((1..40_000u32, fill()), 1..6),
        beyond in 0..5u32,
    ) -> (Header, Pages) {
        let max = Txid::new(min + more).unwrap();
        let txids = TxidRange::new(Txid::new(min).unwrap(), max).unwrap();
        let mut last = 0;
        let pages: Pages = pages.iter().filter_map(|(step, fill)| {
            last += if txids.is_snapshot() { 1 } else { *step };
            let number = PageNumber::new(last).unwrap();
            let data = content(fill, page_size.bytes() as usize);
            (number != page_size.lock_page()).then_some((number, data))
        }).collect();
        let commit = if txids.is_snapshot() { last } else { last + beyond };
        let timestamp = Timestamp::from_millis(timestamp);
        let (offset, size, salt1, salt2) = wal;
        let header = Header {
            wal: WalSource { offset, size, salt1, salt2 },
            node_id,
            reserved,
            ..Header::new(page_size, PageCount(commit), txids, timestamp)
        };
        (header, pages)
    }
}

fn encode(header: &Header, pages: &Pages) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), header).unwrap();
    for (number, data) in pages {
        encoder.page(*number, data).unwrap();
    }
    encoder.finish().unwrap().0
}

fn decode(bytes: &[u8]) -> Result<(Verified, Pages), Error> {
    let mut decoder = Decoder::open(bytes)?;
    let mut pages = Vec::new();
    while let Some(page) = decoder.next_page()? {
        pages.push((page.number(), page.data().to_vec()));
    }
    Ok((decoder.finish()?, pages))
}

fn valid_files() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        "accepted/checksummed-snapshot.ltx",
        "accepted/frame-two-blocks.ltx",
        "accepted/frame-big-block-size.ltx",
        "accepted/literal-blocks.ltx",
        "accepted/mixed-encodings.ltx",
        "accepted/no-pages.ltx",
        "malformed/support/base.ltx",
    ])
    .prop_map(read)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn what_is_written_is_read_back((header, pages) in any_file()) {
        let bytes = encode(&header, &pages);
        let (verified, reread) = decode(&bytes).unwrap();
        prop_assert_eq!(&verified.header, &header);
        prop_assert_eq!(verified.bytes(), bytes.len() as u64);
        prop_assert!(reread == pages);
        let Ok(Tail::Index(index)) = PageIndex::parse_tail(&bytes, bytes.len() as u64) else {
            panic!("the whole file holds the index");
        };
        let indexed: Vec<PageNumber> = index.iter().map(|entry| entry.page).collect();
        prop_assert_eq!(indexed, pages.iter().map(|page| page.0).collect::<Vec<_>>());
    }

    #[test]
    fn the_same_pages_give_the_same_bytes((header, pages) in any_file()) {
        prop_assert!(encode(&header, &pages) == encode(&header, &pages));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    /// A flipped bit may fall on bytes without meaning, such as how a page was compressed; then the file
    /// must read as before.
    #[test]
    fn flipped_bits_are_refused_or_change_nothing(
        bytes in valid_files(),
        flips in vec((any::<prop::sample::Index>(), 0..8u32), 1..4),
    ) {
        let original = decode(&bytes).unwrap();
        let mut damaged = bytes;
        for (at, bit) in flips {
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
        }
        if let Ok(reread) = decode(&damaged) {
            prop_assert!(reread == original);
        }
        let _ = PageIndex::parse_tail(&damaged, damaged.len() as u64);
    }

    #[test]
    fn cut_and_extended_files_are_refused(
        bytes in valid_files(),
        at in any::<prop::sample::Index>(),
        more in vec(any::<u8>(), 1..40),
    ) {
        let cut = at.index(bytes.len());
        prop_assert!(decode(&bytes[..cut]).is_err());
        let extended = [&bytes[..], &more].concat();
        prop_assert!(decode(&extended).is_err());
        let _ = PageIndex::parse_tail(&bytes[cut..], bytes.len() as u64);
    }

    #[test]
    fn random_bytes_after_a_valid_header_are_refused(
        bytes in valid_files(),
        noise in vec(any::<u8>(), 0..600),
    ) {
        let file = [&bytes[..Header::BYTES], &noise].concat();
        prop_assert!(decode(&file).is_err());
        let _ = PageIndex::parse_tail(&file, file.len() as u64);
    }
}
