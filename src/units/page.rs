//! Pages of a SQLite database: their numbers, how many there are, how large they are.

use std::fmt;
use std::num::NonZeroU32;

/// Offset of the byte SQLite locks on (1 GiB). The page that holds it, the lock page, never has content.
const PENDING_BYTE: u64 = 0x4000_0000;

/// Number of a page, counted from 1 as SQLite does.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PageNumber(NonZeroU32);

impl PageNumber {
    /// The page with SQLite's database header.
    pub const FIRST: PageNumber = PageNumber(NonZeroU32::MIN);

    /// The page numbered `number`; none for zero, which is no page.
    pub fn new(number: u32) -> Option<PageNumber> {
        NonZeroU32::new(number).map(PageNumber)
    }

    /// The number itself, 1 or more.
    pub fn value(self) -> u32 {
        self.0.get()
    }

    /// Offset in bytes of this page in a database file.
    pub fn offset(self, size: PageSize) -> u64 {
        u64::from(self.value() - 1) * u64::from(size.bytes())
    }
}

impl fmt::Display for PageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Size of a database in pages. Zero is an empty database.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PageCount(pub u32);

impl PageCount {
    /// Whether a database of this many pages has page `page`.
    pub fn holds(self, page: PageNumber) -> bool {
        page.value() <= self.0
    }

    /// The pages of such a database, in order.
    pub fn pages(self) -> impl Iterator<Item = PageNumber> {
        (1..=self.0).map_while(PageNumber::new)
    }

    /// Size in bytes of a database of this many pages.
    pub fn bytes(self, size: PageSize) -> u64 {
        u64::from(self.0) * u64::from(size.bytes())
    }
}

impl fmt::Display for PageCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Size of a page in bytes: a power of two from 512 to 65536.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PageSize(u32);

impl PageSize {
    /// A page size of `bytes`; none for a size SQLite does not have.
    pub fn new(bytes: u32) -> Option<PageSize> {
        ((512..=65536).contains(&bytes) && bytes.is_power_of_two()).then_some(PageSize(bytes))
    }

    /// The size in bytes.
    pub fn bytes(self) -> u32 {
        self.0
    }

    /// The page that holds the byte SQLite locks on, at 1 GiB: never stored in an LTX file, zeros in a database.
    pub fn lock_page(self) -> PageNumber {
        let number = (PENDING_BYTE / u64::from(self.0)) as u32 + 1;
        PageNumber::new(number).expect("one more than a quotient is not zero")
    }
}

impl fmt::Display for PageSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_page_of_each_page_size() {
        let expected = [
            (512, 2_097_153),
            (1024, 1_048_577),
            (4096, 262_145),
            (65536, 16_385),
        ];
        for (bytes, lock_page) in expected {
            assert_eq!(PageSize::new(bytes).unwrap().lock_page().value(), lock_page);
        }
    }

    #[test]
    fn only_sqlites_page_sizes_exist() {
        let sizes: Vec<u32> = (0..=131_072)
            .filter(|&n| PageSize::new(n).is_some())
            .collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]);
    }
}
