//! What lines of `replicate` mean, and what wrong ones are answered.

use std::path::{Path, PathBuf};

use super::*;
use crate::commands::parsed;
use crate::config::ReplicaLocation;

fn options_of(line: &[&str]) -> Result<ReplicateOptions, CommandError> {
    let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
    options(parsed(&HELP, &line)?.expect("no help asked for"))
}

fn error_of(line: &[&str]) -> String {
    match options_of(line) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_database_and_a_replica() {
    let options =
        options_of(&["-exec", "-app --x", "-log-level=WARN", "/x.db", "file:///r"]).unwrap();
    assert_eq!(options.exec.as_deref(), Some("-app --x"));
    assert_eq!(options.log_level, Some(LogLevel::Warn));
    let (config, warnings) = options.source.load().unwrap();
    assert!(warnings.is_empty());
    assert_eq!(config.databases.len(), 1);
    let database = &config.databases[0];
    assert_eq!(database.path, Path::new("/x.db"));
    assert_eq!(
        database.replicas[0].location,
        ReplicaLocation::File(PathBuf::from("/r"))
    );
}

#[test]
fn the_configuration() {
    let options = options_of(&["-no-expand-env", "-config=/c.yml", "-once"]).unwrap();
    assert!(options.once);
    let file = ConfigFile {
        explicit: Some(PathBuf::from("/c.yml")),
        expand: false,
    };
    assert_eq!(options.source, ReplicateSource::File(file));
}

#[test]
fn mistakes() {
    let cases: [(&[&str], &str); 10] = [
        (
            &["/x.db"],
            "must specify at least one replica URL for /x.db",
        ),
        (
            &["/x.db", "file:///r", "-exec", "app"],
            "flag \"-exec\" must be positioned before DB_PATH and REPLICA_URL arguments",
        ),
        (
            &["-once", "-exec", "app"],
            "cannot specify -once flag with -exec; a command runs as long as replication does",
        ),
        (
            &["-force-snapshot"],
            "cannot specify -force-snapshot flag without -once",
        ),
        (
            &["-enforce-retention"],
            "cannot specify -enforce-retention flag without -once",
        ),
        (
            &["/x.db", "file:///r", "file:///s", "file:///r"],
            "the replicas /r and /r of /x.db would share files; give each a directory of its own",
        ),
        (
            &["-config", "/c.yml", "/x.db", "file:///r"],
            "cannot specify a replica URL and the -config flag; leave one of them out",
        ),
        (
            &["file:///r", "/x.db"],
            "the database path must come before the replica URL",
        ),
        (
            &["-log-level", "loud"],
            "invalid value \"loud\" for -log-level: write trace, debug, info, warn or error",
        ),
        (
            &["/x.db", "/r"],
            "url: /r: replica url scheme required; write file:///PATH for a directory, s3://BUCKET/PATH for S3, \
             sftp://USER@HOST/PATH for SFTP",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(error_of(line), expected, "{line:?}");
    }
}

#[test]
fn a_wrong_line_says_what_to_try() {
    let Err(error) = options_of(&["/x.db"]) else {
        panic!("one argument is not enough");
    };
    assert_eq!(
        error.try_command(),
        Some("walbrook replicate /x.db file:///PATH")
    );
}
