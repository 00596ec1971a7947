//! What is remembered locally may be lost, torn, or another's: then more is sent, and nothing is missed.

use std::fs;
use std::path::PathBuf;

use super::{End, catches_up, goes_on, replicated_until};
use crate::support::rig::{Program, Rig};

/// The files in which something is remembered.
fn remembered(rig: &Rig) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![rig.meta()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => directories.push(path),
                false => files.push(path),
            }
        }
    }
    assert!(!files.is_empty(), "nothing is remembered");
    files
}

/// Damages what is remembered, once with changes in the WAL that only it could tell of, once without.
#[track_caller]
fn is_done_without(damage: impl Fn(&Rig)) {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        session.insert("other", 5);
        damage(&rig);
        catches_up(&rig);
        session.insert("other", 5);
        session.sql("PRAGMA wal_checkpoint(TRUNCATE)");
        session.insert("t", 1);
        damage(&rig);
        goes_on(&rig, &mut session);
    }
}

#[test]
fn a_deleted_state_is_done_without() {
    is_done_without(Rig::forget);
}

#[test]
fn each_of_the_files_is_done_without() {
    for start in ["walbrook-state", "walbrook-sums-"] {
        is_done_without(|rig| {
            let name = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
            for file in remembered(rig) {
                if name(&file).starts_with(start) {
                    fs::remove_file(file).unwrap();
                }
            }
        });
    }
}

#[test]
fn a_torn_state_is_done_without() {
    is_done_without(|rig| {
        for file in remembered(rig) {
            let bytes = fs::read(&file).unwrap();
            fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        }
    });
}

#[test]
fn garbage_for_a_state_is_done_without() {
    is_done_without(|rig| {
        for file in remembered(rig) {
            fs::write(file, [0xa5; 300]).unwrap();
        }
    });
}

#[test]
fn a_directory_in_place_of_the_state_is_done_without() {
    is_done_without(|rig| {
        for file in remembered(rig) {
            fs::remove_file(&file).unwrap();
            fs::create_dir(file).unwrap();
        }
        // It stays in the way only for a start: that much an administrator does.
        let process = rig.start(crate::support::rig::Program::Walbrook);
        rig.wait_in_sync();
        process.kill();
        rig.forget();
    });
}

#[test]
fn the_state_of_another_database_is_done_without() {
    for end in [End::Stopped, End::Killed] {
        let (other, mut other_session) = replicated_until(end);
        let (rig, mut session) = replicated_until(end);
        session.insert("other", 5);
        other_session.insert("other", 5);
        rig.forget();
        output_of_copy(&other, &rig);
        catches_up(&rig);
        goes_on(&rig, &mut session);
    }
}

fn output_of_copy(from: &Rig, to: &Rig) {
    let mut command = std::process::Command::new("cp");
    command.arg("-a").args([from.meta(), to.meta()]);
    crate::support::process::output_of(&mut command).unwrap();
}

#[test]
fn a_state_older_than_the_replica_is_done_without() {
    for end in [End::Stopped, End::Killed] {
        let (rig, mut session) = replicated_until(end);
        let older: Vec<_> = remembered(&rig)
            .into_iter()
            .map(|file| (fs::read(&file).unwrap(), file))
            .collect();
        session.insert("other", 3);
        session.sql("DELETE FROM t WHERE id < 20");
        session.sql("VACUUM");
        catches_up(&rig);
        session.insert("other", 3);
        for (bytes, file) in older {
            fs::write(file, bytes).unwrap();
        }
        catches_up(&rig);
        goes_on(&rig, &mut session);
    }
}

#[test]
fn a_state_is_done_without_when_another_file_lies_beside_the_old_wal() {
    for end in [End::Stopped, End::Killed] {
        let (rig, session) = replicated_until(end);
        // The application dies too, so nobody clears the WAL away.
        drop(session);
        let other = rig.path("other.db");
        fs::copy(rig.db(), &other).unwrap();
        fs::rename(other, rig.db()).unwrap();
        rig.once();
        rig.assert_in_sync();
        let log = fs::read_to_string(rig.log(Program::Walbrook)).unwrap();
        let last = log.rfind("replicating to").unwrap();
        assert!(log[last..].contains("sending every page"), "{log}");
    }
}
