//! A database's thread with a storage that hangs.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use super::*;
use crate::config::{ReplicaConfig, ReplicaLocation, Replicas};
use crate::storage::file::FileStorage;
use crate::storage::{ByteRange, Content, FileInfo, FileName, StorageError};
use crate::sys::clock::SystemClock;
use crate::sys::fs::SystemFiles;
use crate::units::{Level, Timestamp};

/// An empty storage that reads an upload's content again and again, as one on a bad line does.
struct Hanging {
    /// How long it takes to say that it is empty.
    slow: Duration,
    begun: Mutex<Sender<()>>,
    failed: Mutex<Sender<String>>,
}

impl Storage for Hanging {
    fn location(&self) -> String {
        format!("hanging, {} ms slow", self.slow.as_millis())
    }

    fn list(&self, level: Level) -> Result<Vec<FileInfo>, StorageError> {
        if level == Level::SYNC {
            std::thread::sleep(self.slow);
        }
        Ok(Vec::new())
    }

    fn read(&self, _: FileName, _: ByteRange) -> Result<Box<dyn io::Read + Send>, StorageError> {
        unreachable!("it is empty")
    }

    fn write(&self, _: FileName, _: Timestamp, content: &dyn Content) -> Result<u64, StorageError> {
        self.begun.lock().unwrap().send(()).unwrap();
        loop {
            if let Err(source) = content.write_to(&mut io::sink()) {
                let _ = self.failed.lock().unwrap().send(source.to_string());
                return Err(StorageError::Io {
                    operation: "write",
                    location: self.location(),
                    source,
                });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn delete(&self, _: &[FileName]) -> Result<(), StorageError> {
        Ok(())
    }

    fn delete_all(&self) -> Result<(), StorageError> {
        Ok(())
    }
}

fn python(code: &str, database: &std::path::Path) {
    let status = Command::new("python3")
        .args(["-c", code])
        .arg(database)
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn an_upload_that_hangs_does_not_keep_a_replaced_wal_from_being_taken_up() {
    let directory = std::env::temp_dir().join(format!("hanging-{}", crate::sys::random::unique()));
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("app.db");
    let create = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
        c.execute('pragma journal_mode=wal'); c.execute('create table t(a)')";
    python(create, &path);
    let (begun, uploads_begun) = channel();
    let (failed, uploads_failed) = channel();
    let storage = Hanging {
        slow: Duration::ZERO,
        begun: Mutex::new(begun),
        failed: Mutex::new(failed),
    };
    let location = ReplicaLocation::File(PathBuf::from("/nowhere"));
    let setup = Setup {
        config: DatabaseConfig::new(path.clone(), Replicas::one(ReplicaConfig::new(location))),
        storages: vec![Arc::new(storage)],
        fs: Arc::new(SystemFiles),
        clock: Arc::new(SystemClock),
        uploads: Uploads::default(),
        turns: Turns::default(),
        watcher: None,
    };
    let mailbox = Mailbox::new();
    let entrance = mailbox.entrance.clone();
    let thread = std::thread::spawn(move || run(setup, mailbox));
    let long = Duration::from_secs(20);
    uploads_begun.recv_timeout(long).unwrap();
    // By a process of its own, as everything that touches these files.
    python(
        "import os, sys; os.remove(sys.argv[1] + '-wal'); os.remove(sys.argv[1] + '-shm')",
        &path,
    );
    let reason = uploads_failed
        .recv_timeout(long)
        .expect("the view is called back");
    assert!(reason.contains("called back"), "{reason}");
    uploads_begun
        .recv_timeout(long)
        .expect("the database is opened anew and sent again");
    let stop = Stop {
        deadline: Some(Instant::now()),
        tries_again: false,
        gone: false,
        retry_pause: Duration::from_secs(1),
    };
    entrance.send(Event::Stop(stop)).unwrap();
    assert_eq!(thread.join().unwrap().len(), 1, "nothing was ever stored");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn uploads_that_hang_each_with_a_view_of_its_own_do_not_keep_the_others_from_theirs() {
    const HANGING: u64 = 6;
    let directory = std::env::temp_dir().join(format!("views-{}", crate::sys::random::unique()));
    std::fs::create_dir(&directory).unwrap();
    let (path, replica) = (directory.join("app.db"), directory.join("replica"));
    let write = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
        c.execute('pragma journal_mode=wal'); c.execute('create table if not exists t(a)'); \
        c.execute('insert into t values(1)'); c.commit()";
    python(write, &path);
    let (begun, uploads_begun) = channel();
    let (failed, _uploads_failed) = channel();
    let place = |name: String| ReplicaConfig::new(ReplicaLocation::File(PathBuf::from(name)));
    let mut config = DatabaseConfig::new(
        path.clone(),
        Replicas::several(
            place("/sound".to_string()),
            (0..HANGING).map(|n| place(format!("/{n}"))).collect(),
        ),
    );
    config.monitor_interval = Duration::from_millis(5);
    let sound = FileStorage::new(replica.clone(), Arc::new(SystemFiles));
    let mut storages: Vec<Arc<dyn Storage>> = vec![Arc::new(sound)];
    // One after the other they begin to send what there is then.
    storages.extend((1..=HANGING).map(|n| -> Arc<dyn Storage> {
        Arc::new(Hanging {
            slow: Duration::from_millis(500 * n),
            begun: Mutex::new(begun.clone()),
            failed: Mutex::new(failed.clone()),
        })
    }));
    let setup = Setup {
        config,
        storages,
        fs: Arc::new(SystemFiles),
        clock: Arc::new(SystemClock),
        uploads: Uploads::default(),
        turns: Turns::default(),
        watcher: None,
    };
    let mailbox = Mailbox::new();
    let entrance = mailbox.entrance.clone();
    let thread = std::thread::spawn(move || run(setup, mailbox));
    let long = Duration::from_secs(20);
    for _ in 0..HANGING {
        uploads_begun.recv_timeout(long).unwrap();
        python(write, &path);
    }
    let files = || std::fs::read_dir(replica.join("ltx/0")).map_or(0, Iterator::count);
    let (before, deadline) = (files(), Instant::now() + long);
    python(write, &path);
    while files() == before {
        assert!(Instant::now() < deadline, "nothing is synced any more");
        std::thread::sleep(Duration::from_millis(10));
    }
    let stop = Stop {
        deadline: Some(Instant::now()),
        tries_again: false,
        gone: false,
        retry_pause: Duration::from_secs(1),
    };
    entrance.send(Event::Stop(stop)).unwrap();
    assert!(thread.join().unwrap().len() >= HANGING as usize);
    std::fs::remove_dir_all(directory).unwrap();
}
