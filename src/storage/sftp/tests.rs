//! Sessions with clients that are scripts: ones that misbehave, and OpenSSH's own server of SFTP without any SSH, also
//! made to offer less.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::ltx::Header;
use crate::storage::Bounds;
use crate::sys::clock::SystemClock;
use crate::sys::random;
use crate::units::{PageCount, PageSize, Txid, TxidRange};

const SERVER: &str = "exec /usr/lib/openssh/sftp-server";

/// A directory with the script and, below, the replica.
struct Rig {
    home: PathBuf,
    network: Arc<Network>,
}

impl Rig {
    fn new(script: &str) -> Rig {
        let home = std::env::temp_dir().join(format!("sftp-{:016x}", random::unique()));
        fs::create_dir(&home).unwrap();
        let client = home.join("client");
        fs::write(
            &client,
            format!("#!/bin/sh\ncd {}\n{script}\n", home.display()),
        )
        .unwrap();
        fs::set_permissions(&client, fs::Permissions::from_mode(0o700)).unwrap();
        let bounds = Bounds {
            patience: Duration::from_secs(1),
            ..Bounds::default()
        };
        Rig {
            home,
            network: Network::new(bounds, Arc::new(SystemClock)),
        }
    }

    fn storage(&self) -> SftpStorage {
        let path = self.home.join("replica").display().to_string();
        let mut settings = SftpSettings::new("nas", path);
        settings.ssh_command = Some(self.home.join("client").display().to_string());
        SftpStorage::new(settings, &self.network)
    }

    fn refusal(&self) -> String {
        let begun = Instant::now();
        let error = self.storage().list(Level::SYNC).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        assert!(!error.outcome_unknown());
        error.to_string()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.home);
    }
}

struct Bytes<'a>(&'a [u8], u64);

impl Content for Bytes<'_> {
    fn write_to(&self, out: &mut dyn io::Write) -> io::Result<()> {
        out.write_all(self.0)
    }

    fn id(&self) -> u64 {
        self.1
    }
}

fn name() -> FileName {
    FileName {
        level: Level::SYNC,
        txids: TxidRange::new(Txid::FIRST, Txid::FIRST).unwrap(),
    }
}

fn store(storage: &SftpStorage, bytes: &[u8], id: u64) -> Result<u64, StorageError> {
    storage.write(name(), Timestamp::from_millis(1000), &Bytes(bytes, id))
}

fn content(storage: &SftpStorage) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = storage.read(name(), ByteRange::From(0)).unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_greeting_in_front_of_sftp_is_shown() {
    let error = Rig::new("echo Welcome to nas; sleep 1000").refusal();
    assert!(
        error.contains("Welcome to nas") && error.contains("print nothing"),
        "{error}"
    );
}

#[test]
fn a_client_that_hangs_is_ended_and_waited_for() {
    let rig = Rig::new("echo $$ > pid; sleep 1000 & wait");
    let error = rig.refusal();
    assert!(error.contains("no answer came within 1 s"), "{error}");
    let pid = fs::read_to_string(rig.home.join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[test]
fn noise_is_read_and_its_end_is_kept() {
    let error = Rig::new("yes noise | head -c 3000000 >&2; echo the cause >&2; exit 1").refusal();
    assert!(error.contains("the cause") && error.len() < 2000, "{error}");
    let error = Rig::new("yes noise >&2").refusal();
    assert!(error.contains("no answer came"), "{error}");
}

#[test]
fn after_a_failure_it_waits_before_the_next_attempt() {
    let rig = Rig::new("echo x >> attempts; exit 1");
    for _ in 0..50 {
        rig.refusal();
    }
    let attempts = fs::read_to_string(rig.home.join("attempts")).unwrap();
    assert!(attempts.lines().count() < 5, "{attempts}");
}

#[test]
fn a_session_that_ends_is_followed_by_another() {
    let rig = Rig::new(SERVER);
    let storage = rig.storage();
    for number in 0..5_u8 {
        store(&storage, &[number; 100_000], 1).unwrap();
        let session = storage.link.session().unwrap();
        session.kill();
        assert_eq!(content(&storage), vec![number; 100_000]);
        let mut reader = storage.read(name(), ByteRange::From(0)).unwrap();
        let mut half = vec![0; 50_000];
        reader.read_exact(&mut half).unwrap();
        storage.link.session().unwrap().kill();
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, vec![number; 50_000], "it goes on where it was");
    }
}

#[test]
fn servers_with_fewer_extensions_replace_too() {
    for denied in ["fsync", "posix-rename", "posix-rename,fsync,statvfs"] {
        let rig = Rig::new(&format!("{SERVER} -P {denied}"));
        let storage = rig.storage();
        for bytes in [&b"old"[..], b"new and longer", b"newest"] {
            assert_eq!(store(&storage, bytes, 1).unwrap(), bytes.len() as u64);
            assert_eq!(content(&storage), bytes);
        }
        let left = fs::read_dir(rig.home.join("replica/ltx/0")).unwrap();
        assert_eq!(left.count(), 1, "no temporary is left with {denied}");
    }
}

#[test]
fn what_is_there_is_told_apart() {
    let header = |time, writer| {
        let size = PageSize::new(4096).unwrap();
        let pages = PageCount(1);
        let time = Timestamp::from_millis(time);
        let mut header = Header::new(size, pages, name().txids, time);
        header.node_id = writer;
        [&header.to_bytes()[..], b"pages"].concat()
    };
    let rig = Rig::new(SERVER);
    let storage = rig.storage().exclusive();
    assert!(storage.late_writes_replace(), "it is not known yet");
    store(&storage, &header(1000, 7), 1).unwrap();
    assert!(!storage.late_writes_replace(), "OpenSSH's rename refuses");
    match store(&storage, b"other", 2) {
        Err(StorageError::InUse {
            by: Some(rival), ..
        }) => assert_eq!(rival.writer, 7),
        other => panic!("{other:?}"),
    }
    let unsure = |id, millis| {
        let attempts = vec![(id, Timestamp::from_millis(millis))];
        let path = storage.path(name());
        storage.writing.unsure().insert(path, attempts);
    };
    unsure(1, 1000);
    assert_eq!(
        store(&storage, &header(1000, 7), 1).unwrap(),
        105,
        "it had arrived"
    );
    unsure(1, 1000);
    let arrived = store(&storage, b"newer", 2);
    assert!(
        matches!(arrived, Err(StorageError::Arrived { created, .. }) if created.millis() == 1000),
        "{arrived:?}"
    );
    unsure(1, 999);
    let theirs = store(&storage, b"newer", 1);
    assert!(
        matches!(theirs, Err(StorageError::InUse { .. })),
        "{theirs:?}"
    );
    assert_eq!(content(&storage), header(1000, 7));
    let left = fs::read_dir(rig.home.join("replica/ltx/0")).unwrap();
    assert_eq!(left.count(), 1, "no temporary is left");
}

#[test]
fn a_replica_that_was_taken_away_is_not_made_again_before_it_is_listed() {
    let rig = Rig::new(SERVER);
    let storage = rig.storage();
    store(&storage, b"one", 1).unwrap();
    fs::remove_dir_all(rig.home.join("replica")).unwrap();
    let error = store(&storage, b"two", 2).unwrap_err();
    assert!(matches!(error, StorageError::Replaced { .. }), "{error}");
    assert_eq!(storage.list(Level::SYNC).unwrap(), []);
    store(&storage, b"two", 2).unwrap();
}

#[test]
fn leftovers_of_dead_runs_are_removed() {
    let rig = Rig::new(SERVER);
    let level = rig.home.join("replica/ltx/0");
    fs::create_dir_all(&level).unwrap();
    let numbers = "00000000000000aa-00000000000000";
    for (file, age_s) in [("bb", 7200), ("cc", 60)] {
        let path = level.join(format!("{}.walbrook-{numbers}{file}.tmp", "x.ltx"));
        fs::write(&path, "half").unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(age_s);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(old).unwrap();
    }
    store(&rig.storage(), b"one", 1).unwrap();
    assert_eq!(
        fs::read_dir(&level).unwrap().count(),
        2,
        "the living one's stays"
    );
}
