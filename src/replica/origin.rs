//! Is what a replica holds of this database? It must not be buried under one that does not descend from it: a new one
//! after a restore that failed, one put back to an earlier time, the copy of another machine's.
//!
//! Without a person, and without reading anything beyond the newest header, the answer is yes where
//! - an earlier run of ours remembers the replica, with this very database file, and nobody but Litestream wrote since;
//! - the newest file of ours there was written from this very file on this machine ([`WriterId`]).
//!
//! So a power cut, lost state and a lost tail of the WAL need nothing else. Everything else has to be shown by the
//! database's content ([`lineage`](super::lineage)): a copy on another disk, a restored one, one that Litestream alone
//! has replicated.

use std::time::Duration;

use super::evidence::gather;
use super::lineage::{Evidence, Lineage, Moment};
use super::settle::{Footing, SettleError, read_header};
use super::writer::WriterId;
use crate::ltx::Header;
use crate::storage::{FileInfo, Storage, StorageError};
use crate::units::{PageCount, PageNumber, PageSize, Timestamp};

/// Files that Litestream has written say nothing. So many headers are read for one that does.
const HEADERS_MAX: usize = 8;

/// A power cut takes the changes of the last minute or so with it; anything longer was done by a person.
const LOST_TAIL_MAX: Duration = Duration::from_secs(5 * 60);

/// What entitles a database to go on in a replica.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Title {
    /// Whose files are its own.
    pub writer: WriterId,
    /// What vouches for it beyond that.
    pub voucher: Voucher,
}

/// What vouches for a database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Voucher {
    /// A person: no questions are asked.
    Adopted,
    /// What an earlier run remembers: it replicated this very file there.
    Remembered,
    /// Nothing, and it is another file than the one that was replicated before.
    OtherFile,
    /// Nothing, and the file system does not tell one file from another.
    Unrecognizable,
}

/// What is known of where the files of a replica come from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// Who wrote the newest; none for Litestream.
    author: Option<WriterId>,
    /// How many pages it says the database has.
    pages: Option<PageCount>,
    /// The doubts there are.
    doubt: Option<Doubt>,
}

#[derive(Clone, Debug)]
struct Doubt {
    evidence: Evidence,
    /// Whether a tail may be missing, as after a power cut.
    may_have_lost: bool,
}

/// What comes of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The replica is this database's own.
    Own,
    /// The database descends from what it holds, but somebody else wrote there last.
    Heir {
        /// Who; none for Litestream.
        of: Option<WriterId>,
        /// Since when it has changes that the database has lost.
        lost: Option<Moment>,
    },
    /// It would bury what is there.
    Refused(Lineage),
}

impl Origin {
    /// Finds it out for the replica of `files`, of which `newest` is the header of the newest one, if that can be read.
    ///
    /// # Errors
    /// When the storage cannot be asked.
    pub(super) fn find(
        storage: &dyn Storage,
        files: &[FileInfo],
        newest: Option<Header>,
        database: PageSize,
        title: Title,
    ) -> Result<Origin, SettleError> {
        let author = newest.as_ref().and_then(WriterId::in_header);
        let pages = newest.as_ref().map(|header| header.commit);
        let settled = Origin {
            author,
            pages,
            doubt: None,
        };
        let by_litestream = newest.is_some() && author.is_none();
        match title.voucher {
            Voucher::Adopted => return Ok(settled),
            Voucher::Remembered if by_litestream => return Ok(settled),
            _ if author == Some(title.writer) => return Ok(settled),
            _ => {}
        }
        let headers = newest_headers(storage, files)?;
        let ours = headers.iter().find_map(WriterId::in_header);
        let damaged = newest.is_none() && title.voucher == Voucher::Remembered;
        if ours == Some(title.writer) || (damaged && ours.is_none()) {
            return Ok(settled);
        }
        let page_size = headers.first().map_or(database, |header| header.page_size);
        let doubt = Doubt {
            evidence: gather(storage, files, page_size)?,
            may_have_lost: title.voucher != Voucher::OtherFile,
        };
        Ok(Origin {
            doubt: Some(doubt),
            ..settled
        })
    }

    /// Judges the database whose pages `local` reads; none past its end. `newest` is the time of the replica's newest
    /// file.
    fn verdict(
        &self,
        newest: Timestamp,
        local: impl FnMut(PageNumber) -> Option<Box<[u8]>>,
    ) -> Verdict {
        let Some(doubt) = &self.doubt else {
            return Verdict::Own;
        };
        let heir = |lost| Verdict::Heir {
            of: self.author,
            lost,
        };
        let recent = |lacks: Moment| {
            let span = newest.millis().saturating_sub(lacks.time.millis());
            span <= LOST_TAIL_MAX.as_millis() as i64
        };
        match doubt.evidence.judge(local) {
            Lineage::Descends => heir(None),
            Lineage::Behind { lacks } if doubt.may_have_lost && recent(lacks) => heir(Some(lacks)),
            refused => Verdict::Refused(refused),
        }
    }
}

impl Footing {
    /// Whether the database whose pages `local` reads, none past its end, may go on in this replica.
    pub fn verdict(&self, local: impl FnMut(PageNumber) -> Option<Box<[u8]>>) -> Verdict {
        match self {
            Footing::Empty => Verdict::Own,
            Footing::Known { origin, newest, .. } | Footing::Unknown { origin, newest, .. } => {
                origin.verdict(*newest, local)
            }
        }
    }

    /// What the replica holds, in words.
    pub fn described(&self) -> String {
        let Some(newest) = self.newest() else {
            return "nothing".to_string();
        };
        let pages = match self.origin().and_then(|origin| origin.pages) {
            Some(pages) => format!("{pages} pages, "),
            None => String::new(),
        };
        let author = match self.author() {
            Some(writer) => format!("writer {writer}"),
            None => "Litestream".to_string(),
        };
        let txid = newest.txid.value();
        format!("{pages}up to txid {txid} of {}, by {author}", newest.time)
    }

    fn origin(&self) -> Option<&Origin> {
        match self {
            Footing::Empty => None,
            Footing::Known { origin, .. } | Footing::Unknown { origin, .. } => Some(origin),
        }
    }

    /// Who wrote the newest file; none for Litestream.
    pub(super) fn author(&self) -> Option<WriterId> {
        self.origin()?.author
    }
}

/// The headers of the newest files that have one, newest first.
fn newest_headers(storage: &dyn Storage, files: &[FileInfo]) -> Result<Vec<Header>, SettleError> {
    let mut sorted = files.to_vec();
    sorted.sort_by_key(|file| (std::cmp::Reverse(file.name.txids.max()), file.name.level));
    let mut headers = Vec::new();
    for file in sorted.iter().take(HEADERS_MAX) {
        match read_header(storage, file) {
            Ok(Some(header)) => headers.push(header),
            // Damaged, or gone by now.
            Ok(None) | Err(SettleError::Storage(StorageError::NotFound { .. })) => {}
            Err(error) => return Err(error),
        }
        if headers.iter().any(|header| header.node_id != 0) {
            break;
        }
    }
    Ok(headers)
}
