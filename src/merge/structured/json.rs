//! JSON with comments, as a document.
//!
//! Stricter than the parser's crate lets its callers be: no control characters in strings, no white space
//! but JSON's own, no duplicate keys, no more than 128 levels.

use std::collections::BTreeMap;

use jsonc_parser::ast;
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};

use super::change::{Changes, below};
use super::json_edit::Editor;
use super::json_text::{Flaw, check, spliced};
use super::value::{Value, number};
use super::{Document, Format, MAX_BYTES, MAX_DEPTH, StructuredError, Taking, Text};

/// Some editors put it at the beginning of a file; it is no part of the JSON.
const BYTE_ORDER_MARK: &str = "\u{feff}";

const STRICT: ParseOptions = ParseOptions {
    allow_comments: true,
    allow_trailing_commas: true,
    allow_loose_object_property_names: false,
    allow_missing_commas: false,
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// A parsed text.
pub(super) struct Json<'t> {
    /// With the byte order mark, if there is one.
    mark: &'static str,
    /// Without it.
    text: &'t str,
    root: ast::Object<'t>,
    value: Value,
}

impl<'t> Document<'t> for Json<'t> {
    fn parse(text: &'t str, which: Text) -> Result<Self, StructuredError> {
        if text.len() > MAX_BYTES {
            return Err(StructuredError::TooLarge { text: which });
        }
        let (mark, text) = match text.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (BYTE_ORDER_MARK, rest),
            None => ("", text),
        };
        let invalid = |at: usize, reason: String| {
            let (line, column) = place(text, at);
            StructuredError::Invalid { text: which, format: Format::Json, line, column, reason }
        };
        check(text, MAX_DEPTH).map_err(|flaw| match flaw {
            Flaw::Depth => StructuredError::TooDeep { text: which },
            Flaw::Character(at) => invalid(at, "a character that JSON does not have here".to_owned()),
        })?;
        let parsed = parse_to_ast(text, &CollectOptions::default(), &STRICT)
            .map_err(|error| invalid(error.range().start, error.kind().to_string()))?;
        match parsed.value {
            Some(ast::Value::Object(root)) => {
                let value = of_object(&root, "", which)?;
                Ok(Self { mark, text, root, value })
            }
            Some(_) => Err(StructuredError::NoObject { text: which, pointer: String::new() }),
            None => Err(invalid(text.len(), "there is no value".to_owned())),
        }
    }

    fn value(&self) -> &Value {
        &self.value
    }

    fn says(text: &str, meant: &Value) -> bool {
        Json::parse(text, Text::Result).is_ok_and(|document| document.value == *meant)
    }

    fn edit(&self, other: &Self, changes: &Changes, taking: Taking) -> Result<String, StructuredError> {
        let mut editor = Editor::new(self.text, &self.root, other.text, taking);
        editor.object(&self.root, Some(&other.root), changes);
        let text = spliced(self.text, editor.splices).ok_or(StructuredError::Broken)?;
        Ok(format!("{}{text}", self.mark))
    }
}

/// Line and column, from 1, of a byte.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(at.min(text.len()))];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

fn of_object(object: &ast::Object<'_>, pointer: &str, which: Text) -> Result<Value, StructuredError> {
    let mut members = BTreeMap::new();
    for property in &object.properties {
        let key = property.name.as_str();
        let pointer = below(pointer, key);
        let value = of_value(&property.value, &pointer, which)?;
        if members.insert(key.to_owned(), value).is_some() {
            return Err(StructuredError::Duplicate { text: which, pointer });
        }
    }
    Ok(Value::Object(members))
}

fn of_value(value: &ast::Value<'_>, pointer: &str, which: Text) -> Result<Value, StructuredError> {
    Ok(match value {
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
        ast::Value::NumberLit(literal) => Value::Scalar(number(literal.value)),
        ast::Value::StringLit(literal) => Value::Text(literal.value.to_string()),
        ast::Value::Object(object) => of_object(object, pointer, which)?,
        ast::Value::Array(array) => Value::Array(
            array
                .elements
                .iter()
                .enumerate()
                .map(|(index, element)| of_value(element, &format!("{pointer}/{index}"), which))
                .collect::<Result<_, _>>()?,
        ),
    })
}
