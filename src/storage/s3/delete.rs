//! Deleting objects, a thousand at a time where the server can.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use crc::{CRC_32_ISO_HDLC, Crc};

use super::answer::{children, text};
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
    let errors = bucket.ask_document("delete files in", &ask, ANSWER_BYTES_MAX, |root| {
        let error = |node| {
            let code = text(node, "Code").unwrap_or("no reason given");
            let gone = matches!(code, "NoSuchKey" | "NotFound");
            (!gone).then(|| {
                (
                    text(node, "Key").unwrap_or_default().to_owned(),
                    code.to_owned(),
                )
            })
        };
        Some(
            children(root, "Error")
                .filter_map(error)
                .collect::<Vec<_>>(),
        )
    })?;
    match errors.first() {
        None => Ok(()),
        Some((key, code)) => Err(StorageError::Refused {
            operation: "delete",
            location: bucket.location(key),
            reason: format!(
                "{code} (and {} more of {} files)",
                errors.len() - 1,
                keys.len()
            ),
        }),
    }
}
