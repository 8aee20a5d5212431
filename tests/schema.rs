//! The shipped JSON schema is the one that the program prints. `UPDATE_SCHEMA=1` rewrites the file.

use std::fs;
use std::path::Path;

use packfleet::desired::schema::json_schema;
use serde_json::Value;

#[test]
fn the_shipped_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/fleet.schema.json");
    let text = serde_json::to_string_pretty(&json_schema()).expect("a JSON value") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &text).expect("a writable repository");
    }
    let shipped = fs::read_to_string(&path).expect("the shipped schema");
    assert!(shipped == text, "examples/fleet.schema.json is stale: UPDATE_SCHEMA=1 cargo test --test schema");
}

#[test]
fn every_key_is_described_and_no_table_takes_others() {
    let mut tables = 0;
    check("#", &json_schema(), &mut tables);
    assert!(tables > 15, "only {tables} tables");
}

fn check(at: &str, value: &Value, tables: &mut usize) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(keys)) = object.get("properties") {
                *tables += 1;
                assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)), "{at}");
                for (key, schema) in keys.iter().filter(|_| !at.ends_with("FromEnvironment")) {
                    let description = schema.get("description").and_then(Value::as_str);
                    assert!(description.is_some_and(|text| text.len() > 5), "{at}/{key}: {schema}");
                }
            }
            for (key, inner) in object {
                check(&format!("{at}/{key}"), inner, tables);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| check(at, item, tables)),
        _ => {}
    }
}
