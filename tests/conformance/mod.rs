//! The storage contract as tests: [`conforms`] holds a backend to every word of `walbrook::storage::Storage`.
//! A backend's own test is a constructor and a call.

mod file;
mod mounting;
mod s3;
mod sftp;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};

use walbrook::storage::{ByteRange, Content, FileInfo, FileName, Storage, StorageError};
use walbrook::units::{Level, Timestamp, Txid, TxidRange};

/// How well a backend remembers the time a file was written with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Times {
    /// Exactly.
    Milliseconds,
    /// Cut to whole seconds.
    Seconds,
    /// Exactly, but listings tell when the file was stored.
    Stored,
}

/// Checks everything the contract promises. Each `new()` must give another, empty replica, all of them side by
/// side in one place, so that one that reaches into its sibling is found out.
pub(crate) fn conforms(times: Times, new: impl Fn() -> Box<dyn Storage>) {
    missing_is_empty_or_not_found(&*new());
    listings_are_ordered_and_by_level(&*new());
    times_are_kept(&*new(), times);
    ranges(&*new());
    a_write_replaces_whole(&*new());
    failing_content_leaves_the_old_file(&*new());
    one_of_many_writers_wins_whole(&*new());
    deleting_twice_is_fine(&*new());
    delete_all_stays_at_home(&*new(), &*new());
    large_files_stream(&*new());
}

/// Checks that nothing but LTX files is listed. `plant` puts a file of this name on the level.
pub(crate) fn ignores_foreign_names(storage: &dyn Storage, plant: impl Fn(&str)) {
    put(storage, name(0, 1, 1), b"one");
    for foreign in [
        "0000000000000002-0000000000000002.ltx.tmp",
        "0000000000000002-0000000000000002.LTX",
        "000000000000000A-000000000000000A.ltx",
        "0000000000000000-0000000000000002.ltx",
        "0000000000000003-0000000000000002.ltx",
        "2-2.ltx",
        "0000000000000002.ltx",
        "x0000000000000002-0000000000000002.ltx",
        "0000000000000002-0000000000000002.ltx.",
        "README",
    ] {
        plant(foreign);
    }
    assert_eq!(names(storage, 0), [name(0, 1, 1)]);
}

/// The name of a file.
pub(crate) fn name(level: u8, min: u64, max: u64) -> FileName {
    let txid = |number| Txid::new(number).unwrap();
    FileName {
        level: Level::new(level).unwrap(),
        txids: TxidRange::new(txid(min), txid(max)).unwrap(),
    }
}

/// Stores `bytes`.
pub(crate) fn put(storage: &dyn Storage, name: FileName, bytes: &[u8]) {
    let size = storage.write(name, time(0), &Bytes(bytes)).unwrap();
    assert_eq!(size, bytes.len() as u64);
}

/// Reads a whole file.
pub(crate) fn get(storage: &dyn Storage, name: FileName) -> Vec<u8> {
    read(storage, name, ByteRange::From(0)).unwrap()
}

/// The names on a level.
pub(crate) fn names(storage: &dyn Storage, level: u8) -> Vec<FileName> {
    list(storage, level).iter().map(|file| file.name).collect()
}

/// Content before which something is done, while the file is written already.
pub(crate) struct Meanwhile<'a>(pub(crate) &'a dyn Fn());

impl Content for Meanwhile<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.0)();
        out.write_all(b"content")
    }
}

/// Content that is at hand.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Content for Bytes<'_> {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(self.0)
    }
}

fn missing_is_empty_or_not_found(storage: &dyn Storage) {
    for level in Level::all() {
        assert_eq!(storage.list(level).unwrap(), []);
    }
    not_found(storage, name(0, 1, 1));
    storage.delete(&[name(0, 1, 1)]).unwrap();
    storage.delete_all().unwrap();
    put(storage, name(0, 1, 1), b"one");
    assert_eq!(list(storage, 1), []);
    not_found(storage, name(0, 1, 2));
    not_found(storage, name(1, 1, 1));
}

fn listings_are_ordered_and_by_level(storage: &dyn Storage) {
    let many = u64::from(u32::MAX);
    let files = [
        (1, 1),
        (1, 9),
        (2, 2),
        (2, 10),
        (3, 3),
        (16, 255),
        (many, many * 2),
    ];
    for (min, max) in files.iter().rev() {
        put(storage, name(0, *min, *max), b"some content");
    }
    put(storage, name(0, u64::MAX, u64::MAX), b"the last of all");
    put(storage, name(9, 1, 7), b"a snapshot");
    let mut expected: Vec<_> = files.iter().map(|(min, max)| name(0, *min, *max)).collect();
    expected.push(name(0, u64::MAX, u64::MAX));
    assert_eq!(names(storage, 0), expected);
    assert_eq!(names(storage, 9), [name(9, 1, 7)]);
    assert_eq!(names(storage, 5), []);
    for txid in [1, 2, 3, 4, many, u64::MAX] {
        let from = storage.list_from(Level::SYNC, Txid::new(txid).unwrap());
        let from: Vec<_> = from.unwrap().iter().map(|file| file.name).collect();
        let mut wanted = expected.clone();
        wanted.retain(|name| name.txids.min().value() >= txid);
        assert_eq!(from, wanted, "{txid}");
    }
    assert_eq!(list(storage, 0)[0].size, 12);
    assert_eq!(list(storage, 9)[0].size, 10);
}

fn times_are_kept(storage: &dyn Storage, times: Times) {
    let millis = [1_795_392_168_938, 1_795_392_168_000, 1_795_392_168_001, 999];
    for (txid, millis) in (1..).zip(millis) {
        let file = name(0, txid, txid);
        storage.write(file, time(millis), &Bytes(b"x")).unwrap();
    }
    let exact = storage.exact_times(list(storage, 0)).unwrap();
    for ((file, exact), millis) in list(storage, 0).iter().zip(exact).zip(millis) {
        assert_eq!(exact.name, file.name);
        match times {
            // To the second where nothing better is kept.
            Times::Seconds => {}
            _ => assert_eq!(exact.created, time(millis)),
        }
        match times {
            Times::Milliseconds => assert_eq!(file.created, time(millis)),
            Times::Seconds => assert_eq!(file.created, time(millis / 1000 * 1000)),
            Times::Stored => assert!(file.created.millis() > 1_000_000_000_000),
        }
    }
}

fn ranges(storage: &dyn Storage) {
    let file = name(1, 2, 3);
    put(storage, file, b"0123456789");
    let exact = |offset, length| ByteRange::Exact { offset, length };
    for (range, expected) in [
        (ByteRange::From(0), "0123456789"),
        (ByteRange::From(7), "789"),
        (ByteRange::From(10), ""),
        (ByteRange::From(11), ""),
        (ByteRange::From(u64::from(u32::MAX)), ""),
        (ByteRange::Last(3), "789"),
        (ByteRange::Last(10), "0123456789"),
        (ByteRange::Last(11), "0123456789"),
        (ByteRange::Last(0), ""),
        (exact(0, 10), "0123456789"),
        (exact(3, 4), "3456"),
        (exact(9, 1), "9"),
        (exact(3, 0), ""),
    ] {
        let bytes = read(storage, file, range).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), expected, "{range:?}");
    }
    for range in [exact(0, 11), exact(9, 2), exact(10, 1), exact(20, 1)] {
        let error = read(storage, file, range).unwrap_err();
        assert!(error.contains("UnexpectedEof"), "{range:?}: {error}");
    }
    put(storage, name(1, 4, 4), b"");
    assert_eq!(get(storage, name(1, 4, 4)), b"");
    assert_eq!(
        read(storage, name(1, 4, 4), ByteRange::Last(5)).unwrap(),
        b""
    );
}

fn a_write_replaces_whole(storage: &dyn Storage) {
    let file = name(9, 1, 5);
    put(storage, file, &[1; 100_000]);
    put(storage, file, &[2; 10]);
    assert_eq!(get(storage, file), [2; 10]);
    assert_eq!(list(storage, 9).len(), 1);
    assert_eq!(list(storage, 9)[0].size, 10);

    // While it is being written, the old file is there and the new one is not.
    struct Looking<'a>(&'a dyn Storage);
    impl Content for Looking<'_> {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&[3; 300_000])?;
            out.flush()?;
            assert_eq!(get(self.0, name(9, 1, 5)), [2; 10]);
            assert_eq!(names(self.0, 9), [name(9, 1, 5)]);
            not_found(self.0, name(9, 1, 6));
            out.write_all(&[3; 300_000])
        }
    }
    storage
        .write(name(9, 1, 6), time(0), &Looking(storage))
        .unwrap();
    assert_eq!(get(storage, name(9, 1, 6)), vec![3; 600_000]);
}

fn failing_content_leaves_the_old_file(storage: &dyn Storage) {
    struct Failing;
    impl Content for Failing {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&[7; 200_000])?;
            Err(io::Error::other("the database went away"))
        }
    }
    let (old, new) = (name(0, 1, 1), name(0, 2, 2));
    put(storage, old, b"old");
    for file in [old, new] {
        let error = storage.write(file, time(0), &Failing).unwrap_err();
        assert!(matches!(error, StorageError::Content { .. }), "{error}");
        assert!(
            error.to_string().contains("the database went away"),
            "{error}"
        );
        assert!(!error.outcome_unknown());
    }
    assert_eq!(get(storage, old), b"old");
    assert_eq!(names(storage, 0), [old]);
    not_found(storage, new);
}

fn one_of_many_writers_wins_whole(storage: &dyn Storage) {
    let file = name(2, 1, 8);
    std::thread::scope(|scope| {
        for number in 0..8_u8 {
            scope.spawn(move || {
                let bytes = vec![number; 50_000 + usize::from(number)];
                put(storage, file, &bytes);
            });
        }
    });
    let bytes = get(storage, file);
    assert_eq!(bytes, vec![bytes[0]; 50_000 + usize::from(bytes[0])]);
    assert_eq!(names(storage, 2), [file]);
}

fn deleting_twice_is_fine(storage: &dyn Storage) {
    for txid in 1..=5 {
        put(storage, name(0, txid, txid), b"x");
    }
    let doomed = [name(0, 2, 2), name(0, 9, 9), name(3, 1, 1), name(0, 4, 4)];
    storage.delete(&doomed).unwrap();
    let left = [name(0, 1, 1), name(0, 3, 3), name(0, 5, 5)];
    assert_eq!(names(storage, 0), left);
    storage.delete(&doomed).unwrap();
    storage.delete(&[]).unwrap();
    assert_eq!(names(storage, 0), left);
    not_found(storage, name(0, 2, 2));
}

fn delete_all_stays_at_home(storage: &dyn Storage, sibling: &dyn Storage) {
    for storage in [storage, sibling] {
        put(storage, name(0, 1, 1), b"x");
        put(storage, name(9, 1, 1), b"y");
    }
    storage.delete_all().unwrap();
    storage.delete_all().unwrap();
    for level in Level::all() {
        assert_eq!(storage.list(level).unwrap(), []);
    }
    assert_eq!(get(sibling, name(9, 1, 1)), b"y");
    assert_eq!(names(sibling, 0), [name(0, 1, 1)]);
    put(storage, name(0, 1, 1), b"again");
    assert_eq!(get(storage, name(0, 1, 1)), b"again");
}

fn large_files_stream(storage: &dyn Storage) {
    const BLOCKS: u32 = 384;
    const BLOCK: usize = 64 << 10;
    struct Blocks;
    impl Content for Blocks {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            (0..BLOCKS).try_for_each(|number| out.write_all(&[number as u8; BLOCK]))
        }
    }
    let file = name(9, 1, 1);
    let size = storage.write(file, time(0), &Blocks).unwrap();
    assert_eq!(size, u64::from(BLOCKS) * BLOCK as u64);
    let mut reader = storage.read(file, ByteRange::From(0)).unwrap();
    let mut block = vec![0; BLOCK];
    for number in 0..BLOCKS {
        reader.read_exact(&mut block).unwrap();
        assert!(block.iter().all(|&byte| byte == number as u8));
    }
    assert_eq!(reader.read(&mut block).unwrap(), 0);
}

fn read(storage: &dyn Storage, name: FileName, range: ByteRange) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut reader = storage
        .read(name, range)
        .map_err(|error| format!("{error:?}"))?;
    let done = reader.read_to_end(&mut bytes);
    done.map_err(|error| format!("{:?} {error}", error.kind()))?;
    Ok(bytes)
}

fn not_found(storage: &dyn Storage, name: FileName) {
    for range in [ByteRange::From(0), ByteRange::Last(1)] {
        match storage.read(name, range) {
            Err(error) => assert!(error.is_not_found(), "{error}"),
            Ok(_) => panic!("{name} is there"),
        }
    }
}

fn list(storage: &dyn Storage, level: u8) -> Vec<FileInfo> {
    let files = storage.list(Level::new(level).unwrap()).unwrap();
    let distinct: BTreeSet<FileName> = files.iter().map(|file| file.name).collect();
    assert_eq!(distinct.len(), files.len());
    assert!(files.is_sorted_by_key(|file| file.name));
    files
}

fn time(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
