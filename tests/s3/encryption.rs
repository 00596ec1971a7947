//! What goes along with requests: keys to encrypt with, storage classes, whether bodies are signed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use walbrook::storage::s3::{Encryption, Settings};
use walbrook::storage::{Bounds, ByteRange, Storage, StorageError};
use walbrook::units::Secret;

use super::recorder::{Asked, Recorder};
use super::{Bench, network, open, pattern, settings};
use crate::conformance::{get, name, names, put};
use crate::support::s3::{Kind, S3Server, Tls};

#[test]
fn what_the_customers_key_encrypts_is_read_with_it_alone() {
    let bench = Bench::with(Kind::SeaweedFs, Tls::On, Bounds::default());
    let key = |byte| {
        let encryption = Encryption::CustomerKey(Secret::new(BASE64.encode([byte; 32])));
        open(
            Settings {
                encryption,
                ..bench.settings.clone()
            },
            &bench.network,
        )
    };
    let storage = key(7);
    let large = pattern(12 << 20);
    put(&storage, name(0, 1, 1), b"small");
    put(&storage, name(9, 1, 1), &large);
    assert_eq!(names(&storage, 0), [name(0, 1, 1)]);
    assert_eq!(get(&storage, name(0, 1, 1)), b"small");
    assert!(get(&storage, name(9, 1, 1)) == large);
    let mut end = Vec::new();
    let mut reader = storage.read(name(9, 1, 1), ByteRange::Last(1000)).unwrap();
    reader.read_to_end(&mut end).unwrap();
    assert!(end == large[large.len() - 1000..]);
    let files = storage.exact_times(storage.list_all().unwrap()).unwrap();
    assert!(files.len() == 2 && files.iter().all(|file| file.created.millis() == 0));
    for other in [key(8), bench.storage()] {
        let error = other.read(name(0, 1, 1), ByteRange::From(0)).err().unwrap();
        assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
        assert!(
            !error.to_string().contains(&BASE64.encode([8; 32])),
            "{error}"
        );
    }
    storage.delete_all().unwrap();
}

/// Answers everything as S3 does, without keeping anything.
fn yes(asked: &Asked) -> (u16, &'static str, String) {
    let body = match asked.line.split(' ').next().unwrap() {
        "POST" if asked.line.contains("?uploads") => {
            "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
        }
        "POST" => "<CompleteMultipartUploadResult/>",
        "GET" if asked.line.contains("uploads") => "<ListMultipartUploadsResult/>",
        _ => "",
    };
    (200, "ETag: \"e\"\r\n", body.to_owned())
}

/// The requests of a small file and of one in two parts.
fn recorded(change: impl FnOnce(Settings) -> Settings) -> Vec<String> {
    let recorder = Recorder::new(yes);
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let storage = open(
        change(Settings {
            endpoint: Some(recorder.endpoint()),
            ..settings(&server, "p")
        }),
        &network(),
    );
    put(&storage, name(0, 1, 1), b"small");
    put(&storage, name(9, 1, 1), &[1; 6 << 20]);
    recorder.heads()
}

/// Those requests whose head has all of `headers`, as the first word and what follows the key.
fn with(heads: &[String], headers: &[&str]) -> Vec<String> {
    let matching = heads
        .iter()
        .filter(|head| headers.iter().all(|header| head.contains(header)));
    let short = |head: &String| {
        let line = head.lines().next().unwrap();
        let (method, target) = line.split_once(' ').unwrap();
        let query = target
            .split(' ')
            .next()
            .unwrap()
            .split_once('?')
            .map_or("", |(_, query)| query);
        format!("{method} {}", query.split(['=', '&']).next().unwrap())
    };
    matching.map(short).collect()
}

#[test]
fn new_objects_get_their_class_and_encryption() {
    let creations = ["PUT ", "POST uploads"];
    let heads = recorded(|settings| Settings {
        storage_class: Some("GLACIER_IR".to_owned()),
        encryption: Encryption::Kms("arn:aws:kms:eu-west-1:1:key/k".to_owned()),
        ..settings
    });
    let class = "\nx-amz-storage-class:GLACIER_IR\n";
    let kms = "\nx-amz-server-side-encryption:aws:kms\n";
    let id = "\nx-amz-server-side-encryption-aws-kms-key-id:arn:aws:kms:eu-west-1:1:key/k\n";
    assert_eq!(with(&heads, &[class, kms, id]), creations, "{heads:#?}");
    assert_eq!(with(&heads, &["storage-class:"]), creations);
    assert_eq!(with(&heads, &["server-side"]), creations);
    // What says what is stored is signed.
    assert!(heads[0].contains("x-amz-server-side-encryption;x-amz-server-side-encryption-aws-kms-key-id;x-amz-storage-class"));

    let heads = recorded(|settings| settings);
    assert_eq!(with(&heads, &["storage-class"]), [""; 0]);
    assert_eq!(with(&heads, &["server-side"]), [""; 0]);

    let key = BASE64.encode([7; 32]);
    let customer = format!("\nx-amz-server-side-encryption-customer-key:{key}\n");
    let heads = recorded(|settings| Settings {
        encryption: Encryption::CustomerKey(Secret::new(key.clone())),
        ..settings
    });
    let with_content = ["PUT ", "POST uploads", "PUT partNumber", "PUT partNumber"];
    let algorithm = "\nx-amz-server-side-encryption-customer-algorithm:AES256\n";
    assert_eq!(
        with(&heads, &[&customer, algorithm, "customer-key-md5:"]),
        with_content,
        "{heads:#?}"
    );
}

#[test]
fn unsigned_bodies_say_so() {
    let heads = recorded(|settings| Settings {
        sign_payload: Some(false),
        ..settings
    });
    let unsigned = with(&heads, &["\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"]);
    assert_eq!(unsigned.len(), heads.len(), "{heads:#?}");
    for kind in Kind::all() {
        for tls in kind.ways() {
            let bench = Bench::with(kind, *tls, Bounds::default());
            let settings = Settings {
                sign_payload: Some(false),
                ..bench.settings.clone()
            };
            let storage = open(settings, &bench.network);
            let large = pattern(6 << 20);
            put(&storage, name(0, 1, 1), b"small");
            put(&storage, name(9, 1, 1), &large);
            assert_eq!(names(&storage, 0), [name(0, 1, 1)], "{kind:?} {tls:?}");
            assert!(get(&storage, name(9, 1, 1)) == large, "{kind:?} {tls:?}");
            storage.delete_all().unwrap();
        }
    }
}
