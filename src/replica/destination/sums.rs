//! The sums of the pages as they are at the newest TXID confirmed, and what they are good for.
//!
//! - With them, files say what the database is after them ([`crate::replica`]'s `proof`).
//! - After a *gap*, when it is not known what has changed, the database is compared with them, and only what differs
//!   goes out.
//!
//! The invariant: the sum of a page that is neither dirty nor under way, if it is known, is that of its content at the
//! newest TXID, which is its present content too. The sum of a dirty page does not matter, for it will be sent.
//! They change when an upload is confirmed; where two contents of a TXID are possible, what differs is forgotten.
//!
//! # Comparing
//!
//! It needs no view of its own. Every change from the gap's end on is told, and makes its page dirty. So a page may be
//! read from whichever view is the newest: if it is not dirty, that is what it was when the gap ended. Nothing is sent
//! before all pages were compared, and before the storage has told which pages it may have newer than the sums. Pages
//! that were dirty before the gap stay it, since an upload of them may have arrived.
//!
//! An earlier run may have left an upload under way whose pages are not known. One of them may have changed back since,
//! so that comparing does not find it. Where such an upload could replace what is sent now, everything is sent.

use std::time::Instant;

use super::{Destination, Flight, Position, Standing};
use crate::database::{Mark, PageSet, PageSums, SumsAt};
use crate::ltx::Checksum;
use crate::replica::proof::Proof;
use crate::sqlite::{SqliteError, View};
use crate::units::{PageCount, PageNumber};

/// What the database is read for, beside what is sent.
#[derive(Debug, Default)]
pub(super) enum Reading {
    /// Nothing.
    #[default]
    Nothing,
    /// To find what has changed in a gap, for the reason given. Goes on at this page.
    Comparing {
        next: PageNumber,
        differing: u64,
        reason: String,
    },
    /// To learn sums that are not known. Goes on at this page.
    Learning { next: PageNumber },
}

impl Reading {
    pub(super) fn is_comparing(&self) -> bool {
        matches!(self, Reading::Comparing { .. })
    }
}

/// How far the database was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read {
    /// There is more to read.
    Partly,
    /// It was compared, and so many pages differ.
    Compared {
        /// How many.
        differing: u64,
    },
    /// It cannot be compared with the sums: everything is sent, for this reason.
    Everything(String),
    /// All that was to be learnt was.
    Learnt,
}

impl Destination {
    /// The same, with the sums that an earlier run left. After a gap they tell what has changed.
    pub fn with_sums(mut self, sums: Option<SumsAt>) -> Destination {
        let Some(sums) = sums else {
            return self;
        };
        if let Position::Unsettled { remembered, .. } = &mut self.position {
            match self.everything.take() {
                Some(reason) => {
                    *remembered = Some(sums.at);
                    self.reading = comparing(reason);
                }
                None if *remembered == Some(sums.at) => {}
                None => return self,
            }
        }
        self.sums = Some(sums);
        self
    }

    /// The sums at the newest TXID, if they may be put on disk: they are known of all pages, and those on disk are
    /// not the same.
    pub fn sums_to_keep(&self) -> Option<&SumsAt> {
        let sums = self.sums.as_ref()?;
        let is_new = sums.on_disk().is_none_or(|on_disk| on_disk.at != sums.at);
        (is_new && sums.sums.database().is_some()).then_some(sums)
    }

    /// Bytes of pages whose sums have changed since they were put on disk, and of the file of them. None before they
    /// ever were.
    pub fn sums_on_disk_lack(&self) -> Option<(u64, u64)> {
        let sums = self.sums.as_ref()?;
        let changed = sums.on_disk()?.changed.len();
        let page_size = u64::from(sums.sums.page_size().bytes());
        let file = u64::from(sums.sums.pages().0) * size_of::<u64>() as u64;
        Some((changed * page_size, file))
    }

    /// Notes that the sums are on disk.
    pub fn sums_are_kept(&mut self) {
        if let Some(sums) = &mut self.sums {
            sums.are_on_disk();
        }
    }

    /// Whether the database is to be compared with what the replica has, before anything is sent.
    pub fn compares(&self) -> bool {
        self.reading.is_comparing()
    }

    /// Whether the database is to be read: see [`Destination::read_on`].
    pub fn wants_reading(&self) -> bool {
        match self.reading {
            Reading::Nothing => false,
            Reading::Comparing { .. } => true,
            Reading::Learning { .. } => self.standing().is_some(),
        }
    }

    /// At which page the database is read on.
    pub fn reads_at(&self) -> Option<PageNumber> {
        match self.reading {
            Reading::Nothing => None,
            Reading::Comparing { next, .. } | Reading::Learning { next } => Some(next),
        }
    }

    /// Reads the next `bytes` of the database, or what is left of it, from `view`, up to whose end every change has
    /// been told.
    ///
    /// # Errors
    /// When the database cannot be read; the next attempt goes on.
    pub fn read_on(&mut self, view: &View, bytes: usize) -> Result<Read, SqliteError> {
        match std::mem::take(&mut self.reading) {
            Reading::Nothing => Ok(Read::Learnt),
            Reading::Comparing {
                next,
                differing,
                reason,
            } => self.compare(view, bytes, next, differing, reason),
            Reading::Learning { next } => self.learn(view, bytes, next),
        }
    }

    fn compare(
        &mut self,
        view: &View,
        bytes: usize,
        mut next: PageNumber,
        mut differing: u64,
        reason: String,
    ) -> Result<Read, SqliteError> {
        let Some(SumsAt { sums, .. }) = &self.sums else {
            return Ok(self.send_everything(reason));
        };
        if sums.page_size() != view.page_size() {
            return Ok(self.send_everything("its page size was another".to_string()));
        }
        let mut content = vec![0; view.page_size().bytes() as usize];
        let mut left = bytes;
        while view.pages().holds(next) && left > 0 {
            left = left.saturating_sub(content.len());
            if next != view.page_size().lock_page() && !self.dirty.contains(next) {
                if let Err(error) = view.read_page(next, &mut content) {
                    self.reading = Reading::Comparing {
                        next,
                        differing,
                        reason,
                    };
                    return Err(error);
                }
                if sums.get(next) != Some(Checksum::of_page(next, &content)) {
                    self.dirty.insert(next);
                    differing += 1;
                }
            }
            next = after(next);
        }
        if view.pages().holds(next) {
            self.reading = Reading::Comparing {
                next,
                differing,
                reason,
            };
            return Ok(Read::Partly);
        }
        if sums.pages() != view.pages() {
            self.dirty.insert(PageNumber::FIRST);
        }
        self.learn_later();
        Ok(Read::Compared { differing })
    }

    fn send_everything(&mut self, reason: String) -> Read {
        self.sums = None;
        self.everything = Some(reason.clone());
        Read::Everything(reason)
    }

    fn learn(
        &mut self,
        view: &View,
        bytes: usize,
        mut next: PageNumber,
    ) -> Result<Read, SqliteError> {
        let Some(acked) = self.standing().and_then(|standing| standing.acked) else {
            return Ok(Read::Learnt);
        };
        let is_lacking = self.everything.is_none() && !self.sends_everything();
        if !is_lacking || !PageSums::are_kept(view.pages()) {
            return Ok(Read::Learnt);
        }
        let under_way = match self.flight() {
            Some(flight) => flight.pages.clone(),
            None => Default::default(),
        };
        let unknown = || PageSums::unknown(view.page_size(), view.pages());
        let SumsAt { sums, .. } = self
            .sums
            .get_or_insert_with(|| SumsAt::new(acked, unknown()));
        let mut content = vec![0; view.page_size().bytes() as usize];
        let mut left = bytes;
        while sums.pages().min(view.pages()).holds(next) && left > 0 {
            let moves = self.dirty.contains(next) || under_way.contains(next);
            if sums.get(next).is_none() && !moves && next != view.page_size().lock_page() {
                left = left.saturating_sub(content.len());
                if let Err(error) = view.read_page(next, &mut content) {
                    self.reading = Reading::Learning { next };
                    return Err(error);
                }
                sums.set(next, Checksum::of_page(next, &content));
            }
            next = after(next);
        }
        if !sums.pages().min(view.pages()).holds(next) {
            return Ok(Read::Learnt);
        }
        self.reading = Reading::Learning { next };
        Ok(Read::Partly)
    }

    /// Has the sums learnt that are not known, once it is known where the replica stands.
    pub(super) fn learn_later(&mut self) {
        let is_whole = |sums: &SumsAt| sums.sums.database().is_some();
        if !self.reading.is_comparing() && !self.sums.as_ref().is_some_and(is_whole) {
            self.reading = Reading::Learning {
                next: PageNumber::FIRST,
            };
        }
    }

    /// Begins to look for what has changed, if there is anything to compare with. What is under way may arrive, and
    /// so is dirty, whatever becomes of it.
    pub(super) fn begin_comparing(&mut self, reason: String) -> bool {
        if self.sums.is_none() || self.everything.is_some() {
            return false;
        }
        if let Some(flight) = self.flight() {
            let pages = flight.pages.clone();
            self.dirty.union(&pages);
        }
        self.reading = comparing(reason);
        true
    }

    /// Ends comparing without having found what has changed. Gives what it was for.
    pub(super) fn cease_comparing(&mut self) -> Option<String> {
        match std::mem::take(&mut self.reading) {
            Reading::Comparing { reason, .. } => Some(reason),
            _ => None,
        }
    }

    /// Takes note that the replica was found at `acked`, where `changed` are the pages changed since what was
    /// remembered.
    pub(super) fn sums_found_at(&mut self, acked: Mark, changed: Option<&PageSet>) {
        let remembered = match self.position {
            Position::Unsettled { remembered, .. } => remembered,
            _ => None,
        };
        match (&mut self.sums, changed) {
            (Some(sums), _) if sums.at == acked => {}
            (Some(sums), Some(changed)) if Some(sums.at) == remembered => {
                sums.advance_unknown(acked, changed);
            }
            (sums, _) => *sums = None,
        }
    }

    /// What the next upload says of the database, of which it sends `pages`, or all that there are, as they are in a
    /// state of `commit` pages.
    pub(super) fn proof_of(
        &self,
        standing: Standing,
        pages: &PageSet,
        are_all: bool,
        commit: PageCount,
    ) -> Proof {
        let rest = match (&self.sums, standing.acked) {
            _ if are_all => Some(Checksum::EMPTY_DATABASE),
            (Some(sums), Some(acked)) if sums.at == acked => sums.sums.rest(commit, pages),
            _ => None,
        };
        Proof::of_new(rest)
    }

    /// LTX's checksum of the database at the newest TXID, if it is known.
    pub(super) fn database_at(&self, acked: Mark) -> Option<Checksum> {
        let sums = self.sums.as_ref().filter(|sums| sums.at == acked)?;
        sums.sums.database()
    }

    /// Takes the sums of `flight`, which is confirmed up to `acked`.
    pub(super) fn take_sums(&mut self, before: Option<Mark>, acked: Mark, flight: &Flight) {
        let upload = &flight.upload;
        let commit = upload.commit();
        let Some(new) = upload.sums().filter(|_| PageSums::are_kept(commit)) else {
            self.sums = None;
            self.learn_later();
            return;
        };
        let continues = |sums: &SumsAt| Some(sums.at) == before;
        let mut sums = match self.sums.take().filter(continues) {
            Some(sums) => sums,
            None => SumsAt::new(acked, PageSums::unknown(upload.page_size(), commit)),
        };
        sums.advance(acked, commit, &flight.pages, new);
        self.sums = Some(sums);
    }

    /// Forgets the sums of `flight`: its TXID may have another content.
    pub(super) fn doubt_sums(&mut self, flight: &Flight) {
        if let Some(sums) = &mut self.sums {
            sums.forget(&flight.pages);
        }
    }

    /// Takes note that `acked` has an older content of `flight`.
    pub(super) fn adopt_sums(&mut self, acked: Mark, flight: &Flight) {
        if let Some(sums) = &mut self.sums {
            sums.advance_unknown(acked, &flight.pages);
            // Its sum is forgotten, whether or not it is among those of the flight.
            self.dirty.insert(PageNumber::FIRST);
        }
    }

    /// Whether something may arrive of which it is not known what it changes, so that only everything will do.
    pub(super) fn is_blind(&self) -> bool {
        self.doubt.is_some_and(|doubt| doubt.blind)
    }

    pub(super) fn end_blindness(&mut self, now: Instant) {
        if let Some(doubt) = &mut self.doubt {
            doubt.blind &= now < doubt.until;
        }
    }
}

fn comparing(reason: String) -> Reading {
    Reading::Comparing {
        next: PageNumber::FIRST,
        differing: 0,
        reason,
    }
}

fn after(page: PageNumber) -> PageNumber {
    PageNumber::new(page.value().saturating_add(1)).unwrap_or(page)
}
