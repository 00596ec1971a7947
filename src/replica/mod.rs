//! One destination of one database: which TXID the storage has, which pages it lacks, and the files that
//! bring them there.
//!
//! `settle` finds out where a replica stands, `destination` decides what is sent next and what became of it, also when
//! it arrives late; `upload` writes it.

mod destination;
mod settle;
mod upload;

pub use destination::{Destination, Finished, Held, Settled};
pub use settle::{Footing, SettleError, Shape, settle};
pub use upload::{Upload, UploadFile, UploadResult};
