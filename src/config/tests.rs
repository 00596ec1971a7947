//! Whole configurations: what they mean, and how they are found.

mod directories;
mod long;
mod mistakes;
mod on_s3;
mod on_sftp;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::units::KeepRules;

fn base() -> Base {
    Base {
        home: Some(PathBuf::from("/home/ada")),
        directory: PathBuf::from("/srv"),
    }
}

fn read_all(text: &str) -> Result<(Config, Vec<String>), String> {
    match read(text, true, &base()) {
        Ok((config, warnings)) => Ok((config, warnings.iter().map(Warning::to_string).collect())),
        Err(error) => Err(error.to_string()),
    }
}

/// A configuration that gives no warnings.
fn quiet(text: &str) -> Config {
    let (config, warnings) = read_all(text).unwrap();
    assert_eq!(warnings, Vec::<String>::new(), "{text}");
    config
}

fn error_of(text: &str) -> String {
    match read_all(text) {
        Ok(_) => format!("no error for {text}"),
        Err(error) => error,
    }
}

/// One database with `lines` added to it and `top` to the whole.
fn with(top: &str, database: &str, replica: &str) -> String {
    format!(
        "{top}\ndbs:\n  - path: /srv/app.db\n    {database}\n    replica:\n      path: /backup/app\n      {replica}\n"
    )
}

#[test]
fn a_database_with_several_replicas() {
    let config = quiet(
        "sync-interval: 5s\ndbs:\n - path: /srv/app.db\n   replicas:\n    - path: /backup/app\n    - url: s3://b/app\n      \
         sync-interval: 1h\n",
    );
    let [directory, bucket] = &config.databases[0].replicas[..] else {
        panic!("two replicas");
    };
    assert_eq!(
        directory.location.directory(),
        Some(Path::new("/backup/app"))
    );
    assert_eq!(directory.sync_interval, Duration::from_secs(5));
    assert_eq!(bucket.location.to_string(), "s3://b/app");
    assert_eq!(bucket.sync_interval, Duration::from_secs(3600));
    let one = quiet("dbs:\n - path: /srv/app.db\n   replicas:\n    - path: /backup/app\n");
    let same = quiet("dbs:\n - path: /srv/app.db\n   replica:\n     path: /backup/app\n");
    assert_eq!(one, same);
}

#[test]
fn the_smallest_configuration_takes_every_default() {
    let config = quiet("dbs:\n  - path: app.db\n    replica:\n      path: ~/backup\n");
    let location = ReplicaLocation::File(PathBuf::from("/home/ada/backup"));
    let database = DatabaseConfig::new(
        PathBuf::from("/srv/app.db"),
        Replicas::one(ReplicaConfig::new(location)),
    );
    assert_eq!(database.meta_path, Path::new("/srv/.app.db-litestream"));
    assert_eq!(database.truncate_pages, Some(121_359));
    let expected = Config {
        network: crate::storage::Bounds {
            max_upload_rate: None,
            upload_memory: 8 << 20,
            tls_min_time: None,
            patience: Duration::from_secs(60),
        },
        databases: vec![database],
        directories: Vec::new(),
        exec: None,
        logging: Logging::default(),
        shutdown_sync_timeout: Duration::from_secs(30),
        shutdown_sync_interval: Duration::from_millis(500),
    };
    assert_eq!(config, expected);
}

#[test]
fn how_replicas_are_kept_is_read() {
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    let usual = quiet(&with("", "", "")).databases.remove(0).keeping;
    assert_eq!(usual, KeepingConfig::default());
    assert_eq!(usual.sync_retention, Some(Duration::from_secs(300)));
    let text = "levels: [{interval: 1m}, {interval: 1h}]
snapshot: {interval: 6h, retention: 240h, keep: {daily: 7, monthly: 12}}
l0-retention: 0
l0-retention-check-interval: 1m
retention: {enabled: false}
validation: {interval: 12h}";
    let shared = quiet(&with(text, "", "")).databases.remove(0).keeping;
    let expected = KeepingConfig {
        levels: vec![Duration::from_secs(60), hours(1)],
        snapshot_interval: hours(6),
        snapshot_now: false,
        snapshot_retention: hours(240),
        keep: KeepRules {
            daily: 7,
            monthly: 12,
            ..KeepRules::default()
        },
        sync_retention: None,
        sync_retention_check: Duration::from_secs(60),
        deletes: false,
        validation_interval: Some(hours(12)),
    };
    assert_eq!(shared, expected);
    let own = quiet(&with("", "snapshot: {retention: 72h}", "")).databases;
    assert_eq!(own[0].keeping.snapshot_interval, hours(24));
    assert_eq!(own[0].keeping.snapshot_retention, hours(72));
    let text = "snapshot: {keep: {daily: 7}}";
    let own = quiet(&with(text, "snapshot: {keep: {weekly: 4}}", "")).databases;
    let weekly = KeepRules {
        weekly: 4,
        ..KeepRules::default()
    };
    assert_eq!(own[0].keeping.keep, weekly);
    for wrong in ["-1", "4294967296", "often", "1d"] {
        let text = format!("snapshot: {{keep: {{daily: {wrong}}}}}");
        assert!(read_all(&with(&text, "", "")).is_err(), "{wrong}");
    }
}

#[test]
fn what_litestream_would_keep_otherwise_is_said() {
    let warnings = |top: &str, database: &str| read_all(&with(top, database, "")).unwrap().1;
    let [short] = &warnings("snapshot: {retention: 24h}", "")[..] else {
        panic!("one warning");
    };
    assert!(
        short.starts_with("line 1, column 11: `snapshot`: the retention is not longer"),
        "{short}"
    );
    let [both] = &warnings("snapshot: {retention: 48h}", "snapshot: {retention: 72h}")[..] else {
        panic!("one warning");
    };
    assert!(
        both.contains("`dbs[0].snapshot.retention` holds for this database; Litestream would"),
        "{both}"
    );
}

#[test]
fn every_supported_setting_is_read() {
    let config = quiet(
        r#"
exec: app -port 80
sync-interval: 10s
shutdown-sync-timeout: 0s
shutdown-sync-interval: 1s
logging: {level: DEBUG, type: text, stderr: yes, source: false}
retention: {enabled: off}
l0-retention: 0
verify-compaction: no
validation: {interval: 0s}
socket: {enabled: false, path: /run/x.sock, permissions: 0600}
addr: ""
heartbeat-url:
dbs:
  - path: sqlite:///srv/app.db
    meta-path: ~/state
    monitor-interval: 250ms
    checkpoint-interval: 0
    busy-timeout: 5s
    min-checkpoint-page-count: 500
    truncate-page-n: -1
    restore-if-db-not-exists: true
    recursive: false
    replicas:
      - type: file
        path: backups/app/
        sync-interval: 1m
        auto-recover: false
  - path: /srv/other.db
    truncate-page-n: 0
    replica:
      url: file:///backup/other?x=y
"#,
    );
    assert_eq!(config.exec.as_deref(), Some("app -port 80"));
    assert_eq!(config.logging.level, LogLevel::Debug);
    let restored = config.databases.iter().map(|db| db.restore_if_missing);
    assert_eq!(restored.collect::<Vec<_>>(), [true, false]);
    assert_eq!(config.shutdown_sync_timeout, Duration::ZERO);
    assert_eq!(config.shutdown_sync_interval, Duration::from_secs(1));
    let [app, other] = &config.databases[..] else {
        panic!("two databases");
    };
    assert_eq!(app.path, Path::new("/srv/app.db"));
    assert_eq!(app.meta_path, Path::new("/home/ada/state"));
    assert_eq!(app.monitor_interval, Duration::from_millis(250));
    assert_eq!(app.checkpoint_interval, Duration::ZERO);
    assert_eq!(app.busy_timeout, Duration::from_secs(5));
    assert_eq!(app.min_checkpoint_pages, 500);
    assert_eq!(app.truncate_pages, None);
    assert_eq!(app.replicas[0].sync_interval, Duration::from_secs(60));
    assert_eq!(
        app.replicas[0].location.directory(),
        Some(Path::new("/srv/backups/app"))
    );
    assert_eq!(other.truncate_pages, Some(defaults::TRUNCATE_PAGES));
    assert_eq!(other.replicas[0].sync_interval, Duration::from_secs(10));
    assert_eq!(
        other.replicas[0].location.directory(),
        Some(Path::new("/backup/other"))
    );
}

#[test]
fn no_two_things_share_a_place() {
    let two = |first: &str, second: &str| {
        format!(
            "dbs:\n  - path: /srv/a.db\n    replica: {{path: {first}}}\n  - path: /srv/b.db\n    replica: {{path: {second}}}\n"
        )
    };
    assert_eq!(
        error_of(
            "dbs:\n - path: /srv/a.db\n   replica: {path: /r/1}\n - path: /srv/./a.db\n   replica: {path: /r/2}"
        ),
        "line 4, column 10: duplicate path /srv/a.db: it is the database of line 2; each database can be listed only \
         once"
    );
    let same = "the replica /backup/x of /srv/b.db (line 5) is also that of /srv/a.db (line 3); give each database a \
                directory of its own";
    assert_eq!(
        error_of(&two("/backup/x", "/backup//y/../x/")),
        format!("line 5, column 21: {same}")
    );
    assert!(error_of(&two("/backup/x", "/backup/x/ltx/0")).contains("is also that of"));
    assert!(error_of(&two("/backup/x/ltx/0", "/backup/x")).contains("is also that of"));
    assert!(
        read_all(&two("/backup/x", "/backup/xy"))
            .unwrap()
            .1
            .is_empty()
    );
    let (_, warnings) = read_all(&two("/backup", "/backup/x")).unwrap();
    assert!(
        warnings[0].contains("lie inside each other"),
        "{warnings:?}"
    );
    let (_, warnings) = read_all(&two("/srv", "/backup/x")).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("whoever deletes the replica deletes the database"));
    let (_, warnings) = read_all(&two("/backup/x", "/srv")).unwrap();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(error_of(&two("/backup/x", "/srv/a.db/x")).contains("is at the file of the database"));
    assert!(error_of(&two("/srv/.b.db-litestream", "/backup/x")).contains("state of /srv/b.db"));
    assert!(
        error_of(&two("/srv/b.db/x", "/backup/x"))
            .contains("is at the file of the database /srv/b.db")
    );
    assert!(
        error_of(&two("/backup/x", "/srv/.a.db-litestream/r"))
            .contains("where the state of /srv/a.db is kept")
    );
    assert!(error_of(&two("/srv/a.db", "/backup/x")).contains("is at the file of the database"));
    assert!(
        error_of(
            "dbs:\n - path: /srv/a.db\n   meta-path: /m\n   replica: {path: /r/1}\n - path: /srv/b.db\n   meta-path: /m\n   replica: {path: /r/2}"
        )
        .contains("have the same meta-path")
    );
}

#[test]
fn links_do_not_hide_that_places_are_the_same() {
    let directory =
        std::env::temp_dir().join(format!("walbrook-links-{:x}", crate::sys::random::unique()));
    std::fs::create_dir_all(directory.join("real")).unwrap();
    std::os::unix::fs::symlink("real", directory.join("link")).unwrap();
    let at = directory.display();
    let error = error_of(&format!(
        "dbs:\n - path: {at}/real/a.db\n   replica: {{path: /r/1}}\n - path: {at}/link/a.db\n   replica: {{path: /r/2}}"
    ));
    assert!(error.contains("duplicate path"), "{error}");
    let error = error_of(&format!(
        "dbs:\n - path: /srv/a.db\n   replica: {{path: {at}/real/new/r}}\n - path: /srv/b.db\n   replica: {{path: {at}/link/new/r}}"
    ));
    assert!(error.contains("is also that of"), "{error}");
    let config = quiet(&format!(
        "dbs:\n - path: {at}/link/a.db\n   replica: {{path: /r}}"
    ));
    assert!(config.find(&directory.join("real/a.db")).is_ok());
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_database_is_found_or_the_others_are_named() {
    let config = quiet("dbs:\n - path: /srv/a.db\n   replica: {path: /r}");
    assert_eq!(
        config.find(Path::new("/srv/a.db")),
        Ok(config.databases[0].clone())
    );
    assert_eq!(
        config.find(Path::new("/nope.db")).unwrap_err().to_string(),
        "database not found in config: /nope.db; it has /srv/a.db"
    );
}

#[test]
fn files_are_looked_for_in_order() {
    let directory =
        std::env::temp_dir().join(format!("walbrook-load-{:x}", crate::sys::random::unique()));
    std::fs::create_dir_all(&directory).unwrap();
    let (ours, theirs) = (
        directory.join("walbrook.yml"),
        directory.join("litestream.yml"),
    );
    let both = [ours.clone(), theirs.clone()];
    assert_eq!(
        Config::load_first(&both, true).unwrap_err().to_string(),
        format!(
            "config file not found: looked for {}, {}; make one with a `dbs:` list (`path:` and `replica:` for each \
             database), or name one with -config",
            ours.display(),
            theirs.display()
        )
    );
    std::fs::write(&theirs, "dbs: [{path: /a.db, replica: {path: /r}}]").unwrap();
    assert!(Config::load_first(&both, true).is_ok());
    std::fs::write(&ours, "nonsense: 1\n").unwrap();
    let error = Config::load_first(&both, true).unwrap_err();
    let expected = format!(
        "{}:1:1: unknown key `nonsense`; remove it or correct its name",
        ours.display()
    );
    assert_eq!(error.to_string(), expected);
    std::fs::write(&ours, [0xff, 0xfe]).unwrap();
    let error = Config::load(Some(&ours), true).unwrap_err();
    assert!(matches!(error.problem(), Problem::Unreadable(_)), "{error}");
    let error = Config::load(Some(&directory), true).unwrap_err();
    assert!(matches!(error.problem(), Problem::Unreadable(_)), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_environment_is_put_in_before_parsing() {
    let text = "dbs:\n - path: /srv/$WALBROOK_TEST_UNSET/a$$b.db\n   replica: {path: '/r/$PID'}";
    let (config, warnings) = read_all(text).unwrap();
    assert_eq!(config.databases[0].path, Path::new("/srv/a$b.db"));
    let replica = PathBuf::from(format!("/r/{}", std::process::id()));
    assert_eq!(
        config.databases[0].replicas[0].location,
        ReplicaLocation::File(replica)
    );
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("line 2, column 15: the environment variable WALBROOK_TEST_UNSET")
    );
    let (config, warnings) = Config::from_text(text, false).unwrap();
    assert_eq!(
        config.databases[0].path,
        Path::new("/srv/$WALBROOK_TEST_UNSET/a$$b.db")
    );
    assert!(warnings.is_empty());
}

#[test]
fn a_replica_beside_its_database_is_refused_on_the_command_line_too() {
    let config = Config::from_arguments("/srv/a.db", "file:///r", &[]).unwrap();
    assert_eq!(config.databases.len(), 1);
    let error = Config::from_arguments("/srv/a.db", "file:///srv/a.db", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the replica /srv/a.db is at the file of the database /srv/a.db; choose a directory"
    );
}

#[test]
fn debug_output_has_no_command() {
    let config =
        quiet("exec: app --password hunter2\ndbs:\n - path: /srv/a.db\n   replica: {path: /r}");
    assert!(!format!("{config:?}").contains("hunter2"));
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&String::from_utf8_lossy(&bytes), true, &base());
    }

    #[test]
    fn no_near_configuration_panics(
        words in prop::collection::vec("\n|\n  |\n    |- |: |dbs|path|replica|url|file:///|%|\\$|\\{|\\}|\\[|\\]|,|5s|\"|'|&a|\\*a|snapshot|exec|~|é", 0..40)
    ) {
        let _ = read(&words.concat(), true, &base());
    }
}
