//! SQLite's own files: the only room that knows the WAL, the wal-index and SQLite's locks.
//!
//! # The invariant everything rests on
//!
//! While a [`Follower`] lives, at least one [`View`] of the database is held at any moment. A view is a read
//! transaction, and SQLite represents one by a shared lock on a byte of the `-shm` file (the wal-index):
//! READ(0) to READ(4), bytes 123 to 127. Next to them lie WRITE (120), CKPT (121), RECOVER (122) and
//! DMS (128). Two cases:
//!
//! - The view holds one of READ(1..4). Whoever wants to restart the WAL, that is to begin overwriting it
//!   from the front, and whoever wants to truncate it, needs READ(1..4) exclusively. So no frame of the WAL
//!   can go away.
//! - The view holds READ(0): everything had been written back to the database file when it began, and it
//!   reads that file alone. Whoever wants to write frames back needs READ(0) exclusively. So the WAL may be
//!   restarted under this view once, since everything in it is in the database file already, but the frames
//!   of the new WAL cannot be written back, hence it cannot be restarted again, and they stay until read.
//!
//! The pin never lapses: a newer view is opened, and every frame up to its end is read, before the older one
//! is dropped ([`Follower::advance`]). So every committed frame is seen, whoever checkpoints, in whatever mode.
//!
//! # The files of this room
//!
//! `wal` and `wal_index` are the formats; `files` owns our descriptors and SQLite's connections, because
//! closing any descriptor of these files drops all locks of the process, and `registry` knows which are open;
//! `view` is a pinned state to read pages from, and `frozen` one that can be read for hours; `frames` reads the WAL,
//! `window` through a memory map where that is safe; `follow` slides from view to view; `checkpoint` is the protocol
//! that lets the WAL start over without losing a frame; `wal_stream` reads a WAL that somebody copied. `rollback`
//! writes into a database that is not replicated: a copy that follows.

mod checkpoint;
mod connection;
mod error;
mod files;
mod follow;
mod frames;
mod frozen;
mod header;
mod locks;
mod registry;
mod rollback;
mod view;
mod wal;
mod wal_index;
mod wal_stream;
mod window;

pub use checkpoint::Blocking;
pub use error::SqliteError;
pub use files::{DatabaseFiles, FileMark, OpenOptions};
pub use follow::{Follower, Resume};
pub use frames::{Changes, WalPosition};
pub use frozen::Frozen;
pub use registry::{Probe, probe};
pub use rollback::{Change, InPlace};
pub use view::View;
pub use wal::{FrameNumber, Salts, WalChecksum};
pub use wal_stream::{Succession, WalStart, WalStream};
