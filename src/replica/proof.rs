//! What the files of an upload say of the database after them: its checksum, where it is known.
//!
//! All files of an upload are written from one state, so there is one checksum for them. It is the exclusive or of
//! those of all pages. Of a state that is confirmed already they are known beforehand. Of one that is to be sent,
//! the sums of the pages that go out are not: so those are read once more before, from a view, where all others are
//! known. A frozen state is read but once, and then the first file says nothing; those after it do.
//!
//! Either way the sums of the pages sent are collected, for [`Destination`](super::Destination) to take them when the
//! file is confirmed.

use std::sync::{Arc, OnceLock};

use crate::ltx::Checksum;

/// The checksum of the state that an upload is written from, as far as it is known. Copies share what they learn.
#[derive(Clone)]
pub(super) struct Proof(Arc<Parts>);

struct Parts {
    /// Of the pages that the first file does not hold; none if one of those is not known.
    rest: Option<Checksum>,
    /// Of the pages that it holds, in its order.
    sent: OnceLock<Vec<Checksum>>,
}

impl Proof {
    /// Of a state that is confirmed, with this checksum, if it is known.
    pub(super) fn of_confirmed(database: Option<Checksum>) -> Proof {
        Proof(Arc::new(Parts {
            rest: database,
            sent: OnceLock::from(Vec::new()),
        }))
    }

    /// Of a state of which the first file holds what is new, and of which the other pages have this checksum, if
    /// it is known.
    pub(super) fn of_new(rest: Option<Checksum>) -> Proof {
        Proof(Arc::new(Parts {
            rest,
            sent: OnceLock::new(),
        }))
    }

    /// Whether the sums of the first file's pages are missing.
    pub(super) fn lacks_sent(&self) -> bool {
        self.0.sent.get().is_none()
    }

    /// Whether they are all that is missing.
    pub(super) fn lacks_only_sent(&self) -> bool {
        self.0.rest.is_some() && self.lacks_sent()
    }

    /// Takes the sums of all pages of the first file. They are always the same, for one state.
    pub(super) fn sent(&self, sums: Vec<Checksum>) {
        let _ = self.0.sent.set(sums);
    }

    /// The sums of the first file's pages, once they were read.
    pub(super) fn of_sent(&self) -> Option<&[Checksum]> {
        self.0.sent.get().map(Vec::as_slice)
    }

    /// The checksum of the database, if it is known.
    pub(super) fn database(&self) -> Option<Checksum> {
        let sent = self.of_sent()?.iter();
        Some(sent.copied().fold(self.0.rest?, Checksum::toggle))
    }
}
