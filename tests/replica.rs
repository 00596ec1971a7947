//! What a destination sends, and what it makes of what it finds: on a storage in memory that can be made to fail,
//! with a database that another process writes to.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use walbrook::database::{DestinationState, Mark, PageSet};
use walbrook::replica::{Destination, Finished, Footing, SettleError, Shape, Verdict, settle};
use walbrook::restore::{self, Target};
use walbrook::sqlite::{DatabaseFiles, Follower, OpenOptions};
use walbrook::storage::{ByteRange, Content, FileInfo, FileName, Storage, StorageError};
use walbrook::sys::clock::{Clock, ManualClock};
use walbrook::units::{Level, PageCount, PageNumber, PageSize, Timestamp, Txid};

use crate::support::application::Session;
use crate::support::forward::forward;
use crate::support::memory::{Memory, ltx, name};
use crate::support::rig::{Rig, sum_of};
use crate::support::title::adopted;

fn mark(txid: u64, millis: i64) -> Option<Mark> {
    Some(Mark {
        txid: Txid::new(txid)?,
        time: Timestamp::from_millis(millis),
    })
}

const NOON: i64 = 1_795_392_000_000;

/// A database, a destination, and a clock that stands still.
struct Bench {
    rig: Rig,
    app: Session,
    follower: Follower,
    destination: Destination,
    storage: Memory,
    clock: ManualClock,
}

impl Bench {
    /// With a storage in which nothing is yet.
    fn new() -> Bench {
        Bench::with(Memory::default(), Err("nothing is remembered".to_string()))
    }

    fn with(storage: Memory, remembered: Result<DestinationState, String>) -> Bench {
        let rig = Rig::new();
        let mut app = Session::open(&rig.db());
        app.sql("PRAGMA page_size = 512");
        app.sql("PRAGMA journal_mode = wal");
        app.sql("CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)");
        let options = OpenOptions {
            patience: Duration::from_secs(1),
            destinations: 1,
        };
        let files = DatabaseFiles::open(&rig.db(), options).unwrap();
        let mut news = PageSet::default();
        let (follower, _) = Follower::start(files, None, &mut news).unwrap();
        Bench {
            destination: Destination::new(storage.location(), remembered),
            rig,
            app,
            follower,
            storage,
            clock: ManualClock::new(Timestamp::from_millis(NOON)),
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            page_size: self.follower.view().page_size(),
            pages: self.follower.view().pages(),
        }
    }

    /// Asks the storage where the replica stands, and tells the destination.
    fn settle(&mut self) {
        let remembered = self.destination.unsettled().unwrap();
        let footing = settle(&self.storage, self.shape(), remembered, adopted()).unwrap();
        self.destination
            .settled(footing, Verdict::Own, self.clock.instant());
    }

    /// Sends what there is to send; the storage takes so many files.
    fn sync_files(&mut self, files: usize) -> Option<Finished> {
        self.follower.advance(&mut self.destination).unwrap();
        let view = Arc::clone(self.follower.view());
        let upload = self
            .destination
            .next_upload(&view, self.clock.now(), &self.storage)?;
        let result = upload.run(&Failing {
            inner: &self.storage,
            left: AtomicUsize::new(files),
        });
        self.destination.finished(result, self.clock.instant())
    }

    /// The same; it fails after so many files.
    #[track_caller]
    fn break_off_after(&mut self, files: usize) {
        let finished = self.sync_files(files);
        assert!(
            matches!(finished, Some(Finished::Failed(_))),
            "{finished:?}"
        );
    }

    fn sync(&mut self) -> Option<u64> {
        match self.sync_files(usize::MAX) {
            Some(Finished::Confirmed { acked, .. }) => Some(acked.value()),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    /// The files there are, as (level, min, max).
    fn files(&self) -> Vec<(u8, u64, u64)> {
        Level::all()
            .flat_map(|level| self.storage.list(level).unwrap())
            .map(|file| {
                let txids = file.name.txids;
                (
                    file.name.level.value(),
                    txids.min().value(),
                    txids.max().value(),
                )
            })
            .collect()
    }

    /// Restores the newest state and compares it with the database.
    #[track_caller]
    fn assert_in_sync(&self) {
        let output = self.rig.path("restored.db");
        let _ = std::fs::remove_file(&output);
        let options = restore::Options::default();
        restore::restore(
            &self.storage,
            Target::Latest,
            &output,
            &options,
            &mut |_| {},
        )
        .unwrap();
        assert_eq!(sum_of(&output), self.rig.source_sum());
    }
}

#[test]
fn a_replica_starts_with_one_snapshot_and_one_small_sync() {
    let mut bench = Bench::new();
    bench.app.insert("t", 20);
    bench.settle();
    assert_eq!(bench.sync(), Some(2));
    assert_eq!(bench.files(), [(0, 2, 2), (9, 1, 1)]);
    let sync = bench.storage.list(Level::SYNC).unwrap()[0];
    assert!(sync.size < 1024, "{} bytes", sync.size);
    bench.assert_in_sync();
    assert_eq!(bench.sync(), None, "nothing has changed");
}

#[test]
fn a_failed_sync_is_sent_again_with_what_came_since_under_the_same_txid() {
    let mut bench = Bench::new();
    bench.settle();
    assert_eq!(bench.sync(), Some(2));
    bench.app.insert("t", 3);
    bench.break_off_after(0);
    assert!(bench.destination.has_work());
    bench.app.insert("t", 3);
    assert_eq!(bench.sync(), Some(3));
    bench.assert_in_sync();
}

#[test]
fn a_base_that_broke_off_after_its_snapshot_goes_on_from_there() {
    let mut bench = Bench::new();
    bench.settle();
    bench.break_off_after(1);
    assert_eq!(bench.files(), [(9, 1, 1)]);
    bench.app.insert("t", 3);
    assert_eq!(bench.sync(), Some(2));
    assert_eq!(bench.files(), [(0, 2, 2), (9, 1, 1)]);
    bench.assert_in_sync();
}

#[test]
fn times_rise_with_the_txids_though_the_clock_is_set_back() {
    let mut bench = Bench::new();
    bench.settle();
    bench.sync();
    bench.clock.set(Timestamp::from_millis(10_000));
    for _ in 0..3 {
        bench.app.insert("t", 1);
        bench.sync().unwrap();
        bench.clock.advance(Duration::from_secs(1));
    }
    let files = bench.storage.list(Level::SYNC).unwrap();
    let times: Vec<i64> = files
        .iter()
        .map(|file| file.created.millis() - NOON)
        .collect();
    assert_eq!(times, [1, 2, 3, 4]);
}

#[test]
fn a_hole_is_healed_by_a_sync_and_a_snapshot_of_everything() {
    let mut bench = Bench::new();
    bench.settle();
    for _ in 0..3 {
        bench.app.insert("t", 2);
        bench.sync();
    }
    bench.storage.delete(&[name(0, 3, 3)]).unwrap();
    bench.destination = Destination::new("memory".to_string(), Err("restarted".to_string()));
    bench.settle();
    assert_eq!(bench.sync(), Some(5));
    assert_eq!(
        bench.files(),
        [(0, 2, 2), (0, 4, 4), (0, 5, 5), (9, 1, 1), (9, 1, 5)]
    );
    bench.assert_in_sync();
    bench.app.insert("t", 2);
    assert_eq!(bench.sync(), Some(6));
    bench.assert_in_sync();
}

#[test]
fn healing_goes_on_when_it_broke_off_between_the_sync_and_the_snapshot() {
    let mut bench = Bench::new();
    bench.settle();
    bench.sync();
    bench.storage.delete(&[name(9, 1, 1)]).unwrap();
    bench.destination = Destination::new("memory".to_string(), Err("restarted".to_string()));
    bench.settle();
    bench.break_off_after(1);
    assert_eq!(bench.sync(), Some(4), "the first one counts as taken");
    assert!(bench.files().contains(&(9, 1, 4)));
    bench.assert_in_sync();
}

#[test]
fn a_damaged_newest_file_is_healed_too() {
    let mut bench = Bench::new();
    bench.settle();
    bench.app.insert("t", 2);
    bench.sync();
    bench.app.insert("t", 2);
    bench.sync();
    bench.storage.set(name(0, 3, 3), Some(vec![0; 90]));
    bench.destination = Destination::new("memory".to_string(), Err("restarted".to_string()));
    bench.settle();
    bench.sync().unwrap();
    bench.assert_in_sync();
}

#[test]
fn pages_of_syncs_after_the_remembered_one_are_sent_again() {
    let storage = Memory::holding([
        (
            name(9, 1, 1),
            1,
            ltx(name(9, 1, 1).txids, 4, &[(1, 1), (2, 1), (3, 1), (4, 1)]),
        ),
        (name(0, 2, 2), 2, ltx(name(0, 2, 2).txids, 4, &[(1, 2)])),
        (
            name(0, 3, 3),
            3,
            ltx(name(0, 3, 3).txids, 6, &[(2, 3), (5, 3), (6, 3)]),
        ),
        (name(0, 4, 4), 4, ltx(name(0, 4, 4).txids, 2, &[(1, 4)])),
        (
            name(1, 3, 4),
            4,
            ltx(name(1, 3, 4).txids, 2, &[(1, 4), (2, 3)]),
        ),
    ]);
    let database = Shape {
        page_size: PageSize::new(512).unwrap(),
        pages: PageCount(5),
    };
    let known =
        |remembered| match settle(&storage, database, mark(remembered, 0), adopted()).unwrap() {
            Footing::Known { acked, changed, .. } => (
                acked.txid.value(),
                changed.iter().map(PageNumber::value).collect::<Vec<_>>(),
            ),
            other => panic!("{other:?}"),
        };
    // Above two pages, the smallest size since, everything is suspect up to the database's own size.
    assert_eq!(known(2), (4, vec![1, 2, 3, 4, 5, 6]));
    assert_eq!(known(3), (4, vec![1, 2, 3, 4, 5]));
    assert_eq!(known(4), (4, vec![]));
    let unknown = settle(&storage, database, mark(5, 0), adopted()).unwrap();
    assert!(
        matches!(unknown, Footing::Unknown { broken: false, .. }),
        "gone back: {unknown:?}"
    );
    for other_history in [mark(4, 1), mark(3, 1)] {
        let unknown = settle(&storage, database, other_history, adopted()).unwrap();
        assert!(
            matches!(unknown, Footing::Unknown { broken: false, .. }),
            "{unknown:?}"
        );
    }
    let unknown = settle(&storage, database, None, adopted()).unwrap();
    assert!(
        matches!(unknown, Footing::Unknown { broken: false, .. }),
        "{unknown:?}"
    );

    storage.delete(&[name(1, 3, 4)]).unwrap();
    storage.set(name(0, 3, 3), Some(vec![7; 500]));
    let unknown = settle(&storage, database, mark(2, 0), adopted()).unwrap();
    assert!(
        matches!(unknown, Footing::Unknown { .. }),
        "an unreadable index: {unknown:?}"
    );
}

#[test]
fn a_file_that_leaves_no_txid_is_an_error() {
    let last = name(0, u64::MAX, u64::MAX);
    let storage = Memory::holding([(last, 1, Vec::new())]);
    let database = Shape {
        page_size: PageSize::new(512).unwrap(),
        pages: PageCount(2),
    };
    let refused = settle(&storage, database, None, adopted());
    assert!(
        matches!(refused, Err(SettleError::LastTxid { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_replica_of_another_page_size_is_refused() {
    let storage = Memory::holding([(
        name(9, 1, 1),
        1,
        ltx(name(9, 1, 1).txids, 2, &[(1, 1), (2, 1)]),
    )]);
    let database = Shape {
        page_size: PageSize::new(4096).unwrap(),
        pages: PageCount(2),
    };
    let refused = settle(&storage, database, None, adopted());
    assert!(
        matches!(refused, Err(SettleError::PageSize { .. })),
        "{refused:?}"
    );
}

#[test]
fn after_litestream_a_file_of_ours_comes_before_any_checkpoint() {
    let mut bench = Bench::new();
    bench.settle();
    bench.sync();
    // Litestream's files say where in the WAL they come from.
    let mut theirs = ltx(name(0, 3, 3).txids, 2, &[(1, 1)]);
    theirs[52..56].copy_from_slice(&56_i32.to_be_bytes());
    bench.storage.set(name(0, 2, 2), Some(theirs));
    let remembered = DestinationState {
        location: "memory".to_string(),
        acked: mark(2, 0).unwrap(),
        dirty: PageSet::default(),
        under_way: false,
        levels: Vec::new(),
        sums: None,
    };
    bench.destination = Destination::new("memory".to_string(), Ok(remembered));
    bench.settle();
    assert!(!bench.destination.is_on_top());
    assert_eq!(bench.sync(), Some(3), "though nothing has changed");
    assert!(bench.destination.is_on_top());
}

#[test]
fn what_is_remembered_covers_what_is_under_way() {
    let mut bench = Bench::new();
    bench.settle();
    bench.sync();
    bench.app.insert("t", 1);
    bench.follower.advance(&mut bench.destination).unwrap();
    let before = bench.destination.state().unwrap();
    assert!(!before.dirty.is_empty());
    let view = Arc::clone(bench.follower.view());
    let upload = bench
        .destination
        .next_upload(&view, bench.clock.now(), &bench.storage)
        .unwrap();
    let during = bench.destination.state().unwrap();
    assert_eq!(during.dirty, before.dirty);
    assert!(during.under_way && !before.under_way);
    let result = upload.run(&bench.storage);
    bench.destination.finished(result, bench.clock.instant());
    let after = bench.destination.state().unwrap();
    assert!(after.dirty.is_empty() && !after.under_way);
}

#[test]
fn a_view_called_back_fails_the_upload_and_loses_nothing() {
    let mut bench = Bench::new();
    bench.settle();
    bench.sync();
    bench.app.insert("t", 5);
    bench.follower.advance(&mut bench.destination).unwrap();
    let view = Arc::clone(bench.follower.view());
    let upload = bench
        .destination
        .next_upload(&view, bench.clock.now(), &bench.storage)
        .unwrap();
    assert!(bench.destination.call_back(bench.clock.instant()));
    let result = upload.run(&bench.storage);
    assert!(matches!(
        bench.destination.finished(result, bench.clock.instant()),
        Some(Finished::CalledBack)
    ));
    assert_eq!(bench.sync(), Some(3));
    bench.assert_in_sync();
}

/// A storage that takes so many files and then fails.
struct Failing<'a> {
    inner: &'a Memory,
    left: AtomicUsize,
}

impl Storage for Failing<'_> {
    forward!(inner: location, list, read, delete, delete_all);
    fn write(
        &self,
        name: FileName,
        created: Timestamp,
        content: &dyn Content,
    ) -> Result<u64, StorageError> {
        let left = self.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(StorageError::Io {
                operation: "write",
                location: name.to_string(),
                source: io::ErrorKind::ConnectionReset.into(),
            });
        }
        self.left.store(left - 1, Ordering::SeqCst);
        self.inner.write(name, created, content)
    }
}
