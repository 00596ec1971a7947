//! The header: the first 100 bytes of an LTX file, integers big-endian.
//!
//! ```text
//!  0  4  magic "LTX1"                40  8  pre-apply checksum, 0 when absent
//!  4  4  flags: 2 = no checksums     48  8  WAL offset, signed, not negative
//!  8  4  page size in bytes          56  8  WAL size, signed, not negative
//! 12  4  commit: database in pages   64  4  WAL salt 1
//! 16  8  first TXID                  68  4  WAL salt 2
//! 24  8  last TXID                   72  8  node id
//! 32  8  milliseconds since 1970     80 20  reserved
//! ```
//!
//! Without a WAL offset there are no WAL size and salts. A pre-apply checksum stands where there are
//! checksums and the first TXID is not 1.
//!
//! Nobody reads what is reserved, but the file checksum covers it. Files of ours begin it with the *tag*, where the
//! database is known: "WBK1" and 8 bytes, LTX's checksum of the database after the file. LTX has fields for that, but
//! Litestream cannot compact files that use them.

use crate::units::{PageCount, PageSize, Timestamp, Txid, TxidRange};

use super::checksum::Checksum;
use super::error::{Error, Fault};

/// What an LTX file says of itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// Size of each page.
    pub page_size: PageSize,
    /// Size of the database after this file was applied. Never zero.
    pub commit: PageCount,
    /// The TXIDs covered.
    pub txids: TxidRange,
    /// When the file was made; in a merged file, when its last input was.
    pub timestamp: Timestamp,
    /// Checksum of the database this file applies to. None when `checksums` is false or the first TXID is 1,
    /// and only then.
    pub pre_apply: Option<Checksum>,
    /// Whether the file has database checksums. False sets the header flag "no checksum", as Litestream does
    /// in all its files.
    pub checksums: bool,
    /// The part of the WAL the pages were read from.
    pub wal: WalSource,
    /// Who wrote the file. Litestream writes zero.
    pub node_id: u64,
    /// Without meaning to LTX, but part of the file checksum. See [`Header::database`].
    pub reserved: [u8; 20],
}

/// Where in a WAL a file's pages came from. All zero in merged files.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct WalSource {
    /// First byte read: 32, or the end of what the previous file covered.
    pub offset: u64,
    /// How many bytes were read.
    pub size: u64,
    /// Salt 1 of the WAL's header.
    pub salt1: u32,
    /// Salt 2 of the WAL's header.
    pub salt2: u32,
}

impl WalSource {
    /// That of every file of ours. Litestream goes on reading a WAL where its newest file says it ended, wrongly so
    /// when others have checkpointed since; of this place it makes nothing, and copies everything.
    pub const UNREAD: WalSource = WalSource {
        offset: WAL_HEADER_BYTES,
        size: 0,
        salt1: 0,
        salt2: 0,
    };
}

impl Header {
    /// Size of every header in bytes.
    pub const BYTES: usize = 100;

    /// The header of a file without checksums, made from a live database before anything was read from its
    /// WAL: WAL offset 32, size and salts zero.
    pub fn new(
        page_size: PageSize,
        commit: PageCount,
        txids: TxidRange,
        timestamp: Timestamp,
    ) -> Header {
        Header {
            page_size,
            commit,
            txids,
            timestamp,
            pre_apply: None,
            checksums: false,
            wal: WalSource::UNREAD,
            node_id: 0,
            reserved: [0; 20],
        }
    }

    /// The same, with a tag that says that the checksum of the database after this file is `database`; without any if
    /// that is not known.
    #[must_use]
    pub fn with_database(mut self, database: Option<Checksum>) -> Header {
        self.reserved = [0; 20];
        if let Some(checksum) = database {
            let mut rest = &mut self.reserved[..];
            put(&mut rest, TAG);
            put(&mut rest, checksum.value().to_be_bytes());
        }
        self
    }

    /// LTX's checksum of the database after this file, if the file has a tag that says it.
    pub fn database(&self) -> Option<Checksum> {
        let (tag, rest) = self.reserved.split_first_chunk()?;
        let checksum = rest.first_chunk().filter(|_| *tag == TAG)?;
        Checksum::from_stored(u64::from_be_bytes(*checksum))
    }

    /// Reads a header and applies every rule that needs nothing but the header.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first rule that is broken.
    pub fn parse(bytes: &[u8; Header::BYTES]) -> Result<Header, Error> {
        let mut fields = Fields(bytes);
        let magic = fields.take();
        if magic != MAGIC {
            return Err(Fault::Magic { found: magic }.into());
        }
        let flags = fields.u32();
        if flags & !FLAG_NO_CHECKSUM != 0 {
            return Err(Fault::HeaderFlags { flags }.into());
        }
        let checksums = flags & FLAG_NO_CHECKSUM == 0;
        let bytes = fields.u32();
        let page_size = PageSize::new(bytes).ok_or(Fault::PageSize { bytes })?;
        let commit = PageCount(fields.u32());
        let (min, max) = (fields.u64(), fields.u64());
        let txids = Txid::new(min)
            .zip(Txid::new(max))
            .and_then(|(min, max)| TxidRange::new(min, max))
            .ok_or(Fault::Txid { min, max })?;
        let timestamp = Timestamp::from_millis(fields.u64().cast_signed());
        let pre_apply = fields.u64();
        let wal = parse_wal(&mut fields)?;
        let pre_apply = parse_pre_apply(pre_apply, checksums && !txids.is_snapshot())?;
        if commit == PageCount(0) {
            return Err(Fault::CommitZero.into());
        }
        Ok(Header {
            page_size,
            commit,
            txids,
            timestamp,
            pre_apply,
            checksums,
            wal,
            node_id: fields.u64(),
            reserved: fields.take(),
        })
    }

    /// The header as stored.
    pub fn to_bytes(&self) -> [u8; Header::BYTES] {
        let flags = if self.checksums { 0 } else { FLAG_NO_CHECKSUM };
        let pre_apply = self.pre_apply.map_or(0, Checksum::value);
        let mut bytes = [0; Header::BYTES];
        let mut rest = &mut bytes[..];
        put(&mut rest, MAGIC);
        put(&mut rest, flags.to_be_bytes());
        put(&mut rest, self.page_size.bytes().to_be_bytes());
        put(&mut rest, self.commit.0.to_be_bytes());
        put(&mut rest, self.txids.min().value().to_be_bytes());
        put(&mut rest, self.txids.max().value().to_be_bytes());
        put(&mut rest, self.timestamp.millis().to_be_bytes());
        put(&mut rest, pre_apply.to_be_bytes());
        put(&mut rest, self.wal.offset.to_be_bytes());
        put(&mut rest, self.wal.size.to_be_bytes());
        put(&mut rest, self.wal.salt1.to_be_bytes());
        put(&mut rest, self.wal.salt2.to_be_bytes());
        put(&mut rest, self.node_id.to_be_bytes());
        put(&mut rest, self.reserved);
        assert!(rest.is_empty(), "the fields fill the header");
        bytes
    }
}

fn parse_wal(fields: &mut Fields<'_>) -> Result<WalSource, Fault> {
    let (offset, size) = (fields.u64(), fields.u64());
    let wal = WalSource {
        offset,
        size,
        salt1: fields.u32(),
        salt2: fields.u32(),
    };
    let fault = Fault::WalFields {
        offset: offset.cast_signed(),
        size: size.cast_signed(),
    };
    let negative = offset.cast_signed() < 0 || size.cast_signed() < 0;
    if negative || (offset == 0 && wal != WalSource::default()) {
        return Err(fault);
    }
    Ok(wal)
}

fn parse_pre_apply(stored: u64, required: bool) -> Result<Option<Checksum>, Fault> {
    match Checksum::from_stored(stored) {
        Some(checksum) if required => Ok(Some(checksum)),
        None if !required && stored == 0 => Ok(None),
        _ => Err(Fault::PreChecksum { stored }),
    }
}

/// What is left of a header's bytes. Runs out only if the fields above were wrong.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .0
            .split_first_chunk()
            .expect("100 bytes hold all fields");
        self.0 = rest;
        *field
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

fn put<const N: usize>(rest: &mut &mut [u8], field: [u8; N]) {
    rest.split_off_mut(..N)
        .expect("100 bytes hold all fields")
        .copy_from_slice(&field);
}

const MAGIC: [u8; 4] = *b"LTX1";

/// What a tag begins with.
const TAG: [u8; 4] = *b"WBK1";

/// The only header flag: there are no database checksums.
const FLAG_NO_CHECKSUM: u32 = 2;

/// Where the first frame of a WAL starts.
const WAL_HEADER_BYTES: u64 = 32;

#[cfg(test)]
mod tests {
    use super::super::class::Class;
    use super::*;

    fn header(min: u64) -> Header {
        let txids = TxidRange::new(Txid::new(min).unwrap(), Txid::new(9).unwrap()).unwrap();
        let mut header = Header::new(
            PageSize::new(65536).unwrap(),
            PageCount(7),
            txids,
            Timestamp::from_millis(-5),
        );
        header.wal = WalSource {
            offset: 3248,
            size: 536,
            salt1: 1,
            salt2: 2,
        };
        header.node_id = 3;
        header.reserved[19] = 4;
        header
    }

    fn class_with(change: impl Fn(&mut [u8; 100])) -> Class {
        let mut bytes = header(2).to_bytes();
        change(&mut bytes);
        Header::parse(&bytes).unwrap_err().class()
    }

    #[test]
    fn bytes_are_read_back() {
        for header in [header(1), header(2)] {
            assert_eq!(Header::parse(&header.to_bytes()), Ok(header));
        }
        let checked = Header {
            checksums: true,
            pre_apply: Some(Checksum::EMPTY_DATABASE),
            ..header(2)
        };
        assert_eq!(Header::parse(&checked.to_bytes()), Ok(checked));
    }

    #[test]
    fn a_tag_is_read_back_and_nothing_else_is_one() {
        let plain = Header {
            reserved: [0; 20],
            ..header(2)
        };
        assert_eq!(plain.database(), None);
        assert_eq!(header(2).database(), None, "reserved by somebody else");
        let tagged = plain.with_database(Some(Checksum::EMPTY_DATABASE));
        let bytes = tagged.to_bytes();
        assert_eq!(bytes[80..92], *b"WBK1\x80\0\0\0\0\0\0\0");
        let read = Header::parse(&bytes).unwrap();
        assert_eq!(read.database(), Some(Checksum::EMPTY_DATABASE));
        assert_eq!(tagged.with_database(None), plain);
        let mut absent = tagged;
        absent.reserved[4] = 0x7f;
        assert_eq!(absent.database(), None, "no checksum has bit 63 clear");
    }

    #[test]
    fn each_rule_has_its_class() {
        assert_eq!(class_with(|b| b[3] = b'2'), Class::Magic);
        assert_eq!(class_with(|b| b[7] = 3), Class::HeaderFlags);
        assert_eq!(class_with(|b| b[9] = 2), Class::PageSize);
        assert_eq!(class_with(|b| b[23] = 10), Class::Txid);
        assert_eq!(class_with(|b| b[23] = 0), Class::Txid);
        assert_eq!(class_with(|b| b[48] = 0x80), Class::WalFields);
        assert_eq!(class_with(|b| b[56] = 0x80), Class::WalFields);
        assert_eq!(class_with(|b| b[48..64].fill(0)), Class::WalFields);
        assert_eq!(class_with(|b| b[40] = 0x80), Class::PreChecksum);
        assert_eq!(class_with(|b| b[7] = 0), Class::PreChecksum);
        assert_eq!(class_with(|b| b[12..16].fill(0)), Class::CommitZero);
    }
}
