//! The list of what can be restored is what Litestream restores, and says where something is missing.

use super::{of_url, planted, replicated, walbrook};
use crate::ltx::vectors::{field, list, manifest, number, text};
use crate::restore::vectors::{files, targets};
use crate::support::memory::Memory;
use crate::support::place::Place;
use crate::support::rig::Rig;
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use walbrook::restore::{Target, history_of};
use walbrook::units::Txid;

#[test]
fn points_are_what_litestream_restores() {
    let mut points = 0;
    for replica in manifest("replicas") {
        let found = history_of(&Memory::holding(files(&replica))).unwrap();
        for (target, expected) in targets(&replica) {
            let Target::Txid(txid) = target else { continue };
            let has = found.points.iter().any(|point| point.txid() == txid);
            let restored = field(expected, "expect").is_none();
            assert_eq!(has, restored, "{} {txid}", text(&replica["name"]));
            points += usize::from(has);
        }
    }
    assert!(points > 100, "{points}");
}

#[test]
fn every_point_restores_and_costs_what_is_said() {
    let scratch = Scratch::new();
    let replicas = manifest("replicas");
    let mut restored = 0;
    for replica in replicas
        .iter()
        .filter(|it| field(it, "heavy").is_none())
        .take(4)
    {
        let (_, url) = planted(replica, &scratch);
        let history = walbrook(&["history", "-last", "0", "-json", &url]).json();
        for point in list(&history[0]["points"]) {
            let output = scratch.path().join("a.db");
            let output = output.to_str().unwrap();
            let txid = text(&point["txid"]);
            let answer = walbrook(&["restore", "-txid", txid, "-o", output, &url]);
            assert_eq!(answer.code, 0, "{answer:?}");
            let cost = format!(
                ": {} files, {} bytes,",
                number(&point["files"]),
                number(&point["bytes"])
            );
            assert!(answer.said.contains(&cost), "{cost} {answer:?}");
            std::fs::remove_file(output).unwrap();
            restored += 1;
        }
        std::fs::remove_dir_all(scratch.path().join("replica")).unwrap();
    }
    assert!(restored > 10, "{restored}");
}

#[test]
fn a_missing_file_is_a_hole() {
    let rig = Rig::new();
    replicated(&rig, 4);
    let whole = of_url(&rig, &["history"]).well();
    assert!(!whole.contains("Hole"), "{whole}");
    let newest = rig.newest();
    let txids = [newest - 2, newest - 1].map(|txid| Txid::new(txid).unwrap());
    rig.place().remove(0, &format!("{0}-{0}.ltx", txids[1]));
    let text = of_url(&rig, &["history"]).well();
    let hole = format!(
        "Hole: nothing after {} can be restored; 1 later files",
        txids[0]
    );
    assert!(text.contains(&hole), "{hole} {text}");
    let two = of_url(&rig, &["history", "-last", "2"]).well();
    assert!(two.contains("older ones are not shown"), "{two}");
    assert_eq!(two.lines().count(), 5, "{two}");
    // Of a replica that is not there, nothing can be restored, and that is all there is to say.
    let none = format!("file://{}", rig.path("nowhere").display());
    let none = walbrook(&["history", &none]).well();
    assert_eq!(none.lines().count(), 1, "{none}");
}

#[test]
fn on_s3_the_times_are_those_of_the_files() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let rig = Rig::with_replica(Place::on(&server));
    replicated(&rig, 3);
    let shown = of_url(&rig, &["history", "-json"]).json();
    let points = list(&shown[0]["points"]);
    assert!(points.len() > 2, "{shown:?}");
    let point = &points[points.len() - 2];
    let output = rig.path("a.db");
    let output = output.to_str().unwrap();
    let newest = text(&points[points.len() - 1]["timestamp"]);
    let report = of_url(
        &rig,
        &["restore", "-json", "-timestamp", newest, "-o", output],
    )
    .json();
    assert_eq!(report["txid"], point["txid"]);
    assert_eq!(report["timestamp"], point["timestamp"]);
}
