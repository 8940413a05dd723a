//! The JSON schema of configuration files, made from the types that read them.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::ApiVersion;
use super::file::File;

/// The key that says which version alone has a field.
pub(super) const VERSION: &str = "x-version";

/// The fields of both versions, everything in its place.
pub(super) static FIELDS: LazyLock<Value> = LazyLock::new(|| {
    let settings = SchemaSettings::draft07().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<File>().to_value();
    simplify(&mut schema);
    schema
});

/// The schema for editors: docs/imageset.schema.json.
#[must_use]
pub fn schema() -> Value {
    let [v1, v2] = [ApiVersion::V1Alpha2, ApiVersion::V2Alpha1].map(|version| {
        let mut schema = FIELDS.clone();
        keep(&mut schema, version);
        if let Some(field) = schema.pointer_mut("/properties/apiVersion") {
            *field = json!({ "const": version.as_str() });
        }
        schema
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "ImageSetConfiguration",
        "description": "What an imageset holds, for shipperd and oc-mirror.",
        "if": {
            "properties": { "apiVersion": { "const": ApiVersion::V1Alpha2.as_str() } },
            "required": ["apiVersion"],
        },
        "then": v1,
        "else": v2,
    })
}

/// The schemas that are part of one.
fn parts(schema: &mut Value) -> impl Iterator<Item = &mut Value> {
    let schema = schema.as_object_mut().into_iter().flatten();
    schema.flat_map(|(key, value)| -> Vec<&mut Value> {
        match (key.as_str(), value) {
            ("properties", Value::Object(fields)) => fields.values_mut().collect(),
            ("items", items) => vec![items],
            _ => Vec::new(),
        }
    })
}

/// Takes away what the generator says of Rust: defaults, widths of numbers, that an option
/// may be null.
fn simplify(schema: &mut Value) {
    if let Value::Object(object) = schema {
        for key in ["default", "format", "title"] {
            object.remove(key);
        }
        if let Some(Value::Array(types)) = object.get("type") {
            let one = types.iter().find(|it| **it != "null").cloned();
            object.insert("type".into(), one.unwrap_or_default());
        }
        if let Some(Value::Array(choices)) = object.remove("anyOf") {
            let of = |choice: &Value| choice.get("type").is_none_or(|it| it != "null");
            if let Some(Value::Object(one)) = choices.into_iter().find(of) {
                for (key, value) in one {
                    object.entry(key).or_insert(value);
                }
            }
        }
    }
    parts(schema).for_each(simplify);
}

/// Takes away the fields of other versions.
fn keep(schema: &mut Value, version: ApiVersion) {
    if let Value::Object(object) = schema {
        object.remove(VERSION);
        if let Some(Value::Object(fields)) = object.get_mut("properties") {
            let own = |field: &Value| field.get(VERSION).is_none_or(|it| it == version.word());
            fields.retain(|_, field| own(field));
        }
    }
    parts(schema).for_each(|part| keep(part, version));
}
