//! One case each of coming back after a gap with sums: what is sent then, and what would be missed without it.

use std::sync::Arc;

use super::cases::Bench;
use walbrook::database::{PageSet, SumsAt};
use walbrook::replica::{Destination, Read};
use walbrook::restore::{self, Target};
use walbrook::sqlite::{DatabaseFiles, Follower, OpenOptions};
use walbrook::sys::clock::Clock;

use crate::support::chance::Chance;
use crate::support::server::Fate;
use crate::support::states::image;

/// Two rows on pages of their own, as they are at TXID 3, with the sums of that.
fn two_pages(conditional: bool) -> (Bench, SumsAt) {
    let mut bench = Bench::new(conditional);
    for table in ["one", "two"] {
        bench.app.sql(&format!("CREATE TABLE {table}(v)"));
        bench.app.sql(&format!("INSERT INTO {table} VALUES ('a')"));
    }
    assert_eq!(bench.sync(Fate::Answered), "confirmed 3");
    let sums = bench.destination.sums_to_keep().expect("all is known");
    let sums = sums.clone();
    (bench, sums)
}

fn set(bench: &mut Bench, table: &str, value: char) {
    bench.app.sql(&format!("UPDATE {table} SET v = '{value}'"));
}

impl Bench {
    /// The process is killed, the WAL started over, the row of table `one` set; and then the process goes on with
    /// `sums`. Gives how many pages it sends.
    fn come_back(&mut self, sums: SumsAt, one: char, settles_first: bool) -> Option<u64> {
        self.follower = None;
        self.destination = Destination::new(String::new(), Err(String::new()));
        self.server.forget();
        set(self, "one", one);
        self.app.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        let options = OpenOptions {
            patience: std::time::Duration::from_secs(1),
            destinations: 1,
        };
        let files = DatabaseFiles::open(&self.rig.db(), options).unwrap();
        let (follower, _) = Follower::start(files, None, &mut PageSet::default()).unwrap();
        let destination = Destination::new("server".to_string(), Err("a gap".to_string()));
        self.destination = destination
            .with_sums(Some(sums))
            .in_doubt(self.clock.instant());
        self.follower = Some(follower);
        let view = Arc::clone(self.follower.as_ref().unwrap().view());
        // The order does not matter, but both come before anything is sent.
        if settles_first {
            self.settle();
            assert!(!self.destination.has_work() && self.destination.is_behind());
        }
        while let Read::Partly = self.destination.read_on(&view, 4096).unwrap() {}
        if !settles_first {
            assert!(!self.destination.has_work() && self.destination.is_behind());
            self.settle();
        }
        self.destination.pages_to_send()
    }

    fn assert_restores(&self) {
        let output = self.rig.path("restored.db");
        let _ = std::fs::remove_file(&output);
        let options = restore::Options::default();
        restore::restore(&self.server, Target::Latest, &output, &options, &mut |_| ()).unwrap();
        let source = image(self.follower.as_ref().unwrap().view());
        assert!(std::fs::read(output).unwrap() == source);
    }
}

#[test]
fn only_what_differs_goes_out() {
    let (mut bench, sums) = two_pages(true);
    assert_eq!(bench.come_back(sums, 'b', true), Some(1));
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    bench.assert_restores();

    let (mut bench, sums) = two_pages(true);
    assert_eq!(bench.come_back(sums, 'a', true), Some(0), "nothing");
    assert!(!bench.destination.is_behind());
}

#[test]
fn a_page_that_changed_and_changed_back_is_sent_if_the_change_was() {
    // The sum of the first page is forgotten whenever the replica has more.
    for (settles_first, pages) in [(true, 2), (false, 1)] {
        let (mut bench, sums) = two_pages(true);
        set(&mut bench, "one", 'b');
        assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
        assert_eq!(bench.come_back(sums, 'a', settles_first), Some(pages));
        assert_eq!(bench.sync(Fate::Answered), "confirmed 5");
        bench.assert_restores();
    }
}

#[test]
fn what_was_sent_and_not_confirmed_is_not_in_the_sums() {
    let (mut bench, sums) = two_pages(true);
    set(&mut bench, "one", 'b');
    let upload = bench.next();
    assert_eq!(bench.send(upload, Fate::NotSent), "failed");
    assert_eq!(bench.destination.sums_to_keep(), Some(&sums));
    assert_eq!(bench.come_back(sums, 'b', true), Some(1));
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    bench.assert_restores();
}

#[test]
fn everything_is_sent_where_an_upload_of_unknown_pages_could_replace_what_is() {
    for conditional in [true, false] {
        let (mut bench, sums) = two_pages(conditional);
        set(&mut bench, "one", 'b');
        assert_eq!(bench.sync(Fate::Delayed), "failed");
        assert_eq!(bench.come_back(sums, 'a', true), Some(0));
        set(&mut bench, "two", 'c');
        let upload = bench.next();
        assert_eq!(bench.destination.sends_everything(), !conditional);
        assert_eq!(bench.send(upload, Fate::Answered), "confirmed 4");
        bench.server.deliver(&mut Chance::of_environment("late"));
        set(&mut bench, "two", 'd');
        assert_eq!(bench.sync(Fate::Answered), "confirmed 5");
        bench.assert_restores();
    }
}

#[test]
fn what_is_in_doubt_is_not_known_any_more() {
    let (mut bench, _) = two_pages(false);
    set(&mut bench, "one", 'b');
    assert_eq!(bench.sync(Fate::Delayed), "failed");
    assert!(bench.destination.call_back(bench.clock.instant()));
    assert_eq!(bench.sync(Fate::Answered), "confirmed 4");
    // The older content of TXID 4 may yet replace the newer one.
    assert_eq!(bench.destination.sums_to_keep(), None);
    assert_eq!(bench.sync(Fate::Answered), "confirmed 5");
    assert!(bench.destination.sums_to_keep().is_some());
}
