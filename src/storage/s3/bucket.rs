//! Requests to one bucket: where they go, how they are signed, and what becomes of answers that are no success.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::{self, ANSWER_BYTES_MAX};
use super::credentials::{Credentials, CredentialsError, Environment, Sources};
use super::provider::{self, Target};
use super::settings::{Encryption, Settings};
use super::sign::{Payload, encode_path, encode_query};
use super::signed::Signed;
use super::time::SigningTime;
use crate::storage::http::{Distance, Exchange, Method, Request, Response, Retrying, Trust};
use crate::storage::{Network, StorageError};
use crate::units::Timestamp;

/// Where AWS is asked for the region of a bucket.
const AWS_FIRST_REGION: &str = "us-east-1";

/// How often something is asked for whose answer breaks off.
const WHOLE_ATTEMPTS: u32 = 4;

/// A bucket on a server.
pub(super) struct Bucket {
    settings: Settings,
    target: Target,
    client: Arc<dyn Exchange>,
    credentials: Arc<Credentials>,
    time: Arc<SigningTime>,
    /// Made at the first request: AWS may have to be asked for the region, and at the start there may be no network.
    connected: Mutex<Option<Arc<Connected>>>,
}

/// A bucket whose region is known.
pub(super) struct Connected {
    pub(super) target: Target,
    exchange: Retrying<Signed>,
}

/// What is asked of a bucket.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// The object; empty for the bucket itself.
    pub(super) key: &'a str,
    /// Names and values, not yet encoded.
    pub(super) query: &'a [(&'static str, &'a str)],
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'a [u8],
}

impl<'a> Ask<'a> {
    /// Something about an object, or the bucket where `key` is empty.
    pub(super) fn new(method: Method, key: &'a str) -> Ask<'a> {
        Ask {
            method,
            key,
            query: &[],
            headers: Vec::new(),
            body: &[],
        }
    }

    fn changes(&self) -> bool {
        !matches!(self.method, Method::Get | Method::Head)
    }
}

impl Bucket {
    pub(super) fn new(settings: Settings, network: &Network) -> io::Result<Bucket> {
        let invalid = |reason| io::Error::new(io::ErrorKind::InvalidInput, reason);
        let target = provider::resolve(&settings).map_err(invalid)?;
        let trust = match (&settings.ca_file, settings.skip_verify) {
            (_, true) => Trust::Anybody,
            (Some(path), false) => Trust::File(path.clone()),
            (None, false) => Trust::Usual,
        };
        let sources = Sources {
            remote: Arc::new(Retrying::new(
                network.exchange(&Trust::Usual, Distance::Far)?,
            )),
            metadata: network.exchange(&Trust::Usual, Distance::Near)?,
        };
        let clock = Arc::clone(&network.clock);
        Ok(Bucket {
            target,
            client: network.exchange(&trust, Distance::Far)?,
            credentials: Arc::new(Credentials::new(
                &settings,
                sources,
                Environment::system(),
                Arc::clone(&clock),
            )),
            time: Arc::new(SigningTime::new(clock)),
            connected: Mutex::default(),
            settings,
        })
    }

    /// One whose requests `client` answers, with its target changed.
    #[cfg(test)]
    pub(super) fn answered_by(
        client: Arc<dyn Exchange>,
        settings: Settings,
        change: impl FnOnce(&mut Target),
    ) -> Bucket {
        use super::{GivenKeys, Keys};
        use crate::storage::Bounds;
        use crate::sys::clock::SystemClock;
        use crate::units::Secret;
        let settings = Settings {
            region: Some("r".to_owned()),
            keys: Some(GivenKeys::from(Keys {
                access_key_id: "id".to_owned(),
                secret_access_key: Secret::new("secret".to_owned()),
                session_token: None,
            })),
            ..settings
        };
        let network = Network::new(Bounds::default(), Arc::new(SystemClock));
        let mut bucket = Bucket::new(settings, &network).expect("settings that hold together");
        change(&mut bucket.target);
        Bucket { client, ..bucket }
    }

    /// Its name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.settings.bucket
    }

    /// What time it is, as far as is known.
    pub(super) fn now(&self) -> Timestamp {
        self.time.now()
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What is known without asking anybody.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The object or prefix `key` as a URL, without secrets.
    pub(super) fn location(&self, key: &str) -> String {
        let server = match &self.settings.endpoint {
            Some(endpoint) => format!(" on {endpoint}"),
            None => String::new(),
        };
        format!("s3://{}/{key}{server}", self.settings.bucket)
    }

    /// What a request is about: of the bucket itself, the replica in it.
    fn location_of(&self, ask: &Ask<'_>) -> String {
        self.location(match ask.key {
            "" => &self.settings.path,
            key => key,
        })
    }

    /// Sends a request, again if need be, and gives the answer if it is a success or one of `expected`.
    ///
    /// # Errors
    /// All other answers, those that S3 does not give, and none.
    pub(super) fn ask(
        &self,
        operation: &'static str,
        ask: &Ask<'_>,
        expected: &[u16],
    ) -> Result<Response, StorageError> {
        let connected = self.connected(operation)?;
        let request = request(&connected.target, ask);
        let changes = ask.changes();
        let unreachable = |source, sent| StorageError::Unreachable {
            operation,
            location: self.location_of(ask),
            source,
            sent: sent && changes,
        };
        let tried = connected.exchange.try_until_answered(&request);
        let tried = tried.map_err(|error| match lasting(&error.source) {
            Some(reason) if !(error.sent && changes) => StorageError::Refused {
                operation,
                location: self.location_of(ask),
                reason,
            },
            _ => unreachable(error.source, error.sent),
        })?;
        let response = tried.response;
        let is_object =
            !ask.key.is_empty() && !ask.query.iter().any(|(name, _)| *name == "uploads");
        let has_etag = is_object && matches!(ask.method, Method::Get | Method::Head | Method::Put);
        if response.succeeded() || expected.contains(&response.status) {
            let is_s3 = !answer::is_web_page(&response)
                && (!has_etag || !response.succeeded() || response.header("etag").is_some());
            return match is_s3 {
                true => Ok(response),
                false => Err(unreachable(answer::not_s3(), true)),
            };
        }
        let location = self.location_of(ask);
        let name = self.name();
        match answer::refused(operation, location, response, name, changes) {
            // It may be there in spite of this, or come to be.
            StorageError::Refused { reason, .. } if tried.earlier_may_count && changes => {
                Err(unreachable(io::Error::other(reason), true))
            }
            error => Err(error),
        }
    }

    /// Sends a request and reads the whole answer, again if that breaks off: a success or one of `expected`.
    pub(super) fn ask_whole(
        &self,
        operation: &'static str,
        ask: &Ask<'_>,
        expected: &[u16],
        bytes_max: u64,
    ) -> Result<(u16, Vec<u8>), StorageError> {
        for _ in 1..WHOLE_ATTEMPTS {
            let response = self.ask(operation, ask, expected)?;
            let status = response.status;
            match response.into_bytes(bytes_max) {
                Ok(bytes) => return Ok((status, bytes)),
                Err(error) => log::debug!("{operation}: {error}; asking again"),
            }
        }
        let response = self.ask(operation, ask, expected)?;
        let status = response.status;
        let bytes = response.into_bytes(bytes_max);
        Ok((
            status,
            bytes.map_err(|source| self.unreadable(operation, ask, source))?,
        ))
    }

    /// Sends a request whose answer is a document.
    pub(super) fn ask_document<T>(
        &self,
        operation: &'static str,
        ask: &Ask<'_>,
        bytes_max: u64,
        read: impl FnOnce(roxmltree::Node<'_, '_>) -> Option<T>,
    ) -> Result<T, StorageError> {
        let (_, bytes) = self.ask_whole(operation, ask, &[], bytes_max)?;
        answer::parse(&bytes, read).ok_or_else(|| self.unreadable(operation, ask, answer::not_s3()))
    }

    /// The error for a success that was not told in full, or not by S3.
    pub(super) fn unreadable(
        &self,
        operation: &'static str,
        ask: &Ask<'_>,
        source: io::Error,
    ) -> StorageError {
        StorageError::Unreachable {
            operation,
            location: self.location_of(ask),
            source,
            sent: ask.changes(),
        }
    }

    /// The header lines that every request for the content of an object has where the customer's key encrypts it.
    pub(super) fn customer_key(&self) -> Vec<(&'static str, String)> {
        use base64::Engine as _;
        let base64 = &base64::engine::general_purpose::STANDARD;
        let Encryption::CustomerKey(key) = &self.settings.encryption else {
            return Vec::new();
        };
        // It was checked when the configuration was read.
        let bytes = base64.decode(key.reveal()).unwrap_or_default();
        let digest = base64.encode(md5::compute(bytes).0);
        vec![
            (
                "x-amz-server-side-encryption-customer-algorithm",
                "AES256".to_owned(),
            ),
            (
                "x-amz-server-side-encryption-customer-key",
                key.reveal().to_owned(),
            ),
            ("x-amz-server-side-encryption-customer-key-md5", digest),
        ]
    }

    /// The header line that lets the server notice a bit that changed on the way. TLS does that, and a signed digest
    /// should, but not every server looks at that.
    pub(super) fn digest(&self, body: &[u8]) -> Option<(&'static str, String)> {
        use base64::Engine as _;
        let base64 = &base64::engine::general_purpose::STANDARD;
        let plain = self.target.scheme == "http";
        plain.then(|| ("content-md5", base64.encode(md5::compute(body).0)))
    }

    /// The header lines of a new object.
    pub(super) fn new_object(&self) -> Vec<(&'static str, String)> {
        let mut headers = self.customer_key();
        headers.push(("content-type", "application/octet-stream".to_owned()));
        if let Encryption::Kms(id) = &self.settings.encryption {
            headers.push(("x-amz-server-side-encryption", "aws:kms".to_owned()));
            headers.push(("x-amz-server-side-encryption-aws-kms-key-id", id.clone()));
        }
        if let Some(class) = &self.settings.storage_class {
            headers.push(("x-amz-storage-class", class.clone()));
        }
        headers
    }

    pub(super) fn connected(
        &self,
        operation: &'static str,
    ) -> Result<Arc<Connected>, StorageError> {
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(connected) = &*connected {
            return Ok(Arc::clone(connected));
        }
        let target = match &self.target.region {
            Some(_) => self.target.clone(),
            None => self.in_region(self.ask_region(operation)?),
        };
        let region = target.region.clone().unwrap_or_default();
        Ok(Arc::clone(
            connected.insert(Arc::new(self.connect(target, region))),
        ))
    }

    fn connect(&self, target: Target, region: String) -> Connected {
        let signed = Signed {
            inner: Arc::clone(&self.client),
            credentials: Arc::clone(&self.credentials),
            time: Arc::clone(&self.time),
            region,
            payload: match target.sign_payload {
                true => Payload::Signed,
                false => Payload::Unsigned,
            },
        };
        Connected {
            target,
            exchange: Retrying::new(signed),
        }
    }

    fn in_region(&self, region: String) -> Target {
        let settings = Settings {
            region: Some(region),
            ..self.settings.clone()
        };
        // It only differs in the region from what could be resolved.
        provider::resolve(&settings).unwrap_or_else(|_| self.target.clone())
    }

    /// Asks AWS for the region of the bucket.
    fn ask_region(&self, operation: &'static str) -> Result<String, StorageError> {
        let first = Settings {
            path_style: Some(true),
            region: Some(AWS_FIRST_REGION.to_owned()),
            ..self.settings.clone()
        };
        let location = self.location("");
        let target = provider::resolve(&first).unwrap_or_else(|_| self.target.clone());
        let connected = self.connect(target, AWS_FIRST_REGION.to_owned());
        let ask = Ask {
            query: &[("location", "")],
            ..Ask::new(Method::Get, "")
        };
        let response = connected
            .exchange
            .exchange(&request(&connected.target, &ask));
        let response = response.map_err(|error| match lasting(&error.source) {
            Some(reason) => StorageError::Refused {
                operation,
                location: location.clone(),
                reason,
            },
            None => StorageError::Unreachable {
                operation,
                location: location.clone(),
                source: error.source,
                sent: false,
            },
        })?;
        // Whoever may not ask is often told all the same.
        if let Some(region) = response.header("x-amz-bucket-region") {
            return Ok(region.to_owned());
        }
        if !response.succeeded() {
            return Err(answer::refused(
                operation,
                location,
                response,
                self.name(),
                false,
            ));
        }
        let region = response.into_bytes(ANSWER_BYTES_MAX).and_then(|bytes| {
            let region = answer::parse(&bytes, |root| {
                answer::called(root, "LocationConstraint")?;
                Some(root.text().unwrap_or_default().trim().to_owned())
            });
            region.ok_or_else(answer::not_s3)
        });
        let region = region.map_err(|source| StorageError::Unreachable {
            operation,
            location,
            source,
            sent: false,
        })?;
        Ok(match region.as_str() {
            "" => AWS_FIRST_REGION.to_owned(),
            "EU" => "eu-west-1".to_owned(),
            _ => region,
        })
    }
}

/// A failure to get keys that somebody has to do something about.
fn lasting(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<CredentialsError>()?;
    (!error.is_transient()).then(|| error.to_string())
}

fn request<'a>(target: &Target, ask: &Ask<'a>) -> Request<'a> {
    let mut url = format!(
        "{}://{}{}",
        target.scheme, target.authority, target.bucket_path
    );
    url.push('/');
    url.push_str(&encode_path(ask.key));
    for (index, (name, value)) in ask.query.iter().enumerate() {
        url.push(if index == 0 { '?' } else { '&' });
        url.push_str(&format!("{}={}", encode_query(name), encode_query(value)));
    }
    let mut headers = ask.headers.clone();
    headers.extend(
        target
            .headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    Request {
        method: ask.method,
        url,
        headers,
        body: ask.body,
    }
}
