//! Replicas in real places, harmed at random: files cut at every boundary, flipped, gone, copied under other names and to
//! other levels, exchanged, among things that are no files. Each time a restore gives a state that the replica really
//! had, the one that was asked for, or an error that says so and nothing else.
//!
//! [`endures`] is all there is to a backend: a place, and how it is opened.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::damage::REPLICAS;
use super::vectors::{files, targets};
use crate::ltx::vectors::{field, manifest, text};
use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::place::Place;
use crate::support::rig::{Program, Rig};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use crate::support::sftp::{self, SftpServer};
use walbrook::ltx::{PageIndex, Tail};
use walbrook::restore::{Class, Options, Outcome, RestoreError, Target, restore};
use walbrook::storage::file::FileStorage;
use walbrook::storage::{ByteRange, Content, FileName, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::{Level, Timestamp, Txid, TxidRange};

/// A replica in a place, as it was before any harm.
struct Whole<'a> {
    place: &'a Place,
    storage: &'a dyn Storage,
    files: BTreeMap<FileName, (Timestamp, Vec<u8>)>,
    /// The SHA-256 of the database at each TXID.
    states: BTreeMap<Txid, String>,
    scratch: Scratch,
}

/// What is done to it.
#[derive(Debug, Default)]
struct Harm {
    /// What files hold, if anything.
    files: Vec<(FileName, Option<Vec<u8>>)>,
    /// The same of other names, each on a level.
    others: Vec<(u8, String, Vec<u8>)>,
    /// The replica itself is as it was.
    is_none: bool,
}

#[test]
fn in_directories() {
    let mut chance = Chance::of_environment("restore::harmed::in_directories");
    let mut outcomes = (0, 0);
    for replica in manifest("replicas") {
        if field(&replica, "heavy").is_some() {
            continue;
        }
        let good: Vec<_> = files(&replica).collect();
        if good.iter().map(|file| file.2.len()).sum::<usize>() > 300_000 {
            continue;
        }
        let scratch = Scratch::in_memory();
        let place = Place::Directory(scratch.path().join("replica"));
        let storage = FileStorage::new(place.directory().into(), Arc::new(SystemFiles));
        let whole = planted(good, &place, &storage);
        for (target, expected) in targets(&replica) {
            let (Target::Txid(txid), Some(sum)) = (target, field(expected, "db_sha256")) else {
                continue;
            };
            if let Some(state) = whole.states.get(&txid) {
                assert_eq!(state, text(sum));
            }
        }
        let trials = (2 * whole.files.len()).min(60);
        add(&mut outcomes, endures(&whole, trials, &mut chance));
    }
    for writer in [Program::Walbrook, Program::Litestream17] {
        let rig = Rig::new();
        written(&rig, writer);
        let storage = FileStorage::new(rig.replica(), Arc::new(SystemFiles));
        let whole = Whole::of(rig.place(), &storage);
        whole.assert_litestreams(&rig);
        add(&mut outcomes, endures(&whole, 150, &mut chance));
    }
    println!("{} restored, {} refused", outcomes.0, outcomes.1);
    assert!(outcomes.0 > 100 && outcomes.1 > 100, "{outcomes:?}");
}

#[test]
fn on_s3() {
    let mut chance = Chance::of_environment("restore::harmed::on_s3");
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let open = |place: &Place| {
        let settings = crate::s3::settings(&server, place.s3().path());
        crate::s3::open(settings, &crate::s3::network())
    };
    let mut outcomes = (0, 0);
    for replica in manifest("replicas") {
        if REPLICAS[..2].contains(&text(&replica["name"])) {
            let place = Place::on(&server);
            let storage = open(&place);
            let whole = planted(files(&replica).collect(), &place, &storage);
            add(&mut outcomes, endures(&whole, 40, &mut chance));
        }
    }
    for writer in [Program::Walbrook, Program::Litestream17] {
        let rig = Rig::with_replica(Place::on(&server));
        written(&rig, writer);
        let storage = open(rig.place());
        let whole = Whole::of(rig.place(), &storage);
        whole.assert_litestreams(&rig);
        add(&mut outcomes, endures(&whole, 60, &mut chance));
    }
    println!("{} restored, {} refused", outcomes.0, outcomes.1);
    assert!(outcomes.0 > 50 && outcomes.1 > 50, "{outcomes:?}");
}

#[test]
fn on_sftp() {
    let mut chance = Chance::of_environment("restore::harmed::on_sftp");
    let server = SftpServer::shared(sftp::Kind::OpenSsh);
    let rig = Rig::with_replica(Place::on_sftp(&server));
    written(&rig, Program::Walbrook);
    let url = rig.url();
    let name = url.rsplit('/').next().unwrap();
    let settings = crate::sftp::settings(&server, name);
    let storage = crate::sftp::open(settings, &crate::sftp::network());
    let whole = Whole::of(rig.place(), &storage);
    whole.assert_litestreams(&rig);
    let outcomes = endures(&whole, 90, &mut chance);
    println!("{} restored, {} refused", outcomes.0, outcomes.1);
    assert!(outcomes.0 > 30 && outcomes.1 > 15, "{outcomes:?}");
}

fn add(sum: &mut (usize, usize), more: (usize, usize)) {
    *sum = (sum.0 + more.0, sum.1 + more.1);
}

/// A replica of the vectors, put there.
fn planted<'a>(
    good: Vec<(FileName, i64, Vec<u8>)>,
    place: &'a Place,
    storage: &'a dyn Storage,
) -> Whole<'a> {
    for (name, time, bytes) in good {
        let time = Timestamp::from_millis(time);
        storage.write(name, time, &Stored(&bytes)).unwrap();
    }
    Whole::of(place, storage)
}

/// A live replica of some levels, written by this program.
fn written(rig: &Rig, writer: Program) {
    let mut session = Session::create(&rig.db());
    match writer {
        Program::Walbrook => {
            for round in 0..8 {
                session.insert("t", 10);
                rig.once();
                if round == 5 {
                    let mut command = Program::Walbrook.command();
                    command.arg("compact").arg(rig.url());
                    rig.run(&mut command).ended().well();
                }
            }
        }
        _ => {
            let process = rig.start(writer);
            for _ in 0..6 {
                let before = rig.newest();
                session.insert("t", 10);
                let is_there = || rig.newest() > before;
                crate::support::process::wait_until("synced", is_there);
            }
            process.stop().well();
        }
    }
    drop(session);
}

/// Harms the replica so often, one way after the other, and restores what is left. How many restores there were, and how
/// many errors.
fn endures(whole: &Whole<'_>, trials: usize, chance: &mut Chance) -> (usize, usize) {
    let (mut restored, mut refused) = (0, 0);
    let known: Vec<Txid> = whole.states.keys().copied().collect();
    for number in 0..trials {
        let harm = whole.harm(number, chance);
        whole.inflict(&harm);
        let some = Target::Txid(chance.of(&known));
        for target in [Target::Latest, some] {
            match whole.restore(target) {
                Ok((txid, sum)) => {
                    restored += 1;
                    assert_eq!(
                        whole.states.get(&txid),
                        Some(&sum),
                        "{target:?} {}",
                        tell(&harm)
                    );
                    let wanted = match target {
                        Target::Txid(txid) => txid,
                        // Nobody can know of files that are gone.
                        _ if harm.files.iter().any(|file| file.1.is_none()) => txid,
                        _ => known[known.len() - 1],
                    };
                    assert_eq!(txid, wanted, "{target:?} {}", tell(&harm));
                }
                Err(error) => {
                    refused += 1;
                    let class = error.class();
                    let is_clean = matches!(class, Class::Damaged | Class::NoBackup);
                    let told = format!("{target:?} {error} {class:?} {}", tell(&harm));
                    assert!(is_clean && !harm.is_none, "{told}");
                }
            }
        }
        whole.heal(&harm);
    }
    assert_eq!(
        whole.restore(Target::Latest).unwrap().0,
        known[known.len() - 1]
    );
    (restored, refused)
}

/// The harm without bytes.
fn tell(harm: &Harm) -> String {
    let files = harm.files.iter();
    let files = files.map(|(name, bytes)| (name.to_string(), bytes.as_ref().map(Vec::len)));
    let others = harm.others.iter();
    let others = others.map(|(level, name, bytes)| (level, name, bytes.len()));
    format!(
        "{:?} {:?}",
        files.collect::<Vec<_>>(),
        others.collect::<Vec<_>>()
    )
}

impl<'a> Whole<'a> {
    fn of(place: &'a Place, storage: &'a dyn Storage) -> Whole<'a> {
        let mut whole = Whole {
            place,
            storage,
            files: BTreeMap::new(),
            states: BTreeMap::new(),
            scratch: Scratch::in_memory(),
        };
        for file in storage.list_all().unwrap() {
            let mut bytes = Vec::new();
            let mut reader = storage.read(file.name, ByteRange::From(0)).unwrap();
            reader.read_to_end(&mut bytes).unwrap();
            whole.files.insert(file.name, (file.created, bytes));
        }
        for name in whole.files.keys() {
            let txid = name.txids.max();
            if let Ok((reached, sum)) = whole.restore(Target::Txid(txid)) {
                assert_eq!(reached, txid);
                whole.states.insert(txid, sum);
            }
        }
        assert!(!whole.states.is_empty());
        whole
    }

    /// The states are those that the real Litestream restores.
    fn assert_litestreams(&self, rig: &Rig) {
        for (txid, sum) in &self.states {
            let theirs = rig.restored_sum(Program::Litestream17, Some(txid.value()));
            let theirs: String = theirs
                .unwrap()
                .0
                .iter()
                .map(|it| format!("{it:02x}"))
                .collect();
            assert_eq!((txid, sum), (txid, &theirs));
        }
    }

    /// What a restore gives; nothing at all after an error.
    fn restore(&self, target: Target) -> Result<(Txid, String), RestoreError> {
        let output = self.scratch.path().join("app.db");
        let options = Options {
            pauses: Vec::new(),
            ..Options::default()
        };
        let result = restore(self.storage, target, &output, &options, &mut |_| ());
        let sum = std::fs::read(&output).map(|bytes| crate::ltx::vectors::sha256(&bytes));
        let _ = std::fs::remove_file(&output);
        let left: Vec<_> = std::fs::read_dir(self.scratch.path()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
        match result? {
            Outcome::Restored(report) => Ok((report.txid, sum.unwrap())),
            other => panic!("{other:?}"),
        }
    }

    fn bytes(&self, name: FileName) -> &[u8] {
        &self.files[&name].1
    }

    /// Some harm; each kind in its turn.
    fn harm(&self, number: usize, chance: &mut Chance) -> Harm {
        let names: Vec<FileName> = self.files.keys().copied().collect();
        let name = chance.of(&names);
        let bytes = self.bytes(name);
        let one = |bytes: Vec<u8>| Harm {
            is_none: bytes == self.bytes(name),
            files: vec![(name, Some(bytes))],
            ..Harm::default()
        };
        match number % 9 {
            0 | 1 => {
                let cuts = boundaries(bytes);
                one(bytes[..chance.of(&cuts)].to_vec())
            }
            2 | 3 => {
                let mut flipped = bytes.to_vec();
                let end = bytes.len() as u64;
                let places = [
                    chance.below(end),
                    chance.below(end.min(130)),
                    end - 1 - chance.below(24),
                ];
                let place = chance.of(&places) as usize;
                flipped[place] ^= 1 << chance.below(8);
                one(flipped)
            }
            4 => match chance.once_in(3) {
                true => one([bytes, &[0]].concat()),
                false => Harm {
                    files: vec![(name, None)],
                    ..Harm::default()
                },
            },
            // The same under another name.
            5 => {
                let newest = names
                    .iter()
                    .map(|name| name.txids.max().value())
                    .max()
                    .unwrap();
                let min = newest + 1 + chance.below(2);
                let txid = |number| Txid::new(number).unwrap();
                let txids = TxidRange::new(txid(min), txid(min + chance.below(2))).unwrap();
                let other = FileName { txids, ..name };
                let elsewhere = FileName {
                    level: chance.of(&Level::all().collect::<Vec<_>>()),
                    ..name
                };
                let copy = chance.of(&[other, elsewhere]);
                let is_new = !self.files.contains_key(&copy);
                Harm {
                    files: is_new
                        .then(|| (copy, Some(bytes.to_vec())))
                        .into_iter()
                        .collect(),
                    is_none: !is_new,
                    ..Harm::default()
                }
            }
            // Two, or three, have changed places.
            6 | 7 => {
                let count = 2 + number % 2;
                let mut moved: Vec<FileName> = (0..count).map(|_| chance.of(&names)).collect();
                moved.sort();
                moved.dedup();
                let from = moved.iter().cycle().skip(1);
                let pairs = moved.iter().zip(from);
                let files: Vec<_> = pairs
                    .map(|(to, from)| (*to, Some(self.bytes(*from).to_vec())))
                    .collect();
                let is_same = |(name, bytes): &(FileName, Option<Vec<u8>>)| {
                    bytes.as_deref() == Some(self.bytes(*name))
                };
                Harm {
                    is_none: files.iter().all(is_same),
                    files,
                    ..Harm::default()
                }
            }
            _ => {
                let bytes = [Vec::new(), bytes.to_vec(), b"stray".to_vec()];
                let others = FOREIGN.map(|name| {
                    let bytes = bytes[chance.below(3) as usize].clone();
                    (chance.below(10) as u8, name.to_string(), bytes)
                });
                Harm {
                    others: others.into(),
                    is_none: true,
                    ..Harm::default()
                }
            }
        }
    }

    fn inflict(&self, harm: &Harm) {
        for (name, bytes) in &harm.files {
            match bytes {
                Some(bytes) => {
                    let time = self
                        .files
                        .get(name)
                        .map_or(Timestamp::from_millis(0), |it| it.0);
                    self.storage.write(*name, time, &Stored(bytes)).unwrap();
                }
                None => self.storage.delete(&[*name]).unwrap(),
            }
        }
        for (level, name, bytes) in &harm.others {
            self.place.write(*level, name, bytes);
        }
        if let (Place::Directory(path), false) = (self.place, harm.others.is_empty()) {
            for empty in [
                "ltx/0/00000000000000ff-00000000000000ff.ltx",
                "ltx/10",
                "ltx/x",
                "y",
            ] {
                std::fs::create_dir_all(path.join(empty)).unwrap();
            }
        }
    }

    fn heal(&self, harm: &Harm) {
        for (name, _) in &harm.files {
            match self.files.get(name) {
                Some((time, bytes)) => {
                    self.storage.write(*name, *time, &Stored(bytes)).unwrap();
                }
                None => self.storage.delete(&[*name]).unwrap(),
            }
        }
        for (level, name, _) in &harm.others {
            self.place.remove(*level, name);
        }
    }
}

/// What stands among files and is none.
const FOREIGN: [&str; 11] = [
    "0000000000000002-0000000000000002.ltx.tmp",
    "0000000000000002-0000000000000002.LTX",
    "000000000000000A-000000000000000A.ltx",
    "0000000000000000-0000000000000002.ltx",
    "0000000000000003-0000000000000002.ltx",
    "00000000000000001-00000000000000002.ltx",
    "2-2.ltx",
    "0000000000000002.ltx",
    "x0000000000000002-0000000000000002.ltx",
    ".0000000000000002-0000000000000002.ltx.swp",
    "README",
];

/// Where the parts of a file meet: header, frames and their headers, the index and its size, the trailer; a byte before
/// and after each, too. Of many frames, some.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let end = bytes.len();
    let mut meet = vec![0, 4, 100, end - 16, end - 24, end];
    if let Ok(Tail::Index(index)) = PageIndex::parse_tail(bytes, end as u64) {
        let frames: Vec<_> = index.iter().collect();
        for frame in frames
            .iter()
            .step_by(1 + frames.len() / 8)
            .chain(frames.last())
        {
            let at = frame.offset as usize;
            meet.extend([at, at + 6, at + 10, at + frame.length as usize]);
        }
        // The end of the frames has a header too.
        meet.extend(
            frames
                .last()
                .map(|last| (last.offset + last.length) as usize + 6),
        );
    }
    let around = |at: usize| [at.saturating_sub(1), at, at + 1];
    let mut cuts: Vec<usize> = meet.into_iter().flat_map(around).collect();
    cuts.retain(|cut| *cut < end);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

struct Stored<'a>(&'a [u8]);

impl Content for Stored<'_> {
    fn write_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(self.0)
    }
}
