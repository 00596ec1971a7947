//! What the programs have in common on S3 beyond the files: their times, the ways to say where a replica is, and who may.

use std::time::{Duration, Instant};

use walbrook::ltx::Header;

use super::on_s3;
use crate::support::application::{Load, Session};
use crate::support::place::Place;
use crate::support::process::{Process, eventually, output_of, wait_until};
use crate::support::rig::{Program, Rig, Settings, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};

const BOTH: [Program; 2] = [Program::Litestream17, Program::Walbrook];

/// An object of level 0.
struct Object {
    txid: u64,
    /// The time in the header of the file, and as it is written out.
    millis: i64,
    in_header: String,
    /// The time that stands beside it.
    beside: String,
    /// When it was stored, to the second.
    stored: i64,
}

fn objects(rig: &Rig) -> Vec<Object> {
    let place = rig.place();
    let object = |name: &String| {
        let bytes = place.read(0, name);
        let header = Header::parse(bytes[..Header::BYTES].try_into().unwrap()).unwrap();
        let mut headers = place.s3().server().head(&place.s3().key(0, name));
        Object {
            txid: header.txids.max().value(),
            millis: header.timestamp.millis(),
            in_header: header.timestamp.to_string(),
            beside: headers.remove("x-amz-meta-litestream-timestamp").unwrap(),
            stored: {
                let time = httpdate::parse_http_date(&headers["last-modified"]).unwrap();
                let since = time.duration_since(std::time::UNIX_EPOCH).unwrap();
                since.as_millis() as i64
            },
        }
    };
    place.files(0).iter().map(object).collect()
}

#[test]
fn times_stand_beside_objects_and_are_gone_by_alike() {
    let rig = on_s3();
    let mut load = Load::start(&rig.db(), 60);
    for program in BOTH {
        load.go();
        let process = rig.start(program);
        // Enough files, over enough of the seconds that listings tell, however slow or fast the machine is.
        let (start, before) = (Instant::now(), rig.newest());
        let written = || start.elapsed() > Duration::from_secs(3) && rig.newest() > before + 20;
        wait_until("written by each", written);
        load.pause();
        process.stop().well();
    }
    let objects = objects(&rig);
    for object in &objects {
        assert_eq!(object.beside, object.in_header, "TXID {}", object.txid);
    }

    // A time names the newest state before it, so that of the first names none. Litestream goes by the times in
    // listings, which are whole seconds here, when it looks whether there are older and newer files.
    let oldest = objects[0].stored + 1000;
    let first = objects
        .partition_point(|object| object.millis < oldest)
        .max(1);
    let newest = objects[objects.len() - 1].millis / 1000 * 1000;
    let named = objects.partition_point(|object| object.millis < newest);
    assert!(first + 8 < named, "{first} to {named}");
    for index in (first..named).step_by((named - first) / 8) {
        let time = &objects[index].beside;
        let [theirs, ours] = BOTH.map(|program| {
            let restored = rig.restore_from(rig.place(), program, &["-timestamp", time]);
            sum_of(&restored.unwrap_or_else(|error| panic!("{program:?}, {time}: {error}")))
        });
        assert_eq!(ours, theirs, "at {time}");
        let txid = objects[index - 1].txid;
        let state = rig.restored_sum(Program::Walbrook, Some(txid));
        assert_eq!(state, Ok(ours), "before {time} is TXID {txid}");
    }
}

/// Starts replicating by a URL on the command line, with these variables.
fn start_by_url(rig: &Rig, program: Program, variables: &[(&str, String)]) -> Process {
    let mut command = program.command();
    command.arg("replicate").arg(rig.db()).arg(rig.url());
    command.envs(variables.iter().cloned());
    Process::start(&mut command, &rig.log(program))
}

#[test]
fn the_key_comes_from_the_environment_in_every_spelling() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let (id, secret) = (server.access_key_id(), server.secret_access_key());
    let key = |prefix: &str, id: &str| {
        [
            (format!("{prefix}_ACCESS_KEY_ID"), id.to_string()),
            (format!("{prefix}_SECRET_ACCESS_KEY"), secret.clone()),
        ]
    };
    let (aws, litestream) = (key("AWS", &id), key("LITESTREAM", &id));
    let both = [aws.clone(), key("LITESTREAM", "wrong")].concat();
    for variables in [&aws[..], &litestream, &both] {
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let rig = on_s3();
        let mut session = Session::create(&rig.db());
        for program in BOTH {
            let before = rig.newest();
            let process = start_by_url(&rig, program, &variables);
            session.insert("t", 3);
            eventually(|| match rig.newest() > before {
                true => Ok(()),
                false => Err(process.log()),
            });
            process.stop().well();
            let source = rig.source_sum();
            for restorer in BOTH {
                let output = rig.path("restored.db");
                let mut command = restorer.command();
                command.arg("restore").arg("-o").arg(&output).arg(rig.url());
                let done = output_of(command.envs(variables.iter().cloned()));
                done.unwrap_or_else(|error| panic!("{restorer:?}, {variables:?}: {error}"));
                assert_eq!(sum_of(&output), source, "{restorer:?}");
                std::fs::remove_file(output).unwrap();
            }
        }
    }
}

#[test]
fn a_replica_may_be_a_whole_bucket_of_garage() {
    // Keys such as `./0000/…`, as Litestream makes them then, are paths of a file system to the other servers here,
    // which refuse them.
    let Some(kind) = Kind::garage_if_asked_for() else {
        return;
    };
    let server = S3Server::shared(kind, Tls::Off);
    let rig = Rig::with_replica(Place::at_the_top_of(&server));
    let mut session = Session::create(&rig.db());
    for program in BOTH {
        let before = rig.newest();
        let process = rig.start_with(program, &Settings::default());
        session.insert("t", 3);
        eventually(|| match rig.newest() > before {
            true => Ok(()),
            false => Err(process.log()),
        });
        process.stop().well();
        rig.assert_in_sync();
    }
}
