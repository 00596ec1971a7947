//! Every SSH server lets its user in by key and by password, keeps what it is given, and is gone when we are.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::support::disk::Disk;
use crate::support::process::{eventually, wait_until};
use crate::support::proxy::Proxy;
use crate::support::rig::Rig;
use crate::support::sftp::{Kind, SftpServer};

/// What OpenSSH's own client makes of these commands.
fn sftp(server: &SftpServer, port: u16, key: &Path, commands: &str) -> Output {
    let mut command = Command::new("sftp");
    let known_hosts = server.known_hosts().display().to_string();
    let options = [
        "BatchMode=yes",
        "IdentitiesOnly=yes",
        &format!("UserKnownHostsFile={known_hosts}"),
        // Through a proxy it is the same server.
        &format!("HostKeyAlias=[127.0.0.1]:{}", server.port()),
    ]
    .map(|option| ["-o".to_owned(), option.to_owned()]);
    command.args(["-F", "none"]).args(options.as_flattened());
    command.args(["-b", "-", "-P", &port.to_string()]);
    command.arg("-i").arg(key);
    let script = Rig::new();
    let commands = format!("cd {}\n{commands}", server.place());
    std::fs::write(script.path("commands"), commands).unwrap();
    let input = std::fs::File::open(script.path("commands")).unwrap();
    command.arg(format!("{}@127.0.0.1", server.user()));
    command.stdin(Stdio::from(input)).output().unwrap()
}

fn stdout(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn servers_keep_files() {
    for kind in Kind::ALL {
        println!("{kind:?}");
        let server = SftpServer::start(kind);
        assert_eq!(server.kind(), kind);
        let put = format!("put {}", server.known_hosts().display());
        let put = |name: &str| {
            sftp(
                &server,
                server.port(),
                &server.key(),
                &format!("{put} {name}"),
            )
        };
        stdout(&put("kept"));
        let local = server.local().join("kept");
        let content = std::fs::read(&local).unwrap();
        assert_eq!(content, std::fs::read(server.known_hosts()).unwrap());
        assert_ne!(std::fs::metadata(&local).unwrap().uid(), 0);
        server.kill();
        assert!(!put("meanwhile").status.success());
        server.start_again();
        server.stop();
        server.start_again();
        stdout(&put("after"));
        assert_eq!(std::fs::read(&local).unwrap(), content);

        // The user may not do what root may.
        let closed = server.local().join("closed");
        std::fs::create_dir(&closed).unwrap();
        let refused = put("closed/x");
        let error = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(error.contains("Permission denied"), "{error}");
        server.give_to_user(&closed);
        stdout(&put("closed/x"));
    }
}

#[test]
fn strangers_stay_outside() {
    for kind in Kind::ALL {
        let server = SftpServer::shared(kind);
        for key in [server.strangers_key(), server.locked_key()] {
            let output = sftp(&server, server.port(), &key, "ls");
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(error.contains("Permission denied"), "{kind:?} {error}");
        }
    }
}

/// How a client is told a password: by a program that prints it, or by its environment.
#[test]
fn passwords_open() {
    let scratch = Rig::new();
    let ask = scratch.path("ask");
    std::fs::write(&ask, "#!/bin/sh\necho \"$WORD\"\n").unwrap();
    std::fs::set_permissions(&ask, std::fs::Permissions::from_mode(0o755)).unwrap();
    for kind in Kind::ALL {
        let server = SftpServer::shared(kind);
        for (word, opens) in [(server.password(), true), ("wrong".to_owned(), false)] {
            let mut command = Command::new("sftp");
            command.env("SSH_ASKPASS", &ask).env("WORD", word);
            command.env("SSH_ASKPASS_REQUIRE", "force");
            let known_hosts = format!("UserKnownHostsFile={}", server.known_hosts().display());
            command.args(["-F", "none", "-o", &known_hosts]);
            command.args([
                "-o",
                "NumberOfPasswordPrompts=1",
                "-o",
                "PubkeyAuthentication=no",
            ]);
            command.args(["-P", &server.port().to_string()]);
            command.arg(format!("{}@127.0.0.1", server.user()));
            let output = command.stdin(Stdio::null()).output().unwrap();
            assert_eq!(output.status.success(), opens, "{kind:?} {output:?}");
        }
    }
}

#[test]
fn dropbear_s_client_comes_in_too() {
    for kind in Kind::ALL {
        let server = SftpServer::shared(kind);
        let home = Rig::new();
        std::fs::create_dir(home.path(".ssh")).unwrap();
        let known = std::fs::read_to_string(server.known_hosts()).unwrap();
        let known = known.replace(&format!("[127.0.0.1]:{}", server.port()), "127.0.0.1");
        std::fs::write(home.path(".ssh/known_hosts"), known).unwrap();
        let mut command = Command::new("timeout");
        command.args([
            "20",
            "dbclient",
            "-T",
            "-p",
            &server.port().to_string(),
            "-i",
        ]);
        command
            .arg(server.dropbear_key())
            .env("HOME", home.path(""));
        command
            .arg("-s")
            .arg(format!("{}@127.0.0.1", server.user()));
        let mut child = command
            .arg("sftp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        use std::io::{Read, Write};
        // SSH_FXP_INIT of version 3, answered by SSH_FXP_VERSION.
        let init = [0, 0, 0, 5, 1, 0, 0, 0, 3];
        child.stdin.as_mut().unwrap().write_all(&init).unwrap();
        let mut answer = [0; 9];
        let read = child.stdout.as_mut().unwrap().read_exact(&mut answer);
        read.unwrap_or_else(|error| panic!("{kind:?}: {error}\n{}", server.log()));
        assert_eq!(answer[4..], [2, 0, 0, 0, 3], "{kind:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

#[test]
fn sessions_hang_and_die_with_the_server_or_alone() {
    for kind in [Kind::OpenSsh, Kind::Chrooted, Kind::Dropbear] {
        let server = SftpServer::start(kind);
        let path = server.path_of_user(server.port());
        let session = || {
            let mut command = Command::new("ssh");
            command.env("PATH", &path).arg("-i").arg(server.key());
            command.args([
                "-o",
                "BatchMode=yes",
                "-p",
                &server.port().to_string(),
                "-s",
            ]);
            command
                .arg(format!("{}@127.0.0.1", server.user()))
                .arg("sftp");
            command
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let mut one = session();
        wait_until("in", || server.sessions() > 0);
        server.drop_sessions();
        one.wait().unwrap();
        wait_until("gone", || server.sessions() == 0);
        let mut another = session();
        wait_until("in", || server.sessions() > 0);
        server.freeze();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(another.try_wait().unwrap(), None);
        server.thaw();
        server.kill();
        another.wait().unwrap();
    }
}

#[test]
fn an_ssh_server_s_disk_is_full_for_a_while() {
    let rig = Rig::new();
    let disk = Disk::new(&rig.path(""), 16);
    let directory = disk.path().join("server");
    let server = SftpServer::start_in(&directory, Kind::OpenSsh);
    let put = format!("put {} file", server.key().display());
    let put = || sftp(&server, server.port(), &server.key(), &put);
    stdout(&put());
    std::fs::remove_file(server.local().join("file")).unwrap();
    disk.fill();
    let refused = String::from_utf8_lossy(&put().stderr).into_owned();
    assert!(refused.contains("Failure"), "{refused}");
    disk.free();
    stdout(&put());
}

#[test]
fn host_keys_change() {
    let server = SftpServer::start(Kind::OpenSsh);
    let before = server.host_key();
    let after = server.change_host_key();
    let known = std::fs::read_to_string(server.known_hosts()).unwrap();
    assert!(
        known.contains(&after) && !known.contains(&before),
        "{known}"
    );
    stdout(&sftp(&server, server.port(), &server.key(), "ls"));
}

#[test]
fn a_proxy_makes_the_way_long_and_narrow() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let proxy = Proxy::before_ssh(&server);
    let content = vec![7; 100_000];
    let scratch = Rig::new();
    std::fs::write(scratch.path("file"), &content).unwrap();
    let name = server.fresh_name();
    let put = format!("put {} {name}", scratch.path("file").display());
    stdout(&sftp(&server, proxy.port(), &server.key(), &put));
    proxy.rate(100_000);
    let began = std::time::Instant::now();
    stdout(&sftp(&server, proxy.port(), &server.key(), &put));
    assert!(began.elapsed() >= Duration::from_secs(1));
    eventually(|| match std::fs::read(server.local().join(&name)) {
        Ok(bytes) if bytes == content => Ok(()),
        other => Err(format!("{} bytes", other.map_or(0, |bytes| bytes.len()))),
    });
}

#[test]
fn no_ssh_server_outlives_us() {
    let server = SftpServer::start(Kind::OpenSsh);
    let (port, directory) = (server.port(), server.local());
    drop(server);
    let error = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(!directory.exists());
}
