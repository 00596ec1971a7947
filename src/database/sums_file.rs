//! The file that page sums are kept in across restarts: one for each destination, beside the state file.
//!
//! ```text
//!  0  8  "WBKSUMS1"                   44  8  checksum of the database
//!  8  8  inode of the database        52  n  location
//! 16  8  TXID                          .. 8  for each page: its checksum, 0 for the lock page
//! 24  8  its time                      .. 8  checksum of all before
//! 32  4  size of a page
//! 36  4  pages
//! 40  4  n
//! ```
//! Integers are big-endian, checksums LTX's. Only sums of which none is unknown are written, and always the whole
//! file. It is a cache: a torn, damaged or foreign one is none, and costs reading the database, or after a gap a full
//! copy. It survives a power cut, for that is when it is needed.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Mark, PageSums, SumsAt};
use crate::ltx::{Checksum, Digest};
use crate::sys::fs::{FileSystem, parent, publish};
use crate::units::{PageCount, PageNumber, PageSize, Timestamp, Txid};

const MAGIC: [u8; 8] = *b"WBKSUMS1";
const LOCK_PAGE: u64 = 0;

/// The file of one destination.
pub struct SumsFile {
    fs: Arc<dyn FileSystem>,
    path: PathBuf,
    location: String,
}

impl SumsFile {
    /// The file for the destination `location`, in directory `meta`, which is created when first needed.
    pub fn new(fs: Arc<dyn FileSystem>, meta: &Path, location: &str) -> SumsFile {
        let mut digest = Digest::new();
        digest.update(location.as_bytes());
        SumsFile {
            fs,
            path: meta.join(format!("walbrook-sums-{}", digest.finish())),
            location: location.to_string(),
        }
    }

    /// The sums of the database file `inode`, if there are any.
    pub fn load(&self, inode: u64) -> Option<SumsAt> {
        let file = self.fs.read_from(&self.path, 0).ok()?;
        let mut input = Summed::new(BufReader::new(file));
        self.read(inode, &mut input).ok()
    }

    fn read(&self, inode: u64, input: &mut Summed<impl Read>) -> io::Result<SumsAt> {
        let is = |holds: bool| holds.then_some(()).ok_or(io::ErrorKind::InvalidData);
        is(input.take()? == MAGIC && input.u64()? == inode)?;
        let txid = Txid::new(input.u64()?);
        let time = Timestamp::from_millis(input.u64()?.cast_signed());
        let page_size = PageSize::new(input.u32()?).ok_or(io::ErrorKind::InvalidData)?;
        let pages = PageCount(input.u32()?);
        is(PageSums::are_kept(pages) && input.u32()? as usize == self.location.len())?;
        let total = Checksum::from_stored(input.u64()?);
        let mut location = vec![0; self.location.len()];
        input.fill(&mut location)?;
        is(location == self.location.as_bytes())?;
        let mut sums = PageSums::unknown(page_size, pages);
        for number in 1..=pages.0 {
            let sum = Checksum::from_stored(input.u64()?);
            if let Some((page, sum)) = PageNumber::new(number).zip(sum) {
                sums.set(page, sum);
            }
        }
        let digest = input.digest.clone().finish();
        is(input.u64()? == digest.value() && input.is_at_end()?)?;
        is(sums.database().is_some() && sums.database() == total)?;
        let txid = txid.ok_or(io::ErrorKind::InvalidData)?;
        let mut found = SumsAt::new(Mark { txid, time }, sums);
        found.are_on_disk();
        Ok(found)
    }

    /// Writes the sums of the database file `inode` in place of what was there, unless one of them is not known. Gives
    /// whether it did.
    ///
    /// # Errors
    /// When the disk refuses; what was there before is still there, or already the whole new file.
    pub fn save(&self, inode: u64, sums: &SumsAt) -> io::Result<bool> {
        let Some(total) = sums.sums.database() else {
            return Ok(false);
        };
        self.fs.create_directories(parent(&self.path))?;
        let temporary = self.path.with_extension("tmp");
        let mut file = self.fs.create(&temporary)?;
        let mut out = Summed::new(BufWriter::new(&mut file));
        out.put(&MAGIC)?;
        out.put(&inode.to_be_bytes())?;
        out.put(&sums.at.txid.value().to_be_bytes())?;
        out.put(&sums.at.time.millis().to_be_bytes())?;
        out.put(&sums.sums.page_size().bytes().to_be_bytes())?;
        let pages = sums.sums.pages();
        out.put(&pages.0.to_be_bytes())?;
        let length = u32::try_from(self.location.len()).map_err(io::Error::other)?;
        out.put(&length.to_be_bytes())?;
        out.put(&total.value().to_be_bytes())?;
        out.put(self.location.as_bytes())?;
        for page in (1..=pages.0).filter_map(PageNumber::new) {
            let sum = sums.sums.get(page).map_or(LOCK_PAGE, Checksum::value);
            out.put(&sum.to_be_bytes())?;
        }
        let digest = out.digest.clone().finish();
        out.put(&digest.value().to_be_bytes())?;
        out.inner.flush()?;
        drop(out);
        publish(&*self.fs, file, &temporary, &self.path)?;
        Ok(true)
    }
}

/// A stream with the checksum of what has passed.
struct Summed<T> {
    inner: T,
    digest: Digest,
}

impl<T> Summed<T> {
    fn new(inner: T) -> Summed<T> {
        Summed {
            inner,
            digest: Digest::new(),
        }
    }
}

impl<T: Write> Summed<T> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.inner.write_all(bytes)
    }
}

impl<T: Read> Summed<T> {
    fn fill(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        self.inner.read_exact(bytes)?;
        self.digest.update(bytes);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn is_at_end(&mut self) -> io::Result<bool> {
        Ok(self.inner.read(&mut [0])? == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{DestinationState, PageSet};
    use super::*;
    use crate::sys::fs::SystemFiles;

    const INODE: u64 = 1_048_602;
    const LOCATION: &str = "file:///backup/app";

    fn sums(page_size: u32, pages: u32) -> SumsAt {
        let page_size = PageSize::new(page_size).unwrap();
        let mut sums = PageSums::unknown(page_size, PageCount(pages));
        for page in (1..=pages).filter_map(PageNumber::new) {
            sums.set(page, Checksum::of_page(page, b"content"));
        }
        let at = Mark {
            txid: Txid::new(66).unwrap(),
            time: Timestamp::from_millis(-5),
        };
        SumsAt::new(at, sums)
    }

    struct Meta(PathBuf);

    impl Meta {
        fn new() -> Meta {
            let name = format!("sums-{}", crate::sys::random::unique());
            Meta(std::env::temp_dir().join(name))
        }

        fn file(&self, location: &str) -> SumsFile {
            SumsFile::new(Arc::new(SystemFiles), &self.0, location)
        }
    }

    impl Drop for Meta {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_saved_is_loaded_for_its_own_database_and_replica_alone() {
        let meta = Meta::new();
        let file = meta.file(LOCATION);
        assert_eq!(file.load(INODE), None);
        for (size, pages) in [(4096, 3), (512, 100), (65536, 16_390)] {
            let mut saved = sums(size, pages);
            assert!(file.save(INODE, &saved).unwrap());
            saved.are_on_disk();
            assert_eq!(file.load(INODE), Some(saved));
            assert_eq!(file.load(INODE + 1), None);
            assert_eq!(meta.file("file:///elsewhere").load(INODE), None);
        }
        let other = meta.file("file:///elsewhere");
        assert_eq!(std::fs::read_dir(&meta.0).unwrap().count(), 1);
        std::fs::copy(&file.path, &other.path).unwrap();
        assert_eq!(other.load(INODE), None, "by its name alone");
    }

    #[test]
    fn sums_that_are_not_all_known_are_not_written() {
        let meta = Meta::new();
        let mut partial = sums(4096, 3);
        partial.sums.forget(PageNumber::FIRST);
        assert!(!meta.file(LOCATION).save(INODE, &partial).unwrap());
        assert!(!meta.0.exists());
    }

    #[test]
    fn torn_damaged_or_longer_is_none() {
        let meta = Meta::new();
        let file = meta.file(LOCATION);
        file.save(INODE, &sums(4096, 5)).unwrap();
        let whole = std::fs::read(&file.path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file.path, &whole[..length]).unwrap();
            assert_eq!(file.load(INODE), None, "cut to {length}");
        }
        for bit in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&file.path, &damaged).unwrap();
            assert_eq!(file.load(INODE), None, "bit {bit}");
        }
        std::fs::write(&file.path, [&whole[..], &[0]].concat()).unwrap();
        assert_eq!(file.load(INODE), None);
        std::fs::write(&file.path, &whole).unwrap();
        assert!(file.load(INODE).is_some());
    }

    proptest! {
        #[test]
        fn what_was_remembered_makes_the_sums_of_a_later_txid(
            steps in proptest::collection::vec(
                (1..12_u32, proptest::collection::vec((1..12_u32, any::<u64>()), 0..6)), 0..8,
            ),
        ) {
            let mut saved = sums(512, 6);
            saved.are_on_disk();
            let mut now = saved.clone();
            for (commit, changes) in steps {
                let mut pages = PageSet::default();
                let before = now.sums.pages().0;
                let grown = (before + 1..=commit).filter_map(PageNumber::new);
                let changed = changes.iter().filter_map(|(number, _)| PageNumber::new(*number));
                changed.chain(grown).for_each(|page| pages.insert(page));
                let content = changes.iter().map(|(_, content)| *content).next().unwrap_or(0);
                let new: Vec<_> = pages
                    .iter()
                    .take_while(|page| PageCount(commit).holds(*page))
                    .map(|page| Checksum::of_page(page, &content.to_be_bytes()))
                    .collect();
                let at = Mark { txid: now.at.txid.next().unwrap(), ..now.at };
                now.advance(at, PageCount(commit), &pages, &new);
                prop_assert!(now.sums.database().is_some());
            }
            let state = DestinationState {
                location: LOCATION.to_string(),
                acked: now.at,
                dirty: PageSet::default(),
                under_way: false,
                levels: Vec::new(),
                sums: now.state(),
            };
            let moved = saved.clone().at_start(Some(&state), false).unwrap();
            prop_assert_eq!(moved.sums.pages(), now.sums.pages());
            for page in (1..=now.sums.pages().0).filter_map(PageNumber::new) {
                let known = moved.sums.get(page);
                prop_assert!(known.is_none() || known == now.sums.get(page));
                let changed = now.on_disk().unwrap().changed.contains(page);
                prop_assert_eq!(known.is_none(), changed);
            }
            prop_assert_eq!(moved.state(), now.state());
            if now.at != saved.at {
                let other = DestinationState { sums: None, ..state };
                prop_assert_eq!(saved.clone().at_start(Some(&other), false), None);
                prop_assert_eq!(saved.clone().at_start(Some(&other), true), Some(saved));
            }
        }
    }
}
