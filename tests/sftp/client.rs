//! What the user's own SSH client is set up for holds for replicas: a host's alias and key, a jump host, an agent.

use std::fs;
use std::path::Path;
use std::process::Command;

use walbrook::storage::Storage;
use walbrook::storage::sftp::SftpSettings;

use super::{network, open};
use crate::conformance::{name, names, put};
use crate::support::process::{Process, output_of, wait_until};
use crate::support::rig::Program;
use crate::support::scratch::Scratch;
use crate::support::sftp::{Kind, SftpServer};

/// The lines of a configuration for this server.
fn host(alias: &str, server: &SftpServer, more: &str) -> String {
    format!(
        "Host {alias}\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  UserKnownHostsFile {}\n  {more}\n",
        server.port(),
        server.user(),
        server.known_hosts().display()
    )
}

/// A replica at `host`, about which only this configuration knows more.
fn configured(scratch: &Scratch, host: &str, lines: &str, server: &SftpServer) -> SftpSettings {
    let config = scratch.path().join("config");
    fs::write(&config, lines).unwrap();
    SftpSettings {
        ssh_command: Some(format!("ssh -F {}", config.display())),
        ..SftpSettings::new(host, format!("{}/{}", server.place(), server.fresh_name()))
    }
}

/// Whether a process was told something of this directory.
fn is_named(directory: &Path) -> bool {
    let directory = directory.as_os_str().as_encoded_bytes();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.windows(directory.len()).any(|part| part == directory))
}

#[test]
fn a_server_behind_a_jump_host_is_reached_and_left_again() {
    let (near, far) = (
        SftpServer::start(Kind::OpenSsh),
        SftpServer::shared(Kind::Chrooted),
    );
    let scratch = Scratch::new();
    let key = |server: &SftpServer| format!("IdentityFile {}", server.key().display());
    let jump = format!("ProxyJump near\n  {}", key(&far));
    let lines = host("near", &near, &key(&near)) + &host("far", &far, &jump);
    let storage = open(configured(&scratch, "far", &lines, &far), &network());
    put(&storage, name(0, 1, 1), b"one");
    assert_eq!(names(&storage, 0), [name(0, 1, 1)]);
    assert!(near.sessions() > 0);

    // A jump host that goes away takes the session with it, and is found again.
    near.drop_sessions();
    wait_until("listed", || storage.list(name(0, 1, 1).level).is_ok());
    assert!(is_named(scratch.path()));
    drop(storage);
    wait_until("left", || near.sessions() == 0 && !is_named(scratch.path()));
}

#[test]
fn the_agent_is_asked_for_a_key() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let scratch = Scratch::new();
    let socket = scratch.path().join("agent");
    let _agent = Process::start(
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket),
        &scratch.path().join("agent.log"),
    );
    wait_until("an agent", || socket.exists());
    let settings = configured(&scratch, "nas", &host("nas", &server, ""), &server);
    let list = || {
        let config = scratch.path().join("walbrook.yml");
        let replica = format!(
            "dbs:\n  - path: /nonexistent.db\n    replica:\n      type: sftp\n      host: nas\n      path: {}\n      \
             ssh-command: {}\n",
            settings.path,
            settings.ssh_command.as_ref().unwrap()
        );
        fs::write(&config, replica).unwrap();
        let mut command = Program::Walbrook.command();
        command
            .arg("ltx")
            .arg("-config")
            .arg(&config)
            .arg("/nonexistent.db");
        output_of(command.env("SSH_AUTH_SOCK", &socket))
    };
    let error = list().unwrap_err();
    assert!(error.contains("the server does not let us in"), "{error}");
    output_of(
        Command::new("ssh-add")
            .arg(server.key())
            .env("SSH_AUTH_SOCK", &socket),
    )
    .unwrap();
    list().unwrap();
}
