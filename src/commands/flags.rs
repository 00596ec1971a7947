//! Flags as Go's programs take them, turned into what `argh` takes.
//!
//! Go: `-name value`, `-name=value`, one or two dashes; a switch may have `=true` or `=false` and never takes
//! the next argument; of a flag given twice the last counts; flags end at `--` or at the first argument that
//! does not begin with a dash (a lone `-` does not count as one). argh gets `--name value` for what remains
//! of that, then `--` and the arguments.

use std::collections::BTreeMap;

use super::{CommandError, CommandHelp};
use crate::config::text::nearest;

/// One flag of a command; its line of help comes from here as well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flag {
    /// Its name without dashes.
    pub(super) name: &'static str,
    /// What its value is called in the help; none for a switch.
    pub(super) value: Option<&'static str>,
    /// What it does, in one sentence.
    pub(super) help: &'static str,
}

/// The flag that names the configuration file.
pub(super) const CONFIG: Flag = Flag {
    name: "config",
    value: Some("PATH"),
    help: "Read this configuration instead of $LITESTREAM_CONFIG, /etc/walbrook.yml or /etc/litestream.yml",
};

/// The switch that leaves environment variables alone.
pub(super) const NO_EXPAND_ENV: Flag = Flag {
    name: "no-expand-env",
    value: None,
    help: "Leave $VARIABLES in the configuration as they are",
};

/// The flag that says which of several replicas is read.
pub(super) const REPLICA: Flag = Flag {
    name: "replica",
    value: Some("N"),
    help: "Of a database with several replicas, take only the Nth of the configuration",
};

/// What a command line asks of a command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Rewritten {
    /// Its help.
    Help,
    /// To run, with these arguments for argh.
    Run(Vec<String>),
}

/// Rewrites the `arguments` of `command` for argh.
pub(super) fn rewrite(
    command: &CommandHelp,
    arguments: &[String],
) -> Result<Rewritten, CommandError> {
    let mut values: BTreeMap<&str, Option<String>> = BTreeMap::new();
    let mut rest = arguments;
    let mut ended = false;
    while let Some((argument, after)) = rest.split_first() {
        if !argument.starts_with('-') || argument == "-" {
            break;
        }
        rest = after;
        if argument == "--" {
            ended = true;
            break;
        }
        let (name, inline) = split(argument, command)?;
        if matches!(name, "h" | "help") {
            return Ok(Rewritten::Help);
        }
        let flag = find(name, command)?;
        match (flag.value, inline) {
            (None, None) => {
                values.insert(flag.name, None);
            }
            (None, Some(text)) => {
                if boolean(text).ok_or_else(|| invalid_boolean(text, flag, command))? {
                    values.insert(flag.name, None);
                } else {
                    values.remove(flag.name);
                }
            }
            (Some(_), Some(text)) => {
                values.insert(flag.name, Some(text.to_owned()));
            }
            (Some(placeholder), None) => {
                let Some((value, after)) = rest.split_first() else {
                    return Err(usage_error(
                        format!("flag needs an argument: -{name} {placeholder}"),
                        command,
                    ));
                };
                rest = after;
                values.insert(flag.name, Some(value.clone()));
            }
        }
    }
    if !ended {
        reject_late_flags(rest, command)?;
    }
    let mut rewritten = Vec::new();
    for (name, value) in values {
        rewritten.push(format!("--{name}"));
        rewritten.extend(value);
    }
    rewritten.push("--".to_owned());
    rewritten.extend_from_slice(rest);
    Ok(Rewritten::Run(rewritten))
}

/// The name in a flag, and the value after its `=`.
fn split<'a>(
    argument: &'a str,
    command: &CommandHelp,
) -> Result<(&'a str, Option<&'a str>), CommandError> {
    let body = argument
        .strip_prefix("--")
        .or_else(|| argument.strip_prefix('-'))
        .unwrap_or(argument);
    if body.starts_with(['-', '=']) {
        return Err(usage_error(format!("bad flag syntax: {argument}"), command));
    }
    Ok(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    })
}

fn find<'a>(name: &str, command: &'a CommandHelp) -> Result<&'a Flag, CommandError> {
    if let Some(flag) = command.flags.iter().find(|flag| flag.name == name) {
        return Ok(flag);
    }
    let names = command.flags.iter().map(|flag| flag.name);
    let message = match nearest(name, names) {
        Some(near) => format!("flag provided but not defined: -{name}; did you mean -{near}?"),
        None => format!("flag provided but not defined: -{name}"),
    };
    Err(usage_error(message, command))
}

/// A flag after the first argument would be taken for an argument; nobody means that.
fn reject_late_flags(arguments: &[String], command: &CommandHelp) -> Result<(), CommandError> {
    let looks_like_flag = |argument: &&String| argument.len() > 1 && argument.starts_with('-');
    let Some(late) = arguments.iter().skip(1).find(looks_like_flag) else {
        return Ok(());
    };
    let shown = late.split('=').next().unwrap_or(late);
    let before = match command.arguments.trim_matches(['[', ']']) {
        "" => "all".to_owned(),
        names if names.contains('|') => names.replace('|', " or "),
        names => names.replace(' ', " and "),
    };
    Err(usage_error(
        format!("flag \"{shown}\" must be positioned before {before} arguments"),
        command,
    ))
}

fn invalid_boolean(text: &str, flag: &Flag, command: &CommandHelp) -> CommandError {
    usage_error(
        format!(
            "invalid boolean value {text:?} for -{}; write true or false",
            flag.name
        ),
        command,
    )
}

fn usage_error(message: String, command: &CommandHelp) -> CommandError {
    CommandError::new(message).with_try(format!("walbrook {} -h", command.name))
}

/// The spellings Go's `strconv.ParseBool` knows.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMAND: CommandHelp = CommandHelp {
        name: "restore",
        arguments: "DB_PATH|REPLICA_URL",
        summary: "",
        details: "",
        flags: &[
            CONFIG,
            Flag {
                name: "o",
                value: Some("PATH"),
                help: "",
            },
            Flag {
                name: "json",
                value: None,
                help: "",
            },
            Flag {
                name: "dry-run",
                value: None,
                help: "",
            },
        ],
    };

    fn run(line: &[&str]) -> Result<Rewritten, String> {
        let arguments: Vec<String> = line.iter().map(|&word| word.to_owned()).collect();
        rewrite(&COMMAND, &arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn gos_rules() {
        let cases: [(&[&str], &[&str]); 15] = [
            (&[], &["--"]),
            (&["-o", "x"], &["--o", "x", "--"]),
            (&["--o", "x"], &["--o", "x", "--"]),
            (&["-o=x"], &["--o", "x", "--"]),
            (&["--o=x=y"], &["--o", "x=y", "--"]),
            (&["-o="], &["--o", "", "--"]),
            (&["-o", "-5"], &["--o", "-5", "--"]),
            (&["-o", "--"], &["--o", "--", "--"]),
            (&["-o", "a", "-o", "b"], &["--o", "b", "--"]),
            (&["-json", "db"], &["--json", "--", "db"]),
            (&["-json=true", "-json=false", "db"], &["--", "db"]),
            (&["-json=T"], &["--json", "--"]),
            (&["--", "-json", "-x"], &["--", "-json", "-x"]),
            (&["-", "x"], &["--", "-", "x"]),
            (&["db", "help"], &["--", "db", "help"]),
        ];
        for (line, expected) in cases {
            let expected = expected.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(run(line), Ok(Rewritten::Run(expected)), "{line:?}");
        }
        for line in [&["-h"], &["-help"], &["--help"], &["--h"]] {
            assert_eq!(run(line), Ok(Rewritten::Help));
        }
    }

    #[test]
    fn mistakes() {
        let cases: [(&[&str], &str); 9] = [
            (
                &["-jsn"],
                "flag provided but not defined: -jsn; did you mean -json?",
            ),
            (&["-wholly=1"], "flag provided but not defined: -wholly"),
            (&["-o"], "flag needs an argument: -o PATH"),
            (
                &["-json=maybe"],
                "invalid boolean value \"maybe\" for -json; write true or false",
            ),
            (&["---o"], "bad flag syntax: ---o"),
            (&["-=x"], "bad flag syntax: -=x"),
            (
                &["db", "-o", "x"],
                "flag \"-o\" must be positioned before DB_PATH or REPLICA_URL arguments",
            ),
            (
                &["db", "-o=x"],
                "flag \"-o\" must be positioned before DB_PATH or REPLICA_URL arguments",
            ),
            (&["--help=", "-jsn"], ""),
        ];
        for (line, expected) in cases {
            match run(line) {
                Ok(rewritten) => assert_eq!((rewritten, expected), (Rewritten::Help, "")),
                Err(message) => assert_eq!(message, expected),
            }
        }
    }

    proptest! {
        #[test]
        fn no_line_panics(line in prop::collection::vec("(-{0,3}(o|json|config|h|x)?(=.{0,4})?|.{0,8})", 0..6)) {
            let _ = rewrite(&COMMAND, &line);
        }
    }
}
