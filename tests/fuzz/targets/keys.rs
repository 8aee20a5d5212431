//! Merging by key in JSON and TOML: the laws, against an implementation of RFC 7396 on values.

use packfleet::merge::structured::{
    Format, Structured, StructuredError, keys_between, keys_of, keys_of_host, merge_keys, three_way,
    without_keys,
};
use packfleet::merge::{Carried, carry_keys};
use serde_json::Value;

use super::{Target, joined, texts};

/// A file; a file and an overlay's keys; or base, ours and theirs.
pub const JSON: Target = Target {
    name: "json",
    seeds: || {
        let file = "{\n  // ours\n  \"a\": 1,\n  \"b\": { \"x\": [1, 2], \"y\": null },\n  \"c/d\": \"e\\n\" /* end */,\n}\n";
        seeds(file, "{ \"b\": { \"x\": null, \"z\": 1.0 }, \"new\": { \"k\": true } }", |text| {
            text.replace("[1, 2]", "[1, 2, 3]").replace("\"a\": 1", "\"a\": 1e0")
        })
    },
    words: &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"b\": ",
        "\"x\": ",
        "null",
        "true",
        "1",
        "1.0",
        "-0e5",
        "// c\n",
        "/* c */",
        "{}",
        "{\"a\": {}}",
        "\\u00e4",
        "\\\"",
        "\r\n",
        "\t",
        "\u{feff}",
        " ",
        "\n",
    ],
    check: |data| check(Format::Json, data),
};

/// The same for TOML.
pub const TOML: Target = Target {
    name: "toml",
    seeds: || {
        let file = "# ours\na = 1\nb.x = [1, 2] # two\nb.y = { k = 1 }\n\n[c.\"d/e\"]\nf = '''x\n'''\n\n[[g]]\nh = 1\n[[g]]\nh = 2\n";
        let mut seeds = seeds(file, "new = 1979-05-27\n[b]\nx = []\nz = 1.0\n[c]\nk = {}\n", |text| {
            text.replace("[1, 2]", "[1, 2, 3]").replace("a = 1", "a = 2")
        });
        let text = "[t]\na = 1\r\n\n[t.u]\n\"b\" = \"c\"\n".replace("\r\n", "\n");
        seeds.push(joined(&[&text, "t.u.b = 'd'\n"]));
        seeds.push(joined(&[&text.replace('\n', "\r\n"), "x.y.z = 0x10\r\n"]));
        seeds
    },
    words: &[
        "[a]\n",
        "[a.b]\n",
        "[[a]]\n",
        "a = 1\n",
        "a.b = 1\n",
        "b = {}\n",
        "= ",
        "\"",
        "'",
        "'''",
        "\"\"\"",
        "{ x = 1 }",
        "[",
        "]",
        ".",
        "#c\n",
        "\n",
        "\r\n",
        "1.0",
        "nan",
        "07:32:00",
        "true",
        ",",
        "x = [\n 1,\n]\n",
        "\"\" = 1\n",
        "[a]",
    ],
    check: |data| check(Format::Toml, data),
};

fn seeds(file: &str, keys: &str, changed: fn(&str) -> String) -> Vec<Vec<u8>> {
    let ours = changed(file);
    vec![
        file.as_bytes().to_vec(),
        joined(&[file, keys]),
        joined(&[file, &ours]),
        joined(&[&ours, file]),
        joined(&[file, &ours, &file.replace('e', "u")]),
        joined(&[file, &file.replace('1', "7"), &ours]),
        joined(&[file, keys, &ours]),
    ]
}

fn check(format: Format, data: &[u8]) {
    let Some(texts) = texts(data) else { return };
    for text in &texts {
        one(format, text);
    }
    match texts[..] {
        [file, keys] => {
            overlay(format, file, keys);
            between(format, file, keys);
            host(format, file, keys);
        }
        [base, ours, theirs] => {
            versions(format, base, ours, theirs);
            carried(format, base, ours, theirs);
        }
        _ => {}
    }
}

/// What a text says, in one spelling; `None` if it is not understood.
fn meaning(format: Format, text: &str) -> Option<String> {
    sound(without_keys(format, text, &[])).ok()
}

/// A result, which may be an error, but never that of an editor that did something else than was meant.
fn sound<T>(result: Result<T, StructuredError>) -> Result<T, StructuredError> {
    if let Err(StructuredError::Broken) = result {
        panic!("an edit did not do what was meant");
    }
    result
}

fn one(format: Format, text: &str) {
    let meaning = meaning(format, text);
    let nothing = if format == Format::Json { "{}" } else { "" };
    if meaning.is_some() {
        assert_eq!(merge_keys(format, text, nothing).as_deref(), Ok(text), "no keys change no byte");
        assert_eq!(keys_between(format, text, text), Ok(None));
        let pointers = keys_of(format, text).expect("a text that is understood has keys");
        assert!(pointers.is_sorted());
        assert_eq!(keys_of_host(format, text, text, &pointers).as_deref(), Ok(text));
    }
    match format {
        Format::Json => {
            if let Some(meaning) = &meaning {
                let again = without_keys(format, meaning, &[]);
                assert_eq!(again.as_ref(), Ok(meaning), "what is printed is read as the same");
            }
            if let Ok(value @ Value::Object(_)) = serde_json::from_str::<Value>(text) {
                match without_keys(format, text, &[]) {
                    Ok(found) if exact(text) => {
                        assert_eq!(without_keys(format, &value.to_string(), &[]), Ok(found));
                    }
                    Ok(_) | Err(StructuredError::Duplicate { .. } | StructuredError::TooDeep { .. }) => {}
                    Err(error) => panic!("this is JSON, but: {error}"),
                }
            }
        }
        Format::Toml => {
            let parsed = toml::from_str::<toml::Table>(text);
            assert!(parsed.is_ok() || meaning.is_none(), "this is no TOML, and is understood");
            // In a string of several lines, either line end may be read for the other.
            if let (Ok(table), Some(meaning)) = (parsed, meaning)
                && !text.contains('\r')
                && let Ok(printed) = toml::to_string(&table)
            {
                assert_eq!(without_keys(format, &printed, &[]), Ok(meaning), "{printed}");
            }
        }
    }
}

/// Whether a JSON text has such numbers only as every reader takes for the same.
fn exact(text: &str) -> bool {
    !text.contains(['.', 'e', 'E'])
        && text.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() < 15)
}

fn overlay(format: Format, file: &str, keys: &str) {
    let merged = match sound(merge_keys(format, file, keys)) {
        Ok(merged) => merged,
        Err(_) if meaning(format, file).is_none() || meaning(format, keys).is_none() => return,
        Err(
            StructuredError::LineEnds { .. }
            | StructuredError::Apart { .. }
            | StructuredError::TooDeep { .. },
        ) => return,
        Err(error) => panic!("both are understood, but do not merge: {error}"),
    };
    assert!(meaning(format, &merged).is_some(), "a result is understood");
    assert_eq!(merge_keys(format, &merged, keys).as_ref(), Ok(&merged), "twice is once");
    let value = |text: &str| serde_json::from_str::<Value>(text).ok().filter(|_| exact(text));
    if format == Format::Json
        && let (Some(before), Some(wanted)) = (value(file), value(keys))
    {
        let meant = reference(Some(&before), &wanted).to_string();
        assert_eq!(meaning(format, &merged), meaning(format, &meant), "{merged}");
    }
    if format == Format::Toml
        && !file.contains('\r')
        && !keys.contains('\r')
        && let (Ok(mut before), Ok(wanted)) =
            (toml::from_str::<toml::Table>(file), toml::from_str::<toml::Table>(keys))
    {
        into(&mut before, wanted);
        if let Ok(meant) = toml::to_string(&before) {
            assert_eq!(meaning(format, &merged), meaning(format, &meant), "{merged}");
        }
    }
}

/// RFC 7396, as it is written there.
fn reference(target: Option<&Value>, patch: &Value) -> Value {
    let Value::Object(wanted) = patch else { return patch.clone() };
    let mut members = target.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, wanted) in wanted {
        if wanted.is_null() {
            members.remove(key);
        } else {
            let merged = reference(members.get(key), wanted);
            members.insert(key.clone(), merged);
        }
    }
    Value::Object(members)
}

/// The same without nulls, which TOML does not have.
fn into(target: &mut toml::Table, wanted: toml::Table) {
    for (key, wanted) in wanted {
        match (target.get_mut(&key), wanted) {
            (Some(toml::Value::Table(there)), toml::Value::Table(wanted)) => into(there, wanted),
            (_, wanted) => drop(target.insert(key, wanted)),
        }
    }
}

fn between(format: Format, from: &str, to: &str) {
    let Ok(Some(keys)) = sound(keys_between(format, from, to)) else { return };
    let Ok(merged) = sound(merge_keys(format, from, &keys)) else { return };
    // A null that `to` has is none that an overlay can set.
    if format == Format::Toml || !to.contains("null") {
        assert_eq!(meaning(format, &merged), meaning(format, to), "{keys}");
    }
}

fn host(format: Format, ours: &str, theirs: &str) {
    let Ok(pointers) = keys_of(format, ours) else { return };
    for pointer in pointers.iter().take(4).filter(|pointer| !pointer.is_empty()) {
        let pointers = [pointer.clone()];
        let Ok(result) = sound(keys_of_host(format, ours, theirs, &pointers)) else { continue };
        let rest = |text: &str| without_keys(format, text, &pointers);
        assert_eq!(rest(&result), rest(theirs), "all but the host's keys is the pack's");
        assert_eq!(keys_of_host(format, ours, &result, &pointers), Ok(result), "twice is once");
    }
}

fn versions(format: Format, base: &str, ours: &str, theirs: &str) {
    if [base, ours, theirs].iter().any(|text| meaning(format, text).is_none()) {
        return;
    }
    let merge = |base: &str, ours: &str, theirs: &str| sound(three_way(format, base, ours, theirs));
    let clean = |text: &str| Ok(Structured::Clean(text.to_owned()));
    assert_eq!(merge(base, base, theirs), clean(theirs), "merge(b, b, u) = u");
    assert_eq!(merge(base, ours, base), clean(ours), "merge(b, l, b) = l");
    assert_eq!(merge(base, ours, ours), clean(ours), "merge(b, x, x) = x");
    match (merge(base, ours, theirs), merge(base, theirs, ours)) {
        (Ok(Structured::Clean(one)), Ok(Structured::Clean(other))) => {
            let said = |text: &str| meaning(format, text).map(|meaning| without_empty(&meaning));
            assert_eq!(said(&one), said(&other), "a clean merge is symmetric");
            assert!(said(&one).is_some());
        }
        (Ok(one), Ok(other)) => assert_eq!(one, other, "a conflict is one from both sides"),
        _ => {}
    }
}

/// Without objects that hold nothing: tables of dotted keys leave nothing behind in TOML.
fn without_empty(meaning: &str) -> String {
    let mut text = meaning.to_owned();
    loop {
        let Some(at) = text.find(":{},") else { return text };
        // The key before the colon is a quoted string.
        let mut start = at - 1;
        while start > 0 {
            start -= 1;
            let escapes = text[..start].bytes().rev().take_while(|byte| *byte == b'\\').count();
            if text.as_bytes()[start] == b'"' && escapes % 2 == 0 {
                break;
            }
        }
        text.replace_range(start..at + 4, "");
    }
}

fn carried(format: Format, base: &str, keys: &str, new: &str) {
    let Ok(carried) = sound(carry_keys(format, keys, base, new)) else { return };
    let merged = merge_keys(format, new, keys);
    match carried {
        Carried::Exact(result) => {
            assert!(base == new && merged.is_ok_and(|merged| merged.into_bytes() == result))
        }
        Carried::Clean(result) => assert!(merged.is_ok_and(|merged| merged.into_bytes() == result)),
        Carried::AlreadyThere => assert_eq!(merged.as_deref(), Ok(new)),
        Carried::Conflict(_) => assert_ne!(base, new),
    }
}
