//! What was verified of a database last, kept beside what `walbrook replicate` remembers of it:
//!
//! ```text
//! walbrook-verify 1
//! 2026-11-28T10:30:05.25Z state whole 000000000000002a file:///backup/app
//! 2026-11-27T10:30:05.1Z part:27/30 damaged - file:///backup/app
//! ```
//!
//! One line for each replica and each of `state`, `drill` and `part`: when, what, how it ended (`whole`, `damaged`,
//! `unknown`), the TXID if there is one to tell, and the replica. Nothing depends on it: it is for who wants to know.

use std::io::{self, Write};
use std::path::Path;

use super::report::Verdict;
use crate::sys::clock::{Clock, SystemClock};
use crate::sys::fs::SystemFiles;
use crate::sys::temporary;

/// Its name in the directory.
const NAME: &str = "walbrook-verify";
/// What it begins with.
const FIRST: &str = "walbrook-verify 1";

/// Notes `verdicts` in the directory `meta`, if that is there. What cannot be noted is warned of.
pub(super) fn note(meta: &Path, verdicts: &[Verdict]) {
    if !meta.is_dir() {
        return;
    }
    let path = meta.join(NAME);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let text = text(&old, &SystemClock.now().to_string(), verdicts);
    if let Err(error) = temporary::store(&SystemFiles, &path, 0o600, text.as_bytes()) {
        let warning = format!(
            "Warning: the result cannot be noted in {}: {error}",
            path.display()
        );
        let _ = writeln!(io::stderr(), "{warning}");
    }
}

/// The new text: the lines of `old` that no verdict takes the place of, and those of the verdicts.
fn text(old: &str, now: &str, verdicts: &[Verdict]) -> String {
    let new: Vec<String> = verdicts.iter().map(|verdict| line(now, verdict)).collect();
    let others = old.lines().filter(|old| {
        subject(old).is_some_and(|it| new.iter().all(|new| subject(new) != Some(it)))
    });
    let mut text = format!("{FIRST}\n");
    for line in others.chain(new.iter().map(String::as_str)) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn line(now: &str, verdict: &Verdict) -> String {
    let txid = verdict
        .txid()
        .map_or("-".to_owned(), |txid| txid.to_string());
    let (what, how) = (verdict.goal, verdict.word());
    format!("{now} {what} {how} {txid} {}", verdict.location)
}

/// What a line is about: the kind of verification, and the replica. None if it is no line of ours.
fn subject(line: &str) -> Option<(&str, &str)> {
    let mut words = line.splitn(5, ' ');
    let what = words.nth(1)?;
    let location = words.nth(2)?;
    Some((what.split(':').next()?, location))
}

#[cfg(test)]
mod tests {
    use super::super::Goal;
    use super::super::report::Finding;
    use super::*;
    use crate::commands::CommandError;
    use crate::restore::{Part, Target};

    fn verdict(goal: Goal, location: &str) -> Verdict {
        Verdict {
            database: None,
            location: location.to_owned(),
            goal,
            finding: Finding::Unknown(CommandError::new("no network")),
        }
    }

    #[test]
    fn each_kind_of_each_replica_has_a_line() {
        let state = Goal::State(Target::Latest);
        let part = |text| Goal::Part(Part::parse(text).unwrap());
        let first = [verdict(state, "/r/a b"), verdict(state, "/r/c")];
        let one = text("", "T1", &first);
        let lines = "walbrook-verify 1\nT1 state unknown - /r/a b\nT1 state unknown - /r/c\n";
        assert_eq!(one, lines);
        let two = text(&one, "T2", &[verdict(part("3/30"), "/r/c")]);
        let three = text(
            &two,
            "T3",
            &[verdict(part("4/30"), "/r/c"), verdict(state, "/r/a b")],
        );
        assert_eq!(
            three,
            "walbrook-verify 1\nT1 state unknown - /r/c\nT3 part:4/30 unknown - /r/c\n\
             T3 state unknown - /r/a b\n"
        );
        let garbage = text("nothing of\nours\n", "T1", &first);
        assert_eq!(garbage, lines);
    }
}
