//! What a configuration or URL says about a replica on an SFTP server. What was not said is left to the `ssh` program
//! and its own configuration.

use std::path::PathBuf;

use crate::units::Secret;

/// Where a replica on an SFTP server is, and how to get there.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct SftpSettings {
    /// The server: a name, an address without brackets, or an alias of the user's `ssh` configuration.
    pub host: String,
    /// The port; none is what the `ssh` configuration says, or 22.
    pub port: Option<u16>,
    /// Whom to log in as; none is what the `ssh` configuration says, or the user that runs this.
    pub user: Option<String>,
    /// What to log in with, if not with a key.
    pub password: Option<Secret>,
    /// The file of the private key, in the format of the program that is used.
    pub key_path: Option<PathBuf>,
    /// The one host key to accept, as in `authorized_keys`: `ssh-ed25519 AAAA…`. None looks in `known_hosts`.
    pub host_key: Option<String>,
    /// The replica's directory. Without a slash in front it is below the one that a login leads to.
    pub path: String,
    /// Whether several parts of a file may be under way at once.
    pub concurrent_writes: bool,
    /// The program to use instead of `ssh`, and what comes first of its arguments, parted by blanks.
    pub ssh_command: Option<String>,
}

impl SftpSettings {
    /// A replica at `path` on `host`, all else left open.
    pub fn new(host: impl Into<String>, path: impl Into<String>) -> SftpSettings {
        SftpSettings {
            host: host.into(),
            port: None,
            user: None,
            password: None,
            key_path: None,
            host_key: None,
            path: path.into(),
            concurrent_writes: true,
            ssh_command: None,
        }
    }

    /// Who keeps it, for messages: a URL without path and secrets.
    pub fn server(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@"));
        let port = self.port.filter(|port| *port != 22);
        let port = port.map(|port| format!(":{port}"));
        let (open, close) = match self.host.contains(':') {
            true => ("[", "]"),
            false => ("", ""),
        };
        format!(
            "sftp://{}{open}{}{close}{}",
            user.unwrap_or_default(),
            self.host,
            port.unwrap_or_default()
        )
    }

    /// Where it is, for messages. A path below the login directory begins with a dot.
    pub fn location(&self) -> String {
        let between = if self.path.starts_with('/') {
            ""
        } else {
            "/./"
        };
        format!("{}{between}{}", self.server(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_shown_as_urls_without_secrets() {
        let mut settings = SftpSettings::new("nas", "backups/app");
        assert_eq!(settings.location(), "sftp://nas/./backups/app");
        settings.user = Some("ada".to_owned());
        settings.password = Some(Secret::new("hunter2"));
        settings.port = Some(2222);
        settings.host = "fd00::1".to_owned();
        settings.path = "/backups".to_owned();
        assert_eq!(settings.location(), "sftp://ada@[fd00::1]:2222/backups");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
