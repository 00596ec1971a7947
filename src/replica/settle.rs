//! Where does the replica stand, and what of it can be built on? Asked at the start, and again whenever the
//! storage turns out to be another than before.
//!
//! The next TXID is above every TXID at every level. A replica whose newest TXID cannot be reached by a restore
//! is healed: every page goes out again, as a sync and as a snapshot. A file too short to be one is as good as missing;
//! of the newest it is looked whether it is whole.

use std::fmt;

use super::inventory::Listing;
use super::origin::{Origin, Title, Voucher};
use super::writer::WriterId;
use crate::database::{Mark, PageSet};
use crate::ltx::{Header, PageIndex, WalSource};
use crate::storage::{
    FileInfo, FileName, PieceError, Rival, Storage, StorageError, fetch_header, fetch_page_index,
};
use crate::units::{Level, PageCount, PageNumber, PageSize, Timestamp, Txid};

/// The most files whose indexes are read to learn what a lost tail of the WAL had changed. Beyond that a
/// full copy is the smaller work.
const INDEXES_MAX: usize = 512;

/// Where a replica stands.
#[derive(Debug)]
pub enum Footing {
    /// It holds nothing.
    Empty,
    /// It stands at `acked`, and what the WAL tells about since, with `changed`, is all that it lacks.
    Known {
        /// The newest TXID.
        acked: Mark,
        /// The newest time any file has.
        newest: Timestamp,
        /// Pages that the replica may hold newer than the database, after a tail of the WAL was lost.
        changed: PageSet,
        /// The newest file was written by Litestream.
        foreign: bool,
        /// Whether it is of this database.
        origin: Origin,
        /// Every file.
        listing: Listing,
    },
    /// It stands at `acked`, but how the database differs from it is not known.
    Unknown {
        /// The newest TXID.
        acked: Mark,
        /// The newest time any file has.
        newest: Timestamp,
        /// Why.
        reason: String,
        /// No restore reaches `acked`, so a new snapshot is needed.
        broken: bool,
        /// The newest file was written by Litestream.
        foreign: bool,
        /// Whether it is of this database.
        origin: Origin,
        /// Every file.
        listing: Listing,
    },
}

impl Footing {
    /// The newest TXID.
    pub(super) fn acked(&self) -> Option<Txid> {
        self.newest().map(|mark| mark.txid)
    }

    /// The newest TXID and its time.
    pub fn newest(&self) -> Option<Mark> {
        match self {
            Footing::Empty => None,
            Footing::Known { acked, .. } | Footing::Unknown { acked, .. } => Some(*acked),
        }
    }

    /// Who has written the newest file, and when.
    pub(super) fn newest_file(&self) -> Option<Rival> {
        self.newest().map(|mark| Rival {
            writer: self.author().map_or(0, WriterId::number),
            time: mark.time,
        })
    }
}

/// What a database looks like from outside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// Size of its pages.
    pub page_size: PageSize,
    /// How many it has.
    pub pages: PageCount,
}

/// Why a replica cannot be built on.
#[derive(Debug)]
pub enum SettleError {
    /// The storage could not be asked; try again later.
    Storage(StorageError),
    /// Its pages have another size, and a chain of files cannot change that.
    PageSize {
        /// The replica's.
        replica: PageSize,
        /// The database's.
        database: PageSize,
    },
    /// A file claims the last TXID there can be, so that none can follow.
    LastTxid {
        /// The file.
        location: String,
    },
}

impl fmt::Display for SettleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SettleError::Storage(error) => error.fmt(f),
            SettleError::LastTxid { location } => write!(
                f,
                "{location}: a file of this name leaves no TXID for what comes; no program gets that far, so \
                 look who put it there, and remove it"
            ),
            SettleError::PageSize { replica, database } => write!(
                f,
                "the replica holds pages of {replica} bytes, the database has pages of {database}; what is \
                 there stays restorable, but this database needs a replica of its own: give it another path"
            ),
        }
    }
}

impl std::error::Error for SettleError {}

impl From<StorageError> for SettleError {
    fn from(error: StorageError) -> SettleError {
        SettleError::Storage(error)
    }
}

/// Finds out where the replica on `storage` stands, for a database of the shape given, of which it is remembered
/// that it was at TXID `remembered`, and which has this `title` to the replica.
///
/// # Errors
/// When the storage cannot be asked, or the replica is one of another page size.
pub fn settle(
    storage: &dyn Storage,
    database: Shape,
    remembered: Option<Mark>,
    title: Title,
) -> Result<Footing, SettleError> {
    let files = storage.list_all()?;
    let Some(&last) = files.iter().max_by_key(|file| file.name.txids.max()) else {
        return Ok(Footing::Empty);
    };
    let acked = last.name.txids.max();
    if acked.next().is_none() {
        return Err(SettleError::LastTxid {
            location: format!("{} of {}", last.name, storage.location()),
        });
    }
    let time = files
        .iter()
        .map(|file| file.created)
        .max()
        .unwrap_or(last.created);
    let mut listing = Listing {
        files: files.clone(),
        stamped: storage.stamps_files(),
        damaged: Vec::new(),
    };
    let newest = newest_whole(storage, &files, acked, &mut listing.damaged)?;
    let sound: Vec<FileInfo> = files
        .into_iter()
        .filter(|file| !file.is_too_short() && !listing.damaged.contains(&file.name))
        .collect();
    let unknown = |acked: Mark, origin, broken: Option<String>, foreign| Footing::Unknown {
        acked,
        newest: time,
        broken: broken.is_some(),
        reason: broken.unwrap_or("how it differs from the replica is not known".to_string()),
        foreign,
        origin,
        listing: listing.clone(),
    };
    let mark = |time| Mark { txid: acked, time };
    let header = newest.map(|(_, header)| header);
    let is_known = header.is_some_and(|header| remembered == Some(mark(header.timestamp)));
    let origin = match is_known {
        true if title.voucher == Voucher::Remembered => Origin::default(),
        _ => Origin::find(storage, &sound, header, database.page_size, title)?,
    };
    let Some((newest, header)) = newest else {
        let reason = format!("the newest file ({}) is damaged", last.name);
        return Ok(unknown(mark(last.created), origin, Some(reason), true));
    };
    let reached = reachable(&sound);
    if reached != Some(acked) {
        let reached = reached.map_or("nothing".to_string(), |txid| format!("TXID {txid}"));
        let reason = format!("the replica has a hole: a restore reaches {reached}, not {acked}");
        return Ok(unknown(mark(newest.created), origin, Some(reason), true));
    }
    if header.page_size != database.page_size {
        return Err(SettleError::PageSize {
            replica: header.page_size,
            database: database.page_size,
        });
    }
    let foreign = newest.name.level != Level::SYNC || header.wal != WalSource::UNREAD;
    let acked_at = mark(header.timestamp);
    let lost_tail = match remembered {
        Some(at) if at == acked_at => Some(PageSet::default()),
        Some(at) if at.txid < acked && is_in(storage, &sound, at)? => {
            pages_since(storage, &sound, at.txid, database)?
        }
        // The replica has gone back behind what it confirmed, is another one, or nothing is remembered.
        _ => None,
    };
    Ok(match lost_tail {
        Some(changed) => Footing::Known {
            acked: acked_at,
            newest: time,
            changed,
            foreign,
            origin,
            listing,
        },
        None => unknown(acked_at, origin, None, foreign),
    })
}

/// Of the files that end at `acked`, the one of the lowest level that is whole, and its header. Those that turn out to
/// be `damaged` are noted.
fn newest_whole(
    storage: &dyn Storage,
    files: &[FileInfo],
    acked: Txid,
    damaged: &mut Vec<FileName>,
) -> Result<Option<(FileInfo, Header)>, SettleError> {
    let ends_there = |file: &&FileInfo| file.name.txids.max() == acked && !file.is_too_short();
    let mut newest: Vec<FileInfo> = files.iter().filter(ends_there).copied().collect();
    newest.sort();
    for file in newest {
        match read_index(storage, &file)? {
            Some((header, _)) => return Ok(Some((file, header))),
            None => damaged.push(file.name),
        }
    }
    Ok(None)
}

/// Whether the history in `files` is the one that `at` is of: has a file that ends there with the same time.
fn is_in(storage: &dyn Storage, files: &[FileInfo], at: Mark) -> Result<bool, SettleError> {
    let ends_there = files.iter().find(|file| file.name.txids.max() == at.txid);
    let Some(file) = ends_there else {
        return Ok(false);
    };
    let header = read_header(storage, file)?;
    Ok(header.is_some_and(|header| header.timestamp == at.time))
}

/// The TXID that a restore without a target reaches: from the newest snapshot on as far as files join.
fn reachable(files: &[FileInfo]) -> Option<Txid> {
    let snapshots = files
        .iter()
        .filter(|file| file.name.level == Level::SNAPSHOT);
    let mut reached = snapshots.map(|file| file.name.txids.max()).max();
    let mut others: Vec<_> = files
        .iter()
        .filter(|file| file.name.level != Level::SNAPSHOT)
        .map(|file| file.name.txids)
        .collect();
    others.sort();
    for txids in others {
        if txids.continues(reached) {
            reached = Some(txids.max());
        }
    }
    reached
}

/// The pages in the files after TXID `at`, and those above the smallest size the database had in them. None
/// if that cannot be told for all of them.
fn pages_since(
    storage: &dyn Storage,
    files: &[FileInfo],
    at: Txid,
    database: Shape,
) -> Result<Option<PageSet>, SettleError> {
    let mut since: Vec<&FileInfo> = files
        .iter()
        .filter(|file| file.name.txids.max() > at && file.name.level != Level::SNAPSHOT)
        .collect();
    since.sort();
    // Files of low levels join or not; higher ones may stand for those already deleted.
    let mut ranges: Vec<_> = since.iter().map(|file| file.name.txids).collect();
    ranges.sort();
    let mut covered = at;
    for txids in ranges {
        if txids.continues(Some(covered)) {
            covered = txids.max();
        }
    }
    let newest = files.iter().map(|file| file.name.txids.max()).max();
    if Some(covered) != newest || since.len() > INDEXES_MAX {
        return Ok(None);
    }
    let mut pages = PageSet::default();
    let mut smallest = PageCount(u32::MAX);
    for file in since {
        let Some((header, index)) = read_index(storage, file)? else {
            return Ok(None);
        };
        smallest = smallest.min(header.commit);
        for entry in index.iter() {
            pages.insert(entry.page);
        }
    }
    // Those above it were cut off in the replica, and some may have come back in the database without a frame.
    if let (Some(first), Some(last)) = (
        PageNumber::new(smallest.0.saturating_add(1)),
        PageNumber::new(database.pages.0),
    ) {
        pages.insert_range(first, last);
    }
    Ok(Some(pages))
}

/// The header and page index of a file; none if it is not a whole LTX file.
pub(super) fn read_index(
    storage: &dyn Storage,
    file: &FileInfo,
) -> Result<Option<(Header, PageIndex)>, SettleError> {
    let Some(header) = read_header(storage, file)? else {
        return Ok(None);
    };
    let index = sound(fetch_page_index(storage, file, u64::MAX))?.flatten();
    Ok(index.map(|index| (header, index)))
}

/// The header of a file; none if it is not one of an LTX file.
pub(super) fn read_header(
    storage: &dyn Storage,
    file: &FileInfo,
) -> Result<Option<Header>, SettleError> {
    sound(fetch_header(storage, file))
}

/// None where the file is not what it should be.
pub(super) fn sound<T>(piece: Result<T, PieceError>) -> Result<Option<T>, SettleError> {
    match piece {
        Ok(piece) => Ok(Some(piece)),
        Err(PieceError::Damaged { .. }) => Ok(None),
        Err(PieceError::Storage(error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::TxidRange;

    fn file(level: u8, min: u64, max: u64) -> FileInfo {
        let txid = |number| Txid::new(number).unwrap();
        FileInfo {
            name: FileName {
                level: Level::new(level).unwrap(),
                txids: TxidRange::new(txid(min), txid(max)).unwrap(),
            },
            size: 1000,
            created: Timestamp::from_millis(0),
        }
    }

    fn reached(files: &[FileInfo]) -> u64 {
        reachable(files).map_or(0, Txid::value)
    }

    #[test]
    fn reach_is_as_far_as_files_join() {
        let base = file(9, 1, 1);
        assert_eq!(reached(&[]), 0);
        assert_eq!(reached(&[base, file(0, 2, 2), file(0, 3, 3)]), 3);
        assert_eq!(reached(&[base, file(0, 3, 3)]), 1, "a hole");
        assert_eq!(
            reached(&[base, file(0, 3, 3), file(1, 2, 3)]),
            3,
            "bridged by a level"
        );
        assert_eq!(
            reached(&[file(0, 1, 1), file(0, 2, 2)]),
            2,
            "no snapshot level at all"
        );
        assert_eq!(reached(&[file(0, 2, 2)]), 0, "no base");
    }
}
