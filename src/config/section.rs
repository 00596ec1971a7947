//! One mapping of the configuration, read key by key; and two of them, of which the nearer one wins.

use std::rc::Rc;

use super::error::{ConfigError, Problem};
use super::schema;
use super::yaml::{Entry, Node, Position, Value};

/// A mapping whose keys are read by name.
pub(super) struct Section<'a> {
    entries: &'a [Entry],
    pub(super) position: Position,
    /// Its path in the file with a dot at the end; empty at the top.
    pub(super) name: String,
}

impl<'a> Section<'a> {
    pub(super) fn new(node: &'a Node, name: String) -> Result<Section<'a>, ConfigError> {
        Ok(Section {
            entries: schema::mapping(node, &name)?,
            position: node.position,
            name,
        })
    }

    /// The entry of `key`, unless there is none or its value is null.
    pub(super) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries
            .iter()
            .find(|entry| entry.key == key)
            .filter(|entry| !matches!(entry.value.value, Value::Null))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<(&'a str, Position)>, ConfigError> {
        match self.entry(key) {
            None => Ok(None),
            Some(entry) => match &entry.value.value {
                Value::Scalar(text) => Ok(Some((text, entry.value.position))),
                _ => Err(self.invalid(
                    entry.position,
                    key,
                    "must be one value, not a list or a mapping",
                )),
            },
        }
    }

    /// The text of `key`, unless it is empty.
    pub(super) fn given(&'a self, key: &'static str) -> Result<Option<Given<'a>>, ConfigError> {
        let text = self.text(key)?.filter(|(text, _)| !text.is_empty());
        Ok(text.map(|(text, position)| Given {
            text,
            position,
            section: self,
            key,
        }))
    }

    pub(super) fn read<T>(
        &self,
        key: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        match self.text(key)? {
            None => Ok(None),
            Some((text, position)) => match read(text) {
                Ok(value) => Ok(Some(value)),
                Err(reason) => Err(self.invalid(position, key, reason)),
            },
        }
    }

    /// The mapping at `key`.
    pub(super) fn section(&self, key: &str) -> Result<Option<Section<'a>>, ConfigError> {
        let entry = self.entry(key);
        entry
            .map(|entry| Section::new(&entry.value, format!("{}{key}.", self.name)))
            .transpose()
    }

    pub(super) fn list(&self, key: &str) -> Result<&'a [Rc<Node>], ConfigError> {
        match self.entry(key) {
            None => Ok(&[]),
            Some(entry) => match &entry.value.value {
                Value::Sequence(nodes) => Ok(nodes),
                _ => Err(self.invalid(
                    entry.position,
                    key,
                    "must be a list: begin each entry with `- `",
                )),
            },
        }
    }

    pub(super) fn invalid(
        &self,
        position: Position,
        key: &str,
        reason: impl Into<String>,
    ) -> ConfigError {
        ConfigError::invalid(position, &format!("{}{key}", self.name), reason)
    }

    /// What messages about several of its keys begin with.
    pub(super) fn prefix(&self) -> String {
        match self.name.trim_end_matches('.') {
            "" => String::new(),
            name => format!("{name}: "),
        }
    }

    pub(super) fn missing(&self, what: &'static str) -> ConfigError {
        let parent = self.name.trim_end_matches('.').to_owned();
        ConfigError::at(self.position, Problem::Missing { parent, what })
    }
}

/// A replica's own settings, and those at the top level that hold for all replicas. Nothing written counts as
/// nothing said, as in Litestream.
pub(super) struct Layers<'a> {
    pub(super) own: &'a Section<'a>,
    pub(super) shared: &'a Section<'a>,
}

/// A value that was written.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) text: &'a str,
    pub(super) position: Position,
    section: &'a Section<'a>,
    key: &'static str,
}

impl Given<'_> {
    /// An error about this value.
    pub(super) fn invalid(&self, reason: impl Into<String>) -> ConfigError {
        self.section.invalid(self.position, self.key, reason)
    }
}

impl<'a> Layers<'a> {
    /// The value of `key`, the replica's own before the shared one.
    pub(super) fn find(&self, key: &'static str) -> Result<Option<Given<'a>>, ConfigError> {
        match self.own.given(key)? {
            Some(given) => Ok(Some(given)),
            None => self.shared.given(key),
        }
    }

    /// As [`Layers::find`], with its value read. The errors of `read` are shown.
    pub(super) fn read<T>(
        &self,
        key: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(given) = self.find(key)? else {
            return Ok(None);
        };
        read(given.text)
            .map(Some)
            .map_err(|reason| given.invalid(reason))
    }

    /// The nearer section that has any of `keys`, or the farther one.
    pub(super) fn nearest_with(
        &self,
        keys: &[&'static str],
    ) -> Result<&'a Section<'a>, ConfigError> {
        for key in keys {
            if self.own.given(key)?.is_some() {
                return Ok(self.own);
            }
        }
        Ok(self.shared)
    }
}
