//! What the commands say of a replica that Litestream 0.3 left.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use tinyjson::JsonValue;

use super::Vector;
use crate::ltx::vectors::{field, list, sha256, text};
use crate::support::process::output_of;
use crate::support::rig::Program;
use crate::support::scratch::Scratch;

/// A replica in a directory.
struct Planted {
    scratch: Scratch,
    vector: Vector,
}

impl Planted {
    fn new(name: &str) -> Planted {
        let (scratch, vector) = (Scratch::new(), Vector::named(name));
        vector.plant(&scratch.path().join("replica"));
        Planted { scratch, vector }
    }

    fn url(&self) -> String {
        format!("file://{}/replica", self.scratch.path().display())
    }

    fn output(&self) -> PathBuf {
        self.scratch.path().join("app.db")
    }

    /// Runs ours: its exit code, what it printed, and what it said.
    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let (url, output) = (self.url(), self.output());
        let arguments = arguments.iter().map(|argument| match *argument {
            "URL" => OsStr::new(&url),
            "DB" => output.as_os_str(),
            argument => OsStr::new(argument),
        });
        let output = Program::Walbrook
            .command()
            .args(arguments)
            .output()
            .unwrap();
        let [out, said] = [output.stdout, output.stderr].map(|it| String::from_utf8(it).unwrap());
        (output.status.code().unwrap(), out, said)
    }

    fn json(&self, arguments: &[&str]) -> JsonValue {
        let (code, out, said) = self.run(arguments);
        assert_eq!(code, 0, "{said}");
        out.parse().unwrap()
    }

    fn digest(&self) -> String {
        sha256(&fs::read(self.output()).unwrap())
    }
}

#[test]
fn restore_as_a_user_would() {
    let planted = Planted::new("everyday");
    let (code, out, said) =
        planted.run(&["restore", "-o", "DB", "-integrity-check", "full", "URL"]);
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    assert!(
        said.contains("to generation ") && said.contains("63 files") || said.contains(" files, "),
        "{said}"
    );
    assert_eq!(planted.digest(), planted.vector.newest());
    // What is there stays.
    let (code, _, said) = planted.run(&["restore", "-o", "DB", "URL"]);
    assert!(code == 1 && said.contains("-force"), "{said}");
    assert_eq!(
        planted
            .run(&["restore", "-o", "DB", "-if-db-not-exists", "URL"])
            .0,
        0
    );
    assert_eq!(planted.digest(), planted.vector.newest());
    // Another state in its place.
    let (time, expected) = planted.vector.states[20].clone();
    let time = time.unwrap().to_string();
    let restored = planted.json(&[
        "restore",
        "-o",
        "DB",
        "-force",
        "-json",
        "-timestamp",
        &time,
        "URL",
    ]);
    assert_eq!(Some(planted.digest()), expected);
    assert_eq!(text(&restored["timestamp"]), time);
    assert_eq!(text(&restored["txid"]), "");
    assert_eq!(text(&restored["generation"]).len(), 16);
    assert_eq!(text(&restored["integrity_check"]), "quick");
    // SQLite takes it.
    let rows = output_of(
        std::process::Command::new("sqlite3")
            .arg(planted.output())
            .arg("SELECT count(*) FROM notes"),
    );
    assert!(rows.unwrap().trim().parse::<u32>().unwrap() > 5);
}

#[test]
fn a_restore_that_fails_leaves_the_old_database() {
    let planted = Planted::new("pages_512");
    fs::write(planted.output(), "the old one").unwrap();
    fs::write(planted.scratch.path().join("app.db-wal"), "its WAL").unwrap();
    let (path, _) = planted
        .vector
        .files
        .iter()
        .rfind(|(path, _)| path.contains("/wal/"))
        .unwrap();
    let segment = planted.scratch.path().join("replica").join(path);
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() - 3]).unwrap();
    let (code, _, said) = planted.run(&["restore", "-o", "DB", "-force", "URL"]);
    assert!(
        code == 65 && said.contains(path.as_str()) && said.contains("cut short"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(planted.output()).unwrap(), "the old one");
    assert_eq!(fs::read_dir(planted.scratch.path()).unwrap().count(), 3);
    fs::write(&segment, &bytes).unwrap();
    let (code, _, said) = planted.run(&["restore", "-o", "DB", "-force", "-keep-old", "URL"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(planted.digest(), planted.vector.newest());
}

#[test]
fn dry_runs_show_the_files() {
    let planted = Planted::new("everyday");
    let plan = planted.json(&["restore", "-dry-run", "-json", "-o", "DB", "URL"]);
    let files = list(&plan["files"]);
    assert!(text(&files[0]["name"]).ends_with("/snapshots/00000002.snapshot.lz4"));
    assert!(text(&files[1]["name"]).ends_with("/wal/00000002_00000000.wal.lz4"));
    let generation = text(&plan["generation"]);
    assert!(text(&files[1]["name"]).starts_with(&format!("generations/{generation}/wal/")));
    assert!(field(&plan, "min_txid").is_none());
    let (time, _) = planted.vector.states[3].clone();
    let time = time.unwrap().to_string();
    let (code, out, said) = planted.run(&[
        "restore",
        "-dry-run",
        "-o",
        "DB",
        "-timestamp",
        &time,
        "URL",
    ]);
    assert_eq!(code, 0, "{said}");
    assert!(
        out.contains("Litestream 0.3") && out.contains(&format!("of {time}")),
        "{out}"
    );
    assert_eq!(out.matches(".wal.lz4").count(), 3, "{out}");
    assert!(!planted.output().exists());
}

#[test]
fn other_commands_say_what_it_is() {
    let planted = Planted::new("pages_512");
    for arguments in [
        &["history", "URL"][..],
        &["restore", "-txid", "0000000000000001", "-o", "DB", "URL"],
        &["restore", "-f", "-o", "DB", "URL"],
        &["page", "URL", "1"],
    ] {
        let (code, out, said) = planted.run(arguments);
        assert!(code != 0 && out.is_empty(), "{arguments:?}: {out} {said}");
        assert!(
            said.contains("Litestream 0.3") && said.contains("-timestamp"),
            "{arguments:?}: {said}"
        );
        assert!(!planted.output().exists());
    }
    for arguments in [&["ltx", "URL"][..], &["ltx", "-level", "all", "URL"]] {
        let (code, _, said) = planted.run(arguments);
        assert_eq!(code, 0);
        assert!(said.contains("25 files of Litestream 0.3"), "{said}");
    }
}

#[test]
fn verify_reads_it_whole() {
    let planted = Planted::new("pages_512");
    for arguments in [&["verify", "URL"][..], &["verify", "-drill", "URL"]] {
        let (code, out, said) = planted.run(arguments);
        assert_eq!(code, 0, "{said}");
        assert!(out.contains("of Litestream 0.3, is whole"), "{out}");
        assert_eq!(
            out.contains("found sound by SQLite"),
            arguments.len() == 3,
            "{out}"
        );
    }
    let verdicts = planted.json(&["verify", "-json", "URL"]);
    assert_eq!(text(&verdicts[0]["result"]), "whole");
    assert_eq!(text(&verdicts[0]["generation"]).len(), 16);
    let (code, out, said) = planted.run(&["verify", "-subset", "1/2", "URL"]);
    assert!(code == 1 && (out + &said).contains("Litestream 0.3"));
    let (path, _) = &planted.vector.files[10];
    let segment = planted.scratch.path().join("replica").join(path);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[30] ^= 1;
    fs::write(&segment, bytes).unwrap();
    for arguments in [&["verify", "URL"][..], &["verify", "-drill", "URL"]] {
        let (code, out, _) = planted.run(arguments);
        assert!(
            code == 65 && out.contains("DAMAGED") && out.contains(path.as_str()),
            "{out}"
        );
    }
}

#[test]
fn what_is_encrypted_is_no_damage() {
    let planted = Planted::new("encrypted");
    let (code, _, said) = planted.run(&["restore", "-o", "DB", "URL"]);
    assert!(code == 1 && said.contains("encrypted with age"), "{said}");
}

/// A database that is missing is restored at the start, and replicated beside what Litestream 0.3 left.
#[test]
fn replicate_goes_on_from_it() {
    let planted = Planted::new("everyday");
    let (code, _, said) = planted.run(&[
        "replicate",
        "-once",
        "-restore-if-db-not-exists",
        "DB",
        "URL",
    ]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("from what Litestream 0.3 left"), "{said}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", planted.output().display()));
    }
    let restored = planted.json(&["restore", "-json", "-o", "DB", "URL"]);
    assert!(text(&restored["txid"]).starts_with("000000000000000"));
    assert!(field(&restored, "generation").is_none());
}
