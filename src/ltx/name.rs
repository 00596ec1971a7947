//! Names of LTX files: `MMMMMMMMMMMMMMMM-NNNNNNNNNNNNNNNN.ltx`, the first and last TXID as 16 lower-case
//! hexadecimal digits each. Every other name in a replica is somebody else's, or an upload under way.

use crate::units::{Txid, TxidRange};

/// What every name ends in.
const SUFFIX: &str = ".ltx";

/// The name of the file that covers `txids`.
pub fn file_name(txids: TxidRange) -> String {
    format!("{txids}{SUFFIX}")
}

/// The TXIDs that a file of this name covers; none when the name is not exactly that of an LTX file.
pub fn parse_file_name(name: &str) -> Option<TxidRange> {
    let (min, max) = name.strip_suffix(SUFFIX)?.split_once('-')?;
    TxidRange::new(Txid::from_hex(min)?, Txid::from_hex(max)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        let txids = TxidRange::new(Txid::new(2).unwrap(), Txid::new(u64::MAX).unwrap()).unwrap();
        assert_eq!(file_name(txids), "0000000000000002-ffffffffffffffff.ltx");
        assert_eq!(parse_file_name(&file_name(txids)), Some(txids));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "0000000000000001-0000000000000002",
            "0000000000000001-0000000000000002.ltx.tmp",
            "0000000000000001-000000000000000A.ltx",
            "000000000000001-0000000000000002.ltx",
            "0000000000000002-0000000000000001.ltx",
            "0000000000000000-0000000000000001.ltx",
            "0000000000000001-0000000000000002-0000000000000003.ltx",
            " 0000000000000001-0000000000000002.ltx",
        ] {
            assert_eq!(parse_file_name(name), None, "{name}");
        }
    }
}
