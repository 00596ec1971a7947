//! Replicas on SFTP servers: what their keys and URLs mean, which hold for all, and what wrong ones are answered.

use super::{error_of, quiet, read_all};
use crate::config::{Config, ReplicaLocation};
use crate::storage::sftp::SftpSettings;
use crate::units::Secret;

const HOST_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJN14fM7fIKYh1tpbLtcWwxdGpiOaTQixo8X0vkrE/U+";

/// One database with the lines of `top` above it and those of `replica` in it.
fn with(top: &str, replica: &str) -> String {
    format!(
        "{top}\ndbs:\n - path: /srv/app.db\n   replica:\n    {}\n",
        replica.replace('\n', "\n    ")
    )
}

fn settings_of(config: &Config) -> SftpSettings {
    match &config.databases[0].replicas[0].location {
        ReplicaLocation::Sftp(settings) => (**settings).clone(),
        other => panic!("{other}"),
    }
}

fn settings(top: &str, replica: &str) -> SftpSettings {
    settings_of(&quiet(&with(top, replica)))
}

fn of_url(url: &str) -> SftpSettings {
    match ReplicaLocation::parse_url(url) {
        Ok(ReplicaLocation::Sftp(settings)) => *settings,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn every_key_is_read() {
    let expected = SftpSettings {
        port: Some(2222),
        user: Some("ada".to_owned()),
        password: Some(Secret::new("hunter2")),
        key_path: Some("/home/ada/id_ed25519".into()),
        host_key: Some(HOST_KEY.to_owned()),
        concurrent_writes: false,
        ssh_command: Some("dbclient -y".to_owned()),
        ..SftpSettings::new("nas.example", "backups/app")
    };
    let keys = "host: nas.example:2222\nuser: ada\npassword: hunter2\nkey-path: ~/id_ed25519\n\
                concurrent-writes: off\nssh-command: ' dbclient -y '";
    let host_key = format!("host-key: {HOST_KEY} root@nas");
    let place = "type: sftp\npath: backups//x/../app/";
    assert_eq!(
        settings("", &format!("{place}\n{keys}\n{host_key}")),
        expected
    );
    // All but the host's key may be said for all replicas.
    assert_eq!(settings(keys, &format!("{place}\n{host_key}")), expected);
    let own = "user: bob\npassword: other\nhost: '[fd00::1]:22'\nconcurrent-writes: true";
    let bob = settings(keys, &format!("{place}\n{own}"));
    assert_eq!(bob.user.as_deref(), Some("bob"));
    assert_eq!(bob.password, Some(Secret::new("other")));
    assert_eq!((bob.host.as_str(), bob.port), ("fd00::1", Some(22)));
    assert!(bob.concurrent_writes && bob.host_key.is_none());
    assert_eq!(bob.key_path, expected.key_path);

    let (_, warnings) = read_all(&with(&host_key, "type: sftp\nhost: h")).unwrap();
    assert_eq!(
        warnings[0],
        "line 1, column 1: `host-key` has no effect: as in Litestream it holds for one replica only; write it under \
         the `replica` of a database"
    );
}

#[test]
fn what_is_not_said_is_left_to_the_program() {
    let least = settings("", "type: sftp\nhost: nas");
    assert_eq!(least, SftpSettings::new("nas", "."));
    assert!(least.concurrent_writes);
    assert_eq!(
        settings("", "type: sftp\nhost: nas\npath: /").path,
        "/",
        "the server's root"
    );
}

#[test]
fn urls_are_litestreams() {
    for (url, server, path) in [
        ("sftp://nas/backups/app", "sftp://nas", "/backups/app"),
        (
            "SFTP://ada@nas:2222/a//b/../c/",
            "sftp://ada@nas:2222",
            "/a/c",
        ),
        (
            "sftp://ada@[fd00::1]:2222/x",
            "sftp://ada@[fd00::1]:2222",
            "/x",
        ),
        ("sftp://[fd00::1]/x", "sftp://[fd00::1]", "/x"),
        ("sftp://nas/a%20b%3F", "sftp://nas", "/a b?"),
        ("sftp://nas", "sftp://nas", "."),
        ("sftp://nas/", "sftp://nas", "/"),
        ("sftp://nas/./backups", "sftp://nas", "backups"),
        ("sftp://nas/./", "sftp://nas", "."),
        ("sftp://ada%40office@nas/x", "sftp://ada@office@nas", "/x"),
    ] {
        let settings = of_url(url);
        assert_eq!(settings.server(), server, "{url}");
        assert_eq!(settings.path, path, "{url}");
        let again = of_url(
            &settings
                .location()
                .replace("ada@office", "ada%40office")
                .replace('?', "%3F"),
        );
        assert_eq!(again.path, path, "{url}: as messages show it");
    }
    let settings = of_url("sftp://ada:hunt%2Fer%402@nas/x");
    assert_eq!(settings.password, Some(Secret::new("hunt/er@2")));
    let location = ReplicaLocation::Sftp(Box::new(settings));
    for shown in [location.to_string(), format!("{location:?}")] {
        assert!(!shown.contains("er@2"), "{shown}");
    }
}

#[test]
fn keys_beat_the_url() {
    let top = "user: bob\npassword: other\nkey-path: /k\nhost: another";
    let settings = settings(top, "url: sftp://ada:hunter2@nas/x");
    assert_eq!(settings.user.as_deref(), Some("bob"));
    assert_eq!(settings.password, Some(Secret::new("other")));
    assert_eq!(settings.key_path, Some("/k".into()));
    assert_eq!(
        (settings.host.as_str(), settings.path.as_str()),
        ("nas", "/x")
    );
}

#[test]
fn mistakes_are_answered_word_for_word() {
    let host_key = |key: &str| with("", &format!("type: sftp\nhost: h\nhost-key: {key}"));
    let no_host_key = "line 7, column 15: dbs[0].replica.host-key: cannot parse sftp host key; write its kind and itself, \
                       as in `ssh-ed25519 AAAA…`: a line of `ssh-keyscan HOST` without the host's name";
    for (text, expected) in [
        (
            with("", "type: sftp\nuser: ada"),
            "line 5, column 5: dbs[0].replica: host required for sftp replica; add `host:`, or `url:` with \
             sftp://USER@HOST/PATH",
        ),
        (
            with("", "url: sftp://h/x\nhost: h"),
            "line 5, column 10: dbs[0].replica: cannot specify both `url` and `host`; keep one",
        ),
        (
            with("", "url: sftp://h/x\npath: /x"),
            "line 5, column 10: dbs[0].replica: cannot specify both `url` and `path`; keep one",
        ),
        (
            with("", "url: sftp://ada:hunter2@h:a/x"),
            "line 5, column 10: dbs[0].replica.url: sftp://…: the port must be a number from 1 to 65535",
        ),
        (
            with("", "url: sftp://ada:hun/ter2@h/x"),
            "line 5, column 10: dbs[0].replica.url: sftp://h/x: a `/` in a password must be written as %2F",
        ),
        (
            with("", "url: sftp://ada:hun?ter2@h/x"),
            "line 5, column 10: dbs[0].replica.url: sftp://…: an sftp URL has no parameters; write such settings as \
             keys in the configuration, and a `?` in a path or password as %3F",
        ),
        (
            with("", "url: sftp:///x"),
            "line 5, column 10: dbs[0].replica.url: sftp:///x: host required for sftp replica",
        ),
        (
            with("", "url: sftp://-oProxyCommand=x/x"),
            "line 5, column 10: dbs[0].replica.url: sftp://-oProxyCommand=x/x: `-oProxyCommand=x` is no host: it must \
             not begin with `-`, nor have blanks in it",
        ),
        (
            with("", "type: sftp\nhost: ada@h"),
            "line 6, column 11: dbs[0].replica.host: `ada@h` is no host; write HOST or HOST:PORT",
        ),
        (
            with("", "type: sftp\nhost: h:0"),
            "line 6, column 11: dbs[0].replica.host: the port must be a number from 1 to 65535",
        ),
        (
            with("user: -l root", "type: sftp\nhost: h"),
            "line 1, column 7: user: `-l root` is no user: it must not begin with `-`, nor have blanks in it",
        ),
        (
            with("", "type: sftp\nhost: h\npassword: \"hunt\\ner2\""),
            "line 7, column 15: dbs[0].replica.password: the password has a line break in it",
        ),
        (
            with("", "type: sftp\nhost: h\nconcurrent-writes: 7"),
            "line 7, column 24: dbs[0].replica.concurrent-writes: `7` is not true or false",
        ),
        (host_key("AAAA"), no_host_key),
        (host_key("ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA"), no_host_key),
        (
            with("", "type: sftp\nhost: h\nssh-command: ' '"),
            "line 7, column 18: dbs[0].replica.ssh-command: write the program and its options in one line, as in \
             `ssh -J JUMPHOST`",
        ),
        (
            with("", "path: /r\nhost: h"),
            "line 6, column 5: `dbs[0].replica.host` is a setting of `sftp` replicas, which this is not; write `type: \
             sftp`, or take the key out",
        ),
        (
            with("", "type: sftp\nhost: h\nregion: x"),
            "line 7, column 5: `dbs[0].replica.region` is a setting of `s3` replicas, which this is not; write `type: \
             s3`, or take the key out",
        ),
    ] {
        let error = error_of(&text);
        assert_eq!(error, expected, "{text}");
        assert!(!error.contains("hun"), "{error}");
    }
}

#[test]
fn replicas_that_would_share_files_are_refused() {
    let two = |first: &str, second: &str| {
        format!(
            "dbs:\n - path: /x.db\n   replica: {{{first}}}\n - path: /y.db\n   replica: {{{second}}}\n"
        )
    };
    let at = |path: &str| format!("type: sftp, host: h, path: '{path}'");
    for (first, second) in [("/r", "/r/"), ("r", "./r"), ("/r", "/r/ltx/0"), ("", "ltx")] {
        let error = error_of(&two(&at(first), &at(second)));
        assert!(
            error.contains("share files") || error.contains("is also that of"),
            "{first} {second}: {error}"
        );
    }
    for (first, second) in [("/r", "r"), ("/r", "/rr"), ("/r", "/s")] {
        quiet(&two(&at(first), &at(second)));
    }
    quiet(&two(&at("/r"), "type: sftp, host: other, path: /r"));
}
