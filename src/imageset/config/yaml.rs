//! YAML as a tree that knows where each value stands. Bounded in size, depth and aliases.
//!
//! Scalars keep their text: what they are, the schema says, so that `4.10` is a version.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span, Tag, options};

use super::problem::{Location, Problem};

/// The longest file, in bytes.
pub(super) const MAX_SIZE: usize = 1 << 20;

/// How many values a file may have, those that aliases repeat included.
const MAX_VALUES: usize = 100_000;

/// How many bytes of text the values may have, those that aliases repeat included.
const MAX_TEXT: usize = 4 << 20;

/// How deep values may lie in each other.
const MAX_DEPTH: usize = 32;

/// How many keys a mapping may have.
const MAX_KEYS: usize = 1000;

/// A value and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) location: Location,
    pub(super) value: Value,
}

/// What a file says at one place.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A word; `plain` if it has no quotes, so that it can be a number or nothing.
    Scalar { text: String, plain: bool },
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping, in the order of the file. No key is there twice.
    Mapping(Vec<(Key, Node)>),
}

/// The key of an entry.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) location: Location,
}

impl Node {
    /// Whether nothing is said.
    pub(super) fn is_null(&self) -> bool {
        let Value::Scalar { text, plain: true } = &self.value else { return false };
        matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The value of a key.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node)
    }

    /// An item of a list.
    pub(super) fn item(&self, number: usize) -> Option<&Self> {
        let Value::Sequence(items) = &self.value else { return None };
        items.get(number)
    }
}

/// Reads the one document of a file.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > MAX_SIZE {
        let message =
            format!("the file has {} bytes; more than {MAX_SIZE} are not read", text.len());
        return Err(Problem::of_file(&message));
    }
    let limits = options! { flow_nesting_limit: MAX_DEPTH, block_nesting_limit: MAX_DEPTH };
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, limits) {
        let (event, span) = event.map_err(|error| {
            Problem::at(location(error.marker()), &format!("not YAML: {}", error.kind()))
        })?;
        builder.take(event, &span)?;
    }
    builder.document.ok_or_else(|| Problem::of_file("the file is empty"))
}

fn location(marker: &Marker) -> Location {
    Location { line: marker.line(), column: marker.col().saturating_add(1) }
}

/// A list or a mapping that has not ended.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<Key>,
    /// What `<<` names: entries for keys that the mapping itself does not have.
    merged: Vec<Node>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    document: Option<Node>,
    values: usize,
    text: usize,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), Problem> {
        let location = location(&span.start);
        match event {
            Event::DocumentStart(..) if self.document.is_some() => {
                Err(Problem::at(location, "the file has a second document"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_deref(), location)?;
                let plain = style == ScalarStyle::Plain;
                let value = Value::Scalar { text: text.into_owned(), plain };
                let node = Node { location, value };
                self.spend(&node)?;
                self.add(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), location)?;
                self.begin(Node { location, value: Value::Sequence(Vec::new()) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), location)?;
                self.begin(Node { location, value: Value::Mapping(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let anchor = open.anchor;
                    self.add(open.end()?, anchor)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::at(location, "this alias is part of what it names"));
                };
                self.spend(&node)?;
                self.add(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        self.spend(&node)?;
        self.open.push(Open { node, anchor, key: None, merged: Vec::new() });
        Ok(())
    }

    /// Counts a value with all that is in it.
    fn spend(&mut self, node: &Node) -> Result<(), Problem> {
        let mut left = vec![(node, self.open.len())];
        while let Some((part, depth)) = left.pop() {
            self.values = self.values.saturating_add(1);
            if depth >= MAX_DEPTH {
                let message = format!("values lie more than {MAX_DEPTH} deep in each other");
                return Err(Problem::at(node.location, &message));
            }
            match &part.value {
                Value::Scalar { text, .. } => self.text = self.text.saturating_add(text.len()),
                Value::Sequence(items) => left.extend(items.iter().map(|it| (it, depth + 1))),
                Value::Mapping(entries) => {
                    for (key, value) in entries {
                        self.text = self.text.saturating_add(key.text.len());
                        left.push((value, depth + 1));
                    }
                }
            }
        }
        if self.values > MAX_VALUES || self.text > MAX_TEXT {
            let message = format!("more than {MAX_VALUES} values or {MAX_TEXT} bytes of them");
            return Err(Problem::at(node.location, &message));
        }
        Ok(())
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            // Counted again: it is kept a second time.
            self.spend(&node)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(parent) => parent.add(node),
            None => {
                self.document = Some(node);
                Ok(())
            }
        }
    }
}

impl Open {
    fn add(&mut self, node: Node) -> Result<(), Problem> {
        match (&mut self.node.value, self.key.take()) {
            (Value::Sequence(items), _) => items.push(node),
            (Value::Mapping(_), None) => self.key = Some(key(node)?),
            (Value::Mapping(_), Some(key)) if key.text == "<<" => self.merged.push(node),
            (Value::Mapping(entries), Some(key)) => {
                let twice = entries.iter().find(|(before, _)| before.text == key.text);
                if let Some((before, _)) = twice {
                    let message =
                        format!("{:?} is here twice, first at {}", key.text, before.location);
                    return Err(Problem::at(key.location, &message));
                }
                push(entries, key, node)?;
            }
            (Value::Scalar { .. }, _) => {}
        }
        Ok(())
    }

    fn end(self) -> Result<Node, Problem> {
        let Self { mut node, mut merged, .. } = self;
        let Value::Mapping(entries) = &mut node.value else { return Ok(node) };
        merged.reverse();
        while let Some(Node { location, value }) = merged.pop() {
            match value {
                Value::Mapping(more) => {
                    for (key, value) in more {
                        if entries.iter().all(|(own, _)| own.text != key.text) {
                            push(entries, key, value)?;
                        }
                    }
                }
                // Depth and number are counted: a list of lists ends.
                Value::Sequence(items) => merged.extend(items.into_iter().rev()),
                Value::Scalar { .. } => {
                    return Err(Problem::at(location, "`<<` needs a mapping"));
                }
            }
        }
        Ok(node)
    }
}

fn push(entries: &mut Vec<(Key, Node)>, key: Key, node: Node) -> Result<(), Problem> {
    if entries.len() >= MAX_KEYS {
        let message = format!("a mapping of more than {MAX_KEYS} keys");
        return Err(Problem::at(key.location, &message));
    }
    entries.push((key, node));
    Ok(())
}

fn key(node: Node) -> Result<Key, Problem> {
    match node.value {
        Value::Scalar { text, .. } => Ok(Key { text, location: node.location }),
        Value::Sequence(_) | Value::Mapping(_) => {
            Err(Problem::at(node.location, "a key must be a word"))
        }
    }
}

/// Tags of YAML's own say what the schema says anyway; others mean something to somebody else.
fn refuse_tag(tag: Option<&Tag>, location: Location) -> Result<(), Problem> {
    match tag {
        Some(tag) if !tag.is_yaml_core_schema() => {
            Err(Problem::at(location, &format!("the tag {:?} is not known", tag.original())))
        }
        _ => Ok(()),
    }
}
