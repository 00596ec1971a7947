//! One page of a database as a restore would have it, without the rest: of the planned files the newest that has it
//! gives it. Read are the header of the newest file, page indexes, and the page itself.

use super::error::RestoreError;
use super::plan::Target;
use super::plan_from;
use super::replan::Replans;
use crate::storage::{FileInfo, FileName, Storage, fetch_header, fetch_page, fetch_page_index};
use crate::units::{PageNumber, Txid};

/// A page.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Page {
    /// Its bytes, as many as the database's pages have.
    pub content: Box<[u8]>,
    /// The state it is of.
    pub txid: Txid,
    /// The file it was read from; none for the lock page, which is all zeros and in no file.
    pub file: Option<FileName>,
}

/// Reads `page` as it is in the state `target`.
///
/// # Errors
/// When the state cannot be reached, does not have the page, or what is read of it is damaged. The files are not read
/// whole, so damage elsewhere in them is not found.
pub fn fetch(
    storage: &dyn Storage,
    target: Target,
    page: PageNumber,
) -> Result<Page, RestoreError> {
    let anew = || plan_from(storage, target);
    let mut replans = Replans::new(&[]);
    let mut plan = anew()?;
    loop {
        match find(storage, &plan.files, page) {
            Ok(found) => return Ok(found),
            Err(error) => plan = replans.after(error, &plan, &anew)?,
        }
    }
}

/// Reads `page` from the newest of `files` that has it.
fn find(storage: &dyn Storage, files: &[FileInfo], page: PageNumber) -> Result<Page, RestoreError> {
    let newest = files.last().ok_or(RestoreError::NothingPlanned)?;
    let of_piece = |file: &FileInfo, error| RestoreError::of_piece(file.name, error);
    let header = fetch_header(storage, newest).map_err(|error| of_piece(newest, error))?;
    let txid = newest.name.txids.max();
    if !header.commit.holds(page) {
        return Err(RestoreError::BeyondEnd {
            page,
            pages: header.commit,
            txid,
        });
    }
    if page == header.page_size.lock_page() {
        return Ok(Page {
            content: vec![0; header.page_size.bytes() as usize].into(),
            txid,
            file: None,
        });
    }
    for file in files.iter().rev() {
        let index =
            fetch_page_index(storage, file, u64::MAX).map_err(|error| of_piece(file, error))?;
        let entry = index.and_then(|index| index.find(page));
        if let Some(entry) = entry {
            let content = fetch_page(storage, file.name, entry, header.page_size);
            return Ok(Page {
                content: content.map_err(|error| of_piece(file, error))?,
                txid,
                file: Some(file.name),
            });
        }
    }
    Err(RestoreError::MissingPage { page })
}
