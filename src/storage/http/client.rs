//! The client: `ureq`, with time limits for every step that fit what is sent and how fast it went so far.
//!
//! A request that stalls is given up, a slow one that moves is not: looking up, connecting and each single read and
//! write have a fixed limit, sending a body and waiting for its answer one that grows with its size. The limit for
//! the answer counts too, since the last of a body may still wait in the kernel when all is "sent". A body that comes
//! in so slowly that it is no use has stalled as well.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, TcpConnector};
use ureq::{Agent, AsSendBody, Body, BodyReader, SendBody, Timeout};

use super::connect::TlsConnector;
use super::early::EarlyAnswers;
use super::names::Names;
use super::pace::{Pace, Paced};
use super::speed::Speed;
use super::tls::Tls;
use super::{Exchange, HttpError, Method, Request, Response, proxy};

/// For a service nearby.
const NEAR: Duration = Duration::from_secs(2);
/// However slow the link, an answer that has not come by then does not come.
const LONGEST_ANSWER: Duration = Duration::from_secs(600);
/// How much of a body may wait in the kernel's buffer after it was sent. It can be four times as much, but not on a
/// link as slow as is allowed for.
const KERNEL_BUFFER_BYTES: u64 = 1 << 20;

/// Of each connection, either way.
const BUFFER_BYTES: usize = 16 << 10;
/// Servers close what is idle for a minute or more; what is about to be closed is not used again.
const IDLE: Duration = Duration::from_secs(50);
/// Idle connections kept to one server.
const IDLE_CONNECTIONS: usize = 4;

/// Limits other than for the usual servers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Distance {
    /// Across the internet.
    Far,
    /// A service of this very machine or cloud instance, which answers at once or does not exist.
    Near,
}

/// Sends requests and receives responses. Keeps a few connections open for the next ones.
pub struct Client {
    agent: Agent,
    names: Names,
    distance: Distance,
    patience: Duration,
    speed: Mutex<Speed>,
    pace: Option<Arc<Pace>>,
}

impl Client {
    /// A client that trusts whom `tls` says, sends no faster than `pace`, and gives up when nothing has moved for
    /// `patience`.
    ///
    /// # Errors
    /// When the environment names a proxy that cannot be used.
    pub fn new(
        tls: Arc<Tls>,
        pace: Option<Arc<Pace>>,
        distance: Distance,
        patience: Duration,
    ) -> io::Result<Client> {
        let names = Names::default();
        let config = Agent::config_builder()
            .user_agent(concat!("walbrook/", env!("CARGO_PKG_VERSION")))
            .accept("")
            .accept_encoding("")
            .http_status_as_error(false)
            // A signature holds for one host alone.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(2 * IDLE_CONNECTIONS)
            .max_idle_connections_per_host(IDLE_CONNECTIONS)
            .max_idle_age(IDLE)
            .build();
        let connector =
            ().chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(TlsConnector::new(tls))
                .chain(EarlyAnswers);
        proxy::check()?;
        Ok(Client {
            agent: Agent::with_parts(config, connector, names.clone()),
            names,
            distance,
            patience,
            speed: Mutex::default(),
            pace,
        })
    }

    fn limits(&self, bytes: u64) -> Limits {
        if self.distance == Distance::Near {
            return Limits {
                resolve: NEAR,
                connect: NEAR,
                send: NEAR,
                answer: NEAR,
                stall: NEAR,
            };
        }
        let speed = self.speed();
        let paced = self
            .pace
            .as_ref()
            .map_or(Duration::ZERO, |pace| pace.time_for(bytes));
        Limits {
            resolve: self.patience / 3,
            // TLS has as long again; a link of 600 ms takes four round trips for both.
            connect: self.patience / 2,
            send: self.patience + speed.time_for(bytes) + paced,
            answer: LONGEST_ANSWER
                .min(self.patience + speed.time_for(bytes.min(KERNEL_BUFFER_BYTES))),
            stall: self.patience,
        }
    }

    fn speed(&self) -> Speed {
        *self.speed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, action: impl FnOnce(&mut Speed)) {
        action(&mut self.speed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Sends the request. `body` is what is left to be sent of its body, and tells so afterwards.
    fn run(
        &self,
        request: &Request<'_>,
        body: &mut dyn Read,
        limits: &Limits,
    ) -> Result<ureq::http::Response<Body>, ureq::Error> {
        let url = &request.url;
        let mut builder = ureq::http::Request::builder()
            .method(request.method.name())
            .uri(url);
        for (name, value) in &request.headers {
            builder = builder.header(*name, value);
        }
        match request.method {
            Method::Put | Method::Post => {
                let length = request.body.len();
                let request = builder
                    .header("content-length", length)
                    .body(SendBody::from_reader(body))?;
                self.agent.run(self.limited(request, url, limits))
            }
            Method::Get | Method::Head | Method::Delete => {
                self.agent.run(self.limited(builder.body(())?, url, limits))
            }
        }
    }

    fn limited<B: AsSendBody>(
        &self,
        request: ureq::http::Request<B>,
        url: &str,
        limits: &Limits,
    ) -> ureq::http::Request<B> {
        let proxy = match self.distance {
            Distance::Far => proxy::for_url(url),
            // It would be another machine's neighbourhood.
            Distance::Near => None,
        };
        self.agent
            .configure_request(request)
            .proxy(proxy)
            .timeout_resolve(Some(limits.resolve))
            .timeout_connect(Some(limits.connect))
            .timeout_send_request(Some(limits.stall))
            .timeout_send_body(Some(limits.send))
            .timeout_recv_response(Some(limits.answer))
            .timeout_per_write(Some(limits.stall))
            // While the answer is awaited its own limit counts, which may be longer.
            .timeout_per_read(Some(limits.stall.max(limits.answer)))
            .build()
    }
}

impl Exchange for Client {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let limits = self.limits(request.body.len() as u64);
        let mut body = Tracked { left: request.body };
        let started = Instant::now();
        let result = match &self.pace {
            Some(pace) => self.run(request, &mut Paced::new(&mut body, pace), &limits),
            None => self.run(request, &mut body, &limits),
        };
        match result {
            Ok(response) => {
                if self.pace.is_none() {
                    let bytes = request.body.len() as u64;
                    self.learn(|speed| speed.sent(bytes, started.elapsed()));
                }
                Ok(read_head(response, limits))
            }
            Err(error) => {
                if matches!(error, ureq::Error::Timeout(_)) {
                    let bytes = request.body.len() as u64;
                    self.learn(|speed| speed.was_too_slow(bytes));
                }
                let connected = !before_connection(&error);
                if !connected {
                    self.names.forget();
                }
                Err(HttpError {
                    sent: connected && body.left.is_empty(),
                    source: explained(error, &limits),
                })
            }
        }
    }
}

struct Limits {
    resolve: Duration,
    connect: Duration,
    send: Duration,
    answer: Duration,
    stall: Duration,
}

/// The body of a request, and how much of it was asked for.
struct Tracked<'a> {
    left: &'a [u8],
}

impl Read for Tracked<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.left.read(out)
    }
}

/// The body of an answer. What trickles in slower than anything is taken to be has stalled, though each read gets
/// something; only the waiting counts, not what the reader does between.
struct Incoming {
    body: BodyReader<'static>,
    limits: Limits,
    waited: Duration,
    allowed: Duration,
}

impl Read for Incoming {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let started = Instant::now();
        let count = self
            .body
            .read(out)
            .map_err(|error| match error.downcast::<ureq::Error>() {
                Ok(error) => explained(error, &self.limits),
                Err(error) => error,
            })?;
        self.waited += started.elapsed();
        self.allowed += Speed::longest_for(count as u64);
        if self.waited > self.allowed {
            return Err(explained(
                ureq::Error::Timeout(Timeout::RecvBody),
                &self.limits,
            ));
        }
        Ok(count)
    }
}

fn read_head(response: ureq::http::Response<Body>, limits: Limits) -> Response {
    let (head, body) = response.into_parts();
    let text =
        |value: &ureq::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Response {
        status: head.status.as_u16(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), text(value)))
            .collect(),
        body: Box::new(Incoming {
            body: body.into_reader(),
            waited: Duration::ZERO,
            allowed: limits.stall,
            limits,
        }),
    }
}

/// Whether the error came before there was a connection, when nothing can have been sent.
fn before_connection(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::ConnectProxyFailed(_)
        | ureq::Error::Tls(_)
        | ureq::Error::TlsRequired
        | ureq::Error::BadUri(_)
        | ureq::Error::Http(_)
        // Ours, of looking up a name and of TLS.
        | ureq::Error::Other(_)
        | ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => true,
        ureq::Error::Io(error) => {
            matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::HostUnreachable
                    | io::ErrorKind::NetworkUnreachable
                    | io::ErrorKind::NetworkDown
                    | io::ErrorKind::AddrNotAvailable
            )
        }
        _ => false,
    }
}

/// The error in words for somebody who knows nothing of HTTP clients.
fn explained(error: ureq::Error, limits: &Limits) -> io::Error {
    let timed_out = |text: String| io::Error::new(io::ErrorKind::TimedOut, text);
    match error {
        ureq::Error::Io(error) => error,
        ureq::Error::Timeout(which) => timed_out(match which {
            Timeout::Resolve => format!(
                "no answer from the name servers within {} s",
                limits.resolve.as_secs()
            ),
            Timeout::Connect => format!("no connection within {} s", limits.connect.as_secs()),
            Timeout::SendBody => format!("not sent within {} s", limits.send.as_secs()),
            Timeout::RecvBody => "what comes is too slow to be of use".to_owned(),
            Timeout::RecvResponse => format!("no answer within {} s", limits.answer.as_secs()),
            _ => format!(
                "the connection has stalled for {} s",
                limits.stall.as_secs()
            ),
        }),
        ureq::Error::HostNotFound => {
            io::Error::new(io::ErrorKind::NotFound, "the host's name is unknown")
        }
        ureq::Error::ConnectProxyFailed(reason) => io::Error::other(format!(
            "the proxy of this machine's environment failed: {reason}"
        )),
        // Ours, with its kind.
        ureq::Error::Other(source) => match source.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(source) => io::Error::other(source),
        },
        other => io::Error::other(other),
    }
}
