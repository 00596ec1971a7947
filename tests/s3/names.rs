//! Replicas at the top of a bucket, which get Litestream's odd names.

use walbrook::storage::s3::Settings;
use walbrook::storage::{Storage, StorageError};

use super::recorder::Recorder;
use super::{network, open, settings, store};
use crate::conformance::{get, name, names};
use crate::support::s3::{Kind, S3Server, Tls};

/// What comes of writing to a replica with this path, and what is there then.
fn written(server: &S3Server, path: &str) -> Result<(), StorageError> {
    let storage = open(settings(server, path), &network());
    let result = store(&storage, name(0, 1, 1), b"one").map(drop);
    let kept = [format!("{path}/0000/0000000000000001-0000000000000001.ltx")];
    let objects = server.objects("").into_iter().map(|(key, _)| key);
    let files: Vec<String> = objects.filter(|key| !key.ends_with('/')).collect();
    match &result {
        Ok(()) => {
            assert_eq!(files, kept);
            assert_eq!(names(&storage, 0), [name(0, 1, 1)]);
            assert_eq!(storage.list_all().unwrap().len(), 1);
            assert_eq!(get(&storage, name(0, 1, 1)), b"one");
            storage.delete_all().unwrap();
        }
        Err(_) => assert_eq!(files, [""; 0]),
    }
    result
}

#[test]
fn what_would_not_be_found_again_is_refused_with_advice() {
    for kind in [Kind::SeaweedFs, Kind::JuiceFs, Kind::Rclone] {
        let server = S3Server::start(kind, Tls::Off);
        for path in ["", "."] {
            match written(&server, path) {
                Ok(()) => println!("{kind:?} keeps the names below {path:?}"),
                Err(error) => {
                    let text = error.to_string();
                    println!("{kind:?} {path:?}: {text}");
                    assert!(matches!(error, StorageError::Refused { .. }), "{error:?}");
                    assert!(text.contains("give the replica a path"), "{text}");
                }
            }
        }
    }
}

#[test]
fn names_that_are_kept_are_checked_once() {
    let key = "/0000/0000000000000001-0000000000000001.ltx";
    let page = format!(
        "<ListBucketResult><Contents><Key>{key}</Key><Size>3</Size>\
         <LastModified>2026-11-22T23:52:55Z</LastModified></Contents></ListBucketResult>"
    );
    let recorder = Recorder::new(move |_| (200, "ETag: \"e\"\r\n", page.clone()));
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let settings = Settings {
        endpoint: Some(recorder.endpoint()),
        ..settings(&server, "")
    };
    let storage = open(settings, &network());
    for _ in 0..3 {
        store(&storage, name(0, 1, 1), b"one").unwrap();
    }
    let heads = recorder.heads();
    let methods: Vec<&str> = heads
        .iter()
        .map(|head| head.split(' ').next().unwrap())
        .collect();
    assert_eq!(methods, ["PUT", "GET", "PUT", "PUT"]);
    assert!(
        heads[0].starts_with(&format!("PUT /{}/{key} ", server.bucket())),
        "{}",
        heads[0]
    );
}
