//! How a password comes to OpenSSH, which asks nobody but a terminal or the program that `SSH_ASKPASS` names. That
//! program is our own binary, and what it prints comes out of a pipe of the process that started `ssh`:
//!
//! `walbrook` ── pipe ──▶ `/proc/<its number>/fd/<n>` ──▶ helper ──▶ `ssh`
//!
//! The environment of `ssh` names that path and not the password. The kernel lets nobody but the same user and root
//! open it, there is nothing on a disk, and the pipe gives the password once.
//!
//! A jump host's `ssh` inherits the environment, and must not be told the password of another server. It does not ask
//! for `sftp`, which the last argument of the program that asks tells.

use std::fs::{self, File};
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::units::Secret;

/// Names the pipe.
const VARIABLE: &str = "WALBROOK_ASKPASS";
/// More is no password, and would not fit into the pipe.
const BYTES_MAX: usize = 4096;

/// A password on its way.
pub(super) struct Passing {
    pipe: PipeReader,
}

impl Passing {
    /// Has `ssh`, which `command` is going to start, told the password by `helper`; none is this very program.
    ///
    /// # Errors
    /// When there can be no pipe, or this is no password.
    pub(super) fn new(
        password: &Secret,
        helper: Option<&Path>,
        command: &mut Command,
    ) -> io::Result<Passing> {
        let password = password.reveal();
        if password.len() > BYTES_MAX || password.contains(['\n', '\r', '\0']) {
            return Err(io::Error::other(
                "the password has a line break in it or is too long",
            ));
        }
        let (pipe, mut writer) = io::pipe()?;
        writer.write_all(password.as_bytes())?;
        writer.write_all(b"\n")?;
        let ours = PathBuf::from(format!("/proc/{}", std::process::id()));
        // Stays right when the program is replaced on the disk by a newer one.
        let program = helper.map_or_else(|| ours.join("exe"), Path::to_owned);
        command
            .env(VARIABLE, ours.join(format!("fd/{}", pipe.as_raw_fd())))
            .env("SSH_ASKPASS", program)
            .env("SSH_ASKPASS_REQUIRE", "force");
        if std::env::var_os("DISPLAY").is_none() {
            // Before 8.4 OpenSSH asks a program only if there is one.
            command.env("DISPLAY", "none");
        }
        Ok(Passing { pipe })
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // What nobody asked for stays in no buffer of the kernel: all writers are gone, so this ends.
        let _ = self.pipe.read_to_end(&mut Vec::new());
    }
}

/// Answers `ssh`, if it has started this process to ask for a password. None is a start like any other.
pub fn answer() -> Option<ExitCode> {
    let pipe = std::env::var_os(VARIABLE)?;
    let prompt = std::env::args().nth(1).unwrap_or_default();
    Some(match tell(Path::new(&pipe), &prompt) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn tell(pipe: &Path, prompt: &str) -> io::Result<()> {
    // A key's passphrase and a host key to be confirmed are other questions.
    let asks_otherwise = std::env::var_os("SSH_ASKPASS_PROMPT").is_some()
        || prompt.contains("passphrase")
        || prompt.contains("(yes/no");
    if asks_otherwise || !asks_for_sftp()? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let mut password = Vec::new();
    File::open(pipe)?
        .take(BYTES_MAX as u64 + 1)
        .read_to_end(&mut password)?;
    io::stdout().write_all(&password)
}

/// Whether the program that has started this one was started to speak SFTP.
fn asks_for_sftp() -> io::Result<bool> {
    let parent = std::os::unix::process::parent_id();
    let arguments = fs::read(format!("/proc/{parent}/cmdline"))?;
    let mut arguments = arguments.rsplit(|byte| *byte == 0);
    // There is a zero behind the last one too.
    Ok(arguments.nth(1) == Some(b"sftp"))
}
