//! Values of S3 settings, from keys of the configuration and parameters of URLs alike. Much of it becomes header
//! lines, so that nothing but plain characters passes. Errors repeat no value that could be a secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::scalar;
use super::text::quoted;
use crate::storage::s3::{Encryption, Endpoint, PART_BYTES_MAX, PART_BYTES_MIN, Settings};
use crate::units::Secret;

/// An endpoint; without a scheme it is `https`.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, String> {
    let text = text.trim();
    let parsed = match text.contains("://") {
        true => Endpoint::parse(text),
        false => Endpoint::parse(&format!("https://{text}")),
    };
    parsed.map_err(str::to_owned)
}

/// An endpoint in a URL: without a scheme it is `http` on this machine and in its network, else `https`.
pub(super) fn endpoint_of_url(text: &str) -> Result<Endpoint, String> {
    let secure = endpoint(text)?;
    match text.contains("://") || !secure.is_local() {
        true => Ok(secure),
        false => endpoint(&format!("http://{}", text.trim())),
    }
}

pub(super) fn region(text: &str) -> Result<String, String> {
    match text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{} is no region; write one such as eu-west-1",
            quoted(text)
        )),
    }
}

pub(super) fn storage_class(text: &str) -> Result<String, String> {
    match text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "{} is no storage class; write one such as STANDARD_IA",
            quoted(text)
        )),
    }
}

/// The size of parts; 0 leaves it to the default, as in Litestream.
pub(super) fn part_size(text: &str) -> Result<Option<u64>, String> {
    match scalar::size(text)? {
        0 => Ok(None),
        size if size < PART_BYTES_MIN => Err(format!(
            "{} is {size} bytes, and S3 takes no parts under {PART_BYTES_MIN}; write 5MiB or more",
            quoted(text)
        )),
        size if size > PART_BYTES_MAX => Err(format!(
            "{} is more than the 5GiB that S3 takes as one part",
            quoted(text)
        )),
        size => Ok(Some(size)),
    }
}

/// The most parts at once; 0 leaves it to the default, as in Litestream.
pub(super) fn concurrency(text: &str) -> Result<Option<u32>, String> {
    match scalar::integer(text)? {
        0 => Ok(None),
        number => match u32::try_from(number) {
            Ok(number) if number <= 1000 => Ok(Some(number)),
            _ => Err(format!("must be from 1 to 1000 (got {number})")),
        },
    }
}

/// Text for a header line: no spaces, nothing but ASCII.
pub(super) fn plain(text: &str) -> Result<&str, String> {
    match text.bytes().all(|b| b.is_ascii_graphic()) {
        true => Ok(text),
        false => Err("has spaces or characters in it that cannot be part of it".to_owned()),
    }
}

/// A key for SSE-C.
pub(super) fn customer_key(text: &str) -> Result<Secret, String> {
    match STANDARD.decode(text.trim()).map(|key| key.len()) {
        Ok(32) => Ok(Secret::new(text.trim())),
        _ => Err(
            "must be the base64 of 32 bytes, 44 characters (in a URL, write + as %2B)".to_owned(),
        ),
    }
}

/// The base64 of a customer key's MD5, which is sent along with the key.
pub(super) fn md5_of(key: &Secret) -> String {
    STANDARD.encode(md5::compute(STANDARD.decode(key.reveal()).unwrap_or_default()).0)
}

pub(super) fn customer_algorithm(text: &str) -> Result<(), String> {
    match text {
        "AES256" => Ok(()),
        _ => Err(format!(
            "{} is no algorithm for customer keys; write AES256",
            quoted(text)
        )),
    }
}

/// Whether a customer key would go over the open network in the clear. The server is sent the key itself.
pub(super) fn exposes_customer_key(settings: &Settings) -> bool {
    let far_in_the_clear = |endpoint: Endpoint| !endpoint.tls && !endpoint.is_local();
    matches!(settings.encryption, Encryption::CustomerKey(_))
        && settings
            .endpoint
            .as_deref()
            .is_some_and(|text| Endpoint::parse(text).is_ok_and(far_in_the_clear))
}

/// What to say then.
pub(super) const EXPOSED_KEY: &str = "customer keys are sent to the server, so its endpoint must be https; plain http \
     is only for this machine and private addresses";

/// What to say of two ways to encrypt.
pub(super) const TWO_ENCRYPTIONS: &str =
    "cannot specify both a customer key (SSE-C) and `sse-kms-key-id` (SSE-KMS); keep one";
