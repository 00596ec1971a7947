//! A server that cannot be reached for a while: what is said of it, what it costs, and that nothing is lost.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::support::application::Load;
use crate::support::place::Place;
use crate::support::process::{Process, wait_until};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Rig};
use crate::support::s3::{Kind, S3Server, Tls};

/// How long, and how often the application writes meanwhile.
const OUTAGE: Duration = Duration::from_secs(10);
const WRITES_PER_SECOND: u32 = 20;

/// A database that is written to, and a replica behind a proxy.
struct Bench {
    rig: Rig,
    proxy: Proxy,
    load: Load,
}

impl Bench {
    fn new() -> Bench {
        let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
        let proxy = Proxy::before(&server);
        let rig = Rig::with_replica(Place::on(&server).through(&proxy));
        let load = Load::start(&rig.db(), WRITES_PER_SECOND);
        Bench { rig, proxy, load }
    }

    fn start(&self) -> Process {
        self.rig.start(Program::Walbrook)
    }

    fn start_and_replicate(&self) -> Process {
        let walbrook = self.start();
        wait_until("replicating", || self.rig.newest() > 2);
        walbrook
    }

    /// Sits through an outage that has begun. Then everything that was written is there, in so many objects, and two
    /// lines tell of it. Gives the log.
    fn outlasts_it(mut self, walbrook: Process, objects: RangeInclusive<usize>) -> String {
        walbrook.wait_for("offline since");
        let before = self.load.committed();
        std::thread::sleep(OUTAGE);
        self.load.pause();
        assert!(self.load.committed() > before + 50, "little was written");
        self.proxy.reset_counts();
        self.proxy.clear();
        walbrook.wait_for("online again after");
        self.rig.wait_in_sync();
        let requests = self.proxy.requests();
        // Others find out what the server does with a name that is taken.
        let stores =
            |(target, _): &&(String, u16)| target.starts_with("PUT ") && target.ends_with(".ltx");
        let stored = requests.iter().filter(stores).count();
        assert!(objects.contains(&stored), "{requests:#?}");
        let log = walbrook.stop().well().log;
        for once in ["offline since", "online again after", "ERROR"] {
            assert_eq!(log.matches(once).count(), 1, "{log}");
        }
        self.rig.assert_in_sync();
        let restored = self.rig.restore(Program::Walbrook);
        self.load.losses(&restored).none();
        log
    }
}

#[test]
fn what_was_written_meanwhile_goes_out_as_one_object() {
    let bench = Bench::new();
    let walbrook = bench.start_and_replicate();
    bench.proxy.fault(Fault::Refuse);
    // The first attempt that succeeds may have begun before the last write.
    bench.outlasts_it(walbrook, 1..=2);
}

#[test]
fn a_first_start_without_the_server() {
    let bench = Bench::new();
    bench.proxy.fault(Fault::Refuse);
    let walbrook = bench.start();
    // A snapshot, and a file of one page that belongs to every first one.
    bench.outlasts_it(walbrook, 2..=2);
}

#[test]
fn a_start_without_the_server_goes_on_from_where_it_was() {
    let mut bench = Bench::new();
    let walbrook = bench.start_and_replicate();
    // What is written while nobody looks would be another matter.
    bench.load.pause();
    walbrook.stop().well();
    let log = bench.rig.log(Program::Walbrook);
    let first = std::fs::read_to_string(&log).unwrap();
    assert_eq!(first.matches("sending every page").count(), 1);
    std::fs::remove_file(&log).unwrap();
    bench.proxy.fault(Fault::Refuse);
    let walbrook = bench.start();
    walbrook.wait_for("offline since");
    bench.load.go();
    let second = bench.outlasts_it(walbrook, 1..=1);
    assert!(!second.contains("sending every page"), "{second}");
}
