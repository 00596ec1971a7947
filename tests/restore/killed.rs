//! The program is killed while it restores, and started again.

use crate::restarts::gaps::fill;
use crate::support::application::Session;
use crate::support::chance::Chance;
use crate::support::place::Place;
use crate::support::process::wait_until;
use crate::support::proxy::Proxy;
use crate::support::rig::{Program, Rig, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};

#[test]
fn kills_cost_a_tenth_of_the_bytes_at_most() {
    let mut chance = Chance::of_environment("kills_cost_a_tenth_of_the_bytes_at_most");
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    let mut session = Session::create(&rig.db());
    fill(&mut session, 64);
    rig.once();
    for _ in 0..5 {
        session.insert("t", 20);
        rig.once();
    }
    let output = rig.path("restored.db");
    let restore = || {
        let mut command = Program::Walbrook.command();
        command.arg("restore").arg("-o").arg(&output).arg(rig.url());
        rig.run(&mut command)
    };
    let down = || proxy.counts().bytes_down;
    proxy.reset_counts();
    restore().ended().well();
    let one_run = down();
    assert!(sum_of(&output) == rig.source_sum());
    std::fs::remove_file(&output).unwrap();

    // So slow that nothing gathers on the way.
    proxy.rate(16 << 20);
    proxy.reset_counts();
    for _ in 0..2 {
        let until = down() + (chance.below(28) << 20) + (4 << 20);
        let process = restore();
        wait_until("some of it has come", || down() > until);
        process.kill();
        assert!(!output.exists());
    }
    restore().ended().well();
    let (in_all, most) = (down(), one_run / 10 * 11);
    println!("{in_all} bytes with two kills, {one_run} without");
    assert!(in_all <= most, "{in_all} of {one_run}");
    assert!(sum_of(&output) == rig.source_sum());
    let left = std::fs::read_dir(rig.path(".")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let ours: Vec<String> = names.filter(|name| name.contains(".walbrook-")).collect();
    assert!(ours.is_empty(), "{ours:?}");
}
