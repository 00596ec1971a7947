//! Seeing to it that this database does not bury another one's history: what vouches for it, what is said when nothing
//! does, and what is said again now and then as long as nothing is sent.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Outlet;
use crate::daemon::outage::Class;
use crate::replica::{Footing, Lineage, Moment, Title, Verdict, Voucher, WriterId};
use crate::sqlite::View;
use crate::units::PageNumber;

/// Another writer that is at work shows itself within some of its intervals, of which ours are as good a guess as any.
const WATCHED_INTERVALS: u32 = 4;
const WATCHED_LEAST: Duration = Duration::from_secs(4);
/// How often it is said again that nothing is sent.
const REMIND_AFTER: Duration = Duration::from_secs(3600);

impl Outlet {
    /// What entitles the database of `view` to go on in the replica.
    pub(super) fn title(&self, view: &View) -> Title {
        let mark = view.mark();
        Title {
            writer: WriterId::of(mark),
            voucher: match (self.adopt, self.remembered) {
                (true, _) => Voucher::Adopted,
                (false, true) => Voucher::Remembered,
                (false, false) if mark.lasting => Voucher::OtherFile,
                (false, false) => Voucher::Unrecognizable,
            },
        }
    }

    /// Whether the database of `view` may go on from `footing`.
    pub(super) fn verdict(&self, footing: &Footing, view: &View) -> Verdict {
        footing.verdict(|page| {
            let mut content = vec![0; view.page_size().bytes() as usize].into_boxed_slice();
            let is_there = view.pages().holds(page);
            (is_there && view.read_page(page, &mut content).is_ok()).then_some(content)
        })
    }

    /// Says that the database goes on where another writer was.
    pub(super) fn tell_of_heritage(&self, of: Option<WriterId>, lost: Option<Moment>) {
        let of = match of {
            Some(writer) => format!("another writer ({writer}) was"),
            None => "Litestream was".to_string(),
        };
        log::info!(
            "{}: goes on where {of}, since it descends from what is there",
            self.name
        );
        if let Some(Moment { txid, time }) = lost {
            log::warn!(
                "{}: the replica has changes since txid {} of {time} that the database has lost, as in a power cut; \
                 they can be restored for as long as retention keeps them",
                self.name,
                txid.value()
            );
        }
    }

    /// Waits whether another writer's replica moves.
    pub(super) fn watch_writer(&mut self, writer: WriterId, now: Instant) {
        let pause = WATCHED_LEAST.max(self.sync_interval * WATCHED_INTERVALS);
        log::info!(
            "{}: another writer ({writer}) has written the newest file; seeing for {} s whether it is still at work",
            self.name,
            pause.as_secs()
        );
        self.sync_at = now + pause;
    }

    /// Sends nothing, says why and what to do, and says it again now and then.
    pub(super) fn refuse(&mut self, lineage: Lineage, held: &str, view: &Arc<View>, now: Instant) {
        let error = self.refusal(lineage, held, view);
        self.close(error, now);
    }

    /// Says why nothing is sent from now on.
    pub(super) fn close(&mut self, error: String, now: Instant) {
        self.trouble_with_storage(Class::Unusable, error, now);
        self.remind_at = Some(now + REMIND_AFTER);
    }

    /// Says again why nothing is sent, if it is time to.
    pub(in super::super) fn remind(&mut self, now: Instant) {
        if self.remind_at.is_some_and(|at| now >= at) {
            self.remind_at = self.destination.is_closed().then(|| now + REMIND_AFTER);
            if let (Some(error), true) = (self.outage.last(), self.destination.is_closed()) {
                log::error!("{}: {error}", self.name);
            }
        }
    }

    fn refusal(&self, lineage: Lineage, held: &str, view: &View) -> String {
        let location = self.destination.location();
        let url = url_of(location);
        let database = &self.database;
        let why = match lineage {
            Lineage::Behind { lacks } => format!(
                "is an earlier state of what {location} holds: it lacks what changed there at txid {} of {}, by the \
                 pages that were compared. It was put back to an earlier time, or is an old copy",
                lacks.txid.value(),
                lacks.time
            ),
            Lineage::Unrelated | Lineage::Descends => {
                format!("is another database than the one that {location} holds")
            }
        };
        format!(
            "{database} ({}) {why}. There: {held}. Nothing is sent, so that this stays restorable. To have it back, \
             stop and run: walbrook restore -force -o {database} {url} ; to go on in this replica with the database \
             as it is, on top of what is there: walbrook replicate -adopt {database} … ; or give it a replica path of \
             its own",
            described(view)
        )
    }
}

/// What names a replica at `location` on the command line of a shell.
fn url_of(location: &str) -> String {
    match location.split_once(" on ") {
        _ if location.starts_with('/') => format!("'file://{location}'"),
        Some((url, endpoint)) => format!("'{url}?endpoint={endpoint}'"),
        None => format!("'{location}'"),
    }
}

/// A database in the words of its own header.
fn described(view: &View) -> String {
    let mut page = vec![0; view.page_size().bytes() as usize];
    let number = |page: &[u8], offset: usize| {
        let bytes = page[offset..].first_chunk().copied().unwrap_or_default();
        u32::from_be_bytes(bytes)
    };
    match view.read_page(PageNumber::FIRST, &mut page) {
        Ok(()) => format!(
            "{} pages, change counter {}, schema cookie {}",
            view.pages(),
            number(&page, 24),
            number(&page, 40)
        ),
        Err(_) => format!("{} pages", view.pages()),
    }
}

#[cfg(test)]
mod tests {
    use super::url_of;

    #[test]
    fn replicas_are_named_as_the_command_line_takes_them() {
        for (location, url) in [
            ("/srv/on a disk", "'file:///srv/on a disk'"),
            ("s3://b/p", "'s3://b/p'"),
            (
                "s3://b/p on http://127.0.0.1:9000",
                "'s3://b/p?endpoint=http://127.0.0.1:9000'",
            ),
        ] {
            assert_eq!(url_of(location), url);
        }
    }
}
