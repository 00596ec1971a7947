//! Who is not let in, or does not trust the server, is told what to do; and doing it helps.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use walbrook::storage::Storage;
use walbrook::storage::sftp::SftpSettings;
use walbrook::units::{Level, Secret};

use super::{dropbear, network, open, settings};
use crate::support::process::output_of;
use crate::support::rig::{Program, Rig};
use crate::support::sftp::{Kind, SftpServer};

/// What a listing fails with.
#[track_caller]
fn refusal(settings: SftpSettings) -> String {
    let began = Instant::now();
    let storage = open(settings, &network());
    let error = storage.list(Level::SYNC).unwrap_err().to_string();
    assert!(began.elapsed() < Duration::from_secs(25), "{error}");
    error
}

#[track_caller]
fn says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "no {part:?} in: {error}");
    }
}

fn lists(settings: SftpSettings) {
    let files = open(settings, &network()).list(Level::SYNC);
    assert_eq!(files.unwrap(), []);
}

#[test]
fn another_host_key_than_the_pinned_one() {
    let server = SftpServer::start(Kind::OpenSsh);
    let before = settings(&server, "x");
    lists(before.clone());
    let key = server.change_host_key();
    let error = refusal(before.clone());
    says(
        &error,
        &[
            "another key than the `host-key`",
            "Nothing was sent",
            "host-key: ",
        ],
    );
    lists(SftpSettings {
        host_key: Some(key),
        ..before.clone()
    });
    let error = refusal(dropbear(&server, before));
    says(&error, &["another key than the `host-key`", "host-key: "]);
}

/// A command of ours whose ssh has these known hosts. The URL has the password.
struct Known {
    rig: Rig,
    path: String,
    url: String,
}

impl Known {
    fn new(server: &SftpServer) -> Known {
        let place = crate::support::place::Place::on_sftp(server);
        let url = place.url();
        Known {
            rig: Rig::with_replica(place),
            path: server.path_of_user(server.port()),
            url,
        }
    }

    fn known_hosts(&self) -> PathBuf {
        Path::new(self.path.split(':').next().unwrap()).join("known_hosts")
    }

    fn list(&self, url: &str) -> Result<String, String> {
        let mut command = Program::Walbrook.command();
        output_of(command.args(["ltx", url]).env("PATH", &self.path))
    }
}

/// The line between these two texts.
fn between<'a>(error: &'a str, before: &str, after: &str) -> &'a str {
    let (_, rest) = error
        .split_once(before)
        .unwrap_or_else(|| panic!("{error}"));
    rest.split_once(after)
        .unwrap_or_else(|| panic!("{error}"))
        .0
}

#[test]
fn an_unknown_host_key_is_shown_as_the_line_to_add() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let known = Known::new(&server);
    known.list(&known.url).unwrap();
    std::fs::write(known.known_hosts(), "").unwrap();
    let error = known.list(&known.url).unwrap_err();
    says(
        &error,
        &["the server's key is not known", "/etc/ssh/ssh_host_"],
    );
    assert!(!error.contains(&server.password()), "{error}");
    let line = between(&error, "runs this: ", " (or give");
    let expected = std::fs::read_to_string(server.known_hosts()).unwrap();
    assert!(expected.contains(line), "{line}");
    std::fs::write(known.known_hosts(), format!("{line}\n")).unwrap();
    known.list(&known.url).unwrap();
    drop(known.rig);
}

#[test]
fn a_changed_host_key_is_an_alarm() {
    let server = SftpServer::start(Kind::OpenSsh);
    let known = Known::new(&server);
    known.list(&known.url).unwrap();
    server.change_host_key();
    let error = known.list(&known.url).unwrap_err();
    says(
        &error,
        &[
            "is not the one in known_hosts",
            "pretend to be it",
            "ssh-keygen -R",
        ],
    );
    let line = between(&error, "runs this: ", " (or give");
    std::fs::write(known.known_hosts(), format!("{line}\n")).unwrap();
    known.list(&known.url).unwrap();
}

#[test]
fn a_wrong_password() {
    for kind in Kind::ALL {
        let server = SftpServer::shared(kind);
        let password = |word: &str| SftpSettings {
            key_path: None,
            password: Some(Secret::new(word)),
            ..settings(&server, "x")
        };
        lists(password(&server.password()));
        let openssh = refusal(password("hunter2"));
        says(&openssh, &["does not let us in"]);
        let mut errors = vec![openssh];
        // asyncssh lets Dropbear's client try the same password again until its time is up.
        if kind != Kind::AsyncSsh {
            errors.push(refusal(dropbear(&server, password("hunter2"))));
        }
        for error in errors {
            says(&error, &["check `user` and `password`"]);
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

#[test]
fn keys_that_do_not_open() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let key = |path: PathBuf| SftpSettings {
        key_path: Some(path),
        ..settings(&server, "x")
    };
    let stranger = refusal(key(server.strangers_key()));
    says(
        &stranger,
        &["does not let us in", "authorized_keys of `tester`"],
    );
    let locked = refusal(key(server.locked_key()));
    says(&locked, &["does not let us in", "no passphrase"]);
    let missing = refusal(key("/nonexistent/key".into()));
    says(&missing, &["/nonexistent/key"]);
    let foreign = SftpSettings {
        key_path: Some(server.key()),
        ..dropbear(&server, settings(&server, "x"))
    };
    says(
        &refusal(foreign),
        &["Dropbear's own format", "dropbearconvert"],
    );
}

#[test]
fn no_ssh_at_all() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let known = Known::new(&server);
    let mut command = Program::Walbrook.command();
    command
        .args(["ltx", &known.url])
        .env("PATH", "/nonexistent");
    let error = output_of(&mut command).unwrap_err();
    says(
        &error,
        &["there is no program `ssh` here", "openssh-client"],
    );
    let missing = SftpSettings {
        ssh_command: Some("/nonexistent/ssh -J x".to_owned()),
        ..settings(&server, "x")
    };
    says(&refusal(missing), &["/nonexistent/ssh", "openssh-client"]);
}

#[test]
fn nobody_listens_or_nobody_is_there() {
    let server = SftpServer::start(Kind::OpenSsh);
    let settings = settings(&server, "x");
    server.kill();
    says(&refusal(settings.clone()), &["Connection refused"]);
    let nobody = SftpSettings {
        host: "nobody.invalid".to_owned(),
        ..settings
    };
    says(&refusal(nobody), &["nobody.invalid"]);
}

/// Neither command lines nor the environment of OpenSSH's client, which others than the user could come to see.
#[test]
fn passwords_are_seen_nowhere() {
    let server = SftpServer::shared(Kind::OpenSsh);
    let by_password = SftpSettings {
        key_path: None,
        password: Some(Secret::new(server.password())),
        ..settings(&server, "x")
    };
    let storage = open(by_password, &network());
    storage.list(Level::SYNC).unwrap();
    let (port, password) = (server.port().to_string(), server.password());
    let mut clients = 0;
    for process in std::fs::read_dir("/proc").unwrap() {
        let process = process.unwrap().path();
        let text = |name: &str| {
            let bytes = std::fs::read(process.join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let command = text("cmdline");
        if command.starts_with("ssh\0") && command.contains(&port) {
            clients += 1;
            assert!(!command.contains(&password));
            assert!(!text("environ").contains(&password));
        }
    }
    assert!(clients > 0);
}
