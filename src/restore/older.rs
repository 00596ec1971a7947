//! An older copy of the database, where one is at the output: pages that have not changed since it was made need not be
//! fetched.
//!
//! Nothing says which state it is of, and nothing has to: files are read newest first, and after each of them the
//! database is complete if the pages they gave, with the others as the copy has them, are what the newest file says
//! that the database is (see `ltx::header`). Then those others are copied, as a reflink where the file system can. The
//! copy itself is only read. If it is none, or was written to, nothing ever fits, and the restore is one like any
//! other.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::output::status;
use crate::ltx::Checksum;
use crate::sys::fs::FileSystem;
use crate::units::{PageCount, PageNumber, PageSize};

/// The copy, and what of it the new database still rests on.
pub(super) struct Older {
    path: PathBuf,
    /// Of its pages, as far as the new database has them.
    sums: Vec<Checksum>,
    /// Of those that no file gave yet.
    rest: Checksum,
    /// Pages that no file gave yet, and that the copy does not have.
    beyond: u32,
}

impl Older {
    /// What is at `output`, for a database of `commit` pages; none where it can be no copy of that.
    pub(super) fn look(
        fs: &dyn FileSystem,
        output: &Path,
        page_size: PageSize,
        commit: PageCount,
    ) -> Option<Older> {
        let bytes = u64::from(page_size.bytes());
        let size = status(fs, output).ok()??.size;
        let pages = u32::try_from(size / bytes)
            .unwrap_or(u32::MAX)
            .min(commit.0);
        let mut input = fs.read_from(output, 0).ok()?;
        let mut content = vec![0; page_size.bytes() as usize];
        let mut older = Older {
            path: output.to_path_buf(),
            sums: Vec::new(),
            rest: Checksum::EMPTY_DATABASE,
            beyond: commit.0 - pages,
        };
        for page in PageCount(pages).pages() {
            input.read_exact(&mut content).ok()?;
            if page.value() == 1 && !is_database(&content, page_size) {
                return None;
            }
            let sum = match page == page_size.lock_page() {
                true => Checksum::EMPTY_DATABASE,
                false => Checksum::of_page(page, &content),
            };
            older.sums.push(sum);
            older.rest = older.rest.toggle(sum);
        }
        (pages > 0).then_some(older)
    }

    /// A file gave this page.
    pub(super) fn replaced(&mut self, page: PageNumber) {
        match self.sums.get(page.value() as usize - 1) {
            Some(sum) => self.rest = self.rest.toggle(*sum),
            None => self.beyond -= 1,
        }
    }

    /// Whether pages of the checksum `given` make, with the others as the copy has them, the database `whole`.
    pub(super) fn completes(&self, given: Checksum, whole: Checksum) -> bool {
        self.beyond == 0 && given.toggle(self.rest) == whole
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether `first` may be the first page of a database with such pages.
fn is_database(first: &[u8], page_size: PageSize) -> bool {
    let stored = match page_size.bytes() {
        65536 => 1,
        bytes => bytes,
    };
    first.starts_with(b"SQLite format 3\0") && stored.to_be_bytes()[2..] == first[16..18]
}
