//! Patterns for the names of files, as Go's `filepath.Match` has them, which Litestream uses: `*` is any
//! characters, `?` one, `[a-z]` one of a class, `[^a-z]` one that is not, `\` takes the next one as it is.
//!
//! Differs from a shell's in two ways: `[!a]` is no negation, and a leading dot is nothing special. Where Go finds a
//! mistake only in the part of a pattern that it comes to, it is found here at once.

use std::ffi::OsStr;

/// A pattern that names are held against.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Literal(char),
    One,
    Any,
    Class {
        negated: bool,
        /// The first and the last character of each range.
        ranges: Vec<(char, char)>,
    },
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Pattern, &'static str> {
        if text.contains('/') {
            return Err(
                "a pattern is for the name of a file, without directories; for those in subdirectories write \
                 `recursive: true`",
            );
        }
        let mut rest = text.chars().peekable();
        let mut parts = Vec::new();
        while let Some(character) = rest.next() {
            parts.push(match character {
                '*' => Part::Any,
                '?' => Part::One,
                '\\' => Part::Literal(rest.next().ok_or("it ends with a backslash")?),
                '[' => {
                    let negated = rest.next_if_eq(&'^').is_some();
                    let ranges = ranges(&mut rest)?;
                    Part::Class { negated, ranges }
                }
                literal => Part::Literal(literal),
            });
        }
        Ok(Pattern {
            text: text.to_owned(),
            parts,
        })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `name` fits.
    pub fn matches(&self, name: &OsStr) -> bool {
        let name: Vec<char> = name.to_string_lossy().chars().collect();
        let (mut at, mut part) = (0, 0);
        // Where the last `*` stands, and from where in the name on the parts behind it are tried.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() || part < self.parts.len() {
            match (self.parts.get(part), name.get(at)) {
                (Some(Part::Any), _) => {
                    retry = Some((part, at));
                    part += 1;
                }
                (Some(one), Some(&character)) if one.takes(character) => {
                    (at, part) = (at + 1, part + 1)
                }
                _ => match &mut retry {
                    // The `*` takes one character more.
                    Some((any, from)) if *from < name.len() => {
                        *from += 1;
                        (at, part) = (*from, *any + 1);
                    }
                    _ => return false,
                },
            }
        }
        true
    }
}

impl Part {
    fn takes(&self, character: char) -> bool {
        match self {
            Part::Literal(literal) => *literal == character,
            Part::One | Part::Any => true,
            Part::Class { negated, ranges } => {
                let within = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&character));
                within != *negated
            }
        }
    }
}

/// The ranges of a class, up to and with its `]`; there is at least one.
fn ranges(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Vec<(char, char)>, &'static str> {
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
        let first = class_character(rest)?;
        let last = match rest.next_if_eq(&'-') {
            Some(_) => class_character(rest)?,
            None => first,
        };
        ranges.push((first, last));
    }
    Ok(ranges)
}

fn class_character(
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<char, &'static str> {
    const UNCLOSED: &str = "a `[` is not closed; write `\\[` for the character itself";
    match rest.next().ok_or(UNCLOSED)? {
        '-' | ']' => Err("`-` and `]` stand for themselves in a class only as `\\-` and `\\]`"),
        '\\' => rest.next().ok_or(UNCLOSED),
        character => Ok(character),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(OsStr::new(name))
    }

    /// The cases of Go's own documentation and rules, those with a slash aside.
    #[test]
    fn matches_as_go_does() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("*", "", true),
            ("*", "abc", true),
            ("*", ".abc", true),
            ("*c", "abc", true),
            ("*x", "xxx", true),
            ("a*", "a", true),
            ("a*", "abc", true),
            ("*.db", "a.db", true),
            ("*.db", ".db", true),
            ("*.db", "a.db-wal", false),
            ("*.db", "a.DB", false),
            ("**.db", "a.db", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[g-e]", "abf", false),
            ("ab[^c]", "abc", false),
            ("ab[^b-d]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("[!a]", "!", true),
            ("[!a]", "b", false),
            ("[a^]", "^", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("a[^a]b", "a☺b", true),
            ("a[^a][^a][^a]b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("*[a-ζ]", "A", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[x\\-]", "-", true),
            ("[x\\-]", "z", false),
            ("[\\-x]", "-", true),
            ("[\\-x]", "a", false),
            ("[a-c]x]", "bx]", true),
            ("a]", "a]", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in [
            "[]a]", "[-]", "[x-]", "[-x]", "\\", "a\\", "[a-b-c]", "[", "[^", "[^]", "[]", "[^bc",
            "a[", "*[", "[a\\", "[a-\\", "a/*.db",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_name_that_is_no_text_can_match() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"a\xff.db");
        assert!(Pattern::parse("a?.db").unwrap().matches(name));
    }

    /// The rules read off word for word, without any cleverness.
    fn by_the_rules(parts: &[Part], name: &[char]) -> bool {
        match (parts, name) {
            ([], []) => true,
            ([Part::Any, parts @ ..], _) => {
                (0..=name.len()).any(|taken| by_the_rules(parts, &name[taken..]))
            }
            ([part, parts @ ..], [character, name @ ..]) => {
                part.takes(*character) && by_the_rules(parts, name)
            }
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in ".*", name in ".*") {
            if let Ok(pattern) = Pattern::parse(&pattern) {
                let _ = pattern.matches(OsStr::new(&name));
            }
        }

        #[test]
        fn agrees_with_the_rules(pattern in "[ab*?]{0,8}(\\[\\^?[a-c](-[a-c])?\\])?[ab*]{0,4}", name in "[abc]{0,9}") {
            let pattern = Pattern::parse(&pattern).unwrap();
            let characters: Vec<char> = name.chars().collect();
            prop_assert_eq!(
                pattern.matches(OsStr::new(&name)),
                by_the_rules(&pattern.parts, &characters)
            );
        }

        #[test]
        fn an_escaped_name_matches_itself_alone(name in "[^/]{1,12}", other in "[^/]{1,12}") {
            let pattern: String = name.chars().flat_map(|c| ['\\', c]).collect();
            prop_assert!(matches(&pattern, &name));
            prop_assert_eq!(matches(&pattern, &other), name == other);
        }
    }
}
