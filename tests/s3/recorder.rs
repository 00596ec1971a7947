//! A server that answers what it is told to, for what no real one does, and keeps the heads of what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// The server. It serves until the process ends.
pub(super) struct Recorder {
    endpoint: String,
    heads: Arc<Mutex<Vec<String>>>,
}

/// What is asked, its head in lower case but for the request line.
pub(super) struct Asked {
    pub(super) line: String,
    pub(super) head: String,
}

impl Recorder {
    /// Answers each request with what `answer` gives for it: status, header lines, body. After status 0 the connection
    /// is closed.
    pub(super) fn new(
        answer: impl Fn(&Asked) -> (u16, &'static str, String) + Send + Sync + 'static,
    ) -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&heads), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || serve(stream.unwrap(), &kept, &*answer));
            }
        });
        Recorder { endpoint, heads }
    }

    pub(super) fn endpoint(&self) -> String {
        self.endpoint.clone()
    }

    /// The heads so far.
    pub(super) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(
    stream: TcpStream,
    kept: &Mutex<Vec<String>>,
    answer: &dyn Fn(&Asked) -> (u16, &'static str, String),
) {
    let mut reader = BufReader::new(&stream);
    while let Some(asked) = receive(&mut reader) {
        kept.lock().unwrap().push(asked.head.clone());
        let (status, headers, body) = answer(&asked);
        if status == 0 {
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
        let length = match headers.contains("Content-Length") {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let body = match asked.line.starts_with("HEAD") {
            true => "",
            false => &body,
        };
        let answer = format!("HTTP/1.1 {status} Told\r\n{headers}{length}\r\n{body}");
        if (&stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn receive(reader: &mut BufReader<&TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let mut head = line.clone();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        head += &format!("{}:{}\n", name.to_lowercase(), value.trim());
    }
    let length = head.split("content-length:").nth(1);
    let length = length.and_then(|text| text.lines().next()?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim().to_owned();
    Some(Asked { line, head })
}
