//! What a machine does that starts after an accident: restores what is missing or broken, waits for its network, and
//! tells by its exit code how that went.

use std::fs;
use std::process::Command;

use crate::support::place::Place;
use crate::support::process::{Ended, Process, wait_until};
use crate::support::proxy::{Fault, Proxy};
use crate::support::rig::{Program, Rig, sqlite, sum_of};
use crate::support::s3::{Kind, S3Server, Tls};

/// A replicated database, which has been stopped.
fn replicated(rig: &Rig) {
    sqlite(&rig.db(), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    rig.once();
}

/// `walbrook restore FLAGS -o DATABASE URL`, to its end.
fn restore(rig: &Rig, flags: &[&str]) -> Ended {
    start_restore(rig, flags).ended()
}

fn start_restore(rig: &Rig, flags: &[&str]) -> Process {
    let mut command = Program::Walbrook.command();
    command.arg("restore").args(flags).arg("-o").arg(rig.db());
    rig.run(command.arg(rig.url()))
}

/// The database and what is beside it, by name.
fn names(rig: &Rig) -> Vec<String> {
    let entries = fs::read_dir(rig.db().parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // The index of a -wal is made anew wherever one is read.
    let wanted = |name: &String| name.starts_with("app.db") && !name.ends_with("-shm");
    let mut names: Vec<_> = names.filter(wanted).collect();
    names.sort();
    names
}

fn remove_database(rig: &Rig) {
    for name in names(rig) {
        fs::remove_file(rig.path(&name)).unwrap();
        let _ = fs::remove_file(rig.path(&(name + "-shm")));
    }
}

#[test]
fn exit_codes_say_what_to_do() {
    let rig = Rig::new();
    assert_eq!(restore(&rig, &["-txid", "1"]).code(), 64);
    assert_eq!(restore(&rig, &["-bogus"]).code(), 64);
    assert_eq!(restore(&rig, &[]).code(), 66);
    assert_eq!(restore(&rig, &["-if-replica-exists"]).code(), 0);
    replicated(&rig);
    assert_eq!(
        restore(&rig, &["-timestamp", "1999-01-01T00:00:00Z"]).code(),
        1
    );
    remove_database(&rig);
    let earlier = ["-if-replica-exists", "-timestamp", "1999-01-01T00:00:00Z"];
    assert_eq!(restore(&rig, &earlier).code(), 66);
    assert_eq!(restore(&rig, &["-txid", "00000000000000ff"]).code(), 66);
    assert_eq!(restore(&rig, &[]).code(), 0);
    assert_eq!(restore(&rig, &[]).code(), 1, "a database is in the way");

    let [snapshot] = &rig.files(9)[..] else {
        panic!("{:?}", rig.files(9));
    };
    let mut bytes = rig.place().read(9, snapshot);
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    rig.place().write(9, snapshot, &bytes);
    remove_database(&rig);
    assert_eq!(restore(&rig, &[]).code(), 65);
    assert_eq!(names(&rig), [""; 0]);

    let nobody = "s3://b/x?endpoint=http://127.0.0.1:1&forcePathStyle=true";
    let mut command = Program::Walbrook.command();
    command.args(["restore", "-o"]).arg(rig.db()).arg(nobody);
    command.envs([("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")]);
    assert_eq!(rig.run(&mut command).ended().code(), 75);
}

#[test]
fn a_broken_database_is_restored_and_kept_aside_and_a_sound_one_left() {
    let rig = Rig::new();
    replicated(&rig);
    let whole = sum_of(&restored(&rig));
    let flags = ["-if-db-unusable"];
    // Newer than the backup, in the -wal alone.
    let mut writer = Command::new("sqlite3");
    let sql = "PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES (2);";
    writer
        .arg(rig.db())
        .args(["-cmd", ".filectrl persist_wal 1"]);
    assert!(writer.arg(sql).status().unwrap().success());
    fs::write(rig.wal(), fs::read(rig.wal()).unwrap()).unwrap();
    assert!(fs::metadata(rig.wal()).unwrap().len() > 0);
    restore(&rig, &flags).well();
    assert_eq!(sqlite(&rig.db(), "SELECT max(a) FROM t"), "2\n");

    for torn in [vec![0; 8192], b"torn".to_vec()] {
        remove_database(&rig);
        fs::write(rig.db(), &torn).unwrap();
        fs::write(rig.wal(), "a log").unwrap();
        restore(&rig, &flags).well();
        assert_eq!(sum_of(&rig.db()), whole);
        let kept = names(&rig);
        let [app, old, old_wal] = &kept[..] else {
            panic!("{kept:?}");
        };
        assert_eq!(app, "app.db");
        assert!(old.starts_with("app.db.old-20"), "{kept:?}");
        assert_eq!(*old_wal, format!("{old}-wal"));
        assert_eq!(fs::read(rig.path(old)).unwrap(), torn);
        assert_eq!(fs::read(rig.path(old_wal)).unwrap(), b"a log");
    }
    remove_database(&rig);
    fs::write(rig.db(), "").unwrap();
    restore(&rig, &flags).well();
    assert_eq!(names(&rig), ["app.db"], "there was nothing in it to keep");
    remove_database(&rig);
    restore(&rig, &flags).well();
    assert_eq!(sum_of(&rig.db()), whole);

    // Killed between the removal of the old one and the new one's name.
    fs::remove_file(rig.db()).unwrap();
    fs::write(rig.wal(), "a log").unwrap();
    restore(&rig, &flags).well();
    assert_eq!(sum_of(&rig.db()), whole);
    assert!(!rig.wal().exists());

    // Without a backup the broken one stays where it is.
    fs::write(rig.db(), "torn").unwrap();
    fs::remove_dir_all(rig.replica()).unwrap();
    assert_eq!(restore(&rig, &flags).code(), 66);
    assert_eq!(fs::read(rig.db()).unwrap(), b"torn");
}

#[test]
fn what_force_replaces_can_be_kept() {
    let rig = Rig::new();
    replicated(&rig);
    let whole = sum_of(&restored(&rig));
    let old = fs::read(rig.db()).unwrap();
    for _ in 0..2 {
        fs::write(rig.db(), &old).unwrap();
        restore(&rig, &["-force", "-keep-old"]).well();
        assert_eq!(sum_of(&rig.db()), whole);
    }
    let kept: Vec<_> = names(&rig).into_iter().skip(1).collect();
    assert_eq!(
        kept.iter().filter(|name| !name.ends_with("-wal")).count(),
        2
    );
    for name in kept {
        assert!(name.starts_with("app.db.old-"), "{name}");
    }
}

fn error(status: u16, code: &str) -> Fault<'_> {
    Fault::Error {
        status,
        code,
        retry_after: 0,
    }
}

fn restored(rig: &Rig) -> std::path::PathBuf {
    rig.restore(Program::Walbrook)
}

#[test]
fn it_waits_for_a_storage_that_comes_late() {
    let server = S3Server::shared(Kind::SeaweedFs, Tls::Off);
    let proxy = Proxy::before(&server);
    let rig = Rig::with_replica(Place::on(&server).through(&proxy));
    replicated(&rig);
    let old = fs::read(rig.db()).unwrap();
    remove_database(&rig);

    proxy.fault(error(503, "SlowDown"));
    let mut waiting = start_restore(&rig, &["-max-wait", "60s"]);
    waiting.wait_for("trying again for up to 60 s");
    proxy.clear();
    let ended = waiting.ended().well();
    assert!(ended.log.contains("restored"), "{}", ended.log);
    assert_eq!(sqlite(&rig.db(), "SELECT a FROM t"), "1\n");

    // A refusal is final.
    remove_database(&rig);
    proxy.clear();
    proxy.fault(error(403, "AccessDenied"));
    let ended = restore(&rig, &["-max-wait", "1h"]);
    assert_eq!(ended.code(), 1, "{}", ended.log);

    proxy.clear();
    proxy.fault(Fault::Reset);
    let ended = restore(&rig, &["-max-wait", "1s"]);
    assert_eq!(ended.code(), 75, "{}", ended.log);
    assert!(ended.log.contains("given up after"), "{}", ended.log);
    assert_eq!(names(&rig), [""; 0]);

    // With a database there that will do.
    let flags = ["-force", "-max-wait", "1s", "-keep-if-unreachable"];
    assert_eq!(restore(&rig, &flags).code(), 75, "there is none");
    fs::write(rig.db(), "torn").unwrap();
    assert_eq!(restore(&rig, &flags).code(), 75, "it is broken");
    fs::write(rig.db(), &old).unwrap();
    let ended = restore(&rig, &flags).well();
    assert!(ended.log.contains("going on with"), "{}", ended.log);
    assert_eq!(fs::read(rig.db()).unwrap(), old);
    proxy.clear();
    restore(&rig, &flags).well();
}

#[test]
fn replicate_restores_what_is_missing_and_goes_on_without_what_cannot_be() {
    let rig = Rig::new();
    replicated(&rig);
    let whole = sum_of(&restored(&rig));
    remove_database(&rig);
    rig.forget();
    let config = |database: &str, exec: &str| {
        let path = |name: &str| rig.path(name).display().to_string();
        format!(
            "{exec}\ndbs:\n- {{path: {}, {database}, replica: {{path: {}}}}}\n- {{path: {}, {database}, replica: {{path: \
             {}}}}}\n- {{path: {}, replica: {{path: {}}}}}\n",
            path("app.db"),
            path("replica"),
            path("broken.db"),
            path("broken"),
            path("new.db"),
            path("new")
        )
    };
    let broken = rig.path("broken/ltx/9");
    fs::create_dir_all(&broken).unwrap();
    fs::write(
        broken.join(format!("{:016x}-{:016x}.ltx", 1, 1)),
        "damaged".repeat(40),
    )
    .unwrap();

    let by_key = config("restore-if-db-not-exists: true", "");
    let replicating = rig.start_config(Program::Walbrook, &by_key);
    replicating.wait_for("it was missing, and is restored");
    replicating.wait_for("broken.db: it is missing and was not restored");
    assert_eq!(sum_of(&rig.db()), whole);
    // The others are replicated; one that is new has no backup, which is fine.
    sqlite(&rig.db(), "INSERT INTO t VALUES (2)");
    sqlite(&rig.path("new.db"), "CREATE TABLE n(a)");
    wait_until("replicated", || rig.path("new/ltx/9").exists());
    rig.wait_in_sync();
    let ended = replicating.stop();
    assert_eq!(ended.code(), 1, "{}", ended.log);

    // A command does not run beside a database that could not be restored.
    remove_database(&rig);
    let mut command = rig.configured("replicate");
    fs::write(rig.path("config.yml"), config("watch: false", "")).unwrap();
    command.args(["-restore-if-db-not-exists", "-exec", "touch ran"]);
    let ended = rig.run(command.current_dir(rig.path(""))).ended();
    assert_eq!(ended.code(), 65, "{}", ended.log);
    assert!(!rig.path("ran").exists());
    assert!(rig.db().exists(), "the others are restored all the same");

    // What is there stays as it is.
    fs::write(rig.db(), "not a database").unwrap();
    fs::remove_dir_all(rig.path("broken")).unwrap();
    let mut command = rig.configured("replicate");
    command.args(["-restore-if-db-not-exists", "-exec", "touch ran"]);
    rig.run(command.current_dir(rig.path(""))).ended();
    assert_eq!(fs::read(rig.db()).unwrap(), b"not a database");
    assert!(rig.path("ran").exists());
}
