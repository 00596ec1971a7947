//! The real Litestream replicates to the servers and restores from them as [`Rig`] tells it to.

use crate::support::application::Session;
use crate::support::place::Place;
use crate::support::process::{eventually, wait_until};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Rig, Settings};
use crate::support::s3::{Kind, S3Server, Tls};
use crate::support::sftp::{self as ssh, SftpServer};

const LITESTREAM: Program = Program::Litestream17;

/// Replicates until Litestream restores exactly the database.
fn is_replicated(rig: &Rig, session: &mut Session) {
    session.insert("t", 10);
    eventually(|| {
        let (source, restored) = (rig.source_sum(), rig.restored_sum(LITESTREAM, None)?);
        match source == restored {
            true => Ok(()),
            false => Err(format!("{restored:?} is not {source:?}")),
        }
    });
}

fn works(place: Place) {
    let rig = Rig::with_replica(place);
    let mut session = Session::create(&rig.db());
    let litestream = rig.start(LITESTREAM);
    is_replicated(&rig, &mut session);
    litestream.stop().well();
    assert!(rig.newest() >= 1);
    let files = rig.files(0);
    assert_eq!(rig.files(5), Vec::<String>::new());
    assert!(rig.restored_sum(LITESTREAM, Some(1)).is_ok());

    // The raw view of the same files.
    let place = rig.place();
    let (server, key) = (place.s3().server(), place.s3().key(0, &files[0]));
    let headers = server.head(&key);
    let time = &headers["x-amz-meta-litestream-timestamp"];
    assert!(time.ends_with('Z'), "{time}");
    let bytes = place.read(0, &files[0]);
    assert!(bytes.starts_with(b"LTX1"));
    let under_path = server.objects(&format!("{}/0000/", place.s3().path()));
    assert_eq!(under_path[0], (key, bytes.len() as u64));
    place.remove(0, &files[0]);
    assert_eq!(rig.files(0), files[1..]);
    place.write(0, &files[0], &bytes);
    assert_eq!(rig.files(0), files);
}

#[test]
fn works_on_every_server() {
    for kind in Kind::all() {
        for tls in kind.ways() {
            println!("{kind:?}, TLS {tls:?}");
            works(Place::on(&S3Server::shared(kind, *tls)));
        }
    }
}

#[test]
fn works_on_every_ssh_server() {
    for kind in ssh::Kind::ALL {
        println!("{kind:?}");
        let server = SftpServer::shared(kind);
        let rig = Rig::with_replica(Place::on_sftp(&server));
        let mut session = Session::create(&rig.db());
        let litestream = rig.start(LITESTREAM);
        is_replicated(&rig, &mut session);
        litestream.stop().well();
        let files = rig.files(0);
        let place = rig.place().sftp();
        assert_eq!(place.server().kind(), kind);
        assert!(place.local().join("ltx/0").is_dir());

        // The raw view of the same files.
        let place = rig.place();
        let bytes = place.read(0, &files[0]);
        assert!(bytes.starts_with(b"LTX1"));
        place.remove(0, &files[0]);
        assert_eq!(rig.files(0), files[1..]);
        place.write(0, &files[0], &bytes);
        assert_eq!(rig.files(0), files);
        assert!(rig.restored_sum(LITESTREAM, Some(1)).is_ok());
    }
}

#[test]
fn works_with_the_bucket_in_the_host_s_name() {
    for tls in [Tls::Off, Tls::On] {
        let server = S3Server::shared(Kind::SeaweedFs, tls);
        works(Place::on(&server).in_virtual_host());
        let proxy = Proxy::before(&server);
        works(Place::on(&server).in_virtual_host().through(&proxy));
        assert!(proxy.counts().bytes_up > 0);
    }
}

#[test]
fn works_for_two_databases_of_one_configuration() {
    let rig = Rig::with_replica(Place::on(&S3Server::shared(Kind::JuiceFs, Tls::Off)));
    let (other, beside) = (rig.path("other.db"), rig.place().beside("other"));
    let _sessions = [Session::create(&rig.db()), Session::create(&other)];
    let databases = [(&*rig.db(), rig.place()), (&*other, &beside)];
    let text = Settings::default().text_for(&databases);
    let litestream = rig.start_config(LITESTREAM, &text);
    wait_until("there", || rig.newest() > 0 && !beside.files(0).is_empty());
    litestream.stop().well();
}

#[test]
fn works_through_a_proxy_that_counts_and_fails() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    let mut session = Session::create(&rig.db());
    let litestream = rig.start(LITESTREAM);
    is_replicated(&rig, &mut session);
    let counts = proxy.counts();
    assert!(
        counts.put >= 1 && counts.list >= 1 && counts.get >= 1,
        "{counts:?}"
    );

    // Silent after the first bytes of a body, Litestream would wait for hours.
    proxy.fault_on("^PUT ", 2, Fault::ResetUp(50));
    let slow_down = Fault::Error {
        status: 503,
        code: "SlowDown",
        retry_after: 0,
    };
    proxy.fault_on("^PUT ", 1, slow_down);
    is_replicated(&rig, &mut session);
    assert_eq!(proxy.counts().faulted, 3);
    litestream.stop().well();
}
