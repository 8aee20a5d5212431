//! Merging by key: layouts, refusals, three ways, the host's keys; laws in `law_tests.rs`.

use super::*;

fn json(target: &str, patch: &str) -> String {
    merge_keys(Format::Json, target, patch).unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn toml(target: &str, patch: &str) -> String {
    merge_keys(Format::Toml, target, patch).unwrap_or_else(|error| panic!("{target}: {error}"))
}

#[test]
fn json_keeps_what_it_does_not_touch() {
    for (name, target, patch, expected) in [
        (
            "a value",
            "{\n  \"a\": 1.00, // one\n  \"b\": 2\n}\n",
            r#"{"b": 3}"#,
            "{\n  \"a\": 1.00, // one\n  \"b\": 3\n}\n",
        ),
        ("nothing", "{ \"a\" : 1.0 }", r#"{"a": 1}"#, "{ \"a\" : 1.0 }"),
        ("a new key", "{\n  \"a\": 1\n}\n", r#"{"b": [1, 2]}"#, "{\n  \"a\": 1,\n  \"b\": [1, 2]\n}\n"),
        (
            "behind a comment",
            "{\n\t\"a\": 1 // one, {\n}",
            r#"{"b":2,"c":3}"#,
            "{\n\t\"a\": 1, // one, {\n\t\"b\": 2,\n\t\"c\": 3\n}",
        ),
        (
            "trailing comma",
            "{\n  \"a\": 1,\n  // end\n}",
            r#"{"b": 2}"#,
            "{\n  \"a\": 1,\n  \"b\": 2,\n  // end\n}",
        ),
        ("on one line", r#"{"x": {"a": 1}}"#, r#"{"x": {"b": 2}}"#, r#"{"x": {"a": 1, "b": 2}}"#),
        ("tight", r#"{"x":{"a":1}}"#, r#"{"x": {"b": 2}}"#, r#"{"x":{"a":1,"b":2}}"#),
        ("padded", r#"{ "a": 1 }"#, r#"{"b": 2}"#, r#"{ "a": 1, "b": 2 }"#),
        ("empty root", "{}\n", r#"{"a": {"b": 1}}"#, "{\n  \"a\": {\"b\": 1}\n}\n"),
        (
            "empty inside",
            "{\n    \"a\": {}\n}",
            r#"{"a": {"b": 1}}"#,
            "{\n    \"a\": {\n        \"b\": 1\n    }\n}",
        ),
        (
            "empty with comment",
            "{\n  \"a\": { // c\n  }\n}",
            r#"{"a": {"b": 1}}"#,
            "{\n  \"a\": { // c\n    \"b\": 1\n  }\n}",
        ),
        (
            "CRLF and a mark",
            "\u{feff}{\r\n  \"a\": 1\r\n}\r\n",
            "{\n  \"b\": {\n    \"c\": 1\n  }\n}",
            "\u{feff}{\r\n  \"a\": 1,\r\n  \"b\": {\r\n    \"c\": 1\r\n  }\r\n}\r\n",
        ),
        (
            "their indentation is ours",
            "{\n\t\"a\": 1\n}",
            "{\n  \"b\": {\n    // why\n    \"c\": [\n      1,\n    ],\n  },\n}",
            "{\n\t\"a\": 1,\n\t\"b\": {\n\t\t\"c\": [\n\t\t\t1\n\t\t]\n\t}\n}",
        ),
        (
            "remove the middle",
            "{\n  \"a\": 1,\n  // b\n  \"b\": 2, // two\n  \"c\": 3\n}",
            r#"{"b": null}"#,
            "{\n  \"a\": 1,\n  // b\n  \"c\": 3\n}",
        ),
        (
            "remove the last",
            "{\n  \"a\": 1, // one\n  \"b\": 2 // two\n}",
            r#"{"b": null}"#,
            "{\n  \"a\": 1 // one\n}",
        ),
        (
            "remove the last, trailing comma",
            "{\n  \"a\": 1,\n  \"b\": 2,\n}",
            r#"{"b": null}"#,
            "{\n  \"a\": 1,\n}",
        ),
        ("remove on one line", r#"{"a": 1, "b": 2, "c": 3}"#, r#"{"a": null}"#, r#"{"b": 2, "c": 3}"#),
        ("remove the last on one line", r#"{ "a": 1, "b": 2 }"#, r#"{"b": null}"#, r#"{ "a": 1 }"#),
        ("remove all", r#"{"a": 1, "b": 2}"#, r#"{"a": null, "b": null}"#, r#"{}"#),
        (
            "remove and add",
            "{\n  \"a\": 1,\n  \"b\": 2\n}",
            r#"{"b": null, "c": 3}"#,
            "{\n  \"a\": 1,\n  \"c\": 3\n}",
        ),
        ("remove all and add", "{\n  \"a\": 1\n}", r#"{"a": null, "c": 3}"#, "{\n  \"c\": 3\n}"),
        ("remove all and add on one line", r#"{"a": 1}"#, r#"{"a": null, "c": 3}"#, r#"{"c": 3}"#),
        ("comma first", "{\n    \"a\": 1\n  , \"b\": 2\n}", r#"{"b": null}"#, "{\n    \"a\": 1\n  \n}"),
        (
            "nulls make nothing",
            r#"{"a": 1}"#,
            r#"{"a": {"b": null, "c": {"d": null}}}"#,
            r#"{"a": {"c": {}}}"#,
        ),
        (
            "nulls in arrays are values",
            r#"{"a": 1}"#,
            r#"{"a": [null, {"b": null}]}"#,
            r#"{"a": [null, {"b": null}]}"#,
        ),
        ("absent stays absent", r#"{"a": 1}"#, r#"{"b": null}"#, r#"{"a": 1}"#),
        ("numbers as the overlay has them", r#"{"a": 1}"#, r#"{"a": 1.50e3}"#, r#"{"a": 1.50e3}"#),
        ("escaped keys", r#"{"\u0061": 1}"#, r#"{"a": 2}"#, r#"{"\u0061": 2}"#),
    ] {
        let merged = json(target, patch);
        assert_eq!(merged, expected, "{name}");
        assert_eq!(json(&merged, patch), merged, "{name}: twice");
    }
}

#[test]
fn toml_keeps_what_it_does_not_touch() {
    for (name, target, patch, expected) in [
        (
            "a value",
            "# top\na  =  0x10 # sixteen\nb = 1 # two\n",
            "b = 0x2",
            "# top\na  =  0x10 # sixteen\nb = 0x2 # two\n",
        ),
        ("nothing", "a = 0x10\nf = 1e3\n", "a = 16\nf = 1000.0", "a = 0x10\nf = 1e3\n"),
        (
            "new keys",
            "a = 1\n\n[t]\nx = 1\n\n# about u\n[u]\ny = 1\n",
            "b = 2\n[t]\nz = [1,\n 2] # c\n[v]\nk = 1",
            "a = 1\nb = 2\n\n[t]\nx = 1\nz = [1,\n 2]\n\n# about u\n[u]\ny = 1\n\n[v]\nk = 1\n",
        ),
        (
            "into a dotted table",
            "a.x = 1\nb = 2\n",
            "[a]\nn = 1\n[a.m]\nk = 1",
            "a.x = 1\na.n = 1\na.m = { k = 1 }\nb = 2\n",
        ),
        ("into an inline table", "a = { x = 1 }\n", "a.n = 1", "a = { x = 1, n = 1 }\n"),
        ("an implicit table", "[a.b]\nx = 1\n", "a.k = 1\na.b.y = 2", "[a]\nk = 1\n[a.b]\nx = 1\ny = 2\n"),
        (
            "tables in an array",
            "[[a]]\nx = 1\n\n[z]\n",
            "[[a]]\nx = 2\n[[a]]\nx = 3",
            "[[a]]\nx = 2\n\n[[a]]\nx = 3\n\n[z]\n",
        ),
        (
            "CRLF, a mark, no last newline",
            "\u{feff}a = 1\r\nb = 2",
            "a = 3\nc = 4",
            "\u{feff}a = 3\r\nb = 2\r\nc = 4",
        ),
        ("empty", "", "a = 1", "a = 1\n"),
    ] {
        let merged = toml(target, patch);
        assert_eq!(merged, expected, "{name}");
        assert_eq!(toml(&merged, patch), merged, "{name}: twice");
    }
}

#[test]
fn what_cannot_be_merged_is_refused() {
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    let (file, root) = (Text::File, String::new());
    let duplicate = |pointer: &str| StructuredError::Duplicate { text: file, pointer: pointer.into() };
    for (text, expected) in [
        (r#"{"a": 1, "a": 2}"#.into(), duplicate("/a")),
        (r#"{"a/b": [{"~": 1, "\u007e": 2}]}"#.into(), duplicate("/a~1b/0/~0")),
        (deep(128), StructuredError::TooDeep { text: file }),
        (deep(100_000), StructuredError::TooDeep { text: file }),
        ("[1]".into(), StructuredError::NoObject { text: file, pointer: root.clone() }),
        ("1".to_owned(), StructuredError::NoObject { text: file, pointer: root }),
    ] {
        assert_eq!(merge_keys(Format::Json, &text, "{}"), Err(expected), "{}", &text[..text.len().min(40)]);
    }
    assert!(merge_keys(Format::Json, &deep(127), "{}").is_ok());
    for (text, line, column) in [
        ("", 1, 1),
        ("// c\n", 2, 1),
        ("{\n  \"a\": 1\n  \"b\": 2}", 2, 9),
        ("{'a': 1}", 1, 2),
        ("{a: 1}", 1, 2),
        ("{\"a\": 0x1}", 1, 7),
        ("{\"a\": .5}", 1, 7),
        ("{\"a\": 01}", 1, 8),
        ("{\"a\": NaN}", 1, 7),
        ("{\"a\": \"x\ny\"}", 1, 9),
        ("{\"ä\": \"\\x41\"}", 1, 8),
        ("{\"a\": \"\\ud800\"}", 1, 8),
        ("{}\u{a0}", 1, 3),
        ("{} // a\rb", 1, 8),
        ("{}{}", 1, 3),
        ("{\"a\": [1", 1, 7),
        ("/* x", 1, 1),
    ] {
        match merge_keys(Format::Json, text, "{}") {
            Err(StructuredError::Invalid { line: l, column: c, format: Format::Json, .. }) => {
                assert_eq!((l, c), (line, column), "{text:?}");
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }
    for (text, expected) in [
        ("a = 1\nb = ", "line 2"),
        ("a = 1\na = 2", "line 2"),
        ("a = 1\n[a]", "line 2"),
        ("a = 1\r\nb = 1\r\r\n", "line 2, column 6"),
    ] {
        let error = merge_keys(Format::Toml, text, "").unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let deep = format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(merge_keys(Format::Toml, &deep, "").is_err());
    let large = " ".repeat((8 << 20) + 1);
    for format in [Format::Json, Format::Toml] {
        assert_eq!(merge_keys(format, &large, ""), Err(StructuredError::TooLarge { text: file }));
    }
    let apart = StructuredError::Apart { text: file };
    assert_eq!(merge_keys(Format::Toml, "a.x = 1\nb = 2\na.y = 3\n", "b = 3"), Err(apart));
    let mixed = StructuredError::LineEnds { text: file };
    assert_eq!(merge_keys(Format::Toml, "a = 1\r\nb = 2\n", "b = 3"), Err(mixed));
    assert_eq!(
        merge_keys(Format::Json, "{}", "[]"),
        Err(StructuredError::NoObject { text: Text::Overlay, pointer: String::new() })
    );
}

#[test]
fn three_ways() {
    let clean = |text: &str| Ok(Structured::Clean(text.to_owned()));
    let conflict = |pointers: &[&str]| {
        Ok(Structured::Conflict { pointers: pointers.iter().map(|it| (*it).to_owned()).collect() })
    };
    let base = "{\n  \"a\": 1,\n  \"b\": 2,\n  \"o\": {\"x\": 1}\n}";
    for (name, base, ours, theirs, expected) in [
        ("ours is base", base, base, "{ }", clean("{ }")),
        ("theirs is base", base, "{ }", base, clean("{ }")),
        (
            "neighbours",
            base,
            "{\n  // mine\n  \"a\": 10,\n  \"b\": 2,\n  \"o\": {\"x\": 1}\n}",
            "{\n  \"a\": 1,\n  \"b\": 20,\n  \"o\": {\"x\": 1}\n}",
            clean("{\n  // mine\n  \"a\": 10,\n  \"b\": 20,\n  \"o\": {\"x\": 1}\n}"),
        ),
        (
            "ours sorted by a program, theirs with a new block",
            base,
            "{\"o\":{\"x\":1},\"b\":2,\"a\":5}",
            "{\n  \"a\": 1,\n  \"b\": 2,\n  \"o\": {\"x\": 1},\n  \"n\": {\n    \"k\": 1 // why\n  }\n}",
            clean("{\"o\":{\"x\":1},\"b\":2,\"a\":5,\"n\":{\n  \"k\": 1 // why\n}}"),
        ),
        (
            "both removed and added",
            base,
            r#"{"a":1,"b":2,"y":1}"#,
            r#"{"a":1,"o":{"x":1},"z":1}"#,
            clean(r#"{"a":1,"y":1,"z":1}"#),
        ),
        (
            "both added the same",
            "{}",
            r#"{"n":{"a":1}}"#,
            r#"{"n": {"b": 2}}"#,
            clean(r#"{"n":{"a":1,"b":2}}"#),
        ),
        (
            "the same key",
            base,
            r#"{"a":2,"b":3,"o":{"x":2}}"#,
            r#"{"a":3,"b":3,"o":{"x":3}}"#,
            conflict(&["/a", "/o/x"]),
        ),
        ("removed and changed", base, r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2,"o":{"x":2}}"#, conflict(&["/o"])),
        ("arrays are atomic", r#"{"a/b":[1]}"#, r#"{"a/b":[1,2]}"#, r#"{"a/b":[0,1]}"#, conflict(&["/a~1b"])),
    ] {
        assert_eq!(three_way(Format::Json, base, ours, theirs), expected, "{name}");
    }
    for (name, base, ours, theirs, expected) in [
        (
            "neighbours and a removal",
            "a = 1\nb = 2\n\n[t]\nx = 1\n",
            "a = 10 # mine\nb = 2\n\n[t]\nx = 1\n",
            "a = 1\n\n[t]\nx = 2\n\n# new\n[u]\nk = 1\n",
            clean("a = 10 # mine\n\n[t]\nx = 2\n\n# new\n[u]\nk = 1\n"),
        ),
        (
            "a comment above stays",
            "# top\na = 1\nb = 2\n",
            "# top\na = 1\nb = 3\n",
            "b = 2\n",
            clean("# top\nb = 3\n"),
        ),
        ("dotted, to the last", "a.x = 1\nb = 2\n", "a.x = 1\nb = 3\n", "b = 2\n", clean("b = 3\n")),
        (
            "inline, the last",
            "a = { x = 1, y = 2 }\nb = 1\n",
            "a = { x = 1, y = 2 }\nb = 2\n",
            "a = { x = 1 }\nb = 1\n",
            clean("a = { x = 1 }\nb = 2\n"),
        ),
        ("the same key", "a = 1\n", "a = 2\n", "a = 3\n", conflict(&["/a"])),
        ("an integer is no float", "a = 1\n", "a = 1.0\n", "a = 2\n", conflict(&["/a"])),
    ] {
        assert_eq!(three_way(Format::Toml, base, ours, theirs), expected, "{name}");
    }
}

#[test]
fn keys_of_the_host_stay_the_host_s() {
    let pointers = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let dependencies = pointers(&["/dependencies", "/o/deep/k"]);
    for (name, ours, theirs, expected) in [
        (
            "the host's value",
            "{\n  \"dependencies\": {\n    \"x\": \"1\" // mine\n  }\n}",
            "{\n  \"name\": \"p\",\n  \"dependencies\": {}\n}",
            Some("{\n  \"name\": \"p\",\n  \"dependencies\": {\n    \"x\": \"1\" // mine\n  }\n}"),
        ),
        (
            "absent there",
            r#"{"dependencies": {"x": 1}}"#,
            r#"{"name": "p"}"#,
            Some(r#"{"name": "p", "dependencies": {"x": 1}}"#),
        ),
        ("absent here", r#"{}"#, r#"{"name": "p", "dependencies": {"x": 1}}"#, Some(r#"{"name": "p"}"#)),
        (
            "only the key of an object",
            r#"{"o":{"deep":{"k":1,"l":2},"m":3}}"#,
            r#"{"a":1}"#,
            Some(r#"{"a":1,"o":{"deep":{"k":1}}}"#),
        ),
        (
            "equal keeps bytes",
            r#"{"dependencies":{"a":1,"b":2}}"#,
            r#"{ "dependencies":{"b":2,"a":1.0} }"#,
            Some(r#"{ "dependencies":{"b":2,"a":1.0} }"#),
        ),
        ("the pack has no object there", r#"{"o":{"deep":{"k":1}}}"#, r#"{"o":1}"#, None),
        ("nor the host", r#"{"o":{}}"#, r#"{"o":1}"#, Some(r#"{"o":1}"#)),
    ] {
        let result = keys_of_host(Format::Json, ours, theirs, &dependencies).ok();
        assert_eq!(result.as_deref(), expected, "{name}");
        if let Some(result) = result {
            let digest = |text: &str| without_keys(Format::Json, text, &dependencies).unwrap();
            assert_eq!(digest(&result), digest(theirs), "{name}");
        }
    }
    let result = keys_of_host(Format::Toml, "[tool]\nk = 1\n", "a = 1\n", &pointers(&["/tool/k"]));
    assert_eq!(result.as_deref(), Ok("a = 1\n\n[tool]\nk = 1\n"));
    // The nearer to the root wins, whatever the order.
    for both in [["/o", "/o/k"], ["/o/k", "/o"]] {
        let result = keys_of_host(Format::Json, r#"{"o":{"k":1,"l":2}}"#, r#"{"o":{}}"#, &pointers(&both));
        assert_eq!(result.as_deref(), Ok(r#"{"o":{"k":1,"l":2}}"#));
    }
    for bad in ["", "dependencies"] {
        let expected = Err(StructuredError::Pointer(bad.to_owned()));
        assert_eq!(keys_of_host(Format::Json, "{}", "{}", &pointers(&[bad])), expected);
        assert_eq!(without_keys(Format::Json, "{}", &pointers(&[bad])), expected);
    }
}

#[test]
fn comparison_sees_values_only() {
    let keys = ["/dependencies".to_owned(), "/o/k".to_owned(), "/list/0".to_owned()];
    let same = |format, a: &str, b: &str| {
        without_keys(format, a, &keys).unwrap() == without_keys(format, b, &keys).unwrap()
    };
    for (a, b, expected) in [
        (r#"{"a":1,"b":[1,2]}"#, "{ \"b\": [1, 2.0], // c\n \"a\": 1e0, }", true),
        (r#"{"a":1,"dependencies":{"x":1}}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"o":{"k":1}}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"o":{}}"#, r#"{"a":1}"#, true),
        (r#"{"a":1,"o":{"l":1}}"#, r#"{"a":1}"#, false),
        (r#"{"list":[1]}"#, r#"{"list":[2]}"#, false),
        (r#"{"b":[1,2]}"#, r#"{"b":[2,1]}"#, false),
        (r#"{"a":"1"}"#, r#"{"a":1}"#, false),
        (r#"{"a":null}"#, r#"{}"#, false),
        (r#"{"a":"\u00e4/"}"#, r#"{"a":"ä\/"}"#, true),
    ] {
        assert_eq!(same(Format::Json, a, b), expected, "{a} {b}");
    }
    for (a, b, expected) in [
        ("a = 0x10\n[t]\nx = 1\n[o]\nk = 1", "t = { x = 1 } # c\r\na = 16\r\n", true),
        ("s = '''\na\r\nb'''", "s = \"a\\nb\"", true),
        ("a = 1", "a = 1.0", false),
        ("a = 1979-05-27", "a = \"1979-05-27\"", false),
    ] {
        assert_eq!(same(Format::Toml, a, b), expected, "{a} {b}");
    }
}

#[test]
fn contested() {
    let found = |patch: &str, base: &str, new: &str| contested_keys(Format::Json, patch, base, new).unwrap();
    let base = r#"{"a":1,"o":{"x":1,"y":1},"l":[1]}"#;
    for (patch, new, expected) in [
        (r#"{"a":2}"#, r#"{"a":1,"o":{"x":2,"y":1}}"#, vec![]),
        (r#"{"a":2}"#, r#"{"a":3}"#, vec!["/a"]),
        (r#"{"a":2}"#, r#"{"a":2}"#, vec![]),
        (r#"{"a":2}"#, r#"{}"#, vec!["/a"]),
        (r#"{"a":1}"#, r#"{"a":3}"#, vec!["/a"]),
        (r#"{"a":null}"#, r#"{}"#, vec![]),
        (r#"{"a":null}"#, r#"{"a":3}"#, vec!["/a"]),
        (r#"{"o":{"x":2}}"#, r#"{"o":{"x":1,"y":9}}"#, vec![]),
        (r#"{"o":{"x":2,"z":1}}"#, r#"{"o":{"x":3,"z":2}}"#, vec!["/o/x", "/o/z"]),
        (r#"{"o":{"z":2}}"#, r#"{}"#, vec!["/o"]),
        (r#"{"o":{"z":2}}"#, r#"{"o":1}"#, vec!["/o"]),
        (r#"{"n":{"a":1}}"#, r#"{"n":{"b":1}}"#, vec![]),
        (r#"{"n":{"a":1}}"#, r#"{"n":{"a":2}}"#, vec!["/n/a"]),
        (r#"{"l":[1,2]}"#, r#"{"l":[0,1]}"#, vec!["/l"]),
    ] {
        assert_eq!(found(patch, base, new), expected, "{patch} {new}");
    }
}

#[test]
fn formats_by_name() {
    for (path, expected) in [
        ("a/package.json", Some(Format::Json)),
        ("settings.jsonc", Some(Format::Json)),
        ("a.toml", Some(Format::Toml)),
        ("json", None),
        ("a.yaml", None),
    ] {
        assert_eq!(Format::of(&TreePath::new(path).unwrap()), expected, "{path}");
    }
}

#[test]
fn keys_between_two_versions() {
    let json = Format::Json;
    let toml = Format::Toml;
    for (format, from, to, expected) in [
        (json, "{\"a\": 1, \"b\": 2}", "{\"a\": 1.50, \"b\": 2}", Some("{\n  \"a\": 1.50\n}\n")),
        (
            json,
            "{\"a\": {\"x\": 1, \"y\": 2}}",
            "{\"a\": {\"x\": 1, \"y\": [1, 2]}}",
            Some("{\n  \"a\": {\n    \"y\": [1, 2]\n  }\n}\n"),
        ),
        (
            json,
            "{\"a\": 1, \"b\": {\"c\": 1, \"d\": 1}}",
            "{\"b\": {\"d\": 1}, \"e\": \"x\"}",
            Some("{\n  \"e\": \"x\",\n  \"a\": null,\n  \"b\": {\n    \"c\": null\n  }\n}\n"),
        ),
        (json, "{\"a\": 1}", "{ \"a\": 1 }", None),
        (toml, "a = 1\n[t]\nb = 1\n", "a = 1\n[t]\nb = 2\n", Some("[t]\nb = 2\n")),
        (toml, "a = 1\nb = 1\n", "a = 1\n", None),
    ] {
        let keys = keys_between(format, from, to).unwrap();
        assert_eq!(keys.as_deref(), expected, "{from} → {to}");
        if let Some(keys) = keys {
            assert_eq!(
                merge_keys(format, from, &keys).unwrap().replace(' ', ""),
                to.replace(' ', ""),
                "{keys}"
            );
        }
    }
}

#[test]
fn the_keys_of_an_overlay() {
    for (format, text, expected) in [
        (Format::Json, "{\"b\": null, \"a\": {\"x/y\": [1], \"z\": {}}}", vec!["/a/x~1y", "/a/z", "/b"]),
        (Format::Json, "{}", vec![]),
        // Sorted as pointers.
        (Format::Json, "{\"d?\": 1, \"d/e\": 1, \"d\": {}}", vec!["/d", "/d?", "/d~1e"]),
        (Format::Toml, "b = 1\n[a.c]\nd = 1\n", vec!["/a/c/d", "/b"]),
    ] {
        assert_eq!(keys_of(format, text).unwrap(), expected, "{text}");
    }
}
