//! Text that must never be shown.

use std::fmt;

/// A password, key or token. Neither `Debug` nor anything else prints it; only [`Secret::reveal`] gives it out.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for the one place that has to use it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn is_not_shown() {
        assert_eq!(
            format!("{:?}", Some(Secret::new("hunter2"))),
            "Some((secret))"
        );
    }
}
