//! What URLs lead to, and what wrong ones are answered.

use proptest::prelude::*;

use super::*;
use crate::config::ReplicaLocation;
use crate::units::Secret;

fn settings(url: &str) -> Settings {
    match ReplicaLocation::parse_url(url) {
        Ok(ReplicaLocation::S3(settings)) => *settings,
        other => panic!("{url}: {other:?}"),
    }
}

fn error(url: &str) -> String {
    ReplicaLocation::parse_url(url).expect_err(url).to_string()
}

/// 32 bytes.
const CUSTOMER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

#[test]
fn bucket_and_path_are_litestreams() {
    // Seen in the requests of Litestream 0.5.17.
    for (url, bucket, path) in [
        ("s3://b", "b", "."),
        ("s3://b/", "b", ""),
        ("s3://b/x/y", "b", "x/y"),
        ("s3://b/x/y/", "b", "x/y"),
        ("s3://b/x//y/../z/", "b", "x/z"),
        ("s3://b/..", "b", ""),
        ("s3://b/x%20y", "b", "x y"),
        ("s3://b/x y", "b", "x y"),
        ("S3://b/p", "b", "p"),
        ("s3://b/p?", "b", "p"),
        ("s3://b?region=eu-west-1", "b", "."),
        ("s3://b/?region=eu-west-1", "b", ""),
        ("s3://b/user@host", "b", "user@host"),
    ] {
        let settings = settings(url);
        assert_eq!(
            (settings.bucket.as_str(), settings.path.as_str()),
            (bucket, path),
            "{url}"
        );
    }
}

#[test]
fn hosts_say_server_region_and_style() {
    let plain = settings("s3://b/p");
    assert_eq!(plain, Settings::new("b", "p"));
    let own = settings("s3://name.host.example:9000/p");
    assert_eq!(own.bucket, "name");
    assert_eq!(own.endpoint.as_deref(), Some("http://host.example:9000"));
    assert_eq!(own.region.as_deref(), Some("us-east-1"));
    assert_eq!(own.path_style, Some(true));
    let spaces = settings("s3://b.ams3.digitaloceanspaces.com/p");
    assert_eq!(
        spaces.endpoint.as_deref(),
        Some("https://ams3.digitaloceanspaces.com")
    );
    assert_eq!(
        (spaces.region.as_deref(), spaces.path_style),
        (Some("ams3"), Some(false))
    );
    // The form of the host says nothing about another server.
    let elsewhere = settings("s3://b.ams3.digitaloceanspaces.com/p?endpoint=h.example");
    assert_eq!(elsewhere.path_style, None);
    let told =
        settings("s3://b.ams3.digitaloceanspaces.com/p?forcePathStyle=true&endpoint=h.example");
    assert_eq!(told.path_style, Some(true));
}

#[test]
fn access_points_keep_their_arn() {
    const ARN: &str = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap";
    for (rest, path) in [
        ("", ""),
        ("/", ""),
        ("/x/y", "x/y"),
        ("/x%20//y/", "x%20/y"),
    ] {
        let settings = settings(&format!("s3://{ARN}{rest}?concurrency=3"));
        assert_eq!(
            (settings.bucket.as_str(), settings.path.as_str()),
            (ARN, path)
        );
        assert_eq!(settings.concurrency, Some(3));
    }
    assert_eq!(
        error("s3://arn:aws:s3:::bucket/p"),
        "url: s3://arn:aws:s3:::bucket/p: the ARN of an access point is \
         arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME, and no other ARN is a bucket"
    );
}

#[test]
fn parameters_have_two_spellings() {
    let all = |names: &[&str]| {
        let values = [
            "h.example:9000",
            "eu-west-1",
            "no",
            "1",
            "f",
            "false",
            "STANDARD_IA",
            "6291456",
            "7",
            "AES256",
            "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE%3D",
            "KYvwGXoFFJ42a2u2GDWhwQ%3D%3D",
        ];
        let pairs: Vec<String> = names
            .iter()
            .zip(values)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        settings(&format!("s3://b/p?{}", pairs.join("&")))
    };
    let camel: Vec<&str> = PARAMETERS
        .iter()
        .map(|(camel, _)| *camel)
        .filter(|name| *name != "sseKmsKeyId")
        .collect();
    let hyphens: Vec<&str> = PARAMETERS
        .iter()
        .map(|(_, name)| *name)
        .filter(|name| *name != "sse-kms-key-id")
        .collect();
    let expected = Settings {
        region: Some("eu-west-1".to_owned()),
        endpoint: Some("https://h.example:9000".to_owned()),
        path_style: Some(false),
        sign_payload: Some(false),
        require_content_md5: Some(false),
        skip_verify: true,
        storage_class: Some("STANDARD_IA".to_owned()),
        part_size: Some(6 << 20),
        concurrency: Some(7),
        encryption: Encryption::CustomerKey(Secret::new(CUSTOMER_KEY)),
        ..Settings::new("b", "p")
    };
    assert_eq!(all(&camel), expected);
    assert_eq!(all(&hyphens), expected);
    let kms = settings("s3://b/p?sseKmsKeyId=alias/my-key").encryption;
    assert_eq!(kms, Encryption::Kms("alias/my-key".to_owned()));
}

#[test]
fn an_endpoint_without_scheme_gets_the_likely_one() {
    for (given, expected) in [
        ("localhost:9000", "http://localhost:9000"),
        ("192.168.1.5:9000", "http://192.168.1.5:9000"),
        ("[::1]:9000", "http://[::1]:9000"),
        ("nas.local", "http://nas.local"),
        ("h.example:9000", "https://h.example:9000"),
        ("fly.storage.tigris.dev", "https://fly.storage.tigris.dev"),
        ("https://localhost", "https://localhost"),
        ("http://h.example", "http://h.example"),
        (
            "https%3A%2F%2Fr.supabase.co%2Fstorage%2Fv1%2Fs3",
            "https://r.supabase.co/storage/v1/s3",
        ),
    ] {
        let settings = settings(&format!("s3://b/p?endpoint={given}"));
        assert_eq!(settings.endpoint.as_deref(), Some(expected), "{given}");
    }
}

#[test]
fn mistakes_are_answered_word_for_word() {
    for (url, expected) in [
        ("s3:b/p", "url: s3:b/p: write s3://BUCKET/PATH"),
        (
            "s3:///p",
            "url: s3:///p: bucket required for s3 replica; write s3://BUCKET/PATH, with \
             ?endpoint=https://HOST[:PORT] unless it is on AWS",
        ),
        (
            "s3://b.minio.example.com:9000/p",
            "url: s3://b.minio.example.com:9000/p: a host in this form does not say the bucket; write \
             s3://BUCKET/PATH?endpoint=https://HOST[:PORT]",
        ),
        (
            "s3://b/p#x",
            "url: s3://b/p: `#` would begin a fragment, which a replica does not have; write %23",
        ),
        (
            "s3://b/p?regoin=eu",
            "url: s3://b/p: unknown parameter `regoin`; did you mean `region`?",
        ),
        (
            "s3://b/p?force_path_style=true",
            "url: s3://b/p: unknown parameter `force_path_style`; did you mean `forcePathStyle`?",
        ),
        (
            "s3://b/p?x=1",
            "url: s3://b/p: unknown parameter `x`; there are endpoint, region, forcePathStyle, skipVerify, \
             signPayload, requireContentMD5, storageClass, partSize, concurrency, sseCustomerAlgorithm, \
             sseCustomerKey, sseCustomerKeyMD5, sseKmsKeyId",
        ),
        (
            "s3://b/p?region=a&region=b",
            "url: s3://b/p: the parameter `region` stands there twice; keep one",
        ),
        (
            "s3://b/p?sign-payload=no&signPayload=yes",
            "url: s3://b/p: the parameter `sign-payload` stands there twice; keep one",
        ),
        (
            "s3://b/p?skipVerify=maybe",
            "url: s3://b/p: `skip-verify`: `maybe` is not true or false",
        ),
        (
            "s3://b/p?partSize=5MB",
            "url: s3://b/p: `part-size`: `5MB` is 5000000 bytes, and S3 takes no parts under 5242880; write 5MiB \
             or more",
        ),
        (
            "s3://b/p?endpoint=ftp://h",
            "url: s3://b/p: `endpoint`: an endpoint is http://HOST[:PORT] or https://HOST[:PORT]",
        ),
        (
            "s3://b%20/p",
            "url: s3://b%20/p: the name of a bucket has letters, digits, `-`, `.` and `_` alone",
        ),
        (
            "s3://b/%zz",
            "url: s3://b/%zz: `%` must be followed by two hexadecimal digits; write %25",
        ),
        ("s3://b/%ff", "url: s3://b/%ff: the path is not UTF-8"),
        (
            "s3://b/%0a",
            "url: s3://b/%0a: a control character in the path",
        ),
        (
            "s3://b/p?sseCustomerAlgorithm=AES256",
            "url: s3://b/p: `sse-customer-algorithm` without `sse-customer-key` does nothing; add that",
        ),
        (
            "s3://b/p?accessKeyID=AKIAhunter2",
            "url: s3://b/p: keys do not belong into the URL, where they would be seen; write them into the \
             configuration or the environment",
        ),
    ] {
        assert_eq!(error(url), expected, "{url}");
    }
}

#[test]
fn no_secret_is_repeated() {
    for url in [
        "s3://AKIA:hunter2@b/p",
        "s3://hunter2@b/p",
        "s3://AKIA:hunter2/hunter2@b/p",
        "s3://AKIA:hunter2?hunter2@b/p",
        "s3://AKIA:hunter2?hunter2=hunter2@b/p",
        "s3://AKIA:hunter2#hunter2@b/p",
        "s3://AKIA:12/hunter2@b/p",
        "s3://AKIA%3Ahunter2@b/p",
        "s3://b/p?hunter2@",
        "s3://b/p?secretAccessKey=hunter2",
        "s3://b/p?endpoint=https://k:hunter2@h",
        "s3://b/p?sseCustomerKey=hunter2",
        "s3://b/p?sseCustomerKey=hunter2&sseKmsKeyId=x",
        "s3://b/p?sseCustomerKey=hunter2&sseCustomerKey=x",
        "s3://b/p?sseCustomerKey=%zzhunter2",
        "s3://b/p?sseCustomerKey=%ffhunter2",
        "s3://b/p?sseKmsKeyId=hunter2%20",
        "s3:AKIA:hunter2@b/p",
        "s3://b/p\u{7}?sseCustomerKey=hunter2",
    ] {
        let error = error(url);
        assert!(!error.contains("hunter2"), "{url}: {error}");
    }
    for query in [
        "sseKmsKeyId=x",
        "sseCustomerKeyMD5=x",
        "endpoint=http://h.example",
        "region=%20",
        "skipVerify=x",
    ] {
        let error = error(&format!("s3://b/p?sseCustomerKey={CUSTOMER_KEY}&{query}"));
        assert!(!error.contains(CUSTOMER_KEY), "{query}: {error}");
    }
    let settings = settings(&format!("s3://b/p?sseCustomerKey={CUSTOMER_KEY}"));
    assert!(!format!("{settings:?}").contains(CUSTOMER_KEY));
    let location = ReplicaLocation::S3(Box::new(settings)).to_string();
    assert_eq!(location, "s3://b/p");
}

#[test]
fn keys_in_front_of_the_host_are_refused_with_the_reason() {
    assert_eq!(
        error("s3://AKIA:hunter2@b/p"),
        "url: s3://b/p: keys do not belong into the URL, where they would be seen; take them out and write them as \
         `access-key-id` and `secret-access-key` in the configuration, or as $AWS_ACCESS_KEY_ID and \
         $AWS_SECRET_ACCESS_KEY in the environment"
    );
}

#[test]
fn a_customer_key_stays_in_the_house() {
    let with =
        |endpoint: &str| format!("s3://b/p?sseCustomerKey={CUSTOMER_KEY}&endpoint={endpoint}");
    for fine in [
        "https://h.example",
        "http://127.0.0.1:9000",
        "http://10.0.0.1",
        "localhost",
    ] {
        settings(&with(fine));
    }
    assert_eq!(
        error(&with("http://h.example")),
        "url: s3://b/p: customer keys are sent to the server, so its endpoint must be https; plain http is only for \
         this machine and private addresses"
    );
}

#[test]
fn what_is_displayed_leads_to_the_same_place() {
    for (url, shown) in [
        ("s3://b", "s3://b"),
        ("s3://b/", "s3://b/"),
        ("s3://b/x%20y?region=eu-west-1", "s3://b/x%20y"),
        ("s3://b/100%25%3F", "s3://b/100%25%3F"),
        ("s3://name.h:9000/p", "s3://name/p?endpoint=http://h:9000"),
    ] {
        let location = ReplicaLocation::parse_url(url).unwrap();
        assert_eq!(location.to_string(), shown);
        assert_eq!(location.kind(), "s3");
        assert_eq!(location.directory(), None);
        let (first, again) = (settings(url), settings(shown));
        assert_eq!(
            (first.bucket, first.path, first.endpoint),
            (again.bucket, again.path, again.endpoint)
        );
    }
}

proptest! {
    #[test]
    fn no_url_panics(rest in "(//)?[a-z.:@/?#&=%\\[\\]é ]{0,40}") {
        let _ = parse(&rest);
    }

    #[test]
    fn no_near_url_panics(
        words in prop::collection::vec(
            "//|/|\\?|&|=|@|:|\\.|%|\\[|\\]|b|s3|arn:|aws|:accesspoint/|amazonaws\\.com|backblazeb2\\.com|endpoint|9000|é",
            0..20,
        )
    ) {
        let _ = parse(&format!("//{}", words.concat()));
    }

    #[test]
    fn no_password_is_shown(password in "[A-Za-z0-9+]{4}[A-Za-z0-9+/?#]{16}", path in "(/p)?") {
        let url = format!("s3://AKIA:{password}@bucket{path}");
        let shown = error(&url);
        let begin: String = password.chars().take(4).collect();
        prop_assert!(!shown.contains(&begin) || begin.bytes().all(|b| b.is_ascii_digit()), "{}", shown);
    }
}
