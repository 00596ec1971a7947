//! What is found in directories, and how it changes.

use super::*;
use crate::config::Config;

/// A directory that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let path = std::env::temp_dir().join(format!("discovery-{}", crate::sys::random::unique()));
        std::fs::create_dir_all(path.join("data/sub/deep")).unwrap();
        Scratch(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join("data").join(name)
    }

    fn database(&self, name: &str) {
        let mut content = b"SQLite format 3\0".to_vec();
        content.resize(512, 0);
        std::fs::write(self.at(name), content).unwrap();
    }

    /// Starts with an entry for the directory, and `more` under it.
    fn start(&self, more: &str) -> Result<Start, String> {
        let top = self.0.display();
        let text = format!(
            "dbs:\n - dir: {top}/data\n   pattern: '*.db'\n   replica: {{path: {top}/replica}}\n{more}"
        );
        let (config, _) = Config::from_text(&text, true).unwrap();
        start(&config).map_err(|error| error.to_string())
    }

    fn names(&self, databases: &[DatabaseConfig]) -> Vec<String> {
        let name = |path: &Path| {
            path.strip_prefix(self.at(""))
                .unwrap()
                .display()
                .to_string()
        };
        let mut names: Vec<String> = databases.iter().map(|found| name(&found.path)).collect();
        names.sort();
        names
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn move_to(from: &Path, to: &Path) {
    let moved = std::process::Command::new("mv").args([from, to]).status();
    assert!(moved.unwrap().success());
}

const WATCH: &str = "   watch: true\n";
const DEEP: &str = "   watch: true\n   recursive: true\n";

/// What a look comes to, as words.
fn look(discovery: &mut Discovery) -> Vec<String> {
    let (changes, remarks) = discovery.look(&mut |_| {});
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    let changes = changes.iter().map(|change| match change {
        Change::Appeared(database) => format!("+{}", name(&database.path)),
        Change::Vanished(path) => format!("-{}", name(path)),
    });
    let remarks = remarks.iter().map(|remark| remark.text.clone());
    changes.chain(remarks).collect()
}

#[test]
fn databases_are_regular_files_that_begin_as_one_and_match() {
    let scratch = Scratch::new();
    for name in ["a.db", "b.db-wal", "c.txt", "sub/d.db", "sub/deep/e.db"] {
        scratch.database(name);
    }
    std::fs::write(scratch.at("empty.db"), "").unwrap();
    std::fs::write(scratch.at("text.db"), "text").unwrap();
    std::fs::create_dir(scratch.at("directory.db")).unwrap();
    std::fs::create_dir(scratch.at(".a.db-litestream")).unwrap();
    scratch.database(".a.db-litestream/x.db");
    let flat = scratch.start("").unwrap();
    assert_eq!(scratch.names(&flat.databases), ["a.db"]);
    assert!(flat.remarks.len() == 1 && flat.discovery.is_none());
    assert!(flat.remarks[0].text.ends_with("/data: 1 databases found"));
    let deep = scratch.start("   recursive: true\n").unwrap();
    let expected = ["a.db", "sub/d.db", "sub/deep/e.db"];
    assert_eq!(scratch.names(&deep.databases), expected);
}

#[test]
fn links_are_left_out_and_named() {
    let scratch = Scratch::new();
    scratch.database("a.db");
    std::fs::hard_link(scratch.at("a.db"), scratch.at("b.db")).unwrap();
    std::os::unix::fs::symlink("a.db", scratch.at("c.db")).unwrap();
    std::os::unix::fs::symlink("sub", scratch.at("linked")).unwrap();
    scratch.database("sub/d.db");
    let start = scratch.start("   recursive: true\n").unwrap();
    assert_eq!(scratch.names(&start.databases), ["a.db", "sub/d.db"]);
    let [_, link, hard] = &start.remarks[..] else {
        panic!("{:?}", start.remarks);
    };
    assert!(link.text.contains("c.db: a symbolic link"), "{}", link.text);
    assert!(hard.text.contains("b.db: a hard link"), "{}", hard.text);
}

#[test]
fn nothing_found_is_an_error_unless_watched() {
    let scratch = Scratch::new();
    let error = scratch.start("").err().unwrap();
    assert!(
        error.starts_with("line 2, column 9: no databases in /"),
        "{error}"
    );
    assert!(error.contains("with names that match `*.db`"), "{error}");
    assert!(scratch.start(WATCH).unwrap().databases.is_empty());
    std::fs::remove_dir_all(scratch.at("")).unwrap();
    assert!(scratch.start("").is_err());
    let start = scratch.start(WATCH).unwrap();
    assert!(
        start.remarks[1]
            .text
            .contains("replicated when they appear in it")
    );
}

#[test]
fn collisions_are_errors_at_the_start_and_remarks_later() {
    let scratch = Scratch::new();
    scratch.database("a.db");
    let listed = |name: &str, replica: &str| {
        let (path, top) = (scratch.at(name), scratch.0.display());
        format!(
            "{WATCH} - path: {}\n   replica: {{path: {top}/{replica}}}\n",
            path.display()
        )
    };
    let twice = scratch.start(&listed("a.db", "other")).err().unwrap();
    assert!(twice.contains("duplicate path"), "{twice}");
    let shared = scratch.start(&listed("x.sqlite", "replica/a.db")).err();
    assert!(shared.unwrap().contains("is also that of"));
    let start = scratch.start(&listed("x.sqlite", "replica/b.db")).unwrap();
    let mut discovery = start.discovery.unwrap();
    scratch.database("b.db");
    scratch.database("c.db");
    let [added, refused] = &look(&mut discovery)[..] else {
        panic!("one of two");
    };
    assert_eq!(added, "+c.db");
    assert!(
        refused.contains("b.db: not replicated: the replica"),
        "{refused}"
    );
    assert!(look(&mut discovery).is_empty(), "said once");
}

#[test]
fn databases_come_and_go() {
    let scratch = Scratch::new();
    scratch.database("a.db");
    let mut discovery = scratch.start(DEEP).unwrap().discovery.unwrap();
    assert!(look(&mut discovery).is_empty());
    std::fs::write(scratch.at("b.db"), "").unwrap();
    assert!(look(&mut discovery).is_empty());
    let candidates: Vec<PathBuf> = discovery.candidates().collect();
    assert_eq!(candidates, [scratch.at("b.db")]);
    scratch.database("b.db");
    assert_eq!(look(&mut discovery), ["+b.db"]);
    move_to(&scratch.at("b.db"), &scratch.at("sub/c.db"));
    assert_eq!(look(&mut discovery), ["-b.db", "+c.db"]);
    move_to(&scratch.at("sub"), &scratch.at("away"));
    assert_eq!(look(&mut discovery), ["-c.db", "+c.db"]);
    move_to(&scratch.0.join("data"), &scratch.0.join("moved"));
    let mut entered = Vec::new();
    discovery.look(&mut |path| entered.push(path.to_path_buf()));
    assert_eq!(
        entered.last(),
        Some(&scratch.at("")),
        "looked out for, and looked at again"
    );
    assert!(entered.contains(&scratch.0), "the nearest that is there");
    assert!(look(&mut discovery).is_empty(), "what is gone is said once");
    move_to(&scratch.0.join("moved"), &scratch.0.join("data"));
    assert_eq!(look(&mut discovery), ["+a.db", "+c.db"]);
}

#[test]
fn what_cannot_be_read_is_not_taken_for_gone() {
    let scratch = Scratch::new();
    scratch.database("sub/a.db");
    let mut discovery = scratch.start(DEEP).unwrap().discovery.unwrap();
    let directory = &mut discovery.directories[0];
    let mut sight = directory.see(&mut |_| {});
    sight.known.clear();
    assert!(
        directory.vanished(&sight).is_empty(),
        "missed by the reading"
    );
    std::fs::remove_file(scratch.at("sub/a.db")).unwrap();
    let refused = io::Error::from(io::ErrorKind::PermissionDenied);
    sight.unseen.insert(PathBuf::from("sub"), refused);
    assert!(directory.vanished(&sight).is_empty());
    let gone = io::Error::from(io::ErrorKind::NotFound);
    sight.unseen.insert(PathBuf::from("sub"), gone);
    assert_eq!(directory.vanished(&sight), [PathBuf::from("sub/a.db")]);
}
