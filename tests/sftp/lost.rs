//! Connections that end, servers that hang: noticed in time, made good, and nothing left behind.

use std::time::{Duration, Instant};

use walbrook::storage::{Bounds, Network, Storage};
use walbrook::sys::clock::SystemClock;
use walbrook::units::{Level, Timestamp};

use super::{dropbear, network, open, settings};
use crate::conformance::{Meanwhile, get, name, names, put};
use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::{Process, eventually, wait_until};
use crate::support::rig::{Program, Rig};
use crate::support::sftp::{Kind, SftpServer};

/// Descriptors, children, and those of them that nobody has waited for.
fn holdings(process: &Process) -> (usize, usize, usize) {
    let pid = process.pid();
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .count();
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children: Vec<String> = threads
        .filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("children")).ok())
        .flat_map(|line| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let zombies = children.iter().filter(|child| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| rest.starts_with('Z'))
    });
    (descriptors, children.len(), zombies.count())
}

/// `WALBROOK_RECONNECTS` makes it more.
#[test]
fn many_reconnects_leave_nothing_behind() {
    let server = SftpServer::start(Kind::OpenSsh);
    let rig = Rig::with_replica(Place::on_sftp(&server));
    let mut session = Session::create(&rig.db());
    let walbrook = rig.start(Program::Walbrook);
    wait_until("replicated", || rig.newest() > 0);
    let times = std::env::var("WALBROOK_RECONNECTS").map_or(25, |times| times.parse().unwrap());
    let mut most = holdings(&walbrook);
    for time in 0..times {
        server.drop_sessions();
        let newest = rig.newest();
        session.insert("t", 1);
        wait_until("replicated", || rig.newest() > newest);
        let now = holdings(&walbrook);
        if time < 3 {
            // Buffers and threads that come with the first ones.
            most = (most.0.max(now.0), most.1.max(now.1), 0);
        }
        assert!(now.0 <= most.0 + 4, "{time}: {now:?} after {most:?}");
        assert!(
            now.1 <= most.1 + 1 && now.2 <= 1,
            "{time}: {now:?} after {most:?}"
        );
    }
    rig.wait_in_sync();
    walbrook.stop().well();
    wait_until("disconnected", || server.sessions() == 0);
    rig.assert_in_sync();
}

/// In the end, when the server is found again.
fn lists_one(storage: &dyn Storage) {
    let files = || storage.list(Level::SYNC).map_err(|error| error.to_string());
    assert_eq!(eventually(files).len(), 1);
}

#[test]
fn a_server_that_hangs_is_given_up_in_time_and_found_again() {
    let server = SftpServer::start(Kind::OpenSsh);
    let bounds = Bounds {
        patience: Duration::from_secs(2),
        ..Bounds::default()
    };
    let network = Network::new(bounds, std::sync::Arc::new(SystemClock));
    for settings in [
        settings(&server, "x"),
        dropbear(&server, settings(&server, "x")),
    ] {
        let storage = open(settings, &network);
        put(&storage, name(0, 1, 1), b"before");
        server.freeze();
        let began = Instant::now();
        let error = storage.list(Level::SYNC).unwrap_err().to_string();
        let took = began.elapsed();
        assert!(error.contains("no answer came"), "{error}");
        assert!(took < Duration::from_secs(8), "{took:?}: {error}");
        server.thaw();
        lists_one(&storage);
    }
}

#[test]
fn a_lost_session_is_replaced_for_every_operation() {
    for kind in [Kind::OpenSsh, Kind::Dropbear] {
        let server = SftpServer::start(kind);
        let storage = open(settings(&server, "x"), &network());
        for txid in 1..=5 {
            let file = name(0, txid, txid);
            eventually(|| {
                server.drop_sessions();
                let list = storage
                    .list(Level::SYNC)
                    .map_err(|error| error.to_string())?;
                assert_eq!(list.len() as u64, txid - 1);
                Ok(())
            });
            put(&storage, file, b"content");
            assert_eq!(get(&storage, file), b"content");
        }
        assert_eq!(names(&storage, 0).len(), 5);
    }
}

/// The failure comes also where no other piece is under way that could tell it.
#[test]
fn a_session_that_is_lost_with_the_only_piece_of_a_file_fails_in_time() {
    let server = SftpServer::start(Kind::OpenSsh);
    let freeze = || {
        server.freeze();
        let server = server.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            server.drop_sessions();
            server.thaw();
        });
    };
    let storage = open(settings(&server, "x"), &network());
    put(&storage, name(0, 1, 1), b"one");
    let began = Instant::now();
    let written = storage.write(
        name(0, 2, 2),
        Timestamp::from_millis(0),
        &Meanwhile(&freeze),
    );
    let error = written.unwrap_err().to_string();
    assert!(error.contains("the connection is lost"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(20), "{error}");
    lists_one(&storage);
}

/// An upload under way when everything dies leaves nothing under its name, and no temporary for ever.
#[test]
fn half_an_upload_is_no_file() {
    use std::io::{self, Write};
    use walbrook::storage::Content;

    struct Dying<'a>(&'a SftpServer);
    impl Content for Dying<'_> {
        fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
            out.write_all(&[1; 200_000])?;
            out.flush()?;
            self.0.drop_sessions();
            out.write_all(&[2; 2_000_000])
        }
    }
    let server = SftpServer::start(Kind::OpenSsh);
    let storage = open(settings(&server, "x"), &network());
    put(&storage, name(0, 1, 1), b"one");
    let time = Timestamp::from_millis(0);
    let error = storage
        .write(name(0, 2, 2), time, &Dying(&server))
        .unwrap_err();
    assert!(!error.is_not_found(), "{error}");
    let level = server.local().join("x/ltx/0");
    assert!(!level.join("0000000000000002-0000000000000002.ltx").exists());
    lists_one(&storage);
    // What is left is that of another run, and old, when the next one comes.
    let old = std::time::SystemTime::now() - Duration::from_secs(48 * 60 * 60);
    let left = std::fs::read_dir(&level).unwrap();
    let left = left.map(|entry| entry.unwrap().path());
    for path in left.filter(|path| path.extension().is_some_and(|end| end == "tmp")) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (file, number) = (name.split_once(".walbrook-").unwrap().0, "00000000000000aa");
        let dead = level.join(format!("{file}.walbrook-{number}-{number}.tmp"));
        std::fs::rename(&path, &dead).unwrap();
        let file = std::fs::File::options().write(true).open(dead).unwrap();
        file.set_modified(old).unwrap();
    }
    let later = open(settings(&server, "x"), &network());
    put(&later, name(0, 2, 2), b"two");
    assert_eq!(std::fs::read_dir(&level).unwrap().count(), 2);
}
