//! What lines of `restore` mean, and what wrong ones are answered.

use super::*;
use crate::commands::parsed;
use crate::config::ReplicaLocation;
use crate::units::{Timestamp, Txid};

fn options_of(line: &[&str]) -> Result<RestoreOptions, CommandError> {
    both_of(line).map(|(_, options)| options)
}

fn both_of(line: &[&str]) -> Result<(ReplicaSource, RestoreOptions), CommandError> {
    let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
    options(parsed(&HELP, &line)?.expect("no help asked for"))
}

#[test]
fn a_configured_database() {
    let (source, options) =
        both_of(&["-txid", "00000000000000ff", "-force", "-json", "/x.db"]).unwrap();
    let expected = ReplicaSource::Database {
        path: PathBuf::from("/x.db"),
        config: ConfigFile {
            explicit: None,
            expand: true,
        },
        number: None,
    };
    assert_eq!(source, expected);
    let expected = RestoreOptions {
        output: PathBuf::from("/x.db"),
        is_one_of_several: false,
        target: Target::Txid(Txid::new(255).unwrap()),
        existing: Existing::Replace,
        if_db_unusable: false,
        keep_if_unreachable: false,
        max_wait: Duration::ZERO,
        follow: None,
        if_replica_exists: false,
        dry_run: false,
        json: true,
        integrity: Integrity::AsNeeded,
        parallelism: restore::PARALLELISM,
    };
    assert_eq!(options, expected);
}

#[test]
fn a_replica() {
    let (source, options) = both_of(&[
        "-o=/-out/y.db",
        "--integrity-check",
        "full",
        "-if-db-not-exists",
        "-if-replica-exists=1",
        "-dry-run",
        "-parallelism=3",
        "-timestamp",
        "1970-01-01T00:00:01Z",
        "file://r",
    ])
    .unwrap();
    assert_eq!(
        source,
        ReplicaSource::Url(ReplicaLocation::File(PathBuf::from("/r")))
    );
    assert_eq!(options.output, PathBuf::from("/-out/y.db"));
    assert_eq!(options.target, Target::Before(Timestamp::from_millis(1000)));
    assert_eq!(options.integrity, Integrity::Full);
    assert_eq!(options.existing, Existing::Keep);
    assert!(options.if_replica_exists && options.dry_run);
    assert_eq!(options.parallelism, 3);
}

#[test]
fn what_becomes_of_a_database_that_is_there() {
    for (line, expected) in [
        (&[][..], Existing::Refuse),
        (&["-if-db-not-exists", "-force"], Existing::Keep),
        (&["-if-db-unusable"], Existing::SetAside),
        (&["-if-db-unusable", "-force"], Existing::SetAside),
        (&["-force", "-keep-old"], Existing::SetAside),
        (&["-force", "-keep-if-unreachable"], Existing::Replace),
    ] {
        let line = [line, &["/x.db"]].concat();
        assert_eq!(options_of(&line).unwrap().existing, expected, "{line:?}");
    }
    let options = options_of(&["-if-db-unusable", "-max-wait=1m30s", "/x.db"]).unwrap();
    assert!(options.if_db_unusable);
    assert_eq!(options.max_wait, Duration::from_secs(90));
}

#[test]
fn all_goes_with_what_is_of_all() {
    let cases: [(&[&str], &str); 8] = [
        (
            &["-txid", "00000000000000ff"],
            "-all restores each database to its newest state or that of -timestamp, and so takes none of -txid, -f, \
             -follow-interval and -replica",
        ),
        (
            &["-f"],
            "-all restores each database to its newest state or that of -timestamp, and so takes none of -txid, -f, \
             -follow-interval and -replica",
        ),
        (
            &["-replica", "1"],
            "-all restores each database to its newest state or that of -timestamp, and so takes none of -txid, -f, \
             -follow-interval and -replica",
        ),
        (
            &["/x.db"],
            "-all takes a configuration, or a replica URL with databases below it, and no database",
        ),
        (
            &["file:///r"],
            "-o DIRECTORY is required when restoring all that is below a replica URL",
        ),
        (
            &["-o", "/x"],
            "-all restores the databases of a configuration to their own paths, so -o goes with a replica URL only",
        ),
        (
            &["-o", "/x", "file:///r", "file:///s"],
            "too many arguments",
        ),
        (
            &["-keep-old"],
            "cannot specify -keep-old without -force, which says that a database is replaced",
        ),
    ];
    for (line, expected) in cases {
        let line: Vec<String> = [&["-all"], line]
            .concat()
            .iter()
            .map(|&it| it.into())
            .collect();
        let arguments = parsed(&HELP, &line).unwrap().unwrap();
        let error = run(arguments, &mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{line:?}");
        assert_eq!(error.reason(), Reason::Usage);
    }
}

#[test]
fn values_that_begin_with_a_dash_survive() {
    let output = |line: &[&str]| options_of(line).unwrap().output;
    assert!(output(&["-o", "-x.db", "file:///r"]).ends_with("-x.db"));
    assert!(output(&["-o", "--", "file:///r"]).ends_with("--"));
    assert!(output(&["-o", "--help", "file:///r"]).ends_with("--help"));
    assert!(output(&["-o", "help", "file:///r"]).ends_with("help"));
    assert!(output(&["--", "-x.db"]).ends_with("-x.db"));
    assert!(output(&["help"]).ends_with("help"));
}

#[test]
fn mistakes() {
    let cases: [(&[&str], &str); 19] = [
        (&[], "database path or replica URL required"),
        (&["/x.db", "/y.db"], "too many arguments"),
        (
            &["file:///r"],
            "-o is required when restoring from a replica URL",
        ),
        (
            &["-config", "/c.yml", "-o", "/x", "file:///r"],
            "cannot specify a replica URL and the -config flag; the URL alone says where the replica is",
        ),
        (
            &["-txid", "1", "/x.db"],
            "invalid value \"1\" for flag -txid: invalid txid format, write 16 hexadecimal digits as \
             `walbrook ltx` prints them",
        ),
        (
            &["-timestamp", "yesterday", "/x.db"],
            "invalid -timestamp \"yesterday\", must specify in ISO 8601 format (e.g. 2000-01-01T00:00:00Z), or as \
             \"2000-01-01 00:00\" or 2000-01-01, both UTC, or as \"2h ago\" or \"3d ago\"",
        ),
        (
            &["-txid", "1", "-timestamp", "x", "/x.db"],
            "cannot specify both -txid and -timestamp; each names one state, leave one out",
        ),
        (
            &["-integrity-check", "foo", "/x.db"],
            "invalid -integrity-check value: foo; write none, quick or full",
        ),
        (
            &["-parallelism", "0", "/x.db"],
            "invalid value \"0\" for flag -parallelism: write a whole number from 1 on",
        ),
        (
            &["-keep-old", "/x.db"],
            "cannot specify -keep-old without -force, which says that a database is replaced",
        ),
        (
            &["-if-db-unusable", "-keep-if-unreachable", "/x.db"],
            "cannot specify -keep-if-unreachable without -force, which says that a database is replaced",
        ),
        (
            &["-if-db-unusable", "-if-db-not-exists", "/x.db"],
            "cannot specify both -if-db-not-exists and -if-db-unusable; the first keeps a broken database, the second \
             restores it",
        ),
        (
            &["-max-wait", "5", "/x.db"],
            "invalid value \"5\" for flag -max-wait: a number without a unit; write 30s, 5m or 1h30m",
        ),
        (
            &["-follow-interval", "1s", "/x.db"],
            "cannot specify -follow-interval without -f",
        ),
        (
            &["-f", "-follow-interval", "0s", "/x.db"],
            "-follow-interval must be more than 0",
        ),
        (
            &["-f", "-txid", "00000000000000ff", "/x.db"],
            "cannot use follow mode (-f) with -txid; it follows the newest state",
        ),
        (
            &["-f", "-timestamp", "2000-01-01", "/x.db"],
            "cannot use follow mode (-f) with -timestamp; it follows the newest state",
        ),
        (
            &["/x.db", "-o", "/y.db"],
            "flag \"-o\" must be positioned before DB_PATH or REPLICA_URL arguments",
        ),
        (
            &["-replica", "s3", "/x.db"],
            "invalid value \"s3\" for flag -replica: write 1 for the first one of the configuration, 2 for the second",
        ),
    ];
    for (line, expected) in cases {
        let error = options_of(line).unwrap_err().to_string();
        assert_eq!(error, expected, "{line:?}");
    }
}

#[test]
fn a_secret_in_a_url_is_not_repeated() {
    let error = options_of(&["s3://key:hunter2@bucket/x"]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    let url = "s3://b.h:9000/x?sseKmsKeyId=hunter2";
    let error = options_of(&[url]).unwrap_err();
    assert_eq!(
        error.try_command(),
        Some("walbrook restore -o DB_PATH s3://b/x?endpoint=http://h:9000")
    );
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}
