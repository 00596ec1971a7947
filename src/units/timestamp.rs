//! Points in time as LTX headers hold them: milliseconds since 1970, written as RFC 3339 in UTC.

/// Milliseconds since 1970-01-01T00:00:00Z; negative before.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The time `millis` milliseconds after the start of 1970.
    pub fn from_millis(millis: i64) -> Timestamp {
        Timestamp(millis)
    }

    /// Milliseconds since the start of 1970.
    pub fn millis(self) -> i64 {
        self.0
    }
}

/// A text that is no RFC 3339 time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TimestampError;
