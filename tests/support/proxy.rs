//! What networks and storages do to a backup: a proxy before an S3 or SSH server that counts requests and bytes, and strikes
//! them with faults, see `tests/servers/proxy.py`.

use std::collections::HashMap;

use tinyjson::JsonValue;

use super::helper::{Helper, field, number, string, text};
use super::s3::{S3Server, Tls};
use super::sftp::SftpServer;

/// The proxy. Ends when it is dropped.
pub(crate) struct Proxy {
    helper: Helper,
    scheme: &'static str,
    port: u16,
    ipv6: bool,
}

/// What goes wrong. Places in a body count its bytes; before a server with TLS, those that the client's connection
/// has carried since the fault struck it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault<'a> {
    /// Nobody listens, and what is open is reset.
    Refuse,
    /// The connection is reset when a request has begun.
    Reset,
    /// The connection is reset so far into the request's body.
    ResetUp(u64),
    /// The connection is reset so far into the answer's body.
    ResetDown(u64),
    /// When a request has begun nothing moves any more.
    Stall,
    /// Nothing moves any more so far into the request's body.
    StallUp(u64),
    /// Nothing moves any more so far into the answer's body.
    StallDown(u64),
    /// The request reaches the server, its answer does not come back.
    Mute,
    /// The connection ends, in order, so far into the answer's body.
    Truncate(u64),
    /// A bit of this byte of the request's body is another.
    FlipUp(u64),
    /// A bit of this byte of the answer's body is another.
    FlipDown(u64),
    /// An S3 error. Seconds of 0 stand for no `Retry-After`, an empty code for no body.
    Error {
        status: u16,
        code: &'a str,
        retry_after: u32,
    },
    /// An answer that no S3 server gives, like that of a hotel's network.
    Page { status: u16, body: &'a str },
    /// The request is taken whole and reaches the server only at [`Proxy::deliver_late`]; nothing is answered.
    Late,
    /// The same, with the connection reset.
    LateReset,
    /// The request is taken whole and reaches the server after so many milliseconds; nothing is answered.
    LateBy(u64),
}

/// What has passed, since the start or [`Proxy::reset_counts`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) put: u64,
    /// Parts of multipart uploads.
    pub(crate) part: u64,
    pub(crate) get: u64,
    pub(crate) head: u64,
    pub(crate) list: u64,
    pub(crate) delete: u64,
    pub(crate) delete_batch: u64,
    /// Multipart uploads begun, completed, aborted and listed.
    pub(crate) multipart: u64,
    pub(crate) other: u64,
    pub(crate) connections: u64,
    /// Connections there are now.
    pub(crate) open: u64,
    /// Requests that met with a fault; connections before a server with TLS.
    pub(crate) faulted: u64,
    /// Late requests that wait for their delivery.
    pub(crate) held: u64,
    /// Bytes on the wire, headers too.
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
}

impl Counts {
    /// All requests. Those behind TLS are not seen.
    pub(crate) fn requests(&self) -> u64 {
        let Counts {
            put,
            part,
            get,
            head,
            list,
            delete,
            delete_batch,
            multipart,
            other,
            ..
        } = self;
        put + part + get + head + list + delete + delete_batch + multipart + other
    }
}

impl Proxy {
    /// A new one that passes everything on to `server`.
    #[track_caller]
    pub(crate) fn before(server: &S3Server) -> Proxy {
        Proxy::launch(server, server.tls(), false)
    }

    /// The same, on the loopback address of IPv6.
    #[track_caller]
    pub(crate) fn before_on_ipv6(server: &S3Server) -> Proxy {
        Proxy::launch(server, server.tls(), true)
    }

    /// A proxy as a client's environment names it: asked to connect it to `server`, with TLS or without, it does.
    #[track_caller]
    pub(crate) fn in_environment_of(server: &S3Server) -> Proxy {
        Proxy::launch(server, Tls::Off, false)
    }

    /// A new one that passes bytes on to an SSH server, of which it understands nothing.
    #[track_caller]
    pub(crate) fn before_ssh(server: &SftpServer) -> Proxy {
        Proxy::start(server.port(), true, "ssh", false)
    }

    #[track_caller]
    fn launch(server: &S3Server, tls: Tls, ipv6: bool) -> Proxy {
        match tls {
            Tls::Off => Proxy::start(server.port(), false, "http", ipv6),
            Tls::On => Proxy::start(server.port(), true, "https", ipv6),
        }
    }

    #[track_caller]
    fn start(upstream: u16, raw: bool, scheme: &'static str, ipv6: bool) -> Proxy {
        let upstream = upstream.to_string();
        let mut arguments = vec![upstream.as_str()];
        if raw {
            arguments.push("--raw");
        }
        if ipv6 {
            arguments.push("--ipv6");
        }
        let (helper, first) = Helper::start("proxy.py", &arguments);
        Proxy {
            helper,
            scheme,
            port: number(field(&first, "port").unwrap()) as u16,
            ipv6,
        }
    }

    /// Its URL, for requests in path style.
    pub(crate) fn endpoint(&self) -> String {
        let host = if self.ipv6 { "[::1]" } else { "127.0.0.1" };
        format!("{}://{host}:{}", self.scheme, self.port)
    }

    /// Its URL for requests in virtual-host style.
    pub(crate) fn vhost_endpoint(&self) -> String {
        format!("{}://s3.localhost:{}", self.scheme, self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// From now on every request meets with this fault, unless one that was there before strikes it.
    #[track_caller]
    pub(crate) fn fault(&self, fault: Fault<'_>) {
        self.fault_on("", 0, fault);
    }

    /// The next `times` requests meet with this fault.
    #[track_caller]
    pub(crate) fn fault_times(&self, times: u32, fault: Fault<'_>) {
        self.fault_on("", times, fault);
    }

    /// Requests whose `METHOD /path?query` matches the regular expression meet with this fault, the next `times` or,
    /// with 0, all of them. Not before a server with TLS.
    #[track_caller]
    pub(crate) fn fault_on(&self, pattern: &str, times: u32, fault: Fault<'_>) {
        let mut settings = fault.settings();
        settings.push(("match", text(pattern)));
        settings.push(("times", JsonValue::from(f64::from(times))));
        self.ask("fault", &settings);
    }

    /// No more faults, and a perfect link. What is silent stays so, see [`Proxy::drop_connections`].
    #[track_caller]
    pub(crate) fn clear(&self) {
        self.ask("clear", &[]);
    }

    /// A link that takes so long in each direction.
    #[track_caller]
    pub(crate) fn latency(&self, millis: u32) {
        self.ask(
            "link",
            &[("latency_ms", JsonValue::from(f64::from(millis)))],
        );
    }

    /// A link that carries so many bytes a second in each direction.
    #[track_caller]
    pub(crate) fn rate(&self, bytes: u32) {
        self.ask("link", &[("rate", JsonValue::from(f64::from(bytes)))]);
    }

    /// Answers come with a `Date` so many seconds off.
    #[track_caller]
    pub(crate) fn date_offset(&self, seconds: i64) {
        self.ask("link", &[("date_offset", JsonValue::from(seconds as f64))]);
    }

    /// Resets every open connection.
    #[track_caller]
    pub(crate) fn drop_connections(&self) {
        self.ask("drop", &[]);
    }

    /// Passes on what is late, in order, and gives the requests and what the server answered.
    #[track_caller]
    pub(crate) fn deliver_late(&self) -> Vec<(String, u16)> {
        requests(&self.ask("deliver", &[]), "delivered")
    }

    /// What has passed so far.
    #[track_caller]
    pub(crate) fn counts(&self) -> Counts {
        counts(&self.ask("counts", &[]))
    }

    /// The requests so far as `METHOD /path?query` and status, 0 where no answer was passed on.
    #[track_caller]
    pub(crate) fn requests(&self) -> Vec<(String, u16)> {
        requests(&self.ask("requests", &[]), "requests")
    }

    /// Counts from zero again.
    #[track_caller]
    pub(crate) fn reset_counts(&self) {
        self.ask("reset", &[]);
    }

    #[track_caller]
    fn ask(&self, command: &str, parameters: &[(&str, JsonValue)]) -> JsonValue {
        let answer = self.helper.ask(command, parameters);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

impl Fault<'_> {
    /// As the proxy wants to be told.
    fn settings(self) -> Vec<(&'static str, JsonValue)> {
        let kind = |name| ("kind", text(name));
        let count = |name, value: u64| (name, JsonValue::from(value as f64));
        let at = |name, after| vec![kind(name), count("after", after)];
        match self {
            Fault::Refuse => vec![kind("refuse")],
            Fault::Reset => vec![kind("reset")],
            Fault::ResetUp(after) => at("reset-up", after),
            Fault::ResetDown(after) => at("reset-down", after),
            Fault::Stall => vec![kind("stall")],
            Fault::StallUp(after) => at("stall-up", after),
            Fault::StallDown(after) => at("stall-down", after),
            Fault::Mute => vec![kind("mute")],
            Fault::Truncate(after) => at("truncate", after),
            Fault::FlipUp(after) => at("flip-up", after),
            Fault::FlipDown(after) => at("flip-down", after),
            Fault::Error {
                status,
                code,
                retry_after,
            } => vec![
                kind("answer"),
                count("status", status.into()),
                ("code", text(code)),
                count("retry_after", retry_after.into()),
            ],
            Fault::Page { status, body } => vec![
                kind("answer"),
                count("status", status.into()),
                ("body", text(body)),
            ],
            Fault::Late => vec![kind("late")],
            Fault::LateReset => vec![kind("late"), ("close", JsonValue::from(true))],
            Fault::LateBy(millis) => vec![
                kind("late"),
                ("seconds", JsonValue::from(millis as f64 / 1000.0)),
            ],
        }
    }
}

fn counts(answer: &JsonValue) -> Counts {
    let counts: &HashMap<String, JsonValue> = field(answer, "counts").unwrap().get().unwrap();
    let count = |name: &str| number(&counts[name]);
    Counts {
        put: count("put"),
        part: count("part"),
        get: count("get"),
        head: count("head"),
        list: count("list"),
        delete: count("delete"),
        delete_batch: count("delete_batch"),
        multipart: count("multipart"),
        other: count("other"),
        connections: count("connections"),
        open: count("open"),
        faulted: count("faulted"),
        held: count("held"),
        bytes_up: count("bytes_up"),
        bytes_down: count("bytes_down"),
    }
}

fn requests(answer: &JsonValue, name: &str) -> Vec<(String, u16)> {
    let requests: &Vec<JsonValue> = field(answer, name).unwrap().get().unwrap();
    let pair = |request: &JsonValue| (string(&request[0]), number(&request[1]) as u16);
    requests.iter().map(pair).collect()
}
