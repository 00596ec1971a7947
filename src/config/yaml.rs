//! YAML text to a tree of nodes that know their line and column.
//!
//! Scalars stay text: what `yes` or `5s` means is decided by the key they stand under. Anchors and aliases
//! work; merge keys (`<<`), duplicate keys, a second document and tags of other schemas are errors, because
//! each would make the file mean something else than it seems to. Every limit below is checked while
//! reading, so a hostile file costs no more than its size. Nodes have no `Debug`: they may hold secrets.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// The largest configuration file, in bytes; also the most text that aliases may repeat.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of lists and mappings; the deepest a configuration needs is 5.
const DEPTH_MAX: usize = 32;

/// Most nodes of a file, aliases expanded. A database takes about 20.
const NODES_MAX: usize = 50_000;

/// A place in the file. Both count from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// As compilers write it: `line:column`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A text that is not the YAML a configuration may have.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct YamlError {
    /// Where reading stopped.
    pub position: Position,
    /// What is wrong there, as a sentence without a full stop.
    pub message: String,
}

/// One value and where it stands.
pub(super) struct Node {
    pub(super) position: Position,
    pub(super) value: Value,
}

/// What a node holds.
pub(super) enum Value {
    /// Nothing, `~` or `null`: the key counts as not given.
    Null,
    /// Text, quoted or not.
    Scalar(String),
    /// A list.
    Sequence(Vec<Rc<Node>>),
    /// A mapping, in the order of the file.
    Mapping(Vec<Entry>),
}

/// One key of a mapping with its value.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) value: Rc<Node>,
}

/// Reads the one document in `text`; an empty text is [`Value::Null`].
pub(super) fn parse(text: &str) -> Result<Rc<Node>, YamlError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    if text.len() > FILE_BYTES_MAX {
        return Err(builder.error(format!("the file is larger than {FILE_BYTES_MAX} bytes")));
    }
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| YamlError {
            position: position_of(error.marker()),
            message: format!("not valid YAML: {}", error.info()),
        })?;
        builder.position = position_of(&span.start);
        builder.take(event)?;
    }
    Ok(builder.root.unwrap_or(Rc::new(Node {
        position: START,
        value: Value::Null,
    })))
}

const START: Position = Position { line: 1, column: 1 };

fn position_of(marker: &saphyr_parser::Marker) -> Position {
    Position {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// A list or mapping that is not closed yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Rc<Node>>),
    Mapping {
        entries: Vec<Entry>,
        key: Option<(String, Position)>,
    },
}

/// A finished node with what it costs to repeat it.
#[derive(Clone)]
struct Anchored {
    node: Rc<Node>,
    nodes: usize,
    bytes: usize,
}

struct Builder {
    position: Position,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    root: Option<Rc<Node>>,
    nodes: usize,
    bytes: usize,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder {
            position: START,
            open: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            nodes: 0,
            bytes: 0,
        }
    }
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), YamlError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.check_tag(tag.as_deref())?;
                let position = self.position;
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = match text.as_ref() {
                    "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
                    _ => Value::Scalar(text.into_owned()),
                };
                let is_merge = plain && matches!(&value, Value::Scalar(text) if text == "<<");
                if is_merge && self.expects_key() {
                    return Err(self.error(
                        "merge keys (`<<`) are not supported; write the settings out, or put those that all \
                         replicas share at the top level"
                            .to_owned(),
                    ));
                }
                self.finish(Node { position, value }, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.check_tag(tag.as_deref())?;
                self.begin(anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.check_tag(tag.as_deref())?;
                self.begin(
                    anchor,
                    Content::Mapping {
                        entries: Vec::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor).cloned() else {
                    return Err(self.error("this alias is inside its own anchor".to_owned()));
                };
                self.spend(anchored.nodes, anchored.bytes)?;
                self.place(anchored.node)
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(self.error("a second YAML document begins here; only one is read".to_owned()))
            }
            Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::StreamStart
            | Event::StreamEnd
            | Event::Nothing => Ok(()),
        }
    }

    fn begin(&mut self, anchor: usize, content: Content) -> Result<(), YamlError> {
        if self.expects_key() {
            return Err(self.error("a key must be a word, not a list or a mapping".to_owned()));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(self.error(format!("nested more than {DEPTH_MAX} deep")));
        }
        self.open.push(Open {
            position: self.position,
            anchor,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Err(self.error("this ends nothing".to_owned()));
        };
        let value = match open.content {
            Content::Sequence(nodes) => Value::Sequence(nodes),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        let position = open.position;
        self.finish(Node { position, value }, open.anchor)
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), YamlError> {
        self.spend(1, 0)?;
        let node = Rc::new(node);
        if anchor != 0 {
            let (nodes, bytes) = cost_of(&node);
            let node = Rc::clone(&node);
            self.anchors.insert(anchor, Anchored { node, nodes, bytes });
        }
        self.place(node)
    }

    fn place(&mut self, node: Rc<Node>) -> Result<(), YamlError> {
        let position = self.position;
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::Sequence(nodes)) => nodes.push(node),
            Some(Content::Mapping { entries, key }) => match key.take() {
                Some((key, position)) => entries.push(Entry {
                    key,
                    position,
                    value: node,
                }),
                None => {
                    let name = match &node.value {
                        Value::Scalar(name) => name.clone(),
                        Value::Null => String::new(),
                        _ => return Err(self.error("a key must be a word".to_owned())),
                    };
                    if let Some(first) = entries.iter().find(|entry| entry.key == name) {
                        let line = first.position.line;
                        return Err(self.error(format!(
                            "the key {} stands here twice (first in line {line})",
                            super::text::quoted(&name)
                        )));
                    }
                    *key = Some((name, position));
                }
            },
        }
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(Open {
                content: Content::Mapping { key: None, .. },
                ..
            })
        )
    }

    fn check_tag(&self, tag: Option<&Tag>) -> Result<(), YamlError> {
        match tag {
            Some(tag) if !tag.is_yaml_core_schema() => {
                Err(self.error("tags (`!…`) are not supported; take the tag out".to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn spend(&mut self, nodes: usize, bytes: usize) -> Result<(), YamlError> {
        self.nodes = self.nodes.saturating_add(nodes);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.nodes > NODES_MAX || self.bytes > FILE_BYTES_MAX {
            return Err(self.error(format!(
                "too much: more than {NODES_MAX} values, or aliases that repeat more than {FILE_BYTES_MAX} bytes"
            )));
        }
        Ok(())
    }

    fn error(&self, message: String) -> YamlError {
        YamlError {
            position: self.position,
            message,
        }
    }
}

/// Nodes and bytes of text in a tree, its aliases counted as often as they occur.
fn cost_of(node: &Node) -> (usize, usize) {
    let mut waiting: Vec<&Node> = vec![node];
    let (mut nodes, mut bytes) = (0, 0);
    while let Some(node) = waiting.pop() {
        nodes += 1;
        match &node.value {
            Value::Null => {}
            Value::Scalar(text) => bytes += text.len(),
            Value::Sequence(items) => waiting.extend(items.iter().map(Rc::as_ref)),
            Value::Mapping(entries) => {
                bytes += entries.iter().map(|entry| entry.key.len()).sum::<usize>();
                waiting.extend(entries.iter().map(|entry| entry.value.as_ref()));
            }
        }
    }
    (nodes, bytes)
}

#[cfg(test)]
mod tests;
