//! Replicas in the format of Litestream 0.3 that are made here, of databases that SQLite writes by chance: with every page
//! size, every kind of LZ4 frame, every kind of checkpoint, several connections. What is restored is what SQLite's own
//! checkpoint makes.

use std::fs;
use std::hash::Hasher;
use std::path::{Path, PathBuf};

use lz4_flex::block;
use rusqlite::Connection;
use twox_hash::XxHash32;

use super::{Kept, restored};
use crate::ltx::vectors::sha256;
use crate::support::chance::Chance;
use crate::support::scratch::Scratch;
use walbrook::restore::Target;
use walbrook::storage::{GenerationFile, GenerationName, GenerationPart};
use walbrook::units::Timestamp;

/// Seconds between two files.
const STEP: i64 = 1000;

/// A database and its replica in the making.
struct Made {
    chance: Chance,
    database: PathBuf,
    kept: Kept,
    index: u32,
    offset: usize,
}

impl Made {
    /// Stores a file, a second after the one before.
    fn store(&mut self, index: u32, part: GenerationPart, content: &[u8]) {
        let bytes = self.frame(content);
        let file = GenerationFile {
            name: GenerationName {
                generation: 7,
                index,
                part,
            },
            size: bytes.len() as u64,
            created: Timestamp::from_millis(self.kept.files.len() as i64 * STEP),
        };
        self.kept.files.push((file, bytes));
    }

    fn snapshot(&mut self) {
        let content = fs::read(&self.database).unwrap();
        self.store(self.index, GenerationPart::Snapshot, &content);
    }

    /// Stores what has come to the WAL.
    fn sync(&mut self) {
        let wal = fs::read(wal_of(&self.database)).unwrap();
        let end = self.offset + committed(&wal, self.offset);
        if end > self.offset {
            let part = GenerationPart::Segment {
                offset: self.offset as u64,
                digits: self.chance.of(&[8, 16]),
            };
            self.store(self.index, part, &wal[self.offset..end]);
            self.offset = end;
        }
    }

    /// An LZ4 frame of one kind or another.
    fn frame(&mut self, content: &[u8]) -> Vec<u8> {
        let (flags, code) = (
            self.chance.below(8) as u8 * 8,
            self.chance.of(&[4, 5, 6, 7]),
        );
        let largest = 1 << (8 + 2 * code);
        let mut descriptor = vec![0x44 | flags, code << 4];
        if flags & 0x08 != 0 {
            descriptor.extend((content.len() as u64).to_le_bytes());
        }
        let mut frame = vec![0x04, 0x22, 0x4d, 0x18];
        frame.extend(&descriptor);
        frame.push((xxh32(&descriptor) >> 8) as u8);
        for (at, block) in content.chunks(largest).enumerate() {
            let begin = at * largest;
            let before = match flags & 0x20 {
                0 => &content[begin.saturating_sub(64 << 10)..begin],
                _ => &[],
            };
            let compressed = block::compress_with_dict(block, before);
            let (size, data) = match compressed.len() < block.len() {
                true => (compressed.len() as u32, &compressed[..]),
                false => (block.len() as u32 | 1 << 31, block),
            };
            frame.extend(size.to_le_bytes());
            frame.extend(data);
            if flags & 0x10 != 0 {
                frame.extend(xxh32(data).to_le_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(xxh32(content).to_le_bytes());
        frame
    }
}

fn xxh32(bytes: &[u8]) -> u32 {
    let mut hasher = XxHash32::with_seed(0);
    hasher.write(bytes);
    hasher.finish_32()
}

fn wal_of(database: &Path) -> PathBuf {
    database.with_extension("db-wal")
}

/// How many bytes from `from` on are committed frames of this WAL, and not left from one before it, or from a transaction
/// that was rolled back.
fn committed(wal: &[u8], from: usize) -> usize {
    if wal.is_empty() {
        return 0;
    }
    let frame = 24 + u32::from_be_bytes(wal[8..12].try_into().unwrap()) as usize;
    let header = if from == 0 { 32 } else { 0 };
    let is_of_it = |bytes: &&[u8]| bytes[8..16] == wal[16..24];
    let frames = wal[from + header..]
        .chunks_exact(frame)
        .take_while(is_of_it);
    let is_commit = |(_, bytes): &(usize, &[u8])| bytes[4..8] != [0; 4];
    let last = frames.enumerate().filter(is_commit).last();
    last.map_or(0, |(number, _)| header + (number + 1) * frame)
}

fn write(chance: &mut Chance, connection: &Connection) {
    let sql = match chance.below(12) {
        0 => "DELETE FROM t WHERE id % 3 = 0".to_owned(),
        1 => "UPDATE t SET v = randomblob(length(v)) WHERE id % 5 = 1".to_owned(),
        2 => "VACUUM".to_owned(),
        3 => "DELETE FROM t WHERE id > 10; PRAGMA incremental_vacuum".to_owned(),
        4 => format!(
            "CREATE TABLE IF NOT EXISTS t{} (a PRIMARY KEY)",
            chance.below(9)
        ),
        5 => "BEGIN; INSERT INTO t(v) VALUES (zeroblob(300000)); ROLLBACK".to_owned(),
        _ => format!(
            "INSERT INTO t(v) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) \
             SELECT {}({}) FROM n",
            chance.below(30) + 1,
            chance.of(&["randomblob", "zeroblob"]),
            chance.below(20_000)
        ),
    };
    connection.execute_batch(&sql).unwrap();
}

/// Starts the WAL over.
fn checkpoint(chance: &mut Chance, connection: &Connection) {
    let mode = chance.of(&["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
    let busy = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        row.get(0)
    });
    assert_eq!(busy, Ok(0));
}

/// Makes a replica, and gives it with the SHA-256 of the database as of the last file of each WAL.
fn make(chance: Chance, scratch: &Scratch) -> (Kept, Vec<(Timestamp, String)>) {
    let mut made = Made {
        chance,
        database: scratch.path().join("made.db"),
        kept: Kept::default(),
        index: 0,
        offset: 0,
    };
    let open = || {
        let connection = Connection::open(scratch.path().join("made.db")).unwrap();
        let settings =
            "PRAGMA wal_autocheckpoint = 0; PRAGMA synchronous = OFF; PRAGMA cache_size = 20";
        connection.execute_batch(settings).unwrap();
        connection
    };
    let connections = [open(), open(), open()];
    let page_size = made.chance.of(&[512, 1024, 4096, 8192, 65536]);
    let vacuum = made.chance.below(3);
    connections[0]
        .execute_batch(&format!(
            "PRAGMA page_size = {page_size}; PRAGMA auto_vacuum = {vacuum}; PRAGMA journal_mode = WAL; \
             CREATE TABLE t(id INTEGER PRIMARY KEY, v); PRAGMA wal_checkpoint(TRUNCATE)"
        ))
        .unwrap();
    // Before a connection has read something it takes no part in checkpoints.
    for connection in &connections {
        let count = connection.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(count, Ok(0));
    }
    let mut states = Vec::new();
    connections[0]
        .execute_batch("INSERT INTO t(v) VALUES (1)")
        .unwrap();
    made.snapshot();
    for _ in 0..made.chance.below(4) + 1 {
        for _ in 0..made.chance.below(8) + 1 {
            let writer = made.chance.below(3) as usize;
            write(&mut made.chance, &connections[writer]);
            if made.chance.once_in(2) {
                made.sync();
            }
        }
        made.sync();
        let by = made.chance.below(3) as usize;
        checkpoint(&mut made.chance, &connections[by]);
        let time = made.kept.files.last().unwrap().0.created;
        states.push((time, sha256(&fs::read(&made.database).unwrap())));
        // As Litestream does, so that the WAL starts over once.
        let writer = made.chance.below(3) as usize;
        connections[writer]
            .execute_batch("INSERT INTO t(v) VALUES (1)")
            .unwrap();
        made.index += 1;
        made.offset = 0;
        if made.chance.once_in(3) {
            made.snapshot();
        }
    }
    (made.kept, states)
}

/// A number of replicas that a debug build makes in some seconds.
const REPLICAS: usize = 40;

#[test]
fn what_is_restored_is_what_sqlite_makes_of_it() {
    let mut chance = Chance::of_environment("what_is_restored_is_what_sqlite_makes_of_it");
    for _ in 0..REPLICAS {
        let scratch = Scratch::in_memory();
        let seed = chance.below(1 << 40);
        let (kept, states) = make(Chance::of_seed(seed), &scratch);
        let (_, newest) = states.last().unwrap();
        let digest = restored(&kept, Target::Latest);
        assert_eq!(
            digest.as_ref().ok(),
            Some(newest),
            "seed {seed}: {digest:?}"
        );
        for (time, expected) in &states {
            let digest = restored(&kept, Target::AsOf(*time));
            assert_eq!(
                digest.as_ref().ok(),
                Some(expected),
                "seed {seed}: {digest:?}"
            );
        }
    }
}
