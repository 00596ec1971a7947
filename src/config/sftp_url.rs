//! `sftp://` URLs: `sftp://[USER[:PASSWORD]@]HOST[:PORT]/PATH`, read as Litestream reads them in its configuration and
//! on its command line: the path is that from the server's root. One below the login directory, for which Litestream
//! has no URL, begins with `/./`, as messages show it.

use super::percent::unescaped;
use super::sftp;
use crate::storage::sftp::SftpSettings;

/// Reads `sftp:` + `rest`. Errors repeat nothing that could be a secret.
pub(super) fn parse(rest: &str) -> Result<SftpSettings, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("write sftp://USER@HOST/PATH".to_owned());
    };
    if rest.contains(char::is_control) {
        return Err("a control character in a URL".to_owned());
    }
    if rest.contains('#') {
        return Err(
            "`#` would begin a fragment, which a replica does not have; write %23".to_owned(),
        );
    }
    if rest.contains('?') {
        return Err(
            "an sftp URL has no parameters; write such settings as keys in the configuration, and a `?` in a path \
             or password as %3F"
                .to_owned(),
        );
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A password may have a slash in it, and then it is not known where it ends.
    if path.contains('@') && !authority.contains('@') && authority.contains(':') {
        let port = authority.rsplit(':').next().unwrap_or("");
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err("a `/` in a password must be written as %2F".to_owned());
        }
    }
    let (login, host) = match authority.rsplit_once('@') {
        Some((login, host)) => (Some(login), host),
        None => (None, authority),
    };
    let (host, port) = sftp::host_and_port(&decoded(host)?)?;
    let mut settings = SftpSettings {
        port,
        ..SftpSettings::new(host, directory(&decoded(path)?)?)
    };
    if let Some(login) = login {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        if !user.is_empty() {
            settings.user = Some(sftp::checked("user", &decoded(user)?)?);
        }
        if let Some(password) = password.filter(|password| !password.is_empty()) {
            settings.password = Some(sftp::password(&decoded(password)?)?);
        }
    }
    Ok(settings)
}

fn directory(path: &str) -> Result<String, String> {
    if path.contains(char::is_control) {
        return Err("a control character in the path".to_owned());
    }
    let path = match path.strip_prefix("/./") {
        Some(below_login) => below_login.trim_start_matches('/'),
        None => path,
    };
    Ok(sftp::directory(path))
}

fn decoded(text: &str) -> Result<String, String> {
    String::from_utf8(unescaped(text)?).map_err(|_| "the URL is not UTF-8".to_owned())
}
