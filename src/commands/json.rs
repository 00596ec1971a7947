//! JSON for `-json`: indented by two spaces, keys in the order given.

use std::fmt::{self, Write};

/// One JSON value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Json {
    /// A whole number.
    Number(u64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Names with their values.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// What `text` displays, as a text.
    pub(crate) fn text(text: impl fmt::Display) -> Json {
        Json::Text(text.to_string())
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Json::Number(value) => write!(f, "{value}"),
            Json::Text(text) => write_text(f, text),
            Json::List(items) => write_lines(f, depth, ('[', ']'), items, |f, item| {
                item.write(f, depth + 1)
            }),
            Json::Object(fields) => {
                write_lines(f, depth, ('{', '}'), fields, |f, (name, value)| {
                    write_text(f, name)?;
                    f.write_str(": ")?;
                    value.write(f, depth + 1)
                })
            }
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

fn write_lines<T>(
    f: &mut fmt::Formatter<'_>,
    depth: usize,
    (open, close): (char, char),
    items: &[T],
    write_item: impl Fn(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    f.write_char(open)?;
    for (index, item) in items.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        write!(f, "{comma}\n{:indent$}", "", indent = 2 * (depth + 1))?;
        write_item(f, item)?;
    }
    if !items.is_empty() {
        write!(f, "\n{:indent$}", "", indent = 2 * depth)?;
    }
    f.write_char(close)
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            // DEL and the C1 controls need no escape in JSON, but a terminal acts on them.
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_values_are_indented_by_two() {
        let json = Json::List(vec![
            Json::Object(vec![
                ("path", Json::text("/a \"b\"\\\n\u{1}ä")),
                ("size", Json::Number(u64::MAX)),
                ("files", Json::List(Vec::new())),
            ]),
            Json::Number(1),
        ]);
        assert_eq!(
            json.to_string(),
            "[\n  {\n    \"path\": \"/a \\\"b\\\"\\\\\\n\\u0001ä\",\n    \"size\": 18446744073709551615,\n    \
             \"files\": []\n  },\n  1\n]"
        );
    }
}
