//! Every key of a `litestream.yml`, and what this version makes of it. Nothing is ignored in silence: a key is
//! read, or refused, or answered with a warning that says why it does nothing here.

use super::error::{ConfigError, Problem, Warning};
use super::location::ReplicaKind;
use super::scalar;
use super::text::{nearest, quoted};
use super::yaml::{Entry, Node, Value};

/// One key.
pub(super) struct Key {
    name: &'static str,
    meaning: Meaning,
}

/// What becomes of a key.
enum Meaning {
    /// Its value is used.
    Read,
    /// A mapping with keys of its own.
    Section(&'static [Key]),
    /// A list of mappings with keys of their own.
    List(&'static [Key]),
    /// Belongs to a feature of later: refused unless its value switches that off. With advice.
    Later(Off, &'static str),
    /// Only says something about a feature that another key switches on.
    Detail,
    /// Does nothing here, which is said with the reason unless its value switches it off.
    Inert(Off, &'static str),
    /// A setting of replicas of this type.
    Of(&'static str),
    /// A setting of what all replicas on other machines share.
    OfRemote,
    /// As `Of`, and its value is a secret.
    SecretOf(&'static str),
    /// Never supported, nor by Litestream.
    Refused(&'static str),
}

/// The value that switches a feature off, or asks for what happens anyway.
#[derive(Clone, Copy)]
enum Off {
    Nothing,
    True,
    False,
    EmptyText,
}

/// The keys of the whole file.
pub(super) const TOP: &[&[Key]] = &[
    &[
        read("dbs"),
        read("exec"),
        section("logging", LOGGING),
        read("shutdown-sync-timeout"),
        read("shutdown-sync-interval"),
        key("max-upload-rate", Meaning::OfRemote),
        key("upload-memory", Meaning::OfRemote),
        of("tls-min-time", "s3"),
        inert("part-size", Off::Nothing, FOR_ONE_REPLICA),
        inert("concurrency", Off::Nothing, FOR_ONE_REPLICA),
        inert("host-key", Off::Nothing, FOR_ONE_REPLICA),
        section("retention", RETENTION),
        section("snapshot", SNAPSHOT),
        section("validation", VALIDATION),
        section("socket", SOCKET),
        list("levels", LEVEL),
        read("l0-retention"),
        read("l0-retention-check-interval"),
        inert(
            "verify-compaction",
            Off::False,
            "levels are written from the database and not merged from files, so their ranges always join; what is \
             missing on the storage is found, and healed, whenever the replica is listed",
        ),
        later("addr", Off::EmptyText, TAKE_OUT),
        later("mcp-addr", Off::EmptyText, TAKE_OUT),
        later("heartbeat-url", Off::EmptyText, TAKE_OUT),
        inert(
            "heartbeat-interval",
            Off::Nothing,
            "there is no heartbeat without `heartbeat-url`",
        ),
    ],
    REPLICA_SETTINGS,
];

/// The keys of an entry of `dbs`.
pub(super) const DATABASE: &[&[Key]] = &[&[
    read("path"),
    read("dir"),
    read("pattern"),
    read("recursive"),
    read("watch"),
    read("meta-path"),
    read("meta-dir"),
    read("monitor-interval"),
    read("checkpoint-interval"),
    read("busy-timeout"),
    read("min-checkpoint-page-count"),
    read("truncate-page-n"),
    read("replica"),
    read("replicas"),
    section("snapshot", SNAPSHOT),
    inert(
        "max-sync-wal-bytes",
        Off::Nothing,
        "pages are read from the WAL in place, no copy of it is staged",
    ),
    read("restore-if-db-not-exists"),
]];

/// The keys of a replica.
pub(super) const REPLICA: &[&[Key]] = &[
    &[
        read("type"),
        read("url"),
        read("path"),
        inert(
            "name",
            Off::EmptyText,
            "replicas are told apart by where they are",
        ),
        of("part-size", "s3"),
        of("concurrency", "s3"),
        of("host-key", "sftp"),
    ],
    REPLICA_SETTINGS,
];

/// Those of them that may also stand at the top level, for all replicas.
const REPLICA_SETTINGS: &[Key] = &[
    read("sync-interval"),
    inert(
        "max-sync-ltx-files",
        Off::Nothing,
        "changes are sent as one file from the database itself, none are staged",
    ),
    inert(
        "auto-recover",
        Off::False,
        "there are no local files that could need a reset; walbrook recovers by itself",
    ),
    inert(
        "validation-interval",
        Off::Nothing,
        "Litestream does not use it either",
    ),
    Key {
        name: "age",
        meaning: Meaning::Refused(
            "age encryption is not supported, nor is it by Litestream 0.5; take the key out",
        ),
    },
    secret("access-key-id", "s3"),
    secret("secret-access-key", "s3"),
    of("region", "s3"),
    of("bucket", "s3"),
    of("endpoint", "s3"),
    of("force-path-style", "s3"),
    of("sign-payload", "s3"),
    of("require-content-md5", "s3"),
    of("skip-verify", "s3"),
    of("storage-class", "s3"),
    of("ca-file", "s3"),
    secret("session-token", "s3"),
    of("access-key-id-file", "s3"),
    of("secret-access-key-file", "s3"),
    of("session-token-file", "s3"),
    of("sse-customer-algorithm", "s3"),
    secret("sse-customer-key", "s3"),
    of("sse-customer-key-path", "s3"),
    of("sse-kms-key-id", "s3"),
    of("host", "sftp"),
    of("user", "sftp"),
    secret("password", "sftp"),
    of("key-path", "sftp"),
    of("concurrent-writes", "sftp"),
    of("ssh-command", "sftp"),
    of("account-name", "abs"),
    secret("account-key", "abs"),
    secret("sas-token", "abs"),
    of("webdav-url", "webdav"),
    of("webdav-username", "webdav"),
    secret("webdav-password", "webdav"),
    secret("jwt", "nats"),
    secret("seed", "nats"),
    secret("creds", "nats"),
    secret("nkey", "nats"),
    of("username", "nats"),
    secret("token", "nats"),
    of("tls", "nats"),
    of("root-cas", "nats"),
    of("client-cert", "nats"),
    secret("client-key", "nats"),
    of("max-reconnects", "nats"),
    of("reconnect-wait", "nats"),
    of("timeout", "nats"),
];

const LOGGING: &[Key] = &[
    read("level"),
    read("type"),
    inert(
        "stderr",
        Off::True,
        "the log always goes to stderr, so that output on stdout stays clean",
    ),
    later("source", Off::False, TAKE_OUT),
];

const SOCKET: &[Key] = &[
    later("enabled", Off::False, "write `enabled: false`"),
    detail("path"),
    detail("permissions"),
];

const LEVEL: &[Key] = &[read("interval")];

const SNAPSHOT: &[Key] = &[read("interval"), read("retention"), section("keep", KEEP)];

const KEEP: &[Key] = &[
    read("hourly"),
    read("daily"),
    read("weekly"),
    read("monthly"),
    read("yearly"),
];

const RETENTION: &[Key] = &[read("enabled")];

const VALIDATION: &[Key] = &[read("interval")];

const FOR_ONE_REPLICA: &str =
    "as in Litestream it holds for one replica only; write it under the `replica` of a database";
const TAKE_OUT: &str = "take the key out";

const fn read(name: &'static str) -> Key {
    key(name, Meaning::Read)
}

const fn section(name: &'static str, keys: &'static [Key]) -> Key {
    key(name, Meaning::Section(keys))
}

const fn list(name: &'static str, keys: &'static [Key]) -> Key {
    key(name, Meaning::List(keys))
}

const fn later(name: &'static str, off: Off, advice: &'static str) -> Key {
    key(name, Meaning::Later(off, advice))
}

const fn detail(name: &'static str) -> Key {
    key(name, Meaning::Detail)
}

const fn inert(name: &'static str, off: Off, why: &'static str) -> Key {
    key(name, Meaning::Inert(off, why))
}

const fn of(name: &'static str, replica_type: &'static str) -> Key {
    key(name, Meaning::Of(replica_type))
}

const fn secret(name: &'static str, replica_type: &'static str) -> Key {
    key(name, Meaning::SecretOf(replica_type))
}

const fn key(name: &'static str, meaning: Meaning) -> Key {
    Key { name, meaning }
}

/// The keys whose values are secrets.
pub(super) fn secret_keys() -> impl Iterator<Item = &'static str> {
    REPLICA_SETTINGS
        .iter()
        .filter(|key| matches!(key.meaning, Meaning::SecretOf(_)))
        .map(|key| key.name)
        .chain(["age", "identities"])
}

/// Checks the keys of `node` against `keys`: afterwards only keys to be read have anything to say.
/// `parent` is the path of `node` with a dot at its end, or empty; `kinds` are the types of the replicas that it is
/// about.
pub(super) fn check(
    node: &Node,
    parent: &str,
    keys: &[&'static [Key]],
    kinds: &[&str],
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    for entry in mapping(node, parent)? {
        let mut all = keys.iter().flat_map(|keys| keys.iter());
        let Some(key) = all.find(|key| key.name == entry.key) else {
            return Err(unknown(entry, keys));
        };
        check_key(key, entry, parent, kinds, warnings)?;
    }
    Ok(())
}

/// The entries of a mapping; none for a null.
pub(super) fn mapping<'a>(node: &'a Node, parent: &str) -> Result<&'a [Entry], ConfigError> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Null => Ok(&[]),
        Value::Scalar(_) | Value::Sequence(_) => {
            let key = match parent.trim_end_matches('.') {
                "" => "the file",
                parent => parent,
            };
            Err(ConfigError::invalid(
                node.position,
                key,
                "must be a mapping: `key: value` lines, indented",
            ))
        }
    }
}

fn check_key(
    key: &Key,
    entry: &Entry,
    parent: &str,
    kinds: &[&str],
    warnings: &mut Vec<Warning>,
) -> Result<(), ConfigError> {
    let value = &entry.value.value;
    if matches!(value, Value::Null) {
        return Ok(());
    }
    let name = format!("{parent}{}", key.name);
    let refuse = |problem| Err(ConfigError::at(entry.position, problem));
    match key.meaning {
        Meaning::Read | Meaning::Detail => Ok(()),
        Meaning::Section(keys) => {
            check(&entry.value, &format!("{name}."), &[keys], kinds, warnings)
        }
        Meaning::List(keys) => {
            // What is no list is an error where it is read.
            let nodes = match &entry.value.value {
                Value::Sequence(nodes) => &nodes[..],
                _ => &[],
            };
            for (index, node) in nodes.iter().enumerate() {
                check(node, &format!("{name}[{index}]."), &[keys], kinds, warnings)?;
            }
            Ok(())
        }
        Meaning::Later(off, _) if is_off(value, off) => Ok(()),
        Meaning::Later(_, advice) => refuse(Problem::NotSupportedYet {
            what: format!("`{name}` is"),
            advice,
        }),
        Meaning::Inert(off, _) if is_off(value, off) => Ok(()),
        Meaning::Inert(_, why) => {
            let message = format!("`{name}` has no effect: {why}");
            warnings.push(Warning::at(entry.position, message));
            Ok(())
        }
        Meaning::OfRemote if kinds.iter().any(|&kind| kind != "file") => Ok(()),
        Meaning::OfRemote => {
            let message = format!("`{name}` has no effect: all replicas are in directories");
            warnings.push(Warning::at(entry.position, message));
            Ok(())
        }
        Meaning::Of(kind) | Meaning::SecretOf(kind) if kinds.contains(&kind) => Ok(()),
        Meaning::Of(kind) | Meaning::SecretOf(kind) if ReplicaKind::named(kind).is_err() => {
            refuse(Problem::NotSupportedYet {
                what: format!("`{name}` is a setting of `{kind}` replicas, which are"),
                advice: TAKE_OUT,
            })
        }
        // For all replicas: there may be one of this type again tomorrow.
        Meaning::Of(kind) | Meaning::SecretOf(kind) if parent.is_empty() => {
            let message = format!("`{name}` has no effect: no replica is of type `{kind}`");
            warnings.push(Warning::at(entry.position, message));
            Ok(())
        }
        Meaning::Of(kind) | Meaning::SecretOf(kind) => refuse(Problem::Conflict(format!(
            "`{name}` is a setting of `{kind}` replicas, which this is not; write `type: {kind}`, or take the key out"
        ))),
        Meaning::Refused(reason) => refuse(Problem::InvalidValue {
            key: name,
            reason: reason.to_owned(),
        }),
    }
}

fn is_off(value: &Value, off: Off) -> bool {
    let Value::Scalar(text) = value else {
        return false;
    };
    match off {
        Off::Nothing => false,
        Off::True => scalar::boolean(text) == Ok(true),
        Off::False => scalar::boolean(text) == Ok(false),
        Off::EmptyText => text.is_empty(),
    }
}

fn unknown(entry: &Entry, keys: &[&'static [Key]]) -> ConfigError {
    let belongs = [
        (DATABASE, "under an entry of `dbs`"),
        (REPLICA, "under the `replica` of a database"),
        (TOP, "at the top level"),
    ]
    .into_iter()
    .find(|(keys, _)| names(keys).any(|name| name == entry.key))
    .map(|(_, place)| place);
    let problem = match old_key(&entry.key) {
        Some(advice) => Problem::InvalidValue {
            key: quoted(&entry.key),
            reason: advice.to_owned(),
        },
        None => Problem::UnknownKey {
            key: entry.key.clone(),
            nearest: nearest(&entry.key, names(keys)),
            belongs,
        },
    };
    ConfigError::at(entry.position, problem)
}

/// Settings of Litestream 0.3 that 0.5 no longer has.
fn old_key(name: &str) -> Option<&'static str> {
    match name {
        "snapshot-interval" | "retention" | "retention-check-interval" => {
            Some("a setting of Litestream 0.3, which 0.5 ignores; take the key out")
        }
        _ => None,
    }
}

fn names(keys: &[&'static [Key]]) -> impl Iterator<Item = &'static str> {
    keys.iter().flat_map(|keys| keys.iter()).map(|key| key.name)
}
