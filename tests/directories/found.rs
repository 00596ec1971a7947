//! What is in a directory at the start: replicated, listed, restored, reset, each by its own name.

use std::path::Path;

use super::Fleet;
use crate::support::process::output_of;
use crate::support::rig::Program;

#[test]
fn every_database_of_a_directory_is_replicated() {
    let fleet = Fleet::new("recursive: true");
    let names = ["a.db", "b c.db", "sub/a.db", "sub/deep/100%.db"];
    for name in names {
        fleet.create(name);
    }
    std::fs::write(fleet.db("notes.db"), "no database").unwrap();
    let process = fleet.start();
    fleet.wait_in_sync(&names);
    for name in names {
        fleet.insert(name);
    }
    fleet.wait_in_sync(&names);
    process.kill();
    for name in names {
        fleet.insert(name);
    }
    let process = fleet.start();
    fleet.wait_in_sync(&names);
    process.stop().well();
    fleet.assert_in_sync(&names);
    assert!(!fleet.replica("notes.db").exists());
}

#[test]
fn subdirectories_are_left_out_unless_asked_for() {
    let fleet = Fleet::new("recursive: false");
    fleet.create("a.db");
    fleet.create("sub/b.db");
    let mut once = fleet.command("replicate");
    output_of(once.arg("-once")).unwrap();
    fleet.assert_in_sync(&["a.db"]);
    assert!(!fleet.replica("sub").exists());
}

#[test]
fn commands_know_the_databases_of_a_directory() {
    let fleet = Fleet::new("recursive: true");
    let database = fleet.create("sub/a.db");
    output_of(fleet.command("replicate").arg("-once")).unwrap();
    let listed = output_of(&mut fleet.command("databases")).unwrap();
    assert!(listed.contains(database.to_str().unwrap()), "{listed}");
    let files = output_of(fleet.command("ltx").arg(&database)).unwrap();
    assert!(files.lines().count() > 1, "{files}");
    let reset = output_of(fleet.command("reset").arg("-dry-run").arg(&database)).unwrap();
    assert!(reset.contains("Removing: "), "{reset}");
    // It is gone, with all that was beside it.
    std::fs::rename(fleet.db("sub"), fleet.path("away")).unwrap();
    output_of(fleet.command("restore").arg(&database)).unwrap();
    fleet.assert_in_sync(&["sub/a.db"]);
    let unknown = output_of(fleet.command("restore").arg(fleet.db("sub/a.sqlite"))).unwrap_err();
    assert!(
        unknown.contains("database not found in config"),
        "{unknown}"
    );
}

#[test]
fn nothing_found_is_an_error_without_watch() {
    let fleet = Fleet::new("recursive: true");
    for command in ["replicate", "databases"] {
        let error = output_of(&mut fleet.command(command)).unwrap_err();
        assert!(error.contains("with names that match `*.db`"), "{error}");
        assert!(error.contains("line 2, column"), "{error}");
    }
}

#[test]
fn what_is_remembered_lies_where_the_configuration_says() {
    for (key, remembered) in [
        ("meta-path", "memory/sub/.a.db-litestream"),
        ("meta-dir", "memory/sub/a.db-litestream"),
        ("", "data/sub/.a.db-litestream"),
    ] {
        let mut fleet = Fleet::new("recursive: true");
        if !key.is_empty() {
            fleet.settings += &format!(", {key}: {}", fleet.path("memory").display());
        }
        fleet.create("sub/a.db");
        output_of(fleet.command("replicate").arg("-once")).unwrap();
        assert!(
            fleet.path(remembered).join("walbrook-state").exists(),
            "{key}"
        );
        // Which the next run goes by.
        fleet.insert("sub/a.db");
        output_of(fleet.command("replicate").arg("-once")).unwrap();
        fleet.assert_in_sync(&["sub/a.db"]);
    }
}

#[test]
fn places_that_are_taken_are_errors() {
    let mut fleet = Fleet::new("recursive: true");
    fleet.create("a.db");
    let other = |path: &Path, replica: &Path| {
        format!(
            "  - {{path: {}, replica: {{path: {}}}}}\n",
            path.display(),
            replica.display()
        )
    };
    for (path, replica, expected) in [
        (fleet.db("a.db"), fleet.path("other"), "duplicate path"),
        (fleet.path("x.db"), fleet.replica("a.db"), "is also that of"),
        (
            fleet.path("x.db"),
            fleet.db(".a.db-litestream/x"),
            "where the state of",
        ),
    ] {
        fleet.others = other(&path, &replica);
        let error = output_of(&mut fleet.command("replicate")).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_last_changes_of_all_are_sent_at_the_end() {
    let fleet = Fleet::new("watch: true");
    let names: Vec<String> = (0..12).map(|number| format!("{number}.db")).collect();
    for name in &names {
        fleet.create(name);
    }
    let process = fleet.start();
    process.wait_for("replicating to");
    for name in &names {
        fleet.insert(name);
    }
    process.stop().well();
    for name in &names {
        assert_eq!(fleet.compare(Program::Walbrook, name), Ok(()));
    }
}
