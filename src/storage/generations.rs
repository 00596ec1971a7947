//! Files of Litestream 0.3, whose replicas are not made of LTX files: now and then the whole database, and between
//! two of those all of the WAL, in segments. Each file is one LZ4 frame.
//!
//! ```text
//! generations/<16 hex>/snapshots/<index, 8 hex>.snapshot.lz4
//! generations/<16 hex>/wal/<index, 8 hex>_<offset, 8 to 16 hex>.wal.lz4
//! ```
//!
//! A generation is a stretch of time in which nothing of the WAL was missed. Its WALs have indexes that grow by one;
//! the offset is that of a segment's first byte in its WAL. To the snapshot of an index the WAL of that index is
//! applied, from its beginning, and those after it.

use std::fmt;

use super::StorageError;
use crate::sys::fs::Entry;
use crate::units::Timestamp;

/// What the names of all of these files begin with.
pub(super) const FOLDER: &str = "generations";

/// Names one file of a replica of Litestream 0.3. They are ordered by generation, index and offset.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct GenerationName {
    /// The generation, a random number.
    pub generation: u64,
    /// Which WAL it is of.
    pub index: u32,
    /// Which part of it.
    pub part: GenerationPart,
}

/// What a file of Litestream 0.3 holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum GenerationPart {
    /// The database, as it was before the WAL of this index, or in the course of it.
    Snapshot,
    /// A part of the WAL.
    Segment {
        /// Where it begins, in bytes.
        offset: u64,
        /// With how many digits that stands in the name.
        digits: u8,
    },
}

impl GenerationName {
    /// The file that this path below the replica names, if it is one.
    pub(super) fn parse(path: &str) -> Option<GenerationName> {
        let mut parts = path.split('/');
        if parts.next() != Some(FOLDER) {
            return None;
        }
        let generation = hex(parts.next()?, 16..=16)?;
        let (folder, file) = (parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let (index, part) = match folder {
            "snapshots" => (
                file.strip_suffix(".snapshot.lz4")?,
                GenerationPart::Snapshot,
            ),
            "wal" => {
                let (index, offset) = file.strip_suffix(".wal.lz4")?.split_once('_')?;
                let digits = offset.len() as u8;
                let offset = hex(offset, 8..=16)?;
                (index, GenerationPart::Segment { offset, digits })
            }
            _ => return None,
        };
        Some(GenerationName {
            generation,
            index: hex(index, 8..=8)? as u32,
            part,
        })
    }

    /// Whether it is a whole database.
    pub fn is_snapshot(self) -> bool {
        self.part == GenerationPart::Snapshot
    }
}

/// The path below the replica.
impl fmt::Display for GenerationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (generation, index) = (self.generation, self.index);
        match self.part {
            GenerationPart::Snapshot => write!(
                f,
                "{FOLDER}/{generation:016x}/snapshots/{index:08x}.snapshot.lz4"
            ),
            GenerationPart::Segment { offset, digits } => write!(
                f,
                "{FOLDER}/{generation:016x}/wal/{index:08x}_{offset:0digits$x}.wal.lz4",
                digits = usize::from(digits)
            ),
        }
    }
}

/// One file of Litestream 0.3 in a listing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GenerationFile {
    /// Its name.
    pub name: GenerationName,
    /// Size in bytes.
    pub size: u64,
    /// The time it was stored.
    pub created: Timestamp,
}

/// Whether a directory of this name is one of a generation.
pub(super) fn is_generation(name: &str) -> bool {
    hex(name, 16..=16).is_some()
}

/// The files in these generations, the names of directories, as `list` gives the files of a directory below the
/// replica; one that does not exist has none. For storages that have directories.
pub(super) fn find(
    generations: Vec<String>,
    list: &mut dyn FnMut(&str) -> Result<Vec<Entry>, StorageError>,
) -> Result<Vec<GenerationFile>, StorageError> {
    let mut files = Vec::new();
    for generation in generations {
        for folder in ["snapshots", "wal"] {
            let directory = format!("{FOLDER}/{generation}/{folder}");
            files.extend(list(&directory)?.into_iter().filter_map(|entry| {
                Some(GenerationFile {
                    name: GenerationName::parse(&format!("{directory}/{}", entry.name))?,
                    size: entry.size,
                    created: entry.modified,
                })
            }));
        }
    }
    Ok(files)
}

/// Lower case only, as Litestream writes and reads them.
fn hex(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if !length.contains(&text.len()) || !text.bytes().all(is_digit) {
        return None;
    }
    u64::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_litestreams() {
        let (generation, index) = (0x0123_4567_89ab_cdef, 0x1f);
        let segment = |offset, digits| GenerationPart::Segment { offset, digits };
        for (path, part) in [
            (
                "generations/0123456789abcdef/snapshots/0000001f.snapshot.lz4",
                GenerationPart::Snapshot,
            ),
            (
                "generations/0123456789abcdef/wal/0000001f_00001038.wal.lz4",
                segment(0x1038, 8),
            ),
            (
                "generations/0123456789abcdef/wal/0000001f_0000000000001038.wal.lz4",
                segment(0x1038, 16),
            ),
        ] {
            let name = GenerationName {
                generation,
                index,
                part,
            };
            assert_eq!(GenerationName::parse(path), Some(name));
            assert_eq!(name.to_string(), path);
        }
        for foreign in [
            "",
            "generations",
            "generations/0123456789abcdef",
            "generations/0123456789ABCDEF/snapshots/0000001f.snapshot.lz4",
            "generations/123456789abcdef/snapshots/0000001f.snapshot.lz4",
            "generations/0123456789abcdef/snapshots/0000001f.snapshot.lz4.tmp",
            "generations/0123456789abcdef/snapshots/1f.snapshot.lz4",
            "generations/0123456789abcdef/snapshots/+000001f.snapshot.lz4",
            "generations/0123456789abcdef/snapshots/x/0000001f.snapshot.lz4",
            "generations/0123456789abcdef/wal/0000001f.wal.lz4",
            "generations/0123456789abcdef/wal/0000001f_1038.wal.lz4",
            "generations/0123456789abcdef/wal/0000001f_00000000000001038.wal.lz4",
            "generations/0123456789abcdef/other/0000001f.snapshot.lz4",
            "ltx/0123456789abcdef/snapshots/0000001f.snapshot.lz4",
        ] {
            assert_eq!(GenerationName::parse(foreign), None, "{foreign}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_parsed_is_written_the_same(
            folder in "generations/[0-9a-f]{16}/(wal|snapshots)",
            file in "[0-9a-f]{8}(_[0-9a-f]{7,17})?\\.(wal|snapshot)\\.lz4",
        ) {
            let path = format!("{folder}/{file}");
            if let Some(name) = GenerationName::parse(&path) {
                proptest::prop_assert_eq!(name.to_string(), path);
            }
        }
    }
}
