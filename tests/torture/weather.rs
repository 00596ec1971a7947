//! What happens on the way to a server, and to the server.

use std::time::Duration;

use crate::support::chance::Chance;
use crate::support::place::Place;
use crate::support::proxy::{Fault, Proxy};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::sftp::{self as ssh, SftpServer};

/// The longest that the server is down.
const DOWN: Duration = Duration::from_millis(1500);

/// A server behind a link, both of which can be made to fail.
pub(super) struct Weather {
    server: Server,
    proxy: Proxy,
}

enum Server {
    S3(S3Server),
    Sftp(SftpServer),
}

impl Weather {
    pub(super) fn over_s3() -> Weather {
        let server = S3Server::start(Kind::SeaweedFs, Tls::Off);
        let proxy = Proxy::before(&server);
        let server = Server::S3(server);
        Weather { server, proxy }
    }

    pub(super) fn over_sftp() -> Weather {
        let server = SftpServer::start(ssh::Kind::OpenSsh);
        let proxy = Proxy::before_ssh(&server);
        let server = Server::Sftp(server);
        Weather { server, proxy }
    }

    /// A new place on the server, where no fault is felt.
    pub(super) fn new_place(&self) -> Place {
        match &self.server {
            Server::S3(server) => Place::on(server),
            Server::Sftp(server) => Place::on_sftp(server),
        }
    }

    /// The same place, over the link.
    pub(super) fn on_the_way_to(&self, place: &Place) -> Place {
        place.clone().through(&self.proxy)
    }

    /// Ends all faults. What was silent is cut off, since nobody would wait for it to be given up; what is late arrives.
    pub(super) fn clear(&self) {
        self.proxy.clear();
        self.proxy.drop_connections();
        let Server::S3(_) = self.server else {
            return;
        };
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
        if let Server::Sftp(server) = &self.server {
            return self.worsen_ssh(server, at, chance);
        }
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

    /// Of what is encrypted a proxy knows only that it moves.
    fn worsen_ssh(&self, server: &SftpServer, at: u64, chance: &mut Chance) {
        let fault = match chance.below(12) {
            0 | 1 => return self.kill_server(chance),
            2 => return self.slow_down(chance),
            3 => {
                eprintln!("  sessions killed");
                return server.drop_sessions();
            }
            4 => Fault::Refuse,
            5 => Fault::ResetUp(at),
            6 => Fault::ResetDown(at),
            7 => Fault::StallUp(at),
            8 => Fault::StallDown(at),
            9 => Fault::FlipUp(at),
            10 => Fault::FlipDown(at),
            _ => Fault::Mute,
        };
        eprintln!("  {fault:?}");
        self.proxy.fault_times(chance.of(&[1, 2, 5]), fault);
    }

    fn slow_down(&self, chance: &mut Chance) {
        let (latency, rate) = chance.of(&[(300, 0), (30, 50_000), (600, 125_000)]);
        eprintln!("  {latency} ms, {rate} bytes a second");
        self.proxy.latency(latency);
        self.proxy.rate(rate);
    }

    fn kill_server(&self, chance: &mut Chance) {
        eprintln!("  server killed");
        match &self.server {
            Server::S3(server) => server.kill(),
            Server::Sftp(server) => server.kill(),
        }
        std::thread::sleep(chance.time(DOWN));
        match &self.server {
            Server::S3(server) => server.start_again(),
            Server::Sftp(server) => server.start_again(),
        }
    }
}
