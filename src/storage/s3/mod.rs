//! Replicas on S3 and what speaks its language.

#[allow(dead_code, reason = "wired at merge")]
mod credentials;
mod settings;
#[allow(dead_code, reason = "wired at merge")]
mod sign;

pub use settings::{Encryption, Keys, Settings};
