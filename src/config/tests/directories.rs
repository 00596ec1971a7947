//! Directories of databases: where each database has its places, and which are whose.

use super::*;

fn directory(text: &str) -> DirectoryConfig {
    quiet(&format!("dbs: [{{{text}}}]")).directories.remove(0)
}

#[test]
fn each_database_has_places_of_its_own() {
    for (memory, expected) in [
        ("", "/srv/data/sub/.a.db-litestream"),
        ("meta-path: /m, ", "/m/sub/.a.db-litestream"),
        ("meta-dir: /m, ", "/m/sub/a.db-litestream"),
    ] {
        let directory = directory(&format!(
            "dir: data, pattern: '*.db', recursive: true, watch: true, {memory}replica: {{path: /r, sync-interval: 5s}}"
        ));
        assert!(directory.files.recursive && directory.files.watch);
        let database = directory.database(Path::new("sub/a.db")).unwrap();
        assert_eq!(database.path, Path::new("/srv/data/sub/a.db"));
        assert_eq!(database.meta_path, Path::new(expected));
        assert_eq!(
            database.replicas[0].location,
            ReplicaLocation::File(PathBuf::from("/r/sub/a.db"))
        );
        assert_eq!(database.replicas[0].sync_interval, Duration::from_secs(5));
    }
}

#[test]
fn settings_are_those_of_the_entry() {
    let config = quiet(
        "l0-retention: 1h\nupload-memory: 6MiB\ndbs:\n - dir: /srv\n   pattern: '*'\n   busy-timeout: 7s\n   \
         snapshot: {interval: 1h}\n   replica:\n     url: s3://b/p\n     part-size: 6MiB\n",
    );
    let database = config.directories[0].database(Path::new("a")).unwrap();
    assert_eq!(database.busy_timeout, Duration::from_secs(7));
    assert_eq!(
        database.keeping.snapshot_interval,
        Duration::from_secs(3600)
    );
    assert_eq!(
        database.keeping.sync_retention,
        Some(Duration::from_secs(3600))
    );
    assert_eq!(database.replicas[0].location.to_string(), "s3://b/p/a");
    assert_eq!(config.network.upload_memory, 6 << 20);
    let error = error_of(
        "upload-memory: 5MiB\ndbs:\n - dir: /srv\n   pattern: '*'\n   replica: {url: 's3://b/p', part-size: 6MiB}\n",
    );
    assert!(error.contains("less than one part"), "{error}");
}

#[test]
fn a_database_of_a_directory_is_found_though_it_is_not_there() {
    let config = quiet(
        "dbs:\n - path: /srv/flat/own.db\n   replica: {path: /own}\n - {dir: /srv/flat, pattern: '*.db', replica: \
         {path: /flat}}\n - {dir: /srv/deep, pattern: '[a-c]*', recursive: true, replica: {path: /deep}}\n",
    );
    let replica = |path: &str| {
        let found = config.find(Path::new(path)).ok()?;
        Some(found.replicas[0].location.to_string())
    };
    for (path, expected) in [
        ("/srv/flat/own.db", Some("/own")),
        ("/srv/flat/a.db", Some("/flat/a.db")),
        ("/srv/flat/sub/a.db", None),
        ("/srv/flat/a.db-wal", None),
        ("/srv/flat", None),
        ("/srv/deep/x/y/cd", Some("/deep/x/y/cd")),
        ("/srv/deep/x/y/dc", None),
        ("/srv/deep/a-journal", None),
        (
            "/srv/deep/a.walbrook-0123456789abcdef-0123456789abcdef.tmp",
            None,
        ),
    ] {
        assert_eq!(replica(path).as_deref(), expected, "{path}");
    }
    assert_eq!(
        config.find(Path::new("/nope.db")).unwrap_err().to_string(),
        "database not found in config: /nope.db; it has /srv/flat/own.db, /srv/flat/*.db, /srv/deep/[a-c]*"
    );
}

#[test]
fn replicas_and_memories_are_no_place_for_databases() {
    let directory = directory(
        "dir: /srv, pattern: '*', recursive: true, meta-dir: /srv/meta, replica: {path: /srv/backup}",
    );
    for (path, expected) in [
        ("/srv/meta", true),
        ("/srv/backup", true),
        ("/srv/x/.a.db-litestream", true),
        ("/srv/x/a.db-litestream", false),
        ("/srv/x/backup", false),
    ] {
        assert_eq!(directory.leaves_out(Path::new(path)), expected, "{path}");
    }
}

#[test]
fn claims_are_held_against_each_other_until_given_up() {
    let directory =
        directory("dir: /srv, pattern: '*', recursive: true, meta-path: /m, replica: {path: /r}");
    let named = |name: &str| directory.database(Path::new(name)).unwrap();
    let mut claims = Claims::default();
    let first = claims.claim(&named("a")).unwrap();
    claims.claim(&named("b")).unwrap();
    let twice = claims.claim(&named("a")).unwrap_err().to_string();
    assert_eq!(
        twice,
        "duplicate path /srv/a: it is there already, listed or in another `dir`; each database can be listed only once"
    );
    // In the replica of `a`.
    let inside = named("a/ltx/c");
    let refused = claims.claim(&inside).unwrap_err().to_string();
    assert_eq!(
        refused,
        "the replica /r/a/ltx/c of /srv/a/ltx/c is also that of /srv/a; give each database a directory of its own"
    );
    let same_memory = DatabaseConfig {
        path: PathBuf::from("/elsewhere/a"),
        ..named("a")
    };
    let refused = claims.claim(&same_memory).unwrap_err().to_string();
    assert!(
        refused.contains("have the same meta-path /m/.a-litestream"),
        "{refused}"
    );
    claims.release(first);
    claims.claim(&inside).unwrap();
    claims.claim(&same_memory).unwrap_err();
    let place = |path: &str| {
        ReplicaConfig::new(ReplicaLocation::parse_url(&format!("s3://b/{path}")).unwrap())
    };
    let bucket = |path: &str, name: &str| {
        DatabaseConfig::new(PathBuf::from(name), Replicas::one(place(path)))
    };
    let own = Replicas::several(place("own"), vec![place("own/0000")]);
    let refused = claims.claim(&DatabaseConfig::new(PathBuf::from("/0"), own));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("give each a path of its own"), "{refused}");
    let own = Replicas::several(place("own"), vec![place("own/x")]);
    let both = DatabaseConfig::new(PathBuf::from("/0"), own);
    let claim = claims.claim(&both).unwrap();
    claims.claim(&bucket("own/x", "/2")).unwrap_err();
    claims.release(claim);
    claims.claim(&both).unwrap();
    let first = claims.claim(&bucket("p", "/1")).unwrap();
    claims.claim(&bucket("p", "/2")).unwrap_err();
    claims.claim(&bucket("p/0003/x", "/2")).unwrap_err();
    claims.claim(&bucket("p-0003", "/2")).unwrap();
    claims.claim(&bucket("p/x", "/3")).unwrap();
    claims.release(first);
    claims.claim(&bucket("p/0003/x", "/4")).unwrap();
    claims.claim(&bucket("p", "/1")).unwrap_err();
}

#[test]
fn which_of_its_databases_are_missing_is_not_known() {
    let entry = "{dir: data, pattern: '*.db', restore-if-db-not-exists: true, replica: {path: /r}}";
    let (config, warnings) = read_all(&format!("dbs: [{entry}]")).unwrap();
    assert!(!config.directories[0].settings.restore_if_missing);
    let [warning] = &warnings[..] else {
        panic!("{warnings:?}");
    };
    assert!(
        warning.contains("restore-if-db-not-exists` has no effect with `dir`"),
        "{warning}"
    );
}
