//! The state of one destination: what it has, what it lacks, what is under way.
//!
//! ```text
//! unsettled ──settled──▶ at TXID n ──next_upload──▶ n + 1 in flight ──finished──▶ at TXID n + 1
//!     ▲                     ▲                              │
//!     └── storage replaced ─┴────────── failed ────────────┘   what was in flight is dirty again
//! ```
//! Changes told at any time go into the dirty set. What is in flight is kept apart until the storage has confirmed
//! it, and is dirty again when the upload fails: the next one has the same TXID and newer content.

use std::sync::Arc;

use super::Footing;
use super::upload::{LentView, Upload, UploadFile, UploadResult, sync_file};
use crate::database::{DestinationState, Mark, PageSet};
use crate::sqlite::{Changes, View};
use crate::storage::{FileName, StorageError};
use crate::units::{Level, PageNumber, Timestamp, Txid, TxidRange};

/// One destination of one database.
pub struct Destination {
    location: String,
    /// The pages changed since `standing`, those in flight left out.
    dirty: PageSet,
    /// Why every page has to be sent, if it has to.
    everything: Option<String>,
    /// What is remembered of an earlier run, until the storage is asked.
    remembered: Option<Mark>,
    standing: Option<Standing>,
    in_flight: Option<InFlight>,
}

/// Where the replica stands.
#[derive(Clone, Copy, Debug)]
struct Standing {
    /// The newest TXID the storage has confirmed; none in an empty replica.
    acked: Option<Mark>,
    /// The newest time any file has: the next one's is later, whatever the clock says.
    newest: Option<Timestamp>,
    /// No restore reaches `acked`.
    broken: bool,
    /// Litestream wrote the newest file, and may hold a position in the WAL.
    foreign: bool,
}

struct InFlight {
    view: LentView,
    pages: Arc<PageSet>,
    everything: Option<String>,
    files: Vec<(FileName, Timestamp)>,
}

/// What came of an upload.
#[derive(Debug)]
pub enum Finished {
    /// All is confirmed.
    Confirmed {
        /// The newest TXID.
        acked: Txid,
        /// Bytes stored.
        bytes: u64,
        /// Pages stored.
        pages: u64,
    },
    /// It failed; what was not confirmed will be sent again.
    Failed(StorageError),
}

impl Destination {
    /// A destination at `location` that has not been asked yet. `remembered` is what an earlier run left, if
    /// the WAL still runs through its place; without it every page has to be sent, for the reason given.
    pub fn new(location: String, remembered: Result<DestinationState, String>) -> Destination {
        let (remembered, dirty, everything) = match remembered {
            Ok(state) => (Some(state.acked), state.dirty, None),
            Err(reason) => (None, PageSet::default(), Some(reason)),
        };
        Destination {
            location,
            dirty,
            everything,
            remembered,
            standing: None,
            in_flight: None,
        }
    }

    /// Where it is, without secrets.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Notes that what changed is no longer known, so that every page has to be sent.
    pub fn lost_track(&mut self, reason: String) {
        self.everything.get_or_insert(reason);
        self.dirty = PageSet::default();
    }

    /// Notes that the database was opened anew. It may be another one, so the storage has to be asked whether
    /// its replica can go on with this one.
    pub fn reopened(&mut self, reason: String) {
        self.lost_track(reason);
        self.standing = None;
        self.remembered = None;
    }

    /// What [`super::settle`] needs to know, if this destination has to be settled before anything is sent.
    pub fn unsettled(&self) -> Option<Option<Mark>> {
        (self.standing.is_none() && self.in_flight.is_none()).then_some(self.remembered)
    }

    /// Takes the place that the storage was found to stand at. Gives a sentence for the log where every page
    /// has to be sent.
    pub fn settled(&mut self, footing: Footing) -> Option<String> {
        let standing = match footing {
            Footing::Empty => {
                self.everything = Some("the replica is empty".to_string());
                Standing {
                    acked: None,
                    newest: None,
                    broken: false,
                    foreign: false,
                }
            }
            Footing::Known {
                acked,
                newest,
                changed,
                foreign,
            } => {
                self.dirty.union(&changed);
                Standing {
                    acked: Some(acked),
                    newest: Some(newest),
                    broken: false,
                    foreign,
                }
            }
            Footing::Unknown {
                acked,
                newest,
                reason,
                broken,
                foreign,
            } => {
                self.everything.get_or_insert(reason);
                Standing {
                    acked: Some(acked),
                    newest: Some(newest),
                    broken,
                    foreign,
                }
            }
        };
        if standing.foreign {
            // A file of ours on top tells Litestream not to go on from its own position when it comes back.
            self.dirty.insert(PageNumber::FIRST);
        }
        self.standing = Some(standing);
        self.remembered = None;
        self.everything.clone()
    }

    /// Whether there is something to send, and nothing under way.
    pub fn has_work(&self) -> bool {
        self.standing.is_some() && self.in_flight.is_none() && self.lacks_something()
    }

    /// Whether the storage lacks something, under way or not.
    pub fn is_behind(&self) -> bool {
        self.standing.is_none() || self.in_flight.is_some() || self.lacks_something()
    }

    /// Whether the WAL may be started over: not before a file of ours follows one of Litestream's, which
    /// otherwise would take the new WAL for a continuation of its own.
    pub fn allows_checkpoints(&self) -> bool {
        self.standing.is_some_and(|standing| !standing.foreign)
    }

    /// The newest TXID confirmed, if it is known.
    pub fn acked(&self) -> Option<Txid> {
        let acked = self.standing.and_then(|standing| standing.acked);
        acked.map(|mark| mark.txid)
    }

    /// The newest TXID confirmed, as far as is known or remembered.
    pub fn last_known(&self) -> Option<Txid> {
        self.acked().or(self.remembered.map(|mark| mark.txid))
    }

    /// The view of the upload under way.
    pub fn lent_view(&self) -> Option<&LentView> {
        self.in_flight.as_ref().map(|upload| &upload.view)
    }

    /// Whether the upload under way holds every page.
    pub fn sends_everything(&self) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|upload| upload.everything.is_some())
    }

    /// The next upload, from `view`, up to whose end every change has been told. `now` is the wall clock's
    /// time, read after the view was opened.
    pub fn next_upload(&mut self, view: &Arc<View>, now: Timestamp) -> Option<Upload> {
        if !self.has_work() {
            return None;
        }
        let standing = self.standing?;
        let created = standing
            .newest
            .map_or(now, |newest| now.max(just_after(newest)));
        let pages = match self.everything {
            Some(_) => PageSet::all(view.pages()),
            None => std::mem::take(&mut self.dirty),
        };
        let pages = Arc::new(pages);
        let files = match standing.acked {
            None => base(&pages, created),
            Some(acked) => {
                let next = acked.txid.next().expect("settled only where one follows");
                let sync = UploadFile {
                    name: sync_file(TxidRange::single(next)),
                    created,
                    pages: Arc::clone(&pages),
                };
                match standing.broken {
                    false => vec![sync],
                    true => vec![sync, snapshot(next, &pages, created)],
                }
            }
        };
        self.dirty = PageSet::default();
        let names = files.iter().map(|file| (file.name, file.created)).collect();
        let upload = Upload::new(view, files);
        self.in_flight = Some(InFlight {
            view: upload.view().clone(),
            pages,
            everything: self.everything.take(),
            files: names,
        });
        Some(upload)
    }

    /// Takes the result of the upload under way.
    pub fn finished(&mut self, result: UploadResult) -> Option<Finished> {
        let upload = self.in_flight.take()?;
        // Without a standing, every page is to be sent and the storage asked: the outcome is of no use.
        let standing = self.standing.as_mut()?;
        let confirmed = &upload.files[..result.confirmed];
        if let Some((last, created)) = confirmed.last() {
            standing.acked = Some(Mark {
                txid: last.txids.max(),
                time: *created,
            });
            standing.newest = Some(*created);
            standing.foreign = false;
        }
        let Some(error) = result.error else {
            standing.broken = false;
            return Some(Finished::Confirmed {
                acked: standing.acked?.txid,
                bytes: result.bytes,
                pages: upload.pages.len(),
            });
        };
        match confirmed.first() {
            None => {
                self.dirty.union(&upload.pages);
                self.everything = upload.everything.or(self.everything.take());
            }
            // A base without its first sync, which any page will do for.
            Some((first, _)) if first.level == Level::SNAPSHOT => {
                self.dirty.insert(PageNumber::FIRST)
            }
            // A sync without the snapshot that was to follow it: the next one is to be followed by one again.
            Some(_) => self.everything = upload.everything,
        }
        if matches!(error, StorageError::Replaced { .. }) {
            self.standing = None;
            self.lost_track("the storage is another one than before".to_string());
        }
        Some(Finished::Failed(error))
    }

    /// What to remember at the place up to which every change has been told; nothing while it is not known
    /// what the replica lacks.
    pub fn state(&self) -> Option<DestinationState> {
        if self.everything.is_some() || self.sends_everything() {
            return None;
        }
        let mut dirty = self.dirty.clone();
        if let Some(upload) = &self.in_flight {
            dirty.union(&upload.pages);
        }
        let acked = match self.standing {
            Some(standing) if !standing.broken => standing.acked?,
            Some(_) => return None,
            None => self.remembered?,
        };
        Some(DestinationState {
            location: self.location.clone(),
            acked,
            dirty,
        })
    }

    fn lacks_something(&self) -> bool {
        self.everything.is_some() || !self.dirty.is_empty()
    }
}

impl Changes for Destination {
    fn changed(&mut self, first: PageNumber, last: PageNumber) {
        // When every page is sent anyway, the set only has to know that there is news.
        self.dirty.insert_range(first, last);
    }
}

/// How a replica starts: one snapshot, and at once a sync of one page from the same view, because Litestream
/// takes a level 0 without files for one that has to start at TXID 1 again.
fn base(pages: &Arc<PageSet>, created: Timestamp) -> Vec<UploadFile> {
    let mut first_page = PageSet::default();
    first_page.insert(PageNumber::FIRST);
    let second = Txid::FIRST.next().expect("there is a second TXID");
    vec![
        snapshot(Txid::FIRST, pages, created),
        UploadFile {
            name: sync_file(TxidRange::single(second)),
            created: just_after(created),
            pages: Arc::new(first_page),
        },
    ]
}

fn snapshot(txid: Txid, pages: &Arc<PageSet>, created: Timestamp) -> UploadFile {
    UploadFile {
        name: FileName {
            level: Level::SNAPSHOT,
            txids: TxidRange::snapshot(txid),
        },
        created,
        pages: Arc::clone(pages),
    }
}

fn just_after(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.millis().saturating_add(1))
}
