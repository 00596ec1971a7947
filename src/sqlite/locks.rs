//! SQLite's locks, seen from outside: asks who holds one, never takes any.
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
