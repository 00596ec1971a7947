//! A small disk of its own, whose power can be cut and whose space can run out: an ext4 on a loop device.
//!
//! After the cut every access fails and nothing more reaches the disk; what was not synced is lost, like a new name
//! whose directory was not synced. Needs root and loop devices.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{eventually, output_of};
use super::rig::required;

/// `EXT4_IOC_SHUTDOWN`, not even flushing the journal.
const CUT: &str = "
import fcntl, os, struct, sys
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))
";

/// The disk, mounted.
pub(crate) struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    /// A new empty disk of so many megabytes, mounted in `directory`, which keeps its content too.
    #[track_caller]
    pub(crate) fn new(directory: &Path, megabytes: u64) -> Disk {
        let disk = Disk {
            image: directory.join("disk.img"),
            mount: directory.join("disk"),
        };
        std::fs::create_dir_all(&disk.mount).unwrap();
        let image = std::fs::File::create(&disk.image).unwrap();
        image.set_len(megabytes << 20).unwrap();
        system(
            Command::new("mkfs.ext4")
                .args(["-q", "-F", "-m", "0"])
                .arg(&disk.image),
        );
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts its power.
    #[track_caller]
    pub(crate) fn cut(&self) {
        let mut python = Command::new(required("WALBROOK_TEST_PYTHON"));
        output_of(python.args(["-c", CUT]).arg(&self.mount)).unwrap();
    }

    /// Mounts what survived. No file on it may be open any more.
    #[track_caller]
    pub(crate) fn mount_again(&self) {
        self.unmount();
        self.mount();
    }

    /// Takes it away. No file on it may be open any more.
    #[track_caller]
    pub(crate) fn unmount(&self) {
        eventually(|| output_of(program("umount").arg(&self.mount)));
    }

    /// Takes all the space there is.
    pub(crate) fn fill(&self) {
        let mut filler = std::fs::File::create(self.mount.join("filler")).unwrap();
        // In ever smaller pieces, since the last bytes do not come in large ones.
        for size in [1 << 20, 1 << 16, 1 << 12, 1] {
            while std::io::Write::write_all(&mut filler, &vec![1; size]).is_ok() {}
        }
        let _ = filler.sync_all();
    }

    /// Gives the space back.
    pub(crate) fn free(&self) {
        std::fs::remove_file(self.mount.join("filler")).unwrap();
    }

    /// Mounts it where it was.
    #[track_caller]
    pub(crate) fn mount(&self) {
        system(
            Command::new("mount")
                .args(["-o", "loop"])
                .args([&self.image, &self.mount]),
        );
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A process may still be ending that has a file open.
        let _ = output_of(program("umount").arg("-l").arg(&self.mount));
    }
}

#[track_caller]
fn system(command: &mut Command) {
    command.env("PATH", with_system_programs());
    output_of(command).unwrap_or_else(|error| {
        panic!("{command:?}: {error}this test needs root, mkfs.ext4 and loop devices")
    });
}

fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    command.env("PATH", with_system_programs());
    command
}

fn with_system_programs() -> String {
    std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin"
}
