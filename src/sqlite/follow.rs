//! Follows a database from view to view without ever letting go of it.
//!
//! The order in [`Follower::advance`] is what no frame is lost by: open the newer view, read every frame up to
//! its end, and only then drop the older one. A restarted WAL is followed only where the older view read the
//! database file alone, since only then can the WAL have been restarted under it (see the top of this room).

use std::sync::Arc;

use super::files::DatabaseFiles;
use super::frames::{FrameMap, FrameReader, lost};
use super::view::{Pin, View, shape};
use super::window::Access;
use super::{Changes, FrameNumber, Salts, SqliteError, WalChecksum, WalPosition};

/// How a start relates to what was known before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Resume {
    /// The WAL is the same and the position is in it: the changes since have been told.
    Continued,
    /// What changed cannot be told from the WAL, for the reason given.
    Gap(&'static str),
}

/// Follows one open database.
pub struct Follower {
    pub(super) files: Arc<DatabaseFiles>,
    pub(super) view: Arc<View>,
    frames: Arc<FrameMap>,
    position: WalPosition,
    unrecoverable: bool,
    commits: u64,
}

impl Follower {
    /// Begins to follow a database, from `remembered` on if the WAL still allows it. Tells `changes` what has
    /// changed since; after a [`Resume::Gap`] what it told means nothing.
    ///
    /// # Errors
    /// When no view can be had. Nothing was changed.
    pub fn start(
        files: Arc<DatabaseFiles>,
        remembered: Option<WalPosition>,
        changes: &mut dyn Changes,
    ) -> Result<(Follower, Resume), SqliteError> {
        files.check_unmoved()?;
        let pin = Pin::take(&files)?;
        let (_, pages) = shape(&pin, &files)?;
        let header = pin.header;
        let end = WalPosition {
            salts: header.salts,
            frame: header.max_frame,
            checksum: header.checksum,
            pages,
        };
        let (mut frames, mut checksum) = (FrameMap::default(), end.checksum);
        let resume = match remembered {
            None => Resume::Gap("no position is remembered"),
            // A WAL that was empty when it was recovered has no salts yet, and every empty one looks the same.
            Some(at) if at.salts == Salts::ZERO => {
                Resume::Gap("the WAL was empty, and so says nothing of what came before it")
            }
            Some(at) if at.salts != end.salts => Resume::Gap("the WAL is another one"),
            Some(at) if at.frame > end.frame => Resume::Gap("the WAL has lost its tail"),
            // A WAL without new frames needs no reading.
            Some(at)
                if at.frame == end.frame && (at.frame.0 == 0 || at.checksum == end.checksum) =>
            {
                Resume::Continued
            }
            Some(at) => match read_through(&files, &pin, at, &mut frames, changes) {
                Ok((resume, read)) => {
                    checksum = read;
                    resume
                }
                // Under a view of the file alone the WAL may be restarted, and cut, while it is read. No harm
                // but a gap.
                Err(SqliteError::Lost { .. } | SqliteError::Truncated(_)) if pin.file_only => {
                    Resume::Gap(RESTARTED)
                }
                Err(error) => return Err(error),
            },
        };
        if !pin.file_only && frames.is_empty() {
            let mut reader = FrameReader::begin(&files, end.salts, pages)?;
            reader.read_to(end.frame, Access::Copied, &mut frames, &mut Ignored)?;
            checksum = reader.position().checksum;
        }
        let resume = match files.wal_index()? {
            // Only a view of the file alone lets others restart the WAL, and then not all that was read was
            // of the WAL it began with.
            Some(now) if now.salts == end.salts => resume,
            _ if !pin.file_only => resume,
            _ => Resume::Gap(RESTARTED),
        };
        let unrecoverable = !pin.file_only && checksum != end.checksum;
        if unrecoverable {
            warn_unrecoverable(&files);
        }
        let frames = Arc::new(frames);
        let follower = Follower {
            view: Arc::new(View::new(pin, &frames)?),
            files,
            frames,
            position: end,
            unrecoverable,
            commits: 0,
        };
        Ok((follower, resume))
    }

    /// The newest view. Every frame up to its end has been read and told.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Where in the WAL the newest view ends.
    pub fn position(&self) -> WalPosition {
        self.position
    }

    /// The files followed.
    pub fn files(&self) -> &Arc<DatabaseFiles> {
        &self.files
    }

    /// Frames in the WAL up to the newest view.
    pub fn frames(&self) -> FrameNumber {
        self.view.max_frame()
    }

    /// How many times new commits have been met. Only its changes mean something.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether everything of the newest view stands in the database file, so that the application's next
    /// write starts the WAL over.
    pub fn at_rest(&self) -> bool {
        self.view.at_rest()
    }

    /// Whether everything stands in the database file, but the view may hold a lock that a checkpointer waits
    /// for: it is to slide on soon, whether or not anything happens.
    pub fn is_in_the_way(&self) -> bool {
        self.view.file_only() && !self.view.at_rest()
    }

    /// Whether the WAL holds commits that SQLite would not recover after a crash. They are replicated; a
    /// checkpoint makes them safe locally.
    pub fn has_unrecoverable_frames(&self) -> bool {
        self.unrecoverable
    }

    /// Slides to the newest state, if there is one: opens its view, reads every frame up to its end and tells
    /// `changes`, and then drops the older view. Also slides when everything has been written back since,
    /// so that the application's own checkpoints find no read lock of ours in their way.
    ///
    /// # Errors
    /// [`SqliteError::Lost`] when the WAL does not continue from the older view, which stays; others when
    /// the files have been replaced or the system fails. What was told up to then remains right.
    pub fn advance(&mut self, changes: &mut dyn Changes) -> Result<(), SqliteError> {
        self.files.check_unmoved()?;
        self.advance_without_name(changes)
    }

    /// As [`Follower::advance`], for a database that has been deleted ([`DatabaseFiles::is_deleted`]): whoever still
    /// writes to it does so in the files that are open here.
    ///
    /// # Errors
    /// The same.
    pub fn advance_without_name(&mut self, changes: &mut dyn Changes) -> Result<(), SqliteError> {
        if let Some(now) = self.files.wal_index()?
            && now == *self.view.header()
            && (self.view.at_rest() || self.files.backfilled()? < now.max_frame)
        {
            return Ok(());
        }
        self.slide(changes)
    }

    /// As [`Follower::advance`], but takes a fresh view in any case.
    pub(super) fn slide(&mut self, changes: &mut dyn Changes) -> Result<(), SqliteError> {
        let pin = Pin::take(&self.files)?;
        self.read_up_to(&pin, changes)?;
        // The older view goes only here.
        self.view = Arc::new(View::new(pin, &self.frames)?);
        Ok(())
    }

    fn read_up_to(&mut self, pin: &Pin, changes: &mut dyn Changes) -> Result<(), SqliteError> {
        let header = &pin.header;
        if pin.file_only {
            self.unrecoverable = false;
        }
        let same_wal =
            header.salts == self.position.salts && header.max_frame >= self.position.frame;
        if !same_wal {
            if !self.view.file_only() {
                return Err(lost(&self.files, "the WAL was restarted under a read lock"));
            }
            self.unrecoverable = false;
            Arc::make_mut(&mut self.frames).clear();
            self.position = WalPosition {
                salts: header.salts,
                frame: FrameNumber(0),
                ..self.position
            };
        }
        let begin = self.position.frame;
        if begin == header.max_frame {
            return match begin.0 == 0 || self.position.checksum == header.checksum {
                true => Ok(()),
                false => Err(lost(&self.files, REWRITTEN)),
            };
        }
        if pin.file_only {
            // Cannot be while the invariant holds: unread frames are never written back under our view.
            return Err(lost(
                &self.files,
                "frames were written back before they were read",
            ));
        }
        let Some(page_size) = header.page_size else {
            return Err(lost(&self.files, "the wal-index knows no page size"));
        };
        if page_size != self.view.page_size() {
            return Err(lost(&self.files, "the page size has changed"));
        }
        let mut reader = FrameReader::resume(&self.files, page_size, header.order, self.position)?;
        let frames = Arc::make_mut(&mut self.frames);
        // The pin holds one of READ(1..4): nothing can truncate the WAL.
        reader.read_to(header.max_frame, Access::Mapped, frames, changes)?;
        if reader.position().checksum != header.checksum {
            // Committed without checksums, or not the frames that followed ours: a recovery that lost commits
            // counts anew, and then the frames since are too few, or its count is.
            let counted = header.commits_since(self.view.header());
            if begin.0 > 0 && !(1..=reader.commits()).contains(&counted) {
                return Err(lost(&self.files, REWRITTEN));
            }
            reader.adopt_checksum(header.checksum);
            if !std::mem::replace(&mut self.unrecoverable, true) {
                warn_unrecoverable(&self.files);
            }
        }
        self.position = reader.position();
        self.commits += 1;
        Ok(())
    }
}

const RESTARTED: &str = "the WAL was restarted while it was read";
const REWRITTEN: &str = "the WAL was recovered, and has other frames than before";

fn warn_unrecoverable(files: &DatabaseFiles) {
    log::warn!(
        "{}: the application's SQLite commits frames that it would not recover after a crash (a bug in \
         releases before 3.42); they are replicated, and written back at once",
        files.path().display()
    );
}

/// Reads the whole WAL of `pin` into `frames`, and tells `changes` what changed after `at`, if the WAL's
/// checksum chain runs through it. Gives the checksum at its end, too.
fn read_through(
    files: &DatabaseFiles,
    pin: &Pin,
    at: WalPosition,
    frames: &mut FrameMap,
    changes: &mut dyn Changes,
) -> Result<(Resume, WalChecksum), SqliteError> {
    let mut reader = FrameReader::begin(files, at.salts, at.pages)?;
    reader.read_to(at.frame, Access::Copied, frames, &mut Ignored)?;
    if at.frame.0 > 0 && reader.position().checksum != at.checksum {
        reader.read_to(pin.header.max_frame, Access::Copied, frames, &mut Ignored)?;
        let gap = Resume::Gap("the WAL has other frames than remembered");
        return Ok((gap, reader.position().checksum));
    }
    let mut reader = FrameReader::resume(files, reader.page_size(), pin.header.order, at)?;
    reader.read_to(pin.header.max_frame, Access::Copied, frames, changes)?;
    Ok((Resume::Continued, reader.position().checksum))
}

/// For frames that are read for their places alone.
struct Ignored;

impl Changes for Ignored {
    fn changed(&mut self, _: crate::units::PageNumber, _: crate::units::PageNumber) {}
}
