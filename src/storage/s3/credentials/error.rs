//! Why there are no keys: whether trying again may help, or what a person has to change. Names variables, files,
//! profiles and hosts, and never a value.

use std::fmt;

/// Keys could not be had.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::storage) enum CredentialsError {
    /// Who hands them out could not be reached, or cannot just now.
    Unavailable {
        /// Who that is.
        place: String,
        /// What went wrong.
        reason: String,
    },
    /// What is there cannot be used until somebody changes it.
    Unusable {
        /// Where it is.
        place: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
    /// There are none anywhere.
    NothingFound {
        /// Under which name a profile would have been read.
        profile: String,
        /// The path of the file in which one may be put.
        file: String,
        /// What was seen on the way that may be the reason.
        notes: Vec<String>,
    },
}

impl CredentialsError {
    pub(super) fn unavailable(place: &str, reason: impl fmt::Display) -> CredentialsError {
        CredentialsError::Unavailable {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn unusable(place: &str, reason: impl fmt::Display) -> CredentialsError {
        CredentialsError::Unusable {
            place: place.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Whether it may work later without anybody doing anything.
    pub(in crate::storage) fn is_transient(&self) -> bool {
        matches!(self, CredentialsError::Unavailable { .. })
    }
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CredentialsError::Unavailable { place, reason }
            | CredentialsError::Unusable { place, reason } => {
                write!(f, "cannot get credentials from {place}: {reason}")
            }
            CredentialsError::NothingFound {
                profile,
                file,
                notes,
            } => {
                write!(
                    f,
                    "there are no credentials; set access-key-id and secret-access-key in the configuration, or \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the same names with LITESTREAM for AWS) in \
                     the environment, or aws_access_key_id and aws_secret_access_key under [{profile}] in {file}"
                )?;
                let separators = std::iter::once(" (").chain(std::iter::repeat("; "));
                for (separator, note) in separators.zip(notes) {
                    write!(f, "{separator}{note}")?;
                }
                f.write_str(if notes.is_empty() { "" } else { ")" })
            }
        }
    }
}

impl std::error::Error for CredentialsError {}
