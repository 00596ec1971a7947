//! Signatures of requests, AWS's version 4 as S3 wants it: the path is signed as it stands in the URL, and the
//! hash of the body, or that it is not signed, goes along as a header. Pure: bytes in, header lines out.

use std::fmt::Write;

use ring::{digest, hmac};

use super::settings::Keys;
use crate::storage::http::Request;
use crate::units::Timestamp;

/// Whether the content of a request's body is part of what is signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Payload {
    /// It is: its SHA-256 is sent along.
    Signed,
    /// It is not; TLS has to protect it.
    Unsigned,
}

/// Signs `request`, which has its final URL, headers and body, for `service` in `region` at the time `now`.
/// Signing it again replaces the earlier signature.
///
/// Signed are the host and those headers that say what is asked for. Others are left out, since somebody on the
/// way may change them: Google's front end is known to do so with `accept-encoding`.
pub(super) fn sign(
    request: &mut Request<'_>,
    keys: &Keys,
    region: &str,
    service: &str,
    now: Timestamp,
    payload: Payload,
) {
    let time = basic_time(now);
    let scope = format!("{}/{region}/{service}/aws4_request", date(&time));
    let payload = match payload {
        Payload::Signed => hex(&sha256(request.body)),
        Payload::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
    };

    request.headers.retain(|(name, _)| !OURS.contains(name));
    request.headers.push((DATE, time.clone()));
    request.headers.push((PAYLOAD, payload.clone()));
    if let Some(token) = &keys.session_token {
        request.headers.push((TOKEN, token.reveal().to_owned()));
    }

    let (canonical, signed) = canonical_request(request, &payload);
    let hash = hex(&sha256(canonical.as_bytes()));
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{hash}");
    let key = signing_key(keys, date(&time), region, service);
    let signature = hex(&hmac256(&key, &to_sign));
    let id = &keys.access_key_id;
    request.headers.push((
        AUTHORIZATION,
        format!(
            "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={signed}, Signature={signature}"
        ),
    ));
}

/// The name of an object as it stands in the path of a URL: all but unreserved characters and `/` encoded.
pub(super) fn encode_path(name: &str) -> String {
    encode(name, b"-_.~/")
}

/// A name or value as it stands in the query of a URL: all but unreserved characters encoded.
pub(super) fn encode_query(value: &str) -> String {
    encode(value, b"-_.~")
}

fn encode(text: &str, kept: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const AUTHORIZATION: &str = "authorization";
const DATE: &str = "x-amz-date";
const PAYLOAD: &str = "x-amz-content-sha256";
const TOKEN: &str = "x-amz-security-token";

/// The headers that a signature consists of.
const OURS: [&str; 4] = [AUTHORIZATION, DATE, PAYLOAD, TOKEN];

/// The request in the one form that both sides hash, and the list of its headers.
fn canonical_request(request: &Request<'_>, payload: &str) -> (String, String) {
    let (host, path, query) = parts(&request.url);
    let mut headers = vec![("host", host.to_owned())];
    for (name, value) in &request.headers {
        if is_signed(name) {
            headers.push((
                name,
                value.split_ascii_whitespace().collect::<Vec<_>>().join(" "),
            ));
        }
    }
    headers.sort();

    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let method = request.method.name();
    let query = canonical_query(query);
    (
        format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{payload}"),
        names,
    )
}

fn is_signed(name: &str) -> bool {
    name.starts_with("x-amz-") || ["content-md5", "content-type", "date", "range"].contains(&name)
}

/// Host, path and query of an absolute URL. The host is what the client sends as such: without the scheme's own
/// port.
fn parts(url: &str) -> (&str, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let rest = rest.split('#').next().unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, "/"),
    };
    let own_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    (host.strip_suffix(own_port).unwrap_or(host), path, query)
}

/// The parts of an encoded query by name, then by value.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// `20130524T000000Z`.
fn basic_time(now: Timestamp) -> String {
    let seconds =
        Timestamp::from_millis(now.millis().saturating_sub(now.millis().rem_euclid(1000)));
    seconds.to_string().replace(['-', ':'], "")
}

/// The date of such a time.
fn date(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

/// The key of one day, region and service.
fn signing_key(keys: &Keys, date: &str, region: &str, service: &str) -> hmac::Tag {
    let secret = hmac::Key::new(
        hmac::HMAC_SHA256,
        format!("AWS4{}", keys.secret_access_key.reveal()).as_bytes(),
    );
    let day = hmac::sign(&secret, date.as_bytes());
    [region, service, "aws4_request"]
        .iter()
        .fold(day, |key, part| hmac256(&key, part))
}

fn hmac256(key: &hmac::Tag, text: &str) -> hmac::Tag {
    hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
        text.as_bytes(),
    )
}

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
}

fn hex(bytes: &impl AsRef<[u8]>) -> String {
    let mut text = String::with_capacity(64);
    for byte in bytes.as_ref() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::http::Method;
    use crate::units::Secret;

    /// The keys of AWS's published examples.
    fn example_keys() -> Keys {
        Keys {
            access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
            secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session_token: None,
        }
    }

    fn example_request(method: Method, path: &str) -> Request<'static> {
        Request::new(
            method,
            format!("https://examplebucket.s3.amazonaws.com{path}"),
        )
    }

    fn sign_as_in_the_examples(request: &mut Request<'_>) {
        let now = Timestamp::parse("2013-05-24T00:00:00.999Z").unwrap();
        sign(
            request,
            &example_keys(),
            "us-east-1",
            "s3",
            now,
            Payload::Signed,
        );
    }

    fn assert_signed(request: &mut Request<'_>, headers: &str, signature: &str) {
        sign_as_in_the_examples(request);
        let expected = format!(
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
             SignedHeaders={headers}, Signature={signature}"
        );
        assert_eq!(request.header("authorization"), Some(expected.as_str()));
        assert_eq!(request.header("x-amz-date"), Some("20130524T000000Z"));
    }

    // The four examples of AWS's page "Signature Calculations for the Authorization Header: Transferring Payload
    // in a Single Chunk", with the signatures published there.

    #[test]
    fn published_example_get_object() {
        let mut request = example_request(Method::Get, "/test.txt");
        request.headers.push(("range", "bytes=0-9".to_owned()));
        assert_signed(
            &mut request,
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        );
    }

    #[test]
    fn published_example_put_object() {
        let mut request = example_request(Method::Put, "/test%24file.text");
        request
            .headers
            .push(("date", "Fri, 24 May 2013 00:00:00 GMT".to_owned()));
        request
            .headers
            .push(("x-amz-storage-class", "REDUCED_REDUNDANCY".to_owned()));
        request.body = b"Welcome to Amazon S3.";
        assert_signed(
            &mut request,
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        );
        assert_eq!(
            request.header("x-amz-content-sha256"),
            Some("44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072")
        );
    }

    #[test]
    fn published_example_get_bucket_lifecycle() {
        assert_signed(
            &mut example_request(Method::Get, "/?lifecycle"),
            "host;x-amz-content-sha256;x-amz-date",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        );
    }

    #[test]
    fn published_example_list_objects_in_any_order_of_the_query() {
        for query in ["/?max-keys=2&prefix=J", "?prefix=J&max-keys=2"] {
            assert_signed(
                &mut example_request(Method::Get, query),
                "host;x-amz-content-sha256;x-amz-date",
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            );
        }
    }

    #[test]
    fn signing_again_replaces_the_signature() {
        let mut request = example_request(Method::Get, "/test.txt");
        let temporary = Keys {
            session_token: Some(Secret::new("token")),
            ..example_keys()
        };
        let early = Timestamp::from_millis(0);
        sign(
            &mut request,
            &temporary,
            "eu-west-1",
            "s3",
            early,
            Payload::Unsigned,
        );
        assert_eq!(request.header(PAYLOAD), Some("UNSIGNED-PAYLOAD"));
        assert_eq!(request.header(TOKEN), Some("token"));
        let signed = request.header(AUTHORIZATION).unwrap();
        assert!(
            signed.contains("x-amz-date;x-amz-security-token,"),
            "{signed}"
        );

        sign_as_in_the_examples(&mut request);
        let mut fresh = example_request(Method::Get, "/test.txt");
        sign_as_in_the_examples(&mut fresh);
        assert_eq!(request.headers, fresh.headers);
    }

    #[test]
    fn what_may_change_on_the_way_is_not_signed() {
        let mut plain = example_request(Method::Get, "/a");
        sign_as_in_the_examples(&mut plain);
        let mut more = example_request(Method::Get, "/a");
        more.headers
            .push(("accept-encoding", "identity".to_owned()));
        more.headers.push(("if-none-match", "*".to_owned()));
        sign_as_in_the_examples(&mut more);
        assert_eq!(plain.header(AUTHORIZATION), more.header(AUTHORIZATION));
    }

    #[test]
    fn the_host_is_what_the_client_sends() {
        for (url, host, path, query) in [
            ("https://h:443/a/b?c", "h", "/a/b", "c"),
            ("http://h:80", "h", "/", ""),
            ("http://h:443/", "h:443", "/", ""),
            ("http://[::1]:9000/a?b=/?c", "[::1]:9000", "/a", "b=/?c"),
            ("https://h?list-type=2", "h", "/", "list-type=2"),
        ] {
            assert_eq!(parts(url), (host, path, query), "{url}");
        }
    }

    #[test]
    fn encoding_keeps_unreserved_characters_alone() {
        assert_eq!(encode_path("a/b c+ü~._-*"), "a/b%20c%2B%C3%BC~._-%2A");
        assert_eq!(encode_query("a/b=c&d"), "a%2Fb%3Dc%26d");
    }

    #[test]
    fn a_query_is_sorted_by_name_then_by_value() {
        assert_eq!(
            canonical_query("b=2&a-b=1&a=z&a=%20&&c"),
            "a=%20&a=z&a-b=1&b=2&c="
        );
    }

    proptest! {
        #[test]
        fn no_request_panics(url in "\\PC{0,60}", millis: i64) {
            let mut request = Request::new(Method::Get, url);
            let now = Timestamp::from_millis(millis);
            sign(&mut request, &example_keys(), "r", "s3", now, Payload::Signed);
        }
    }
}
