//! LTX files: immutable records of database pages after a range of transactions.
//!
//! ```text
//! offset 0    header              100 bytes, see `header`
//! offset 100  page frames         ascending by page number, each compressed on its own, see `frame`
//!             end marker          6 zero bytes
//!             page index          one varint triple a frame, then 00, then its size as u64, see `index`
//! size - 16   trailer             post-apply checksum u64, file checksum u64, see `checksum`
//! ```
//!
//! Integers are big-endian, except inside LZ4 data. Nothing follows the trailer; the smallest file, one
//! without pages, has 131 bytes. A file that starts at TXID 1 is a snapshot and holds every page but the
//! lock page; any other holds a subset.
//!
//! We read both encodings of pages that Litestream 0.5 releases have written and write the newer one.
//! Nothing read from a file is to be trusted before [`Decoder::finish`] has returned [`Verified`].

mod bookmark;
mod checksum;
mod class;
mod decode;
mod encode;
mod error;
mod frame;
mod header;
mod index;
mod lz4_frame;
mod lz4_stream;
mod merge;
pub mod name;
mod sequence;
mod source;
mod varint;

pub use bookmark::Bookmark;
pub use checksum::Checksum;
pub(crate) use checksum::Digest;
pub use class::Class;
pub use decode::{Decoder, UnverifiedPage, Verified};
pub use encode::{EncodeError, Encoder};
pub use error::{Error, Fault};
pub use frame::read_frame;
pub use header::{Header, WalSource};
pub use index::{IndexEntry, PageIndex, Tail};
pub use lz4_stream::{Lz4Blocks, Lz4Error};
pub use merge::{MergeError, Merger, merge};
