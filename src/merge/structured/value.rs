//! What a structured text says, whatever it looks like.
//!
//! Two values are equal when a program that reads either text would see the same: the order of keys, layout,
//! comments and the spelling of numbers do not count. JSON numbers are compared as decimals of any length,
//! never as floating point; TOML's integers and floats are different types and stay so.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What a text says at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// JSON's null.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, a date or a time in its one spelling.
    Scalar(String),
    /// A string.
    Text(String),
    /// An array, atomic in every merge.
    Array(Vec<Value>),
    /// An object or a table.
    Object(BTreeMap<String, Value>),
}

impl Value {
    /// A key of an object.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.as_object()?.get(key)
    }

    /// The keys of an object; `None` if it is none.
    pub fn as_object(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// One text for all that is equal, and for nothing else.
    pub fn canonical(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// Without objects that hold nothing but such objects; those in arrays stay.
    pub(super) fn without_empty(&self) -> Value {
        let Self::Object(members) = self else { return self.clone() };
        let members = members.iter().map(|(key, member)| (key.clone(), member.without_empty()));
        let empty = |member: &Value| member.as_object().is_some_and(BTreeMap::is_empty);
        Self::Object(members.filter(|(_, member)| !empty(member)).collect())
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Scalar(text) => out.push_str(text),
            Self::Text(text) => quote(text, out),
            Self::Array(elements) => {
                out.push('[');
                for element in elements {
                    element.write(out);
                    out.push(',');
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (key, member) in members {
                    quote(key, out);
                    out.push(':');
                    member.write(out);
                    out.push(',');
                }
                out.push('}');
            }
        }
    }
}

/// A JSON string.
pub(super) fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                // Writing to a string does not fail.
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The one spelling of a JSON number: its digits without outer zeros, and an exponent.
pub(super) fn number(raw: &str) -> String {
    let (sign, digits) = raw.strip_prefix('-').map_or(("", raw), |digits| ("-", digits));
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let trimmed = significant.trim_end_matches('0');
    let zeros = i64::try_from(significant.len() - trimmed.len()).unwrap_or(i64::MAX);
    let fraction = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let exponent = exponent.parse::<i64>().ok().and_then(|n| n.checked_add(zeros)?.checked_sub(fraction));
    match exponent {
        Some(exponent) => format!("{sign}{trimmed}e{exponent}"),
        // No program reads such a number; it equals its own spelling only.
        None => raw.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        for (a, b, same) in [
            ("1", "1.0", true),
            ("1", "1e0", true),
            ("100", "1E+2", true),
            ("0.10", "1e-1", true),
            ("-0", "0.00", true),
            ("12345678901234567890", "12345678901234567891", false),
            ("0.1", "0.10000000000000001", false),
            ("1", "-1", false),
            ("1e99999999999999999999", "1e99999999999999999998", false),
        ] {
            assert_eq!(number(a) == number(b), same, "{a} {b}");
        }
    }

    #[test]
    fn strings_are_quoted() {
        let mut out = String::new();
        quote("a\"\\\n\u{1}ä", &mut out);
        assert_eq!(out, "\"a\\\"\\\\\\n\\u0001ä\"");
    }
}
