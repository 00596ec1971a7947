//! The JSON document in which programs and servers hand out keys: `AccessKeyId`, `SecretAccessKey`, a token under
//! one of two names, `Expiration`. Complaints name fields and never show what is in them.

use std::collections::HashMap;

use tinyjson::JsonValue;

use super::found::{Found, Lifetime, keys};
use crate::units::Timestamp;

/// A document, read.
pub(super) struct Document(HashMap<String, JsonValue>);

impl Document {
    /// Reads a document.
    ///
    /// # Errors
    /// When the bytes are none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Document, String> {
        let text = std::str::from_utf8(bytes).map_err(|_| "the answer is not UTF-8 text")?;
        if !is_shallow(text) {
            return Err("the answer is nested deeper than such documents are".to_owned());
        }
        // The parser's own message quotes what it found, which may be part of a key.
        let value: JsonValue = text.parse().map_err(|error: tinyjson::JsonParseError| {
            format!(
                "the answer is not JSON (line {}, column {})",
                error.line(),
                error.column()
            )
        })?;
        match value {
            JsonValue::Object(fields) => Ok(Document(fields)),
            _ => Err("the answer is JSON, but not an object".to_owned()),
        }
    }

    /// The text in a field. An empty one is as good as none.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        match self.0.get(field)? {
            JsonValue::String(text) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// The number in a field.
    pub(super) fn number(&self, field: &str) -> Option<f64> {
        match self.0.get(field)? {
            JsonValue::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The keys, with their token in the field `token`. `server` is the time of the server that answered, if
    /// one did, `ours` that of our clock.
    ///
    /// # Errors
    /// What is missing, or cannot be used.
    pub(super) fn found(
        &self,
        token: &str,
        server: Option<Timestamp>,
        ours: Timestamp,
    ) -> Result<Found, String> {
        let needed = |field| {
            let text = self.text(field).map(str::to_owned);
            text.ok_or_else(|| format!("the answer has no {field}"))
        };
        let keys = keys(
            needed("AccessKeyId")?,
            needed("SecretAccessKey")?,
            self.text(token).map(str::to_owned),
        )?;
        let lifetime = match self.text("Expiration") {
            Some(text) => {
                let expiration =
                    Timestamp::parse(text).map_err(|error| format!("Expiration is {error}"))?;
                Some(Lifetime::new(expiration, server, ours))
            }
            None => None,
        };
        Ok(Found::changing(keys, lifetime))
    }
}

/// Whether arrays and objects are nested no deeper than the parser, which calls itself for each, has stack for.
/// What stands in strings is counted too: no key has brackets in it.
fn is_shallow(text: &str) -> bool {
    let mut depth = 0_u32;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > 32 {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(text: &str) -> Result<Found, String> {
        Document::parse(text.as_bytes())?.found("Token", None, Timestamp::from_millis(0))
    }

    #[test]
    fn keys_are_read_and_other_fields_are_not_minded() {
        let found = found(
            r#"{"Code": "Success", "Nested": {"a": [1]}, "AccessKeyId": "AKIA", "SecretAccessKey": "a\/b+",
                "Token": "t==", "Expiration": "1970-01-01T01:00:00Z"}"#,
        )
        .unwrap();
        assert_eq!(found.keys.access_key_id, "AKIA");
        assert_eq!(found.keys.secret_access_key.reveal(), "a/b+");
        assert_eq!(found.keys.session_token.unwrap().reveal(), "t==");
        assert_eq!(found.lifetime.unwrap().holds.as_secs(), 3600);
        assert!(found.may_change);
    }

    #[test]
    fn without_expiration_they_hold_until_refused() {
        let found =
            found(r#"{"AccessKeyId": "AKIA", "SecretAccessKey": "s", "Token": null}"#).unwrap();
        assert!(found.lifetime.is_none() && found.keys.session_token.is_none());
    }

    #[test]
    fn complaints_name_the_field_and_show_no_value() {
        for (text, complaint) in [
            ("hunter2", "not JSON"),
            (r#"{hunter2}"#, "not JSON"),
            (r#"{"a": "hunter2" "#, "not JSON"),
            (r#"{1: "hunter2"}"#, "not JSON"),
            (r#"["hunter2"]"#, "not an object"),
            (r#"{"SecretAccessKey": "hunter2"}"#, "no AccessKeyId"),
            (
                r#"{"AccessKeyId": "A", "SecretAccessKey": {"hunter2": 1}}"#,
                "no SecretAccessKey",
            ),
            (
                r#"{"AccessKeyId": "A", "SecretAccessKey": "hunter2\n"}"#,
                "line break",
            ),
            (
                r#"{"AccessKeyId": "A", "SecretAccessKey": "hunter2", "Expiration": "hunter2"}"#,
                "RFC 3339",
            ),
        ] {
            let said = found(text).err().unwrap();
            assert!(said.contains(complaint), "{text}: {said}");
            assert!(!said.contains("hunter2"), "{text}: {said}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_it_takes_the_stack() {
        for bracket in ["[", r#"{"a":"#] {
            let said = Document::parse(bracket.repeat(20_000).as_bytes())
                .err()
                .unwrap();
            assert!(said.contains("nested"), "{said}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Document::parse(&bytes);
        }

        #[test]
        fn no_text_panics(text in r#"[\[\]{}":,\\u0-9a-f.eE+ -]{0,60}"#) {
            let _ = found(&text);
        }
    }
}
