//! Every S3 server starts, keeps what it is given over a crash, and is gone when we are.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::disk::Disk;
use crate::support::process::{eventually, output_of, wait_until};
use crate::support::rig::Rig;
use crate::support::s3::{Kind, Request, S3Server, Tls};

/// Objects go in and out, and are still there after a crash and after an orderly end.
fn keeps_objects(kind: Kind, tls: Tls) {
    let server = S3Server::start(kind, tls);
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let time = "2026-11-22T23:52:55.98Z";
    server.put("some/path with spaces+more", b"first");
    server.put_with(
        "some/thing",
        &bytes,
        &[("x-amz-meta-litestream-timestamp", time)],
    );
    server.put("other", b"");
    let expected = [
        ("some/path with spaces+more".to_string(), 5),
        ("some/thing".to_string(), 300_000),
    ];
    assert_eq!(server.objects("some/"), expected);
    assert_eq!(server.objects("none"), []);
    let metadata = || {
        let headers = server.head("some/thing");
        headers.get("x-amz-meta-litestream-timestamp").cloned()
    };
    assert_eq!(metadata().as_deref(), Some(time));
    server.kill();
    server.start_again();
    assert_eq!(server.get("some/thing"), bytes);
    let kept = kind.keeps_metadata().then_some(time);
    assert_eq!(metadata().as_deref(), kept);
    // Which SeaweedFS needs long for.
    if kind != Kind::SeaweedFs {
        server.stop();
        server.start_again();
    }
    assert_eq!(server.get("some/path with spaces+more"), b"first");
    server.delete("some/thing");
    assert_eq!(server.objects("some/"), expected[..1]);
    let missing = server.request(&Request {
        method: "GET",
        path: "/walbrook/some/thing",
        ..Request::default()
    });
    assert_eq!(missing.status, 404);
    assert!(missing.headers.contains_key("content-length"));
    let error = String::from_utf8(missing.body).unwrap();
    assert!(error.contains("<Code>NoSuchKey</Code>"), "{error}");
}

#[test]
fn a_server_s_disk_is_full_for_a_while() {
    let rig = Rig::new();
    let disk = Disk::new(&rig.path(""), 64);
    let directory = disk.path().join("server");
    let server = S3Server::start_in(&directory, Kind::SeaweedFs, Tls::Off);
    let put = |key: &str| {
        server.request(&Request {
            method: "PUT",
            path: &format!("/walbrook/{key}"),
            body: &[7; 1 << 20],
            ..Request::default()
        })
    };
    assert_eq!(put("before").status, 200);
    disk.fill();
    let refused = put("meanwhile");
    assert!(refused.status >= 500, "{refused:?}");
    disk.free();
    eventually(|| match put("after").status {
        200 => Ok(()),
        status => Err(format!("{status}, {}", server.log())),
    });
    assert_eq!(server.get("before"), [7; 1 << 20]);
}

#[test]
fn seaweedfs_keeps_objects() {
    keeps_objects(Kind::SeaweedFs, Tls::Off);
}

#[test]
fn seaweedfs_keeps_objects_behind_tls() {
    keeps_objects(Kind::SeaweedFs, Tls::On);
}

#[test]
fn juicefs_keeps_objects() {
    keeps_objects(Kind::JuiceFs, Tls::Off);
}

#[test]
fn rclone_keeps_objects() {
    keeps_objects(Kind::Rclone, Tls::Off);
}

#[test]
fn rclone_keeps_objects_behind_tls() {
    keeps_objects(Kind::Rclone, Tls::On);
}

#[test]
fn garage_keeps_objects_if_asked_for() {
    if let Some(kind) = Kind::garage_if_asked_for() {
        keeps_objects(kind, Tls::Off);
    }
}

/// curl knows nothing of our helper: endpoint, keys, CA and the bucket's host are what they are said to be.
fn curl(server: &S3Server, endpoint: &str, path: &str, arguments: &[&str]) -> String {
    let mut command = std::process::Command::new("curl");
    command.args(["-sS", "-m", "20", "--aws-sigv4"]);
    command.arg(format!("aws:amz:{}:s3", server.region()));
    let keys = format!("{}:{}", server.access_key_id(), server.secret_access_key());
    command.args(["--user", &keys]).args(arguments);
    command.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
    if let Some(ca) = server.ca_file() {
        command.arg("--cacert").arg(ca);
    }
    output_of(command.arg(format!("{endpoint}{path}"))).unwrap()
}

#[test]
fn curl_reads_and_writes_in_both_styles() {
    for kind in Kind::all() {
        for tls in kind.ways() {
            let server = S3Server::shared(kind, *tls);
            assert_eq!((server.kind(), server.tls()), (kind, *tls));
            let (path, bucket) = (server.fresh_path(), server.bucket());
            let key = format!("/{bucket}/{path}/key");
            curl(
                &server,
                &server.endpoint(),
                &key,
                &["-X", "PUT", "--data-binary", "content"],
            );
            assert_eq!(curl(&server, &server.endpoint(), &key, &[]), "content");
            assert_eq!(
                server.objects(&path),
                [(format!("{path}/key"), 7)],
                "{kind:?}"
            );
            if kind.has_virtual_hosts() {
                let endpoint = server
                    .vhost_endpoint()
                    .replace("://", &format!("://{bucket}."));
                let content = curl(&server, &endpoint, &format!("/{path}/key"), &[]);
                assert_eq!(content, "content", "{kind:?} {endpoint}");
            }
        }
    }
}

#[test]
fn the_bucket_s_host_is_known_to_every_program() {
    let mut command = std::process::Command::new("getent");
    let found = output_of(command.args(["hosts", "walbrook.s3.localhost"])).unwrap();
    assert!(found.contains("127.0.0.1"), "{found}");
}

#[test]
fn no_server_outlives_us() {
    let server = S3Server::start(Kind::Rclone, Tls::Off);
    let (pid, log) = (server.pid(), log_of(&server));
    assert!(is_running(pid) && log.exists());
    drop(server);
    assert!(!is_running(pid) && !log.parent().unwrap().exists());

    let server = S3Server::start(Kind::Rclone, Tls::Off);
    let (pid, directory) = (server.pid(), log_of(&server));
    let helper = Pid::from_raw(server.helper_pid() as i32).unwrap();
    kill_process(helper, Signal::KILL).unwrap();
    wait_until("dead", || !is_running(pid));
    drop(server);
    std::fs::remove_dir_all(directory.parent().unwrap()).unwrap();
}

fn log_of(server: &S3Server) -> PathBuf {
    server.directory().join("server.log")
}

/// Whether the process is there, and not merely waiting to be reaped.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}
