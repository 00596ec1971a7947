//! The client against servers that misbehave on purpose, on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::sys::clock::SystemClock;

/// Serves each connection with `serve`, and counts them. Gives the URL.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let (count, serve) = (Arc::clone(&connections), Arc::new(serve));
    thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            let serve = Arc::clone(&serve);
            thread::spawn(move || serve(stream.unwrap()));
        }
    });
    (url, connections)
}

/// Reads one request and gives its head; none at the end of the connection.
fn receive(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    for line in head.lines() {
        if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    Some(head)
}

fn answer(mut stream: &TcpStream, status: &str, headers: &str, body: &str) {
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
}

fn client_at(pace: Option<u64>, distance: Distance) -> Client {
    let tls = Tls::new(Trust::Usual, None, Arc::new(SystemClock));
    Client::new(
        Arc::new(tls),
        pace.map(|rate| Arc::new(Pace::new(std::num::NonZeroU64::new(rate).unwrap()))),
        distance,
        Duration::from_secs(60),
    )
    .unwrap()
}

fn client() -> Client {
    client_at(None, Distance::Far)
}

fn put<'a>(url: &str, body: &'a [u8]) -> Request<'a> {
    Request {
        body,
        ..Request::new(Method::Put, url.to_owned())
    }
}

#[test]
fn connections_are_used_again() {
    let (url, connections) = server(|stream| {
        while let Some(head) = receive(&stream) {
            let method = head.split(' ').next().unwrap().to_owned();
            answer(
                &stream,
                "200 OK",
                "ETag: \"e\"\r\n",
                if method == "HEAD" { "" } else { &method },
            );
        }
    });
    let client = client();
    for method in [Method::Get, Method::Put, Method::Post, Method::Delete] {
        let request = Request {
            body: if method == Method::Put { b"body" } else { b"" },
            ..Request::new(method, url.clone())
        };
        let response = client.exchange(&request).unwrap();
        assert_eq!(response.header("etag"), Some("\"e\""));
        assert_eq!(response.into_bytes(100).unwrap(), method.name().as_bytes());
    }
    client.exchange(&Request::new(Method::Head, url)).unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[test]
fn nothing_more_is_sent_than_asked_for() {
    let (url, _) = server(|stream| {
        let head = receive(&stream).unwrap();
        answer(&stream, "200 OK", "", &head);
    });
    let request = Request {
        headers: vec![("x-a", "b".to_owned())],
        ..put(&url, b"1")
    };
    let head = client()
        .exchange(&request)
        .unwrap()
        .into_bytes(1000)
        .unwrap();
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let mut names: Vec<&str> = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["content-length", "host", "user-agent", "x-a"],
        "{head}"
    );
}

#[test]
fn an_error_says_whether_the_request_may_have_arrived() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = client()
        .exchange(&put(&format!("http://{closed}/"), b"1"))
        .unwrap_err();
    assert!(!error.sent, "refused: {error}");

    let (url, _) = server(|stream| drop(receive(&stream)));
    let error = client().exchange(&put(&url, b"1")).unwrap_err();
    assert!(error.sent, "closed without an answer: {error}");

    let (url, _) = server(|mut stream| {
        let _ = stream.read_exact(&mut [0; 10_000]);
        let _ = stream.shutdown(Shutdown::Both);
    });
    let error = client()
        .exchange(&put(&url, &vec![0; 64 << 20]))
        .unwrap_err();
    assert!(!error.sent, "closed in the middle: {error}");

    let error = client()
        .exchange(&put("http://no-such-host.invalid/", b"1"))
        .unwrap_err();
    assert!(!error.sent, "no such host: {error}");
}

#[test]
fn a_refusal_before_all_is_sent_is_heard() {
    let (url, _) = server(|mut stream| {
        let _ = stream.read_exact(&mut [0; 10_000]);
        answer(&stream, "403 Forbidden", "Connection: close\r\n", "no");
        thread::sleep(Duration::from_millis(100));
        let _ = stream.shutdown(Shutdown::Both);
    });
    let response = client().exchange(&put(&url, &vec![0; 64 << 20])).unwrap();
    assert_eq!(response.status, 403);
}

#[test]
fn names_below_localhost_are_this_machine() {
    let (url, _) = server(|stream| {
        receive(&stream);
        answer(&stream, "200 OK", "", "");
    });
    let url = url.replace("127.0.0.1", "bucket.s3.localhost");
    assert_eq!(client().exchange(&put(&url, b"1")).unwrap().status, 200);
}

#[test]
fn a_service_nearby_is_not_waited_for_long() {
    let (url, _) = server(|stream| {
        receive(&stream);
        thread::sleep(Duration::from_secs(60));
    });
    let started = Instant::now();
    let near = client_at(None, Distance::Near);
    let error = near.exchange(&Request::new(Method::Get, url)).unwrap_err();
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(error.to_string(), "no answer within 2 s");
}

#[test]
fn a_body_that_trickles_in_is_given_up() {
    let (url, _) = server(|mut stream| {
        receive(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let near = client_at(None, Distance::Near);
    let response = near.exchange(&Request::new(Method::Get, url)).unwrap();
    let error = response.into_bytes(1 << 20).unwrap_err();
    assert_eq!(error.to_string(), "what comes is too slow to be of use");
}

#[test]
fn a_server_without_tls_is_asked_once() {
    let (url, connections) = server(|stream| {
        receive(&stream);
        answer(&stream, "400 Bad Request", "", "plain HTTP, please");
    });
    let url = url.replace("http:", "https:");
    let error = Retrying::without_pauses(client())
        .exchange(&put(&url, b"1"))
        .unwrap_err();
    assert!(
        error.to_string().contains("does not answer in TLS"),
        "{error}"
    );
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert!(!error.sent);
}

#[test]
fn a_body_that_is_cut_short_is_an_error() {
    let (url, _) = server(|mut stream| {
        receive(&stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    });
    let response = client().exchange(&Request::new(Method::Get, url)).unwrap();
    assert!(response.into_bytes(100).is_err());
}

#[test]
fn uploads_keep_to_the_rate() {
    let (url, _) = server(|stream| {
        receive(&stream);
        answer(&stream, "200 OK", "", "");
    });
    let paced = client_at(Some(100_000), Distance::Far);
    let started = Instant::now();
    paced.exchange(&put(&url, &[0; 100_000])).unwrap();
    let took = started.elapsed().as_secs_f64();
    assert!((0.7..3.0).contains(&took), "{took}");
}

/// Answers from a list, one for each attempt.
struct Scripted {
    answers: std::sync::Mutex<Vec<Result<u16, bool>>>,
    headers: Vec<(String, String)>,
}

impl Exchange for Scripted {
    fn exchange(&self, _: &Request<'_>) -> Result<Response, HttpError> {
        match self.answers.lock().unwrap().remove(0) {
            Ok(status) => Ok(Response {
                status,
                headers: self.headers.clone(),
                body: Box::new(io::empty()),
            }),
            Err(sent) => Err(HttpError {
                source: io::Error::other("broken"),
                sent,
            }),
        }
    }
}

/// What comes of a request when the attempts go like this, and how many are left over.
fn tried(answers: &[Result<u16, bool>]) -> (Result<u16, bool>, usize) {
    let script = Scripted {
        answers: std::sync::Mutex::new(answers.to_vec()),
        headers: Vec::new(),
    };
    let retrying = Retrying::without_pauses(script);
    let request = Request::new(Method::Put, "http://x/".to_owned());
    let result = retrying.exchange(&request);
    let left = retrying.inner().answers.lock().unwrap().len();
    (
        result
            .map(|response| response.status)
            .map_err(|error| error.sent),
        left,
    )
}

#[test]
fn what_may_pass_is_tried_again() {
    let (sent, unsent) = (Err(true), Err(false));
    assert_eq!(tried(&[Ok(503), Ok(500), Ok(200), Ok(1)]), (Ok(200), 1));
    assert_eq!(tried(&[Ok(404), Ok(200)]), (Ok(404), 1), "an answer");
    assert_eq!(tried(&[sent, Ok(200)]), (Ok(200), 0));
    assert_eq!(
        tried(&[unsent, unsent, unsent, unsent, Ok(200)]),
        (Err(false), 1),
        "not for ever"
    );
    assert_eq!(
        tried(&[sent, unsent, unsent, unsent]),
        (Err(true), 0),
        "the first may still arrive"
    );
    assert_eq!(tried(&[Ok(500), unsent, unsent, unsent]), (Err(true), 0));
    assert_eq!(tried(&[Ok(503), unsent, unsent, unsent]), (Err(false), 0));
}

#[test]
fn a_server_that_asks_for_a_long_pause_is_left_alone() {
    for (header, left) in [("1", 0), ("3600", 1), ("Sun, 22 Nov 2026 23:30:00 GMT", 1)] {
        let script = Scripted {
            answers: std::sync::Mutex::new(vec![Ok(503), Ok(200)]),
            headers: vec![
                ("retry-after".to_owned(), header.to_owned()),
                (
                    "date".to_owned(),
                    "Sun, 22 Nov 2026 23:00:00 GMT".to_owned(),
                ),
            ],
        };
        let retrying = Retrying::without_pauses(script);
        retrying
            .exchange(&Request::new(Method::Get, "http://x/".to_owned()))
            .unwrap();
        assert_eq!(
            retrying.inner().answers.lock().unwrap().len(),
            left,
            "{header}"
        );
    }
}
