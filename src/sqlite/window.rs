//! Stretches of the WAL to read frames from: through a memory map where that is safe, else by `pread`.
//!
//! A map is safe only where nothing can truncate the file: for frames up to the end of a view that holds one
//! of READ(1..4), since truncating takes those locks. Should something other than SQLite cut the file all
//! the same, touching the lost bytes raises SIGBUS; a guard then puts zero pages in their place, and the
//! reader finds its flag set and reports an error instead of dying.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::sync::Once;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// How to get at the WAL's bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Access {
    /// Through a map. Only under a view that keeps the file from being truncated.
    Mapped,
    /// By `pread`; a file that ends early is an error.
    Copied,
}

/// The most that is mapped or read at once: bounds memory, and address space on 32-bit machines.
const WINDOW_BYTES: usize = 1 << 20;

/// Reads `[start, end)` of `wal` in windows that are multiples of `unit` bytes, and gives each to `visit`.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] when the file ends early, those of the system, and those of `visit`.
pub(super) fn read_windows<E: From<io::Error>>(
    wal: &File,
    access: Access,
    (start, end): (u64, u64),
    unit: usize,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    debug_assert!((end - start).is_multiple_of(unit as u64));
    let window = (WINDOW_BYTES / unit).max(1) * unit;
    let mut buffer = Vec::new();
    let mut at = start;
    while at < end {
        let length = usize::try_from(end - at).map_or(window, |left| left.min(window));
        match access {
            Access::Mapped => {
                let map = Map::new(wal, at, length)?;
                let visited = visit(map.bytes());
                // The flag first: what the visitor made of zero pages means nothing.
                map.close()?;
                visited?;
            }
            Access::Copied => {
                buffer.resize(length, 0);
                wal.read_exact_at(&mut buffer, at)?;
                visit(&buffer)?;
            }
        }
        at += length as u64;
    }
    Ok(())
}

/// A stretch of a file, mapped for reading and guarded.
struct Map {
    base: NonNull<u8>,
    mapped: usize,
    skip: usize,
    length: usize,
}

impl Map {
    fn new(file: &File, offset: u64, length: usize) -> io::Result<Map> {
        install_guard();
        let skip = (offset % rustix::param::page_size() as u64) as usize;
        let mapped = skip + length;
        // A map beyond the end succeeds and only fails when touched: look first, for the common mistake.
        if file.metadata()?.len() < offset + length as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the kernel chooses the place, so no existing mapping is touched. The bytes are read
        // through a shared slice below; other processes write this file, but never these frames while
        // the caller's view holds its lock (see the top of this file).
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                offset - skip as u64,
            )?
        };
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        GUARDED.set(Guarded {
            start: base.as_ptr().addr(),
            length: mapped,
            hit: false,
        });
        Ok(Map {
            base,
            mapped,
            skip,
            length,
        })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: `skip + length` bytes are mapped readable at `base` until drop, which the borrow outlives not.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(self.skip), self.length) }
    }

    /// Unmaps, and tells whether all the bytes were really the file's.
    fn close(self) -> io::Result<()> {
        match GUARDED.get().hit {
            true => Err(io::ErrorKind::UnexpectedEof.into()),
            false => Ok(()),
        }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        GUARDED.set(Guarded::NOTHING);
        // SAFETY: exactly what `new` mapped, and no slice of it can be alive any more.
        let unmapped = unsafe { munmap(self.base.as_ptr().cast(), self.mapped) };
        debug_assert!(
            unmapped.is_ok(),
            "unmapping a whole own mapping cannot fail"
        );
    }
}

/// The one range this thread is reading through a map.
#[derive(Clone, Copy)]
struct Guarded {
    start: usize,
    length: usize,
    hit: bool,
}

impl Guarded {
    const NOTHING: Guarded = Guarded {
        start: 0,
        length: 0,
        hit: false,
    };
}

thread_local! {
    // Constant and without a destructor: plain thread-local memory, which a signal handler may touch.
    static GUARDED: Cell<Guarded> = const { Cell::new(Guarded::NOTHING) };
}

fn install_guard() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: all-zero bytes are a valid `sigaction`: no flags, an empty mask, the default handler.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = on_bus_error as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        // SAFETY: `action` is complete, and its handler is async-signal-safe (see there).
        let installed =
            unsafe { libc::sigaction(libc::SIGBUS, &raw const action, ptr::null_mut()) };
        debug_assert_eq!(installed, 0, "SIGBUS can be handled");
    });
}

/// Handles SIGBUS: zero pages over a guarded range, death by default anywhere else. Calls nothing but `mmap`
/// and `sigaction` and touches nothing but this thread's guard, all of it allowed in a signal handler.
extern "C" fn on_bus_error(
    _signal: libc::c_int,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    let guarded = GUARDED.get();
    // SAFETY: with SA_SIGINFO the kernel passes a valid `info`, and for SIGBUS its address field is set.
    let address = unsafe { (*info).si_addr() }.addr();
    if address.wrapping_sub(guarded.start) < guarded.length {
        // SAFETY: replaces exactly the thread's own guarded mapping, in place, by readable zero pages, so
        // that the interrupted load succeeds; the slices into it stay valid.
        let replaced = unsafe {
            libc::mmap(
                guarded.start as *mut libc::c_void,
                guarded.length,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        };
        if replaced != libc::MAP_FAILED {
            GUARDED.set(Guarded {
                hit: true,
                ..guarded
            });
            return;
        }
    }
    // Not ours: let the fault happen again and end the process as it would have.
    // SAFETY: as above, zeroed is the default action; `sigaction` is async-signal-safe.
    unsafe {
        let default: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, &raw const default, ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn scratch(content: &[u8]) -> (std::path::PathBuf, File) {
        let path = std::env::temp_dir().join(format!("window-{}", crate::sys::random::unique()));
        fs::write(&path, content).unwrap();
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .unwrap();
        (path, file)
    }

    #[test]
    fn both_ways_see_the_same_bytes_at_odd_offsets() {
        let content: Vec<u8> = (0..3_000_032_u32).map(|n| (n * 7) as u8).collect();
        let (path, file) = scratch(&content);
        for access in [Access::Mapped, Access::Copied] {
            let mut seen = Vec::new();
            let mut collect = |bytes: &[u8]| {
                seen.extend_from_slice(bytes);
                Ok::<(), io::Error>(())
            };
            read_windows(&file, access, (32, 3_000_032), 1000, &mut collect).unwrap();
            assert!(seen == content[32..], "{access:?}");
        }
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_cut_under_the_map_is_an_error_and_not_a_signal() {
        let (path, file) = scratch(&[7; 200_000]);
        let mut sum = 0_u64;
        let mut cut_then_read = |bytes: &[u8]| {
            file.set_len(4096).unwrap();
            sum = bytes.iter().map(|&b| u64::from(b)).sum();
            Ok::<(), io::Error>(())
        };
        let cut = read_windows(
            &file,
            Access::Mapped,
            (0, 200_000),
            1000,
            &mut cut_then_read,
        );
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let short = read_windows(
            &file,
            Access::Copied,
            (0, 200_000),
            1000,
            &mut |_: &[u8]| Ok::<(), io::Error>(()),
        );
        assert_eq!(short.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn both_ways_read_beyond_four_gibibytes() {
        let (path, file) = scratch(&[]);
        let start = (4_u64 << 30) + 4120 * 300 + 32;
        file.set_len(start + 4120 * 600).unwrap();
        for at in [0, 299, 599] {
            file.write_all_at(&[at as u8 + 1; 4120], start + 4120 * at)
                .unwrap();
        }
        for access in [Access::Mapped, Access::Copied] {
            let mut units = Vec::new();
            let mut collect = |bytes: &[u8]| {
                units.extend(bytes.chunks(4120).map(|unit| (unit[0], unit[4119])));
                Ok::<(), io::Error>(())
            };
            let range = (start, start + 4120 * 600);
            read_windows(&file, access, range, 4120, &mut collect).unwrap();
            let written = [units[0], units[299], units[599]];
            assert_eq!(
                (units.len(), written),
                (600, [(1, 1), (44, 44), (88, 88)]),
                "{access:?}"
            );
        }
        fs::remove_file(path).unwrap();
    }
}
