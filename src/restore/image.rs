//! The database being rebuilt: pages put at their places in a file, each once, newest first.

use std::io;

use super::older::Older;
use crate::ltx::Checksum;
use crate::sys::fs::OpenFile;
use crate::units::{PageCount, PageNumber, PageSize};

/// Neighbouring pages are gathered up to so many bytes for one write.
const RUN_BYTES: usize = 256 << 10;

/// A database of a fixed size, in a file that is all zeros at first.
pub(super) struct Image {
    page_size: PageSize,
    commit: PageCount,
    /// One bit a page: whether it has its content.
    have: Vec<u64>,
    /// Content of the pages from `run_start` on, not yet written.
    run: Vec<u8>,
    run_start: u64,
    /// That of the pages there are, if it is wanted.
    checksum: Option<Checksum>,
    /// The file may hold other content than zeros where pages are put.
    over_content: bool,
    /// A copy that may have the pages that are missing.
    older: Option<Older>,
}

impl Image {
    /// A database of `commit` pages, none of them there yet.
    pub(super) fn new(page_size: PageSize, commit: PageCount) -> Image {
        let mut image = Image {
            page_size,
            commit,
            have: vec![0; (commit.0 as usize).div_ceil(64)],
            run: Vec::new(),
            run_start: 0,
            checksum: None,
            over_content: false,
            older: None,
        };
        // The lock page has no content but zeros, which is what the file has there.
        if commit.holds(page_size.lock_page()) {
            image.take(page_size.lock_page());
        }
        image
    }

    /// A database of `commit` pages that is put over an older one: no page counts as there at first.
    pub(super) fn over_another(page_size: PageSize, commit: PageCount) -> Image {
        Image {
            over_content: true,
            ..Image::new(page_size, commit)
        }
    }

    /// A database of which the pages in `have` are there, as [`Image::have`] has told.
    pub(super) fn with(page_size: PageSize, commit: PageCount, have: &[u64]) -> Image {
        let mut image = Image::new(page_size, commit);
        for (word, more) in image.have.iter_mut().zip(have) {
            *word |= more;
        }
        // Pages that the database does not have any more are not there, should it grow again.
        if let (Some(last), used @ 1..) = (image.have.last_mut(), commit.0 % 64) {
            *last &= (1 << used) - 1;
        }
        image
    }

    /// One bit a page: which are there.
    pub(super) fn have(&self) -> &[u64] {
        &self.have
    }

    /// The pages that are there.
    pub(super) fn pages(&self) -> impl Iterator<Item = PageNumber> {
        self.commit.pages().filter(|page| !self.lacks(*page))
    }

    /// Whether a page is missing.
    pub(super) fn lacks(&self, page: PageNumber) -> bool {
        let index = page.value() as usize - 1;
        self.commit.holds(page) && self.have[index / 64] & 1 << (index % 64) == 0
    }

    /// From now on its checksum is computed, that of the pages there are being `checksum`, and an older copy will do
    /// for what is missing as soon as it fits.
    pub(super) fn count_on(&mut self, checksum: Checksum, mut older: Option<Older>) {
        if let Some(older) = &mut older {
            self.pages().for_each(|page| older.replaced(page));
        }
        self.checksum = Some(checksum);
        self.older = older;
    }

    /// Whether there is an older copy.
    pub(super) fn has_older(&self) -> bool {
        self.older.is_some()
    }

    /// The older copy, if with what it has of the missing pages this is the database `whole`.
    pub(super) fn completed_by(&self, whole: Option<Checksum>) -> Option<&Older> {
        let older = self.older.as_ref()?;
        older.completes(self.checksum?, whole?).then_some(older)
    }

    /// Takes all pages for there.
    pub(super) fn complete(&mut self) {
        self.have.fill(u64::MAX);
    }

    /// Puts a page into `file`, unless a newer file gave it already or the database has shrunk below it since.
    pub(super) fn put(
        &mut self,
        file: &mut dyn OpenFile,
        page: PageNumber,
        data: &[u8],
    ) -> io::Result<()> {
        assert_eq!(data.len() as u64, u64::from(self.page_size.bytes()));
        if !self.commit.holds(page) || !self.take(page) {
            return Ok(());
        }
        if let Some(checksum) = &mut self.checksum {
            *checksum = checksum.toggle(Checksum::of_page(page, data));
        }
        if let Some(older) = &mut self.older {
            older.replaced(page);
        }
        // A page of zeros is there already, as a hole: no space, no wear.
        if !self.over_content && data.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let offset = page.offset(self.page_size);
        let end = self.run_start + self.run.len() as u64;
        if offset != end || self.run.len() + data.len() > RUN_BYTES {
            self.flush(file)?;
            self.run_start = offset;
        }
        self.run.extend_from_slice(data);
        Ok(())
    }

    /// Writes what was gathered.
    pub(super) fn flush(&mut self, file: &mut dyn OpenFile) -> io::Result<()> {
        if !self.run.is_empty() {
            file.write_all_at(&self.run, self.run_start)?;
            self.run.clear();
        }
        Ok(())
    }

    /// LTX's checksum of the database, once no page is missing, if it was to be computed.
    pub(super) fn checksum(&self) -> Option<Checksum> {
        self.checksum
    }

    /// The first page that no file gave.
    pub(super) fn missing(&self) -> Option<PageNumber> {
        let word = self.have.iter().position(|&word| word != u64::MAX)?;
        let bit = self.have[word].trailing_ones();
        let number = u32::try_from(word * 64).ok()?.checked_add(bit + 1)?;
        PageNumber::new(number).filter(|page| self.commit.holds(*page))
    }

    /// Marks a page as there; whether it was not.
    fn take(&mut self, page: PageNumber) -> bool {
        let index = page.value() as usize - 1;
        let (word, bit) = (&mut self.have[index / 64], 1 << (index % 64));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_page_is_found() {
        let size = PageSize::new(65536).unwrap();
        for count in [1, 63, 64, 65, 128, 200] {
            let mut image = Image::new(size, PageCount(count));
            for number in 1..=count {
                assert_eq!(image.missing(), PageNumber::new(number));
                assert!(image.take(PageNumber::new(number).unwrap()));
                assert!(!image.take(PageNumber::new(number).unwrap()));
            }
            assert_eq!(image.missing(), None);
        }
    }

    #[test]
    fn the_lock_page_is_never_missing() {
        let size = PageSize::new(65536).unwrap();
        let lock = size.lock_page().value();
        let mut image = Image::new(size, PageCount(lock + 1));
        for number in (1..=lock + 1).filter(|&number| number != lock) {
            assert!(image.missing().is_some());
            image.take(PageNumber::new(number).unwrap());
        }
        assert_eq!(image.missing(), None);
    }
}
