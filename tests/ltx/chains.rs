//! Chains of files: merged as compaction does it, and rebuilt into databases as a restore does.

use tinyjson::JsonValue;
use walbrook::ltx::name::parse_file_name;
use walbrook::ltx::{Class, Decoder, MergeError, merge};
use walbrook::units::TxidRange;

use super::vectors::{field, list, manifest, number, open, read, rebuild, text, texts};

#[test]
fn unusual_chains_rebuild_to_the_right_database() {
    for file in manifest("accepted") {
        let chain: Vec<_> = texts(&file["chain"]).into_iter().map(read).collect();
        assert_eq!(
            rebuild(&chain).as_deref(),
            Ok(text(&file["db_sha256"])),
            "{:?}",
            file["name"]
        );
    }
}

#[test]
fn every_plan_rebuilds_to_the_right_database() {
    let mut databases = 0;
    for replica in manifest("replicas") {
        if field(&replica, "heavy").is_some() {
            continue;
        }
        let latest = [replica["latest"].clone()];
        for target in list(&replica["txids"]).iter().chain(&latest) {
            let Some(plan) = field(target, "plan") else {
                continue;
            };
            let chain: Vec<_> = texts(plan)
                .into_iter()
                .map(|file| read(&format!("{}/ltx/{file}", text(&replica["dir"]))))
                .collect();
            assert_eq!(
                rebuild(&chain).as_deref(),
                Ok(text(&target["db_sha256"])),
                "{:?} at {:?}",
                replica["name"],
                target["txid"]
            );
            databases += 1;
        }
    }
    assert_eq!(databases, 313);
}

#[test]
fn merging_gives_what_litestream_compacted() {
    let mut compared = 0;
    for replica in manifest("replicas") {
        for file in list(&replica["files"]) {
            let level = number(&file["level"]);
            if !(1..=8).contains(&level) {
                continue;
            }
            for source_level in 0..level {
                let Some(sources) = sources(&replica, source_level, txids(file)) else {
                    continue;
                };
                let path = format!("{}/{}", text(&replica["dir"]), text(&file["path"]));
                compare_with_compacted(&sources, &path);
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 170);
}

#[test]
fn a_chain_is_checked_before_anything_is_written() {
    let base = read("malformed/support/base.ltx");
    let none: Vec<Decoder<&[u8]>> = Vec::new();
    assert_eq!(merge(none, Vec::new()), Err(MergeError::NoInputs));
    for (name, class) in [
        ("chain-gap", Class::TxidGap),
        ("chain-backwards", Class::TxidGap),
        ("chain-page-size", Class::PageSizeMismatch),
    ] {
        let files = [base.clone(), read(&format!("malformed/{name}.ltx"))];
        let mut out = Vec::new();
        let error = merge(open(&files).unwrap(), &mut out).unwrap_err();
        assert_eq!(error.class(), class);
        assert!(out.is_empty(), "{name}");
    }
}

/// The files of one level that cover exactly `whole`; none when some are gone.
fn sources(replica: &JsonValue, level: u64, whole: TxidRange) -> Option<Vec<Vec<u8>>> {
    let mut found = Vec::new();
    let mut reached = whole.min().value() - 1;
    for file in list(&replica["files"]) {
        let part = txids(file);
        if number(&file["level"]) == level
            && part.min().value() == reached + 1
            && part.max() <= whole.max()
        {
            reached = part.max().value();
            found.push(read(&format!(
                "{}/{}",
                text(&replica["dir"]),
                text(&file["path"])
            )));
        }
    }
    (reached == whole.max().value()).then_some(found)
}

fn txids(file: &JsonValue) -> TxidRange {
    let (_, name) = text(&file["path"]).rsplit_once('/').unwrap();
    parse_file_name(name.trim_end_matches(".gz")).unwrap()
}

fn compare_with_compacted(sources: &[Vec<u8>], path: &str) {
    let theirs = read(path);
    let (header, ours, _) = merge(open(sources).unwrap(), Vec::new()).expect(path);
    assert_eq!(header.to_bytes(), theirs[..100], "{path}");
    let mut ours = Decoder::open(&ours[..]).unwrap();
    let mut theirs = Decoder::open(&theirs[..]).unwrap();
    assert_eq!(ours.header(), theirs.header());
    while let Some(page) = theirs.next_page().unwrap() {
        let our = ours.next_page().unwrap().expect(path);
        assert_eq!(our.number(), page.number(), "{path}");
        assert!(our.data() == page.data(), "{path}: page {}", page.number());
    }
    assert!(ours.next_page().unwrap().is_none(), "{path}");
    ours.finish().unwrap();
    theirs.finish().unwrap();
}
