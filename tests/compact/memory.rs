//! Memory depends neither on how large the files are, nor on how many.

use std::process::Command;

use super::name;
use crate::support::chance::Chance;
use crate::support::place::Place;
use crate::support::process::output_of;
use crate::support::rig::{Program, Rig, required};
use crate::support::s3::{Kind, S3Server, Tls};
use walbrook::ltx::{Encoder, Header};
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp, Txid, TxidRange};

/// Of the database: 64 MiB.
const PAGES: u32 = 16_384;
/// That change with each sync.
const CHANGED: u32 = 20;
/// What the program may take at its peak.
const KIB_MAX: u64 = 28 << 10;

/// Runs a program and prints its peak of memory in KiB.
const PEAK: &str = "\
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";

/// A replica of noise: a snapshot, and so many syncs.
fn replicate_noise(rig: &Rig, syncs: u64) {
    let mut chance = Chance::of_environment("compact");
    for txid in 1..=syncs + 1 {
        let txids = TxidRange::single(Txid::new(txid).unwrap());
        let size = PageSize::new(4096).unwrap();
        let time = Timestamp::from_millis(txid as i64);
        let header = Header::new(size, PageCount(PAGES), txids, time);
        let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
        let step = if txid == 1 { 1 } else { PAGES / CHANGED };
        for page in (1..=PAGES).step_by(step as usize) {
            let data: Vec<u8> = (0..512)
                .flat_map(|_| chance.below(u64::MAX).to_le_bytes())
                .collect();
            encoder.page(PageNumber::new(page).unwrap(), &data).unwrap();
        }
        let (bytes, _) = encoder.finish().unwrap();
        let level = if txid == 1 { 9 } else { 0 };
        rig.place().write(level, &name(txid, txid), &bytes);
    }
}

/// The peak of memory in KiB of `walbrook compact`.
fn peak(rig: &Rig) -> u64 {
    let mut command = Command::new(required("WALBROOK_TEST_PYTHON"));
    command
        .args(["-c", PEAK])
        .arg(Program::Walbrook.command().get_program());
    command.args(["compact", "-level", "9"]).arg(rig.url());
    let said = output_of(command.envs(rig.place().environment())).unwrap();
    said.trim().parse().unwrap()
}

fn takes_little(rig: &Rig) {
    replicate_noise(rig, 300);
    let newest = rig.restored_sum(Program::Walbrook, None);
    let peak = peak(rig);
    println!("{peak} KiB");
    assert!(peak < KIB_MAX, "{peak} KiB");
    // More than are merged at once: the next level makes one of them.
    assert_eq!(rig.files(1).len(), 2);
    assert_eq!(rig.files(2), [name(2, 301)]);
    assert_eq!(rig.files(9), [name(1, 1), name(1, 301)]);
    assert_eq!(rig.restored_sum(Program::Walbrook, None), newest);
    assert_eq!(rig.restored_sum(Program::Litestream17, None), newest);
}

#[test]
fn of_a_directory() {
    takes_little(&Rig::new());
}

#[test]
fn of_a_bucket() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    takes_little(&Rig::with_replica(Place::on(&server)));
}
