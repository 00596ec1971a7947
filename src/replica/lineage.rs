//! Does a database descend from what the replica holds? Where nothing else vouches for it, pages of the replica tell,
//! each as it was at several TXIDs.
//!
//! Along one history a page of the database is as the replica has it newest, or was changed since. A page that is
//! exactly as it was at an earlier TXID says that the database was put back to then; pages that have hardly a byte in
//! common with the replica's say that it is another database. So the questions, in this order:
//!
//! 1. *Related?* At least half of the sampled pages are, byte for byte or for the most part, as the replica has them at
//!    some TXID. The first page does not count: all databases of one application have that in common.
//! 2. *Not behind?* No page is older than what the replica has had since the newest TXID that the database is
//!    known to hold.
//!
//! SQLite's own counters on the first page help little: in WAL mode the change counter stands still for most commits,
//! and the schema cookie starts anew in a copy made by the backup API. Neither ever falls while a file lives, so a
//! smaller one counts as an older page.

use crate::units::{PageNumber, Timestamp, Txid, TxidRange};

/// Content is compared in blocks of so many bytes, since cells keep their place when others are added.
const BLOCK: usize = 16;

/// A page with fewer bytes that are not zero tells nothing: such are in any database.
const TELLING_BYTES: usize = 24;

/// What a replica shows of the database that it is of.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Pages of its newest state.
    pub traces: Vec<Trace>,
}

/// One page at several TXIDs, newest first.
#[derive(Clone, Debug)]
pub struct Trace {
    /// Which page.
    pub page: PageNumber,
    /// Its contents; not empty, and no two in a row are the same.
    pub versions: Vec<Version>,
}

/// What a page came to hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Version {
    /// At one of these TXIDs.
    pub txids: TxidRange,
    /// The time of the last of them.
    pub time: Timestamp,
    /// The content.
    pub content: Box<[u8]>,
}

/// A TXID and its time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Moment {
    /// The TXID.
    pub txid: Txid,
    /// When it was.
    pub time: Timestamp,
}

impl Version {
    /// When it was there at the latest.
    fn end(&self) -> Moment {
        Moment {
            txid: self.txids.max(),
            time: self.time,
        }
    }
}

/// What the evidence says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lineage {
    /// The database is the replica's newest state, or was changed since.
    Descends,
    /// It is an earlier state of it, or was changed since that.
    Behind {
        /// The oldest TXID that it is known to lack.
        lacks: Moment,
    },
    /// It is another database.
    Unrelated,
}

/// How a page of the database compares with the replica's.
enum Comparison {
    /// It is as it was from this TXID on at the latest, and has been replaced at the moment given.
    At(Txid, Option<Moment>),
    /// The database does not reach so far, although it had come to it by then.
    Missing(Moment),
    /// It is like the newest.
    Alike,
    /// It is not.
    Unlike,
}

impl Evidence {
    /// Judges the database whose pages `local` reads; none past its end.
    pub fn judge(&self, mut local: impl FnMut(PageNumber) -> Option<Box<[u8]>>) -> Lineage {
        let mut holds: Option<Txid> = None;
        let mut lacks = Vec::new();
        let mut missing = Vec::new();
        let mut first_is_known = false;
        let (mut telling, mut related) = (0, 0);
        for trace in &self.traces {
            let content = local(trace.page);
            let comparison = trace.compare(content.as_deref());
            let is_like = matches!(comparison, Comparison::At(..) | Comparison::Alike);
            if trace.page == PageNumber::FIRST {
                let content = content.as_deref().unwrap_or_default();
                if trace.has_other_encoding(content) {
                    return Lineage::Unrelated;
                }
                first_is_known = matches!(comparison, Comparison::At(..));
                lacks.extend(trace.higher_counters(content));
            } else if trace.is_telling() {
                telling += 1;
                related += u32::from(is_like);
            }
            match comparison {
                Comparison::At(since, replaced) => {
                    holds = holds.max(Some(since));
                    lacks.extend(replaced);
                }
                Comparison::Missing(moment) => missing.push(moment),
                Comparison::Alike | Comparison::Unlike => {}
            }
        }
        if related * 2 < telling {
            return Lineage::Unrelated;
        }
        if first_is_known {
            // Nor has it shrunk: that changes the first page.
            lacks.extend(missing);
        }
        let lacks = lacks.into_iter().filter(|lacks| Some(lacks.txid) > holds);
        match lacks.min() {
            Some(lacks) => Lineage::Behind { lacks },
            None => Lineage::Descends,
        }
    }
}

impl Trace {
    /// A trace of `versions`, which are sorted, newest first; none without any. What did not change is one version.
    pub fn new(page: PageNumber, versions: Vec<Version>) -> Option<Trace> {
        let mut distinct: Vec<Version> = Vec::new();
        for version in versions {
            match distinct.last_mut() {
                // One that ends there too was merged from it, and tells less.
                Some(last) if last.content == version.content => {
                    if version.txids.max() < last.txids.max() {
                        *last = version;
                    }
                }
                _ => distinct.push(version),
            }
        }
        (!distinct.is_empty()).then_some(Trace {
            page,
            versions: distinct,
        })
    }

    fn compare(&self, local: Option<&[u8]>) -> Comparison {
        let (newest, oldest) = (&self.versions[0], &self.versions[self.versions.len() - 1]);
        let Some(local) = local else {
            return Comparison::Missing(oldest.end());
        };
        let mut replaced = None;
        for (index, version) in self.versions.iter().enumerate() {
            if *version.content == *local {
                // The oldest that is known may be older still.
                let since = match index + 1 < self.versions.len() {
                    true => version.txids.min(),
                    false => Txid::FIRST,
                };
                return Comparison::At(since, replaced);
            }
            replaced = Some(version.end());
        }
        match is_alike(&newest.content, local) {
            true => Comparison::Alike,
            false => Comparison::Unlike,
        }
    }

    /// Whether another database would hardly have the like of it.
    fn is_telling(&self) -> bool {
        let bytes = self.versions[0].content.iter();
        bytes.filter(|byte| **byte != 0).take(TELLING_BYTES).count() == TELLING_BYTES
    }

    /// Since when SQLite's counters on this first page are higher than those of `local`, if they are.
    fn higher_counters(&self, local: &[u8]) -> Option<Moment> {
        let is_higher = |version: &&Version| {
            let higher = |counter| number_at(&version.content, counter) > number_at(local, counter);
            higher(CHANGE_COUNTER) || higher(SCHEMA_COOKIE)
        };
        self.versions.iter().rev().find(is_higher).map(Version::end)
    }

    /// Whether the texts of `local`, a first page, are encoded otherwise. A new database has not decided yet.
    fn has_other_encoding(&self, local: &[u8]) -> bool {
        let encodings = [&*self.versions[0].content, local].map(|page| number_at(page, ENCODING));
        !encodings.contains(&Some(0)) && encodings[0] != encodings[1]
    }
}

/// Whether at least half of what is in `page` stands at the same place in `local`.
fn is_alike(page: &[u8], local: &[u8]) -> bool {
    let blocks = page.chunks(BLOCK).zip(local.chunks(BLOCK));
    let (mut filled, mut same) = (0, 0);
    for (block, other) in blocks.filter(|(block, _)| block.iter().any(|byte| *byte != 0)) {
        filled += 1;
        same += usize::from(block == other);
    }
    same * 2 >= filled
}

/// Offsets in SQLite's header, which is at the start of the first page.
const CHANGE_COUNTER: usize = 24;
const SCHEMA_COOKIE: usize = 40;
const ENCODING: usize = 56;

fn number_at(page: &[u8], offset: usize) -> Option<u32> {
    let bytes = page.get(offset..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}
