//! What a replica is good for, seen without restoring it: which states it has, whether they are whole, single pages.
//! Of replicas that Litestream wrote and that we wrote, in directories and on S3, whole and damaged.

mod damage;
mod history;
mod page;
mod times;
mod verify;

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;

use tinyjson::JsonValue;

use crate::restore::vectors::files;
use crate::support::application::Session;
use crate::support::rig::{Program, Rig};
use crate::support::scratch::Scratch;
use walbrook::storage::file::FileStorage;
use walbrook::storage::{Content, Storage};
use walbrook::sys::fs::SystemFiles;
use walbrook::units::Timestamp;

/// How a command ended.
#[derive(Debug)]
struct Answer {
    code: i32,
    out: String,
    said: String,
}

impl Answer {
    /// What it printed, of one that went well.
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    /// The same as JSON.
    #[track_caller]
    fn json(self) -> JsonValue {
        self.well().parse().unwrap()
    }
}

/// Runs a command to its end.
fn answer(command: &mut Command) -> Answer {
    let output = command.output().unwrap();
    let [out, said] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
    let code = output.status.code().unwrap();
    Answer { code, out, said }
}

/// Runs ours with these arguments.
fn walbrook(arguments: &[impl AsRef<OsStr>]) -> Answer {
    answer(Program::Walbrook.command().args(arguments))
}

/// The same about the replica of `rig`, whose URL comes last.
fn of_url(rig: &Rig, arguments: &[&str]) -> Answer {
    let mut command = Program::Walbrook.command();
    command.args(arguments).arg(rig.url());
    answer(command.envs(rig.place().environment()))
}

/// The replica of the vectors in a directory, and its URL.
fn planted(replica: &JsonValue, scratch: &Scratch) -> (FileStorage, String) {
    let root = scratch.path().join("replica");
    let url = format!("file://{}", root.display());
    let storage = FileStorage::new(root, Arc::new(SystemFiles));
    for (name, time, bytes) in files(replica) {
        let time = Timestamp::from_millis(time);
        storage.write(name, time, &Stored(bytes)).unwrap();
    }
    (storage, url)
}

struct Stored(Vec<u8>);

impl Content for Stored {
    fn write_to(&self, out: &mut dyn std::io::Write) -> std::io::Result<()> {
        out.write_all(&self.0)
    }
}

/// A database that was replicated `syncs` times, each after a commit of its own.
fn replicated(rig: &Rig, syncs: usize) {
    let mut session = Session::create(&rig.db());
    for _ in 0..syncs {
        session.insert("t", 10);
        rig.once();
    }
}
