//! SQLite's locks, without SQLite: asks who holds one, and takes those of a writer in rollback mode.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Byte of the `-shm` file that whoever checkpoints holds.
const CHECKPOINT_BYTE: i64 = 121;

/// Whether another process is checkpointing the database of `shm`, or waiting to: then a view of ours may be
/// what it waits for. Locks of this process never count.
pub(super) fn checkpoint_by_another(shm: &File) -> io::Result<bool> {
    // SAFETY: all-zero bytes are a valid `flock`, a struct of integers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = CHECKPOINT_BYTE as libc::off_t;
    lock.l_len = 1;
    // SAFETY: the descriptor is open as long as `shm` lives, and F_GETLK writes nothing but `lock`.
    let answer = unsafe { libc::fcntl(shm.as_raw_fd(), libc::F_GETLK, &raw mut lock) };
    if answer == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(lock.l_type != libc::F_UNLCK as libc::c_short)
}

/// What to do with a range of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Lock {
    Read,
    Write,
    Unlock,
}

/// Locks `length` bytes from `start` on, or lets go of them; false while somebody else's lock is in the way. The lock
/// belongs to the open `file`, not to the process: it meets with the locks of SQLite all the same, and stays when
/// another descriptor of the same database is closed.
pub(super) fn try_lock(file: &File, lock: Lock, start: u64, length: u64) -> io::Result<bool> {
    // SAFETY: all-zero bytes are a valid `flock`, a struct of integers.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = match lock {
        Lock::Read => libc::F_RDLCK,
        Lock::Write => libc::F_WRLCK,
        Lock::Unlock => libc::F_UNLCK,
    } as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = start as libc::off_t;
    range.l_len = length as libc::off_t;
    // SAFETY: the descriptor is open as long as `file` lives, and F_OFD_SETLK only reads `range`.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const range) };
    if answer != -1 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}
