//! What the server's answers mean: XML documents, and refusals in words that say what to do.

use std::io;

use roxmltree::{Document, Node};

use super::signed::Refusal;
use crate::storage::StorageError;
use crate::storage::http::{Response, is_passing};

/// The most an answer can be that is not an object or a listing.
pub(super) const ANSWER_BYTES_MAX: u64 = 256 << 10;

/// A client that was slow for a moment; a bit that changed on the way; two writers at the same time; load being shed.
const PASSING_CODES: [&str; 10] = [
    "InternalError",
    "ServiceUnavailable",
    "RequestTimeout",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "IncompleteBody",
    "ConditionalRequestConflict",
    "OperationAborted",
    "RequestCanceled",
    "SlowDown",
];

/// The code and message of an error document; empty where there is none.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    pub(super) code: String,
    message: String,
}

impl Complaint {
    pub(super) fn parse(body: &[u8]) -> Complaint {
        let document = std::str::from_utf8(body)
            .ok()
            .and_then(|text| Document::parse(text).ok());
        let Some(document) = document else {
            return Complaint::default();
        };
        let error = document.root_element();
        Complaint {
            code: text(error, "Code").unwrap_or_default().to_owned(),
            message: text(error, "Message").unwrap_or_default().to_owned(),
        }
    }
}

/// Whether the server refuses the access key itself, so that a newer one may do.
pub(super) fn is_about_keys(refusal: &Refusal) -> bool {
    matches!(
        Complaint::parse(&refusal.body).code.as_str(),
        "ExpiredToken"
            | "ExpiredTokenException"
            | "InvalidAccessKeyId"
            | "InvalidToken"
            | "InvalidClientTokenId"
            | "RequestExpired"
            | "TokenRefreshRequired"
            | "UnrecognizedClientException"
    )
}

/// The text of the first child element called `name`, whatever its namespace.
pub(super) fn text<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    children(node, name).next().and_then(|child| child.text())
}

/// The child elements called `name`.
pub(super) fn children<'a, 'd>(
    node: Node<'a, 'd>,
    name: &str,
) -> impl Iterator<Item = Node<'a, 'd>> {
    node.children()
        .filter(move |child| child.tag_name().name() == name)
}

/// Whether an answer is a web page, which is never S3's: the login page of a hotel's network, the complaint of a
/// proxy, a web server.
pub(super) fn is_web_page(response: &Response) -> bool {
    let kind = response.header("content-type").unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("text/html")
}

/// The error for an answer that S3 does not give.
pub(super) fn not_s3() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer is not one of S3: either the endpoint is not, or something on the way answers in its place, \
         such as the login page of a network",
    )
}

/// Reads an answer that is a document, and lets `read` take what it needs of it.
pub(super) fn parse<T>(bytes: &[u8], read: impl FnOnce(Node<'_, '_>) -> Option<T>) -> Option<T> {
    let document = Document::parse(std::str::from_utf8(bytes).ok()?).ok()?;
    read(document.root_element())
}

/// Goes on only with an element called `name`, whatever its namespace.
pub(super) fn called(node: Node<'_, '_>, name: &str) -> Option<()> {
    (node.tag_name().name() == name).then_some(())
}

/// The error for an answer that is no success. `bucket` is named in the advice; `sent` tells whether the request
/// would have changed something.
pub(super) fn refused(
    operation: &'static str,
    location: String,
    response: Response,
    bucket: &str,
    changes: bool,
) -> StorageError {
    let status = response.status;
    let region = response.header("x-amz-bucket-region").map(str::to_owned);
    let is_page = is_web_page(&response);
    let elsewhere = response.header("location").map(origin);
    // Without its body an answer still has its status.
    let body = response.into_bytes(ANSWER_BYTES_MAX).unwrap_or_default();
    let complaint = Complaint::parse(&body);
    let Complaint { code, message } = &complaint;
    let said = match (code.as_str(), message.as_str()) {
        ("", _) if is_page => format!("a web page is answered, with status {status}"),
        ("", _) => format!("the server answers {status}"),
        (code, "") => format!("the server answers {status} {code}"),
        (code, message) => format!("the server answers {status} {code}: {message}"),
    };
    // Sent elsewhere in other words than S3's, as by networks that want one to log in; 511 is made for them.
    if matches!(status, 301..=308 | 511) && code.is_empty() && region.is_none() {
        let place = elsewhere.unwrap_or_else(|| "elsewhere".to_owned());
        return StorageError::Unreachable {
            operation,
            location,
            source: io::Error::other(format!(
                "{said} and sends to {place}: is the endpoint right, and has this network a login page?"
            )),
            sent: changes,
        };
    }
    if is_passing(status) || is_passing_code(code) {
        return StorageError::Unreachable {
            operation,
            location,
            source: io::Error::other(said),
            sent: changes,
        };
    }
    let advice = advice(status, code, bucket, region.as_deref());
    StorageError::Refused {
        operation,
        location,
        reason: format!("{said}{advice}"),
    }
}

/// Scheme and host of a URL; the rest may hold secrets.
fn origin(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}

/// Whether the error with this code may be gone the next time.
pub(super) fn is_passing_code(code: &str) -> bool {
    PASSING_CODES.contains(&code)
}

/// What to do about it.
pub(super) fn advice(status: u16, code: &str, bucket: &str, region: Option<&str>) -> String {
    if let (301 | 307 | 400, Some(region)) = (status, region) {
        return format!("; the bucket is in another region: set `region: {region}`");
    }
    match (status, code) {
        (_, "NoSuchBucket") => format!("; create the bucket {bucket}, or correct its name"),
        (_, "InvalidAccessKeyId" | "InvalidClientTokenId") => {
            "; the server does not know this access-key-id: check the key, and that it is one of this server".to_owned()
        }
        (_, "SignatureDoesNotMatch") => {
            "; the secret-access-key is not the one of this access-key-id, or something on the way changes requests"
                .to_owned()
        }
        (_, "ExpiredToken" | "ExpiredTokenException" | "InvalidToken" | "TokenRefreshRequired") => {
            "; the temporary key is no longer good: get a new one where this one came from".to_owned()
        }
        (_, "RequestTimeTooSkewed") => {
            "; set this machine's clock (the server did not tell the time it goes by)".to_owned()
        }
        (_, "AuthorizationHeaderMalformed" | "PermanentRedirect" | "TemporaryRedirect") => {
            "; `region` or `endpoint` is not the one of this bucket".to_owned()
        }
        (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "EntityTooLarge") => {
            "; what is stored already is safe, make room there to go on".to_owned()
        }
        (401 | 403, _) => format!(
            // Garage says no more of a wrong key either.
            "; is this access-key-id one of this server, and the secret-access-key the one that belongs to it? The key \
             needs the rights to list, read, write and delete in the bucket {bucket}; nothing was changed"
        ),
        (411 | 501 | 405, _) => "; this server cannot do that: is it an S3 service?".to_owned(),
        _ => String::new(),
    }
}
