//! Whole configurations: what they mean, and word for word what mistakes are answered.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

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
fn the_smallest_configuration_takes_every_default() {
    let config = quiet("dbs:\n  - path: app.db\n    replica:\n      path: ~/backup\n");
    let location = ReplicaLocation::File(PathBuf::from("/home/ada/backup"));
    let database = DatabaseConfig::new(PathBuf::from("/srv/app.db"), location);
    assert_eq!(database.meta_path, Path::new("/srv/.app.db-litestream"));
    assert_eq!(database.truncate_pages, Some(121_359));
    let expected = Config {
        databases: vec![database],
        exec: None,
        logging: Logging::default(),
        shutdown_sync_timeout: Duration::from_secs(30),
        shutdown_sync_interval: Duration::from_millis(500),
    };
    assert_eq!(config, expected);
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
    restore-if-db-not-exists: false
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
    assert!(config.logging.stderr);
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
    assert_eq!(app.replica.sync_interval, Duration::from_secs(60));
    assert_eq!(
        app.replica.location.directory(),
        Path::new("/srv/backups/app")
    );
    assert_eq!(other.truncate_pages, Some(defaults::TRUNCATE_PAGES));
    assert_eq!(other.replica.sync_interval, Duration::from_secs(10));
    assert_eq!(
        other.replica.location.directory(),
        Path::new("/backup/other")
    );
}

#[test]
fn typical_mistakes_are_answered_word_for_word() {
    let cases = [
        (
            "",
            "no databases configured; add a `dbs:` list with `path:` and `replica:` for each database",
        ),
        (
            "dbs: []",
            "no databases configured; add a `dbs:` list with `path:` and `replica:` for each database",
        ),
        (
            "- x",
            "line 1, column 1: the file: must be a mapping: `key: value` lines, indented",
        ),
        (
            "dbs:\n  path: /x",
            "line 1, column 1: dbs: must be a list: begin each entry with `- `",
        ),
        (
            "databases: []",
            "line 1, column 1: unknown key `databases`; remove it or correct its name",
        ),
        (
            "dbs:\n - replica: {path: /r}",
            "line 2, column 4: dbs[0]: add `path:` with the file of the database",
        ),
        (
            "dbs:\n - path: /x.db",
            "line 2, column 4: dbs[0]: must specify replica for database: add `replica:` with `path:` or `url:` below it",
        ),
        (
            "dbs:\n - path: /x.db\n   replica: {type: file}",
            "line 3, column 13: dbs[0].replica: add `path:` with a directory, or `url:`",
        ),
        (
            "dbs:\n - path: /x.db\n   replica: {path: /r}\n   replicas: [{path: /s}]",
            "line 3, column 4: dbs[0]: cannot specify `replica` and `replicas` on a database; keep `replica`",
        ),
        (
            "dbs:\n - path: /x.db\n   replicas: [{path: /r}, {path: /s}]",
            "line 3, column 27: dbs[0].replicas: multiple replicas on a single database are no longer supported; \
             keep one, as `replica`",
        ),
        (
            "dbs:\n - path: /x.db\n   replica: {path: /r, url: file:///r}",
            "line 3, column 29: dbs[0].replica: cannot specify both `url` and `path`; keep one",
        ),
        (
            "dbs:\n - path: /x.db\n   replica: {path: 's3://k:hunter2@b/p'}",
            "line 3, column 20: dbs[0].replica.path: replica path cannot be a url, please use the `url` key instead: \
             s3://b/p",
        ),
        (
            "dbs:\n - path: /x.db\n   replica: {type: s4, path: /r}",
            "line 3, column 20: unknown replica type in config: `s4`; walbrook 0.1 has `file`",
        ),
        (
            "access-key-id: AKIA\nsecret-access-key: hunter2\ndbs:\n - path: /x.db\n   replica:\n     type: s3\n     bucket: b",
            "line 6, column 12: replicas of type `s3` are not supported yet by walbrook 0.1; replicate to a directory \
             (`file`), or keep Litestream for this database",
        ),
        (
            "dbs:\n - path: ''\n   replica: {path: /r}",
            "line 2, column 10: dbs[0].path: the path is empty",
        ),
        (
            "dbs: [{dir: /srv, pattern: '*.db', replica: {path: /r}}]",
            "line 1, column 8: `dbs[0].dir` is not supported yet by walbrook 0.1; list each database with its own `path`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error_of(text), expected, "{text}");
    }
}

#[test]
fn wrong_settings_are_answered_word_for_word() {
    let cases = [
        (
            with("snapshot:\n  interval: 1h", "", ""),
            "line 2, column 3: `snapshot.interval` is not supported yet by walbrook 0.1; it takes no periodic \
             snapshots: take the key out",
        ),
        (
            with("levels: [{interval: 30s}]", "", ""),
            "line 1, column 1: `levels` is not supported yet by walbrook 0.1; it does not compact replicas: take the \
             key out",
        ),
        (
            with("retention: {enabled: true}", "", ""),
            "line 1, column 13: `retention.enabled` is not supported yet by walbrook 0.1; it deletes nothing from \
             replicas: write `enabled: false`",
        ),
        (
            with("", "snapshot: {retention: 24h}", ""),
            "line 4, column 16: `dbs[0].snapshot.retention` is not supported yet by walbrook 0.1; it takes no periodic \
             snapshots: take the key out",
        ),
        (
            with("addr: ':9090'", "", ""),
            "line 1, column 1: `addr` is not supported yet by walbrook 0.1; take the key out",
        ),
        (
            with("secret-access-key: hunter2", "", ""),
            "line 1, column 1: `secret-access-key` is a setting of `s3` replicas, which are not supported yet by \
             walbrook 0.1; take the key out",
        ),
        (
            with("logging: {type: json}", "", ""),
            "line 1, column 17: logging of type `json` is not supported yet by walbrook 0.1; write `type: text`",
        ),
        (
            with("logging: {level: loud}", "", ""),
            "line 1, column 18: logging.level: `loud` is no level; write trace, debug, info, warn or error",
        ),
        (
            with("logging: {sterr: true}", "", ""),
            "line 1, column 11: unknown key `sterr`; did you mean `stderr`?",
        ),
        (
            with("", "sync-interval: 5s", ""),
            "line 4, column 5: unknown key `sync-interval`; it belongs under the `replica` of a database",
        ),
        (
            with("", "", "sync_intervall: 5s"),
            "line 7, column 7: unknown key `sync_intervall`; did you mean `sync-interval`?",
        ),
        (
            with("path: /x", "", ""),
            "line 1, column 1: unknown key `path`; it belongs under an entry of `dbs`",
        ),
        (
            with("", "", "retention: 24h"),
            "line 7, column 7: `retention`: a setting of Litestream 0.3, which 0.5 ignores; take the key out",
        ),
        (
            with("", "", "sync-interval: 5"),
            "line 7, column 22: dbs[0].replica.sync-interval: `5` has no unit: write 5s; Litestream would read this as \
             5 nanoseconds",
        ),
        (
            with("", "", "sync-interval: 0s"),
            "line 7, column 22: dbs[0].replica.sync-interval: must be greater than 0; write 1s for a second",
        ),
        (
            with("", "monitor-interval: 1 second", ""),
            "line 4, column 23: dbs[0].monitor-interval: `1 second` is refused: there is no unit second; the units are \
             ms, s, m and h",
        ),
        (
            with("", "min-checkpoint-page-count: 0", ""),
            "line 4, column 32: dbs[0].min-checkpoint-page-count: must be from 1 to 4294967295 (got 0)",
        ),
        (
            with("", "busy-timeout: [1s]", ""),
            "line 4, column 5: dbs[0].busy-timeout: must be one value, not a list or a mapping",
        ),
        (
            with("", "", "age: {identities: [AGE-SECRET-KEY-1]}"),
            "line 7, column 7: dbs[0].replica.age: age encryption is not supported, in Litestream 0.5 neither; take the \
             key out",
        ),
        (
            with("", "restore-if-db-not-exists: on", ""),
            "line 4, column 5: `dbs[0].restore-if-db-not-exists` is not supported yet by walbrook 0.1; run `walbrook \
             restore -if-db-not-exists` before `walbrook replicate`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error_of(&text), expected, "{text}");
    }
}

#[test]
fn settings_without_effect_give_a_warning_with_the_reason() {
    let (_, warnings) = read_all(&with(
        "auto-recover: true\nheartbeat-interval: 5m",
        "max-sync-wal-bytes: 1048576",
        "name: primary\n      max-sync-ltx-files: 10\n      validation-interval: 1h",
    ))
    .unwrap();
    assert_eq!(
        warnings,
        [
            "line 5, column 5: `dbs[0].max-sync-wal-bytes` has no effect: pages are read from the WAL in place, no copy \
             of it is staged",
            "line 8, column 7: `dbs[0].replica.name` has no effect: a database has one replica, which needs no name",
            "line 9, column 7: `dbs[0].replica.max-sync-ltx-files` has no effect: changes are sent as one file from the \
             database itself, none are staged",
            "line 10, column 7: `dbs[0].replica.validation-interval` has no effect: Litestream does not use it either",
            "line 1, column 1: `auto-recover` has no effect: there are no local files that could need a reset; walbrook \
             recovers by itself",
            "line 2, column 1: `heartbeat-interval` has no effect: there is no heartbeat without `heartbeat-url`",
        ]
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
        Ok(&config.databases[0])
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
    assert!(matches!(error.problem, Problem::Unreadable(_)), "{error}");
    let error = Config::load(Some(&directory), true).unwrap_err();
    assert!(matches!(error.problem, Problem::Unreadable(_)), "{error}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_environment_is_put_in_before_parsing() {
    let text = "dbs:\n - path: /srv/$WALBROOK_TEST_UNSET/a$$b.db\n   replica: {path: '/r/$PID'}";
    let (config, warnings) = read_all(text).unwrap();
    assert_eq!(config.databases[0].path, Path::new("/srv/a$b.db"));
    let replica = PathBuf::from(format!("/r/{}", std::process::id()));
    assert_eq!(
        config.databases[0].replica.location,
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
    let config = Config::from_arguments("/srv/a.db", "file:///r").unwrap();
    assert_eq!(config.databases.len(), 1);
    let error = Config::from_arguments("/srv/a.db", "file:///srv/a.db").unwrap_err();
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
