//! A replica on an SFTP server, from the keys of its own section, those at the top level that hold for all replicas,
//! and its URL. As in Litestream, a key beats what the URL says, and a replica's own key beats that of the top level.
//!
//! Litestream wants a user; here the `ssh` program may know one. What becomes an argument of that program is checked,
//! so that no value passes for an option or for a line of its configuration.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::ConfigError;
use super::location::joined;
use super::paths::Base;
use super::scalar;
use super::section::Layers;
use super::text::quoted;
use super::yaml::Position;
use crate::storage::sftp::SftpSettings;
use crate::units::Secret;

/// The settings of a replica, and where its place is written. `url` is what its URL says, if it has one.
pub(super) fn settings(
    layers: &Layers<'_>,
    url: Option<(SftpSettings, Position)>,
    base: &Base,
) -> Result<(SftpSettings, Position), ConfigError> {
    let (mut settings, position) = match url {
        Some(url) => url,
        None => place(layers)?,
    };
    if let Some(user) = layers.read("user", |text| checked("user", text))? {
        settings.user = Some(user);
    }
    if let Some(password) = layers.read("password", password)? {
        settings.password = Some(password);
    }
    if let Some(path) = layers.find("key-path")? {
        let path = base.absolute(path.text).map_err(|why| path.invalid(why))?;
        settings.key_path = Some(path);
    }
    // It holds for one server: Litestream does not take it from the top level.
    if let Some(key) = layers.own.given("host-key")? {
        settings.host_key = Some(host_key(key.text).map_err(|why| key.invalid(why))?);
    }
    if let Some(several) = layers.read("concurrent-writes", scalar::boolean)? {
        settings.concurrent_writes = several;
    }
    settings.ssh_command = layers.read("ssh-command", command)?;
    Ok((settings, position))
}

/// The place of a replica without a URL.
fn place(layers: &Layers<'_>) -> Result<(SftpSettings, Position), ConfigError> {
    let Some(given) = layers.find("host")? else {
        return Err(layers.own.missing(
            "host required for sftp replica; add `host:`, or `url:` with sftp://USER@HOST/PATH",
        ));
    };
    let (host, port) = host_and_port(given.text).map_err(|reason| given.invalid(reason))?;
    let path = layers.own.given("path")?;
    if let Some(path) = path.filter(|path| path.text.contains(char::is_control)) {
        return Err(path.invalid("a control character in the path"));
    }
    let settings = SftpSettings {
        port,
        ..SftpSettings::new(host, directory(path.map_or("", |path| path.text)))
    };
    Ok((settings, path.map_or(given.position, |path| path.position)))
}

/// A path as Litestream uses it: `.` and `..` are taken out of its text. Without a slash in front it begins where the
/// login leads to, which is `.` itself.
pub(super) fn directory(path: &str) -> String {
    match joined(path, "") {
        path if path.is_empty() => ".".to_owned(),
        path => path,
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`; of an IPv6 address alone the brackets may be left out.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, rest))) => (host, Some(rest.strip_prefix(':').unwrap_or("?"))),
        Some(None) => (text, None),
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    let port = match port.filter(|port| !port.is_empty()) {
        None => None,
        Some(port) => match port.parse() {
            Ok(port) if port > 0 => Some(port),
            _ => return Err("the port must be a number from 1 to 65535".to_owned()),
        },
    };
    if host.is_empty() {
        return Err("host required for sftp replica".to_owned());
    }
    if host.contains(['/', '@', '[', ']']) {
        return Err(format!(
            "{} is no host; write HOST or HOST:PORT",
            quoted(host)
        ));
    }
    Ok((checked("host", host)?, port))
}

/// A value that stands for itself on a command line.
pub(super) fn checked(what: &str, text: &str) -> Result<String, String> {
    let odd = |c: char| c.is_control() || c.is_whitespace();
    match text.starts_with('-') || text.contains(odd) {
        true => Err(format!(
            "{} is no {what}: it must not begin with `-`, nor have blanks in it",
            quoted(text)
        )),
        false => Ok(text.to_owned()),
    }
}

/// It is given to the server in one line. The error does not repeat it.
pub(super) fn password(text: &str) -> Result<Secret, String> {
    match text.contains(['\0', '\n', '\r']) {
        true => Err("the password has a line break in it".to_owned()),
        false => Ok(Secret::new(text)),
    }
}

/// A line of `authorized_keys` or of a `.pub` file, without its comment.
fn host_key(text: &str) -> Result<String, String> {
    let mut words = text.split_ascii_whitespace();
    let (kind, key) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    // A key begins with the length and the text of its kind.
    let named = STANDARD.decode(key).is_ok_and(|key| {
        key.get(..4) == Some(&(kind.len() as u32).to_be_bytes())
            && key[4..].starts_with(kind.as_bytes())
    });
    match named && !kind.is_empty() {
        true => Ok(format!("{kind} {key}")),
        false => Err(
            "cannot parse sftp host key; write its kind and itself, as in `ssh-ed25519 AAAA…`: a line of \
             `ssh-keyscan HOST` without the host's name"
                .to_owned(),
        ),
    }
}

fn command(text: &str) -> Result<String, String> {
    match text.trim() {
        text if text.is_empty() || text.contains(char::is_control) => {
            Err("write the program and its options in one line, as in `ssh -J JUMPHOST`".to_owned())
        }
        text => Ok(text.to_owned()),
    }
}
