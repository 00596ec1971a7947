//! A long and narrow way to the server is used as well as OpenSSH's own client uses it.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use walbrook::storage::sftp::SftpSettings;
use walbrook::storage::{ByteRange, Content, Storage};
use walbrook::units::{Level, Timestamp};

use super::{network, open, settings};
use crate::conformance::name;
use crate::support::process::output_of;
use crate::support::proxy::Proxy;
use crate::support::rig::Rig;
use crate::support::sftp::{Kind, SftpServer};

/// One way, in milliseconds: an answer is twice as far.
const LATENCY: u32 = 150;
/// Bytes a second: twice what the megabit of `tests/measure` is, so that more has to be under way at once.
const RATE: u32 = 250_000;
const SIZE: usize = 1_500_000;

struct Random(Vec<u8>);

impl Content for Random {
    fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        // In pieces, as an encoder writes.
        self.0
            .chunks(5000)
            .try_for_each(|piece| out.write_all(piece))
    }
}

/// How long `sftp` takes for these commands, without its connecting.
fn sftp(server: &SftpServer, proxy: &Proxy, commands: &str) -> Duration {
    let scratch = Rig::new();
    let known_hosts = format!("UserKnownHostsFile={}", server.known_hosts().display());
    let alias = format!("HostKeyAlias=[127.0.0.1]:{}", server.port());
    let run = |commands: &str| {
        std::fs::write(scratch.path("batch"), commands).unwrap();
        let mut command = Command::new("sftp");
        command.args(["-F", "none", "-o", &known_hosts, "-o", &alias]);
        command.args(["-o", "IdentitiesOnly=yes", "-P", &proxy.port().to_string()]);
        command
            .arg("-b")
            .arg(scratch.path("batch"))
            .arg("-i")
            .arg(server.key());
        command.arg(format!("{}@127.0.0.1", server.user()));
        let began = Instant::now();
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        began.elapsed()
    };
    let connecting = run("pwd");
    run(commands) - connecting
}

#[test]
fn uploads_and_downloads_are_as_fast_as_those_of_sftp() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let proxy = Proxy::before_ssh(&server);
    let directory = server.fresh_name();
    let ours = SftpSettings {
        port: Some(proxy.port()),
        ..settings(&server, &directory)
    };
    let storage = open(ours, &network());
    let scratch = Rig::new();
    let (file, copy) = (scratch.path("file"), scratch.path("copy"));
    let random = format!("head -c {SIZE} /dev/urandom > {}", file.display());
    output_of(Command::new("sh").args(["-c", &random])).unwrap();
    let content = Random(std::fs::read(&file).unwrap());
    let theirs = format!("{}/{directory}-theirs", server.place());

    // Connected, and with its directories there.
    let time = Timestamp::from_millis(0);
    storage
        .write(name(9, 1, 1), time, &Random(vec![0]))
        .unwrap();
    storage.list(Level::SYNC).unwrap();
    proxy.latency(LATENCY);
    proxy.rate(RATE);

    let began = Instant::now();
    storage.write(name(9, 1, 2), time, &content).unwrap();
    let put = began.elapsed();
    let their_put = sftp(&server, &proxy, &format!("put {} {theirs}", file.display()));

    let began = Instant::now();
    let mut bytes = Vec::new();
    let mut reader = storage.read(name(9, 1, 2), ByteRange::From(0)).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    let get = began.elapsed();
    assert!(bytes == content.0);
    let their_get = sftp(&server, &proxy, &format!("get {theirs} {}", copy.display()));

    println!("put: {put:?}, sftp {their_put:?}; get: {get:?}, sftp {their_get:?}");
    // What syncing, renaming and closing cost at this distance is not the throughput.
    let answers = Duration::from_millis(u64::from(LATENCY) * 2 * 4);
    for (ours, theirs) in [(put, their_put), (get, their_get)] {
        assert!(
            ours <= theirs.mul_f64(1.1) + answers,
            "{ours:?}, sftp {theirs:?}"
        );
    }
}
