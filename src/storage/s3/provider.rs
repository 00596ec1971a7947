//! What is different between those who speak S3's language: one table, and what follows from it for a replica.
//!
//! A provider is recognised by the host of its endpoint. MinIO, Garage, SeaweedFS, Ceph and the like run under any
//! host, so they all are [`USUAL`], which is safe for each of them; what they do not have is found out by asking, not
//! by name. Litestream's automatic settings all are here; what else a row says comes from documentation and users'
//! reports, not from trying.

use super::endpoint::Endpoint;
use super::settings::{PART_BYTES_MAX, PART_BYTES_MIN, Settings};

/// Where the requests of a replica go, and what to mind there. What the settings say wins over the table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    /// `http` or `https`.
    pub(super) scheme: &'static str,
    /// `HOST[:PORT]` of URLs and of the signed `Host`, with the bucket in front of it unless that is in the path.
    pub(super) authority: String,
    /// What the path of URLs begins with, before the slash in front of the object's name: nothing, `/BUCKET`, or an
    /// endpoint's own path before that. It needs no encoding.
    pub(super) bucket_path: String,
    /// The region that signatures are made for. None: AWS has to be asked for the bucket's (`GET /?location`,
    /// signed for us-east-1, to this very target), and the settings are resolved again with it.
    pub(super) region: Option<String>,
    /// Whether the SHA-256 of bodies is signed; without it `UNSIGNED-PAYLOAD` is.
    pub(super) sign_payload: bool,
    /// Whether a batch of deletions carries its `Content-MD5`.
    pub(super) content_md5: bool,
    /// Whether there are batches of deletions; without them objects are deleted one by one.
    pub(super) batch_delete: bool,
    /// Files from this size on go up in parts of this size, in bytes.
    pub(super) part_size: u64,
    /// The most parts of one file that go up at the same time.
    pub(super) concurrency: u32,
    /// Headers that every request carries, names in lower case.
    pub(super) headers: &'static [(&'static str, &'static str)],
    /// Whether a PUT with `If-None-Match` is worth a try. Even then it may be ignored, which a probe tells.
    pub(super) conditional_put: bool,
}

/// One row of the table.
struct Provider {
    name: &'static str,
    /// Its hosts: endpoints, and after `*.` what the hosts of its endpoints end with.
    hosts: &'static [&'static str],
    /// Its endpoints that have the region in them, where `{}` is.
    regions: &'static [&'static str],
    /// The region where neither settings nor endpoint name one. us-east-1 is Litestream's.
    region: &'static str,
    /// Litestream's 5; more is refused by some.
    concurrency: u32,
    content_md5: bool,
    batch_delete: bool,
    conditional_put: bool,
    headers: &'static [(&'static str, &'static str)],
    /// Whether the bucket stays in front of the host where an `s3://` URL has it there, as in Litestream.
    host_style_urls: bool,
}

/// As most are.
const USUAL: Provider = Provider {
    // MinIO and what is like it, Garage, SeaweedFS, Ceph.
    name: "an S3-compatible server",
    hosts: &[],
    regions: &[],
    region: "us-east-1",
    concurrency: 5,
    content_md5: true,
    batch_delete: true,
    conditional_put: true,
    headers: &[],
    host_style_urls: false,
};

const AWS: Provider = Provider {
    name: "AWS",
    hosts: &["s3.amazonaws.com", "*.amazonaws.com", "*.amazonaws.com.cn"],
    regions: &["s3.{}.amazonaws.com", "s3.{}.amazonaws.com.cn"],
    ..USUAL
};

const PROVIDERS: &[Provider] = &[
    AWS,
    Provider {
        name: "Cloudflare R2",
        hosts: &["*.r2.cloudflarestorage.com"],
        region: "auto",
        // More uploads of parts at once are refused; Litestream's value.
        concurrency: 2,
        ..USUAL
    },
    Provider {
        name: "Backblaze B2",
        hosts: &["*.backblazeb2.com"],
        regions: &["s3.{}.backblazeb2.com"],
        // Answers 501 NotImplemented to any condition on a PUT, as its users report.
        conditional_put: false,
        ..USUAL
    },
    Provider {
        name: "DigitalOcean Spaces",
        hosts: &["*.digitaloceanspaces.com"],
        regions: &["{}.digitaloceanspaces.com"],
        host_style_urls: true,
        ..USUAL
    },
    Provider {
        name: "Scaleway",
        hosts: &["*.scw.cloud"],
        regions: &["s3.{}.scw.cloud"],
        host_style_urls: true,
        ..USUAL
    },
    Provider {
        name: "Hetzner",
        hosts: &["*.your-objectstorage.com"],
        regions: &["{}.your-objectstorage.com"],
        ..USUAL
    },
    Provider {
        name: "Tigris",
        hosts: &["fly.storage.tigris.dev", "t3.storage.dev"],
        region: "auto",
        // Both are Litestream's. Without the header, another region may show an older state.
        content_md5: false,
        headers: &[("x-tigris-consistent", "true")],
        ..USUAL
    },
    Provider {
        name: "Supabase",
        hosts: &["*.supabase.co"],
        ..USUAL
    },
    Provider {
        name: "Filebase",
        hosts: &["s3.filebase.com"],
        ..USUAL
    },
    Provider {
        name: "Google Cloud Storage",
        hosts: &["storage.googleapis.com", "*.googleapis.com"],
        // Batches of deletions are documented since 2025, yet users still got 400 NotImplemented in 2026.
        batch_delete: false,
        ..USUAL
    },
    Provider {
        name: "Wasabi",
        hosts: &["s3.wasabisys.com", "*.wasabisys.com"],
        regions: &["s3.{}.wasabisys.com"],
        ..USUAL
    },
    Provider {
        name: "OVHcloud",
        hosts: &["*.cloud.ovh.net", "*.cloud.ovh.us"],
        regions: &[
            "s3.{}.io.cloud.ovh.net",
            "s3.{}.perf.cloud.ovh.net",
            "s3.{}.io.cloud.ovh.us",
        ],
        ..USUAL
    },
];

/// Where `settings` lead.
///
/// # Errors
/// When they cannot hold together; the text repeats no value.
pub(super) fn resolve(settings: &Settings) -> Result<Target, String> {
    let endpoint = match &settings.endpoint {
        Some(text) => Some(Endpoint::parse(text)?),
        None => None,
    };
    let provider = endpoint
        .as_ref()
        .map_or(&AWS, |endpoint| provider_of(&endpoint.host));
    let part_size = settings.part_bytes();
    if !(PART_BYTES_MIN..=PART_BYTES_MAX).contains(&part_size) {
        return Err(format!(
            "the part size is not from {PART_BYTES_MIN} to {PART_BYTES_MAX} bytes"
        ));
    }
    let place = match settings.bucket.starts_with("arn:") {
        true => of_access_point(settings, endpoint.as_ref())?,
        false => of_bucket(settings, endpoint.as_ref(), provider)?,
    };
    Ok(Target {
        scheme: endpoint.map_or("https", |endpoint| endpoint.scheme()),
        authority: place.authority,
        bucket_path: place.bucket_path,
        region: place.region,
        sign_payload: settings.sign_payload.unwrap_or(true),
        content_md5: settings.require_content_md5.unwrap_or(provider.content_md5),
        batch_delete: provider.batch_delete,
        part_size,
        concurrency: settings.concurrency.unwrap_or(provider.concurrency).max(1),
        headers: provider.headers,
        conditional_put: provider.conditional_put,
    })
}

/// Who keeps the bucket of `settings`: AWS under whatever endpoint, else the server.
pub(super) fn server(settings: &Settings) -> String {
    let Some(text) = &settings.endpoint else {
        return AWS.name.to_owned();
    };
    match Endpoint::parse(text) {
        Ok(endpoint) if provider_of(&endpoint.host).name == AWS.name => AWS.name.to_owned(),
        Ok(endpoint) => endpoint.authority() + &endpoint.path,
        Err(_) => text.clone(),
    }
}

/// The part of a [`Target`] that says where.
struct Place {
    authority: String,
    bucket_path: String,
    region: Option<String>,
}

fn of_bucket(
    settings: &Settings,
    endpoint: Option<&Endpoint>,
    provider: &Provider,
) -> Result<Place, String> {
    let bucket = &settings.bucket;
    if bucket.is_empty() || matches!(bucket.as_str(), "." | "..") || !bucket.bytes().all(in_bucket)
    {
        return Err("the name of a bucket has letters, digits, `-`, `.` and `_` alone".to_owned());
    }
    let (host, path, tls, region) = match endpoint {
        None => {
            let region = settings.region.clone();
            let host = format!("s3.{}", aws_domain(region.as_deref().unwrap_or(AWS.region)));
            (host, "", true, region)
        }
        Some(endpoint) => {
            let in_host = || region_of(provider, &endpoint.host);
            let region = settings.region.clone().or_else(in_host);
            let region = region.unwrap_or_else(|| provider.region.to_owned());
            (
                endpoint.authority(),
                endpoint.path.as_str(),
                endpoint.tls,
                Some(region),
            )
        }
    };
    // As in Amazon's own libraries: what cannot be a host name, or has no certificate, goes into the path even
    // where that was not asked for.
    let in_path = settings.path_style.unwrap_or(endpoint.is_some())
        || endpoint.is_some_and(|endpoint| endpoint.address().is_some())
        || !can_be_in_host(bucket, tls);
    Ok(match in_path {
        true => Place {
            authority: host,
            bucket_path: format!("{path}/{bucket}"),
            region,
        },
        false => Place {
            authority: format!("{bucket}.{host}"),
            bucket_path: path.to_owned(),
            region,
        },
    })
}

/// `arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME`. The region is the ARN's, whatever the settings say: an access
/// point has no other.
fn of_access_point(settings: &Settings, endpoint: Option<&Endpoint>) -> Result<Place, String> {
    let fields: Vec<&str> = settings.bucket.splitn(6, ':').collect();
    let ["arn", _, "s3", region, account, resource] = fields[..] else {
        return Err(ACCESS_POINT_FORM.to_owned());
    };
    let name = resource
        .strip_prefix("accesspoint")
        .and_then(|rest| rest.strip_prefix(['/', ':']))
        .unwrap_or_default();
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if region.is_empty() && name.ends_with(".mrap") {
        return Err(
            "multi-region access points need signatures of another kind; name the access point of one region"
                .to_owned(),
        );
    }
    if [name, region, account]
        .iter()
        .any(|part| part.is_empty() || !plain(part))
    {
        return Err(ACCESS_POINT_FORM.to_owned());
    }
    if settings.path_style == Some(true) {
        return Err(
            "an access point cannot be addressed with `force-path-style`; take that out".to_owned(),
        );
    }
    let host = match endpoint {
        Some(endpoint) => endpoint.authority(),
        None => format!("s3-accesspoint.{}", aws_domain(region)),
    };
    Ok(Place {
        authority: format!("{name}-{account}.{host}"),
        bucket_path: endpoint.map_or(String::new(), |endpoint| endpoint.path.clone()),
        region: Some(region.to_owned()),
    })
}

const ACCESS_POINT_FORM: &str = "the ARN of an access point is arn:aws:s3:REGION:ACCOUNT:accesspoint/NAME, and no \
                                 other ARN is a bucket";

/// What all of AWS's hosts of `region` end with.
fn aws_domain(region: &str) -> String {
    match region.starts_with("cn-") {
        true => format!("{region}.amazonaws.com.cn"),
        false => format!("{region}.amazonaws.com"),
    }
}

fn in_bucket(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// Whether `bucket` can stand in front of a host. A certificate for `*.HOST` does not cover names with dots.
fn can_be_in_host(bucket: &str, tls: bool) -> bool {
    let label = |label: &str| {
        let ends = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let inside = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        ends(label.bytes().next()) && ends(label.bytes().last()) && label.bytes().all(inside)
    };
    (3..=63).contains(&bucket.len())
        && bucket.split('.').all(label)
        && !(tls && bucket.contains('.'))
}

/// The row of the endpoint at `host`, in lower case; a bucket may stand in front.
fn provider_of(host: &str) -> &'static Provider {
    let belongs = |ending: &str| {
        let before = host.strip_suffix(ending.trim_start_matches("*."));
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let mut rows = PROVIDERS.iter();
    rows.find(|row| row.hosts.iter().any(|host| belongs(host)))
        .unwrap_or(&USUAL)
}

/// The region in the `host` of an endpoint.
fn region_of(provider: &Provider, host: &str) -> Option<String> {
    let named = provider
        .regions
        .iter()
        .find_map(|pattern| split(host, pattern));
    match named {
        Some((0, region)) => Some(region.to_owned()),
        // AWS has many forms: s3.dualstack.REGION, s3-fips.REGION, s3.REGION.vpce.
        _ if provider.name == AWS.name => host
            .split('.')
            .find(|label| is_aws_region(label))
            .map(str::to_owned),
        _ => None,
    }
}

/// `eu-west-1`, `us-gov-east-1`: two letters, words, a number.
fn is_aws_region(label: &str) -> bool {
    let words: Vec<&str> = label.split('-').collect();
    let letters = |word: &&str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    match &words[..] {
        [area, places @ .., number] => {
            area.len() == 2
                && letters(area)
                && !places.is_empty()
                && places.iter().all(letters)
                && !number.is_empty()
                && number.bytes().all(|b| b.is_ascii_digit())
        }
        _ => false,
    }
}

/// Takes `host` apart by a pattern with one `{}`, which stands for one label: where the endpoint begins in it (after
/// a bucket and a dot, or 0), and the label.
fn split<'a>(host: &'a str, pattern: &str) -> Option<(usize, &'a str)> {
    let (front, back) = pattern.split_once("{}")?;
    let rest = host.strip_suffix(back)?;
    let label = rest.rsplit('.').next()?;
    let before = rest.strip_suffix(label)?.strip_suffix(front)?;
    let whole_label = before.is_empty() || (before.ends_with('.') && before.len() > 1);
    (!label.is_empty() && whole_label).then_some((before.len(), label))
}

/// What the host of an `s3://` URL says. It is a bucket, or a bucket in front of an endpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UrlHost {
    /// The bucket's name.
    pub bucket: String,
    /// The region.
    pub region: Option<String>,
    /// The server; none is AWS.
    pub endpoint: Option<Endpoint>,
    /// Whether the bucket goes into the path, where that follows from the form.
    pub path_style: Option<bool>,
}

impl UrlHost {
    /// Reads the host, with its port.
    ///
    /// # Errors
    /// What to write instead. It repeats nothing of the host.
    pub fn parse(host: &str) -> Result<UrlHost, &'static str> {
        if host.contains([':', '[']) {
            return of_host_with_port(host);
        }
        let lower = host.to_ascii_lowercase();
        let provider = provider_of(&lower);
        let form = provider
            .regions
            .iter()
            .find_map(|pattern| split(&lower, pattern));
        let (start, region) = match form {
            Some((start, region)) => (start, Some(region.to_owned())),
            None => match provider
                .hosts
                .iter()
                .find_map(|whole| lower.strip_suffix(whole))
            {
                Some(before) if before.is_empty() || before.ends_with('.') => (before.len(), None),
                _ if !provider.hosts.is_empty() => return Err(HOST_FORM),
                // No provider's host: the name of a bucket on AWS.
                _ if host.is_empty() => return Err(NO_BUCKET),
                _ => {
                    return Ok(UrlHost {
                        bucket: host.to_owned(),
                        region: None,
                        endpoint: None,
                        path_style: None,
                    });
                }
            },
        };
        let bucket = host[..start].trim_end_matches('.');
        if bucket.is_empty() {
            return Err(NO_BUCKET);
        }
        let is_aws = provider.name == AWS.name;
        Ok(UrlHost {
            bucket: bucket.to_owned(),
            region,
            endpoint: match is_aws {
                true => None,
                false => Some(Endpoint::parse(&format!("https://{}", &lower[start..]))?),
            },
            path_style: provider.host_style_urls.then_some(false),
        })
    }
}

/// `BUCKET.HOST:PORT`, Litestream's form for servers of one's own. It is always plain HTTP.
fn of_host_with_port(host: &str) -> Result<UrlHost, &'static str> {
    if host.contains(".com") {
        return Err(HOST_FORM);
    }
    let (bucket, server) = host.split_once('.').ok_or(NO_BUCKET)?;
    let endpoint = Endpoint::parse(&format!("http://{server}"))?;
    if bucket.is_empty() || bucket.contains([':', '[']) {
        return Err(NO_BUCKET);
    }
    Ok(UrlHost {
        bucket: bucket.to_owned(),
        region: Some(USUAL.region.to_owned()),
        endpoint: Some(endpoint),
        path_style: Some(true),
    })
}

const NO_BUCKET: &str = "bucket required for s3 replica; write s3://BUCKET/PATH, with \
                         ?endpoint=https://HOST[:PORT] unless it is on AWS";

const HOST_FORM: &str = "a host in this form does not say the bucket; write \
                         s3://BUCKET/PATH?endpoint=https://HOST[:PORT]";

#[cfg(test)]
mod tests;
