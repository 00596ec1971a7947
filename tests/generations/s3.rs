//! Replicas of Litestream 0.3 on S3.

use std::process::Command;

use super::{Vector, restored};
use crate::s3::{network, open, settings};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::Program;
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use walbrook::restore::{RestoreError, Target};
use walbrook::storage::Storage;
use walbrook::storage::s3::Settings;

/// Puts a replica under a path of its own, which is given.
fn plant(server: &S3Server, vector: &Vector) -> String {
    let path = server.fresh_path();
    for (file, _) in &vector.files {
        server.put(&format!("{path}/{file}"), &vector.bytes(file));
    }
    path
}

#[test]
fn the_newest_state_comes_from_every_server() {
    for kind in Kind::all() {
        let server = S3Server::shared(kind, Tls::Off);
        for name in ["pages_512", "only_a_snapshot"] {
            let vector = Vector::named(name);
            let path = plant(&server, &vector);
            // A neighbour whose name begins the same.
            server.put(&format!("{path}x/generations/0123456789abcdef/wal/x"), b"x");
            server.put(&format!("{path}/generations/foreign"), b"x");
            let storage = open(settings(&server, &path), &network());
            assert_eq!(
                storage.list_generations().unwrap().len(),
                vector.files.len()
            );
            let digest = restored(&storage, Target::Latest);
            assert_eq!(digest.unwrap(), vector.newest(), "{kind:?}");
        }
    }
}

#[test]
fn downloads_that_break_off_and_files_that_are_gone() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let vector = Vector::named("pages_65536");
    let path = plant(&server, &vector);
    let proxy = Proxy::before(&server);
    let through = Settings {
        endpoint: Some(proxy.endpoint()),
        ..settings(&server, &path)
    };
    let storage = open(through, &network());
    proxy.fault_on("^GET .*lz4", 3, Fault::ResetDown(100));
    let digest = restored(&storage, Target::Latest);
    assert_eq!(digest.unwrap(), vector.newest());
    assert_eq!(proxy.counts().faulted, 3);
    let (segment, _) = vector
        .files
        .iter()
        .rfind(|(path, _)| path.contains("/wal/"))
        .unwrap();
    let (first, _) = vector
        .files
        .iter()
        .find(|(path, _)| path.contains("/wal/"))
        .unwrap();
    server.delete(&format!("{path}/{segment}"));
    assert_ne!(restored(&storage, Target::Latest).unwrap(), vector.newest());
    server.delete(&format!("{path}/{first}"));
    let error = restored(&storage, Target::Latest).unwrap_err();
    assert!(matches!(error, RestoreError::Generation(_)), "{error}");
}

#[test]
fn on_the_command_line() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let vector = Vector::named("pages_512");
    let path = plant(&server, &vector);
    let scratch = Scratch::new();
    let output = scratch.path().join("app.db");
    let url = format!(
        "s3://{}/{path}?endpoint={}&region={}&forcePathStyle=true",
        server.bucket(),
        server.endpoint(),
        server.region()
    );
    let mut command: Command = Program::Walbrook.command();
    command
        .args(["restore", "-integrity-check", "full", "-o"])
        .arg(&output)
        .arg(url)
        .env("AWS_ACCESS_KEY_ID", server.access_key_id())
        .env("AWS_SECRET_ACCESS_KEY", server.secret_access_key());
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let digest = crate::ltx::vectors::sha256(&std::fs::read(&output).unwrap());
    assert_eq!(digest, vector.newest());
}
