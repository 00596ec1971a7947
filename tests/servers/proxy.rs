//! Every fault of the proxy does what it says, to requests as they go over the wire.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::support::process::{output_of, wait_until};
use crate::support::proxy::{Fault, Proxy};
use crate::support::s3::{Kind, S3Server, Tls};

/// Longer than anything here takes that answers at all.
const SILENCE: Duration = Duration::from_millis(1500);
/// What one test stores.
static BODY: [u8; 50_000] = [b'x'; 50_000];

/// A server, a proxy before it, and requests of curl's, which signs them and tells how they ended.
struct Bench {
    server: S3Server,
    proxy: Proxy,
    path: String,
}

/// How a request of curl's ended: its exit code, the status (0 without an answer), and the body.
#[derive(Debug)]
struct Outcome {
    code: i32,
    status: u16,
    body: Vec<u8>,
    took: Duration,
}

/// curl's exit codes.
const OK: i32 = 0;
const REFUSED: i32 = 7;
const PARTIAL: i32 = 18;
const TIMED_OUT: i32 = 28;
const SEND_FAILED: i32 = 55;
const RECEIVE_FAILED: i32 = 56;

impl Bench {
    fn new() -> Bench {
        Bench::on(S3Server::shared(Kind::Rclone, Tls::Off))
    }

    fn on(server: S3Server) -> Bench {
        Bench {
            proxy: Proxy::before(&server),
            path: server.fresh_path(),
            server,
        }
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// What is on the server under this name, if anything.
    fn stored(&self, name: &str) -> Option<Vec<u8>> {
        let key = self.key(name);
        let there = self.server.objects(&key).iter().any(|(k, _)| *k == key);
        there.then(|| self.server.get(&key))
    }

    fn put(&self, name: &str, body: &[u8]) -> Outcome {
        self.request(name, Some(body), &self.proxy.endpoint())
    }

    fn get(&self, name: &str) -> Outcome {
        self.request(name, None, &self.proxy.endpoint())
    }

    fn request(&self, name: &str, body: Option<&[u8]>, endpoint: &str) -> Outcome {
        let scratch = crate::support::scratch::Scratch::new();
        let (sent, received) = (scratch.path().join("sent"), scratch.path().join("received"));
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "-w", "%{http_code}"]);
        command.args(["-m", &SILENCE.as_secs_f64().to_string()]);
        command.args(["--aws-sigv4", "aws:amz:us-east-1:s3", "--user"]);
        command.arg(format!(
            "{}:{}",
            self.server.access_key_id(),
            self.server.secret_access_key()
        ));
        command.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        if let Some(body) = body {
            std::fs::write(&sent, body).unwrap();
            command.arg("-T").arg(&sent);
        }
        if let Some(ca) = self.server.ca_file() {
            command.arg("--cacert").arg(ca);
        }
        command.arg("-o").arg(&received);
        let bucket = self.server.bucket();
        command.arg(format!("{endpoint}/{bucket}/{}", self.key(name)));
        let start = Instant::now();
        let output = command.output().unwrap();
        Outcome {
            code: output.status.code().unwrap(),
            status: String::from_utf8(output.stdout).unwrap().parse().unwrap(),
            body: std::fs::read(&received).unwrap_or_default(),
            took: start.elapsed(),
        }
    }
}

#[test]
fn without_faults_everything_passes_and_is_counted() {
    let bench = Bench::new();
    assert_eq!(bench.put("a", &BODY).status, 200);
    assert_eq!(bench.get("a").body, BODY);
    assert_eq!(bench.get("none").status, 404);
    let counts = bench.proxy.counts();
    assert_eq!((counts.put, counts.get, counts.requests()), (1, 2, 3));
    assert_eq!((counts.connections, counts.faulted), (3, 0));
    let body = BODY.len() as u64;
    assert!((body..body + 3000).contains(&counts.bytes_up), "{counts:?}");
    assert!(
        (body..body + 6000).contains(&counts.bytes_down),
        "{counts:?}"
    );
    let target = |method, name| format!("{method} /walbrook/{}", bench.key(name));
    let expected = [
        (target("PUT", "a"), 200),
        (target("GET", "a"), 200),
        (target("GET", "none"), 404),
    ];
    assert_eq!(bench.proxy.requests(), expected);
    wait_until("closed", || bench.proxy.counts().open == 0);
    bench.proxy.reset_counts();
    assert_eq!(bench.proxy.counts(), Default::default());
    assert_eq!(bench.proxy.requests(), []);
}

#[test]
fn requests_are_counted_by_what_they_ask() {
    let bench = Bench::new();
    for line in [
        "PUT /b/k?x-id=PutObject",
        "PUT /b/k?partNumber=1&uploadId=u",
        "GET /b/k",
        "HEAD /b/k",
        "GET /b?list-type=2&prefix=p",
        "GET /b/?prefix=p",
        "GET /b?marker=m",
        "DELETE /b/k",
        "POST /b?delete=",
        "POST /b?delete",
        "POST /b/k?uploads",
        "POST /b/k?uploadId=u",
        "DELETE /b/k?uploadId=u",
        "GET /b?uploads&prefix=p",
        "GET /b?location",
        "OPTIONS /b",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", bench.proxy.port())).unwrap();
        let head =
            format!("{line} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
    }
    let counts = bench.proxy.counts();
    assert_eq!(
        (counts.put, counts.part, counts.get, counts.head),
        (1, 1, 1, 1)
    );
    assert_eq!((counts.list, counts.delete, counts.delete_batch), (3, 1, 2));
    assert_eq!((counts.multipart, counts.other), (4, 2));
    assert_eq!(counts.requests(), 16);
}

#[test]
fn nobody_listens() {
    let bench = Bench::new();
    let mut open = TcpStream::connect(("127.0.0.1", bench.proxy.port())).unwrap();
    wait_until("open", || bench.proxy.counts().open == 1);
    bench.proxy.fault(Fault::Refuse);
    let error = open.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(bench.get("a").code, REFUSED);
    bench.proxy.clear();
    assert_eq!(bench.get("a").status, 404);
}

#[test]
fn connections_are_reset() {
    let bench = Bench::new();
    bench.put("old", &BODY);
    bench.proxy.fault(Fault::Reset);
    assert_eq!(bench.get("old").code, RECEIVE_FAILED);
    bench.proxy.clear();
    bench.proxy.fault(Fault::ResetDown(1234));
    let cut = bench.get("old");
    assert_eq!(
        (cut.code, cut.status, cut.body.len()),
        (RECEIVE_FAILED, 200, 1234)
    );
    bench.proxy.clear();
    bench.proxy.fault(Fault::ResetUp(20_000));
    let cut = bench.put("new", &BODY);
    assert!([SEND_FAILED, RECEIVE_FAILED].contains(&cut.code), "{cut:?}");
    assert_ne!(bench.stored("new").as_deref(), Some(&BODY[..]));
    assert_eq!(bench.proxy.counts().faulted, 3);
}

#[test]
fn everything_is_silent() {
    let bench = Bench::new();
    bench.put("old", &BODY);
    for (fault, length) in [
        (Fault::Stall, 0),
        (Fault::StallDown(1234), 1234),
        (Fault::Mute, 0),
    ] {
        bench.proxy.fault(fault);
        let outcome = bench.get("old");
        assert_eq!(
            (outcome.code, outcome.body.len()),
            (TIMED_OUT, length),
            "{fault:?}"
        );
        bench.proxy.clear();
    }
    bench.proxy.fault(Fault::StallUp(20_000));
    assert_eq!(bench.put("half", &BODY).code, TIMED_OUT);
    bench.proxy.clear();
    // Muted, the request itself is done.
    bench.proxy.fault(Fault::Mute);
    assert_eq!(bench.put("done", &BODY).code, TIMED_OUT);
    assert_eq!(bench.stored("done").as_deref(), Some(&BODY[..]));
    wait_until("left", || bench.proxy.counts().open == 0);
}

#[test]
fn what_is_silent_stays_so_until_it_is_dropped() {
    let bench = Bench::new();
    bench.proxy.fault(Fault::Stall);
    let mut stream = TcpStream::connect(("127.0.0.1", bench.proxy.port())).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    wait_until("struck", || bench.proxy.counts().faulted == 1);
    bench.proxy.clear();
    assert_eq!(bench.get("none").status, 404);
    let short = Duration::from_millis(100);
    stream.set_read_timeout(Some(short)).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    bench.proxy.drop_connections();
    stream.set_read_timeout(None).unwrap();
    let error = stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn answers_are_truncated_and_bytes_flipped() {
    let bench = Bench::new();
    bench.put("a", &BODY);
    bench.proxy.fault_times(1, Fault::Truncate(40_000));
    let cut = bench.get("a");
    assert_eq!((cut.code, cut.body.len()), (PARTIAL, 40_000));
    // Once was said, and once it was.
    assert_eq!(bench.get("a").body, BODY);
    bench.proxy.fault_times(1, Fault::FlipDown(30_001));
    let flipped = bench.get("a").body;
    let differing: Vec<_> = (0..BODY.len()).filter(|&i| flipped[i] != BODY[i]).collect();
    assert_eq!(differing, [30_001]);
    bench.proxy.fault_times(1, Fault::FlipUp(17));
    assert_eq!(bench.put("b", &BODY).code, OK);
    assert_eq!(bench.stored("b").unwrap()[16..19], [b'x', b'x' ^ 1, b'x']);
}

#[test]
fn errors_are_answered() {
    let bench = Bench::new();
    let slow_down = Fault::Error {
        status: 503,
        code: "SlowDown",
        retry_after: 7,
    };
    bench.proxy.fault_on("^PUT .*/chosen$", 2, slow_down);
    assert_eq!(bench.put("other", b"1").status, 200);
    for _ in 0..2 {
        let refused = bench.put("chosen", b"2");
        assert_eq!(refused.status, 503);
        assert!(String::from_utf8_lossy(&refused.body).contains("<Code>SlowDown</Code>"));
        assert_eq!(bench.stored("chosen"), None);
    }
    assert_eq!(bench.put("chosen", b"2").status, 200);
    bench.proxy.fault(Fault::Page {
        status: 200,
        body: "<html>Welcome to our hotel",
    });
    assert_eq!(bench.get("chosen").body, b"<html>Welcome to our hotel");
    bench.proxy.clear();
    bench.proxy.fault(slow_down);
    assert!(head_of_answer(&bench).contains("\r\nRetry-After: 7\r\n"));
}

#[test]
fn the_date_of_answers_is_another() {
    let bench = Bench::new();
    // Some days before the Unix time 1,000,000,000 of 2001.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    bench.proxy.date_offset(999_900_000 - now.as_secs() as i64);
    assert!(head_of_answer(&bench).contains("\r\nDate: Fri, 07 Sep 2001 "));
    bench.proxy.fault(Fault::Error {
        status: 500,
        code: "",
        retry_after: 0,
    });
    let head = head_of_answer(&bench);
    assert!(head.contains("\r\nDate: Fri, 07 Sep 2001 "), "{head}");
    assert!(head.contains("\r\nContent-Length: 0\r\n"), "{head}");
}

#[test]
fn late_requests_arrive_when_told() {
    let bench = Bench::new();
    bench.server.put(&bench.key("a"), b"old");
    bench.proxy.fault_times(1, Fault::Late);
    assert_eq!(bench.put("a", &BODY).code, TIMED_OUT);
    bench.proxy.fault_times(1, Fault::LateReset);
    assert_eq!(bench.put("b", b"b").code, RECEIVE_FAILED);
    assert_eq!(bench.proxy.counts().held, 2);
    assert_eq!(bench.stored("a").as_deref(), Some(&b"old"[..]));
    assert_eq!(bench.stored("b"), None);
    bench.put("a", b"newer");
    let delivered: Vec<u16> = bench
        .proxy
        .deliver_late()
        .into_iter()
        .map(|d| d.1)
        .collect();
    assert_eq!(delivered, [200, 200]);
    assert_eq!(bench.stored("a").as_deref(), Some(&BODY[..]));
    assert_eq!(bench.stored("b").as_deref(), Some(&b"b"[..]));
    assert_eq!(bench.proxy.deliver_late(), []);
    bench.proxy.fault_times(1, Fault::LateBy(200));
    assert_eq!(bench.put("c", b"c").code, TIMED_OUT);
    wait_until("delivered", || bench.stored("c").is_some());
    assert_eq!(bench.proxy.counts().held, 0);
}

/// Above a megabyte curl sends `Expect: 100-continue`, as the SDKs do.
#[test]
fn large_bodies_are_asked_for() {
    for kind in [Kind::Rclone, Kind::SeaweedFs] {
        let bench = Bench::on(S3Server::shared(kind, Tls::Off));
        let body: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
        assert_eq!(bench.put("a", &body).status, 200);
        assert_eq!(bench.get("a").body, body);
        let error = Fault::Error {
            status: 500,
            code: "InternalError",
            retry_after: 0,
        };
        bench.proxy.fault_times(1, error);
        assert_eq!(bench.put("b", &body).status, 500);
        bench.proxy.fault_times(1, Fault::LateReset);
        assert_ne!(bench.put("b", &body).code, OK);
        assert_eq!(bench.proxy.deliver_late()[0].1, 200);
        assert_eq!(bench.stored("b"), Some(body));
    }
}

#[test]
fn links_are_slow_and_far() {
    let bench = Bench::new();
    bench.proxy.latency(100);
    // A round trip for the connection, and one for the request.
    let took = bench.get("none").took;
    assert!(took >= Duration::from_millis(400), "{took:?}");
    bench.proxy.clear();
    bench.proxy.rate(100_000);
    let sent = bench.put("a", &BODY);
    assert!(sent.took >= Duration::from_millis(480), "{sent:?}");
    let received = bench.get("a");
    assert!(received.took >= Duration::from_millis(480) && received.body == BODY);
}

#[test]
fn behind_tls_faults_strike_connections() {
    let bench = Bench::on(S3Server::shared(Kind::Rclone, Tls::On));
    assert_eq!(bench.put("a", &BODY).status, 200);
    assert_eq!(bench.get("a").body, BODY);
    let counts = bench.proxy.counts();
    assert_eq!((counts.connections, counts.requests()), (2, 0));
    assert!(counts.bytes_up > 50_000 && counts.bytes_down > 50_000);
    for fault in [Fault::Reset, Fault::ResetDown(1), Fault::ResetUp(20_000)] {
        bench.proxy.fault_times(1, fault);
        let outcome = bench.put("b", &BODY);
        let reset = [35, SEND_FAILED, RECEIVE_FAILED].contains(&outcome.code);
        assert!(reset, "{fault:?}: {outcome:?}");
    }
    for fault in [
        Fault::Stall,
        Fault::Mute,
        Fault::StallUp(20_000),
        Fault::StallDown(10_000),
    ] {
        bench.proxy.fault_times(1, fault);
        assert_eq!(bench.get_or_put(fault).code, TIMED_OUT, "{fault:?}");
    }
    bench.proxy.latency(50);
    assert!(bench.get("a").took >= Duration::from_millis(300));
    bench.proxy.clear();
    bench.proxy.fault(Fault::Refuse);
    assert_eq!(bench.get("a").code, REFUSED);
}

impl Bench {
    /// A request that is large in the direction of the fault.
    fn get_or_put(&self, fault: Fault<'_>) -> Outcome {
        match fault {
            Fault::StallDown(_) => self.get("a"),
            _ => self.put("b", &BODY),
        }
    }
}

#[test]
fn a_server_that_dies_takes_its_connections_along() {
    let bench = Bench::on(S3Server::start(Kind::Rclone, Tls::Off));
    assert_eq!(bench.put("a", b"a").status, 200);
    let mut idle = TcpStream::connect(("127.0.0.1", bench.proxy.port())).unwrap();
    idle.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        .unwrap();
    idle.set_read_timeout(Some(SILENCE * 10)).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"</Error>") {
        let mut byte = [0];
        idle.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    bench.server.kill();
    // The kernel of a machine that still runs says good-bye.
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(bench.get("a").code, RECEIVE_FAILED);
    bench.server.start_again();
    assert_eq!(bench.get("a").body, b"a");
    bench.server.freeze();
    assert_eq!(bench.get("a").code, TIMED_OUT);
    bench.server.thaw();
    assert_eq!(bench.get("a").body, b"a");
}

#[test]
fn a_proxy_of_the_environment_carries_both() {
    for tls in [Tls::Off, Tls::On] {
        let bench = Bench::on(S3Server::shared(Kind::Rclone, tls));
        let proxy = Proxy::in_environment_of(&bench.server);
        let mut command = std::process::Command::new("curl");
        command.args(["-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}"]);
        command.args(["-x", &proxy.endpoint()]);
        if let Some(ca) = bench.server.ca_file() {
            command.arg("--cacert").arg(ca);
        }
        // Unsigned, which is answered with an error, but answered.
        let status = output_of(command.arg(bench.server.endpoint())).unwrap();
        assert!(["400", "403"].contains(&status.as_str()), "{status}");
        assert!(proxy.counts().requests() == 1 && bench.proxy.counts().connections == 0);
    }
}

#[test]
fn ipv6_is_served() {
    let server = S3Server::shared(Kind::Rclone, Tls::On);
    let bench = Bench::on(server);
    bench.server.put(&bench.key("a"), b"content");
    let proxy = Proxy::before_on_ipv6(&bench.server);
    assert!(proxy.endpoint().starts_with("https://[::1]:"));
    assert_eq!(bench.request("a", None, &proxy.endpoint()).body, b"content");
}

#[test]
fn no_proxy_outlives_us() {
    let bench = Bench::new();
    let port = bench.proxy.port();
    drop(bench);
    let error = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
}

/// The first lines of the answer to a request without a signature.
fn head_of_answer(bench: &Bench) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", bench.proxy.port())).unwrap();
    let request = b"GET /walbrook/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    answer
        .split_inclusive("\r\n\r\n")
        .next()
        .unwrap()
        .to_string()
}
