//! Where the settings of each provider lead, and what its host says.

use super::*;

fn at(endpoint: &str) -> Settings {
    Settings {
        endpoint: Some(endpoint.to_owned()),
        ..Settings::new("bucket", "p")
    }
}

fn in_region(region: &str) -> Settings {
    Settings {
        region: Some(region.to_owned()),
        ..Settings::new("bucket", "p")
    }
}

/// Scheme, authority and path as one.
fn place(settings: &Settings) -> String {
    let target = resolve(settings).unwrap();
    format!(
        "{}://{}{}",
        target.scheme, target.authority, target.bucket_path
    )
}

#[test]
fn providers_are_recognised_by_their_hosts() {
    for (endpoint, name, region) in [
        ("https://s3.amazonaws.com", "AWS", "us-east-1"),
        ("https://s3.eu-west-1.amazonaws.com", "AWS", "eu-west-1"),
        (
            "https://s3.cn-north-1.amazonaws.com.cn",
            "AWS",
            "cn-north-1",
        ),
        (
            "https://s3.dualstack.us-west-2.amazonaws.com",
            "AWS",
            "us-west-2",
        ),
        (
            "https://s3-fips.us-gov-west-1.amazonaws.com",
            "AWS",
            "us-gov-west-1",
        ),
        (
            "https://bucket.vpce-1a2b-5e6f.s3.us-east-2.vpce.amazonaws.com",
            "AWS",
            "us-east-2",
        ),
        ("https://s3-accelerate.amazonaws.com", "AWS", "us-east-1"),
        (
            "https://abc123.r2.cloudflarestorage.com",
            "Cloudflare R2",
            "auto",
        ),
        (
            "https://abc123.eu.r2.cloudflarestorage.com",
            "Cloudflare R2",
            "auto",
        ),
        (
            "https://s3.eu-central-003.backblazeb2.com",
            "Backblaze B2",
            "eu-central-003",
        ),
        (
            "https://ams3.digitaloceanspaces.com",
            "DigitalOcean Spaces",
            "ams3",
        ),
        ("https://s3.fr-par.scw.cloud", "Scaleway", "fr-par"),
        ("https://fsn1.your-objectstorage.com", "Hetzner", "fsn1"),
        ("https://fly.storage.tigris.dev", "Tigris", "auto"),
        ("https://t3.storage.dev", "Tigris", "auto"),
        (
            "https://ref.supabase.co/storage/v1/s3",
            "Supabase",
            "us-east-1",
        ),
        (
            "https://ref.storage.supabase.co/storage/v1/s3",
            "Supabase",
            "us-east-1",
        ),
        ("https://s3.filebase.com", "Filebase", "us-east-1"),
        (
            "https://storage.googleapis.com",
            "Google Cloud Storage",
            "us-east-1",
        ),
        (
            "https://storage.me-central2.rep.googleapis.com",
            "Google Cloud Storage",
            "us-east-1",
        ),
        ("https://s3.wasabisys.com", "Wasabi", "us-east-1"),
        (
            "https://s3.eu-central-1.wasabisys.com",
            "Wasabi",
            "eu-central-1",
        ),
        ("https://s3.gra.io.cloud.ovh.net", "OVHcloud", "gra"),
        ("https://s3.gra.perf.cloud.ovh.net", "OVHcloud", "gra"),
        (
            "https://s3.us-east-va.io.cloud.ovh.us",
            "OVHcloud",
            "us-east-va",
        ),
        (
            "http://127.0.0.1:9000",
            "an S3-compatible server",
            "us-east-1",
        ),
        (
            "http://garage.lan:3900",
            "an S3-compatible server",
            "us-east-1",
        ),
        (
            "https://notamazonaws.com",
            "an S3-compatible server",
            "us-east-1",
        ),
        (
            "https://s3.filebase.com.example.org",
            "an S3-compatible server",
            "us-east-1",
        ),
    ] {
        let host = Endpoint::parse(endpoint).unwrap().host;
        assert_eq!(provider_of(&host).name, name, "{endpoint}");
        let target = resolve(&at(endpoint)).unwrap();
        assert_eq!(target.region.as_deref(), Some(region), "{endpoint}");
        let told = Settings {
            region: Some("mine".to_owned()),
            ..at(endpoint)
        };
        assert_eq!(resolve(&told).unwrap().region.as_deref(), Some("mine"));
    }
}

#[test]
fn what_is_different_is_different_there_alone() {
    let all = PROVIDERS.iter().chain([&USUAL]);
    for provider in all {
        let name = provider.name;
        assert_eq!(
            provider.concurrency,
            if name == "Cloudflare R2" { 2 } else { 5 },
            "{name}"
        );
        assert_eq!(provider.content_md5, name != "Tigris", "{name}");
        assert_eq!(!provider.headers.is_empty(), name == "Tigris", "{name}");
        assert_eq!(
            provider.batch_delete,
            name != "Google Cloud Storage",
            "{name}"
        );
        assert_eq!(provider.conditional_put, name != "Backblaze B2", "{name}");
    }
}

#[test]
fn what_the_settings_say_wins() {
    let target = resolve(&at("https://t3.storage.dev")).unwrap();
    assert_eq!((target.sign_payload, target.content_md5), (true, false));
    assert_eq!((target.part_size, target.concurrency), (5_242_880, 5));
    assert_eq!(target.headers, [("x-tigris-consistent", "true")]);
    let told = Settings {
        sign_payload: Some(false),
        require_content_md5: Some(true),
        part_size: Some(6 << 20),
        concurrency: Some(9),
        ..at("https://t3.storage.dev")
    };
    let target = resolve(&told).unwrap();
    assert_eq!((target.sign_payload, target.content_md5), (false, true));
    assert_eq!((target.part_size, target.concurrency), (6 << 20, 9));
}

#[test]
fn the_bucket_goes_where_it_belongs() {
    let styled = |bucket: &str, path_style: bool, endpoint: &str| Settings {
        bucket: bucket.to_owned(),
        path_style: Some(path_style),
        ..at(endpoint)
    };
    let on_aws = |bucket: &str| Settings {
        bucket: bucket.to_owned(),
        ..in_region("eu-west-1")
    };
    for (settings, expected) in [
        (
            in_region("eu-west-1"),
            "https://bucket.s3.eu-west-1.amazonaws.com",
        ),
        (
            in_region("cn-north-1"),
            "https://bucket.s3.cn-north-1.amazonaws.com.cn",
        ),
        // Without a region, where it is asked for.
        (
            Settings::new("bucket", "p"),
            "https://bucket.s3.us-east-1.amazonaws.com",
        ),
        (
            on_aws("my.bucket"),
            "https://s3.eu-west-1.amazonaws.com/my.bucket",
        ),
        (
            on_aws("My_Bucket"),
            "https://s3.eu-west-1.amazonaws.com/My_Bucket",
        ),
        (on_aws("-x-"), "https://s3.eu-west-1.amazonaws.com/-x-"),
        (
            Settings {
                path_style: Some(true),
                ..in_region("eu-west-1")
            },
            "https://s3.eu-west-1.amazonaws.com/bucket",
        ),
        (at("http://127.0.0.1:9000"), "http://127.0.0.1:9000/bucket"),
        (at("http://[::1]:9000"), "http://[::1]:9000/bucket"),
        (at("https://h:443"), "https://h/bucket"),
        (
            at("https://r.supabase.co/storage/v1/s3"),
            "https://r.supabase.co/storage/v1/s3/bucket",
        ),
        (
            styled("bucket", false, "http://minio.lan:9000"),
            "http://bucket.minio.lan:9000",
        ),
        (
            styled("my.bucket", false, "http://minio.lan:9000"),
            "http://my.bucket.minio.lan:9000",
        ),
        (
            styled("my.bucket", false, "https://minio.lan"),
            "https://minio.lan/my.bucket",
        ),
        (
            styled("bucket", false, "http://127.0.0.1:9000"),
            "http://127.0.0.1:9000/bucket",
        ),
        (
            styled("bucket", false, "http://[::1]:9000"),
            "http://[::1]:9000/bucket",
        ),
        (
            styled("bucket", false, "https://ams3.digitaloceanspaces.com"),
            "https://bucket.ams3.digitaloceanspaces.com",
        ),
        (
            styled("bucket", false, "https://h/sub"),
            "https://bucket.h/sub",
        ),
    ] {
        assert_eq!(place(&settings), expected);
    }
    assert_eq!(resolve(&Settings::new("bucket", "p")).unwrap().region, None);
}

#[test]
fn access_points_have_hosts_of_their_own() {
    let arn = |bucket: &str| Settings::new(bucket, "p");
    for (settings, expected, region) in [
        (
            arn("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap-1"),
            "https://ap-1-123456789012.s3-accesspoint.eu-west-1.amazonaws.com",
            "eu-west-1",
        ),
        (
            arn("arn:aws-cn:s3:cn-north-1:123456789012:accesspoint:ap"),
            "https://ap-123456789012.s3-accesspoint.cn-north-1.amazonaws.com.cn",
            "cn-north-1",
        ),
        // The ARN knows better than a region for all replicas, and a private endpoint keeps its host.
        (
            Settings {
                region: Some("us-east-1".to_owned()),
                endpoint: Some(
                    "https://accesspoint.vpce-1a.s3.eu-west-1.vpce.amazonaws.com".to_owned(),
                ),
                ..arn("arn:aws:s3:eu-west-1:123456789012:accesspoint/ap")
            },
            "https://ap-123456789012.accesspoint.vpce-1a.s3.eu-west-1.vpce.amazonaws.com",
            "eu-west-1",
        ),
    ] {
        assert_eq!(place(&settings), expected);
        assert_eq!(resolve(&settings).unwrap().region.as_deref(), Some(region));
    }
}

#[test]
fn what_cannot_be_is_refused_without_showing_it() {
    let with = |bucket: &str| Settings::new(bucket, "p");
    for (settings, expected) in [
        (with(""), "the name of a bucket has"),
        (with(".."), "the name of a bucket has"),
        (with("hunter2/x"), "the name of a bucket has"),
        (with("k:hunter2@b"), "the name of a bucket has"),
        (
            with("arn:aws:s3:::hunter2"),
            "the ARN of an access point is",
        ),
        (
            with("arn:aws:s3-outposts:r:1:outpost/hunter2"),
            "the ARN of an access point is",
        ),
        (
            with("arn:aws:s3:r:1:accesspoint/"),
            "the ARN of an access point is",
        ),
        (
            with("arn:aws:s3:r:1:accesspoint/hunter2/x"),
            "the ARN of an access point is",
        ),
        (
            with("arn:aws:s3::123456789012:accesspoint/hunter2.mrap"),
            "multi-region access points need",
        ),
        (
            Settings {
                path_style: Some(true),
                ..with("arn:aws:s3:r:1:accesspoint/hunter2")
            },
            "an access point cannot be addressed with `force-path-style`",
        ),
        (at("k:hunter2@h"), "an endpoint is http://HOST[:PORT]"),
        (
            at("http://k:hunter2@h"),
            "keys do not belong into an endpoint",
        ),
        (
            Settings {
                part_size: Some(5_000_000),
                ..with("b")
            },
            "the part size is not from 5242880",
        ),
    ] {
        let error = resolve(&settings).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn the_host_of_a_url_names_the_bucket() {
    type Form = (
        &'static str,
        Option<&'static str>,
        Option<&'static str>,
        Option<bool>,
    );
    let forms: &[(&str, Form)] = &[
        ("bucket", ("bucket", None, None, None)),
        ("my.bucket", ("my.bucket", None, None, None)),
        ("b.s3.amazonaws.com", ("b", None, None, None)),
        (
            "a.b.s3.eu-west-1.amazonaws.com",
            ("a.b", Some("eu-west-1"), None, None),
        ),
        (
            "Bucket.S3.EU-west-1.Amazonaws.COM",
            ("Bucket", Some("eu-west-1"), None, None),
        ),
        (
            "b.ams3.digitaloceanspaces.com",
            (
                "b",
                Some("ams3"),
                Some("https://ams3.digitaloceanspaces.com"),
                Some(false),
            ),
        ),
        (
            "a.b.s3.eu-central-003.backblazeb2.com",
            (
                "a.b",
                Some("eu-central-003"),
                Some("https://s3.eu-central-003.backblazeb2.com"),
                None,
            ),
        ),
        (
            "b.s3.filebase.com",
            ("b", None, Some("https://s3.filebase.com"), None),
        ),
        (
            "b.s3.fr-par.scw.cloud",
            (
                "b",
                Some("fr-par"),
                Some("https://s3.fr-par.scw.cloud"),
                Some(false),
            ),
        ),
        (
            "b.t3.storage.dev",
            ("b", None, Some("https://t3.storage.dev"), None),
        ),
        (
            "b.storage.googleapis.com",
            ("b", None, Some("https://storage.googleapis.com"), None),
        ),
        (
            "b.s3.wasabisys.com",
            ("b", None, Some("https://s3.wasabisys.com"), None),
        ),
        (
            "b.fsn1.your-objectstorage.com",
            (
                "b",
                Some("fsn1"),
                Some("https://fsn1.your-objectstorage.com"),
                None,
            ),
        ),
        (
            "b.s3.gra.io.cloud.ovh.net",
            (
                "b",
                Some("gra"),
                Some("https://s3.gra.io.cloud.ovh.net"),
                None,
            ),
        ),
        (
            "name.host.example:9000",
            (
                "name",
                Some("us-east-1"),
                Some("http://host.example:9000"),
                Some(true),
            ),
        ),
        (
            "b.127.0.0.1:9000",
            (
                "b",
                Some("us-east-1"),
                Some("http://127.0.0.1:9000"),
                Some(true),
            ),
        ),
        (
            "b.[::1]:9000",
            (
                "b",
                Some("us-east-1"),
                Some("http://[::1]:9000"),
                Some(true),
            ),
        ),
        (
            "b.localhost:80",
            ("b", Some("us-east-1"), Some("http://localhost"), Some(true)),
        ),
    ];
    for (host, (bucket, region, endpoint, path_style)) in forms {
        let parsed = UrlHost::parse(host).unwrap();
        assert_eq!(parsed.bucket, *bucket, "{host}");
        assert_eq!(parsed.region.as_deref(), *region, "{host}");
        assert_eq!(
            parsed
                .endpoint
                .map(|endpoint| endpoint.to_string())
                .as_deref(),
            *endpoint,
            "{host}"
        );
        assert_eq!(parsed.path_style, *path_style, "{host}");
    }
    for host in [
        "",
        "localhost:9000",
        "[::1]:9000",
        "b.h:hunter2",
        "b.minio.example.com:9000",
        "ams3.digitaloceanspaces.com",
        "s3.eu-west-1.amazonaws.com",
        "s3.amazonaws.com",
        "s3.filebase.com",
        "b.s3-eu-west-1.amazonaws.com",
        "b.abc123.r2.cloudflarestorage.com",
        "xs3.wasabisys.com",
    ] {
        let error = UrlHost::parse(host).expect_err(host);
        assert!(!error.contains("hunter2"), "{host}");
    }
}

#[test]
fn aws_is_one_server_under_many_names() {
    let aws = Settings::new("bucket", "p").server();
    assert_eq!(at("https://s3.eu-west-1.amazonaws.com").server(), aws);
    assert_eq!(at("http://h:9000").server(), at("http://H:9000/").server());
    assert_ne!(at("http://h:9000").server(), at("http://h:9001").server());
}
