//! Answers that S3 does not give: the login pages of networks, garbage. None is taken for a success, and when they are
//! over everything works again.

use walbrook::storage::{ByteRange, Storage, StorageError};
use walbrook::units::Level;

use super::recorder::Recorder;
use super::{Bench, impatient, open, settings, store};
use crate::conformance::{get, name, names, put};
use crate::support::proxy::Fault;
use crate::support::s3::{Kind, S3Server, Tls};
use walbrook::storage::Network;
use walbrook::sys::clock::SystemClock;

const HTML: &str = "<!DOCTYPE html><html><head><title>Welcome to the hotel</title></head><body>Log in<br></body></html>";
/// One that is well-formed XML.
const XHTML: &str = "<?xml version=\"1.0\"?><html><body><Key>x</Key></body></html>";

/// Every operation, none of which may succeed.
fn all_fail(storage: &dyn Storage, status: u16) {
    let large = vec![7; 6 << 20];
    for (operation, result) in [
        ("list", storage.list(Level::SYNC).map(drop)),
        ("list all", storage.list_all().map(drop)),
        (
            "read",
            storage.read(name(0, 1, 1), ByteRange::From(0)).map(drop),
        ),
        (
            "read the end",
            storage.read(name(0, 1, 1), ByteRange::Last(2)).map(drop),
        ),
        ("write", store(storage, name(0, 2, 2), b"new").map(drop)),
        (
            "write in parts",
            store(storage, name(0, 3, 3), &large).map(drop),
        ),
        ("delete one", storage.delete(&[name(0, 1, 1)])),
        (
            "delete several",
            storage.delete(&[name(0, 1, 1), name(0, 9, 9)]),
        ),
        ("delete all", storage.delete_all()),
        ("old replica", storage.list_generations().map(drop)),
    ] {
        let error = result.expect_err(&format!("{operation}: {status} counts as success"));
        let text = error.to_string();
        match status {
            // Other servers' refusals: nobody knows whether they last.
            403 | 404 => {}
            _ => assert!(
                matches!(error, StorageError::Unreachable { .. }),
                "{operation}: {error:?}"
            ),
        }
        assert!(
            text.contains("login page") || text.contains("a web page"),
            "{operation}: {text}"
        );
    }
}

#[test]
fn pages_are_not_taken_for_success() {
    let bench = Bench::new(Kind::SeaweedFs);
    let storage = bench.storage();
    put(&storage, name(0, 1, 1), b"old");
    for (status, body) in [
        (200, HTML),
        (200, XHTML),
        (302, HTML),
        (403, HTML),
        (404, HTML),
        (511, HTML),
    ] {
        bench.proxy.fault(Fault::Page { status, body });
        all_fail(&storage, status);
        bench.proxy.clear();
    }
    assert_eq!(names(&storage, 0), [name(0, 1, 1)]);
    assert_eq!(get(&storage, name(0, 1, 1)), b"old");
    put(&storage, name(0, 2, 2), b"new");
    storage.delete(&[name(0, 1, 1)]).unwrap();
    assert_eq!(names(&storage, 0), [name(0, 2, 2)]);
}

/// A replica on a server that answers everything alike.
fn answered(status: u16, headers: &'static str, body: &str) -> impl Storage + use<> {
    let body = body.to_owned();
    let recorder = Recorder::new(move |_| (status, headers, body.clone()));
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let settings = walbrook::storage::s3::Settings {
        endpoint: Some(recorder.endpoint()),
        ..settings(&server, "garbage")
    };
    open(
        settings,
        &Network::new(impatient(), std::sync::Arc::new(SystemClock)),
    )
}

#[test]
fn garbage_is_not_taken_for_success() {
    let half_a_list =
        "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>garbage/0000/";
    let no_size = "<ListBucketResult><Contents><Key>k</Key></Contents></ListBucketResult>";
    let more_of_nothing = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
    for body in [
        "",
        "{}",
        "\0\u{1}\u{2}",
        half_a_list,
        no_size,
        more_of_nothing,
        "<Error/>",
    ] {
        let storage = answered(200, "Content-Type: application/xml\r\n", body);
        for (operation, result) in [
            ("list", storage.list(Level::SYNC).map(drop)),
            ("write", store(&storage, name(0, 2, 2), b"new").map(drop)),
            (
                "read",
                storage.read(name(0, 1, 1), ByteRange::From(0)).map(drop),
            ),
            (
                "look",
                storage.read(name(0, 1, 1), ByteRange::Last(0)).map(drop),
            ),
            (
                "delete several",
                storage.delete(&[name(0, 1, 1), name(0, 9, 9)]),
            ),
        ] {
            let error = result.expect_err(&format!("{operation}: {body:?}"));
            assert!(error.to_string().contains("not one of S3"), "{error}");
        }
    }
}

#[test]
fn a_listing_that_repeats_itself_ends() {
    let page = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>again\
                </NextContinuationToken></ListBucketResult>";
    let error = answered(200, "", page).list(Level::SYNC).unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
}

#[test]
fn other_bytes_than_those_asked_for_are_an_error() {
    for (headers, range) in [
        (
            "Content-Range: bytes 7-8/9\r\nETag: \"e\"\r\n",
            ByteRange::From(5),
        ),
        (
            "Content-Range: bytes 7-8/9\r\nETag: \"e\"\r\n",
            ByteRange::Exact {
                offset: 5,
                length: 2,
            },
        ),
        (
            "Content-Range: bytes 8-8/9\r\nETag: \"e\"\r\n",
            ByteRange::Last(2),
        ),
        (
            "Content-Range: bytes 0-9/5\r\nETag: \"e\"\r\n",
            ByteRange::From(0),
        ),
        (
            "Content-Range: lines 0-9/10\r\nETag: \"e\"\r\n",
            ByteRange::From(0),
        ),
        ("ETag: \"e\"\r\n", ByteRange::From(5)),
    ] {
        let error = answered(206, headers, "xx")
            .read(name(0, 1, 1), range)
            .err();
        let error = error.unwrap_or_else(|| panic!("{headers} for {range:?}"));
        assert!(error.to_string().contains("other bytes"), "{error}");
    }
}

#[test]
fn a_redirection_names_the_place_but_no_secret() {
    let headers = "Location: https://login.example.com/?session=SECRET\r\n";
    let error = answered(302, headers, "")
        .list(Level::SYNC)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("https://login.example.com:") && !error.contains("SECRET"),
        "{error}"
    );
}
