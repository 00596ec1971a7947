//! One destination of one database: which TXID the storage has, which pages it lacks, and the files that
//! bring them there.
//!
//! Whether a replica is of this database at all is told in `origin`.
//!
//! `settle` finds out where a replica stands, `destination` decides what is sent next and what became of it, also when
//! it arrives late; `upload` writes it, and `proof` is what its files say of the database. What keeps a replica small
//! is told in `levels`, `retention` and `keep`, by what `inventory` knows of its files.

mod destination;
mod evidence;
mod inventory;
mod keep;
mod levels;
mod lineage;
mod origin;
mod proof;
mod retention;
mod settle;
mod survey;
mod upload;
mod writer;

pub use destination::{Destination, Finished, Held, Read, Settled};
pub use inventory::Listing;
pub use levels::Upkeep;
pub use lineage::{Evidence, Lineage, Moment, Trace, Version};
pub use origin::{Origin, Title, Verdict, Voucher};
pub use retention::{Reason, Retention, Superfluous, superfluous};
pub use settle::{Footing, SettleError, Shape, settle};
pub use survey::{Survey, Surveyed};
pub use upload::{Upload, UploadFile, UploadResult};
pub use writer::WriterId;
