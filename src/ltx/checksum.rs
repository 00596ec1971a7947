//! Checksums: CRC-64/GO-ISO (reflected, polynomial 0xD800000000000000, all ones before and after), with
//! bit 63 of what is stored forced to one, so that zero can mean "absent".
//!
//! ```text
//! file      header, then each frame's 6 header bytes, its size prefix where it has one, and the page
//!           *decompressed*; then end marker, index with its size, post-apply checksum
//! page      page number u32, page data
//! database  XOR of the checksums of all pages but the lock page, bit 63 set
//! ```

use std::fmt;
use std::sync::LazyLock;

use crc::{CRC_64_GO_ISO, Crc, Table};

use crate::units::PageNumber;

/// A checksum as LTX files store it. Bit 63 is always set.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Checksum(u64);

impl Checksum {
    /// The database checksum of a database without pages.
    pub const EMPTY_DATABASE: Checksum = Checksum(PRESENT);

    /// The checksum stored as `value`; none when bit 63 is clear, as in zero, which means absent.
    pub fn from_stored(value: u64) -> Option<Checksum> {
        (value & PRESENT != 0).then_some(Checksum(value))
    }

    /// The checksum of one page with the content `data`.
    pub fn of_page(page: PageNumber, data: &[u8]) -> Checksum {
        let mut digest = Digest::new();
        digest.update(&page.value().to_be_bytes());
        digest.update(data);
        digest.finish()
    }

    /// A database checksum after the page of checksum `page` came to it or, when it was part of it, went.
    /// To replace a page, toggle its old checksum and then its new one.
    #[must_use]
    pub fn toggle(self, page: Checksum) -> Checksum {
        Checksum(self.0 ^ page.0 | PRESENT)
    }

    /// The number as stored.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A checksum being computed.
#[derive(Clone)]
pub(crate) struct Digest(crc::Digest<'static, u64, Table<16>>);

impl Digest {
    pub(crate) fn new() -> Digest {
        Digest(CRC.digest())
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// What there is to keep for [`Digest::with_state`].
    pub(super) fn state(&self) -> u64 {
        self.0.clone().finalize()
    }

    /// Goes on from such a state.
    pub(super) fn with_state(state: u64) -> Digest {
        // The crate takes the register as it is before it is reflected, and gives it inverted.
        let register = (state ^ CRC_64_GO_ISO.xorout).reverse_bits();
        Digest(CRC.digest_with_initial(register))
    }

    pub(crate) fn finish(self) -> Checksum {
        Checksum(self.0.finalize() | PRESENT)
    }
}

/// Bit 63: a checksum is there.
const PRESENT: u64 = 1 << 63;

/// Sixteen tables of 2 KiB: the checksum runs over every byte of every page, and this is several times
/// as fast as one table. Computed when first needed, and boxed: as they are, or in a `LazyLock` itself, they would be a
/// hundredth of the program.
static CRC: LazyLock<Box<Crc<u64, Table<16>>>> =
    LazyLock::new(|| Box::new(Crc::<u64, Table<16>>::new(&CRC_64_GO_ISO)));

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32) -> PageNumber {
        PageNumber::new(number).unwrap()
    }

    #[test]
    fn known_answers_of_the_crc() {
        assert_eq!(CRC.checksum(b"123456789"), 0xb909_56c7_75a4_1001);
        assert_eq!(CRC.checksum(b""), 0);
        assert_eq!(CRC.checksum(&[0; 512]), 0x7cd9_9000_0000_0000);
    }

    #[test]
    fn known_answers_of_pages_and_databases() {
        let first = Checksum::of_page(page(1), &[0; 512]);
        let second = Checksum::of_page(page(2), &[0; 512]);
        assert_eq!(first.to_string(), "efb1f44fecd99000");
        assert_eq!(second.to_string(), "ef63e89fecd99000");
        let database = Checksum::EMPTY_DATABASE.toggle(first).toggle(second);
        assert_eq!(database.to_string(), "80d21cd000000000");
        assert_eq!(
            database.toggle(second).toggle(first),
            Checksum::EMPTY_DATABASE
        );
    }

    #[test]
    fn without_bit_63_there_is_no_checksum() {
        assert_eq!(Checksum::from_stored(0), None);
        assert_eq!(Checksum::from_stored(u64::MAX >> 1), None);
        assert_eq!(
            Checksum::from_stored(1 << 63),
            Some(Checksum::EMPTY_DATABASE)
        );
    }
}
