//! A database's thread with a storage that hangs.

use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use super::*;
use crate::config::{ReplicaConfig, ReplicaLocation, Replicas};
use crate::storage::{ByteRange, Content, FileInfo, FileName, StorageError};
use crate::sys::clock::SystemClock;
use crate::sys::fs::SystemFiles;
use crate::units::{Level, Timestamp};

/// An empty storage that reads an upload's content again and again, as one on a bad line does.
struct Hanging {
    begun: Mutex<Sender<()>>,
    failed: Mutex<Sender<String>>,
}

impl Storage for Hanging {
    fn location(&self) -> String {
        "hanging".to_string()
    }

    fn list(&self, _: Level) -> Result<Vec<FileInfo>, StorageError> {
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
