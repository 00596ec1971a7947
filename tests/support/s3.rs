//! Real S3 servers, and what is on them as seen without our own code, see `tests/servers/s3.py`.
//!
//! Most tests use [`S3Server::shared`], each under a path of its own; a test that kills or freezes its server starts
//! one for itself.

use std::collections::{BTreeMap, HashMap};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use tinyjson::JsonValue;
use walbrook::sys::random::unique;

use super::helper::{field, number, string, text, texts};
use super::running::Running;

/// A server program. What each can and can't do, in short: SeaweedFS is the strictest, and has conditional PUT;
/// the JuiceFS gateway is MinIO's code of 2022, which wants a Content-MD5 on batches of deletions; rclone lists by
/// version 1 only and wants a Content-Length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    SeaweedFs,
    JuiceFs,
    Rclone,
    Garage,
}

impl Kind {
    /// Those that are always there, and Garage where it was asked for.
    pub(crate) fn all() -> Vec<Kind> {
        let mut kinds = vec![Kind::SeaweedFs, Kind::JuiceFs, Kind::Rclone];
        kinds.extend(Kind::garage_if_asked_for());
        kinds
    }

    /// Garage if there is one, which takes long to build: see `tests/run`.
    pub(crate) fn garage_if_asked_for() -> Option<Kind> {
        let asked_for = std::env::var_os("WALBROOK_TEST_GARAGE").is_some();
        asked_for.then_some(Kind::Garage)
    }

    /// The ways it can be talked to.
    pub(crate) fn ways(self) -> &'static [Tls] {
        match self {
            Kind::SeaweedFs | Kind::Rclone => &[Tls::Off, Tls::On],
            Kind::JuiceFs | Kind::Garage => &[Tls::Off],
        }
    }

    /// Whether the bucket can stand in the name of the host.
    pub(crate) fn has_virtual_hosts(self) -> bool {
        self != Kind::Rclone
    }

    /// Whether the metadata of objects is still there when the server was started again.
    pub(crate) fn keeps_metadata(self) -> bool {
        self != Kind::Rclone
    }

    fn name(self) -> &'static str {
        match self {
            Kind::SeaweedFs => "seaweedfs",
            Kind::JuiceFs => "juicefs",
            Kind::Rclone => "rclone",
            Kind::Garage => "garage",
        }
    }
}

/// Whether a server has a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tls {
    Off,
    On,
}

/// A running server, which ends with its last clone, at the latest with this process.
#[derive(Clone)]
pub(crate) struct S3Server {
    running: Arc<Running>,
    kind: Kind,
    tls: Tls,
}

impl Deref for S3Server {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl S3Server {
    /// Starts one, with everything it keeps in a directory that is removed when it ends.
    #[track_caller]
    pub(crate) fn start(kind: Kind, tls: Tls) -> S3Server {
        let directory = std::env::temp_dir().join(format!("walbrook-server-{:016x}", unique()));
        S3Server::launch(kind, tls, &directory, &["--remove"], false)
    }

    /// Starts one that keeps everything in this directory, like one on a disk that can be full.
    #[track_caller]
    pub(crate) fn start_in(directory: &Path, kind: Kind, tls: Tls) -> S3Server {
        // So that a small disk has room for more than one of its files.
        S3Server::launch(kind, tls, directory, &["--volume-mb", "8"], false)
    }

    /// The one that all tests of this process use together. Each works under its own [`S3Server::fresh_path`].
    #[track_caller]
    pub(crate) fn shared(kind: Kind, tls: Tls) -> S3Server {
        static SERVERS: [OnceLock<S3Server>; 8] = [const { OnceLock::new() }; 8];
        let index = kind as usize * 2 + tls as usize;
        let start = || {
            let directory = std::env::temp_dir().join(format!("walbrook-server-{:016x}", unique()));
            S3Server::launch(kind, tls, &directory, &["--remove"], true)
        };
        SERVERS[index].get_or_init(start).clone()
    }

    #[track_caller]
    fn launch(kind: Kind, tls: Tls, directory: &Path, more: &[&str], shared: bool) -> S3Server {
        let mut arguments = vec![kind.name(), directory.to_str().unwrap()];
        arguments.extend(more);
        if tls == Tls::On {
            arguments.push("--tls");
        }
        S3Server {
            running: Arc::new(Running::start("s3.py", &arguments, shared)),
            kind,
            tls,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn tls(&self) -> Tls {
        self.tls
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        let endpoint = self.endpoint();
        endpoint.rsplit(':').next().unwrap().parse().unwrap()
    }

    /// Its URL, for requests in path style.
    pub(crate) fn endpoint(&self) -> String {
        self.fact("endpoint")
    }

    /// Its URL for requests in virtual-host style; `tests/run` makes the name of the bucket's host known.
    pub(crate) fn vhost_endpoint(&self) -> String {
        self.fact("vhost_endpoint")
    }

    /// The bucket, which is there.
    pub(crate) fn bucket(&self) -> String {
        self.fact("bucket")
    }

    pub(crate) fn region(&self) -> String {
        self.fact("region")
    }

    pub(crate) fn access_key_id(&self) -> String {
        self.fact("access_key_id")
    }

    pub(crate) fn secret_access_key(&self) -> String {
        self.fact("secret_access_key")
    }

    /// The certificate that its own is signed by, if it has one.
    pub(crate) fn ca_file(&self) -> Option<PathBuf> {
        let path = self.fact("ca_file");
        (!path.is_empty()).then(|| path.into())
    }

    /// Where it keeps everything.
    pub(crate) fn directory(&self) -> PathBuf {
        self.fact("dir").into()
    }

    /// What it prints.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.fact("log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A path in the bucket that nobody else uses.
    pub(crate) fn fresh_path(&self) -> String {
        format!("test-{:016x}", unique())
    }

    /// The keys that begin with `prefix`, in order, and the sizes of their objects.
    #[track_caller]
    pub(crate) fn objects(&self, prefix: &str) -> Vec<(String, u64)> {
        let answer = self.ask("list", &[("prefix", text(prefix))]);
        let objects: &Vec<JsonValue> = field(&answer, "objects").unwrap().get().unwrap();
        let pair = |object: &JsonValue| (string(&object[0]), number(&object[1]));
        objects.iter().map(pair).collect()
    }

    /// Stores an object.
    #[track_caller]
    pub(crate) fn put(&self, key: &str, bytes: &[u8]) {
        self.put_with(key, bytes, &[]);
    }

    /// Stores an object with headers such as `x-amz-meta-litestream-timestamp`.
    #[track_caller]
    pub(crate) fn put_with(&self, key: &str, bytes: &[u8], headers: &[(&str, &str)]) {
        let body = text(&BASE64.encode(bytes));
        let parameters = [
            ("key", text(key)),
            ("body", body),
            ("headers", texts(headers)),
        ];
        self.ask("put", &parameters);
    }

    /// The bytes of an object.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Vec<u8> {
        body(&self.ask("get", &[("key", text(key))]))
    }

    /// The headers of an object, names in lower case, metadata with its `x-amz-meta-`.
    #[track_caller]
    pub(crate) fn head(&self, key: &str) -> BTreeMap<String, String> {
        headers(&self.ask("head", &[("key", text(key))]))
    }

    /// Removes an object.
    #[track_caller]
    pub(crate) fn delete(&self, key: &str) {
        self.ask("delete", &[("key", text(key))]);
    }

    /// Any request, signed; `path` begins with the bucket, as in `/bucket/key`.
    #[track_caller]
    pub(crate) fn request(&self, request: &Request<'_>) -> Answer {
        let answer = self.ask(
            "request",
            &[
                ("method", text(request.method)),
                ("path", text(request.path)),
                ("query", texts(request.query)),
                ("headers", texts(request.headers)),
                ("body", text(&BASE64.encode(request.body))),
            ],
        );
        Answer {
            status: number(field(&answer, "status").unwrap()) as u16,
            headers: headers(&answer),
            body: body(&answer),
        }
    }
}

/// A request of [`S3Server::request`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) body: &'a [u8],
}

/// The answer to one.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

fn body(answer: &JsonValue) -> Vec<u8> {
    let encoded = string(field(answer, "body").unwrap());
    BASE64.decode(encoded).unwrap()
}

fn headers(answer: &JsonValue) -> BTreeMap<String, String> {
    let headers: &HashMap<String, JsonValue> = field(answer, "headers").unwrap().get().unwrap();
    let pair = |(name, value): (&String, &JsonValue)| (name.clone(), string(value));
    headers.iter().map(pair).collect()
}
