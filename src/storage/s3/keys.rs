//! Names of objects: `<path>/<level as 4 hexadecimal digits>/<min>-<max>.ltx`, as Litestream writes them. Without a
//! path that leads to the odd `/0000/…`, and with the `.` that Litestream makes of `s3://BUCKET` to `./0000/…`.

use crate::ltx::name::{file_name, parse_file_name};
use crate::storage::FileName;
use crate::units::Level;

/// The object of the file `name` in the replica at `path`.
pub(super) fn key(path: &str, name: FileName) -> String {
    format!(
        "{}{}",
        level_prefix(path, name.level),
        file_name(name.txids)
    )
}

/// The object that says who writes to the replica at `path`. It is no LTX file, and in no level.
pub(super) fn claim(path: &str) -> String {
    format!("{path}/walbrook-writer")
}

/// What the objects of a level begin with.
pub(super) fn level_prefix(path: &str, level: Level) -> String {
    format!("{path}/{:04x}/", level.value())
}

/// What the objects of all levels begin with, and few others: levels have one digit.
pub(super) fn levels_prefix(path: &str) -> String {
    format!("{path}/000")
}

/// What stands before the names of files of Litestream 0.3, whose keys had no odd beginnings, and before those of other
/// replicas below the path.
pub(super) fn top(path: &str) -> String {
    match path {
        "" | "." => String::new(),
        _ => format!("{path}/"),
    }
}

/// Whether the names below `path` are odd ones. Not every server keeps them as they are: some take the slash in front
/// or the dot away, and then nothing is found where it was stored.
pub(super) fn are_odd(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "" | "." | ".."))
}

/// The file that the object `key` is; none if it is no LTX file.
pub(super) fn parse(path: &str, key: &str) -> Option<FileName> {
    let (level, name) = key.strip_prefix(path)?.strip_prefix('/')?.split_once('/')?;
    let level = Level::all().find(|known| format!("{:04x}", known.value()) == level)?;
    Some(FileName {
        level,
        txids: parse_file_name(name)?,
    })
}

/// Whether the object `key` stands in a level of the replica at `path`, file or not.
pub(super) fn is_in_level(path: &str, key: &str) -> bool {
    Level::all().any(|level| key.starts_with(&level_prefix(path, level)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Txid, TxidRange};

    #[test]
    fn keys_are_litestreams() {
        let txid = |number| Txid::new(number).unwrap();
        let name = FileName {
            level: Level::new(9).unwrap(),
            txids: TxidRange::new(txid(1), txid(26)).unwrap(),
        };
        for (path, expected) in [
            ("a/b", "a/b/0009/0000000000000001-000000000000001a.ltx"),
            ("", "/0009/0000000000000001-000000000000001a.ltx"),
            (".", "./0009/0000000000000001-000000000000001a.ltx"),
        ] {
            assert_eq!(key(path, name), expected);
            assert_eq!(parse(path, expected), Some(name));
            assert!(is_in_level(path, expected));
        }
        for foreign in [
            "a/b/9/0000000000000001-000000000000001a.ltx",
            "a/b/000a/0000000000000001-000000000000001a.ltx",
            "a/b/0009/0000000000000001-000000000000001a.ltx/x",
            "a/c/0009/0000000000000001-000000000000001a.ltx",
            "a/b/0009/x",
        ] {
            assert_eq!(parse("a/b", foreign), None, "{foreign}");
        }
        assert!(is_in_level("a/b", "a/b/0009/x"));
        assert!(!is_in_level("a/b", "a/b/0009x"));
        for (path, odd) in [
            ("", true),
            (".", true),
            ("a", false),
            ("a//b", true),
            ("/a", true),
            ("a.b/c", false),
        ] {
            assert_eq!(are_odd(path), odd, "{path}");
        }
    }
}
