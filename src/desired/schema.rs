//! The JSON schema of a fleet file, for editors.
//!
//! It is made from the very tables that read the file, so it knows the same keys, those of later included. It
//! cannot know what the validator knows (that names exist, that profiles fill in what an entry leaves out),
//! so it accepts more.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::raw::RawFile;

/// Keys that no merging can bring in later, by definition.
const REQUIRED: [(&str, &[&str]); 3] =
    [("Fleet", &["name"]), ("Pack", &["source", "dir"]), ("HostKeys", &["file", "keys"])];

/// The schema, draft 07.
pub fn json_schema() -> Value {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<RawFile>();
    let mut schema = plain_names(schema.to_value());
    let definitions = schema.get_mut("definitions").and_then(Value::as_object_mut);
    for (definition, required) in definitions.into_iter().flatten() {
        let keys = REQUIRED.iter().find(|(name, _)| name == definition);
        if let (Some((_, keys)), Some(table)) = (keys, required.as_object_mut()) {
            table.insert("required".into(), json!(keys));
        }
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), json!("fleet.toml"));
    }
    schema
}

/// Definitions without the prefix of our types.
fn plain_names(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let plain = |(key, value): (String, Value)| {
                let key = key.strip_prefix("Raw").map_or(key.clone(), str::to_owned);
                (key, plain_names(value))
            };
            Value::Object(table.into_iter().map(plain).collect::<Map<String, Value>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(plain_names).collect()),
        Value::String(text) => Value::String(text.replace("#/definitions/Raw", "#/definitions/")),
        other => other,
    }
}
