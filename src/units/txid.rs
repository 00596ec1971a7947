//! Transaction IDs, ranges of them, and the levels their files stand on.

use std::fmt;
use std::num::NonZeroU64;

/// Transaction ID: the number of one sync of a replica. Starts at 1; zero never appears on storage.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Txid(NonZeroU64);

impl Txid {
    /// The first TXID of every replica.
    pub const FIRST: Txid = Txid(NonZeroU64::MIN);
    /// The last there can be. No replica gets that far.
    pub const LAST: Txid = Txid(NonZeroU64::MAX);

    /// The TXID numbered `number`; none for zero.
    pub fn new(number: u64) -> Option<Txid> {
        NonZeroU64::new(number).map(Txid)
    }

    /// The number itself, 1 or more.
    pub fn value(self) -> u64 {
        self.0.get()
    }

    /// The TXID after this one; none after the last of all.
    pub fn next(self) -> Option<Txid> {
        self.0.checked_add(1).map(Txid)
    }

    /// Reads the 16 lower-case hexadecimal digits that file names and the command line use.
    pub fn from_hex(text: &str) -> Option<Txid> {
        let lower_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 16 || !text.bytes().all(lower_hex) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().and_then(Txid::new)
    }
}

/// As in file names: 16 lower-case hexadecimal digits.
impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The inclusive range of TXIDs that one LTX file covers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TxidRange {
    min: Txid,
    max: Txid,
}

impl TxidRange {
    /// The range from `min` to `max`; none when reversed.
    pub fn new(min: Txid, max: Txid) -> Option<TxidRange> {
        (min <= max).then_some(TxidRange { min, max })
    }

    /// The range of one TXID, as every level-0 file of ours has it.
    pub fn single(txid: Txid) -> TxidRange {
        TxidRange {
            min: txid,
            max: txid,
        }
    }

    /// The range from the first TXID to `max`: that of a snapshot.
    pub fn snapshot(max: Txid) -> TxidRange {
        TxidRange {
            min: Txid::FIRST,
            max,
        }
    }

    /// First TXID covered.
    pub fn min(self) -> Txid {
        self.min
    }

    /// Last TXID covered.
    pub fn max(self) -> Txid {
        self.max
    }

    /// Whether a file of this range holds every page, as the format asks of all that start at TXID 1.
    pub fn is_snapshot(self) -> bool {
        self.min == Txid::FIRST
    }

    /// Whether this range continues a database that stands at `after` (none: an empty one) without a hole
    /// and leads further. Overlap is allowed.
    pub fn continues(self, after: Option<Txid>) -> bool {
        let reached = after.map_or(0, Txid::value);
        self.min.value() <= reached.saturating_add(1) && self.max.value() > reached
    }
}

/// `MIN-MAX` in hexadecimal, as in file names.
impl fmt::Display for TxidRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.min, self.max)
    }
}

/// Level of a file in a replica: 0 for each sync, 1 to 8 for what compaction made of them, 9 for snapshots.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Level(u8);

impl Level {
    /// Where each sync lands.
    pub const SYNC: Level = Level(0);
    /// Where full snapshots stand.
    pub const SNAPSHOT: Level = Level(9);

    /// Level `number`; none above 9.
    pub fn new(number: u8) -> Option<Level> {
        (number <= 9).then_some(Level(number))
    }

    /// The number, 0 to 9.
    pub fn value(self) -> u8 {
        self.0
    }

    /// Every level, lowest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Level> {
        (0..=9).map(Level)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_is_exactly_sixteen_lower_case_digits() {
        assert_eq!(Txid::from_hex("00000000000000ff"), Txid::new(255));
        for bad in [
            "ff",
            "0000000000000000",
            "00000000000000FF",
            "+0000000000000ff",
        ] {
            assert_eq!(Txid::from_hex(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_range_continues_what_it_joins_or_overlaps_and_leads_past() {
        let range = |min, max| TxidRange::new(Txid::new(min).unwrap(), Txid::new(max).unwrap());
        assert_eq!(range(3, 2), None);
        let file = range(3, 5).unwrap();
        assert!(!file.continues(Txid::new(1)));
        assert!(file.continues(Txid::new(2)));
        assert!(file.continues(Txid::new(4)));
        assert!(!file.continues(Txid::new(5)));
        assert!(range(1, 1).unwrap().continues(None));
        assert!(!file.continues(None));
    }
}
