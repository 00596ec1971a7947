//! The way to the server: certificates, proxies, addresses, and keys that change. What comes from the environment is
//! tried with the program itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use walbrook::storage::Storage;
use walbrook::storage::s3::Settings;
use walbrook::units::Level;

use super::{network, open, settings};
use crate::conformance::{get, name, put};
use crate::support::process::output_of;
use crate::support::proxy::Proxy;
use crate::support::rig::Program;
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;

/// The program, listing a replica that has one file. It knows no keys and trusts nobody in particular.
fn listing(server: &S3Server) -> Command {
    let path = server.fresh_path();
    server.put(
        &format!("{path}/0000/0000000000000001-0000000000000001.ltx"),
        b"x",
    );
    let mut command = Program::Walbrook.command();
    let (bucket, endpoint, region) = (server.bucket(), server.endpoint(), server.region());
    command.arg("ltx").arg(format!(
        "s3://{bucket}/{path}?endpoint={endpoint}&region={region}"
    ));
    for (name, _) in std::env::vars() {
        let name_lower = name.to_lowercase();
        if name.starts_with("AWS_") || name.starts_with("SSL_") || name_lower.ends_with("_proxy") {
            command.env_remove(name);
        }
    }
    command
}

fn with_keys(server: &S3Server) -> Command {
    let mut command = listing(server);
    command.env("AWS_ACCESS_KEY_ID", server.access_key_id());
    command.env("AWS_SECRET_ACCESS_KEY", server.secret_access_key());
    command
}

#[track_caller]
fn works(command: &mut Command) {
    let output = output_of(command).unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.contains("0000000000000001"), "{output}");
}

#[test]
fn the_environment_names_authorities() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::On);
    let ca_file = server.ca_file().unwrap();
    for variable in ["SSL_CERT_FILE", "AWS_CA_BUNDLE"] {
        // The helper of the tests takes the second one away.
        let mut command = Command::new("env");
        let inner = with_keys(&server);
        command.arg(format!("{variable}={}", ca_file.display()));
        command.arg(inner.get_program()).args(inner.get_args());
        for (name, value) in inner.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        works(&mut command);
    }
    let error = output_of(&mut with_keys(&server)).unwrap_err();
    assert!(error.contains("from nobody this machine trusts"), "{error}");
    let mut command = with_keys(&server);
    let error = output_of(command.env("SSL_CERT_FILE", "/nowhere/ca.pem")).unwrap_err();
    assert!(
        error.contains("/nowhere/ca.pem (named by SSL_CERT_FILE)"),
        "{error}"
    );
}

#[test]
fn settings_name_authorities_or_do_without() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::On);
    let here = |ca_file: Option<PathBuf>, skip_verify| {
        let settings = Settings {
            ca_file,
            skip_verify,
            ..settings(&server, &server.fresh_path())
        };
        open(settings, &network())
    };
    here(server.ca_file(), false).list(Level::SYNC).unwrap();
    here(None, true).list(Level::SYNC).unwrap();
    let error = here(None, false).list(Level::SYNC).unwrap_err().to_string();
    assert!(
        error.contains("`ca-file`") && error.contains("127.0.0.1"),
        "{error}"
    );
    let other = S3Server::shared(Kind::Rclone, Tls::On);
    let error = here(other.ca_file(), false).list(Level::SYNC).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("from nobody this machine trusts"),
        "{error}"
    );
}

#[test]
fn tls_and_none_are_told_apart() {
    for (tls, scheme) in [(Tls::Off, "https"), (Tls::On, "http")] {
        let server = S3Server::shared(Kind::SeaweedFs, tls);
        let endpoint = server.endpoint();
        let rest = endpoint.split_once("://").unwrap().1;
        let settings = Settings {
            endpoint: Some(format!("{scheme}://{rest}")),
            ..settings(&server, "p")
        };
        let text = open(settings, &network())
            .list(Level::SYNC)
            .unwrap_err()
            .to_string();
        match tls {
            Tls::Off => assert!(text.contains("is it `http` rather than `https`?"), "{text}"),
            Tls::On => assert!(text.contains("400"), "{text}"),
        }
    }
}

#[test]
fn the_environment_names_a_proxy() {
    for tls in [Tls::Off, Tls::On] {
        let server = S3Server::shared(Kind::SeaweedFs, tls);
        let proxy = Proxy::in_environment_of(&server);
        let variable = match tls {
            Tls::Off => "http_proxy",
            Tls::On => "https_proxy",
        };
        let port = proxy.port();
        let command = || {
            let mut command = with_keys(&server);
            command.env(variable, format!("http://127.0.0.1:{port}"));
            if let Some(ca_file) = server.ca_file() {
                command.env("SSL_CERT_FILE", ca_file);
            }
            command
        };
        works(&mut command());
        let counts = proxy.counts();
        assert_eq!(
            (counts.connections, counts.other),
            (1, 1),
            "{tls:?}: a CONNECT"
        );
        works(command().env("no_proxy", "localhost,127.0.0.1"));
        assert_eq!(proxy.counts().connections, 1, "{tls:?}: none through it");
        drop(proxy);
        let error =
            output_of(command().env(variable, format!("http://ada:secret@127.0.0.1:{port}")));
        let error = error.unwrap_err();
        assert!(
            error.contains("cannot list s3://") && !error.contains("secret"),
            "{error}"
        );
        let error =
            output_of(command().env(variable, "socks5://ada:secret@127.0.0.1:1")).unwrap_err();
        assert!(
            error.contains(&format!("${variable}")) && !error.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn ipv6_is_spoken() {
    for tls in [Tls::Off, Tls::On] {
        let server = S3Server::shared(Kind::SeaweedFs, tls);
        let proxy = Proxy::before_on_ipv6(&server);
        assert!(proxy.endpoint().contains("://[::1]:"));
        let settings = Settings {
            endpoint: Some(proxy.endpoint()),
            ..settings(&server, &server.fresh_path())
        };
        let storage = open(settings, &network());
        put(&storage, name(0, 1, 1), b"x");
        assert_eq!(get(&storage, name(0, 1, 1)), b"x");
    }
}

#[test]
fn keys_that_are_refused_are_fetched_once_more() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let scratch = Scratch::new();
    let file = |name: &str| scratch.path().join(name).display().to_string();
    let keys = |id: &str| {
        let secret = server.secret_access_key();
        format!(r#"{{"Version": 1, "AccessKeyId": "{id}", "SecretAccessKey": "{secret}"}}"#)
    };
    // The first time it gives the key that was in use until yesterday.
    fs::write(file("1"), keys("GKyesterday")).unwrap();
    fs::write(file("2"), keys(&server.access_key_id())).unwrap();
    let script = format!(
        "#!/bin/sh\necho asked >>{log}\ntest $(wc -l <{log}) = 1 && exec cat {one}\nexec cat {two}\n",
        log = file("log"),
        one = file("1"),
        two = file("2")
    );
    fs::write(file("keys"), script).unwrap();
    fs::set_permissions(file("keys"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(
        file("config"),
        format!("[default]\ncredential_process = {}\n", file("keys")),
    )
    .unwrap();
    works(listing(&server).env("AWS_CONFIG_FILE", file("config")));
    assert_eq!(fs::read_to_string(file("log")).unwrap(), "asked\nasked\n");
    // Once, and not over and over.
    fs::write(file("2"), keys("GKyesterday")).unwrap();
    fs::remove_file(file("log")).unwrap();
    let error = output_of(listing(&server).env("AWS_CONFIG_FILE", file("config"))).unwrap_err();
    assert!(
        error.contains("access-key-id") && !error.contains(&server.secret_access_key()),
        "{error}"
    );
    assert_eq!(fs::read_to_string(file("log")).unwrap(), "asked\nasked\n");
}

#[test]
fn no_secret_is_logged() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let scratch = Scratch::new();
    let database = scratch.path().join("app.db");
    let secrets = [
        "distinctive-secret-key",
        "distinctive-token",
        "ZGlzdGluY3RpdmUtc2VjcmV0LWtleS0zMi1ieXRlcyE=",
    ];
    let config = scratch.path().join("config.yml");
    let text = format!(
        "logging: {{level: trace}}\ndbs:\n  - path: {}\n    replica: {{type: s3, bucket: {}, path: p, endpoint: \"{}\", \
         region: {}, access-key-id: GKx, secret-access-key: {}, sse-customer-algorithm: AES256, \
         sse-customer-key: {}}}\n",
        database.display(),
        server.bucket(),
        server.endpoint(),
        server.region(),
        secrets[0],
        secrets[2]
    );
    fs::write(&config, text).unwrap();
    let output = Program::Walbrook
        .command()
        .args(["restore", "-config"])
        .arg(&config)
        .args(["-o"])
        .arg(scratch.path().join("out.db"))
        .arg(&database)
        .env("AWS_SESSION_TOKEN", secrets[1])
        .output()
        .unwrap();
    let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(all.contains("access-key-id"), "{all}");
    assert!(secrets.iter().all(|secret| !all.contains(secret)), "{all}");
}
