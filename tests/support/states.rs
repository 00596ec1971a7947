//! Whole databases: what a view shows, what files make of each other, and what they say of it.

use std::collections::BTreeMap;

use walbrook::database::PageSet;
use walbrook::ltx::{Checksum, Decoder, Encoder, Header};
use walbrook::sqlite::View;
use walbrook::storage::FileName;
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp, TxidRange};

/// The database in `view`.
pub(crate) fn image(view: &View) -> Vec<u8> {
    let page_size = view.page_size().bytes() as usize;
    let mut image = vec![0; page_size * view.pages().0 as usize];
    for (page, content) in PageSet::all(view.pages())
        .iter()
        .zip(image.chunks_mut(page_size))
    {
        view.read_page(page, content).unwrap();
    }
    image
}

/// LTX's checksum of the database `image`.
pub(crate) fn checksum(image: &[u8], page_size: PageSize) -> Checksum {
    let pages = image.chunks(page_size.bytes() as usize);
    let numbered = (1..).map_while(PageNumber::new).zip(pages);
    let sums = numbered.filter(|(page, _)| *page != page_size.lock_page());
    sums.map(|(page, content)| Checksum::of_page(page, content))
        .fold(Checksum::EMPTY_DATABASE, Checksum::toggle)
}

/// An LTX file that makes the database `state`, with the `changed` pages, counted from 0, or all. Where it is `tagged` it
/// says what the database is.
pub(crate) fn ltx_file(
    page_size: PageSize,
    txids: TxidRange,
    state: &[u8],
    changed: Option<&[usize]>,
    tagged: bool,
) -> Vec<u8> {
    let bytes = page_size.bytes() as usize;
    let commit = PageCount((state.len() / bytes) as u32);
    let header = Header::new(page_size, commit, txids, Timestamp::from_millis(0));
    let header = header.with_database(tagged.then(|| checksum(state, page_size)));
    let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
    for (index, content) in state.chunks(bytes).enumerate() {
        if changed.is_none_or(|changed| changed.contains(&index)) {
            let number = PageNumber::new(index as u32 + 1).unwrap();
            encoder.page(number, content).unwrap();
        }
    }
    encoder.finish().unwrap().0
}

/// The files of `chain`, one over the other, which is what the last of them says it is, if it says anything.
pub(crate) fn apply(
    files: &BTreeMap<FileName, (Timestamp, Vec<u8>)>,
    chain: &[FileName],
) -> Vec<u8> {
    let mut pages = BTreeMap::new();
    let mut end = 0;
    let mut last = None;
    for name in chain {
        let mut decoder = Decoder::open(&files[name].1[..]).unwrap();
        let page_size = decoder.header().page_size.bytes() as usize;
        end = decoder.header().commit.0 as usize * page_size;
        while let Some(page) = decoder.next_page().unwrap() {
            let offset = (page.number().value() as usize - 1) * page_size;
            pages.insert(offset, page.data().to_vec());
        }
        last = Some(*decoder.header());
        decoder.finish().unwrap();
    }
    let mut image = vec![0; end];
    for (offset, content) in pages.range(..end) {
        image[*offset..*offset + content.len()].copy_from_slice(content);
    }
    if let Some((header, tag)) = last.and_then(|last| Some((last, last.database()?))) {
        assert_eq!(checksum(&image, header.page_size), tag, "{chain:?}");
    }
    image
}
