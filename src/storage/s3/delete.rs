//! Deleting objects, a thousand at a time where the server can.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc::{CRC_32_ISO_HDLC, Crc};
use roxmltree::Node;

use super::answer::{self, called, children, text};
use super::bucket::{Ask, Bucket};
use crate::storage::StorageError;
use crate::storage::http::Method;

/// S3 takes no more at once.
const BATCH: usize = 1000;
const ANSWER_BYTES_MAX: u64 = 4 << 20;

/// Deletes the objects called `keys`; those already gone are fine.
pub(super) fn delete(bucket: &Bucket, keys: &[String]) -> Result<(), StorageError> {
    match (keys, bucket.target().batch_delete) {
        ([], _) => Ok(()),
        ([key], _) => delete_one(bucket, key),
        (_, true) => keys
            .chunks(BATCH)
            .try_for_each(|batch| delete_batch(bucket, batch)),
        (_, false) => keys.iter().try_for_each(|key| delete_one(bucket, key)),
    }
}

fn delete_one(bucket: &Bucket, key: &str) -> Result<(), StorageError> {
    bucket
        .ask("delete", &Ask::new(Method::Delete, key), &[404])
        .map(drop)
}

fn delete_batch(bucket: &Bucket, keys: &[String]) -> Result<(), StorageError> {
    let mut body = String::from(
        r#"<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>"#,
    );
    for key in keys {
        let key = key
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        body += &format!("<Object><Key>{key}</Key></Object>");
    }
    body += "</Delete>";
    let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(body.as_bytes());
    let mut headers = vec![
        ("content-type", "application/xml".to_owned()),
        ("x-amz-checksum-crc32", BASE64.encode(crc.to_be_bytes())),
    ];
    if bucket.target().content_md5 {
        headers.push(("content-md5", BASE64.encode(md5::compute(&body).0)));
    }
    let ask = Ask {
        query: &[("delete", "")],
        headers,
        body: body.as_bytes(),
        ..Ask::new(Method::Post, "")
    };
    let failed = bucket.ask_document("delete files in", &ask, ANSWER_BYTES_MAX, failures)?;
    let Some(Failure { key, code }) = failed.first() else {
        return Ok(());
    };
    let (location, many) = (bucket.location(key), keys.len());
    let said = match failed.len() - 1 {
        0 => format!("the server answers {code}"),
        others => format!("the server answers {code}, and fails for {others} more of {many} files"),
    };
    Err(match answer::is_passing_code(code) {
        true => StorageError::Unreachable {
            operation: "delete",
            location,
            source: io::Error::other(said),
            sent: true,
        },
        false => StorageError::Refused {
            operation: "delete",
            location,
            reason: said + &answer::advice(403, code, bucket.name(), None),
        },
    })
}

/// One object that could not be deleted.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Failure {
    key: String,
    code: String,
}

/// Those in the answer to a batch, but for objects that were gone already.
pub(super) fn failures(root: Node<'_, '_>) -> Option<Vec<Failure>> {
    called(root, "DeleteResult")?;
    let failure = |node| Failure {
        key: text(node, "Key").unwrap_or_default().to_owned(),
        code: text(node, "Code").unwrap_or("no reason").to_owned(),
    };
    let failures = children(root, "Error").map(failure);
    let there = |failure: &Failure| !matches!(failure.code.as_str(), "NoSuchKey" | "NotFound");
    Some(failures.filter(there).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::storage::http::{Exchange, HttpError, Request, Response};
    use crate::storage::s3::Settings;

    /// Says that everything is gone, and keeps what it was asked.
    #[derive(Default)]
    struct Gone(Mutex<Vec<String>>);

    impl Exchange for Gone {
        fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
            let line = format!("{} {}", request.method.name(), request.url);
            self.0.lock().unwrap().push(line);
            let body = match request.method {
                Method::Post => "<DeleteResult/>",
                _ => "",
            };
            Ok(Response {
                status: 200,
                headers: Vec::new(),
                body: Box::new(body.as_bytes()),
            })
        }
    }

    #[test]
    fn providers_without_batches_are_asked_one_by_one() {
        let keys = ["p/a".to_owned(), "p/b".to_owned()];
        for (endpoint, expected) in [
            (
                "https://storage.googleapis.com",
                &[
                    "DELETE https://storage.googleapis.com/bucket/p/a",
                    "DELETE https://storage.googleapis.com/bucket/p/b",
                ][..],
            ),
            (
                "https://s3.example.org",
                &["POST https://s3.example.org/bucket/?delete="][..],
            ),
        ] {
            let settings = Settings {
                endpoint: Some(endpoint.to_owned()),
                ..Settings::new("bucket", "p")
            };
            let gone = Arc::new(Gone::default());
            let client = Arc::clone(&gone) as Arc<dyn Exchange>;
            delete(&Bucket::answered_by(client, settings, |_| {}), &keys).unwrap();
            assert_eq!(*gone.0.lock().unwrap(), expected);
        }
    }
}
