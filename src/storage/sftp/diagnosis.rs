//! What the words of an SSH client mean when no session comes of it, and what is to be done. They are the same in every
//! language: neither OpenSSH nor Dropbear translates.

use std::time::Duration;

use super::program::{Dialect, HostKeys, Program, known_name};
use super::session::{End, Failure, Session};
use super::settings::SftpSettings;

/// How long it may take to learn a host's key for a message.
const LEARNING: Duration = Duration::from_secs(20);

/// Dropbear's question about a host key. Without a terminal it asks for ever.
const DROPBEAR_UNKNOWN: &str = "is not in the trusted hosts file";

/// Whether the client asks for something that nobody will ever tell it.
pub(super) fn asks_for_ever(complaint: &[u8]) -> bool {
    let question = DROPBEAR_UNKNOWN.as_bytes();
    complaint
        .windows(question.len())
        .any(|window| window == question)
}

/// The failure that an attempt to connect ended with.
pub(super) fn of(end: &End, settings: &SftpSettings, program: &Program) -> Failure {
    let said = |words: &str| end.complaint.contains(words);
    let dropbear = program.dialect == Dialect::Dropbear;
    if said("REMOTE HOST IDENTIFICATION HAS CHANGED") || said("ost key mismatch") {
        return Failure::Refused(changed(settings, program));
    }
    if said("Host key verification failed") || said(DROPBEAR_UNKNOWN) {
        return Failure::Refused(unknown(settings, program));
    }
    let last = last_line(&end.complaint);
    if said("Permission denied")
        || said("No auth methods could be used")
        || said("Too many authentication failures")
        || said("Failed loading keyfile")
        // What Dropbear says of a server that has had enough of its passwords, and of a key in OpenSSH's format.
        || (dropbear && ["assword", "Disconnect received", "String too long"].into_iter().any(said))
    {
        return Failure::Refused(not_let_in(settings, dropbear, &end.complaint));
    }
    if said("ubsystem request failed") || said("subsystem request") {
        return Failure::Refused(format!(
            "the server lets us in but has no SFTP ({last}); on OpenWrt install `openssh-sftp-server` there, with \
             OpenSSH add the line `Subsystem sftp internal-sftp` to sshd_config"
        ));
    }
    if said("Bad configuration option") || said("command-line line 0") || said("nvalid argument") {
        return Failure::Refused(format!("`{}` does not start: {last}", program.name()));
    }
    if end.seen.contains("sends other text") {
        return Failure::Refused(end.seen.clone());
    }
    let by_password = dropbear && settings.password.is_some();
    let hint = match by_password && said("Remote closed the connection") {
        // Some servers end so when a password is wrong, but they also do when they are stopped.
        true => "; if it always does, check `user` and `password`",
        false => "",
    };
    Failure::Unreachable(match last.is_empty() {
        true => end.seen.clone(),
        false => format!("{last} ({}){hint}", end.seen),
    })
}

fn changed(settings: &SftpSettings, program: &Program) -> String {
    if settings.host_key.is_some() {
        return format!(
            "the server shows another key than the `host-key` of the configuration. Nothing was sent: somebody may \
             pretend to be it. If you know that its key has changed, write the new one: {}",
            learn(settings, program).map_or_else(
                || "see `ssh-keyscan`".to_owned(),
                |line| format!("`host-key: {}`", without_name(&line))
            )
        );
    }
    let remove = match program.dialect {
        Dialect::OpenSsh => format!("run `ssh-keygen -R '{}'`", known_name(settings)),
        Dialect::Dropbear => format!(
            "remove the line of {} from ~/.ssh/known_hosts",
            settings.host
        ),
    };
    format!(
        "the server's key is not the one in known_hosts. Nothing was sent: somebody may pretend to be it. If you know \
         that its key has changed, {remove} and add {}",
        the_line(settings, program)
    )
}

fn unknown(settings: &SftpSettings, program: &Program) -> String {
    if settings.host_key.is_some() {
        return changed(settings, program);
    }
    format!(
        "the server's key is not known, so nothing was sent. Compare it with the one the server has in \
         /etc/ssh/ssh_host_*_key.pub, and add {}",
        the_line(settings, program)
    )
}

/// What to add, and where.
fn the_line(settings: &SftpSettings, program: &Program) -> String {
    let Some(line) = learn(settings, program) else {
        return "its line, as `ssh-keyscan` prints it, to ~/.ssh/known_hosts of the user that runs this".to_owned();
    };
    format!(
        "this line to ~/.ssh/known_hosts of the user that runs this: {line} (or give the replica `host-key: {}`)",
        without_name(&line)
    )
}

fn without_name(line: &str) -> &str {
    line.split_once(' ').map_or(line, |(_, key)| key)
}

/// The line that the client itself would add for the server. It connects once more for that, and tells the server
/// nothing.
fn learn(settings: &SftpSettings, program: &Program) -> Option<String> {
    let settings = SftpSettings {
        password: None,
        ..settings.clone()
    };
    let mut prepared = program.prepare(&settings, HostKeys::Learn, None).ok()?;
    // It ends with a refusal: it has no key and no password.
    let _ = Session::open(&mut prepared, LEARNING, None);
    prepared.learnt()
}

fn not_let_in(settings: &SftpSettings, dropbear: bool, complaint: &str) -> String {
    let said = complaint.lines().find(|line| {
        // Why a key was not even shown.
        line.contains("Load key")
            || line.contains("bad permissions")
            || line.contains("no such identity")
            || line.contains("Failed loading keyfile")
            || line.contains("String too long")
    });
    let said = said.unwrap_or_else(|| last_line(complaint)).trim();
    let user = settings.user.as_deref();
    let user = user.map_or_else(|| "this user".to_owned(), |user| format!("`{user}`"));
    let advice = match (&settings.key_path, &settings.password) {
        (Some(path), _) if dropbear => format!(
            "see to it that {} is a key in Dropbear's own format (`dropbearconvert openssh dropbear OLD NEW`) without \
             a passphrase, and that its public half is in authorized_keys of {user} there",
            path.display()
        ),
        (Some(path), _) => format!(
            "see to it that {} can be read, has no passphrase (or its key is in the agent), and that its public half \
             is in authorized_keys of {user} there",
            path.display()
        ),
        (None, Some(_)) => {
            format!("check `user` and `password`, and that the server takes passwords from {user}")
        }
        (None, None) => format!(
            "give the replica a `key-path` or a `password`, or put a key that needs no passphrase where `ssh` looks \
             for it, and its public half into authorized_keys of {user} there"
        ),
    };
    format!("the server does not let us in ({said}); {advice}")
}

/// The last line that says something.
pub(super) fn last_line(complaint: &str) -> &str {
    let mut lines = complaint.lines().rev().map(str::trim);
    let line = lines.find(|line| !line.is_empty()).unwrap_or_default();
    let cut = line
        .char_indices()
        .nth(300)
        .map_or(line.len(), |(at, _)| at);
    &line[..cut]
}
