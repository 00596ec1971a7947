//! Command lines as a user types them, and what comes back.

use super::*;

fn run_line(line: &[&str]) -> Result<(Outcome, String), CommandError> {
    let line: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
    let mut out = Vec::new();
    let outcome = dispatch(&line, &mut out)?;
    Ok((outcome, String::from_utf8(out).unwrap()))
}

#[test]
fn version_is_one_line_unless_more_is_asked_for() {
    let (outcome, text) = run_line(&["version"]).unwrap();
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(text, format!("{}\n", env!("CARGO_PKG_VERSION")));
    let (_, text) = run_line(&["version", "-verbose"]).unwrap();
    assert!(text.contains(rusqlite::version()), "{text}");
    assert!(text.contains("Litestream 0.5."), "{text}");
    assert_eq!(
        run_line(&["version", "x"]).unwrap_err().to_string(),
        "too many arguments"
    );
}

#[test]
fn help_comes_in_every_spelling() {
    for line in [&["help"][..], &["-h"], &["-help"], &["--help"]] {
        let (outcome, text) = run_line(line).unwrap();
        assert_eq!(outcome, Outcome::Success);
        assert!(text.contains("replicate"), "{text}");
    }
    for command in COMMANDS {
        let (_, text) = run_line(&[command.name, "-h"]).unwrap();
        assert_eq!(run_line(&["help", command.name]).unwrap().1, text);
        assert!(text.starts_with(&format!("Usage: walbrook {}", command.name)));
    }
    assert_eq!(run_line(&[]).unwrap().0, Outcome::Failed);
}

#[test]
fn unknown_commands_say_what_to_try() {
    for (name, message, try_command) in [
        ("bogus", "walbrook bogus: unknown command", "walbrook help"),
        (
            "replciate",
            "walbrook replciate: unknown command",
            "walbrook replicate",
        ),
        (
            "status",
            "`walbrook status` is not supported yet by this version",
            "walbrook help",
        ),
        ("-x", "flag `-x` must come after a command", "walbrook help"),
    ] {
        let error = run_line(&[name]).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(error.try_command(), Some(try_command));
    }
}

#[test]
fn every_flag_of_the_help_is_one_argh_knows() {
    fn check<A: FromArgs>(help: &CommandHelp) {
        for flag in help.flags {
            let mut line = vec![format!("-{}", flag.name)];
            line.extend(flag.value.map(str::to_owned));
            assert!(parsed::<A>(help, &line).is_ok(), "{} {line:?}", help.name);
        }
    }
    check::<replicate::ReplicateArguments>(&replicate::HELP);
    check::<restore::RestoreArguments>(&restore::HELP);
    check::<history::HistoryArguments>(&history::HELP);
    check::<page::PageArguments>(&page::HELP);
    check::<verify::VerifyArguments>(&verify::HELP);
    check::<ltx::LtxArguments>(&ltx::HELP);
    check::<databases::DatabasesArguments>(&databases::HELP);
    check::<version::VersionArguments>(&version::HELP);
}

#[test]
fn databases_are_listed_as_text_and_as_json() {
    let unique = crate::sys::random::unique();
    let path = std::env::temp_dir().join(format!("walbrook-databases-{unique:x}.yml"));
    std::fs::write(
        &path,
        "dbs:\n - path: /srv/longer.db\n   replica: {path: /r/1}\n - path: /b.db\n   replica: {url: s3://b/p}\n",
    )
    .unwrap();
    let config = path.to_str().unwrap();
    let (_, text) = run_line(&["databases", "-config", config]).unwrap();
    assert_eq!(
        text,
        "path            replica\n/srv/longer.db  file\n/b.db           s3\n"
    );
    let (_, json) = run_line(&["databases", "-config", config, "-json"]).unwrap();
    assert_eq!(
        json,
        "[\n  {\n    \"path\": \"/srv/longer.db\",\n    \"replica\": \"file\"\n  },\n  {\n    \
         \"path\": \"/b.db\",\n    \"replica\": \"s3\"\n  }\n]\n"
    );
    std::fs::remove_file(&path).unwrap();
    let error = run_line(&["databases", "-config", config]).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("config file not found: looked for /"),
        "{error}"
    );
}

#[test]
fn a_closed_output_is_no_failure() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let error = dispatch(&["version".to_owned()], &mut Closed).unwrap_err();
    assert!(error.is_output_closed());
}

#[test]
fn reset_removes_what_is_remembered_and_nothing_else() {
    let directory = std::env::temp_dir().join(format!("reset-{:x}", crate::sys::random::unique()));
    let meta = directory.join(".app.db-litestream");
    std::fs::create_dir_all(meta.join("ltx/0")).unwrap();
    for name in [
        "walbrook-state",
        "walbrook-state.tmp",
        "mine.txt",
        "ltx/0/x",
    ] {
        std::fs::write(meta.join(name), "x").unwrap();
    }
    let database = directory.join("app.db");
    let database = database.to_str().unwrap();
    assert_eq!(
        run_line(&["reset", database]).unwrap_err().to_string(),
        format!("database does not exist: {database}")
    );
    std::fs::write(database, "x").unwrap();
    let names = || {
        let entries = std::fs::read_dir(&meta).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let (_, text) = run_line(&["reset", "-dry-run", database]).unwrap();
    assert!(
        text.contains("walbrook-state\n") && text.contains("Nothing was removed"),
        "{text}"
    );
    assert_eq!(names(), before);
    run_line(&["reset", database]).unwrap();
    assert_eq!(names(), ["mine.txt"]);
    let (_, text) = run_line(&["reset", database]).unwrap();
    assert_eq!(text, format!("No local state to reset for {database}\n"));
    std::fs::remove_dir_all(directory).unwrap();
}
