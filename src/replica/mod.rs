//! One destination of one database: which TXID the storage has, which pages it lacks, and the files that
//! bring them there.
//!
//! `settle` finds out where a replica stands, `destination` decides what is sent next and what became of it, also when
//! it arrives late; `upload` writes it, and `proof` is what its files say of the database. What keeps a replica small
//! is told in `levels` and `retention`, by what `inventory` knows of its files.

mod destination;
mod inventory;
mod levels;
mod proof;
mod retention;
mod settle;
mod survey;
mod upload;

pub use destination::{Destination, Finished, Held, Read, Settled};
pub use inventory::Listing;
pub use levels::Upkeep;
pub use retention::Retention;
pub use settle::{Footing, SettleError, Shape, settle};
pub use survey::{Survey, Surveyed};
pub use upload::{Upload, UploadFile, UploadResult};
