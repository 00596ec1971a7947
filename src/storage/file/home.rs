//! Whether the disk that a replica is on has been unmounted.
//!
//! Then its mount point stands there, an empty directory on the disk beneath, which is no place for a new replica: that
//! would fill the SD card of a machine whose USB disk has fallen off. A replica that was deleted is begun anew, and so
//! is one on another disk.

/// The disk that the replica was on when it last had files.
#[derive(Debug, Default)]
pub(super) struct Home(Option<Mounted>);

#[derive(Debug)]
struct Mounted {
    device: u64,
    /// The disk that it is mounted on, if any.
    beneath: Option<u64>,
}

impl Home {
    /// The replica has files. `devices` are those of its directory and of the ones above, from there up.
    pub(super) fn learn(&mut self, devices: impl Iterator<Item = u64>) {
        let mut devices = devices.peekable();
        let Some(device) = devices.peek().copied() else {
            return;
        };
        if self.0.as_ref().is_none_or(|home| home.device != device) {
            let beneath = devices.find(|above| *above != device);
            self.0 = Some(Mounted { device, beneath });
        }
    }

    /// Whether a replica without files would be on the disk beneath. `devices` are as before, the directories that do
    /// not exist left out.
    pub(super) fn is_gone(&self, mut devices: impl Iterator<Item = u64>) -> bool {
        let beneath = self.0.as_ref().and_then(|home| home.beneath);
        beneath.is_some() && beneath == devices.next()
    }
}

#[cfg(test)]
mod tests {
    use super::Home;

    #[test]
    fn only_the_disk_beneath_shows_that_the_one_above_is_gone() {
        let mut home = Home::default();
        assert!(!home.is_gone([1, 1].into_iter()), "nothing is known");
        home.learn([2, 2, 1, 1].into_iter());
        assert!(home.is_gone([1, 1].into_iter()));
        assert!(!home.is_gone([2, 1, 1].into_iter()), "deleted");
        assert!(!home.is_gone([3, 1, 1].into_iter()), "another disk");
        home.learn([1, 1].into_iter());
        assert!(!home.is_gone([1, 1].into_iter()), "on the first disk");
    }
}
