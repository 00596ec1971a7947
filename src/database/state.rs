//! What is remembered across restarts: a small text file beside the database.
//!
//! It says that the database at a place in the WAL equals TXID so-and-so of the replica plus some dirty pages.
//! It is a cache: a missing, torn or outdated one costs a full copy and nothing else, because the place
//! only counts if the WAL's salts and checksum chain still run through it. So it is synced to disk at
//! a clean stop alone; while running it is replaced now and then without forcing the disk to do anything.
//!
//! ```text
//! walbrook state 1
//! file 1048602                                        inode of the database
//! wal 8d3d75ce61e0f833 412 5f2a00c1 99ab0e2f 1204     salts, frame, checksum, pages
//! replica 0000000000000042 1795392168938 1-3,17 /backup/app    TXID, its time, dirty pages, location
//! level 1 0000000000000040 1-3,9                      how far a level has come, and the pages it lacks
//! level 2 0000000000000031 all
//! sums 0000000000000037 1795392160020 1204 3,9         TXID and time of the sums file, pages now, pages since
//! quiet                                               only where no upload was under way, nor would be
//! under way s3://backup/app                           another replica, of which only that is to be remembered
//! sum b90956c775a41001                                CRC-64 of the lines above
//! ```
//! The lines from `replica` on are there for each replica whose place in the WAL is this one. A level without a line
//! costs reading page indexes when it is due; sums without one, reading the database.
//!
//! Where a run begins with a full copy, so that there is no place to remember yet, the line `under way` stands in
//! for those from `file` on, if a later run has to know that there may be an upload of it still to arrive.

use std::fmt::Write as _;
use std::io::{self, Read, Write as _};
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Lines;
use std::sync::Arc;

use crc::{CRC_64_GO_ISO, Crc, Table};

use super::{OnDisk, PageSet, SumsState};
use crate::sqlite::{FrameNumber, Salts, WalChecksum, WalPosition};
use crate::sys::fs::{FileSystem, parent, publish, replace};
use crate::units::{Level, PageCount, PageNumber, Timestamp, Txid};

const FIRST_LINE: &str = "walbrook state 1";
const UNDER_WAY: &str = "under way";
const REPLICA: &str = "replica ";
const LEVEL: &str = "level ";
const SUMS: &str = "sums ";
const QUIET: &str = "quiet";
const NONE: &str = "none";
const ALL: &str = "all";
const FILE_NAME: &str = "walbrook-state";

/// The most bytes a state file is read to: the dirty set of a large database in the worst case.
const STATE_BYTES_MAX: u64 = 16 << 20;

/// The most runs of pages that are written down in one line of all replicas together. With ten lines, and twenty-two
/// bytes a run, the file is never longer than what is read.
const RUNS_MAX: usize = 50_000;

/// The remembered state of one database.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct State {
    /// The inode of the database file. Another file put at its path beside an old WAL is another database. Its
    /// device is left out: numbers of devices change when a machine starts.
    pub inode: u64,
    /// The place in the WAL.
    pub position: WalPosition,
    /// What destinations had then.
    pub destinations: Vec<DestinationState>,
    /// Where other destinations are, to which an upload may be under way.
    pub under_way: Vec<String>,
}

/// The remembered state of one destination, at the place of its [`State`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DestinationState {
    /// Where the replica is; a state of another place does not count.
    pub location: String,
    /// The last TXID confirmed.
    pub acked: Mark,
    /// The pages changed since, up to the place.
    pub dirty: PageSet,
    /// An upload of the next TXID may have been sent, and may arrive later. So it is while running, for the
    /// state is not written with each upload.
    pub under_way: bool,
    /// The levels, as far as it is known what they lack.
    pub levels: Vec<LevelState>,
    /// How the sums on disk become those of `acked`.
    pub sums: Option<SumsState>,
}

/// What a level lacks: the pages changed after `last` up to the destination's TXID.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LevelState {
    /// The level, from 1 on.
    pub level: Level,
    /// The newest TXID on it.
    pub last: Txid,
    /// The pages; none for all.
    pub pages: Option<PageSet>,
}

/// What a state file says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Remembered {
    /// Nothing: there is none, or it is torn or not understood.
    Nothing,
    /// That a full copy was under way.
    UnderWay,
    /// Where an earlier run was.
    At(State),
}

/// A TXID of one certain history. Another replica that is found at the same place, on another disk say, may have
/// the same TXID, but not a file that ends there with the same time in its header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mark {
    /// The TXID.
    pub txid: Txid,
    /// The time in the header of the file that ends there.
    pub time: Timestamp,
}

/// How hard to try to get a state onto the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Durability {
    /// Survives a crash of the process; after a power cut an older one may be found, or none.
    Process,
    /// Survives a power cut.
    Power,
}

/// The file that a [`State`] is kept in.
pub struct StateFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
}

impl StateFile {
    /// The state file in directory `meta`, which is created when first needed.
    pub fn new(fs: Arc<dyn FileSystem>, meta: &Path) -> StateFile {
        StateFile {
            fs,
            path: meta.join(FILE_NAME),
        }
    }

    /// What is remembered.
    pub fn load(&self) -> Remembered {
        self.read().map_or(Remembered::Nothing, |text| parse(&text))
    }

    fn read(&self) -> Option<String> {
        let mut text = String::new();
        let file = self.fs.read_from(&self.path, 0).ok()?;
        file.take(STATE_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Remembers `state` in place of what was there.
    ///
    /// # Errors
    /// When the disk refuses; what was there before is still there.
    pub fn save(&self, state: &State, durability: Durability) -> io::Result<()> {
        self.write(&state.to_text(), durability)
    }

    /// Remembers only that a full copy is under way, across power cuts.
    ///
    /// # Errors
    /// As [`StateFile::save`].
    pub fn save_under_way(&self) -> io::Result<()> {
        let text = seal(format!("{FIRST_LINE}\n{UNDER_WAY}\n"));
        self.write(&text, Durability::Power)
    }

    fn write(&self, text: &str, durability: Durability) -> io::Result<()> {
        self.fs.create_directories(parent(&self.path))?;
        let temporary = self.path.with_extension("tmp");
        let mut file = self.fs.create(&temporary)?;
        file.write_all(text.as_bytes())?;
        match durability {
            Durability::Power => publish(&*self.fs, file, &temporary, &self.path),
            Durability::Process => replace(&*self.fs, file, &temporary, &self.path),
        }
    }
}

impl Remembered {
    /// What is remembered of the database file `inode` and its replicas at `locations`, if anything is.
    pub fn of(self, inode: u64, locations: &[String]) -> Option<State> {
        let Remembered::At(mut state) = self else {
            return None;
        };
        let is_asked = |at: &DestinationState| locations.iter().any(|it| at.is_at(it));
        state.destinations.retain(is_asked);
        (state.inode == inode && !state.destinations.is_empty()).then_some(state)
    }

    /// Whether the database file `inode` was replicated to `location`, wherever in the WAL that was.
    pub fn knows(&self, inode: u64, location: &str) -> bool {
        match self {
            Remembered::Nothing | Remembered::UnderWay => false,
            Remembered::At(state) => {
                let known = state.destination(location).is_some()
                    || state.under_way.contains(&one_line(location));
                known && state.inode == inode
            }
        }
    }

    /// Whether an upload to `location`, of whatever database, may have been under way.
    pub fn is_under_way(&self, location: &str) -> bool {
        match self {
            Remembered::Nothing => false,
            Remembered::UnderWay => true,
            Remembered::At(state) => {
                let mut known = state.destinations.iter();
                known.any(|at| at.is_at(location) && at.under_way)
                    || state.under_way.contains(&one_line(location))
            }
        }
    }
}

impl State {
    /// What is remembered of the replica at `location`.
    pub fn destination(&self, location: &str) -> Option<&DestinationState> {
        self.destinations.iter().find(|at| at.is_at(location))
    }

    fn to_text(&self) -> String {
        let WalPosition {
            salts,
            frame,
            checksum,
            pages,
        } = self.position;
        let salts = u64::from_be_bytes(salts.0);
        let [c0, c1] = checksum.0;
        let inode = self.inode;
        let mut text = format!(
            "{FIRST_LINE}\nfile {inode}\nwal {salts:016x} {frame} {c0:08x} {c1:08x} {pages}\n"
        );
        for destination in &self.destinations {
            destination.write(&mut text, RUNS_MAX / self.destinations.len());
        }
        for location in &self.under_way {
            let _ = writeln!(text, "{UNDER_WAY} {}", one_line(location));
        }
        seal(text)
    }

    /// The state in the lines after the first.
    fn parse(mut lines: Lines<'_>) -> Option<State> {
        let inode = lines.next()?.strip_prefix("file ")?.parse().ok()?;
        let mut wal = lines.next()?.strip_prefix("wal ")?.split(' ');
        let mut hex = || u64::from_str_radix(wal.next()?, 16).ok();
        let salts = Salts(hex()?.to_be_bytes());
        let frame = FrameNumber(wal.next()?.parse().ok()?);
        let mut hex = || u32::from_str_radix(wal.next()?, 16).ok();
        let checksum = WalChecksum([hex()?, hex()?]);
        let pages = PageCount(wal.next()?.parse().ok()?);
        let mut lines = lines.peekable();
        let mut destinations = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(REPLICA)) {
            destinations.push(DestinationState::parse(line, &mut lines)?);
        }
        let under_way = lines.filter_map(|line| line.strip_prefix(UNDER_WAY)?.strip_prefix(' '));
        Some(State {
            inode,
            position: WalPosition {
                salts,
                frame,
                checksum,
                pages,
            },
            destinations,
            under_way: under_way.map(str::to_string).collect(),
        })
    }
}

impl DestinationState {
    fn is_at(&self, location: &str) -> bool {
        self.location == one_line(location)
    }

    fn write(&self, text: &mut String, runs_max: usize) {
        let DestinationState {
            location,
            acked,
            dirty,
            under_way,
            levels,
            sums,
        } = self;
        let runs = runs_text(&at_most(runs_max, dirty.runs()));
        // Writing to a string cannot fail. The location comes last, for it may hold spaces.
        let _ = writeln!(
            text,
            "{REPLICA}{} {} {runs} {}",
            acked.txid,
            acked.time.millis(),
            one_line(location)
        );
        for LevelState { level, last, pages } in levels {
            let runs = match pages {
                Some(pages) => few_runs_text(pages, runs_max),
                None => Some(ALL.to_string()),
            };
            if let Some(runs) = runs {
                let _ = writeln!(text, "{LEVEL}{level} {last} {runs}");
            }
        }
        if let Some(SumsState { on_disk, pages }) = sums
            && let Some(runs) = few_runs_text(&on_disk.changed, runs_max)
        {
            let Mark { txid, time } = on_disk.at;
            let _ = writeln!(text, "{SUMS}{txid} {} {pages} {runs}", time.millis());
        }
        if !under_way {
            let _ = writeln!(text, "{QUIET}");
        }
    }

    /// What the line `first` and those after it say of one destination.
    fn parse(first: &str, lines: &mut Peekable<Lines<'_>>) -> Option<DestinationState> {
        let mut replica = first.strip_prefix(REPLICA)?.splitn(4, ' ');
        let acked = Mark {
            txid: Txid::from_hex(replica.next()?)?,
            time: Timestamp::from_millis(replica.next()?.parse().ok()?),
        };
        let dirty = parse_runs(replica.next()?)?;
        let location = replica.next()?.to_string();
        let mut levels = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with(LEVEL)) {
            levels.extend(parse_level(line));
        }
        let sums = lines.next_if(|line| line.starts_with(SUMS));
        Some(DestinationState {
            location,
            acked,
            dirty,
            under_way: lines.next_if_eq(&QUIET).is_none(),
            levels,
            sums: sums.and_then(parse_sums),
        })
    }
}

fn parse(text: &str) -> Remembered {
    let lines = unseal(text).map(str::lines).and_then(|mut lines| {
        let first = lines.next();
        first.filter(|first| *first == FIRST_LINE).map(|_| lines)
    });
    match lines {
        None => Remembered::Nothing,
        Some(lines) if lines.clone().next() == Some(UNDER_WAY) => Remembered::UnderWay,
        Some(lines) => State::parse(lines).map_or(Remembered::Nothing, Remembered::At),
    }
}

/// Adds the line with the checksum.
fn seal(mut text: String) -> String {
    let sum = checksum_of(&text);
    let _ = writeln!(text, "sum {sum:016x}");
    text
}

/// The lines before that with the checksum, if they are whole.
fn unseal(text: &str) -> Option<&str> {
    let (sealed, sum) = text.split_at(text.rfind("sum ")?);
    let sum = sum.strip_prefix("sum ")?.strip_suffix('\n')?;
    (u64::from_str_radix(sum, 16).ok()? == checksum_of(sealed)).then_some(sealed)
}

fn runs_text(runs: &[(PageNumber, PageNumber)]) -> String {
    let runs: Vec<String> = runs
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    match runs.is_empty() {
        true => NONE.to_string(),
        false => runs.join(","),
    }
}

/// At most so many runs, with the smallest gaps between them closed. Pages that did not change may be sent: that
/// only costs.
fn at_most(most: usize, runs: Vec<(PageNumber, PageNumber)>) -> Vec<(PageNumber, PageNumber)> {
    let Some(excess) = runs.len().checked_sub(most.max(1)).filter(|it| *it > 0) else {
        return runs;
    };
    let gap = |earlier: PageNumber, later: PageNumber| later.value() - earlier.value();
    let mut gaps: Vec<u32> = runs.windows(2).map(|it| gap(it[0].1, it[1].0)).collect();
    let (_, widest, _) = gaps.select_nth_unstable(excess - 1);
    let mut closed: Vec<(PageNumber, PageNumber)> = Vec::new();
    for (first, last) in runs {
        match closed.last_mut() {
            Some((_, end)) if gap(*end, first) <= *widest => *end = last,
            _ => closed.push((first, last)),
        }
    }
    closed
}

/// The same, unless it would make the file too long.
fn few_runs_text(pages: &PageSet, runs_max: usize) -> Option<String> {
    let runs = pages.runs();
    (runs.len() <= runs_max).then(|| runs_text(&runs))
}

fn parse_sums(line: &str) -> Option<SumsState> {
    let mut words = line.strip_prefix(SUMS)?.split(' ');
    let at = Mark {
        txid: Txid::from_hex(words.next()?)?,
        time: Timestamp::from_millis(words.next()?.parse().ok()?),
    };
    let pages = PageCount(words.next()?.parse().ok()?);
    let changed = parse_runs(words.next()?)?;
    Some(SumsState {
        on_disk: OnDisk { at, changed },
        pages,
    })
}

fn parse_level(line: &str) -> Option<LevelState> {
    let mut words = line.strip_prefix(LEVEL)?.split(' ');
    Some(LevelState {
        level: Level::new(words.next()?.parse().ok()?)?,
        last: Txid::from_hex(words.next()?)?,
        pages: match words.next()? {
            ALL => None,
            runs => Some(parse_runs(runs)?),
        },
    })
}

fn parse_runs(text: &str) -> Option<PageSet> {
    let mut set = PageSet::default();
    if text == NONE {
        return Some(set);
    }
    for run in text.split(',') {
        let (first, last) = run.split_once('-').unwrap_or((run, run));
        let page = |text: &str| PageNumber::new(text.parse().ok()?);
        set.insert_range(page(first)?, page(last)?);
    }
    Some(set)
}

/// A location as it stands in a line: line breaks, which a path may hold, become spaces.
fn one_line(location: &str) -> String {
    location.replace(['\n', '\r'], " ")
}

fn checksum_of(text: &str) -> u64 {
    static CRC: Crc<u64, Table<1>> = Crc::<u64, Table<1>>::new(&CRC_64_GO_ISO);
    CRC.checksum(text.as_bytes())
}

#[cfg(test)]
mod tests;
