//! Keys as a configuration gives them: written there, or in files that it names.
//!
//! The files are read anew whenever keys are fetched, so after a server has refused those at hand: what somebody has
//! exchanged meanwhile is taken up without a restart.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::settings::Keys;
use crate::units::Secret;

/// The most bytes of a file that holds one value. Session tokens are the longest, at a few thousand.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// One value, which is taken for a secret.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum GivenValue {
    /// This.
    Here(Secret),
    /// The content of this file, without the space around it.
    InFile(PathBuf),
}

impl GivenValue {
    /// The value as it is now.
    ///
    /// # Errors
    /// What is wrong with the file. It repeats nothing of its content.
    pub fn read(&self) -> Result<Secret, String> {
        match self {
            GivenValue::Here(value) => Ok(value.clone()),
            GivenValue::InFile(path) => content_of(path).map(Secret::new),
        }
    }
}

/// An access key.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct GivenKeys {
    /// Its name.
    pub access_key_id: GivenValue,
    /// What signs.
    pub secret_access_key: GivenValue,
    /// Goes along with a temporary key.
    pub session_token: Option<GivenValue>,
}

impl GivenKeys {
    /// The keys as they are now.
    ///
    /// # Errors
    /// As [`GivenValue::read`].
    pub fn read(&self) -> Result<Keys, String> {
        let token = self.session_token.as_ref().map(GivenValue::read);
        Ok(Keys {
            access_key_id: self.access_key_id.read()?.reveal().to_owned(),
            secret_access_key: self.secret_access_key.read()?,
            session_token: token.transpose()?,
        })
    }

    /// Whether they may be others the next time.
    pub(super) fn may_change(&self) -> bool {
        let values = [&self.access_key_id, &self.secret_access_key];
        let mut values = values.into_iter().chain(&self.session_token);
        values.any(|value| matches!(value, GivenValue::InFile(_)))
    }
}

impl From<Keys> for GivenKeys {
    fn from(keys: Keys) -> GivenKeys {
        GivenKeys {
            access_key_id: GivenValue::Here(Secret::new(keys.access_key_id)),
            secret_access_key: GivenValue::Here(keys.secret_access_key),
            session_token: keys.session_token.map(GivenValue::Here),
        }
    }
}

fn content_of(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let value = text.trim();
    if value.is_empty() {
        return Err(format!(
            "{} is empty; write the value into it",
            path.display()
        ));
    }
    let fits_a_header = value.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() as u64 > FILE_BYTES_MAX || !fits_a_header {
        return Err(format!(
            "{} must hold the value and nothing else, on one line",
            path.display()
        ));
    }
    Ok(value.to_owned())
}
