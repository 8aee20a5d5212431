//! The laws of merging by key, on random documents in random layouts.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::change::{below, tokens};
use super::json::Json;
use super::toml::Toml;
use super::value::Value;
use super::*;

/// What a document is made of.
#[derive(Debug, Clone)]
enum Shape {
    Null,
    /// An index into spellings.
    Leaf(usize),
    Array(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

const JSON_LEAVES: [&str; 8] =
    ["1", "1.0", "-2.50e+3", "true", "\"x\"", "\"// \\\" {\"", "\"\\u00e4\"", "12345678901234567890"];
const TOML_LEAVES: [&str; 8] =
    ["1", "0x01", "1.0", "true", "\"x\"", "'# \" ['", "'''\na\nb'''", "1979-05-27T07:32:00Z"];

fn object(inner: impl Strategy<Value = Shape> + Clone) -> impl Strategy<Value = Shape> {
    prop::collection::btree_map("[a-e]|a b|x/y", inner, 0..5)
        .prop_flat_map(|members| Just(members.into_iter().collect::<Vec<_>>()).prop_shuffle())
        .prop_map(Shape::Object)
}

fn document(nulls: u32) -> impl Strategy<Value = Shape> {
    let leaf = if nulls == 0 {
        (0usize..8).prop_map(Shape::Leaf).boxed()
    } else {
        prop_oneof![3 => (0usize..8).prop_map(Shape::Leaf), 1 => Just(Shape::Null)].boxed()
    };
    let any = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Shape::Array),
            3 => object(inner),
        ]
    });
    object(any)
}

/// Draws layouts from bytes, in turn.
struct Layout<'n> {
    noise: &'n [u8],
    at: usize,
    unit: &'static str,
    newline: &'static str,
    comments: usize,
}

impl<'n> Layout<'n> {
    fn new(noise: &'n [u8]) -> Self {
        let mut layout = Self { noise, at: 0, unit: "", newline: "", comments: 0 };
        layout.unit = ["  ", "\t", "    "][layout.one_of(3)];
        layout.newline = ["\n", "\r\n"][layout.one_of(2)];
        layout
    }

    fn one_of(&mut self, count: usize) -> usize {
        self.at += 1;
        usize::from(self.noise[self.at % self.noise.len()]) % count
    }

    fn comment(&mut self) -> usize {
        self.comments += 1;
        self.comments
    }

    fn json(&mut self, shape: &Shape, indent: &str, lines: bool) -> String {
        match shape {
            Shape::Null => "null".into(),
            Shape::Leaf(index) => JSON_LEAVES[*index].into(),
            Shape::Array(elements) => {
                let parts: Vec<String> =
                    elements.iter().map(|element| self.json(element, indent, false)).collect();
                format!("[{}]", parts.join([",", ", "][self.one_of(2)]))
            }
            Shape::Object(members) if members.is_empty() => ["{}", "{ }"][self.one_of(2)].into(),
            Shape::Object(members) => {
                let lines = lines && self.one_of(4) > 0;
                let inner = format!("{indent}{}", self.unit);
                let newline = self.newline;
                let mut out = String::from("{");
                for (index, (key, value)) in members.iter().enumerate() {
                    if lines {
                        if self.one_of(4) == 0 {
                            out += &format!("{newline}{inner}// own {}", self.comment());
                        }
                        out += &format!("{newline}{inner}");
                    } else if self.one_of(2) == 0 {
                        out.push(' ');
                    }
                    out += &format!(
                        "{key:?}{}{}",
                        [":", ": ", " : "][self.one_of(3)],
                        self.json(value, &inner, lines)
                    );
                    if self.one_of(6) == 0 {
                        out += " /* { */ ";
                    }
                    if index + 1 < members.len() || self.one_of(3) == 0 {
                        out.push(',');
                    }
                    if lines && self.one_of(4) == 0 {
                        out += " // behind";
                    }
                }
                if lines {
                    out += &format!("{newline}{indent}");
                } else if self.one_of(2) == 0 {
                    out.push(' ');
                }
                out + "}"
            }
        }
    }

    fn toml_value(&mut self, shape: &Shape) -> String {
        match shape {
            Shape::Null => "1".into(),
            Shape::Leaf(index) => TOML_LEAVES[*index].into(),
            Shape::Array(elements) => {
                let parts: Vec<String> = elements.iter().map(|element| self.toml_value(element)).collect();
                format!("[{}]", parts.join([", ", ",\n  "][self.one_of(2)]))
            }
            Shape::Object(members) => {
                let parts: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("{key:?} = {}", self.toml_value(value)))
                    .collect();
                if parts.is_empty() { "{}".into() } else { format!("{{ {} }}", parts.join(", ")) }
            }
        }
    }

    fn toml(&mut self, members: &[(String, Shape)], header: &str, prefix: &str, out: &mut String) {
        let mut tables = Vec::new();
        for (key, value) in members {
            let path = format!("{prefix}{key:?}");
            match value {
                Shape::Object(inner) if prefix.is_empty() && self.one_of(3) > 0 => tables.push((key, inner)),
                Shape::Object(inner)
                    if !inner.is_empty()
                        && inner.iter().all(|(_, it)| !matches!(it, Shape::Object(_)))
                        && self.one_of(2) == 0 =>
                {
                    self.toml(inner, header, &format!("{path}."), out);
                }
                value => {
                    if self.one_of(4) == 0 {
                        *out += &format!("# own {}\n", self.comment());
                    }
                    *out += &format!("{path}{}{}", ["=", " = "][self.one_of(2)], self.toml_value(value));
                    *out += ["\n", " # behind\n", "\n\n"][self.one_of(3)];
                }
            }
        }
        for (key, inner) in tables {
            let header = if header.is_empty() { format!("{key:?}") } else { format!("{header}.{key:?}") };
            *out += &format!("{}[{header}]\n", ["", "\n"][self.one_of(2)]);
            self.toml(inner, &header, "", out);
        }
    }
}

fn json_text(shape: &Shape, noise: &[u8]) -> String {
    let mut layout = Layout::new(noise);
    let text = layout.json(shape, "", true);
    format!("{text}{}", ["", layout.newline][layout.one_of(2)])
}

fn toml_text(shape: &Shape, noise: &[u8]) -> String {
    let Shape::Object(members) = shape else { return String::new() };
    let (mut layout, mut out) = (Layout::new(noise), String::new());
    layout.toml(members, "", "", &mut out);
    if layout.one_of(2) == 0 { out } else { out.replace('\n', "\r\n") }
}

fn noise() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 16..64)
}

fn value(format: Format, text: &str) -> Value {
    match format {
        Format::Json => Json::parse(text, Text::File).unwrap().value().clone(),
        Format::Toml => Toml::parse(text, Text::File).unwrap().value().clone(),
    }
}

/// RFC 7396, as it is written there.
fn reference(target: Option<&Value>, patch: &Value) -> Value {
    let Value::Object(wanted) = patch else { return patch.clone() };
    let mut members = target.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, wanted) in wanted {
        if *wanted == Value::Null {
            members.remove(key);
        } else {
            let merged = reference(members.get(key), wanted);
            members.insert(key.clone(), merged);
        }
    }
    Value::Object(members)
}

/// The source text of every scalar and array that both texts have at the same place.
fn slices(text: &str) -> BTreeMap<String, String> {
    use jsonc_parser::ast;
    use jsonc_parser::common::Ranged;
    fn walk(text: &str, object: &ast::Object<'_>, pointer: &str, found: &mut BTreeMap<String, String>) {
        for member in &object.properties {
            let pointer = below(pointer, member.name.as_str());
            match &member.value {
                ast::Value::Object(inner) => walk(text, inner, &pointer, found),
                value => {
                    found.insert(pointer, text[value.start()..value.end()].to_owned());
                }
            }
        }
    }
    let mut found = BTreeMap::new();
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default()).unwrap();
    walk(text, parsed.value.unwrap().as_object().unwrap(), "", &mut found);
    found
}

/// Keys of the root in the order of the text.
fn order(text: &str) -> Vec<String> {
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default()).unwrap();
    let root = parsed.value.unwrap();
    root.as_object().unwrap().properties.iter().map(|it| it.name.as_str().to_owned()).collect()
}

fn comments(text: &str) -> Vec<&str> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("// own") || line.starts_with("# own"))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn json_merges(target in document(1), patch in document(2), a in noise(), b in noise()) {
        let (target, patch) = (json_text(&target, &a), json_text(&patch, &b));
        let merged = merge_keys(Format::Json, &target, &patch).unwrap();
        let (before, wanted) = (value(Format::Json, &target), value(Format::Json, &patch));
        prop_assert_eq!(value(Format::Json, &merged), reference(Some(&before), &wanted), "{}", merged);
        prop_assert_eq!(&merge_keys(Format::Json, &merged, &patch).unwrap(), &merged, "twice");
        // What the patch does not name keeps its bytes and its place.
        let after = slices(&merged);
        for (pointer, slice) in slices(&target) {
            let keys = tokens(&pointer).unwrap();
            let mut named = Some(&wanted);
            for key in &keys {
                named = match named {
                    Some(Value::Object(members)) => members.get(key),
                    // Something else than an object on the way replaces all below it.
                    other => other,
                };
            }
            if named.is_none() {
                prop_assert_eq!(after.get(&pointer), Some(&slice), "{} in {}", pointer, merged);
            }
        }
        let kept: Vec<String> = order(&target).into_iter().filter(|key| order(&merged).contains(key)).collect();
        prop_assert_eq!(&order(&merged)[..kept.len()], &kept[..]);
    }

    #[test]
    fn keys_between_merge_back(from in document(0), to in document(0), a in noise(), b in noise()) {
        for format in [Format::Json, Format::Toml] {
            let text = |shape, noise: &[u8]| match format {
                Format::Json => json_text(shape, noise),
                Format::Toml => toml_text(shape, noise),
            };
            let (from, to) = (text(&from, &a), text(&to, &b));
            if let Ok(Some(keys)) = keys_between(format, &from, &to)
                && let Ok(merged) = merge_keys(format, &from, &keys)
            {
                prop_assert_eq!(value(format, &merged), value(format, &to), "{}", keys);
            } else if format == Format::Json {
                prop_assert_eq!(value(format, &from), value(format, &to));
            }
        }
    }

    #[test]
    fn json_comments_stay(target in document(1), added in document(0), a in noise(), b in noise()) {
        // Only members are added or removed at the root, so that no comment goes with a replaced object.
        let target_text = json_text(&target, &a);
        let Shape::Object(members) = added else { unreachable!() };
        let added = Shape::Object(members.into_iter().map(|(key, value)| (format!("new {key}"), value)).collect());
        let merged = merge_keys(Format::Json, &target_text, &json_text(&added, &b)).unwrap();
        prop_assert_eq!(comments(&merged), comments(&target_text), "{}", merged);
        // And they go again, without a trace.
        let Shape::Object(members) = &added else { unreachable!() };
        let removal = Shape::Object(members.iter().map(|(key, _)| (key.clone(), Shape::Null)).collect());
        let back = merge_keys(Format::Json, &merged, &json_text(&removal, &b)).unwrap();
        prop_assert_eq!(value(Format::Json, &back), value(Format::Json, &target_text));
        prop_assert_eq!(comments(&back), comments(&target_text));
    }

    #[test]
    fn toml_merges(target in document(0), patch in document(0), a in noise(), b in noise()) {
        let (target, patch) = (toml_text(&target, &a), toml_text(&patch, &b));
        let merged = merge_keys(Format::Toml, &target, &patch).unwrap();
        let (before, wanted) = (value(Format::Toml, &target), value(Format::Toml, &patch));
        prop_assert_eq!(value(Format::Toml, &merged), reference(Some(&before), &wanted), "{}", merged);
        prop_assert_eq!(&merge_keys(Format::Toml, &merged, &patch).unwrap(), &merged, "twice");
        // Every line of the target whose root key the patch does not name is there still, in order.
        let mut rest = merged.lines();
        let root = wanted.as_object().unwrap();
        let lines = target.split_inclusive('\n').map(|line| line.trim_end_matches(['\r', '\n']));
        for line in lines.take_while(|line| !line.starts_with('[')).filter(|line| {
            line.starts_with('"') && !root.contains_key(line[1..].split('"').next().unwrap())
        }) {
            prop_assert!(rest.any(|there| there == line), "{:?} in {:?}", line, merged);
        }
    }

    #[test]
    fn json_three_ways(base in document(1), ours in document(1), theirs in document(1), a in noise(), b in noise()) {
        three_way_laws(Format::Json, [json_text(&base, &a), json_text(&ours, &b), json_text(&theirs, &a)])?;
    }

    #[test]
    fn json_three_ways_of_edits(base in document(1), one in document(2), two in document(2), a in noise(), b in noise()) {
        let base = json_text(&base, &a);
        let ours = merge_keys(Format::Json, &base, &json_text(&one, &b)).unwrap();
        let theirs = merge_keys(Format::Json, &base, &json_text(&two, &b)).unwrap();
        three_way_laws(Format::Json, [base, ours, theirs])?;
    }

    #[test]
    fn toml_three_ways(base in document(0), ours in document(0), theirs in document(0), a in noise(), b in noise()) {
        three_way_laws(Format::Toml, [toml_text(&base, &a), toml_text(&ours, &b), toml_text(&theirs, &a)])?;
    }

    #[test]
    fn toml_three_ways_of_edits(base in document(0), one in document(0), two in document(0), a in noise(), b in noise()) {
        let base = toml_text(&base, &a);
        let ours = merge_keys(Format::Toml, &base, &toml_text(&one, &b)).unwrap();
        let theirs = merge_keys(Format::Toml, &base, &toml_text(&two, &b)).unwrap();
        three_way_laws(Format::Toml, [base, ours, theirs])?;
    }

    #[test]
    fn the_host_s_keys(ours in document(1), theirs in document(1), a in noise(), b in noise(), key in "/[a-e](/[a-e])?") {
        for format in [Format::Json, Format::Toml] {
            let text = |shape: &Shape, noise: &[u8]| match format {
                Format::Json => json_text(shape, noise),
                Format::Toml => toml_text(shape, noise),
            };
            let (ours, theirs) = (text(&ours, &a), text(&theirs, &b));
            let keys = [key.clone()];
            match keys_of_host(format, &ours, &theirs, &keys) {
                Ok(result) => {
                    let find = |text: &str| tokens(&key).unwrap().iter().try_fold(value(format, text), |value, key| value.get(key).cloned());
                    prop_assert_eq!(find(&result), find(&ours), "{}", result);
                    let rest = |text: &str| without_keys(format, text, &keys).unwrap();
                    prop_assert_eq!(rest(&result), rest(&theirs));
                    prop_assert_eq!(keys_of_host(format, &ours, &result, &keys), Ok(result));
                }
                Err(error) => prop_assert!(matches!(error, StructuredError::NoObject { .. }), "{}", error),
            }
        }
    }

    #[test]
    fn nothing_panics(text in r#"[{}\[\],:"/*# \\\n\ra-c1=.]{0,30}"#, other in r#"\{("[a-c]":(1|\{\}|null),?){0,3}\}"#) {
        let mut patches = vec![other];
        patches.push("a = 1".to_owned());
        for patch in &patches {
            for format in [Format::Json, Format::Toml] {
                let _ = merge_keys(format, &text, patch);
                let _ = merge_keys(format, patch, &text);
            }
        }
    }
}

fn three_way_laws(format: Format, [base, ours, theirs]: [String; 3]) -> Result<(), TestCaseError> {
    let merge = |base: &str, ours: &str, theirs: &str| three_way(format, base, ours, theirs).unwrap();
    let clean = |text: &str| Structured::Clean(text.to_owned());
    prop_assert_eq!(merge(&base, &base, &theirs), clean(&theirs));
    prop_assert_eq!(merge(&base, &ours, &base), clean(&ours));
    prop_assert_eq!(merge(&base, &ours, &ours), clean(&ours));
    match (merge(&base, &ours, &theirs), merge(&base, &theirs, &ours)) {
        (Structured::Clean(one), Structured::Clean(other)) => {
            // Tables of dotted keys leave nothing behind in TOML.
            prop_assert_eq!(value(format, &one).without_empty(), value(format, &other).without_empty());
        }
        (one, other) => prop_assert_eq!(one, other),
    }
    Ok(())
}
