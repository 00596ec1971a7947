//! What happens on the way to a server, and to the server.

use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::place::Place;
use crate::support::proxy::{Fault, Proxy};
use crate::support::s3::{Kind, S3Server, Tls};

/// The longest that the server is down.
const DOWN: Duration = Duration::from_millis(1500);

/// A server behind a link, both of which can be made to fail.
pub(super) struct Weather {
    server: S3Server,
    proxy: Proxy,
}

impl Weather {
    pub(super) fn new() -> Weather {
        let server = S3Server::start(Kind::SeaweedFs, Tls::Off);
        let proxy = Proxy::before(&server);
        Weather { server, proxy }
    }

    /// A new place on the server, where no fault is felt.
    pub(super) fn new_place(&self) -> Place {
        Place::on(&self.server)
    }

    /// The same place, over the link.
    pub(super) fn on_the_way_to(&self, place: &Place) -> Place {
        place.clone().through(&self.proxy)
    }

    /// Ends all faults. What was silent is cut off, since nobody would wait for it to be given up; what is late arrives.
    pub(super) fn clear(&self) {
        self.proxy.clear();
        self.proxy.drop_connections();
        let late = self.proxy.deliver_late();
        if !late.is_empty() {
            eprintln!("  late: {late:?}");
        }
    }

    /// Makes it worse, or better, or leaves it.
    pub(super) fn change(&self, chance: &mut Chance) {
        match chance.below(4) {
            0 => self.clear(),
            1 | 2 => (0..=chance.below(3)).for_each(|_| self.worsen(chance)),
            _ => {}
        }
    }

    fn worsen(&self, chance: &mut Chance) {
        let at = chance.of(&[0, 1, 100, 1000, 30_000, 100_000]);
        let status = chance.of(&[500, 502, 503, 503, 429]);
        let fault = match chance.below(14) {
            0 => return self.kill_server(chance),
            1 => return self.slow_down(chance),
            2 => Fault::Refuse,
            3 => Fault::Reset,
            4 => Fault::ResetUp(at),
            5 => Fault::ResetDown(at),
            6 => Fault::Truncate(at),
            7 => Fault::Stall,
            8 => Fault::StallUp(at),
            9 => Fault::StallDown(at),
            10 => Fault::Mute,
            11 => Fault::Late,
            12 => Fault::LateReset,
            _ => Fault::Error {
                status,
                code: "SlowDown",
                retry_after: chance.below(2) as u32,
            },
        };
        let (pattern, times) = match fault {
            // Only what is done late matters late.
            Fault::Late | Fault::LateReset => ("^PUT", chance.of(&[1, 2])),
            _ => ("", chance.of(&[0, 1, 2, 5])),
        };
        eprintln!("  {fault:?}, times: {times}");
        self.proxy.fault_on(pattern, times, fault);
    }

    fn slow_down(&self, chance: &mut Chance) {
        let (latency, rate) = chance.of(&[(300, 0), (30, 50_000), (600, 125_000)]);
        eprintln!("  {latency} ms, {rate} bytes a second");
        self.proxy.latency(latency);
        self.proxy.rate(rate);
    }

    fn kill_server(&self, chance: &mut Chance) {
        eprintln!("  server killed");
        self.server.kill();
        std::thread::sleep(chance.time(DOWN));
        self.server.start_again();
    }
}
