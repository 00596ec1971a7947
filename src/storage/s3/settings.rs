//! What a configuration or URL says about a replica on S3. Nothing is decided here: what was not said is `None`,
//! and becomes what is right for the provider when the storage is opened.

use std::path::PathBuf;

use super::given::GivenKeys;
use super::provider;
use crate::units::Secret;

/// The smallest part S3 takes, but for the last one of a file.
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// The largest part S3 takes.
pub const PART_BYTES_MAX: u64 = 5 << 30;

/// The size of parts where nothing else was said: Litestream's, and the least memory.
pub const PART_BYTES: u64 = PART_BYTES_MIN;

/// Where a replica on S3 is, and how to talk to the storage.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Settings {
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// What the names of all objects of the replica begin with, before the slash in front of the level. It is taken
    /// as it is, as Litestream does: `.` and nothing, which a replica at the top of a bucket has, and slashes at
    /// either end all are part of the names.
    pub path: String,
    /// The region.
    pub region: Option<String>,
    /// The server, as [`Endpoint`](super::Endpoint) reads it: `http[s]://HOST[:PORT][/PATH]`. None is AWS.
    pub endpoint: Option<String>,
    /// Whether the bucket goes into the path of URLs instead of the host name.
    pub path_style: Option<bool>,
    /// Whether the SHA-256 of what is sent is signed too.
    pub sign_payload: Option<bool>,
    /// Whether batches of deletions carry their MD5.
    pub require_content_md5: Option<bool>,
    /// Whether any certificate will do.
    pub skip_verify: bool,
    /// A file of certificates (PEM) to trust instead of the usual ones.
    pub ca_file: Option<PathBuf>,
    /// The storage class of new objects.
    pub storage_class: Option<String>,
    /// Files from this size on go up in parts of this size, in bytes.
    pub part_size: Option<u64>,
    /// The most parts of one file that go up at the same time.
    pub concurrency: Option<u32>,
    /// How the server shall encrypt.
    pub encryption: Encryption,
    /// The keys; none looks in the usual places.
    pub keys: Option<GivenKeys>,
}

impl Settings {
    /// A replica at `path` in `bucket`, on AWS, all else left open.
    pub fn new(bucket: impl Into<String>, path: impl Into<String>) -> Settings {
        Settings {
            bucket: bucket.into(),
            path: path.into(),
            region: None,
            endpoint: None,
            path_style: None,
            sign_payload: None,
            require_content_md5: None,
            skip_verify: false,
            ca_file: None,
            storage_class: None,
            part_size: None,
            concurrency: None,
            encryption: Encryption::AsTheBucket,
            keys: None,
        }
    }

    /// Checks that the settings can hold together, without asking anyone.
    ///
    /// # Errors
    /// What is wrong with the bucket or how it shall be addressed. It repeats no value.
    pub fn check(&self) -> Result<(), String> {
        provider::resolve(self).map(drop)
    }

    /// The size of the parts that large files go up in.
    pub fn part_bytes(&self) -> u64 {
        self.part_size.unwrap_or(PART_BYTES)
    }

    /// Who keeps the bucket: two settings with the same server and bucket mean the same one.
    pub fn server(&self) -> String {
        provider::server(self)
    }
}

/// How the server shall encrypt what it stores.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Encryption {
    /// As the bucket is set up.
    AsTheBucket,
    /// With this key of 32 bytes, which the server forgets (SSE-C): base64.
    CustomerKey(Secret),
    /// With the key of this id in the provider's key management (SSE-KMS).
    Kms(String),
}

/// An access key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Keys {
    /// Its name, which is no secret.
    pub access_key_id: String,
    /// What signs.
    pub secret_access_key: Secret,
    /// Goes along with a temporary key.
    pub session_token: Option<Secret>,
}
