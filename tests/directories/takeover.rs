//! The same configuration run by Litestream and by us in turn.

use std::path::Path;

use super::{Fleet, written_back};
use crate::support::place::Place;
use crate::support::process::{eventually, output_of};
use crate::support::rig::{Program, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};

const NAMES: [&str; 3] = ["a.db", "b c.db", "sub/100%.db"];

/// Both ways, with what each remembers where the other looks for its own.
fn in_turn(settings: &str) {
    let mut fleet = Fleet::new("recursive: true");
    fleet.settings += &settings.replace("MEMORY", fleet.path("memory").to_str().unwrap());
    for name in NAMES {
        fleet.create(name);
    }
    for round in 0..2 {
        let process = fleet.start_with(Program::Litestream17);
        for name in NAMES {
            fleet.insert(name);
            eventually(|| fleet.compare(Program::Litestream17, name));
        }
        process.stop();
        let process = fleet.start();
        for name in NAMES {
            fleet.insert(name);
        }
        fleet.wait_in_sync(&NAMES);
        process.stop().well();
        fleet.assert_in_sync(&NAMES);
        for name in NAMES {
            assert!(fleet.replica(name).join("ltx").is_dir(), "{round}: {name}");
        }
    }
}

#[test]
fn litestream_and_ours_take_over_directories_from_each_other() {
    in_turn("");
}

#[test]
fn with_what_is_remembered_below_a_meta_path() {
    in_turn(", meta-path: MEMORY");
}

#[test]
fn with_what_is_remembered_below_a_meta_dir() {
    in_turn(", meta-dir: MEMORY");
}

/// Each database of a directory has the same place on S3 for both programs, however that of the directory is written.
#[test]
fn databases_lie_at_the_same_place_on_s3() {
    for as_url in [true, false] {
        let place = Place::on(&S3Server::shared(Kind::SeaweedFs, Tls::Off));
        let fleet = Fleet::new("recursive: true");
        for name in NAMES {
            fleet.create(name);
        }
        let replica = match as_url {
            true => format!("url: \"{}\"", place.url()),
            false => place.settings(),
        };
        let config = fleet.path("config.yml");
        let data = fleet.path("data");
        let text = format!(
            "dbs: [{{dir: {}, pattern: '*.db', recursive: true, replica: {{{replica}}}}}]",
            data.display()
        );
        std::fs::write(&config, text).unwrap();
        let run = |program: Program, command: &str, arguments: &[&Path]| {
            let mut run = program.command();
            run.args([command, "-config"]).arg(&config).args(arguments);
            output_of(run.envs(place.environment()))
        };
        for (program, other) in [
            (Program::Litestream17, Program::Walbrook),
            (Program::Walbrook, Program::Walbrook),
        ] {
            for name in NAMES {
                fleet.insert(name);
            }
            run(program, "replicate", &[Path::new("-once")]).unwrap();
            for name in NAMES {
                let (database, output) = (fleet.db(name), fleet.path("restored.db"));
                let restored = run(other, "restore", &[Path::new("-o"), &output, &database]);
                assert!(
                    restored.is_ok(),
                    "{as_url}, {program:?}, {name}: {restored:?}"
                );
                let source = written_back(&database, &fleet.path("copy.db"));
                assert_eq!(sum_of(&output), source, "{as_url}, {program:?}, {name}");
                std::fs::remove_file(output).unwrap();
            }
        }
    }
}
