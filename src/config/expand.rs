//! Environment variables in the configuration, put in before the text is parsed.
//!
//! The rules are those of Go's `os.Expand`: `$NAME` and `${NAME}`, NAME of letters, digits and `_`; one
//! character of `*#$@!?-` or a digit counts as a whole name; a `$` before anything else stays. Two things
//! are better here: `$$` is a literal `$`, and a variable that is not set gives a warning.

use super::error::Warning;
use super::schema;
use super::yaml::Position;

/// `text` with its variables replaced by what `lookup` has for them, nothing where it has none.
pub(super) fn expand(
    text: &str,
    lookup: impl Fn(&str) -> Option<String>,
) -> (String, Vec<Warning>) {
    let mut expanded = String::with_capacity(text.len());
    let mut warnings = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        let here = text.len() - rest.len() + at;
        let (reference, length) = reference(&rest[at + 1..]);
        rest = &rest[at + 1 + length..];
        match reference {
            Reference::Dollar => expanded.push('$'),
            Reference::Malformed => warn(&mut warnings, text, here, |_| {
                "`${` without a name and `}` is taken out; write `$$` for a literal `$`".to_owned()
            }),
            Reference::Name(name) => match lookup(name) {
                Some(value) => expanded.push_str(&value),
                None => warn(&mut warnings, text, here, |may_name| {
                    match may_name {
                    true => format!(
                        "the environment variable {name} is not set; nothing is put in its place \
                         (write `$$` for a literal `$`)"
                    ),
                    false => "a `$` here begins the name of an environment variable that is not set; it is \
                         taken out with the name (write `$$` for a literal `$`)"
                        .to_owned(),
                }
                }),
            },
        }
    }
    expanded.push_str(rest);
    (expanded, warnings)
}

/// A variable of this process; `PID` is the process's own number.
pub(super) fn of_process(name: &str) -> Option<String> {
    match name {
        "PID" => Some(std::process::id().to_string()),
        _ => std::env::var(name).ok(),
    }
}

enum Reference<'a> {
    /// A literal `$`.
    Dollar,
    /// The variable of this name.
    Name(&'a str),
    /// `${}` or a `${` that is never closed.
    Malformed,
}

/// What follows a `$`, and how many bytes of `after` belong to it.
fn reference(after: &str) -> (Reference<'_>, usize) {
    let Some(first) = after.bytes().next() else {
        return (Reference::Dollar, 0);
    };
    match first {
        b'$' => (Reference::Dollar, 1),
        b'{' => match after.find('}') {
            Some(1) => (Reference::Malformed, 2),
            Some(end) => (Reference::Name(&after[1..end]), end + 1),
            None => (Reference::Malformed, 1),
        },
        b'*' | b'#' | b'@' | b'!' | b'?' | b'-' | b'0'..=b'9' => (Reference::Name(&after[..1]), 1),
        _ => {
            let belongs = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
            match after.bytes().take_while(belongs).count() {
                0 => (Reference::Dollar, 0),
                length => (Reference::Name(&after[..length]), length),
            }
        }
    }
}

/// Adds a warning about byte `at` of `text`, unless it is in a comment. The message may repeat what stands
/// there only when `true` is passed: a `$` inside a password makes part of the password look like a name.
fn warn(warnings: &mut Vec<Warning>, text: &str, at: usize, message: impl Fn(bool) -> String) {
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[line_start..].lines().next().unwrap_or("");
    if line.trim_start().starts_with('#') {
        return;
    }
    let position = Position {
        line: text[..at].matches('\n').count() + 1,
        column: text[line_start..at].chars().count() + 1,
    };
    warnings.push(Warning::at(position, message(!may_hold_secret(line))));
}

/// Whether a secret may stand in `line`: after a key that has one, in a URL with a user, or in a line
/// without a key, which continues one.
fn may_hold_secret(line: &str) -> bool {
    !line.contains(':') || line.contains('@') || schema::secret_keys().any(|key| line.contains(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOME_DIR" => Some("/home/ada".to_owned()),
            "a" => Some("A".to_owned()),
            "1" => Some("one".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn as_go_expands() {
        for (text, expected) in [
            ("x: $HOME_DIR/db", "x: /home/ada/db"),
            ("x: ${HOME_DIR}db", "x: /home/adadb"),
            ("x: $a$a", "x: AA"),
            ("x: $1a", "x: onea"),
            ("x: $NOPE.", "x: ."),
            ("x: ${NOPE}.", "x: ."),
            ("x: $*y", "x: y"),
            ("x: $", "x: $"),
            ("x: $ $/ $ä", "x: $ $/ $ä"),
            ("x: ${}y", "x: y"),
            ("x: ${a", "x: a"),
            ("x: pa$$word", "x: pa$word"),
            ("x: $$$a", "x: $A"),
        ] {
            assert_eq!(expand(text, lookup).0, expected, "{text}");
        }
    }

    #[test]
    fn unset_variables_are_named_unless_a_secret_may_stand_there() {
        let warnings = |text: &str| -> Vec<String> {
            let warnings = expand(text, lookup).1;
            warnings.iter().map(Warning::to_string).collect()
        };
        assert_eq!(
            warnings("dbs:\n - path: /x/$NOPE\n"),
            [
                "line 2, column 13: the environment variable NOPE is not set; nothing is put in its place \
                 (write `$$` for a literal `$`)"
            ]
        );
        for secret in [
            "password: a$hunter2",
            "url: s3://k:a$hunter2@h",
            "  a$hunter2",
        ] {
            let warnings = warnings(secret);
            assert_eq!(warnings.len(), 1);
            assert!(!warnings[0].contains("hunter2"), "{}", warnings[0]);
        }
        assert_eq!(warnings("# costs $NOPE\n").len(), 0);
        assert_eq!(warnings("x: $$NOPE").len(), 0);
        assert_eq!(warnings("x: ${").len(), 1);
    }

    #[test]
    fn the_process_has_a_number() {
        assert_eq!(of_process("PID"), Some(std::process::id().to_string()));
        assert_eq!(of_process("A=B"), None);
    }
}
