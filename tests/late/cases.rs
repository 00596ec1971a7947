//! One case each of what `replica::destination::outcome` tells of late uploads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use walbrook::database::PageSet;
use walbrook::replica::{Destination, Finished, Settled, Shape, Upload, Verdict, settle};
use walbrook::sqlite::{DatabaseFiles, Follower, OpenOptions};
use walbrook::storage::{FileName, Storage};
use walbrook::sys::clock::{Clock, ManualClock};
use walbrook::units::{Level, Timestamp};

use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::memory::name;
use crate::support::rig::Rig;
use crate::support::server::{Fate, Server};
use crate::support::title::adopted;

const MINUTE: Duration = Duration::from_secs(60);

/// A database whose replica stands at TXID 2.
pub(super) struct Bench {
    pub(super) app: Session,
    pub(super) follower: Option<Follower>,
    pub(super) destination: Destination,
    pub(super) server: Server,
    pub(super) clock: ManualClock,
    pub(super) rig: Rig,
}

impl Bench {
    pub(super) fn new(conditional: bool) -> Bench {
        let rig = Rig::new();
        let mut app = Session::create(&rig.db());
        app.insert("t", 20);
        let options = OpenOptions {
            patience: Duration::from_secs(1),
            destinations: 1,
        };
        let files = DatabaseFiles::open(&rig.db(), options).unwrap();
        let (follower, _) = Follower::start(files, None, &mut PageSet::default()).unwrap();
        let mut bench = Bench {
            app,
            follower: Some(follower),
            destination: Destination::new("server".to_string(), Err("new".to_string())),
            server: Server::new(conditional),
            clock: ManualClock::new(Timestamp::from_millis(1_795_392_000_000)),
            rig,
        };
        bench.settle();
        assert_eq!(bench.sync(Fate::Answered), "confirmed 2");
        bench
    }

    pub(super) fn settle(&mut self) -> Settled {
        let remembered = self.destination.unsettled().unwrap();
        let view = self.follower.as_ref().unwrap().view();
        let shape = Shape {
            page_size: view.page_size(),
            pages: view.pages(),
        };
        let footing = settle(&self.server, shape, remembered, adopted()).unwrap();
        self.destination
            .settled(footing, Verdict::Own, self.clock.instant())
    }

    pub(super) fn next(&mut self) -> Upload {
        self.clock.advance(Duration::from_millis(2));
        self.server.pass_to(self.clock.instant());
        let follower = self.follower.as_mut().unwrap();
        follower.advance(&mut self.destination).unwrap();
        let view = Arc::clone(follower.view());
        let now = self.clock.now();
        let next = self.destination.next_upload(&view, now, &self.server);
        next.expect("there is work")
    }

    pub(super) fn send(&mut self, upload: Upload, fate: Fate) -> String {
        self.server.lock().fates = VecDeque::from([fate]);
        let result = upload.run(&self.server);
        drop(upload);
        match self
            .destination
            .finished(result, self.clock.instant())
            .unwrap()
        {
            Finished::Confirmed { acked, .. } => format!("confirmed {}", acked.value()),
            Finished::Compacted { files, .. } => format!("compacted {}", files.len()),
            Finished::Adopted { acked } => format!("adopted {}", acked.value()),
            Finished::CalledBack => "called back".to_string(),
            Finished::Contested => "contested".to_string(),
            Finished::Taken(_) => "taken".to_string(),
            Finished::Failed(_) => "failed".to_string(),
        }
    }

    pub(super) fn sync(&mut self, fate: Fate) -> String {
        let upload = self.next();
        self.send(upload, fate)
    }

    /// Sends a change whose upload gets lost on the way, and then has its view called back.
    fn fall_into_doubt(&mut self) {
        self.app.insert("t", 1);
        assert_eq!(self.sync(Fate::Delayed), "failed");
        assert!(self.destination.call_back(self.clock.instant()));
        assert!(self.destination.held().is_none());
    }

    fn bytes(&self, name: FileName) -> Vec<u8> {
        self.server.lock().files[&name].1.clone()
    }
}

#[test]
fn the_same_bytes_go_out_again_while_the_view_is_held() {
    let mut bench = Bench::new(false);
    bench.app.insert("t", 1);
    assert_eq!(bench.sync(Fate::AnswerLost), "failed");
    let first = bench.bytes(name(0, 3, 3));
    bench.app.insert("t", 1);
    // One that fails for sure does not end the doubt about the first.
    for fate in [Fate::NotSent, Fate::Delayed, Fate::NotSent, Fate::NotSent] {
        assert_eq!(bench.sync(fate), "failed");
        assert!(
            bench
                .destination
                .held()
                .is_some_and(|held| held.unsure_since.is_some())
        );
    }
    assert_eq!(bench.sync(Fate::Answered), "confirmed 3");
    assert_eq!(bench.bytes(name(0, 3, 3)), first);
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    assert!(!bench.destination.has_work(), "nothing is carried");
}

#[test]
fn what_may_yet_be_replaced_is_carried_by_the_next() {
    let mut bench = Bench::new(false);
    bench.fall_into_doubt();
    assert_eq!(bench.sync(Fate::Answered), "confirmed 3");
    let pages = bench.destination.pages_to_send();
    assert!(pages > Some(0), "{pages:?}");
    assert!(
        bench
            .destination
            .state()
            .is_some_and(|state| !state.dirty.is_empty())
    );
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    assert!(!bench.destination.has_work(), "once is enough");
}

#[test]
fn nothing_is_carried_where_nothing_is_replaced_or_when_the_request_is_dead() {
    let mut bench = Bench::new(true);
    bench.fall_into_doubt();
    assert_eq!(bench.sync(Fate::Answered), "confirmed 3");
    assert!(!bench.destination.has_work());

    let mut bench = Bench::new(false);
    bench.fall_into_doubt();
    bench.clock.advance(15 * MINUTE);
    assert_eq!(bench.sync(Fate::Answered), "confirmed 3");
    assert!(!bench.destination.has_work());
}

#[test]
fn an_upload_that_arrived_after_all_is_adopted() {
    let mut bench = Bench::new(true);
    bench.fall_into_doubt();
    bench.server.deliver(&mut Chance::of_environment("adopted"));
    let arrived = bench.server.lock().files[&name(0, 3, 3)].0;
    bench.app.insert("t", 1);
    assert_eq!(bench.sync(Fate::Answered), "adopted 3");
    let state = bench.destination.state().unwrap();
    assert_eq!((state.acked.txid.value(), state.acked.time), (3, arrived));
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    let times: Vec<Timestamp> = bench
        .server
        .list(Level::SYNC)
        .unwrap()
        .iter()
        .map(|file| file.created)
        .collect();
    assert!(times.is_sorted());
}

/// Puts a copy of an upload's file there, and makes the server forget that it may be ours.
fn taken_by(bench: &mut Bench, fate: Fate) -> String {
    bench.app.insert("t", 1);
    let upload = bench.next();
    let next = upload.files().next().unwrap().0;
    {
        let mut inner = bench.server.lock();
        let (_, newest) = inner.files.iter().next_back().unwrap();
        let other = (Timestamp::from_millis(7), newest.1.clone());
        inner.files.insert(next, other);
    }
    bench.server.forget();
    bench.send(upload, fate)
}

#[test]
fn a_taken_name_is_a_strangers_unless_an_earlier_run_was_cut_off() {
    let mut bench = Bench::new(true);
    assert_eq!(taken_by(&mut bench, Fate::Answered), "taken");
    assert!(bench.destination.is_closed() && !bench.destination.has_work());
}

#[test]
fn after_a_run_that_was_cut_off_the_storage_is_asked_once_whose_it_is() {
    let mut bench = Bench::new(true);
    let state = bench.destination.state().unwrap();
    let restarted = Destination::new("server".to_string(), Ok(state));
    bench.destination = restarted.in_doubt(bench.clock.instant());
    bench.settle();
    // What the earlier run had sent arrives only now.
    bench.app.insert("t", 1);
    assert_eq!(bench.sync(Fate::Delayed), "failed");
    bench.destination.call_back(bench.clock.instant());
    bench.server.deliver(&mut Chance::of_environment("asked"));
    bench.server.forget();
    assert_eq!(bench.sync(Fate::Answered), "contested");
    assert!(matches!(bench.settle(), Settled::Known));
    assert_eq!(
        taken_by(&mut bench, Fate::Answered),
        "taken",
        "asked once only"
    );
}
