//! What a configuration or URL says about a replica on S3. Nothing is decided here: what was not said is `None`,
//! and becomes what is right for the provider when the storage is opened.

use std::path::PathBuf;

use crate::units::Secret;

/// Where a replica on S3 is, and how to talk to the storage.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Settings {
    /// The bucket's name, or the ARN of an access point.
    pub bucket: String,
    /// What the names of all objects of the replica begin with, without a slash at its end. Litestream's odd values
    /// for a replica at the top of a bucket, `.` and nothing, are kept as they are.
    pub path: String,
    /// The region.
    pub region: Option<String>,
    /// The server: `http://HOST[:PORT]` or `https://HOST[:PORT]`. None is AWS.
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
    pub keys: Option<Keys>,
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
