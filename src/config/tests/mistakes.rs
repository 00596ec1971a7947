//! What mistakes in a configuration are answered, word for word.

use super::{error_of, read_all, with};

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
            "line 2, column 4: dbs[0]: add `path:` with the file of the database, or `dir:` with a directory of databases",
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
            "dbs:\n - path: /x.db\n   replicas: []",
            "line 2, column 4: dbs[0]: must specify replica for database: add `replica:` with `path:` or `url:` below it",
        ),
        (
            "dbs:\n - path: /x.db\n   replicas: [{path: /r}, {paht: /s}]",
            "line 3, column 28: unknown key `paht`; did you mean `path`?",
        ),
        (
            "dbs:\n - path: /x.db\n   replicas:\n   - path: /r\n   - path: /r/../r",
            "line 5, column 12: the replicas /r and /r of /x.db would share files; give each a directory of its own",
        ),
        (
            "dbs:\n - path: /x.db\n   replicas:\n   - url: s3://b/p\n   - path: /r\n   - url: s3://b/p",
            "line 6, column 11: the replicas s3://b/p and s3://b/p of /x.db would share files; give each a path of its own",
        ),
        (
            "dbs:\n - path: /x.db\n   replicas: [{path: /r}, {path: /s}]\n - path: /y.db\n   replica: {path: /s}",
            "line 5, column 20: the replica /s of /y.db (line 5) is also that of /x.db (line 3); give each database \
             a directory of its own",
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
            "line 3, column 20: unknown replica type in config: `s4`; walbrook 0.1 has `file`, `s3` and `sftp`",
        ),
        (
            "sas-token: hunter2\ndbs:\n - path: /x.db\n   replica:\n     type: abs\n     path: h",
            "line 5, column 12: replicas of type `abs` are not supported yet by walbrook 0.1; replicate to a directory \
             (`file`), to `s3` or `sftp`, or keep Litestream for this database",
        ),
        (
            "dbs:\n - path: ''\n   replica: {path: /r}",
            "line 2, column 10: dbs[0].path: the path is empty",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error_of(text), expected, "{text}");
    }
}

#[test]
fn mistakes_with_directories_are_answered_word_for_word() {
    let cases = [
        (
            "{dir: /srv, path: /srv/a.db, pattern: '*.db', replica: {path: /r}}",
            "line 1, column 13: dbs[0]: cannot specify both `path` and `dir`; keep one",
        ),
        (
            "{dir: /srv, replica: {path: /r}}",
            "line 1, column 7: dbs[0]: `pattern` is required when using `dir`: add `pattern:` with what the names of the \
             databases match, such as '*.db'",
        ),
        (
            "{dir: /srv, pattern: '[a-', replica: {path: /r}}",
            "line 1, column 28: dbs[0].pattern: `[a-` is no pattern: a `[` is not closed; write `\\[` for the character \
             itself",
        ),
        (
            "{dir: /srv, pattern: 'sub/*.db', replica: {path: /r}}",
            "line 1, column 28: dbs[0].pattern: `sub/*.db` is no pattern: a pattern is for the name of a file, without \
             directories; for those in subdirectories write `recursive: true`",
        ),
        (
            "{dir: /srv, pattern: '*', meta-path: /m, meta-dir: /n, replica: {path: /r}}",
            "line 1, column 58: dbs[0]: cannot specify both `meta-path` and `meta-dir`; keep one",
        ),
        (
            "{dir: /srv, pattern: '*', watch: sometimes, replica: {path: /r}}",
            "line 1, column 40: dbs[0].watch: `sometimes` is not true or false",
        ),
        (
            "{dir: /srv, pattern: '*', replica: {path: 's3://b/p'}}",
            "line 1, column 49: dbs[0].replica.path: replica path cannot be a url, please use the `url` key instead: \
             s3://b/p",
        ),
        (
            "{dir: /srv, pattern: '*'}",
            "line 1, column 7: dbs[0]: must specify replica for database: add `replica:` with `path:` or `url:` below it",
        ),
        (
            "{path: /srv/a.db, pattern: '*.db', replica: {path: /r}}",
            "line 1, column 25: dbs[0]: `pattern` goes with `dir`, a directory of databases, and not with `path`; take it \
             out",
        ),
        (
            "{path: /srv/a.db, watch: true, replica: {path: /r}}",
            "line 1, column 25: dbs[0]: `watch` goes with `dir`, a directory of databases, and not with `path`; take it \
             out",
        ),
        (
            "{path: /srv/a.db, meta-dir: /m, replica: {path: /r}}",
            "line 1, column 25: dbs[0]: `meta-dir` goes with `dir`, a directory of databases, and not with `path`; take it \
             out",
        ),
    ];
    for (entry, expected) in cases {
        assert_eq!(error_of(&format!("dbs: [{entry}]")), expected, "{entry}");
    }
}

#[test]
fn wrong_settings_are_answered_word_for_word() {
    let cases = [
        (
            with("snapshot:\n  interval: 0s", "", ""),
            "line 2, column 13: snapshot.interval: must be greater than 0; write 1s for a second",
        ),
        (
            with("levels: [{interval: 30s}, {intervall: 1m}]", "", ""),
            "line 1, column 28: unknown key `intervall`; did you mean `interval`?",
        ),
        (
            with("levels: []", "", ""),
            "line 1, column 1: levels: there must be at least one; write `- interval: 30s` below it, or take the key \
             out",
        ),
        (
            with("levels: 30s", "", ""),
            "line 1, column 1: levels: must be a list: begin each entry with `- `",
        ),
        (
            with("levels: [{}]", "", ""),
            "line 1, column 10: levels[0]: add `interval:` with how often the level is written",
        ),
        (
            with("levels: [{interval: 30}]", "", ""),
            "line 1, column 21: levels[0].interval: `30` has no unit: write 30s; Litestream would read this as 30 \
             nanoseconds",
        ),
        (
            with(
                "levels: [{interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}, {interval: \
                 1s}, {interval: 1s}, {interval: 1s}, {interval: 1s}]",
                "",
                "",
            ),
            "line 1, column 1: levels: there can be 8 at most, these are 9",
        ),
        (
            with("retention: {enabled: maybe}", "", ""),
            "line 1, column 22: retention.enabled: `maybe` is not true or false",
        ),
        (
            with("", "snapshot: {retention: 0}", ""),
            "line 4, column 27: dbs[0].snapshot.retention: must be greater than 0; write 1s for a second",
        ),
        (
            with("l0-retention-check-interval: 0", "", ""),
            "line 1, column 30: l0-retention-check-interval: must be greater than 0; write 1s for a second",
        ),
        (
            with("addr: ':9090'", "", ""),
            "line 1, column 1: `addr` is not supported yet by walbrook 0.1; take the key out",
        ),
        (
            with("sas-token: hunter2", "", ""),
            "line 1, column 1: `sas-token` is a setting of `abs` replicas, which are not supported yet by walbrook \
             0.1; take the key out",
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
            "line 7, column 7: dbs[0].replica.age: age encryption is not supported, nor is it by Litestream 0.5; take the \
             key out",
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
            "line 8, column 7: `dbs[0].replica.name` has no effect: replicas are told apart by where they are",
            "line 9, column 7: `dbs[0].replica.max-sync-ltx-files` has no effect: changes are sent as one file from the \
             database itself, none are staged",
            "line 10, column 7: `dbs[0].replica.validation-interval` has no effect: Litestream does not use it either",
            "line 1, column 1: `auto-recover` has no effect: there are no local files that could need a reset; walbrook \
             recovers by itself",
            "line 2, column 1: `heartbeat-interval` has no effect: there is no heartbeat without `heartbeat-url`",
        ]
    );
}
