//! What the tree must look like: which room may know which, and what may be done only in one place.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// The arrows between rooms: each may import from those named and no others.
const ROOMS: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("sys", &["units"]),
    ("sqlite", &["sys", "units"]),
    ("database", &["ltx", "sqlite", "sys", "units"]),
    ("ltx", &["units"]),
    ("storage", &["ltx", "sys", "units"]),
    (
        "replica",
        &["database", "ltx", "sqlite", "storage", "sys", "units"],
    ),
    // A copy that follows is written to beside SQLite's readers.
    ("restore", &["ltx", "sqlite", "storage", "sys", "units"]),
    // It takes from `restore` what a chain is, and how long to wait for a storage.
    ("compact", &["ltx", "restore", "storage", "units"]),
    ("config", &["storage", "sys", "units"]),
    ("discovery", &["config", "sqlite", "sys"]),
    (
        "daemon",
        &[
            "config",
            "database",
            "discovery",
            "replica",
            "sqlite",
            "storage",
            "sys",
            "units",
        ],
    ),
    (
        "commands",
        &[
            "compact",
            "config",
            "daemon",
            "discovery",
            "ltx",
            // The plan of what a replica no longer needs.
            "replica",
            "restore",
            "storage",
            "sys",
            "units",
        ],
    ),
];

/// Where `unsafe` is allowed: memory maps, one call of SQLite's C API, one of `fcntl`; a counting allocator.
const UNSAFE: &[&str] = &[
    "src/sqlite/connection.rs",
    "src/sqlite/locks.rs",
    "src/sqlite/window.rs",
    "tests/ltx_memory.rs",
];

/// Where databases are opened. The connections to a replicated one come from the first alone; the others open
/// a restored file that has no name yet, what stands where one is to go, and the demonstration's own.
const OPENS_DATABASES: &[&str] = &[
    "src/sqlite/connection.rs",
    "src/restore/integrity.rs",
    "src/restore/usable.rs",
    "src/commands/demo.rs",
];

/// One file of the tree, its path from the top.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Its lines of code with their numbers, without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
    }

    fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        inside.split_once('/').map(|(room, _)| room)
    }
}

fn sources(top: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.join(top)];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            if path.is_dir() {
                // Where `cargo fuzz` builds.
                if !path.ends_with("fuzz/target") {
                    directories.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(root).unwrap();
                found.push(Source {
                    path: relative.to_str().unwrap().to_string(),
                    text: fs::read_to_string(&path).unwrap(),
                });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty());
    found
}

fn everything() -> Vec<Source> {
    [sources("src"), sources("tests")]
        .into_iter()
        .flatten()
        .collect()
}

fn assert_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn rooms_import_only_what_the_map_allows() {
    let mut complaints = Vec::new();
    for source in sources("src") {
        let Some(room) = source.room() else {
            continue;
        };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            complaints.push(format!(
                "{}: a room without a place in the map",
                source.path
            ));
            continue;
        };
        for (number, line) in source.code() {
            for (at, _) in line.match_indices("crate::") {
                let target: String = line[at + "crate::".len()..]
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                if target != room && !allowed.contains(&target.as_str()) {
                    complaints.push(format!("{}:{number}: {room} → {target}", source.path));
                }
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn unsafe_stands_where_it_may_and_says_why() {
    let mut complaints = Vec::new();
    for source in everything()
        .iter()
        .filter(|source| source.path != "tests/tidy.rs")
    {
        let blocks = source
            .code()
            .filter(|(_, line)| line.contains("unsafe"))
            .filter(|(_, line)| !line.contains("unsafe_code") && !line.contains("unsafe fn"))
            .count();
        let arguments = source.text.matches("// SAFETY:").count();
        if blocks > 0 && !UNSAFE.contains(&source.path.as_str()) {
            complaints.push(format!("{}: unsafe is not allowed here", source.path));
        }
        if blocks > arguments {
            complaints.push(format!(
                "{}: {blocks} unsafe blocks, {arguments} arguments for their safety",
                source.path
            ));
        }
    }
    assert_none(complaints);
}

#[test]
fn only_sys_fs_renames() {
    let complaints = sources("src")
        .iter()
        // The second keeps nothing that could have a name.
        .filter(|source| !["src/sys/fs.rs", "src/restore/nowhere.rs"].contains(&&*source.path))
        .flat_map(|source| source.code().map(move |line| (source, line)))
        .filter(|(_, (_, line))| line.contains("rename("))
        .map(|(source, (number, _))| format!("{}:{number}: publish() renames", source.path))
        .collect();
    assert_none(complaints);
}

#[test]
fn databases_are_opened_in_few_places() {
    let complaints = sources("src")
        .iter()
        .filter(|source| !OPENS_DATABASES.contains(&source.path.as_str()))
        .flat_map(|source| source.code().map(move |line| (source, line)))
        .filter(|(_, (_, line))| line.contains("Connection::open"))
        .map(|(source, (number, _))| {
            format!("{}:{number}: would drop the locks of a view", source.path)
        })
        .collect();
    assert_none(complaints);
}

#[test]
fn every_file_says_what_it_is_and_keeps_to_one_subject() {
    let mut complaints = Vec::new();
    for source in everything() {
        if !source.text.starts_with("//! ") {
            complaints.push(format!("{}: begins without saying what it is", source.path));
        }
        let lines = source.text.lines().count();
        if lines > 600 {
            complaints.push(format!("{}: {lines} lines", source.path));
        }
        for (index, line) in source.text.lines().enumerate() {
            if line.chars().count() > 120 && !source.path.contains("tests") {
                complaints.push(format!("{}:{}: a long line", source.path, index + 1));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn nothing_is_left_for_later() {
    // Put together, so that this file does not find itself.
    let marks = [
        ["to", "do!("],
        ["TO", "DO"],
        ["FIX", "ME"],
        ["#[ig", "nore"],
        ["unimpl", "emented!"],
    ]
    .map(|halves| halves.concat());
    let mut complaints = Vec::new();
    for source in everything() {
        for (index, line) in source.text.lines().enumerate() {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                complaints.push(format!("{}:{}: {mark}", source.path, index + 1));
            }
        }
    }
    assert_none(complaints);
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let mut complaints = Vec::new();
    let (mut section, mut before) = ("", "");
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.contains("dependencies]")
            && line.contains('=')
            && !line.starts_with('#')
            && !line.contains('#')
            && !before.starts_with('#')
        {
            complaints.push(format!("Cargo.toml: {line}"));
        }
        before = line;
    }
    assert_none(complaints);
}
