//! Files that must survive a power cut. Everything Walbrook stores goes through [`FileSystem`], so that a
//! test can stop the disk after any write, sync or rename and look at what is left.
//!
//! The rule of this file: nobody else in the program renames. What must survive a power cut gets its final
//! name by [`publish`], complete and synced; [`replace`] is for caches that carry a checksum; [`set_aside`] for what
//! makes room.
//! SQLite's own files are not opened here; they have rules of their own (`sqlite/`).

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use crate::units::Timestamp;

/// Which file a name stands for: stays the same across renames, differs after a replacement or a remount.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct FileIdentity {
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
}

impl FileIdentity {
    /// The identity in `metadata`.
    pub fn of(metadata: &fs::Metadata) -> FileIdentity {
        FileIdentity {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }
}

/// When the open `file` was made, in nanoseconds; none where the file system does not keep that. An inode's number is
/// given to a new file as soon as the old one is gone, and this tells the two apart.
pub fn born(file: &File) -> Option<i128> {
    use rustix::fs::{AtFlags, StatxFlags, statx};
    let status = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME).ok()?;
    let born = status.stx_btime;
    let known = status.stx_mask & StatxFlags::BTIME.bits() != 0 && born.tv_sec != 0;
    known.then(|| i128::from(born.tv_sec) * 1_000_000_000 + i128::from(born.tv_nsec))
}

/// Who may use a file or directory: its permission bits and whom it belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Owner {
    /// Permission bits, as in `chmod`.
    pub mode: u32,
    /// Numeric user.
    pub user: u32,
    /// Numeric group.
    pub group: u32,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status {
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Size in bytes; of no meaning for a directory.
    pub size: u64,
    /// Who may use it.
    pub owner: Owner,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its last path component; names that are not UTF-8 are left out of listings.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// Modification time.
    pub modified: Timestamp,
}

/// The file operations that durability depends on. Paths are absolute.
pub trait FileSystem: Send + Sync {
    /// Creates `path` for writing, readable too, emptying what is there; only the owner may read it.
    fn create(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        self.create_with_mode(path, 0o600)
    }
    /// As [`FileSystem::create`], a new file having the permission bits `mode` less the umask.
    fn create_with_mode(&self, path: &Path, mode: u32) -> io::Result<Box<dyn OpenFile>>;
    /// Opens the existing file `path` for reading and writing in place.
    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn OpenFile>>;
    /// Opens `path` for reading, positioned at `offset` bytes.
    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Opens `path` for reading its last `bytes` bytes, or all where there are fewer.
    fn read_last(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, which must be free. Not every file system can.
    fn link(&self, path: &Path, second: &Path) -> io::Result<()>;
    /// Removes the name `path`.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes the directory `path`, which must be empty.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;
    /// Removes the directory `path` with all in it.
    fn remove_all(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in directory `path` durable.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
    /// Creates directory `path` and those above it, durably; existing ones are fine.
    fn create_directories(&self, path: &Path) -> io::Result<()>;
    /// The regular files in directory `path`, in no order.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;
    /// The names of the directories in directory `path`, in no order.
    fn directories(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Which file `path` stands for, following links.
    fn identity(&self, path: &Path) -> io::Result<FileIdentity>;
    /// What `path` stands for, following links.
    fn status(&self, path: &Path) -> io::Result<Status>;
    /// Gives `path` the permission bits of `owner`, and its user and group where this process may.
    fn set_owner(&self, path: &Path, owner: Owner) -> io::Result<()>;
    /// Makes directory `path` this holder's until the lock is dropped; none while another process, or another
    /// holder in this one, has it. Where the file system knows no locks, everybody gets one.
    fn lock_directory(&self, _path: &Path) -> io::Result<Option<DirectoryLock>> {
        Ok(Some(DirectoryLock(None)))
    }
    /// Bytes that this process may still store on the file system that holds the directory `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The hold on a directory that [`FileSystem::lock_directory`] gives.
#[derive(Debug)]
pub struct DirectoryLock(
    #[expect(dead_code, reason = "closing it is what it is for")] Option<File>,
);

/// A file open for writing.
pub trait OpenFile: Write + Send {
    /// Writes all of `bytes` at `offset`, leaving the position of [`Write`] alone.
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads exactly `bytes.len()` bytes at `offset`.
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
    /// Makes `length` bytes from `offset` on those that the file `source` has there, sharing its blocks where the file
    /// system can.
    fn copy_range(&mut self, source: &Path, offset: u64, length: u64) -> io::Result<()>;
    /// Makes the file `size` bytes long, growing with zeros that take no space.
    fn set_len(&mut self, size: u64) -> io::Result<()>;
    /// Sets the modification time.
    fn set_modified(&mut self, time: Timestamp) -> io::Result<()>;
    /// Makes content and size durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// Gives the complete file `temporary` its final name, durably: syncs it, renames it, syncs the directory.
/// On an error the final name still holds what it held before, or already the whole new file.
pub fn publish(
    fs: &dyn FileSystem,
    mut file: Box<dyn OpenFile>,
    temporary: &Path,
    name: &Path,
) -> io::Result<()> {
    file.sync()?;
    drop(file);
    fs.rename(temporary, name)?;
    fs.sync_directory(parent(name))
}

/// Gives the complete file `temporary` its final name without forcing anything onto the disk: whole after a
/// crash of the process, but after a power cut perhaps torn. For caches that carry a checksum.
pub fn replace(
    fs: &dyn FileSystem,
    file: Box<dyn OpenFile>,
    temporary: &Path,
    name: &Path,
) -> io::Result<()> {
    drop(file);
    fs.rename(temporary, name)
}

/// Gives the file `path` the free name `kept`, to make room for another. Durable with the next sync of the directory.
pub fn set_aside(fs: &dyn FileSystem, path: &Path, kept: &Path) -> io::Result<()> {
    fs.rename(path, kept)
}

/// The path with `suffix` right behind it, as SQLite names what it keeps beside a database.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The directory that holds `path`.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The machine's own file system.
#[derive(Debug, Default)]
pub struct SystemFiles;

impl FileSystem for SystemFiles {
    fn create_with_mode(&self, path: &Path, mode: u32) -> io::Result<Box<dyn OpenFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Box::new(options.mode(mode).open(path)?))
    }

    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(
            OpenOptions::new().read(true).write(true).open(path)?,
        ))
    }

    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        if offset > 0 {
            file.seek(SeekFrom::Start(offset))?;
        }
        Ok(Box::new(file))
    }

    fn read_last(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(path)?;
        let size = file.metadata()?.len();
        file.seek(SeekFrom::Start(size.saturating_sub(bytes)))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, path: &Path, second: &Path) -> io::Result<()> {
        fs::hard_link(path, second)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        let missing: Vec<PathBuf> = path
            .ancestors()
            .take_while(|directory| !directory.as_os_str().is_empty() && !directory.exists())
            .map(Path::to_path_buf)
            .collect();
        fs::create_dir_all(path)?;
        for directory in missing.iter().rev() {
            self.sync_directory(parent(directory))?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else {
                continue;
            };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Removed since the directory was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if metadata.is_file() {
                entries.push(Entry {
                    name,
                    size: metadata.len(),
                    modified: Timestamp::from_millis(
                        metadata.mtime() * 1000 + metadata.mtime_nsec() / 1_000_000,
                    ),
                });
            }
        }
        Ok(entries)
    }

    fn directories(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            // Links to directories are some, too.
            if entry.path().is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity::of(&fs::metadata(path)?))
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        let metadata = fs::metadata(path)?;
        Ok(Status {
            is_directory: metadata.is_dir(),
            size: metadata.len(),
            owner: Owner {
                mode: metadata.mode() & 0o7777,
                user: metadata.uid(),
                group: metadata.gid(),
            },
        })
    }

    fn set_owner(&self, path: &Path, owner: Owner) -> io::Result<()> {
        // Only root may give a file away; everybody else's files stay their own, which is fine.
        let _ = chown(path, Some(owner.user), Some(owner.group));
        fs::set_permissions(path, Permissions::from_mode(owner.mode))
    }

    fn lock_directory(&self, path: &Path) -> io::Result<Option<DirectoryLock>> {
        let directory = File::open(path)?;
        Ok(match directory.try_lock() {
            Ok(()) => Some(DirectoryLock(Some(directory))),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(DirectoryLock(None)),
        })
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        if space.f_blocks == 0 {
            // A file system without a limit, as tmpfs can be, says that it has no blocks at all.
            return Ok(u64::MAX);
        }
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

impl OpenFile for File {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, bytes, offset)
    }

    fn copy_range(&mut self, source: &Path, offset: u64, length: u64) -> io::Result<()> {
        let mut input = File::open(source)?;
        input.seek(SeekFrom::Start(offset))?;
        let position = self.stream_position()?;
        self.seek(SeekFrom::Start(offset))?;
        // Between files this is copy_file_range(2).
        let copied = io::copy(&mut input.take(length), self)?;
        self.seek(SeekFrom::Start(position))?;
        match copied == length {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        File::set_len(self, size)
    }

    fn set_modified(&mut self, time: Timestamp) -> io::Result<()> {
        let distance = Duration::from_millis(time.millis().unsigned_abs());
        let time = if time.millis() < 0 {
            UNIX_EPOCH - distance
        } else {
            UNIX_EPOCH + distance
        };
        File::set_modified(self, time)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}
