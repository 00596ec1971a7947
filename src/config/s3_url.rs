//! `s3://` URLs: `s3://BUCKET/PATH`, with the bucket in front of a provider's host, before `HOST:PORT`, or as the ARN
//! of an access point; the rest is said by parameters. Path and odd values are Litestream's, or replicas would not
//! be found: `s3://b` has the path `.`, `s3://b/` has none.

use super::percent::unescaped;
use super::s3_values as values;
use super::text::{nearest, quoted};
use crate::storage::s3::{Encryption, Settings, UrlHost};

/// What a URL says.
pub(super) struct S3Url {
    /// All of it. What was not said is left open.
    pub(super) settings: Settings,
    /// Whether any certificate will do, if that was said.
    pub(super) skip_verify: Option<bool>,
    /// The path style is not a parameter, but follows from the form of the host.
    pub(super) styled_by_host: bool,
}

impl S3Url {
    /// The settings of a URL that stands alone.
    pub(super) fn into_settings(self) -> Result<Settings, String> {
        let settings = Settings {
            skip_verify: self.skip_verify.unwrap_or(false),
            ..self.settings
        };
        if values::exposes_customer_key(&settings) {
            return Err(values::EXPOSED_KEY.to_owned());
        }
        settings.check()?;
        Ok(settings)
    }
}

/// Reads `s3:` + `rest`. Errors repeat nothing that could be a secret.
pub(super) fn parse(rest: &str) -> Result<S3Url, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("write s3://BUCKET/PATH".to_owned());
    };
    if rest.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return Err("a control character in a URL".to_owned());
    }
    if has_keys(rest) {
        return Err(
            "keys do not belong into the URL, where they would be seen; take them out and write them as \
             `access-key-id` and `secret-access-key` in the configuration, or as $AWS_ACCESS_KEY_ID and \
             $AWS_SECRET_ACCESS_KEY in the environment"
                .to_owned(),
        );
    }
    if rest.contains('#') {
        return Err(
            "`#` would begin a fragment, which a replica does not have; write %23".to_owned(),
        );
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = match place.starts_with("arn:") {
        true => of_access_point(place),
        false => of_host(place)?,
    };
    let parameters = parameters(query)?;
    for (name, value) in &parameters {
        url.take(name, value)
            .map_err(|reason| format!("`{name}`: {reason}"))?;
    }
    url.check_encryption(&parameters)?;
    Ok(url)
}

/// Whether it looks as if there were a user in front of the host. A secret may have a `/`, `?` or `#` in it, which
/// makes what was meant as a password look like a port.
fn has_keys(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let no_port = port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()));
    authority.contains('@') || (no_port && rest.contains('@') && !rest.starts_with("arn:"))
}

fn of_host(place: &str) -> Result<S3Url, String> {
    let (host, path) = place.split_at(place.find('/').unwrap_or(place.len()));
    let UrlHost {
        bucket,
        region,
        endpoint,
        path_style,
    } = UrlHost::parse(host)?;
    let path =
        String::from_utf8(unescaped(path)?).map_err(|_| "the path is not UTF-8".to_owned())?;
    if path.contains(|c: char| c.is_control()) {
        return Err("a control character in the path".to_owned());
    }
    let path = match path.is_empty() {
        true => ".".to_owned(),
        false => cleaned(&path),
    };
    Ok(S3Url {
        settings: Settings {
            region,
            endpoint: endpoint.map(|endpoint| endpoint.to_string()),
            path_style,
            ..Settings::new(bucket, path)
        },
        skip_verify: None,
        styled_by_host: path_style.is_some(),
    })
}

/// Of an ARN the path begins after the access point's name. It is not decoded, as in Litestream.
fn of_access_point(place: &str) -> S3Url {
    const MARK: &str = ":accesspoint/";
    let name = place.find(MARK).map_or(place.len(), |at| at + MARK.len());
    let end = place[name..].find('/').map_or(place.len(), |at| name + at);
    S3Url {
        settings: Settings::new(&place[..end], cleaned(&place[end..])),
        skip_verify: None,
        styled_by_host: false,
    }
}

/// An absolute path without `.`, `..`, doubled slashes and those at its ends.
fn cleaned(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    names.join("/")
}

/// The parameters as Litestream spells them, and as keys of the configuration are spelt; both count.
const PARAMETERS: &[(&str, &str)] = &[
    ("endpoint", "endpoint"),
    ("region", "region"),
    ("forcePathStyle", "force-path-style"),
    ("skipVerify", "skip-verify"),
    ("signPayload", "sign-payload"),
    ("requireContentMD5", "require-content-md5"),
    ("storageClass", "storage-class"),
    ("partSize", "part-size"),
    ("concurrency", "concurrency"),
    ("sseCustomerAlgorithm", ALGORITHM),
    ("sseCustomerKey", "sse-customer-key"),
    ("sseCustomerKeyMD5", CUSTOMER_KEY_MD5),
    ("sseKmsKeyId", "sse-kms-key-id"),
];

const ALGORITHM: &str = "sse-customer-algorithm";
const CUSTOMER_KEY_MD5: &str = "sse-customer-key-md5";

/// The parameters of `query` under their names with hyphens, decoded. An empty value says nothing.
fn parameters(query: &str) -> Result<Vec<(&'static str, String)>, String> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let known = PARAMETERS
            .iter()
            .find(|(camel, hyphens)| [*camel, *hyphens].contains(&name));
        let Some((_, name)) = known else {
            return Err(unknown(name));
        };
        if found.iter().any(|(other, _)| other == name) {
            return Err(format!(
                "the parameter `{name}` stands there twice; keep one"
            ));
        }
        let value = unescaped(&value.replace('+', " "))?;
        let value = String::from_utf8(value).map_err(|_| format!("`{name}` is not UTF-8"))?;
        if !value.is_empty() {
            found.push((name, value));
        }
    }
    Ok(found)
}

fn unknown(name: &str) -> String {
    // What is no word may be a piece of a secret.
    if !name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        || name.len() > 40
    {
        return "unknown parameter; what is there to set stands in the README".to_owned();
    }
    let names = PARAMETERS.iter().map(|(camel, _)| *camel);
    match nearest(name, names.chain(["accessKeyId", "secretAccessKey", "sessionToken"])) {
        Some("accessKeyId" | "secretAccessKey" | "sessionToken") => {
            "keys do not belong into the URL, where they would be seen; write them into the configuration or the \
             environment"
                .to_owned()
        }
        Some(near) => format!("unknown parameter {}; did you mean `{near}`?", quoted(name)),
        None => format!(
            "unknown parameter {}; there are {}",
            quoted(name),
            PARAMETERS.iter().map(|(camel, _)| *camel).collect::<Vec<_>>().join(", ")
        ),
    }
}

impl S3Url {
    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let settings = &mut self.settings;
        match name {
            "endpoint" => {
                settings.endpoint = Some(values::endpoint_of_url(value)?.to_string());
                if self.styled_by_host {
                    settings.path_style = None;
                    self.styled_by_host = false;
                }
            }
            "region" => settings.region = Some(values::region(value)?),
            "force-path-style" => {
                settings.path_style = Some(boolean(value)?);
                self.styled_by_host = false;
            }
            "skip-verify" => self.skip_verify = Some(boolean(value)?),
            "sign-payload" => settings.sign_payload = Some(boolean(value)?),
            "require-content-md5" => settings.require_content_md5 = Some(boolean(value)?),
            "storage-class" => settings.storage_class = Some(values::storage_class(value)?),
            "part-size" => settings.part_size = values::part_size(value)?,
            "concurrency" => settings.concurrency = values::concurrency(value)?,
            ALGORITHM => values::customer_algorithm(value)?,
            "sse-customer-key" => {
                self.encrypt(Encryption::CustomerKey(values::customer_key(value)?))?
            }
            "sse-kms-key-id" => self.encrypt(Encryption::Kms(values::plain(value)?.to_owned()))?,
            // Compared with the key once all are read.
            _ => {}
        }
        Ok(())
    }

    fn encrypt(&mut self, encryption: Encryption) -> Result<(), String> {
        if self.settings.encryption != Encryption::AsTheBucket {
            return Err(values::TWO_ENCRYPTIONS.to_owned());
        }
        self.settings.encryption = encryption;
        Ok(())
    }

    /// What only says something about a customer key must have one.
    fn check_encryption(&self, parameters: &[(&'static str, String)]) -> Result<(), String> {
        for (name, value) in parameters {
            match (&self.settings.encryption, *name) {
                (Encryption::CustomerKey(key), CUSTOMER_KEY_MD5)
                    if *value != values::md5_of(key) =>
                {
                    return Err(format!(
                        "`{name}` is not the MD5 of the key; take it out, it is computed"
                    ));
                }
                (Encryption::CustomerKey(_), _) => {}
                (_, ALGORITHM | CUSTOMER_KEY_MD5) => {
                    return Err(format!(
                        "`{name}` without `sse-customer-key` does nothing; add that"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// As Litestream's command line writes booleans; what it takes for false because it is neither, is refused.
fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "yes" | "1" => Ok(true),
        "false" | "f" | "no" | "0" => Ok(false),
        _ => Err(format!("{} is not true or false", quoted(text))),
    }
}

#[cfg(test)]
mod tests;
