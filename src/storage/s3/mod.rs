//! Replicas on S3 and what speaks its language.

mod endpoint;
mod provider;
mod settings;

pub use endpoint::Endpoint;
pub use provider::UrlHost;
pub use settings::{Encryption, Keys, PART_BYTES, PART_BYTES_MAX, PART_BYTES_MIN, Settings};
