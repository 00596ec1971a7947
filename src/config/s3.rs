//! A replica on S3, from the keys of its own section, those at the top level that hold for all replicas, and its URL.
//!
//! As in Litestream, a key beats what the URL says, but for `skipVerify`, and a replica's own key beats that of the
//! top level. What belongs together is not mixed: a replica with a key id of its own does not take a session token
//! from the top level, and one that says how to encrypt takes nothing about that from there.

use super::error::{ConfigError, Problem};
use super::paths::Base;
use super::s3_url::S3Url;
use super::s3_values as values;
use super::scalar;
use super::section::{Given, Layers, Section};
use super::yaml::Position;
use crate::storage::s3::{Encryption, GivenKeys, GivenValue, Settings};
use crate::units::Secret;

/// The settings of a replica, and where its place is written. `url` is what its URL says, if it has one.
pub(super) fn settings(
    layers: &Layers<'_>,
    url: Option<(S3Url, Position)>,
    base: &Base,
) -> Result<(Settings, Position), ConfigError> {
    let from_url = url.is_some();
    let (url, position) = match url {
        Some(url) => url,
        None => place(layers)?,
    };
    let endpoint = layers.read("endpoint", values::endpoint)?;
    let path_style = match layers.read("force-path-style", scalar::boolean)? {
        // The form of the URL's host says nothing about another server.
        None if url.styled_by_host && endpoint.is_some() => None,
        style => style.or(url.settings.path_style),
    };
    let said = url.settings;
    let keys = keys(layers, base)?;
    let encryption = encryption(layers, base)?;
    let settings = Settings {
        bucket: said.bucket,
        path: said.path,
        region: layers.read("region", values::region)?.or(said.region),
        endpoint: endpoint
            .map(|endpoint| endpoint.to_string())
            .or(said.endpoint),
        path_style,
        sign_payload: layers
            .read("sign-payload", scalar::boolean)?
            .or(said.sign_payload),
        require_content_md5: layers
            .read("require-content-md5", scalar::boolean)?
            .or(said.require_content_md5),
        skip_verify: match url.skip_verify {
            Some(skip) => skip,
            None => layers
                .read("skip-verify", scalar::boolean)?
                .unwrap_or(false),
        },
        ca_file: match layers.find("ca-file")? {
            Some(given) => Some(
                base.absolute(given.text)
                    .map_err(|reason| given.invalid(reason))?,
            ),
            None => None,
        },
        storage_class: layers
            .read("storage-class", values::storage_class)?
            .or(said.storage_class),
        // These two hold for one replica: Litestream does not take them from the top level.
        part_size: own(layers, "part-size", values::part_size)?.or(said.part_size),
        concurrency: own(layers, "concurrency", values::concurrency)?.or(said.concurrency),
        encryption: encryption.unwrap_or(said.encryption),
        keys,
    };
    check(&settings, layers.own, position, from_url)?;
    Ok((settings, position))
}

/// The place of a replica without a URL. The path is taken as it stands, as Litestream does.
fn place(layers: &Layers<'_>) -> Result<(S3Url, Position), ConfigError> {
    let Some(bucket) = layers.find("bucket")? else {
        return Err(layers.own.missing(
            "bucket required for s3 replica; add `bucket:`, or `url:` with s3://BUCKET/PATH",
        ));
    };
    let path = layers.own.given("path")?;
    if let Some(path) = path.filter(|path| path.text.contains(char::is_control)) {
        return Err(path.invalid("a control character in the path"));
    }
    let url = S3Url {
        settings: Settings::new(bucket.text, path.map_or("", |path| path.text)),
        skip_verify: None,
        styled_by_host: false,
    };
    Ok((url, path.map_or(bucket.position, |path| path.position)))
}

fn own<T>(
    layers: &Layers<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<Option<T>, String>,
) -> Result<Option<T>, ConfigError> {
    match layers.own.given(key)? {
        Some(given) => read(given.text).map_err(|reason| given.invalid(reason)),
        None => Ok(None),
    }
}

/// What must hold between the settings.
fn check(
    settings: &Settings,
    section: &Section<'_>,
    position: Position,
    from_url: bool,
) -> Result<(), ConfigError> {
    let place = if from_url { "url" } else { "bucket" };
    settings
        .check()
        .map_err(|reason| section.invalid(position, place, reason))?;
    match values::exposes_customer_key(settings) {
        true => Err(section.invalid(position, "endpoint", values::EXPOSED_KEY)),
        false => Ok(()),
    }
}

const ID: &str = "access-key-id";
const ID_FILE: &str = "access-key-id-file";

fn keys(layers: &Layers<'_>, base: &Base) -> Result<Option<GivenKeys>, ConfigError> {
    let id = value_or_file(layers, ID, ID_FILE, base)?;
    let secret = value_or_file(layers, "secret-access-key", "secret-access-key-file", base)?;
    let with_id = layers.nearest_with(&[ID, ID_FILE])?;
    let of_the_same_key = Layers {
        own: layers.own,
        shared: with_id,
    };
    let token = value_or_file(
        &of_the_same_key,
        "session-token",
        "session-token-file",
        base,
    )?;
    match (id, secret, token) {
        (Some((access_key_id, _)), Some((secret_access_key, _)), token) => Ok(Some(GivenKeys {
            access_key_id,
            secret_access_key,
            session_token: token.map(|(token, _)| token),
        })),
        (None, None, None) => Ok(None),
        (Some((_, given)), None, _) => Err(given.invalid(
            "the secret that belongs to it is missing; add `secret-access-key` or `secret-access-key-file`",
        )),
        (None, Some((_, given)), _) => Err(given.invalid(
            "the key that it belongs to is missing; add `access-key-id` or `access-key-id-file`",
        )),
        (None, None, Some((_, given))) => Err(given.invalid(
            "the key that it belongs to is missing; add `access-key-id` and `secret-access-key`",
        )),
    }
}

/// The value of `key`, or that in the file that `file_key` names.
fn value_or_file<'a>(
    layers: &Layers<'a>,
    key: &'static str,
    file_key: &'static str,
    base: &Base,
) -> Result<Option<(GivenValue, Given<'a>)>, ConfigError> {
    let section = layers.nearest_with(&[key, file_key])?;
    match (section.given(key)?, section.given(file_key)?) {
        (None, None) => Ok(None),
        (Some(given), None) => {
            let value = values::plain(given.text.trim()).map_err(|reason| given.invalid(reason))?;
            Ok(Some((GivenValue::Here(Secret::new(value)), given)))
        }
        (None, Some(given)) => {
            let path = base
                .absolute(given.text)
                .map_err(|reason| given.invalid(reason))?;
            let value = GivenValue::InFile(path);
            // What is wrong with it is said at once, at its line.
            value.read().map_err(|reason| given.invalid(reason))?;
            Ok(Some((value, given)))
        }
        (Some(_), Some(given)) => Err(ConfigError::at(
            given.position,
            Problem::Conflict(format!(
                "{}cannot specify both `{key}` and `{file_key}`; keep one",
                section.prefix()
            )),
        )),
    }
}

const CUSTOMER_KEY: &str = "sse-customer-key";
const CUSTOMER_KEY_FILE: &str = "sse-customer-key-path";
const CUSTOMER_ALGORITHM: &str = "sse-customer-algorithm";
const KMS_KEY: &str = "sse-kms-key-id";

fn encryption(layers: &Layers<'_>, base: &Base) -> Result<Option<Encryption>, ConfigError> {
    let nearest =
        layers.nearest_with(&[CUSTOMER_KEY, CUSTOMER_KEY_FILE, CUSTOMER_ALGORITHM, KMS_KEY])?;
    let layers = Layers {
        own: nearest,
        shared: nearest,
    };
    let customer_key = value_or_file(&layers, CUSTOMER_KEY, CUSTOMER_KEY_FILE, base)?;
    let algorithm = layers.find(CUSTOMER_ALGORITHM)?;
    if let Some(given) = algorithm {
        values::customer_algorithm(given.text).map_err(|reason| given.invalid(reason))?;
    }
    match (customer_key, algorithm, layers.find(KMS_KEY)?) {
        (Some((key, given)), _, None) => {
            let key = key
                .read()
                .and_then(|key| values::customer_key(key.reveal()));
            let key = key.map_err(|reason| given.invalid(reason))?;
            Ok(Some(Encryption::CustomerKey(key)))
        }
        (None, None, Some(given)) => {
            let id = values::plain(given.text).map_err(|reason| given.invalid(reason))?;
            Ok(Some(Encryption::Kms(id.to_owned())))
        }
        (None, None, None) => Ok(None),
        (None, Some(given), None) => Err(given.invalid(
            "there is no customer key; add `sse-customer-key` or `sse-customer-key-path`",
        )),
        (_, _, Some(given)) => Err(given.invalid(values::TWO_ENCRYPTIONS)),
    }
}
