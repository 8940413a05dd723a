//! Whether a document has the shape that the schema says: known fields, the right kinds of
//! values, nothing missing. What has is handed on as JSON.

use serde_json::{Map, Value as Json};

use super::ApiVersion;
use super::problem::{Path, Problems};
use super::schema::{FIELDS, VERSION};
use super::yaml::{Key, Node, Value};

/// The longest name that is compared with known ones, in bytes.
const MAX_NAME: usize = 64;

/// How like a known name an unknown one must be to be taken for it.
const ALIKE: f64 = 0.8;

/// Reads the document, noting what is wrong with its shape.
pub(super) fn read(root: &Node, version: ApiVersion, problems: &mut Problems<'_>) -> Json {
    Reader { version, problems }.value(root, &FIELDS, &Path::Root)
}

struct Reader<'p, 'a> {
    version: ApiVersion,
    problems: &'p mut Problems<'a>,
}

impl Reader<'_, '_> {
    fn value(&mut self, node: &Node, schema: &Json, path: &Path<'_>) -> Json {
        let kind = schema.get("type").and_then(Json::as_str).unwrap_or("string");
        match (kind, &node.value) {
            ("object", Value::Mapping(entries)) => self.object(node, entries, schema, path),
            ("array", Value::Sequence(items)) => {
                let one = schema.get("items").unwrap_or(&Json::Null);
                let items = items.iter().enumerate();
                items.map(|(number, item)| self.value(item, one, &path.item(number))).collect()
            }
            ("boolean", Value::Scalar { text, plain: true }) => match truth(text) {
                Some(truth) => Json::Bool(truth),
                None => self.wrong(schema, path, format!("{text:?} is neither true nor false")),
            },
            ("integer", Value::Scalar { text, plain: true }) => self.integer(text, schema, path),
            ("string", Value::Scalar { text, .. }) if !node.is_null() => {
                self.string(text, schema, path)
            }
            (kind, value) => {
                let wanted = match kind {
                    "object" => "a mapping",
                    "array" => "a list",
                    "boolean" => "true or false",
                    "integer" => "a number",
                    _ => "a word",
                };
                let found = match value {
                    Value::Scalar { .. } if node.is_null() => "nothing",
                    Value::Scalar { .. } => "a word",
                    Value::Sequence(_) => "a list",
                    Value::Mapping(_) => "a mapping",
                };
                self.wrong(schema, path, format!("this must be {wanted}, and is {found}"))
            }
        }
    }

    fn object(
        &mut self,
        node: &Node,
        entries: &[(Key, Node)],
        schema: &Json,
        path: &Path<'_>,
    ) -> Json {
        let none = Map::new();
        let fields = schema.get("properties").and_then(Json::as_object).unwrap_or(&none);
        let mut object = Map::new();
        for (key, node) in entries {
            let path = path.field(&key.text);
            let Some(field) = fields.get(&key.text) else {
                self.problems.add_at(key.location, &path, unknown(&key.text, fields));
                continue;
            };
            match field.get(VERSION).and_then(Json::as_str) {
                Some(other) if other != self.version.word() => {
                    let this = self.version.word();
                    let message = format!("{other} has this field, {this} does not");
                    self.problems.add_at(key.location, &path, message);
                }
                // As in Go, an empty value is an absent one.
                _ if node.is_null() => {}
                _ => {
                    object.insert(key.text.clone(), self.value(node, field, &path));
                }
            }
        }
        let required = schema.get("required").and_then(Json::as_array);
        for name in required.into_iter().flatten().filter_map(Json::as_str) {
            // One that is wrong has been noted.
            let given = |node: &&Node| !matches!(&node.value, Value::Scalar { text, .. } if text.is_empty());
            if node.get(name).filter(given).is_none_or(Node::is_null) {
                self.problems.add_at(node.location, path, format!("`{name}` is missing"));
                let field = fields.get(name).unwrap_or(&Json::Null);
                object.entry(name).or_insert_with(|| neutral(field));
            }
        }
        Json::Object(object)
    }

    fn integer(&mut self, text: &str, schema: &Json, path: &Path<'_>) -> Json {
        let most = schema.get("maximum").and_then(Json::as_u64).unwrap_or(u64::MAX);
        match text.parse::<u64>() {
            Ok(number) if number <= most => Json::from(number),
            _ => {
                self.wrong(schema, path, format!("{text:?} is not a whole number from 0 to {most}"))
            }
        }
    }

    fn string(&mut self, text: &str, schema: &Json, path: &Path<'_>) -> Json {
        let words = words(schema);
        if !words.is_empty() && !words.contains(&text) {
            let known = words.join(", ");
            return self.wrong(schema, path, format!("{text:?} is not one of {known}"));
        }
        Json::from(text)
    }

    /// Notes a problem, and goes on with a value that has no more of them.
    fn wrong(&mut self, schema: &Json, path: &Path<'_>, message: String) -> Json {
        self.problems.add(path, message);
        neutral(schema)
    }
}

/// The emptiest value of a schema.
fn neutral(schema: &Json) -> Json {
    match schema.get("type").and_then(Json::as_str) {
        Some("object") => {
            let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
            let field = |name: &str| Some(neutral(schema.get("properties")?.get(name)?));
            let fields = required.filter_map(Json::as_str);
            fields.filter_map(|name| Some((name.to_owned(), field(name)?))).collect()
        }
        Some("array") => Json::Array(Vec::new()),
        Some("boolean") => Json::Bool(false),
        Some("integer") => Json::from(0),
        _ => Json::from(words(schema).first().copied().unwrap_or_default()),
    }
}

/// The words that a value may be, if it may not be any.
fn words(schema: &Json) -> Vec<&str> {
    let listed = schema.get("enum").and_then(Json::as_array).into_iter().flatten();
    let described = schema.get("oneOf").and_then(Json::as_array).into_iter().flatten();
    listed.chain(described.filter_map(|it| it.get("const"))).filter_map(Json::as_str).collect()
}

/// The words of YAML 1.1, which oc-mirror reads.
fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

fn unknown(name: &str, fields: &Map<String, Json>) -> String {
    let lower = name.to_ascii_lowercase();
    let nearest = fields
        .keys()
        .filter(|_| name.len() <= MAX_NAME)
        .map(|known| (strsim::jaro_winkler(&lower, &known.to_ascii_lowercase()), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other));
    match nearest {
        Some((_, known)) => format!("unknown field; did you mean `{known}`?"),
        None => "unknown field".into(),
    }
}
