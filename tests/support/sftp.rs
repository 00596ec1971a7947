//! Real SSH servers with SFTP, and what is on them as seen without our own code, see `tests/servers/sftp.py`.
//!
//! Most tests use [`SftpServer::shared`], each in a directory of its own; a test that kills, freezes or changes its
//! server starts one for itself.

use std::ops::Deref;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tinyjson::JsonValue;
use walbrook::sys::random::unique;

use super::helper::{field, number, string};
use super::running::Running;

/// A server program, and how it is set up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// OpenSSH's, with its own SFTP; users see the whole machine.
    OpenSsh,
    /// The same, where they see nothing but a directory.
    Chrooted,
    /// Dropbear's with OpenSSH's SFTP program, as on OpenWrt.
    Dropbear,
    /// One that shares no code with the others; users see nothing but a directory.
    AsyncSsh,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Kind; 4] = [
        Kind::OpenSsh,
        Kind::Chrooted,
        Kind::Dropbear,
        Kind::AsyncSsh,
    ];

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Kind::OpenSsh => &["openssh"],
            Kind::Chrooted => &["openssh", "--chroot"],
            Kind::Dropbear => &["dropbear"],
            Kind::AsyncSsh => &["asyncssh"],
        }
    }
}

/// A running server, which ends with its last clone, at the latest with this process.
#[derive(Clone)]
pub(crate) struct SftpServer {
    running: Arc<Running>,
    kind: Kind,
}

impl Deref for SftpServer {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl SftpServer {
    /// Starts one, with everything it keeps in a directory that is removed when it ends.
    #[track_caller]
    pub(crate) fn start(kind: Kind) -> SftpServer {
        let directory = std::env::temp_dir().join(format!("walbrook-server-{:016x}", unique()));
        SftpServer::launch(kind, &directory, true, false)
    }

    /// Starts one that keeps everything in this directory, like one on a disk that can be full.
    #[track_caller]
    pub(crate) fn start_in(directory: &Path, kind: Kind) -> SftpServer {
        SftpServer::launch(kind, directory, false, false)
    }

    /// The one that all tests of this process use together. Each works under its own [`SftpServer::fresh_name`].
    #[track_caller]
    pub(crate) fn shared(kind: Kind) -> SftpServer {
        static SERVERS: [OnceLock<SftpServer>; 4] = [const { OnceLock::new() }; 4];
        let start = || {
            let directory = std::env::temp_dir().join(format!("walbrook-server-{:016x}", unique()));
            SftpServer::launch(kind, &directory, true, true)
        };
        SERVERS[kind as usize].get_or_init(start).clone()
    }

    #[track_caller]
    fn launch(kind: Kind, directory: &Path, remove: bool, shared: bool) -> SftpServer {
        let (&program, more) = kind.arguments().split_first().unwrap();
        let mut arguments = vec![program, directory.to_str().unwrap()];
        arguments.extend(more);
        if remove {
            arguments.push("--remove");
        }
        SftpServer {
            running: Arc::new(Running::start("sftp.py", &arguments, shared)),
            kind,
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its port, of 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.count("port") as u16
    }

    pub(crate) fn user(&self) -> String {
        self.fact("user")
    }

    pub(crate) fn password(&self) -> String {
        self.fact("password")
    }

    /// A file with the user's key, as OpenSSH writes it.
    pub(crate) fn key(&self) -> PathBuf {
        self.fact("key").into()
    }

    /// The same key in Dropbear's format.
    pub(crate) fn dropbear_key(&self) -> PathBuf {
        self.fact("key_dropbear").into()
    }

    /// A key that opens too, but is itself behind a passphrase.
    pub(crate) fn locked_key(&self) -> PathBuf {
        self.fact("key_locked").into()
    }

    /// A key that the server does not know.
    pub(crate) fn strangers_key(&self) -> PathBuf {
        self.fact("key_stranger").into()
    }

    /// The lines of known_hosts for it, in a file.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.fact("known_hosts").into()
    }

    /// A key that it proved itself with when it was first started, as `host-key` wants it: the one that Litestream
    /// takes from a server with several.
    pub(crate) fn host_key(&self) -> String {
        host_key_in(self.facts(), "ecdsa")
    }

    /// The same of this kind: `ed25519`, `ecdsa` or `rsa`.
    pub(crate) fn host_key_of(&self, kind: &str) -> String {
        host_key_in(self.facts(), kind)
    }

    /// A directory of the user's, as the user sees it.
    pub(crate) fn place(&self) -> String {
        self.fact("place")
    }

    /// The same directory, as this machine sees it.
    pub(crate) fn local(&self) -> PathBuf {
        self.fact("local").into()
    }

    /// What it prints.
    pub(crate) fn log(&self) -> String {
        let bytes = std::fs::read(self.fact("log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A name in the user's directory that nobody else uses.
    pub(crate) fn fresh_name(&self) -> String {
        format!("test-{:016x}", unique())
    }

    /// A PATH whose ssh knows the server under this port, and nothing else of this machine, whose own configuration
    /// would not be that of the test. dbclient, which it has too, looks into $HOME only.
    #[track_caller]
    pub(crate) fn path_of_user(&self, port: u16) -> String {
        let directory = PathBuf::from(self.fact("dir")).join(format!("user-{port}-{:x}", unique()));
        let known_hosts = directory.join("known_hosts");
        std::fs::create_dir(&directory).unwrap();
        let known = std::fs::read_to_string(self.known_hosts()).unwrap();
        let known = known.replace(&format!(":{}", self.port()), &format!(":{port}"));
        std::fs::write(&known_hosts, known).unwrap();
        let config = directory.join("config");
        let lines = format!(
            "UserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
            known_hosts.display()
        );
        std::fs::write(&config, lines).unwrap();
        let ssh = directory.join("ssh");
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            config.display()
        );
        std::fs::write(&ssh, script).unwrap();
        std::fs::set_permissions(&ssh, std::fs::Permissions::from_mode(0o755)).unwrap();
        let others = std::env::var("PATH").unwrap();
        format!("{}:{others}", directory.display())
    }

    /// Makes a directory, and what is in it, the user's.
    #[track_caller]
    pub(crate) fn give_to_user(&self, directory: &Path) {
        let user = self.count("uid") as u32;
        chown(directory, Some(user), Some(user)).unwrap();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => self.give_to_user(&path),
                false => chown(&path, Some(user), Some(user)).unwrap(),
            }
        }
    }

    /// Kills the sessions, not the server.
    #[track_caller]
    pub(crate) fn drop_sessions(&self) {
        self.handle("drop");
    }

    /// Starts it again with other host keys; gives the one that `host-key` wants now.
    #[track_caller]
    pub(crate) fn change_host_key(&self) -> String {
        host_key_in(&self.handle("new_host_key"), "ecdsa")
    }

    /// How many processes there are beside the server's own: none, one or two for each session, by the program.
    #[track_caller]
    pub(crate) fn sessions(&self) -> u64 {
        let answer = self.ask("count", &[]);
        number(field(&answer, "sessions").unwrap())
    }
}

fn host_key_in(facts: &JsonValue, kind: &str) -> String {
    let keys = field(facts, "host_keys").unwrap();
    string(field(keys, kind).unwrap())
}
