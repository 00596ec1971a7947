//! Random histories: whatever a database goes through between syncs, every TXID restores to what SQLite had
//! then, through every chain of files that reaches it.
//!
//! `WALBROOK_HISTORY_ROUNDS` asks for more histories, `WALBROOK_HISTORY_SEED` for one again.

use std::io::Read;
use std::sync::Arc;

use walbrook::database::PageSet;
use walbrook::ltx::{Decoder, merge};
use walbrook::replica::{Upload, UploadFile};
use walbrook::sqlite::{Blocking, Follower, Resume};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{ByteRange, FileName, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::sys::random::unique;
use walbrook::units::{Level, Timestamp, Txid, TxidRange};

use super::{Bench, PATIENT, page};

const SYNCS: u64 = 24;
const CHAINS: u64 = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[test]
fn every_txid_of_a_random_history_restores_through_every_chain() {
    for round in 0..number("WALBROOK_HISTORY_ROUNDS").unwrap_or(4) {
        let seed = number("WALBROOK_HISTORY_SEED")
            .unwrap_or_else(unique)
            .wrapping_add(round);
        println!("WALBROOK_HISTORY_SEED={seed} WALBROOK_HISTORY_ROUNDS=1");
        History::begin(Chance(seed | 1)).unfold();
    }
}

/// Random numbers, the same for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

struct File {
    txids: TxidRange,
    bytes: Vec<u8>,
}

struct History {
    chance: Chance,
    bench: Bench,
    /// None while nobody follows.
    follower: Option<Follower>,
    vacuums: bool,
    storage: FileStorage,
    /// By TXID, from 1 on: the file with it alone, and what SQLite had.
    states: Vec<(File, Vec<u8>)>,
    dirty: PageSet,
}

impl History {
    fn begin(mut chance: Chance) -> History {
        let size = chance.of(&[512, 1024, 4096]);
        let vacuum = chance.of(&["none", "none", "full", "incremental"]);
        let mut bench = Bench::empty(&format!(
            "PRAGMA page_size={size}; PRAGMA auto_vacuum={vacuum}"
        ));
        bench.sql(
            "create table t(a integer primary key, b); insert into t(b) values (randomblob(9000))",
        );
        let storage = FileStorage::new(bench.scratch.path().join("replica"), Arc::new(SystemFiles));
        let follower = bench.follow();
        let mut history = History {
            chance,
            follower: Some(follower),
            vacuums: vacuum != "none",
            bench,
            storage,
            states: Vec::new(),
            dirty: PageSet::default(),
        };
        history.send(Level::SNAPSHOT);
        history
    }

    fn unfold(mut self) {
        for _ in 1..SYNCS {
            for _ in 0..=self.chance.below(4) {
                self.step();
            }
            self.send(Level::SYNC);
        }
        let wide = self.merge_neighbours();
        for txid in 1..=SYNCS {
            let single: Vec<&File> = self.states[..txid as usize]
                .iter()
                .map(|(file, _)| file)
                .collect();
            self.assert_restores(txid, &single);
            for _ in 0..CHAINS {
                let chain = random_chain(&mut self.chance, &self.states, &wide, txid);
                self.assert_restores(txid, &chain);
            }
        }
    }

    fn step(&mut self) {
        let (some, many) = (self.chance.below(3000), self.chance.below(90_000));
        let from = self.chance.below(12);
        let bench = &mut self.bench;
        match self.chance.below(15) {
            0 | 1 => bench.sql(&format!("insert into t(b) values (randomblob({some})), (randomblob({many}))")),
            2 => bench.sql(&format!("update t set b = randomblob({some}) where a % 12 = {from}")),
            // Back and forth between two contents of the same size.
            3 => bench.sql("update t set b = zeroblob(length(b)) where a % 3 = 0"),
            4 => bench.sql("update t set b = cast(hex(zeroblob(length(b) / 2)) as blob) where a % 3 = 0"),
            5 => bench.sql(&format!("delete from t where a % 12 between {from} and {from} + 5")),
            6 => bench.sql(&format!("delete from t where a % 2 = 0; vacuum; insert into t(b) values (zeroblob({many}))")),
            7 => bench.sql("pragma incremental_vacuum(7); pragma user_version=7"),
            8 => bench.sql(&format!("begin; create table z(x); insert into z values (zeroblob({many})); drop table z; commit")),
            9 => bench.sql(&format!("begin; delete from t; savepoint s; insert into t(b) values (randomblob({many})); rollback to s; rollback")),
            10 => drop(bench.app.run(&format!("checkpoint('{}')", self.chance.of(&["passive", "full", "restart", "truncate"])))),
            11 => self.look(),
            12 => {
                let (follower, dirty) = (self.follower.as_mut().unwrap(), &mut self.dirty);
                let blocking = self.chance.of(&[Blocking::Never, Blocking::Briefly]);
                follower.write_back(blocking, dirty).unwrap();
            }
            13 => {
                let (follower, dirty) = (self.follower.as_mut().unwrap(), &mut self.dirty);
                follower.truncate(dirty).unwrap();
            }
            _ => self.be_away(),
        }
    }

    fn look(&mut self) {
        let follower = self.follower.as_mut().unwrap();
        follower.advance(&mut self.dirty).unwrap();
    }

    /// A restart of ours while the application goes on. Without automatic vacuums, the database gains pages
    /// that have no frame meanwhile.
    fn be_away(&mut self) {
        self.bench
            .sql("pragma user_version=1; pragma user_version=2");
        self.look();
        let at = self.follower.take().unwrap().position();
        self.bench.sql("delete from t where a % 2 = 1");
        if !self.vacuums {
            self.bench.sql("vacuum");
            if self.chance.below(2) == 0 {
                self.bench.app.run("checkpoint('passive')");
            }
            self.bench.app.kill();
            self.bench.app = super::Python::start(&self.bench.path());
            self.bench
                .app
                .run(&format!("append_growth({})", 1 + self.chance.below(20)));
            self.bench.app.run("c = connect()");
        }
        let files = walbrook::sqlite::DatabaseFiles::open(&self.bench.path(), PATIENT).unwrap();
        let (follower, resume) = Follower::start(files, Some(at), &mut self.dirty).unwrap();
        assert_eq!(resume, Resume::Continued);
        self.follower = Some(follower);
    }

    /// One sync: the dirty pages, and now and then some more, as the next TXID.
    fn send(&mut self, level: Level) {
        self.look();
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        let txid = Txid::new(self.states.len() as u64 + 1).unwrap();
        let mut pages = std::mem::take(&mut self.dirty);
        if level == Level::SNAPSHOT {
            pages = PageSet::all(view.pages());
        }
        for _ in 0..self.chance.below(3) {
            pages.insert(page(
                1 + self.chance.below(u64::from(view.pages().0)) as u32,
            ));
        }
        let txids = TxidRange::single(txid);
        let name = FileName { level, txids };
        let created = Timestamp::from_millis(1_700_000_000_000 + txid.value() as i64);
        let file = UploadFile::new(name, created, Arc::new(pages));
        let upload = Upload::new(&view, vec![file]);
        let result = upload.run(&self.storage);
        assert!(result.error.is_none() && result.confirmed == 1);
        let mut bytes = Vec::new();
        self.storage
            .read(name, ByteRange::From(0))
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        self.states
            .push((File { txids, bytes }, self.bench.image()));
    }

    /// Files of higher levels: neighbours merged, at random.
    fn merge_neighbours(&mut self) -> Vec<File> {
        let mut wide = Vec::new();
        for _ in 0..SYNCS {
            let first = self.chance.below(SYNCS) as usize;
            let last = first + self.chance.below(SYNCS - first as u64) as usize;
            let inputs = self.states[first..=last].iter();
            let decoders = inputs
                .map(|(file, _)| Decoder::open(&file.bytes[..]).unwrap())
                .collect();
            let (header, bytes, _) = merge(decoders, Vec::new()).unwrap();
            wide.push(File {
                txids: header.txids,
                bytes,
            });
        }
        wide
    }

    fn assert_restores(&self, txid: u64, chain: &[&File]) {
        let decoders = chain
            .iter()
            .map(|file| Decoder::open(&file.bytes[..]).unwrap())
            .collect();
        let (header, merged, _) = merge(decoders, Vec::new()).unwrap();
        let size = header.page_size.bytes() as usize;
        let mut restored = vec![0; header.commit.bytes(header.page_size) as usize];
        let mut decoder = Decoder::open(&merged[..]).unwrap();
        while let Some(page) = decoder.next_page().unwrap() {
            let at = page.number().offset(header.page_size) as usize;
            restored[at..at + size].copy_from_slice(page.data());
        }
        decoder.finish().unwrap();
        let names: Vec<String> = chain.iter().map(|file| file.txids.to_string()).collect();
        let expected = &self.states[txid as usize - 1].1;
        assert!(restored == *expected, "TXID {txid} through {names:?}");
    }
}

/// From a file that starts at TXID 1 over any that lead further, overlapping or not, to `txid`.
fn random_chain<'a>(
    chance: &mut Chance,
    states: &'a [(File, Vec<u8>)],
    wide: &'a [File],
    txid: u64,
) -> Vec<&'a File> {
    let mut chain: Vec<&File> = Vec::new();
    let mut reached = 0;
    while reached < txid {
        let candidates: Vec<&File> = wide
            .iter()
            .chain(states.iter().map(|(file, _)| file))
            .filter(|file| {
                let (min, max) = (file.txids.min().value(), file.txids.max().value());
                min <= reached + 1 && max > reached && max <= txid && (reached > 0 || min == 1)
            })
            .collect();
        let next = candidates[chance.below(candidates.len() as u64) as usize];
        reached = next.txids.max().value();
        chain.push(next);
    }
    chain
}
