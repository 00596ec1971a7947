//! What is done with one of several replicas: restored from the newest that is healthy, listed, chosen by number.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::directory_and_s3;
use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::output_of;
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Rig, sqlite, sum_of};

/// A directory that was left behind when it had 10 rows, and S3 with 20.
fn the_second_is_newer() -> (Rig, Proxy) {
    let (rig, proxy) = directory_and_s3();
    let mut session = Session::create(&rig.db());
    let process = rig.start(Program::Walbrook);
    session.insert("t", 10);
    rig.wait_in_sync();
    process.stop().well();
    let aside = rig.path("aside");
    fs::rename(rig.replica(), &aside).unwrap();
    let process = rig.start(Program::Walbrook);
    session.insert("t", 10);
    rig.wait_in_sync();
    process.stop().well();
    fs::remove_dir_all(rig.replica()).unwrap();
    fs::rename(&aside, rig.replica()).unwrap();
    (rig, proxy)
}

/// `restore` of the configured database to a new file, with what it printed; it prints on stderr alone.
struct Restored {
    output: PathBuf,
    said: String,
}

fn restore(rig: &Rig, arguments: &[&str]) -> Result<Restored, String> {
    let output = rig.path(&format!(
        "restored-{:x}.db",
        walbrook::sys::random::unique()
    ));
    let mut command = rig.configured("restore");
    command.args(arguments).arg("-o").arg(&output).arg(rig.db());
    let said = all_output_of(&mut command)?;
    Ok(Restored { output, said })
}

/// What it prints on both.
fn all_output_of(command: &mut Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    match output.status.success() {
        true => Ok(text.concat()),
        false => Err(text.concat()),
    }
}

fn rows(restored: &Restored) -> String {
    let count = sqlite(&restored.output, "SELECT count(*) FROM t");
    count.trim().to_string()
}

#[test]
fn the_newest_is_restored_from() {
    let (rig, _proxy) = the_second_is_newer();
    let bucket = rig.places()[1].location();
    let restored = restore(&rig, &[]).unwrap();
    assert_eq!(sum_of(&restored.output), rig.source_sum());
    assert!(restored.said.contains(&bucket), "{}", restored.said);
    assert!(!restored.said.contains("Warning"), "{}", restored.said);
    let dry = restore(&rig, &["-dry-run", "-json"]).unwrap().said;
    assert!(dry.contains(&format!("\"replica\": \"{bucket}")), "{dry}");
    let json = restore(&rig, &["-json"]).unwrap().said;
    assert!(json.contains(&format!("\"replica\": \"{bucket}")), "{json}");
    let first = restore(&rig, &["-replica", "1"]).unwrap();
    assert_eq!(rows(&first), "10");
}

#[test]
fn of_equals_the_first_is_restored_from() {
    let mut rig = Rig::new();
    rig.add_replica(Place::Directory(rig.path("second")));
    let mut session = Session::create(&rig.db());
    session.insert("t", 10);
    let process = rig.start(Program::Walbrook);
    rig.wait_in_sync();
    process.stop().well();
    let [first, second] = [0, 1].map(|index| rig.places()[index].directory());
    let source_of = |rig: &Rig| restore(rig, &["-dry-run"]).unwrap().said;
    // The very same replica.
    let copy = |from: &Path, to: &Path| {
        fs::remove_dir_all(to).unwrap();
        output_of(Command::new("cp").arg("-a").args([from, to])).unwrap();
    };
    copy(first, second);
    let said = source_of(&rig);
    let expected = format!("source:  {}\n", first.display());
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn a_damaged_one_is_done_without() {
    let (rig, _proxy) = the_second_is_newer();
    let bucket = &rig.places()[1];
    let snapshot = bucket.files(9).pop().unwrap();
    let mut bytes = bucket.read(9, &snapshot);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bucket.write(9, &snapshot, &bytes);
    let restored = restore(&rig, &[]).unwrap();
    assert_eq!(rows(&restored), "10");
    let warning = format!("Warning: doing without the replica {}", bucket.location());
    assert!(restored.said.contains(&warning), "{}", restored.said);
    assert!(restored.said.contains("damaged"), "{}", restored.said);
}

#[test]
fn one_that_cannot_be_reached_is_done_without() {
    let (rig, proxy) = the_second_is_newer();
    proxy.fault(Fault::Refuse);
    let bucket = rig.places()[1].location();
    let restored = restore(&rig, &[]).unwrap();
    assert_eq!(rows(&restored), "10");
    let warning = format!("Warning: doing without the replica {bucket}");
    assert!(restored.said.contains(&warning), "{}", restored.said);
    fs::remove_dir_all(rig.replica()).unwrap();
    for arguments in [&[][..], &["-if-replica-exists"]] {
        let Err(error) = restore(&rig, arguments) else {
            panic!("nothing was there to restore");
        };
        for place in rig.places() {
            assert!(error.contains(&place.location()), "{error}");
        }
    }
    proxy.clear();
    let one = restore(&rig, &[]).unwrap();
    assert_eq!(rows(&one), "20");
}

#[test]
fn a_txid_means_one_replica() {
    let (rig, _proxy) = the_second_is_newer();
    let Err(error) = restore(&rig, &["-txid", "0000000000000002"]) else {
        panic!("which is not said");
    };
    assert!(error.contains("-replica"), "{error}");
    restore(&rig, &["-txid", "0000000000000002", "-replica", "2"]).unwrap();
}

#[test]
fn the_lists_show_each() {
    let (rig, _proxy) = the_second_is_newer();
    let [directory, bucket] = [0, 1].map(|index| rig.places()[index].location());
    let databases = output_of(&mut rig.configured("databases")).unwrap();
    let listed: Vec<&str> = databases.lines().skip(1).collect();
    assert_eq!(listed.len(), 2, "{databases}");
    assert!(listed[0].ends_with(&directory), "{databases}");
    assert!(listed[1].contains(&bucket), "{databases}");

    let all = output_of(rig.configured("ltx").arg(rig.db())).unwrap();
    let mut headings = all.lines().filter(|line| line.ends_with(':'));
    for location in [&directory, &bucket] {
        assert!(headings.next().unwrap().starts_with(location), "{all}");
    }
    assert_eq!(all.matches("level ").count(), 2, "{all}");
    let second = output_of(rig.configured("ltx").args(["-replica", "2"]).arg(rig.db())).unwrap();
    assert!(second.starts_with("level "), "{second}");
    let third = output_of(rig.configured("ltx").args(["-replica", "3"]).arg(rig.db()));
    assert!(third.unwrap_err().contains("there is no replica 3"));
    let json = output_of(rig.configured("ltx").arg("-json").arg(rig.db())).unwrap();
    assert!(json.contains(&format!("\"replica\": \"{bucket}")), "{json}");
}
