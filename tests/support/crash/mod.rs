//! A disk in memory whose power can be cut after any operation.
//!
//! Faults it models: content written but not synced is lost, kept, or torn (half of the unsynced writes arrive,
//! the length of all of them); names created, moved or removed since the last sync of their directory arrive in
//! any combination, whatever their order was. It does not model: a sync that lies, sectors torn inside a write,
//! directories that vanish (creating those is one durable operation).
//!
//! Use: do the work once on [`CrashFiles`], then look at every [`CrashFiles::images`] of every
//! `0..=operations()`; or let the n-th operation fail with [`CrashFiles::fail_at`].

mod disk;

use std::collections::BTreeSet;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

pub(crate) use self::disk::Image;
use self::disk::{Disk, Operation, Unsynced, combinations};
use walbrook::sys::fs::{Entry, FileIdentity, FileSystem, OpenFile, Owner, Status, parent};
use walbrook::units::Timestamp;

/// The disk.
#[derive(Clone, Default)]
pub(crate) struct CrashFiles(Arc<Mutex<Machine>>);

#[derive(Default)]
struct Machine {
    start: Disk,
    log: Vec<Operation>,
    disk: Disk,
    fail: Option<(usize, io::ErrorKind)>,
    attempts: usize,
    has_links: bool,
}

impl CrashFiles {
    /// A disk with these files, all durable, and their directories.
    pub(crate) fn holding<P: AsRef<Path>>(
        files: impl IntoIterator<Item = (P, Vec<u8>)>,
    ) -> CrashFiles {
        let mut disk = Disk::default();
        for (path, bytes) in files {
            let path = path.as_ref();
            disk.apply(&Operation::CreateDirectories(parent(path).to_path_buf()));
            disk.apply(&Operation::Create(path.to_path_buf()));
            disk.apply(&Operation::Write(disk.names[path], 0, bytes));
            disk.apply(&Operation::Sync(disk.names[path]));
        }
        disk.durable_names = disk.names.clone();
        disk.pending.clear();
        CrashFiles(Arc::new(Mutex::new(Machine {
            start: disk.clone(),
            disk,
            has_links: true,
            ..Machine::default()
        })))
    }

    /// The disk after the power came back on `image`.
    #[allow(dead_code, reason = "for tests that go on after the power cut")]
    pub(crate) fn rebooted(image: &Image) -> CrashFiles {
        CrashFiles::holding(image.0.clone())
    }

    /// Makes it one of the file systems that know no hard links.
    pub(crate) fn without_links(self) -> CrashFiles {
        self.machine().has_links = false;
        self
    }

    /// How many operations were done.
    pub(crate) fn operations(&self) -> usize {
        self.machine().log.len()
    }

    /// Lets the operation after `operations` more succeed ones fail, once, doing nothing.
    pub(crate) fn fail_at(&self, operations: usize, kind: io::ErrorKind) {
        let mut machine = self.machine();
        machine.fail = Some((machine.attempts + operations, kind));
    }

    /// Every different state a power cut after the first `operations` operations may leave.
    pub(crate) fn images(&self, operations: usize) -> BTreeSet<Image> {
        let machine = self.machine();
        let mut disk = machine.start.clone();
        for operation in &machine.log[..operations] {
            disk.apply(operation);
        }
        let mut images = BTreeSet::new();
        for arrived in combinations(disk.pending.len()) {
            for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Kept] {
                images.insert(disk.image(&arrived, unsynced));
            }
        }
        images
    }

    /// What is there now, the power being on.
    pub(crate) fn now(&self) -> Image {
        let machine = self.machine();
        let files = machine.disk.names.iter();
        Image(
            files
                .map(|(path, id)| (path.clone(), machine.disk.contents[id].live.clone()))
                .collect(),
        )
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap()
    }

    fn act(&self, operation: Operation) -> io::Result<()> {
        let mut machine = self.machine();
        machine.attempts += 1;
        if let Some((at, kind)) = machine.fail
            && machine.attempts > at
        {
            machine.fail = None;
            return Err(kind.into());
        }
        machine.disk.apply(&operation);
        machine.log.push(operation);
        Ok(())
    }

    fn id(&self, path: &Path) -> io::Result<u64> {
        let machine = self.machine();
        let id = machine.disk.names.get(path).copied();
        id.ok_or(io::ErrorKind::NotFound.into())
    }

    fn need_directory(&self, path: &Path) -> io::Result<()> {
        let there = self.machine().disk.directories.contains(path);
        there.then_some(()).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl FileSystem for CrashFiles {
    fn create_with_mode(&self, path: &Path, _: u32) -> io::Result<Box<dyn OpenFile>> {
        self.need_directory(parent(path))?;
        self.act(Operation::Create(path.to_path_buf()))?;
        self.open_existing(path)
    }

    fn open_existing(&self, path: &Path) -> io::Result<Box<dyn OpenFile>> {
        Ok(Box::new(CrashFile {
            files: self.clone(),
            id: self.id(path)?,
            position: 0,
        }))
    }

    fn read_from(&self, path: &Path, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let id = self.id(path)?;
        let bytes = self.machine().disk.contents[&id].live.clone();
        let mut reader = Cursor::new(bytes);
        reader.set_position(offset);
        Ok(Box::new(reader))
    }

    fn read_last(&self, path: &Path, bytes: u64) -> io::Result<Box<dyn Read + Send>> {
        self.read_from(path, self.status(path)?.size.saturating_sub(bytes))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.id(from)?;
        self.act(Operation::Rename(from.to_path_buf(), to.to_path_buf()))
    }

    fn link(&self, path: &Path, second: &Path) -> io::Result<()> {
        self.id(path)?;
        if self.id(second).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if !self.machine().has_links {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.act(Operation::Link(path.to_path_buf(), second.to_path_buf()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.id(path)?;
        self.act(Operation::Remove(path.to_path_buf()))
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.need_directory(path)?;
        let machine = self.machine();
        let disk = &machine.disk;
        let mut inside = disk.names.keys().chain(&disk.directories);
        if inside.any(|other| other != path && other.starts_with(path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        drop(machine);
        self.act(Operation::RemoveDirectory(path.to_path_buf()))
    }

    fn remove_all(&self, path: &Path) -> io::Result<()> {
        self.need_directory(path)?;
        let disk = self.machine().disk.clone();
        for file in disk.names.keys().filter(|file| file.starts_with(path)) {
            self.act(Operation::Remove(file.clone()))?;
        }
        for directory in disk.directories.iter().filter(|d| d.starts_with(path)) {
            self.act(Operation::RemoveDirectory(directory.clone()))?;
        }
        Ok(())
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.need_directory(path)?;
        self.act(Operation::SyncDirectory(path.to_path_buf()))
    }

    fn create_directories(&self, path: &Path) -> io::Result<()> {
        self.act(Operation::CreateDirectories(path.to_path_buf()))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.need_directory(path)?;
        let machine = self.machine();
        let inside = machine
            .disk
            .names
            .iter()
            .filter(|(file, _)| parent(file) == path);
        let entry = |(file, id): (&PathBuf, &u64)| Entry {
            name: file.file_name().unwrap().to_str().unwrap().to_owned(),
            size: machine.disk.contents[id].live.len() as u64,
            modified: Timestamp::from_millis(machine.disk.contents[id].modified),
        };
        Ok(inside.map(entry).collect())
    }

    fn directories(&self, path: &Path) -> io::Result<Vec<String>> {
        self.need_directory(path)?;
        let machine = self.machine();
        let inside = machine.disk.directories.iter();
        let inside = inside.filter(|directory| *directory != path && parent(directory) == path);
        let name = |directory: &PathBuf| directory.file_name()?.to_str().map(str::to_owned);
        Ok(inside.filter_map(name).collect())
    }

    fn identity(&self, path: &Path) -> io::Result<FileIdentity> {
        let inode = match self.id(path) {
            Ok(id) => id + 1,
            Err(_) => self.need_directory(path).map(|()| 0)?,
        };
        Ok(FileIdentity { device: 1, inode })
    }

    fn status(&self, path: &Path) -> io::Result<Status> {
        let is_directory = self.need_directory(path).is_ok();
        let mut size = 0;
        if !is_directory {
            let id = self.id(path)?;
            size = self.machine().disk.contents[&id].live.len() as u64;
        }
        let owner = Owner {
            mode: 0o600,
            user: 0,
            group: 0,
        };
        Ok(Status {
            is_directory,
            size,
            owner,
        })
    }

    fn set_owner(&self, _: &Path, _: Owner) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(16 << 20)
    }
}

struct CrashFile {
    files: CrashFiles,
    id: u64,
    position: u64,
}

impl Write for CrashFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all_at(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl OpenFile for CrashFile {
    fn write_all_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.files
            .act(Operation::Write(self.id, offset, bytes.to_vec()))
    }

    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let machine = self.files.machine();
        let live = &machine.disk.contents[&self.id].live;
        let range = offset as usize..offset as usize + bytes.len();
        let there = live.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        bytes.copy_from_slice(there);
        Ok(())
    }

    fn copy_range(&mut self, source: &Path, offset: u64, length: u64) -> io::Result<()> {
        let mut bytes = vec![0; length as usize];
        self.files
            .read_from(source, offset)?
            .read_exact(&mut bytes)?;
        self.write_all_at(&bytes, offset)
    }

    fn set_len(&mut self, size: u64) -> io::Result<()> {
        self.files.act(Operation::SetLen(self.id, size))
    }

    fn set_modified(&mut self, time: Timestamp) -> io::Result<()> {
        self.files.act(Operation::SetModified(self.id, time))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.files.act(Operation::Sync(self.id))
    }
}
