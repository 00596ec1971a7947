//! The names of what can be wrong with LTX files and chains of them, the same in all implementations of the
//! format and in the test vectors.

use std::fmt;

/// Kinds of errors by their names in the format, such as `truncated` or `file_checksum`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Class {
    /// Not of the format: input or output failed.
    Io,
    /// The file ends early.
    Truncated,
    /// The first four bytes are not `LTX1`.
    Magic,
    /// Unknown header flag.
    HeaderFlags,
    /// Page size not allowed.
    PageSize,
    /// TXID zero or range reversed.
    Txid,
    /// WAL fields negative or inconsistent.
    WalFields,
    /// Pre-apply checksum against the rules.
    PreChecksum,
    /// Database of zero pages.
    CommitZero,
    /// Page number zero in a frame.
    Pgno,
    /// Unknown page flag.
    PageFlags,
    /// Impossible compressed size.
    PageDataSize,
    /// Malformed LZ4 block or frame.
    Lz4,
    /// Page of the wrong length.
    PageLength,
    /// Page numbers not ascending.
    PageOrder,
    /// Page number above the size of the database.
    PageRange,
    /// Lock page stored.
    LockPage,
    /// File that starts at TXID 1 lacks a page.
    SnapshotGap,
    /// Page index unreadable or not matching.
    Index,
    /// Bytes after the trailer.
    TrailingData,
    /// File checksum mismatch.
    FileChecksum,
    /// Post-apply checksum against the rules.
    PostChecksum,
    /// Files of a chain differ in page size.
    PageSizeMismatch,
    /// TXID ranges of a chain do not join.
    TxidGap,
    /// No file of a chain supplies a page.
    MissingPage,
    /// A restore chain does not start at TXID 1.
    NoSnapshot,
    /// No chain reaches the requested point.
    NotAvailable,
}

/// The name in the format.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Io => "io",
            Class::Truncated => "truncated",
            Class::Magic => "magic",
            Class::HeaderFlags => "header_flags",
            Class::PageSize => "page_size",
            Class::Txid => "txid",
            Class::WalFields => "wal_fields",
            Class::PreChecksum => "pre_checksum",
            Class::CommitZero => "commit_zero",
            Class::Pgno => "pgno",
            Class::PageFlags => "page_flags",
            Class::PageDataSize => "page_data_size",
            Class::Lz4 => "lz4",
            Class::PageLength => "page_length",
            Class::PageOrder => "page_order",
            Class::PageRange => "page_range",
            Class::LockPage => "lock_page",
            Class::SnapshotGap => "snapshot_gap",
            Class::Index => "index",
            Class::TrailingData => "trailing_data",
            Class::FileChecksum => "file_checksum",
            Class::PostChecksum => "post_checksum",
            Class::PageSizeMismatch => "page_size_mismatch",
            Class::TxidGap => "txid_gap",
            Class::MissingPage => "missing_page",
            Class::NoSnapshot => "no_snapshot",
            Class::NotAvailable => "not_available",
        })
    }
}
