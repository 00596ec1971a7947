//! Replicas on S3 and what speaks its language.

mod settings;

pub use settings::{Encryption, Keys, Settings};
