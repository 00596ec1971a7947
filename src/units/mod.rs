//! The quantities every room speaks of. Each has a type, so that a TXID is never mistaken for a page
//! number and a page count never for a page size; numbers are converted once, at the edge.

mod calendar;
mod duration;
mod page;
mod secret;
mod timestamp;
mod txid;

pub use calendar::{KeepRules, Period};
pub use duration::{DurationError, parse_duration};
pub use page::{PageCount, PageNumber, PageSize};
pub use secret::Secret;
pub use timestamp::{Timestamp, TimestampError};
pub use txid::{Level, Txid, TxidRange};
