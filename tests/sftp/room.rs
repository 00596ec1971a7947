//! Servers whose disk is full, whose directories are closed or read-only: said clearly, nothing lost, and gone on from.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use walbrook::storage::Storage;
use walbrook::storage::sftp::SftpSettings;
use walbrook::units::{Level, Timestamp};

use super::{network, open, settings};
use crate::conformance::{Bytes, get, name, put};
use crate::support::application::Session;
use crate::support::disk::Disk;
use crate::support::place::Place;
use crate::support::process::{output_of, wait_until};
use crate::support::rig::{Program, Rig};
use crate::support::sftp::{Kind, SftpServer};

#[test]
fn a_full_disk_of_the_server_s_holds_replication_up_until_there_is_room() {
    let scratch = Rig::new();
    let disk = Disk::new(&scratch.path(""), 16);
    let server = SftpServer::start_in(&disk.path().join("server"), Kind::OpenSsh);
    let rig = Rig::with_replica(Place::on_sftp(&server));
    let mut session = Session::create(&rig.db());
    let walbrook = rig.start(Program::Walbrook);
    wait_until("replicated", || rig.newest() > 0);
    rig.wait_in_sync();
    disk.fill();
    session.insert("t", 500);
    walbrook.wait_for("free some space");
    disk.free();
    rig.wait_in_sync();
    walbrook.stop().well();
    rig.assert_in_sync();
}

#[test]
fn an_exhausted_quota_holds_replication_up_until_there_is_more() {
    let server = SftpServer::start(Kind::AsyncSsh);
    let quota = server.local().parent().unwrap().join("quota");
    let rig = Rig::with_replica(Place::on_sftp(&server));
    let mut session = Session::create(&rig.db());
    let walbrook = rig.start(Program::Walbrook);
    walbrook.wait_for("synced ");
    std::fs::write(&quota, "10000").unwrap();
    session.insert("t", 500);
    walbrook.wait_for("quota");
    std::fs::remove_file(&quota).unwrap();
    rig.wait_in_sync();
    walbrook.stop().well();
    rig.assert_in_sync();
}

/// What a write fails with.
#[track_caller]
fn refusal(storage: &dyn Storage) -> String {
    let write = storage.write(name(0, 2, 2), Timestamp::from_millis(0), &Bytes(b"two"));
    let error = write.unwrap_err();
    assert!(!error.outcome_unknown(), "{error}");
    error.to_string()
}

#[test]
fn directories_that_are_closed_to_the_user() {
    for kind in Kind::ALL {
        let server = SftpServer::shared(kind);
        let name_there = server.fresh_name();
        let storage = open(settings(&server, &name_there), &network());
        put(&storage, name(0, 1, 1), b"one");
        let level = server.local().join(&name_there).join("ltx/0");
        let mode = |mode| std::fs::set_permissions(&level, Permissions::from_mode(mode)).unwrap();
        mode(0o500);
        let error = refusal(&storage);
        assert!(error.contains("check owner and mode"), "{kind:?}: {error}");
        assert!(error.contains(&name_there), "{kind:?}: {error}");
        // It can still be read.
        assert_eq!(get(&storage, name(0, 1, 1)), b"one");
        assert!(storage.delete(&[name(0, 1, 1)]).is_err(), "{kind:?}");
        mode(0o700);
        put(&storage, name(0, 2, 2), b"two");
        storage.delete(&[name(0, 1, 1)]).unwrap();

        // One that cannot even be looked into is no empty replica.
        mode(0);
        let error = storage.list(Level::SYNC).unwrap_err().to_string();
        assert!(error.contains("check owner and mode"), "{kind:?}: {error}");
        let elsewhere = SftpSettings {
            path: "/closed/to/all".to_owned(),
            ..settings(&server, "x")
        };
        let outside = open(elsewhere, &network());
        let error = refusal(&outside);
        assert!(error.contains("/closed"), "{kind:?}: {error}");
    }
}

#[test]
fn a_file_system_that_is_read_only_is_said_to_be() {
    let scratch = Rig::new();
    let disk = Disk::new(&scratch.path(""), 16);
    let server = SftpServer::start_in(&disk.path().join("server"), Kind::OpenSsh);
    let storage = open(settings(&server, "x"), &network());
    put(&storage, name(0, 1, 1), b"one");
    let namespace = format!("--mount=/proc/{}/ns/mnt", server.pid());
    let remount = |how: &str| {
        let mut command = Command::new("nsenter");
        command.args([&namespace, "mount", "-o", how, "/mnt"]);
        output_of(&mut command).unwrap();
    };
    remount("remount,bind,ro");
    let error = refusal(&storage);
    assert!(error.contains("read-only"), "{error}");
    assert_eq!(get(&storage, name(0, 1, 1)), b"one");
    remount("remount,bind,rw");
    put(&storage, name(0, 2, 2), b"two");
}
