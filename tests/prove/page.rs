//! Single pages are those of a restored database, and cost as few requests as can be.

use std::fs;

use super::{answer, planted, replicated, walbrook};
use crate::ltx::vectors::{field, manifest};
use crate::restore::vectors::{files, targets};
use crate::support::memory::{Memory, ltx, name};
use crate::support::place::Place;
use crate::support::proxy::Proxy;
use crate::support::rig::{Program, Rig};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::scratch::Scratch;
use walbrook::ltx::{Encoder, Header};
use walbrook::restore::{Options, RestoreError, Target, page, plan_from, restore};
use walbrook::storage::ByteRange;
use walbrook::units::{PageCount, PageNumber, PageSize, Timestamp};

fn number(page: u32) -> PageNumber {
    PageNumber::new(page).unwrap()
}

#[test]
fn every_page_of_litestreams_replicas() {
    let scratch = Scratch::in_memory();
    let output = scratch.path().join("a.db");
    let mut pages = 0;
    for replica in manifest("replicas") {
        if field(&replica, "heavy").is_some() {
            continue;
        }
        let storage = Memory::holding(files(&replica));
        let states = targets(&replica);
        let reachable = states
            .iter()
            .filter(|state| field(state.1, "expect").is_none());
        for (target, _) in reachable.step_by(5) {
            restore(&storage, *target, &output, &Options::default(), &mut |_| ()).unwrap();
            let database = fs::read(&output).unwrap();
            fs::remove_file(&output).unwrap();
            let size = page::fetch(&storage, *target, number(1))
                .unwrap()
                .content
                .len();
            let count = (database.len() / size) as u32;
            for wanted in (1..=count).step_by(1 + count as usize / 20).chain([count]) {
                let found = page::fetch(&storage, *target, number(wanted)).unwrap();
                let start = (wanted as usize - 1) * size;
                assert_eq!(
                    *found.content,
                    database[start..start + size],
                    "{target:?} {wanted}"
                );
                pages += 1;
            }
            let beyond = page::fetch(&storage, *target, number(count + 1));
            assert!(
                matches!(beyond, Err(RestoreError::BeyondEnd { .. })),
                "{beyond:?}"
            );
        }
    }
    assert!(pages > 1000, "{pages}");
}

#[test]
fn what_is_read() {
    let file = |level, min, max, pages: &[(u32, u8)]| {
        let name = name(level, min, max);
        (name, 0, ltx(name.txids, 3, pages))
    };
    let storage = Memory::holding([
        file(9, 1, 1, &[(1, 1), (2, 2), (3, 3)]),
        file(0, 2, 2, &[(2, 22)]),
        file(0, 3, 3, &[(3, 33)]),
    ]);
    let newest = Target::Latest;
    for (wanted, content, indexes) in [(3, 33, 1), (2, 22, 2), (1, 1, 3)] {
        let before = storage.reads().len();
        let found = page::fetch(&storage, newest, number(wanted)).unwrap();
        assert_eq!(*found.content, [content; 512]);
        let reads = &storage.reads()[before..];
        // The header of the newest file, indexes, the page.
        assert_eq!(reads.len(), indexes + 2, "{reads:?}");
        let of_indexes = &reads[1..=indexes];
        assert!(
            of_indexes
                .iter()
                .all(|read| matches!(read.1, ByteRange::Last(_))),
            "{reads:?}"
        );
        assert!(
            matches!(reads[indexes + 1].1, ByteRange::Exact { .. }),
            "{reads:?}"
        );
        assert_eq!(found.file, Some(reads[indexes + 1].0));
    }
}

#[test]
fn a_long_index_takes_a_second_read() {
    let name = name(9, 1, 1);
    let size = PageSize::new(512).unwrap();
    let count = 20_000;
    let header = Header::new(
        size,
        PageCount(count),
        name.txids,
        Timestamp::from_millis(0),
    );
    let mut encoder = Encoder::new(Vec::new(), &header).unwrap();
    for wanted in 1..=count {
        encoder.page(number(wanted), &[wanted as u8; 512]).unwrap();
    }
    let storage = Memory::holding([(name, 0, encoder.finish().unwrap().0)]);
    let found = page::fetch(&storage, Target::Latest, number(4711)).unwrap();
    assert_eq!(*found.content, [4711_u32 as u8; 512]);
    let tails = storage.reads().into_iter().filter_map(|read| match read.1 {
        ByteRange::Last(bytes) => Some(bytes),
        _ => None,
    });
    let tails: Vec<u64> = tails.collect();
    assert_eq!((tails.len(), tails[0]), (2, 32 << 10), "{tails:?}");
    assert!(tails[1] > 60_000, "{tails:?}");
}

#[test]
fn a_file_that_is_gone_is_planned_around() {
    let file = |level, min, max, pages: &[(u32, u8)]| {
        let name = name(level, min, max);
        (name, 0, ltx(name.txids, 1, pages))
    };
    let storage = Memory::holding([file(9, 1, 1, &[(1, 1)]), file(0, 2, 2, &[(1, 2)])]);
    let merged = file(1, 2, 2, &[(1, 2)]);
    storage.fail([crate::support::memory::Fault::Compacted(vec![(
        merged.0, merged.2,
    )])]);
    let found = page::fetch(&storage, Target::Latest, number(1)).unwrap();
    assert_eq!(*found.content, [2; 512]);
    assert_eq!(
        plan_from(&storage, Target::Latest).unwrap().files[1].name,
        merged.0
    );
}

/// Pages as the command prints them, from a replica that we wrote, whole and damaged.
fn the_command(rig: &Rig) {
    replicated(rig, 3);
    let restored = fs::read(rig.restore(Program::Walbrook)).unwrap();
    let second = restored.chunks(4096).nth(1).unwrap();
    let print = |line: &[&str]| {
        let mut command = Program::Walbrook.command();
        command
            .arg("page")
            .args(line)
            .envs(rig.place().environment());
        let output = command.output().unwrap();
        (
            output.status.success(),
            output.stdout,
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let url = rig.url();
    assert_eq!(print(&[&url, "2"]), (true, second.to_vec(), String::new()));
    let file = rig.path("page");
    let path = file.to_str().unwrap();
    assert!(print(&["-o", path, &url, "2"]).0);
    assert_eq!(fs::read(&file).unwrap(), second);
    let (ok, _, said) = print(&["-o", path, &url, "1"]);
    assert!(!ok && said.contains("File exists"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), second);

    // As it was before.
    let txid = format!("{:016x}", rig.newest() - 1);
    let older = rig
        .restore_at(Program::Walbrook, Some(rig.newest() - 1))
        .unwrap();
    let (ok, page, said) = print(&["-txid", &txid, &url, "2"]);
    assert!(ok, "{said}");
    assert_eq!(page, fs::read(older).unwrap().chunks(4096).nth(1).unwrap());

    for (line, expected) in [
        (&[&*url, "0"][..], "pages are counted from 1"),
        (&[&*url, "x"], "is not the number of a page"),
        (&[&*url], "and the number of a page required"),
        (&[&*url, "99999"], "there is no page 99999: at TXID"),
    ] {
        let (ok, page, said) = print(line);
        assert!(
            !ok && page.is_empty() && said.contains(expected),
            "{expected} {said}"
        );
    }
    let newest = rig.files(0).pop().unwrap();
    let bytes = rig.place().read(0, &newest);
    let end = bytes.len();
    let flip = |at: usize| {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x40;
        flipped
    };
    let first = u32::from_be_bytes(bytes[100..104].try_into().unwrap()).to_string();
    // The header, the index, the page's frame; what is cut has no end; of what is deleted the one before is the newest.
    for damaged in [
        flip(0),
        flip(end - 26),
        flip(100),
        bytes[..end - 10].to_vec(),
    ] {
        rig.place().write(0, &newest, &damaged);
        let (ok, page, said) = print(&[&url, &first]);
        assert!(
            !ok && page.is_empty() && said.contains(" is damaged: "),
            "{said}"
        );
    }
    rig.place().remove(0, &newest);
    assert!(print(&[&url, &first]).0);
}

#[test]
fn the_command_on_a_directory() {
    the_command(&Rig::new());
}

#[test]
fn the_command_on_s3() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    the_command(&Rig::with_replica(Place::on(&server)));
}

#[test]
fn on_s3_few_requests_are_made() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    replicated(&rig, 2);
    proxy.reset_counts();
    let mut command = Program::Walbrook.command();
    command.arg("page").arg(rig.url()).arg("1");
    let output = command.envs(rig.place().environment()).output().unwrap();
    assert!(output.status.success() && output.stdout.len() == 4096);
    let requests = proxy.requests();
    let gets = requests
        .iter()
        .filter(|(target, _)| target.contains(".ltx"));
    // The header, the index of the newest file, which has page 1, and the page.
    assert_eq!(gets.count(), 3, "{requests:?}");
    assert_eq!(requests.len(), 4, "and one listing: {requests:?}");
}

#[test]
fn of_a_configured_database() {
    let scratch = Scratch::new();
    let replica = &manifest("replicas")[0];
    let (_, url) = planted(replica, &scratch);
    let by_url = walbrook(&[
        "page",
        "-o",
        scratch.path().join("a").to_str().unwrap(),
        &url,
        "1",
    ]);
    assert_eq!(by_url.code, 0, "{by_url:?}");
    let config = scratch.path().join("c.yml");
    let root = scratch.path().join("replica");
    fs::write(
        &config,
        format!(
            "dbs:\n  - path: /x.db\n    replica: {{path: {}}}\n",
            root.display()
        ),
    )
    .unwrap();
    let mut command = Program::Walbrook.command();
    command
        .args(["page", "-o"])
        .arg(scratch.path().join("b"))
        .arg("-config")
        .arg(&config);
    let configured = answer(command.args(["/x.db", "1"]));
    assert_eq!(configured.code, 0, "{configured:?}");
    let [a, b] = ["a", "b"].map(|name| fs::read(scratch.path().join(name)).unwrap());
    assert_eq!(a, b);
    assert!(a.starts_with(b"SQLite format 3\0"));
}
