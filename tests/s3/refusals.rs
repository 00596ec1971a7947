//! Servers that refuse: the error says what failed, where, and what to do, and never a secret.

use walbrook::storage::s3::{Encryption, GivenKeys, Keys, Settings};
use walbrook::storage::{Bounds, ByteRange, Storage, StorageError};
use walbrook::units::{Level, Secret};

use super::{Bench, open, store};
use crate::conformance::name;
use crate::support::proxy::Fault;
use crate::support::s3::Kind;

/// 32 bytes in base64, and other words that are found wherever they appear.
const SECRETS: [&str; 3] = [
    "ZGlzdGluY3RpdmUtc2VjcmV0LWtleS0zMi1ieXRlcyE=",
    "distinctive-secret-access-key",
    "distinctive-session-token",
];

fn keys(access_key_id: String, secret: &str, token: Option<&str>) -> Option<GivenKeys> {
    let keys = Keys {
        access_key_id,
        secret_access_key: Secret::new(secret.to_owned()),
        session_token: token.map(|token| Secret::new(token.to_owned())),
    };
    Some(keys.into())
}

/// The errors of all operations.
fn errors(storage: &dyn Storage) -> Vec<StorageError> {
    let large = vec![1; 6 << 20];
    let results = [
        storage.list(Level::SYNC).map(drop),
        storage.read(name(0, 1, 1), ByteRange::From(0)).map(drop),
        store(storage, name(0, 1, 1), b"x").map(drop),
        store(storage, name(0, 1, 1), &large).map(drop),
        storage.delete(&[name(0, 1, 1), name(0, 2, 2)]),
    ];
    results.into_iter().filter_map(Result::err).collect()
}

/// All that is asked fails, and each error has all of `parts` and no secret.
#[track_caller]
fn say(kind: Kind, settings: Settings, bench: &Bench, parts: &[&str]) {
    let debug = format!("{settings:?}");
    assert!(
        SECRETS.iter().all(|secret| !debug.contains(secret)),
        "{debug}"
    );
    let path = format!("s3://{}/{}", settings.bucket, settings.path);
    let storage = open(settings, &bench.network);
    let errors = errors(&storage);
    assert_eq!(errors.len(), 5, "{kind:?}: something worked: {errors:?}");
    for error in errors {
        let text = error.to_string();
        assert!(
            matches!(error, StorageError::Refused { .. }),
            "{kind:?}: {error:?}"
        );
        assert!(
            text.starts_with("cannot ") && text.contains(&path),
            "{kind:?}: {text}"
        );
        assert!(text.contains(&bench.proxy.endpoint()), "{kind:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{kind:?}: no {part:?} in {text}");
        }
        let all = format!("{text} {error:?}");
        assert!(SECRETS.iter().all(|secret| !all.contains(secret)), "{all}");
    }
}

#[test]
fn wrong_keys_are_told() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let right = bench.settings.keys.clone().unwrap().read().unwrap();
        let settings = |keys| Settings {
            keys,
            ..bench.settings.clone()
        };
        let wrong_secret = keys(right.access_key_id, SECRETS[1], None);
        say(kind, settings(wrong_secret), &bench, &["secret-access-key"]);
        let wrong_id = keys("GKnobody".to_owned(), SECRETS[1], None);
        say(kind, settings(wrong_id), &bench, &["access-key-id"]);
    }
}

/// A server need not read a body that it refuses.
#[test]
fn a_large_file_that_is_refused_is_no_broken_connection() {
    for kind in Kind::all() {
        for tls in kind.ways() {
            let bench = Bench::with(kind, *tls, Bounds::default());
            let right = bench.settings.keys.clone().unwrap().read().unwrap();
            let settings = Settings {
                keys: keys(right.access_key_id, SECRETS[1], None),
                endpoint: Some(bench.server.endpoint()),
                ..bench.settings.clone()
            };
            let storage = open(settings, &bench.network);
            let error = store(&storage, name(0, 1, 1), &vec![1; 5 << 20]).unwrap_err();
            assert!(
                matches!(error, StorageError::Refused { .. }),
                "{kind:?} {tls:?}: {error:?}"
            );
        }
    }
}

#[test]
fn a_missing_bucket_is_told() {
    for kind in Kind::all() {
        let bench = Bench::new(kind);
        let settings = Settings {
            bucket: "no-such-bucket".to_owned(),
            ..bench.settings.clone()
        };
        // SeaweedFS makes one that is written to.
        let storage = open(settings, &bench.network);
        for error in [
            storage.list(Level::SYNC).unwrap_err(),
            storage
                .read(name(0, 1, 1), ByteRange::From(0))
                .err()
                .unwrap(),
        ] {
            assert!(
                matches!(error, StorageError::Refused { .. }),
                "{kind:?}: {error:?}"
            );
            let text = error.to_string();
            assert!(
                text.contains("NoSuchBucket")
                    && text.contains("; create the bucket no-such-bucket"),
                "{text}"
            );
        }
    }
}

#[test]
fn other_refusals_are_told() {
    let bench = Bench::new(Kind::SeaweedFs);
    let right = bench.settings.keys.clone().unwrap().read().unwrap();
    let settings = Settings {
        keys: keys(
            right.access_key_id,
            right.secret_access_key.reveal(),
            Some(SECRETS[2]),
        ),
        encryption: Encryption::CustomerKey(Secret::new(SECRETS[0].to_owned())),
        ..bench.settings.clone()
    };
    for (status, code, part) in [
        (
            403,
            "ExpiredToken",
            "get a new one where this one came from",
        ),
        (
            400,
            "ExpiredToken",
            "get a new one where this one came from",
        ),
        (
            403,
            "AccessDenied",
            "needs the rights to list, read, write and delete in the bucket walbrook",
        ),
        (403, "", "needs the rights"),
        (
            400,
            "AuthorizationHeaderMalformed",
            "`region` or `endpoint`",
        ),
        (301, "PermanentRedirect", "`region` or `endpoint`"),
        (403, "RequestTimeTooSkewed", "set this machine's clock"),
        (507, "InsufficientStorage", "make room there"),
        (501, "NotImplemented", "is it an S3 service?"),
    ] {
        bench.proxy.fault(Fault::Error {
            status,
            code,
            retry_after: 0,
        });
        let said = format!("{status} {code}");
        say(
            Kind::SeaweedFs,
            settings.clone(),
            &bench,
            &[said.trim(), part],
        );
        bench.proxy.clear();
    }
}
