//! What can be wrong with an LTX file. Every fault belongs to one [`Class`], whose name is the same in all
//! implementations of the format and in the test vectors.

use std::fmt;
use std::io;

use crate::units::{PageCount, PageNumber, PageSize};

use super::class::Class;

/// A file could not be read, or is not a valid LTX file.
#[derive(Debug)]
pub enum Error {
    /// The input failed. That it merely ended is [`Fault::Truncated`].
    Io(io::Error),
    /// The file breaks a rule of the format. Nothing that was read from it may be used.
    Invalid(Fault),
}

impl Error {
    /// What kind of error this is.
    pub fn class(&self) -> Class {
        match self {
            Error::Io(_) => Class::Io,
            Error::Invalid(fault) => fault.class(),
        }
    }

    /// The same error once more, for those who go on asking after the first.
    pub(super) fn repeat(&self) -> Error {
        match self {
            Error::Io(error) => Error::Io(error.kind().into()),
            Error::Invalid(fault) => Error::Invalid(fault.clone()),
        }
    }
}

/// Input errors are equal when their kinds are.
impl PartialEq for Error {
    fn eq(&self, other: &Error) -> bool {
        match (self, other) {
            (Error::Io(a), Error::Io(b)) => a.kind() == b.kind(),
            (Error::Invalid(a), Error::Invalid(b)) => a == b,
            _ => false,
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        Error::Invalid(fault)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io(error) => write!(f, "cannot read the LTX file: {error}"),
            Error::Invalid(fault) => write!(f, "invalid LTX file: {fault}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) => Some(error),
            Error::Invalid(_) => None,
        }
    }
}

/// A rule of the format that a file breaks. Offsets and sizes are in bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// The file ends within `part`, which starts at `offset`.
    Truncated {
        /// What is cut short.
        part: &'static str,
        /// Where that part starts.
        offset: u64,
    },
    /// The first four bytes are not `LTX1`.
    Magic {
        /// What they are.
        found: [u8; 4],
    },
    /// The header has flags other than the one that exists.
    HeaderFlags {
        /// All flags of the header.
        flags: u32,
    },
    /// The header's page size is none that SQLite has.
    PageSize {
        /// What the header says.
        bytes: u32,
    },
    /// A TXID is zero, or the range is reversed.
    Txid {
        /// The header's first TXID.
        min: u64,
        /// The header's last TXID.
        max: u64,
    },
    /// A WAL field is negative, or there is no WAL offset but a size or salts.
    WalFields {
        /// The header's WAL offset.
        offset: i64,
        /// The header's WAL size.
        size: i64,
    },
    /// The pre-apply checksum is there though it must not be, or absent or without bit 63 though it must be.
    PreChecksum {
        /// The stored number.
        stored: u64,
    },
    /// The database is said to have no pages, which no database has.
    CommitZero,
    /// A frame for page 0, which does not exist.
    PageZero {
        /// Where the frame starts.
        offset: u64,
        /// Its flags.
        flags: u16,
    },
    /// A frame with flags other than the one that exists.
    PageFlags {
        /// The frame's page.
        page: PageNumber,
        /// Its flags.
        flags: u16,
        /// Where the frame starts.
        offset: u64,
    },
    /// A frame announces compressed data of a size that no page compresses to.
    PageDataSize {
        /// The frame's page.
        page: PageNumber,
        /// The announced size.
        bytes: u32,
        /// The largest there can be.
        max: u32,
    },
    /// The compressed data of a page is malformed.
    Lz4 {
        /// The page.
        page: PageNumber,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A page is longer or shorter than the page size.
    PageLength {
        /// The page.
        page: PageNumber,
        /// Its length; when there is more, as much as is known.
        bytes: u64,
        /// What it must be.
        page_size: PageSize,
    },
    /// A page does not come after the one before it.
    PageOrder {
        /// The page.
        page: PageNumber,
        /// The page before it.
        after: PageNumber,
    },
    /// A page lies beyond the end of the database.
    PageRange {
        /// The page.
        page: PageNumber,
        /// The size of the database.
        commit: PageCount,
    },
    /// The lock page is stored, which never has content.
    LockPage {
        /// The page.
        page: PageNumber,
    },
    /// A file that starts at TXID 1 lacks a page.
    SnapshotGap {
        /// The first page that is missing.
        missing: PageNumber,
    },
    /// A number in the page index cannot be read.
    IndexNumber {
        /// Where it starts.
        offset: u64,
    },
    /// The page index does not describe the page frames.
    IndexDiffers {
        /// Where the index starts.
        offset: u64,
    },
    /// The size stored after the page index is not that of the index.
    IndexSize {
        /// The stored size.
        stored: u64,
        /// The size of the index or, where only that is known, the largest that would fit.
        actual: u64,
    },
    /// Bytes follow the trailer.
    TrailingData {
        /// Where they start.
        offset: u64,
    },
    /// The file checksum does not match the content.
    FileChecksum {
        /// The stored number.
        stored: u64,
        /// What the content gives.
        computed: u64,
    },
    /// The post-apply checksum is there though it must not be, absent or without bit 63 though it must be,
    /// or not that of the pages.
    PostChecksum {
        /// The stored number.
        stored: u64,
        /// What it must be, where that is known; zero when it must be absent.
        expected: Option<u64>,
    },
}

impl Fault {
    /// What kind of fault this is.
    pub fn class(&self) -> Class {
        match self {
            Fault::Truncated { .. } => Class::Truncated,
            Fault::Magic { .. } => Class::Magic,
            Fault::HeaderFlags { .. } => Class::HeaderFlags,
            Fault::PageSize { .. } => Class::PageSize,
            Fault::Txid { .. } => Class::Txid,
            Fault::WalFields { .. } => Class::WalFields,
            Fault::PreChecksum { .. } => Class::PreChecksum,
            Fault::CommitZero => Class::CommitZero,
            Fault::PageZero { .. } => Class::Pgno,
            Fault::PageFlags { .. } => Class::PageFlags,
            Fault::PageDataSize { .. } => Class::PageDataSize,
            Fault::Lz4 { .. } => Class::Lz4,
            Fault::PageLength { .. } => Class::PageLength,
            Fault::PageOrder { .. } => Class::PageOrder,
            Fault::PageRange { .. } => Class::PageRange,
            Fault::LockPage { .. } => Class::LockPage,
            Fault::SnapshotGap { .. } => Class::SnapshotGap,
            Fault::IndexNumber { .. } | Fault::IndexDiffers { .. } | Fault::IndexSize { .. } => {
                Class::Index
            }
            Fault::TrailingData { .. } => Class::TrailingData,
            Fault::FileChecksum { .. } => Class::FileChecksum,
            Fault::PostChecksum { .. } => Class::PostChecksum,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated { part, offset } => {
                write!(f, "it ends within {part}, which starts at byte {offset}")
            }
            Fault::Magic { found } => {
                write!(
                    f,
                    "it starts with \"{}\" instead of \"LTX1\"",
                    found.escape_ascii()
                )
            }
            Fault::HeaderFlags { flags } => write!(f, "unknown header flags {flags:#010x}"),
            Fault::PageSize { bytes } => write!(f, "a page size of {bytes} bytes does not exist"),
            Fault::Txid { min, max } => write!(f, "impossible TXID range {min:016x}-{max:016x}"),
            Fault::WalFields { offset, size } => {
                write!(f, "impossible WAL position: offset {offset}, size {size}")
            }
            Fault::PreChecksum { stored } => {
                write!(
                    f,
                    "pre-apply checksum {stored:016x} against the header's flags and TXIDs"
                )
            }
            Fault::CommitZero => f.write_str("a database of 0 pages"),
            Fault::PageZero { offset, flags } => {
                write!(f, "page number 0 with flags {flags:#06x} at byte {offset}")
            }
            Fault::PageFlags {
                page,
                flags,
                offset,
            } => write!(
                f,
                "unknown flags {flags:#06x} of page {page} at byte {offset}"
            ),
            Fault::PageDataSize { page, bytes, max } => write!(
                f,
                "page {page} is said to take {bytes} bytes compressed, possible are 1 to {max}"
            ),
            Fault::Lz4 { page, problem } => write!(f, "LZ4 data of page {page}: {problem}"),
            Fault::PageLength {
                page,
                bytes,
                page_size,
            } => write!(f, "page {page} has {bytes} bytes instead of {page_size}"),
            Fault::PageOrder { page, after } => write!(f, "page {page} comes after page {after}"),
            Fault::PageRange { page, commit } => {
                write!(f, "page {page} in a database of {commit} pages")
            }
            Fault::LockPage { page } => write!(f, "the lock page {page} is stored"),
            Fault::SnapshotGap { missing } => {
                write!(f, "it starts at TXID 1 but lacks page {missing}")
            }
            Fault::IndexNumber { offset } => {
                write!(f, "unreadable number in the page index at byte {offset}")
            }
            Fault::IndexDiffers { offset } => {
                write!(
                    f,
                    "the page index at byte {offset} does not describe the pages"
                )
            }
            Fault::IndexSize { stored, actual } => {
                write!(f, "a page index of {actual} bytes is said to have {stored}")
            }
            Fault::TrailingData { offset } => write!(f, "data after the trailer at byte {offset}"),
            Fault::FileChecksum { stored, computed } => write!(
                f,
                "file checksum {stored:016x}, but the content gives {computed:016x}"
            ),
            Fault::PostChecksum { stored, expected } => match expected {
                Some(expected) => {
                    write!(
                        f,
                        "post-apply checksum {stored:016x} instead of {expected:016x}"
                    )
                }
                None => write!(f, "post-apply checksum {stored:016x} without its top bit"),
            },
        }
    }
}

impl std::error::Error for Fault {}
