//! Replicas on S3: what their keys mean, which hold for all, and what wrong ones are answered.

use std::num::NonZeroU64;

use super::{error_of, quiet, read, read_all};
use crate::config::tests::base;
use crate::config::{Config, ReplicaLocation};
use crate::storage::s3::{Encryption, GivenKeys, Keys, Settings};
use crate::units::{Secret, Timestamp};

/// 32 bytes.
const CUSTOMER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// One database with the lines of `top` above it and those of `replica` in it.
fn with(top: &str, replica: &str) -> String {
    format!(
        "{top}\ndbs:\n - path: /srv/app.db\n   replica:\n    {}\n",
        replica.replace('\n', "\n    ")
    )
}

fn settings_of(config: &Config) -> &Settings {
    match &config.databases[0].replicas[0].location {
        ReplicaLocation::S3(settings) => settings,
        other => panic!("{other}"),
    }
}

fn settings(top: &str, replica: &str) -> Settings {
    settings_of(&quiet(&with(top, replica))).clone()
}

/// A new directory for the files of one test.
struct Files(std::path::PathBuf);

impl Files {
    fn new() -> Files {
        let name = format!("walbrook-keys-{:x}", crate::sys::random::unique());
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory).unwrap();
        Files(directory)
    }

    fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_key_is_read() {
    let expected = Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some("https://s3.example.com:9000".to_owned()),
        path_style: Some(false),
        sign_payload: Some(false),
        require_content_md5: Some(false),
        skip_verify: true,
        ca_file: Some("/home/ada/ca.pem".into()),
        storage_class: Some("STANDARD_IA".to_owned()),
        part_size: Some(10_000_000),
        concurrency: Some(3),
        encryption: Encryption::CustomerKey(Secret::new(CUSTOMER_KEY)),
        keys: Some(GivenKeys::from(Keys {
            access_key_id: "AKIA".to_owned(),
            secret_access_key: Secret::new("hunter2"),
            session_token: Some(Secret::new("token")),
        })),
        ..Settings::new("my.bucket", "a/b")
    };
    let place = "type: s3\nbucket: my.bucket\npath: a/b";
    let shared = format!(
        "region: eu-west-1\nendpoint: s3.example.com:9000\nforce-path-style: off\nsign-payload: no\n\
         require-content-md5: n\nskip-verify: yes\nca-file: ~/ca.pem\nstorage-class: STANDARD_IA\n\
         sse-customer-algorithm: AES256\nsse-customer-key: {CUSTOMER_KEY}\naccess-key-id: AKIA\n\
         secret-access-key: hunter2\nsession-token: token"
    );
    let own = "part-size: 10MB\nconcurrency: 3";
    assert_eq!(settings("", &format!("{place}\n{shared}\n{own}")), expected);
    // They also stand at the top level, for all replicas.
    assert_eq!(settings(&shared, &format!("{place}\n{own}")), expected);
    assert_eq!(
        settings(&shared, &format!("url: s3://my.bucket/a/b\n{own}")),
        expected
    );
    let kms = settings("", &format!("{place}\nsse-kms-key-id: alias/x")).encryption;
    assert_eq!(kms, Encryption::Kms("alias/x".to_owned()));
    let config = quiet(&with("bucket: shared", "type: s3\npath: p"));
    assert_eq!(*settings_of(&config), Settings::new("shared", "p"));
    // What is empty or zero says nothing.
    let empty = "region: ''\nendpoint: ''\naccess-key-id: ''\nsse-kms-key-id: ''\npart-size: 0\nconcurrency: 0";
    assert_eq!(
        settings("", &format!("{place}\n{empty}")),
        Settings::new("my.bucket", "a/b")
    );
}

#[test]
fn the_path_is_taken_as_it_stands() {
    // Seen in the requests of Litestream 0.5.17.
    for path in ["backups/", "/lead", "a//b/../c", ".", "a b"] {
        assert_eq!(
            settings("", &format!("type: s3\nbucket: b\npath: '{path}'")).path,
            path
        );
    }
    assert_eq!(settings("", "type: s3\nbucket: b").path, "");
    assert_eq!(settings("", "url: s3://b").path, ".");
    assert_eq!(settings("", "url: s3://b/").path, "");
}

#[test]
fn a_key_beats_the_url() {
    let url = "url: s3://u.ams3.digitaloceanspaces.com/p?signPayload=true&skipVerify=false&partSize=6291456";
    let plain = settings("", url);
    assert_eq!(
        plain.endpoint.as_deref(),
        Some("https://ams3.digitaloceanspaces.com")
    );
    assert_eq!(
        (plain.path_style, plain.part_size),
        (Some(false), Some(6 << 20))
    );
    let told = settings(
        "region: shared\nendpoint: http://127.0.0.1:9000\nskip-verify: true",
        &format!("{url}\nsign-payload: false\npart-size: 8MiB"),
    );
    assert_eq!(told.bucket, "u");
    assert_eq!(told.region.as_deref(), Some("shared"));
    assert_eq!(told.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
    assert_eq!(told.path_style, None);
    assert_eq!(
        (told.sign_payload, told.part_size),
        (Some(false), Some(8 << 20))
    );
    assert!(!told.skip_verify);
    // The replica's own key is nearer than the top level's.
    let nearer = settings(
        "region: far\nskip-verify: true",
        "url: s3://b/p\nregion: near\nskip-verify: false",
    );
    assert_eq!(
        (nearer.region.as_deref(), nearer.skip_verify),
        (Some("near"), false)
    );
    // A bucket for all is one for those without a URL; the scheme of a URL beats the type.
    assert_eq!(
        settings("bucket: shared", "type: file\nurl: s3://b/p").bucket,
        "b"
    );
}

#[test]
fn secrets_can_stand_in_files() {
    let files = Files::new();
    let id = files.write("id", b"AKIA\n");
    let secret = files.write("secret", b"  hunter2\r\n");
    let token = files.write("token", b"token");
    let key = files.write("key", format!("{CUSTOMER_KEY}\n").as_bytes());
    let lines = format!(
        "access-key-id-file: {id}\nsecret-access-key-file: {secret}\nsession-token-file: {token}\n\
         sse-customer-key-path: {key}"
    );
    let place = "type: s3\nbucket: b";
    for settings in [
        settings("", &format!("{place}\n{lines}")),
        settings(&lines, place),
    ] {
        let keys = settings.keys.unwrap().read().unwrap();
        assert_eq!(keys.access_key_id, "AKIA");
        assert_eq!(keys.secret_access_key.reveal(), "hunter2");
        assert_eq!(keys.session_token.unwrap().reveal(), "token");
        assert_eq!(
            settings.encryption,
            Encryption::CustomerKey(Secret::new(CUSTOMER_KEY))
        );
    }
    let at = files.0.display();
    files.write("empty", b" \n");
    files.write("two", b"hunter2 hunter2");
    files.write("bytes", b"hunter2\xff");
    files.write("long", "hunter2".repeat(20_000).as_bytes());
    for (name, expected) in [
        (
            "none",
            "cannot read DIR/none: No such file or directory (os error 2)",
        ),
        ("empty", "DIR/empty is empty; write the value into it"),
        (
            "two",
            "DIR/two must hold the value and nothing else, on one line",
        ),
        (
            "bytes",
            "cannot read DIR/bytes: stream did not contain valid UTF-8",
        ),
        (
            "long",
            "DIR/long must hold the value and nothing else, on one line",
        ),
    ] {
        let text = with(
            "",
            &format!("{place}\naccess-key-id: AKIA\nsecret-access-key-file: {at}/{name}"),
        );
        let expected = expected.replace("DIR", &at.to_string());
        assert_eq!(
            error_of(&text),
            format!("line 8, column 29: dbs[0].replica.secret-access-key-file: {expected}")
        );
    }
}

#[test]
fn keys_of_two_levels_are_not_mixed_up() {
    let shared = "access-key-id: far\nsecret-access-key: hunter2\nsession-token: token";
    let own = settings(
        shared,
        "type: s3\nbucket: b\naccess-key-id: near\nsecret-access-key: s",
    );
    let keys = own.keys.unwrap().read().unwrap();
    assert_eq!(
        (keys.access_key_id.as_str(), keys.session_token),
        ("near", None)
    );
    let files = Files::new();
    let file = files.write("id", b"near");
    let own = settings(
        shared,
        &format!("type: s3\nbucket: b\naccess-key-id-file: {file}"),
    );
    assert_eq!(own.keys.unwrap().read().unwrap().access_key_id, "near");
    let shared = format!("sse-customer-key: {CUSTOMER_KEY}");
    let own = settings(&shared, "type: s3\nbucket: b\nsse-kms-key-id: mine");
    assert_eq!(own.encryption, Encryption::Kms("mine".to_owned()));
}

#[test]
fn mistakes_are_answered_word_for_word() {
    let s3 = |lines: &str| with("", &format!("type: s3\nbucket: b\n{lines}"));
    let both = "sse-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\nsse-kms-key-id: x";
    let exposed = "endpoint: http://h.example\nsse-customer-key: MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    for (text, expected) in [
        (
            with("", "type: s3\npath: p"),
            "line 5, column 5: dbs[0].replica: bucket required for s3 replica; add `bucket:`, or `url:` with \
             s3://BUCKET/PATH",
        ),
        (
            with("", "url: s3://b/p\nbucket: c"),
            "line 5, column 10: dbs[0].replica: cannot specify both `url` and `bucket`; keep one",
        ),
        (
            with("", "url: s3://b/p\npath: c"),
            "line 5, column 10: dbs[0].replica: cannot specify both `url` and `path`; keep one",
        ),
        (
            with("", "url: s3://k:hunter2@b/p"),
            "line 5, column 10: dbs[0].replica.url: s3://b/p: keys do not belong into the URL, where they would be \
             seen; take them out and write them as `access-key-id` and `secret-access-key` in the configuration, or \
             as $AWS_ACCESS_KEY_ID and $AWS_SECRET_ACCESS_KEY in the environment",
        ),
        (
            with("", "type: s3\nbucket: b/hunter2"),
            "line 6, column 13: dbs[0].replica.bucket: the name of a bucket has letters, digits, `-`, `.` and `_` alone",
        ),
        (
            s3("access-key-id: AKIA"),
            "line 7, column 20: dbs[0].replica.access-key-id: the secret that belongs to it is missing; add \
             `secret-access-key` or `secret-access-key-file`",
        ),
        (
            s3("secret-access-key: hunter2"),
            "line 7, column 24: dbs[0].replica.secret-access-key: the key that it belongs to is missing; add \
             `access-key-id` or `access-key-id-file`",
        ),
        (
            s3("session-token: hunter2"),
            "line 7, column 20: dbs[0].replica.session-token: the key that it belongs to is missing; add \
             `access-key-id` and `secret-access-key`",
        ),
        (
            s3("secret-access-key: hunter2\nsecret-access-key-file: /x"),
            "line 8, column 29: dbs[0].replica: cannot specify both `secret-access-key` and \
             `secret-access-key-file`; keep one",
        ),
        (
            s3("access-key-id: AKIA\nsecret-access-key: hunter 2"),
            "line 8, column 24: dbs[0].replica.secret-access-key: has spaces or characters in it that cannot be \
             part of it",
        ),
        (
            s3("endpoint: https://k:hunter2@h"),
            "line 7, column 15: dbs[0].replica.endpoint: keys do not belong into an endpoint; write them as \
             `access-key-id` and `secret-access-key`",
        ),
        (
            s3("region: eu west"),
            "line 7, column 13: dbs[0].replica.region: `eu west` is no region; write one such as eu-west-1",
        ),
        (
            s3("force-path-style: maybe"),
            "line 7, column 23: dbs[0].replica.force-path-style: `maybe` is not true or false",
        ),
        (
            s3("part-size: 5MB"),
            "line 7, column 16: dbs[0].replica.part-size: `5MB` is 5000000 bytes, and S3 takes no parts under \
             5242880; write 5MiB or more",
        ),
        (
            s3("part-size: 6GiB"),
            "line 7, column 16: dbs[0].replica.part-size: `6GiB` is more than the 5GiB that S3 takes as one part",
        ),
        (
            s3("concurrency: -1"),
            "line 7, column 18: dbs[0].replica.concurrency: must be from 1 to 1000 (got -1)",
        ),
        (
            s3("storage-class: 'a: b'"),
            "line 7, column 20: dbs[0].replica.storage-class: `a: b` is no storage class; write one such as STANDARD_IA",
        ),
        (
            s3("sse-customer-key: aHVudGVyMg=="),
            "line 7, column 23: dbs[0].replica.sse-customer-key: must be the base64 of 32 bytes, 44 characters (in a \
             URL, write + as %2B)",
        ),
        (
            s3("sse-customer-algorithm: aes256\nsse-customer-key: hunter2"),
            "line 7, column 29: dbs[0].replica.sse-customer-algorithm: `aes256` is no algorithm for customer keys; \
             write AES256",
        ),
        (
            s3("sse-customer-algorithm: AES256"),
            "line 7, column 29: dbs[0].replica.sse-customer-algorithm: there is no customer key; add \
             `sse-customer-key` or `sse-customer-key-path`",
        ),
        (
            s3(both),
            "line 8, column 21: dbs[0].replica.sse-kms-key-id: cannot specify both a customer key (SSE-C) and \
             `sse-kms-key-id` (SSE-KMS); keep one",
        ),
        (
            s3(exposed),
            "line 6, column 13: dbs[0].replica.endpoint: customer keys are sent to the server, so its endpoint must \
             be https; plain http is only for this machine and private addresses",
        ),
        (
            with("secret-access-key: hunter2", "type: s3\nbucket: b"),
            "line 1, column 20: secret-access-key: the key that it belongs to is missing; add `access-key-id` or \
             `access-key-id-file`",
        ),
        (
            with("", "path: /r\nbucket: b"),
            "line 6, column 5: `dbs[0].replica.bucket` is a setting of `s3` replicas, which this is not; write \
             `type: s3`, or take the key out",
        ),
        (
            with("", "type: s3\nbucket: b\nhost: h"),
            "line 7, column 5: `dbs[0].replica.host` is a setting of `sftp` replicas, which this is not; write \
             `type: sftp`, or take the key out",
        ),
        (
            with("upload-memory: 1MiB", "type: s3\nbucket: b"),
            "line 1, column 16: upload-memory: `1MiB` is 1048576 bytes, less than one part of the largest \
             `part-size`; write 5242880 or more",
        ),
        (
            with("max-upload-rate: fast", "type: s3\nbucket: b"),
            "line 1, column 18: max-upload-rate: `fast` is no number of bytes; write 8388608, 8MiB or 10MB",
        ),
        (
            with("tls-min-time: yesterday", "type: s3\nbucket: b"),
            "line 1, column 15: tls-min-time: `yesterday` is not a time in RFC 3339 form, such as \
             2000-01-01T00:00:00Z",
        ),
    ] {
        assert_eq!(error_of(&text), expected, "{text}");
        assert!(!error_of(&text).contains("hunter2"));
    }
}

#[test]
fn settings_for_all_without_effect_give_a_warning() {
    let (_, warnings) = read_all(&with(
        "bucket: b\nsecret-access-key: hunter2\nmax-upload-rate: 1MB\npart-size: 10MB",
        "path: /r",
    ))
    .unwrap();
    assert_eq!(
        warnings,
        [
            "line 1, column 1: `bucket` has no effect: no replica is of type `s3`",
            "line 2, column 1: `secret-access-key` has no effect: no replica is of type `s3`",
            "line 3, column 1: `max-upload-rate` has no effect: all replicas are in directories",
            "line 4, column 1: `part-size` has no effect: as in Litestream it holds for one replica only; write it \
             under the `replica` of a database",
        ]
    );
}

#[test]
fn uploads_share_rate_memory_and_time() {
    let config = quiet(&with(
        "max-upload-rate: 250KB\nupload-memory: 16MiB\ntls-min-time: 2026-01-02T03:04:05Z",
        "type: s3\nbucket: b\npart-size: 6MiB",
    ));
    assert_eq!(config.network.max_upload_rate, NonZeroU64::new(250_000));
    assert_eq!(config.network.upload_memory, 16 << 20);
    assert_eq!(
        config.network.tls_min_time,
        Timestamp::parse("2026-01-02T03:04:05Z").ok()
    );
    let config = quiet(&with("max-upload-rate: 0", "type: s3\nbucket: b"));
    assert_eq!(config.network.max_upload_rate, None);
    assert_eq!(config.network.upload_memory, 8 << 20);
    // Litestream's files know nothing of it, so that it makes room by itself.
    let config = quiet(&with("", "type: s3\nbucket: b\npart-size: 64MiB"));
    assert_eq!(config.network.upload_memory, 64 << 20);
    let config = Config::from_arguments("/srv/a.db", "s3://b/p?partSize=9MiB", &[]).unwrap();
    assert_eq!(config.network.upload_memory, 9 << 20);
}

#[test]
fn two_databases_may_not_share_objects() {
    let two = |first: &str, second: &str| {
        format!(
            "dbs:\n - path: /srv/a.db\n   replica: {{{first}}}\n - path: /srv/b.db\n   replica: {{{second}}}"
        )
    };
    let message = "line 5, column 19: the replica s3://b/x of /srv/b.db (line 5) is also that of /srv/a.db (line 3); \
                   give each database a path of its own";
    assert_eq!(
        error_of(&two("url: 's3://b/x'", "url: 's3://b/x'")),
        message
    );
    for (first, second) in [
        (
            "url: 's3://b/x?region=eu-west-1'",
            "url: 's3://b.s3.eu-west-1.amazonaws.com/x/'",
        ),
        ("url: 's3://b/x'", "type: s3, bucket: b, path: x"),
        ("url: 's3://b/x'", "url: 's3://b/x/0000'"),
        ("url: 's3://b/x/0009/y'", "url: 's3://b/x'"),
        ("url: 's3://b/'", "type: s3, bucket: b, path: /0003"),
        (
            "url: 's3://b/x?endpoint=http://H:80'",
            "url: 's3://b/x?endpoint=http://h'",
        ),
        (
            "url: 's3://b/x'",
            "type: s3, bucket: b, path: x, endpoint: s3.amazonaws.com",
        ),
    ] {
        let error = error_of(&two(first, second));
        assert!(
            error.contains("is also that of"),
            "{first} {second}: {error}"
        );
    }
    for (first, second) in [
        ("url: 's3://b/x'", "url: 's3://b/xy'"),
        ("url: 's3://b/x'", "url: 's3://c/x'"),
        ("url: 's3://b/x'", "url: 's3://b/x?endpoint=h'"),
        ("url: 's3://b'", "url: 's3://b/x'"),
        ("url: 's3://b/'", "url: 's3://b/x'"),
        ("url: 's3://b/x'", "path: /b/x"),
    ] {
        quiet(&two(first, second));
    }
    for (first, second) in [
        ("url: 's3://b/x'", "url: 's3://b/x/y'"),
        ("url: 's3://b/x/000a'", "url: 's3://b/x'"),
        ("url: 's3://b/x'", "url: 's3://b/x/00001'"),
    ] {
        let (_, warnings) = read_all(&two(first, second)).unwrap();
        assert!(
            warnings[0].contains("lie inside each other"),
            "{first} {second}: {warnings:?}"
        );
    }
}

#[test]
fn nothing_shows_a_secret() {
    let text = with(
        &format!("sse-customer-key: {CUSTOMER_KEY}"),
        "type: s3\nbucket: b\naccess-key-id: AKIA\nsecret-access-key: hunter2\nsession-token: hunter3",
    );
    let (config, _) = read(&text, true, &base()).unwrap();
    let location = &config.databases[0].replicas[0].location;
    for shown in [
        format!("{config:?}"),
        format!("{location:?}"),
        location.to_string(),
    ] {
        for secret in ["hunter2", "hunter3", CUSTOMER_KEY] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    // In each of these something is wrong, beside secrets or with them.
    for line in [
        "nonsense: 1",
        "region: a b",
        "bucket: [x]",
        "part-size: x",
        "access-key-id: [hunter2]",
        "secret-access-key: {a: hunter2}",
        "secret-access-key: hunter2",
        "session-token: !x hunter2",
        "sse-customer-key: hunter2",
        "secret_access_key: hunter2",
        "endpoint: http://h/hunter2?hunter2",
        "endpoint: hunter2@h",
        "storage-class: [hunter2]",
        "url: s3://hunter2@c",
        "sse-kms-key-id: a b",
        "concurrency: none",
    ] {
        let text = format!("{}    {line}\n", text.trim_end().to_owned() + "\n");
        let error = error_of(&text);
        assert!(!error.starts_with("no error"), "{line}");
        for secret in ["hunter2", "hunter3", CUSTOMER_KEY] {
            assert!(!error.contains(secret), "{line}: {error}");
        }
    }
}
