//! Every state that could be restored before can be after, and is the same.

use std::path::Path;

use super::{compact, name, states, tree};
use crate::support::application::{Load, Session};
use crate::support::place::Place;
use crate::support::process::{Process, output_of, wait_until};
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};

/// Levels that fill within seconds.
const LEVELS: &str = "\
levels: [{interval: 1s}, {interval: 2s}]
snapshot: {interval: 5s, retention: 1h}
l0-retention: 2s
l0-retention-check-interval: 1s";

/// A replica of ours with a sync for each of these rows, and no level yet.
fn replicate_rows(rig: &Rig, rows: usize) {
    let mut session = Session::create(&rig.db());
    let settings = Settings::global("levels: [{interval: 24h}]");
    let walbrook = rig.start_with(Program::Walbrook, &settings);
    wait_until("begun", || rig.newest() > 0);
    for _ in 0..rows {
        let before = rig.newest();
        session.insert("t", 1);
        wait_until("sent", || rig.newest() > before);
    }
    walbrook.stop().well();
    assert_eq!(rig.files(1), Vec::<String>::new());
}

/// Compacts a replica of ours and lets Litestream go on from it.
fn is_compacted_and_taken_over(rig: &Rig) {
    replicate_rows(rig, 8);
    let newest = rig.newest();
    let before = Program::RESTORERS.map(|program| states(rig, program));
    assert!(before[0].len() > 8, "{before:?}");
    let files = tree(rig);

    let said = compact(rig, &["-dry-run", "-level", "9"]).unwrap();
    let (merged, snapshot) = (name(2, newest), name(1, newest));
    assert_eq!(
        said,
        format!(
            "Would write level 1 {} from {} files\nWould write level 9 {} from 2 files\n",
            merged.trim_end_matches(".ltx"),
            newest - 1,
            snapshot.trim_end_matches(".ltx"),
        )
    );
    assert_eq!(tree(rig), files, "a dry run writes nothing");

    let said = compact(rig, &["-level", "9"]).unwrap();
    assert!(said.starts_with("Wrote level 1 "), "{said}");
    assert_eq!(rig.files(1), [merged]);
    assert_eq!(rig.files(2), Vec::<String>::new());
    assert_eq!(rig.files(9), [name(1, 1), snapshot]);
    assert_eq!(
        Program::RESTORERS.map(|program| states(rig, program)),
        before
    );

    let files = tree(rig);
    assert_eq!(
        compact(rig, &["-level", "9"]).unwrap(),
        "Nothing to merge\n"
    );
    assert_eq!(compact(rig, &["-json"]).unwrap(), "[]\n");
    assert_eq!(tree(rig), files, "a second run writes nothing");
    is_taken_over(rig);
}

/// The machine is gone: Litestream goes on with what it restores, and merges what there is.
fn is_taken_over(rig: &Rig) {
    let restored = rig.restore(Program::Litestream17);
    for gone in [rig.db(), rig.wal(), rig.path("app.db-shm")] {
        let _ = std::fs::remove_file(gone);
    }
    rig.forget();
    std::fs::rename(restored, rig.db()).unwrap();
    let last = |level| rig.files(level).pop().unwrap_or_default();
    let before = [1, 2].map(last);
    let litestream = rig.start_with(Program::Litestream17, &Settings::global(LEVELS));
    let mut load = Load::start(&rig.db(), 30);
    wait_until("levels go on", || {
        let now = [1, 2].map(last);
        now[0] > before[0] && now[1] > before[1]
    });
    load.pause();
    let log = litestream.stop().well().log;
    let errors: Vec<_> = log.lines().filter(|line| line.contains("ERROR")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    rig.assert_in_sync();
}

#[test]
fn a_replica_in_a_directory() {
    is_compacted_and_taken_over(&Rig::new());
}

#[test]
fn a_replica_on_s3() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    is_compacted_and_taken_over(&Rig::with_replica(Place::on(&server)));
}

#[test]
fn a_configured_database_that_is_gone() {
    let rig = Rig::new();
    replicate_rows(&rig, 3);
    std::fs::remove_file(rig.db()).unwrap();
    let config = rig.path("two.yml");
    let (path, replica, other) = (rig.db(), rig.replica(), rig.path("other"));
    let text = format!(
        "dbs: [{{path: {path:?}, replicas: [{{path: {other:?}}}, {{path: {replica:?}}}]}}]"
    );
    std::fs::write(&config, text).unwrap();
    let of = |arguments: &[&str]| {
        let mut command = Program::Walbrook.command();
        command.args(["compact", "-json", "-config"]).arg(&config);
        output_of(command.args(arguments).arg(&path))
    };
    let error = of(&[]).unwrap_err();
    assert!(error.contains("say which with -replica"), "{error}");
    let said = of(&["-replica", "2"]).unwrap();
    assert!(
        said.contains("\"level\": 1") && said.contains("\"size\": "),
        "{said}"
    );
    assert_eq!(rig.files(1), [name(2, rig.newest())]);
}

/// Replicas that Litestream wrote: other page sizes, older frames, levels begun, a base on level 1.
#[test]
fn replicas_of_litestream() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/ltx/replicas");
    let mut written = 0;
    for replica in [
        "frames-0.5.15-ps512",
        "once-runs",
        "ps1024-levels",
        "ps4096-ledger",
        "ps65536-mixed",
        "restart-daemon",
        "snap-retention",
        "utf16-mixed",
        "vacuum-shrink",
        "wal-restart",
    ] {
        let rig = Rig::new();
        for level in 0..=9_u8 {
            let Ok(files) = std::fs::read_dir(vectors.join(replica).join(format!("ltx/{level}")))
            else {
                continue;
            };
            for file in files {
                let file = file.unwrap();
                let bytes = std::fs::read(file.path()).unwrap();
                let name = file.file_name().into_string().unwrap();
                rig.place().write(level, &name, &bytes);
            }
        }
        let before = Program::RESTORERS.map(|program| states(&rig, program));
        let said = compact(&rig, &["-level", "9"]).unwrap();
        println!("{replica}:\n{said}");
        written += said.matches("Wrote").count();
        let after = Program::RESTORERS.map(|program| states(&rig, program));
        assert_eq!(after, before, "{replica}");
        assert_eq!(
            compact(&rig, &["-level", "9"]).unwrap(),
            "Nothing to merge\n"
        );
    }
    assert!(written > 8, "{written}");
}

#[test]
fn a_base_on_level_0_becomes_a_snapshot_first() {
    let rig = Rig::new();
    let mut session = Session::create(&rig.db());
    for _ in 0..3 {
        session.insert("t", 1);
        let config = rig.path("once.yml");
        let text = Settings::default().text_for(&[(&rig.db(), rig.place())]);
        std::fs::write(&config, text).unwrap();
        let mut once = Program::Litestream17.command();
        once.args(["replicate", "-once", "-config"]).arg(config);
        Process::start(&mut once, &rig.log(Program::Litestream17))
            .ended()
            .well();
    }
    assert_eq!((rig.files(9).len(), rig.files(1).len()), (0, 0));
    assert_eq!(rig.files(0)[0], name(1, 1));
    let before = Program::RESTORERS.map(|program| states(&rig, program));
    compact(&rig, &[]).unwrap();
    assert_eq!(rig.files(9), [name(1, 1)]);
    assert_eq!(rig.files(1), [name(2, rig.newest())]);
    // Litestream may empty level 0 from now on.
    for file in rig.files(0).iter().take(2) {
        rig.place().remove(0, file);
    }
    for (program, before) in Program::RESTORERS.into_iter().zip(before) {
        let newest = states(&rig, program).pop_last();
        assert_eq!(
            newest,
            before.last_key_value().map(|(txid, sum)| (*txid, *sum))
        );
    }
}
