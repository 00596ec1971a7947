//! The format of AWS's shared files: `[sections]` of `key = value` lines.
//!
//! As AWS's programs read it: `#` and `;` begin a comment at the start of a line or after a blank. A line indented
//! deeper than the key before it belongs to that key (`s3 =` and its own keys below it; a long value), so it can
//! never be taken for a key of the section. A section that comes twice is one section, and of a key that comes
//! twice the last one counts. What is before the first section, or no `key = value` at all, is passed over: it
//! was never of use to anybody, and cannot be shown, since it may be a key in the wrong place.

use std::collections::BTreeMap;

/// A file, read. Not for messages: it holds secrets.
#[derive(Default)]
pub(super) struct Sections(BTreeMap<String, Section>);

/// The values of one section by key, in lower case.
#[derive(Clone, Default)]
pub(super) struct Section(BTreeMap<String, String>);

impl Sections {
    pub(super) fn parse(text: &str) -> Sections {
        let mut sections = Sections::default();
        let mut section: Option<&mut Section> = None;
        // The last key, and how far its line was indented.
        let mut last: Option<(String, usize)> = None;
        for line in text.trim_start_matches('\u{feff}').lines() {
            let content = line.trim();
            let indent = line.len() - line.trim_start().len();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            if let Some((key, _)) = last.as_ref().filter(|(_, own)| indent > *own) {
                if let Some(section) = &mut section {
                    section.continued(key, content);
                }
                continue;
            }
            last = None;
            if let Some(name) = header(content) {
                section = Some(sections.0.entry(name).or_default());
            } else if let (Some(section), Some((key, value))) = (&mut section, property(content)) {
                section.0.insert(key.clone(), value);
                last = Some((key, indent));
            }
        }
        sections
    }

    /// The section with this name, `profile NAME` with one blank in between.
    pub(super) fn get(&self, name: &str) -> Option<&Section> {
        self.0.get(name)
    }
}

impl Section {
    /// The value of a key. An empty one is as good as none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .get(key)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Adds a line to the value of `key`; but where that has no text on its own line, keys of its own follow.
    fn continued(&mut self, key: &str, content: &str) {
        if let Some(value) = self.0.get_mut(key).filter(|value| !value.is_empty()) {
            value.push('\n');
            value.push_str(content);
        }
    }
}

/// The name in `[name]`, with a comment behind it or not. Quotes around its last part are taken off.
fn header(line: &str) -> Option<String> {
    let (name, _) = line.strip_prefix('[')?.split_once(']')?;
    let name = name.trim();
    Some(match name.split_once([' ', '\t']) {
        Some((kind, name)) => format!("{kind} {}", unquoted(name.trim())),
        None => unquoted(name).to_owned(),
    })
}

fn property(line: &str) -> Option<(String, String)> {
    let line = without_comment(line);
    let (key, value) = line.split_once(['=', ':'])?;
    Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

/// A value holds `#` and `;` where no blank is before them.
fn without_comment(line: &str) -> &str {
    let comment = line
        .char_indices()
        .zip(line.chars().skip(1))
        .find(|((_, before), mark)| [' ', '\t'].contains(before) && ['#', ';'].contains(mark));
    comment.map_or(line, |((at, _), _)| &line[..at])
}

/// Text without the quotes around all of it.
pub(super) fn unquoted(text: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = text
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return inner;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value<'a>(sections: &'a Sections, section: &str, key: &str) -> Option<&'a str> {
        sections.get(section)?.get(key)
    }

    #[test]
    fn sections_keys_and_comments() {
        let text = "\u{feff}stray = 1\r\n# comment\r\n[default]\r\nAWS_Access_Key_ID=AKIA1 # mine\r\n\
                    aws_secret_access_key =  a#b;c=d  \r\n\t; comment\r\n[profile  two] # comment\n\
                    region : eu\n[ 'three' ]\nempty =\n";
        let sections = Sections::parse(text);
        assert_eq!(
            value(&sections, "default", "aws_access_key_id"),
            Some("AKIA1")
        );
        assert_eq!(
            value(&sections, "default", "aws_secret_access_key"),
            Some("a#b;c=d")
        );
        assert_eq!(value(&sections, "profile two", "region"), Some("eu"));
        assert!(sections.get("two").is_none());
        assert!(sections.get("three").is_some());
        assert_eq!(value(&sections, "three", "empty"), None);
    }

    #[test]
    fn nested_keys_are_not_those_of_the_section() {
        let text = "[default]\ns3 =\n  aws_access_key_id = wrong\n  max_queue_size = 1\n\
                    aws_access_key_id = right\n";
        let sections = Sections::parse(text);
        assert_eq!(
            value(&sections, "default", "aws_access_key_id"),
            Some("right")
        );
        assert_eq!(value(&sections, "default", "max_queue_size"), None);
    }

    #[test]
    fn a_section_indented_as_a_whole_is_read() {
        let text = "[default]\n  a = 1\n  s3 =\n    a = 2\n  b = 3\n[other]\nc = 4\n";
        let sections = Sections::parse(text);
        assert_eq!(value(&sections, "default", "a"), Some("1"));
        assert_eq!(value(&sections, "default", "b"), Some("3"));
        assert_eq!(value(&sections, "other", "c"), Some("4"));
    }

    #[test]
    fn long_values_go_on_below() {
        let sections = Sections::parse("[default]\ncredential_process = a\n    --b=c\nx = 1\n");
        assert_eq!(
            value(&sections, "default", "credential_process"),
            Some("a\n--b=c")
        );
        assert_eq!(value(&sections, "default", "x"), Some("1"));
    }

    #[test]
    fn sections_that_come_twice_are_one() {
        let sections = Sections::parse("[a]\nx = 1\ny = 1\n[b]\n[a]\nx = 2\nno key at all\n");
        assert_eq!(value(&sections, "a", "x"), Some("2"));
        assert_eq!(value(&sections, "a", "y"), Some("1"));
    }

    #[test]
    fn quotes_go_only_where_they_enclose_everything() {
        assert_eq!(unquoted("\"a b\""), "a b");
        assert_eq!(unquoted("'a'"), "a");
        assert_eq!(unquoted("\"a\" \"b\""), "\"a\" \"b\"");
        assert_eq!(unquoted("\""), "\"");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]a-c \t\n\r=:#;\"'é\u{a0}]{0,80}") {
            let sections = Sections::parse(&text);
            let _ = sections.get("a");
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            Sections::parse(&String::from_utf8_lossy(&bytes));
        }
    }
}
