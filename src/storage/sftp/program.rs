//! The program that connects: which one it is, and its command line. OpenSSH's `ssh` and Dropbear's `dbclient` both run
//! the subsystem `sftp` of a server over their standard input and output, but differ in all else:
//!
//! | | OpenSSH | Dropbear |
//! | --- | --- | --- |
//! | never ask | `BatchMode`, `StrictHostKeyChecking` | it is ended when it asks (`diagnosis`) |
//! | a pinned host key | a file of known hosts that is in memory | a home directory of its own |
//! | password | a helper (`askpass`) | the variable `DROPBEAR_PASSWORD`, its one way |
//!
//! A variable of a process can be read by the same user and root alone (`/proc/<number>/environ` has mode 0400), which
//! could read our memory just as well.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::askpass::Passing;
use super::packet::Packet;
use super::settings::SftpSettings;
use crate::sys::random;

/// Where programs are looked for, where the environment does not say.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What to do where there is no `ssh`.
const INSTALL: &str = "install an SSH client (the package `openssh-client` on Debian, Ubuntu and OpenWrt, \
    `openssh-client-default` on Alpine, `openssh-clients` on Fedora), or name one with `ssh-command`";

/// Whose language a program speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Dialect {
    OpenSsh,
    Dropbear,
}

/// Which host keys are accepted.
#[derive(Clone, Copy)]
pub(super) enum HostKeys<'a> {
    /// Those that the user's own files know.
    Known,
    /// This one.
    Pinned(&'a str),
    /// Any; the key is written into the file of known hosts that [`Prepared`] holds. For looking at it alone.
    Learn,
}

/// A program with its first arguments.
pub(super) struct Program {
    words: Vec<String>,
    pub(super) dialect: Dialect,
}

impl Program {
    /// The program that `settings` name, else `ssh`, else `dbclient`.
    ///
    /// # Errors
    /// What to do, if there is none.
    pub(super) fn find(settings: &SftpSettings) -> Result<Program, String> {
        let words: Vec<String> = match &settings.ssh_command {
            Some(command) => command.split_whitespace().map(str::to_owned).collect(),
            None => {
                let known = ["ssh", "dbclient"];
                let found = known.iter().find(|name| in_path(name).is_some());
                let found =
                    found.ok_or_else(|| format!("there is no program `ssh` here; {INSTALL}"))?;
                vec![(*found).to_owned()]
            }
        };
        let Some(first) = words.first() else {
            return Err("`ssh-command` is empty".to_owned());
        };
        if in_path(first).is_none() {
            return Err(format!("there is no program `{first}` here; {INSTALL}"));
        }
        let is_dropbear = words.iter().any(|word| {
            let target = in_path(word).and_then(|path| path.canonicalize().ok());
            let name = target.as_deref().and_then(Path::file_name);
            let name = name.and_then(OsStr::to_str).unwrap_or_default();
            name.contains("dropbear") || name.contains("dbclient")
        });
        Ok(Program {
            dialect: match is_dropbear {
                true => Dialect::Dropbear,
                false => Dialect::OpenSsh,
            },
            words,
        })
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.words[0]
    }

    /// What to start for a session at the server of `settings`.
    ///
    /// # Errors
    /// When something cannot be said to the program, or the temporary directory cannot be written to.
    pub(super) fn prepare(
        &self,
        settings: &SftpSettings,
        keys: HostKeys<'_>,
        helper: Option<&Path>,
    ) -> io::Result<Prepared> {
        for (what, text) in [
            ("host", Some(&settings.host)),
            ("user", settings.user.as_ref()),
        ] {
            if text.is_some_and(|text| !is_safe(text)) {
                return Err(io::Error::other(format!(
                    "this is not a {what} that a program can be told"
                )));
            }
        }
        let mut command = Command::new(&self.words[0]);
        command
            .args(&self.words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // So that it and what it starts end together, and not by a signal from a terminal, which is ours to heed.
            .process_group(0);
        let mut prepared = Prepared {
            command,
            greeting: Packet::init().finish(0),
            known_hosts: None,
            home: None,
            _password: None,
        };
        match self.dialect {
            Dialect::OpenSsh => prepared.speak_openssh(settings, keys, helper)?,
            Dialect::Dropbear => prepared.speak_dropbear(settings, keys)?,
        }
        Ok(prepared)
    }
}

/// A command line, and what has to be there until the session is.
pub(super) struct Prepared {
    pub(super) command: Command,
    /// What is said to it first.
    pub(super) greeting: Vec<u8>,
    known_hosts: Option<File>,
    home: Option<Home>,
    _password: Option<Passing>,
}

impl Prepared {
    fn speak_openssh(
        &mut self,
        settings: &SftpSettings,
        keys: HostKeys<'_>,
        helper: Option<&Path>,
    ) -> io::Result<()> {
        let command = &mut self.command;
        // What a user's configuration may add for sessions at a terminal.
        command.args([
            "-x",
            "-a",
            "-oClearAllForwardings=yes",
            "-oPermitLocalCommand=no",
            "-oControlMaster=no",
            "-oConnectTimeout=30",
        ]);
        match (keys, &settings.password) {
            (HostKeys::Learn, _) => {
                command.args(["-oBatchMode=yes", "-oPreferredAuthentications=none"])
            }
            (_, None) => command.arg("-oBatchMode=yes"),
            (_, Some(password)) => {
                self._password = Some(Passing::new(password, helper, command)?);
                command.arg("-oNumberOfPasswordPrompts=1")
            }
        };
        command.arg(match keys {
            HostKeys::Learn => "-oStrictHostKeyChecking=accept-new",
            _ => "-oStrictHostKeyChecking=yes",
        });
        if !matches!(keys, HostKeys::Known) {
            // Opened by `ssh` through this process, so that there is no file to be left behind.
            let file = rustix::fs::memfd_create("known_hosts", rustix::fs::MemfdFlags::CLOEXEC)?;
            let mut file = File::from(file);
            if let HostKeys::Pinned(key) = keys {
                writeln!(file, "{} {key}", known_name(settings))?;
            }
            let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
            self.known_hosts = Some(file);
            command.args([
                &format!("-oUserKnownHostsFile={path}"),
                "-oGlobalKnownHostsFile=/dev/null",
                "-oUpdateHostKeys=no",
                "-oHashKnownHosts=no",
            ]);
            if let HostKeys::Pinned(_) = keys {
                // Whatever the host's name is an alias of.
                command.arg(format!("-oHostKeyAlias={}", known_name(settings)));
            }
        }
        match &settings.key_path {
            _ if matches!(keys, HostKeys::Learn) => {}
            Some(path) => {
                command.arg("-oIdentitiesOnly=yes").arg("-i").arg(path);
            }
            // Without a key of its own the agent's would be tried first, and use up the attempts a server grants.
            None if settings.password.is_some() => {
                command.arg("-oPubkeyAuthentication=no");
            }
            None => {}
        }
        self.name_server(settings);
        self.command.args(["-s", "--", &settings.host, "sftp"]);
        Ok(())
    }

    fn speak_dropbear(&mut self, settings: &SftpSettings, keys: HostKeys<'_>) -> io::Result<()> {
        self.command.arg("-T");
        if let Some(password) = &settings.password {
            self.command.env("DROPBEAR_PASSWORD", password.reveal());
        }
        let mut key = settings.key_path.clone();
        if !matches!(keys, HostKeys::Known) {
            let home = Home::new()?;
            match keys {
                HostKeys::Pinned(pinned) => {
                    home.write(&format!("{} {pinned}\n", settings.host))?;
                    // The key it would have looked for in the user's own.
                    let usual = std::env::home_dir().map(|home| home.join(".ssh/id_dropbear"));
                    key = key.or(usual.filter(|path| path.exists()));
                }
                _ => {
                    // It adds a key to its file only when its question is answered, if need be by its input.
                    self.greeting = b"y\n".to_vec();
                    key = None;
                }
            }
            self.command.env("HOME", &home.0);
            self.home = Some(home);
        }
        if let Some(path) = key {
            self.command.arg("-i").arg(path);
        }
        self.name_server(settings);
        self.command.args(["-s", &settings.host, "sftp"]);
        Ok(())
    }

    fn name_server(&mut self, settings: &SftpSettings) {
        if let Some(port) = settings.port {
            self.command.arg("-p").arg(port.to_string());
        }
        if let Some(user) = &settings.user {
            self.command.arg("-l").arg(user);
        }
    }

    /// The lines of the file of known hosts, after a run that was to learn them.
    pub(super) fn learnt(&self) -> Option<String> {
        let text = match (&self.known_hosts, &self.home) {
            (Some(file), _) => fs::read(format!("/proc/self/fd/{}", file.as_raw_fd())),
            (None, Some(home)) => fs::read(home.0.join(".ssh/known_hosts")),
            (None, None) => return None,
        };
        let text = String::from_utf8(text.ok()?).ok()?;
        let line = text.lines().find(|line| line.contains(" AAAA"))?;
        (line.len() < 2000).then(|| line.trim().to_owned())
    }
}

/// The name under which OpenSSH knows the server.
pub(super) fn known_name(settings: &SftpSettings) -> String {
    match settings.port {
        Some(port) if port != 22 => format!("[{}]:{port}", settings.host),
        _ => settings.host.clone(),
    }
}

/// A home directory for a program that looks for its files nowhere else.
struct Home(PathBuf);

impl Home {
    fn new() -> io::Result<Home> {
        let name = format!("walbrook-ssh-{:016x}", random::unique());
        let path = std::env::temp_dir().join(name);
        let mut private = DirBuilder::new();
        private.mode(0o700);
        private.create(&path)?;
        let home = Home(path);
        private.create(home.0.join(".ssh"))?;
        Ok(home)
    }

    fn write(&self, known_hosts: &str) -> io::Result<()> {
        fs::write(self.0.join(".ssh/known_hosts"), known_hosts)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether it cannot be taken for an option, nor for more than one word of a line.
fn is_safe(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_control() || c.is_whitespace())
}

/// Where the program `name` is, looked for as a shell does.
fn in_path(name: &str) -> Option<PathBuf> {
    if name.contains('/') {
        let path = PathBuf::from(name);
        return path.is_file().then_some(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into());
    let mut places = std::env::split_paths(&path).map(|directory| directory.join(name));
    places.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Secret;

    #[test]
    fn nothing_secret_stands_on_a_command_line_or_in_the_environment_of_openssh() {
        let mut settings = SftpSettings::new("nas", "/x");
        settings.ssh_command = Some("/bin/sh".to_owned());
        settings.password = Some(Secret::new("hunter2"));
        settings.user = Some("ada".to_owned());
        settings.port = Some(2222);
        let program = Program::find(&settings).unwrap();
        let pinned = HostKeys::Pinned("ssh-ed25519 AAAA");
        let prepared = program.prepare(&settings, pinned, None).unwrap();
        let shown = format!("{:?}", prepared.command);
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("SSH_ASKPASS_REQUIRE"), "{shown}");
        assert_eq!(prepared.learnt().unwrap(), "[nas]:2222 ssh-ed25519 AAAA");
    }

    #[test]
    fn programs_are_told_apart_and_missed() {
        let mut settings = SftpSettings::new("nas", "/x");
        settings.ssh_command = Some("env /nonexistent/dbclient".to_owned());
        let found = |settings: &SftpSettings| Program::find(settings).map(|found| found.dialect);
        assert_eq!(found(&settings), Ok(Dialect::OpenSsh));
        settings.ssh_command = Some("/nonexistent/ssh".to_owned());
        let error = found(&settings).unwrap_err();
        assert!(
            error.contains("/nonexistent/ssh") && error.contains("openssh-client"),
            "{error}"
        );
        settings.host = "-oProxyCommand=sh".to_owned();
        settings.ssh_command = Some("sh".to_owned());
        let program = Program::find(&settings).unwrap();
        assert!(program.prepare(&settings, HostKeys::Known, None).is_err());
    }
}
