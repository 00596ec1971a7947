//! The state of one destination: what it has, what it lacks, what is under way.
//!
//! ```text
//! unsettled ──settled──▶ at TXID n ──next_upload──▶ n + 1 is sent ──finished──▶ at TXID n + 1
//!     ▲                     ▲                        │        ▲
//!     │                     ├──────── failed ────────┤        │ next_upload: the same bytes
//!     │                     │                        ▼        │
//!     └── storage replaced ─┴── called back ─── outcome unknown
//! ```
//! Changes told at any time go into the dirty set. What is sent is kept apart until the storage has confirmed
//! it, and is dirty again when the upload has failed: the next one has the same TXID and newer content.
//! What becomes of an upload, and of one that arrives late, is told in `outcome`; how levels are written and files
//! deleted, in `tending`; how a large snapshot lets them pass, in `beside`; what is known of the pages that the storage
//! has, in `sums`.

mod beside;
mod outcome;
mod settling;
mod sums;
mod tending;

use std::sync::Arc;
use std::time::Instant;

pub use self::outcome::Finished;
pub use self::settling::Settled;
pub use self::sums::Read;
use self::sums::Reading;
use self::tending::Deletions;
use super::levels::{Levels, Upkeep};
use super::proof::Proof;
use super::upload::{Upload, UploadFile, sync_file};
use crate::database::{DestinationState, Mark, PageSet, SumsAt};
use crate::sqlite::{Changes, View};
use crate::storage::{FileName, Storage};
use crate::units::{Level, PageCount, PageNumber, Timestamp, Txid, TxidRange};

/// One destination of one database.
pub struct Destination {
    location: String,
    /// The pages changed since `position`, those under way left out.
    dirty: PageSet,
    /// Why every page has to be sent, if it has to.
    everything: Option<String>,
    position: Position,
    activity: Activity,
    /// A snapshot that goes up beside the syncs, from a frozen state.
    beside: Option<Flight>,
    /// Whether the next TXID is in doubt.
    doubt: Option<Doubt>,
    levels: Levels,
    deletions: Deletions,
    /// The sums of the pages at the newest TXID confirmed, as far as they are known.
    sums: Option<SumsAt>,
    reading: Reading,
    /// Another writer left the replica at this TXID. It is seen whether it goes on.
    watched: Option<Txid>,
}

/// What is known of where the replica stands.
enum Position {
    /// The storage has to be asked.
    Unsettled {
        /// The TXID that we had reached.
        remembered: Option<Mark>,
        asking: Asking,
    },
    At(Standing),
    /// Somebody else writes to the replica. Nothing more is sent.
    Taken,
    /// The database does not descend from what is there. Nothing is sent until it is another one.
    Refused,
}

/// Why the storage has to be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asking {
    /// Nothing is known yet, or not any more.
    Anew,
    /// The same, and the WAL does not go on from where the remembered TXID was.
    AfterGap,
    /// What we would write next is there already. If it is not from an earlier run of ours, somebody else
    /// writes to the replica.
    Contested,
    /// Only to see whether all is there still. If there is more, somebody else writes to the replica.
    Again,
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

#[derive(Default)]
enum Activity {
    #[default]
    Idle,
    /// The storage is at it.
    Sending(Flight),
    /// It may have arrived or may yet, and goes out again as it is; or it was not sent yet.
    Unsure(Flight),
}

/// An upload until it has ended.
struct Flight {
    upload: Upload,
    pages: Arc<PageSet>,
    everything: Option<String>,
    /// It brings files of levels alone, of TXIDs that are confirmed. Then it has no pages to become dirty again.
    for_levels: bool,
    /// Since when its next file may have arrived without an answer.
    unsure_since: Option<Instant>,
}

/// An older content of the next TXID may yet arrive.
#[derive(Clone, Copy)]
struct Doubt {
    /// Not after this.
    until: Instant,
    /// The storage has been asked anew already because somebody had taken that TXID.
    asked: bool,
    /// It may have pages that are not dirty.
    blind: bool,
}

/// A view that an upload holds.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The upload holds every page.
    pub everything: bool,
    /// Since when it goes out again and again, after an attempt whose outcome is not known.
    pub unsure_since: Option<Instant>,
}

impl Destination {
    /// A destination at `location` that has not been asked yet. `remembered` is what an earlier run left, if
    /// the WAL still runs through its place; without it every page has to be sent, for the reason given.
    pub fn new(location: String, remembered: Result<DestinationState, String>) -> Destination {
        let (remembered, dirty, everything, levels) = match remembered {
            Ok(state) => (Some(state.acked), state.dirty, None, state.levels),
            Err(reason) => (None, PageSet::default(), Some(reason), Vec::new()),
        };
        Destination {
            location,
            dirty,
            everything,
            position: Position::Unsettled {
                remembered,
                asking: Asking::Anew,
            },
            activity: Activity::Idle,
            beside: None,
            doubt: None,
            levels: Levels::new(Upkeep::default(), levels),
            deletions: Deletions::default(),
            sums: None,
            reading: Reading::default(),
            watched: None,
        }
    }

    /// The same, an earlier run having perhaps left an upload of the next TXID under way.
    pub fn in_doubt(mut self, now: Instant) -> Destination {
        self.doubt_next(now);
        if let Some(doubt) = &mut self.doubt {
            doubt.blind = self.reading.is_comparing();
        }
        self
    }

    /// Where it is, without secrets.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Notes that what changed is no longer known, so that every page has to be compared, or sent. What is under way
    /// may not be read on from its view.
    pub fn lost_track(&mut self, reason: String, now: Instant) {
        self.call_back(now);
        self.call_back_snapshot();
        if !self.begin_comparing(reason.clone()) {
            self.everything.get_or_insert(reason);
            self.dirty = PageSet::default();
        }
    }

    /// Notes that the database was opened anew. It may be another one, so the storage has to be asked whether
    /// its replica can go on with this one.
    pub fn reopened(&mut self, reason: String, now: Instant) {
        self.lost_track(reason, now);
        self.levels.forget();
        self.watched = None;
        if !matches!(self.position, Position::Taken) {
            self.position = Position::Unsettled {
                remembered: self.sums.as_ref().map(|sums| sums.at),
                asking: Asking::AfterGap,
            };
        }
    }

    /// What [`super::settle`] needs to know, if this destination has to be settled before anything is sent.
    pub fn unsettled(&self) -> Option<Option<Mark>> {
        match (&self.position, &self.activity) {
            (Position::Unsettled { remembered, .. }, Activity::Idle) => Some(*remembered),
            _ => None,
        }
    }

    /// Whether there is something to send, and nothing under way.
    pub fn has_work(&self) -> bool {
        let waits = match self.activity {
            Activity::Idle => self.lacks_something() || self.lacks_levels(),
            Activity::Sending(_) => false,
            Activity::Unsure(_) => true,
        };
        waits && self.standing().is_some() && !self.reading.is_comparing()
    }

    /// Whether the storage lacks something, under way or not. Levels do not count: they hold nothing new. A snapshot
    /// does that was asked for.
    pub fn is_behind(&self) -> bool {
        let sends = self.flight().is_some_and(|flight| !flight.for_levels);
        let owes = self
            .acked()
            .is_some_and(|acked| self.levels.owes_snapshot(acked));
        self.standing().is_none()
            || sends
            || owes
            || self.lacks_something()
            || self.reading.is_comparing()
    }

    /// Whether an upload is under way that may still read from its view.
    pub fn is_sending(&self) -> bool {
        matches!(self.activity, Activity::Sending(_))
    }

    /// Whether nothing more is sent, since somebody else writes there, or has a history there of which this database is
    /// no part.
    pub fn is_closed(&self) -> bool {
        matches!(self.position, Position::Taken | Position::Refused)
    }

    /// Whether the newest file is known to be ours. Else Litestream may have written it, and hold a position in the
    /// WAL: started over before a file of ours follows, it would take the new WAL for a continuation of its own.
    pub fn is_on_top(&self) -> bool {
        self.standing().is_some_and(|standing| !standing.foreign)
    }

    /// Whether this run goes on from where an earlier one was in this WAL.
    pub fn remembers(&self) -> bool {
        matches!(
            self.position,
            Position::Unsettled {
                remembered: Some(_),
                asking: Asking::Anew | Asking::Contested | Asking::Again,
            }
        )
    }

    /// The newest TXID confirmed, if it is known.
    pub fn acked(&self) -> Option<Txid> {
        let acked = self.standing().and_then(|standing| standing.acked);
        acked.map(|mark| mark.txid)
    }

    /// The newest TXID confirmed, as far as is known or remembered, if it is worth remembering: all that the storage
    /// lacks beyond it is counted.
    pub fn memorable(&self) -> Option<Mark> {
        if self.everything.is_some() || self.sends_everything() || self.reading.is_comparing() {
            return None;
        }
        match &self.position {
            Position::At(standing) if !standing.broken => standing.acked,
            Position::Unsettled { remembered, .. } => *remembered,
            Position::At(_) | Position::Taken | Position::Refused => None,
        }
    }

    /// Whether an upload of the next TXID may have been sent, and may arrive later.
    pub fn is_under_way(&self) -> bool {
        self.flight().is_some_and(|flight| !flight.for_levels) || self.doubt.is_some()
    }

    /// How many pages the storage lacks, as far as they are counted; none when it lacks them all.
    pub fn pages_to_send(&self) -> Option<u64> {
        match (&self.everything, self.flight()) {
            (None, None) => Some(self.dirty.len()),
            (None, Some(flight)) if flight.everything.is_none() => {
                let mut pages = self.dirty.clone();
                pages.union(&flight.pages);
                Some(pages.len())
            }
            _ => None,
        }
    }

    /// The view held for an upload.
    pub fn held(&self) -> Option<Held> {
        let flight = self.flight()?;
        flight.upload.view().holds_view().then_some(Held {
            everything: flight.is_long(),
            unsure_since: flight.unsure_since,
        })
    }

    /// Whether the upload under way syncs every page.
    pub fn sends_everything(&self) -> bool {
        self.flight()
            .is_some_and(|flight| flight.everything.is_some())
    }

    /// Whether the upload under way takes as long as one of every page.
    pub fn sends_much(&self) -> bool {
        self.flight().is_some_and(Flight::is_long)
    }

    /// Whether the upload under way, or one that follows it from the same view, holds every page.
    pub fn reads_everything(&self) -> bool {
        let reads = |flight: &Flight| flight.is_long() || flight.upload.is_followed();
        self.flight().is_some_and(reads)
    }

    /// The next upload to `storage`: the one whose outcome is not known, or else one from `view`, up to whose end
    /// every change has been told. `now` is the wall clock's time, read after the view was opened.
    pub fn next_upload(
        &mut self,
        view: &Arc<View>,
        now: Timestamp,
        storage: &dyn Storage,
    ) -> Option<Upload> {
        if !self.has_work() {
            return None;
        }
        let standing = *self.standing()?;
        let flight = match std::mem::take(&mut self.activity) {
            Activity::Unsure(flight) => flight,
            _ if self.lacks_something() => self.new_flight(standing, view, now, storage),
            // Nothing was told since the newest TXID, so the view is at it.
            _ => {
                let proof = Proof::of_confirmed(self.database_at(standing.acked?));
                let upload = |files| Upload::new(view, files).proven_by(proof);
                self.flight_for_levels(upload, view.pages())?
            }
        };
        let upload = flight.upload.clone();
        self.activity = Activity::Sending(flight);
        Some(upload)
    }

    fn new_flight(
        &mut self,
        standing: Standing,
        view: &Arc<View>,
        now: Timestamp,
        storage: &dyn Storage,
    ) -> Flight {
        let created = standing
            .newest
            .map_or(now, |newest| now.max(just_after(newest)));
        if self.is_blind() && storage.late_writes_replace() {
            let reason = "an upload of an earlier run may still arrive".to_string();
            self.everything.get_or_insert(reason);
        }
        let dirty = std::mem::take(&mut self.dirty);
        let everything = self.everything.take();
        let next = standing.acked.and_then(|acked| acked.txid.next());
        let followed = next.is_some_and(|next| self.levels.is_snapshot_due(next));
        let pages = Arc::new(match everything {
            Some(_) => PageSet::all(view.pages()),
            None => dirty,
        });
        let files = match standing.acked {
            // If the older snapshot may end up below, the sync that follows has to carry all of this one.
            None if self.doubt.is_some() && storage.late_writes_replace() => {
                vec![snapshot(Txid::FIRST, &pages, created)]
            }
            None => base(&pages, created),
            Some(acked) => {
                let next = acked.txid.next().expect("settled only where one follows");
                let name = sync_file(TxidRange::single(next));
                let sync = UploadFile::new(name, created, Arc::clone(&pages));
                match standing.broken {
                    false => vec![sync],
                    true => vec![sync, snapshot(next, &pages, created)],
                }
            }
        };
        let proof = self.proof_of(standing, &pages, everything.is_some(), view.pages());
        Flight {
            upload: Upload::new(view, files).proven_by(proof).followed(followed),
            pages,
            everything,
            for_levels: false,
            unsure_since: None,
        }
    }

    /// What to remember at the place up to which every change has been told; nothing while it is not known
    /// what the replica lacks.
    pub fn state(&self) -> Option<DestinationState> {
        let acked = self.memorable()?;
        let mut dirty = self.dirty.clone();
        if let Some(flight) = self.flight() {
            dirty.union(&flight.pages);
        }
        Some(DestinationState {
            location: self.location.clone(),
            acked,
            dirty,
            under_way: self.is_under_way(),
            levels: self.levels.states(),
            sums: self.sums.as_ref().and_then(SumsAt::state),
        })
    }

    fn lacks_something(&self) -> bool {
        self.everything.is_some() || !self.dirty.is_empty()
    }

    fn standing(&self) -> Option<&Standing> {
        match &self.position {
            Position::At(standing) => Some(standing),
            _ => None,
        }
    }

    fn flight(&self) -> Option<&Flight> {
        match &self.activity {
            Activity::Idle => None,
            Activity::Sending(flight) | Activity::Unsure(flight) => Some(flight),
        }
    }

    /// All that read from the database.
    fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.flight().into_iter().chain(&self.beside)
    }
}

impl Flight {
    fn is_long(&self) -> bool {
        self.everything.is_some() || (self.for_levels && self.upload.holds_everything())
    }

    /// Whether it is a snapshot and nothing else, from a frozen state.
    fn is_large_snapshot(&self) -> bool {
        let mut names = self.upload.files().map(|(name, _)| name);
        self.for_levels
            && names.all(|name| name.level == Level::SNAPSHOT)
            && self.upload.view().is_frozen()
    }
}

impl Changes for Destination {
    fn changed(&mut self, first: PageNumber, last: PageNumber) {
        // When every page is sent anyway, the set only has to know that there is news.
        self.dirty.insert_range(first, last);
        for flight in self.flights() {
            flight.upload.view().keep(|frozen| frozen.keep(first, last));
        }
    }

    fn shrunk(&mut self, pages: PageCount) {
        for flight in self.flights() {
            flight.upload.view().keep(|frozen| frozen.keep_from(pages));
        }
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
        UploadFile::new(
            sync_file(TxidRange::single(second)),
            just_after(created),
            Arc::new(first_page),
        ),
    ]
}

fn snapshot(txid: Txid, pages: &Arc<PageSet>, created: Timestamp) -> UploadFile {
    let name = FileName {
        level: Level::SNAPSHOT,
        txids: TxidRange::snapshot(txid),
    };
    UploadFile::new(name, created, Arc::clone(pages))
}

fn just_after(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.millis().saturating_add(1))
}
