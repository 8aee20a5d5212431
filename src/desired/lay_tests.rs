//! Overlays on another version than their base: a line of the fault list each, and laws.

use proptest::prelude::*;

use super::*;
use crate::desired::render::{Rendered, render};
use crate::model::Content;
use crate::model::pack::{Case, Install, InstallMap, Modes, PackTree, TagPattern};

pub type Files<'a> = &'a [(&'a str, &'a str)];

pub fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

pub fn pack() -> Pack {
    Pack {
        name: "p".parse().unwrap(),
        source: "s".parse().unwrap(),
        dir: None,
        aliases: Vec::new(),
        tag: TagPattern::default(),
        install: InstallMap(vec![Install { from: None, to: Some(path("t")) }]),
        host_owns: Vec::new(),
        host_keys: Vec::new(),
        modes: Modes::default(),
        case: Case::default(),
        requires: Vec::new(),
        version_key: "p_version".into(),
        checks: Vec::new(),
        atomic: true,
        care: Default::default(),
    }
}

/// `->text` is a link, `*text` executable.
pub fn kind(text: &str) -> (Kind, &str) {
    match (text.strip_prefix("->"), text.strip_prefix('*')) {
        (Some(text), _) => (Kind::Link, text),
        (_, Some(text)) => (Kind::Exec, text),
        _ => (Kind::File, text),
    }
}

pub fn tree(files: Files<'_>) -> Vec<PackEntry> {
    let entry = |(at, text): &(&str, &str)| {
        let (kind, text) = kind(text);
        PackEntry {
            path: path(at),
            kind,
            content: Content::of(text.as_bytes()),
            size: text.len() as u64,
            link: (kind == Kind::Link).then(|| text.into()),
        }
    };
    let mut tree: Vec<PackEntry> = files.iter().map(entry).collect();
    tree.sort_by(|a, b| a.path.cmp(&b.path));
    tree
}

/// An overlay of these files, written against a tree; `overlay.toml` holds what is to be added to it.
pub fn overlay(name: &str, base: Option<&[PackEntry]>, files: Files<'_>) -> Overlay {
    let mut all: BTreeMap<TreePath, (Kind, Vec<u8>)> =
        files.iter().map(|(at, text)| (path(at), (kind(text).0, kind(text).1.as_bytes().to_vec()))).collect();
    let mut manifest = "pack = \"p\"\n".to_owned();
    if let Some(base) = base {
        let tree = PackTree::digest_of(base);
        manifest.push_str(&format!("base = {{ version = \"1.0.0\", tree = \"{tree}\" }}\n"));
    }
    let own = all.remove("overlay.toml").map(|(_, bytes)| String::from_utf8(bytes).unwrap());
    manifest.push_str(&own.unwrap_or_default());
    all.insert(path("overlay.toml"), (Kind::File, manifest.into_bytes()));
    Overlay::new(name.parse().unwrap(), all).unwrap()
}

fn rendered(base: Files<'_>, new: Files<'_>, overlays: &[Overlay]) -> Result<Rendered, RenderError> {
    let old = tree(base);
    let known = [base, new].concat();
    let bytes = |content| {
        let found =
            known.iter().map(|(_, text)| kind(text).1).find(|text| Content::of(text.as_bytes()) == content);
        found.map(|text| text.as_bytes().to_vec()).ok_or_else(|| "it is gone".to_owned())
    };
    let layer = |overlay| Layer { overlay, base: Some(old.as_slice()) };
    let layers: Vec<Layer<'_>> = overlays.iter().map(layer).collect();
    render(&pack(), &tree(new), None, &layers, &bytes)
}

/// What overlays come to, in lines: `path = text` for what they gave, `- path` for what they took from the
/// version, then the notes; or the error.
fn told(base: Files<'_>, new: Files<'_>, overlays: &[Files<'_>]) -> Vec<String> {
    let old = tree(base);
    let named = overlays.iter().zip(["o", "q"]);
    let overlays: Vec<Overlay> = named.map(|(files, name)| overlay(name, Some(&old), files)).collect();
    match rendered(base, new, &overlays) {
        Err(error) => vec![error.to_string()],
        Ok(rendered) => {
            let mut lines = Vec::new();
            for (at, desired) in &rendered.entries {
                let at = at.as_str().strip_prefix("t/").unwrap();
                let before = new.iter().find(|(path, _)| *path == at).map(|(_, text)| kind(text));
                let bytes = rendered.overlay_bytes.get(&desired.entry.content);
                let text = bytes.map(|bytes| String::from_utf8(bytes.clone()).unwrap());
                match text {
                    Some(text) if before != Some((desired.entry.kind, text.as_str())) => {
                        let letter = char::from(desired.entry.kind.letter());
                        lines.push(format!("{letter} {at} = {}", text.escape_debug()));
                    }
                    _ => {}
                }
            }
            for (at, _) in new {
                if !rendered.entries.contains_key(&path(&format!("t/{at}"))) {
                    lines.push(format!("- {at}"));
                }
            }
            lines.extend(rendered.notes.iter().map(ToString::to_string));
            lines
        }
    }
}

pub fn patch(at: &str, old: &str, new: &str) -> String {
    String::from_utf8(crate::merge::Patch::make(&path(at), old.as_bytes(), new.as_bytes()).unwrap().print())
        .unwrap()
}

pub const OLD: &str = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";

#[test]
fn patches() {
    let mine = OLD.replace('3', "mine");
    let upstream = OLD.replace('8', "eight");
    let both = mine.replace('8', "eight");
    let (runs, crlf) = (format!("*{upstream}"), OLD.replace('\n', "\r\n"));
    let of = |at: &str| patch(at, OLD, &mine);
    let section = "h\nx = 1\nend\n";
    let (four, five) = (section.repeat(4), section.repeat(5));
    let third = format!("{}h\nx = 2\nend\n{section}", section.repeat(2));
    let shown = |text: &str| text.escape_debug().to_string();
    type Row<'a> =
        (&'a str, Vec<(&'a str, &'a str)>, Vec<(&'a str, &'a str)>, (&'a str, String), Vec<String>);
    let rows: Vec<Row<'_>> = vec![
        ("its base", vec![("a", OLD)], vec![("a", OLD)], ("a.patch", of("a")), vec![format!("f a = {}", shown(&mine))]),
        (
            "merged three ways, kind as upstream has it",
            vec![("a", OLD)],
            vec![("a", &runs)],
            ("a.patch", of("a")),
            vec![format!("x a = {}", shown(&both)), "overlay o: a: upstream changed the file, too: merged".into()],
        ),
        (
            "the same lines",
            vec![("a", OLD)],
            vec![("a", "1\n2\ntheirs\n4\n5\n6\n7\n8\n9\n")],
            ("a.patch", of("a")),
            vec!["overlay o: a: line 3: changed by the overlay and by upstream".into()],
        ),
        (
            "repeated text",
            vec![("a", &four)],
            vec![("a", &five)],
            ("a.patch", patch("a", &four, &third)),
            vec![
                "overlay o: a: hunk 1: upstream changed how often its lines occur, so that it is not known which \
                 are meant (line 5, 8, 11)"
                    .into(),
            ],
        ),
        (
            "a second application",
            vec![("a", OLD)],
            vec![("a", &mine)],
            ("a.patch", of("a")),
            vec!["overlay o: a: upstream ships the very same: drop it from the overlay".into()],
        ),
        (
            "not its base",
            vec![("a", &upstream)],
            vec![("a", &upstream)],
            ("a.patch", of("a").replace(" 6\n", " six\n")),
            vec![
                "overlay o: a: it does not apply to its own base: hunk 1 (line 3 of the patch) does not lie at line 6: \
                 it expects \"six\\n\", the file has \"6\\n\""
                    .into(),
            ],
        ),
        (
            "line ends are not guessed",
            vec![("a", &crlf)],
            vec![("a", OLD)],
            ("a.patch", of("a")),
            vec![
                "overlay o: a: it does not apply to its own base: hunk 1 (line 3 of the patch) does not lie at line 1: \
                 it expects \"1\\n\", the file has \"1\\r\\n\""
                    .into(),
            ],
        ),
        (
            "upstream removed it",
            vec![("a", OLD), ("b", "x")],
            vec![("b", "x")],
            ("a.patch", of("a")),
            vec!["overlay o: a: upstream removed the file that it changes".into()],
        ),
        (
            "its base has no such file",
            vec![("b", "x")],
            vec![("a", OLD), ("b", "x")],
            ("a.patch", of("a")),
            vec!["overlay o: a: its base has no such file".into()],
        ),
        (
            "renamed, with equal content",
            vec![("d/a", OLD)],
            vec![("e/b", OLD)],
            ("d/a.patch", of("d/a")),
            vec![
                format!("f e/b = {}", shown(&mine)),
                "overlay o: d/a: upstream renamed it to e/b; the overlay follows".into(),
            ],
        ),
        (
            "renamed, and changed",
            vec![("a", OLD)],
            vec![("b", &upstream)],
            ("a.patch", of("a")),
            vec![
                format!("f b = {}", shown(&both)),
                "overlay o: a: upstream renamed it to b; the overlay follows".into(),
                "overlay o: a: upstream changed the file, too: merged".into(),
            ],
        ),
        (
            "renamed in letter case only",
            vec![("Read.me", OLD)],
            vec![("README.md", "x"), ("READ.me", "9\n")],
            ("Read.me.patch", patch("Read.me", OLD, &OLD.replace('9', "nine"))),
            vec!["overlay o: Read.me: line 1: changed by the overlay and by upstream".into()],
        ),
        (
            "not alike enough",
            vec![("a", OLD)],
            vec![("b", "1\n2\n3\nx\nx\nx\nx\nx\nx\n")],
            ("a.patch", of("a")),
            vec!["overlay o: a: upstream removed the file that it changes".into()],
        ),
        (
            "a link now",
            vec![("a", OLD)],
            vec![("a", "->b"), ("b", "x")],
            ("a.patch", of("a")),
            vec!["overlay o: a: it is a symbolic link, which cannot be changed in part".into()],
        ),
        (
            "binary now",
            vec![("a", OLD)],
            vec![("a", "x\0")],
            ("a.patch", of("a")),
            vec!["overlay o: a: upstream made it a file that is no text".into()],
        ),
    ];
    for (name, base, new, (file, text), expected) in rows {
        assert_eq!(told(&base, &new, &[&[(file, &text)]]), expected, "{name}");
    }
}

#[test]
fn keys() {
    let base = "{\n  // why\n  \"a\": 1,\n  \"b\": 1.0\n}\n";
    let mine = ("c.json.merge.json", "{\"a\": 2}");
    for (name, new, expected) in [
        ("its base", base, vec!["f c.json = {\\n  // why\\n  \\\"a\\\": 2,\\n  \\\"b\\\": 1.0\\n}\\n"]),
        (
            "another key",
            "{ \"b\": 2, \"a\": 1 }",
            vec![
                "f c.json = { \\\"b\\\": 2, \\\"a\\\": 2 }",
                "overlay o: c.json: upstream changed the file, too: merged",
            ],
        ),
        (
            "the same key",
            "{ \"a\": 3 }",
            vec!["overlay o: c.json: changed by the overlay and by upstream: \"/a\""],
        ),
        (
            "shipped",
            "{ \"a\": 2.0 }",
            vec!["overlay o: c.json: upstream ships the very same: drop it from the overlay"],
        ),
        (
            "no JSON any more",
            "{ \"a\": ",
            vec![
                "overlay o: c.json: the file is no JSON: line 1, column 8: Unexpected end of input in object",
            ],
        ),
        ("a key twice", "{\"a\": 1, \"a\": 1}", vec!["overlay o: c.json: the file has the key \"/a\" twice"]),
    ] {
        let found = told(&[("c.json", base)], &[("c.json", new)], &[&[mine]]);
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        match name {
            "no JSON any more" => {
                assert!(found[0].starts_with("overlay o: c.json: the file is no JSON: line 1"), "{found:?}")
            }
            _ => assert_eq!(found, expected, "{name}"),
        }
    }
    let toml = ("c.toml.merge.toml", "[s]\nx = 2\n");
    let moved = told(&[("c.toml", "[s]\nx = 1 # one\n")], &[("d/c.toml", "[s]\nx = 1 # one\n")], &[&[toml]]);
    assert_eq!(
        moved,
        [
            "f d/c.toml = [s]\\nx = 2 # one\\n",
            "overlay o: c.toml: upstream renamed it to d/c.toml; the overlay follows"
        ]
    );
    // Without a base nothing is known of what upstream changed.
    let plain = overlay("o", None, &[mine]);
    let found = rendered(&[], &[("c.json", "{\"a\": 7}")], std::slice::from_ref(&plain)).unwrap();
    assert_eq!(found.overlay_bytes.values().next().unwrap(), b"{\"a\": 2}");
    let error = rendered(&[], &[("d.json", "{}")], &[plain]).unwrap_err();
    assert_eq!(error.to_string(), "overlay o: c.json: the pack has no such file");
}

#[test]
fn whole_files_and_what_is_left_out() {
    let replaced =
        "overlay o: a: upstream changed the file that the overlay replaces: its changes are not in it";
    let moved = "overlay o: a: upstream renamed it to d/a; the overlay follows";
    type Row<'a> = (&'a str, Files<'a>, Files<'a>, Files<'a>, &'a [&'a str]);
    let rows: [Row<'_>; 19] = [
        ("as it was", &[("a", "1")], &[("a", "1")], &[("a", "mine")], &["f a = mine"]),
        ("changed", &[("a", "1")], &[("a", "2")], &[("a", "*mine")], &["x a = mine", replaced]),
        ("its mode changed", &[("a", "1")], &[("a", "*1")], &[("a", "mine")], &["f a = mine", replaced]),
        (
            "shipped",
            &[("a", "1")],
            &[("a", "mine")],
            &[("a", "mine")],
            &["overlay o: a: upstream ships the very same: drop it from the overlay"],
        ),
        (
            "gone",
            &[("a", "1"), ("b", "x")],
            &[("b", "x")],
            &[("a", "mine")],
            &["f a = mine", "overlay o: a: upstream removed the file that the overlay replaces; it stays"],
        ),
        ("renamed", &[("a", "1")], &[("d/a", "1")], &[("a", "mine")], &["f d/a = mine", moved]),
        (
            "renamed and changed",
            &[("a", "1\n2\n")],
            &[("d/a", "1\n3\n")],
            &[("a", "mine")],
            &["f d/a = mine", moved, replaced],
        ),
        (
            "added, and now upstream has one",
            &[("b", "x")],
            &[("a", "1"), ("b", "x")],
            &[("a", "mine")],
            &["f a = mine", "overlay o: a: upstream has a file of its own there now, which is replaced"],
        ),
        (
            "left out",
            &[("a", "1"), ("b", "x")],
            &[("a", "1"), ("b", "x")],
            &[("overlay.toml", "remove = [\"a\"]")],
            &["- a"],
        ),
        (
            "left out, and changed",
            &[("a", "1"), ("b", "x")],
            &[("a", "2"), ("b", "x")],
            &[("overlay.toml", "remove = [\"a\"]")],
            &["- a", "overlay o: a: upstream changed or added a file in what the overlay leaves out"],
        ),
        (
            "a directory left out, changed and grown",
            &[("d/1", "1"), ("d/2", "2"), ("d-x", "x")],
            &[("d/1", "one"), ("d/2", "2"), ("d/3", "3"), ("d-x", "x")],
            &[("overlay.toml", "remove = [\"d\"]")],
            &[
                "- d/1",
                "- d/2",
                "- d/3",
                "overlay o: d: upstream changed or added 2 files in what the overlay leaves out",
            ],
        ),
        (
            "left out, and renamed",
            &[("a", "1"), ("b", "x")],
            &[("d/a", "1"), ("b", "x")],
            &[("overlay.toml", "remove = [\"a\"]")],
            &["- d/a", moved],
        ),
        (
            "a directory left out, and moved as such",
            &[("d/1", "1"), ("d/2", "2"), ("d/s/3", "3"), ("x", "x")],
            &[("n/e/1", "1"), ("n/e/2", "2"), ("n/e/s/4", "4"), ("y", "3"), ("x", "x")],
            &[("overlay.toml", "remove = [\"d\"]")],
            &[
                "- n/e/1",
                "- n/e/2",
                "- n/e/s/4",
                "overlay o: d: upstream renamed it to n/e; the overlay follows",
                "overlay o: d: upstream moved a file out of what the overlay leaves out (d/s/3 is y now): installed, \
                 unless `remove` names it",
                "overlay o: d: upstream changed or added a file in what the overlay leaves out",
            ],
        ),
        (
            "a directory left out, with a file that moved within it",
            &[("d/1", "1"), ("d/2", "2"), ("x", "x")],
            &[("d/s/1", "1"), ("d/2", "2"), ("x", "x")],
            &[("overlay.toml", "remove = [\"d\"]")],
            &["- d/s/1", "- d/2"],
        ),
        (
            "a directory left out, of which a file serves something else",
            &[("d/1", "1"), ("d/2", "2"), ("d/3", "3"), ("x", "x")],
            &[("n/1", "1"), ("x", "x")],
            &[("overlay.toml", "remove = [\"d\"]")],
            &[
                "overlay o: d: upstream moved a file out of what the overlay leaves out (d/1 is n/1 now): installed, \
                 unless `remove` names it",
                "overlay o: d: upstream removed it, too: drop it from `remove`",
            ],
        ),
        (
            "left out, and gone",
            &[("a", "1"), ("b", "x")],
            &[("b", "x")],
            &[("overlay.toml", "remove = [\"a\"]")],
            &["overlay o: a: upstream removed it, too: drop it from `remove`"],
        ),
        (
            "never there",
            &[("b", "x")],
            &[("b", "x")],
            &[("overlay.toml", "remove = [\"a\"]")],
            &["overlay o removes \"a\", which is not in the pack"],
        ),
        (
            "two on one path",
            &[("a", "1"), ("b", "x")],
            &[("c", "1"), ("b", "x")],
            &[("a", "mine"), ("c", "mine, too")],
            &["overlay o: c: it and a of this overlay end up on one path"],
        ),
        (
            "put as it is",
            &[("a", "1")],
            &[("a", "1")],
            &[("b.patch", "no diff"), ("overlay.toml", "verbatim = [\"b.patch\"]")],
            &["f b.patch = no diff"],
        ),
    ];
    for (name, base, new, files, expected) in rows {
        assert_eq!(told(base, new, &[files]), expected, "{name}");
    }
}

#[test]
fn several_overlays_in_order_on_one_file() {
    let first = patch("a", OLD, &OLD.replace('1', "one"));
    let second = patch("a", OLD, &OLD.replace('9', "nine"));
    let upstream = OLD.replace('5', "five");
    let both = upstream.replace('1', "one").replace('9', "nine");
    let merged = |name: &str| format!("overlay {name}: a: upstream changed the file, too: merged");
    let old: Files<'_> = &[("a", OLD)];
    let at = |text: &str| format!("f a = {}", text.escape_debug());
    let two = |first: &str, second: &str, new: &str| {
        told(old, &[("a", new)], &[&[("a.patch", first)], &[("a.patch", second)]])
    };
    assert_eq!(two(&first, &second, &upstream), [at(&both), merged("o"), merged("q")]);
    assert_eq!(two(&first, &second, OLD), [at(&both.replace("five", "5"))]);
    let same = two(&first, &first, OLD);
    assert_eq!(same, [at(&OLD.replace('1', "one")), "overlay q: a: overlay o does the same already".into()]);
    let other = patch("a", OLD, &OLD.replace('1', "uno"));
    assert_eq!(two(&first, &other, OLD), ["overlay q: a: line 1: changed by the overlay and by overlay o"]);
    // All conflicts at once, those with upstream named as such.
    let theirs = OLD.replace('1', "eins");
    assert_eq!(
        two(&first, &other, &theirs),
        [
            "overlay o: a: line 1: changed by the overlay and by upstream; overlay q: a: line 1: changed by the overlay \
             and by upstream"
        ]
    );
    // A patch on what an earlier overlay replaced, and on what it leaves out.
    let whole = format!("0\n{OLD}");
    let on_whole = told(old, old, &[&[("a", &whole)], &[("a.patch", &second)]]);
    assert_eq!(on_whole, [at(&whole.replace('9', "nine"))]);
    let left_out = told(
        &[("a", OLD), ("b", "x")],
        &[("a", OLD), ("b", "x")],
        &[&[("overlay.toml", "remove = [\"a\"]")], &[("a.patch", &second)]],
    );
    assert_eq!(left_out, ["overlay q: a: an earlier overlay leaves that file out"]);
    // Keys of a later overlay win; upstream's other keys stay.
    let keys = |text| -> [(&str, &str); 1] { [("c.json.merge.json", text)] };
    let three = told(
        &[("c.json", "{\"a\": 1, \"b\": 1}")],
        &[("c.json", "{\"a\": 1, \"b\": 2}")],
        &[&keys("{\"a\": 2, \"c\": 1}"), &keys("{\"a\": 3}")],
    );
    assert_eq!(three[0], "f c.json = {\\\"a\\\": 3, \\\"b\\\": 2, \\\"c\\\": 1}");
}

#[test]
fn what_a_base_must_be() {
    let old = tree(&[("a", OLD)]);
    let file: Files<'_> = &[("a", "mine")];
    let one = overlay("o", Some(&tree(&[("a", "another")])), file);
    let error = rendered(&[("a", OLD)], &[("a", OLD)], &[one]).unwrap_err().to_string();
    assert!(error.starts_with("overlay o: its base 1.0.0 is tree "), "{error}");
    let one = overlay("o", Some(&old), file);
    let layer = [Layer { overlay: &one, base: None }];
    let error = render(&pack(), &old, None, &layer, &|_| Err("never".into())).unwrap_err().to_string();
    assert_eq!(error, "overlay o: its base 1.0.0 is not to be found");
    let one = overlay("o", Some(&old), &[("a.patch", &patch("a", OLD, "1\n"))]);
    let layer = [Layer { overlay: &one, base: Some(&old) }];
    let error = render(&pack(), &old, None, &layer, &|_| Err("a lost object".into())).unwrap_err();
    assert_eq!(error.to_string(), "\"a\" cannot be read: a lost object");
    let one = overlay("o", Some(&old), &[("a.patch.conflict", "x")]);
    let error = rendered(&[("a", OLD)], &[("a", OLD)], &[one]).unwrap_err().to_string();
    assert!(
        error.contains("\"a\" is not finished") && error.contains("overlay rebase o --finish"),
        "{error}"
    );
}

pub fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a\n", "b\n", "c\n", "d\n"]), 1..8)
        .prop_map(|lines| lines.concat())
}

proptest! {
    /// On its base a patch gives what its author saw; whatever upstream did, every line that the author added is in
    /// the result, or nothing is installed at all.
    #[test]
    fn a_patch_is_exact_or_merged_or_held(old in text(), mine in text(), new in text()) {
        prop_assume!(old != mine);
        let base = tree(&[("a", &old)]);
        let overlays = [overlay("o", Some(&base), &[("a.patch", &patch("a", &old, &mine))])];
        let exact = rendered(&[("a", &old)], &[("a", &old)], &overlays).unwrap();
        prop_assert_eq!(exact.overlay_bytes.values().next().unwrap(), mine.as_bytes());
        prop_assert!(exact.notes.is_empty());
        match rendered(&[("a", &old)], &[("a", &new)], &overlays) {
            Err(RenderError::Conflicts(findings)) => prop_assert!(findings.iter().any(Finding::is_conflict)),
            Err(error) => prop_assert!(false, "{}", error),
            Ok(carried) => {
                prop_assert!(!carried.notes.iter().any(Finding::is_conflict));
                let result = carried.overlay_bytes.values().next().map_or(new.as_bytes(), Vec::as_slice);
                let count = |text: &[u8], line: &str| String::from_utf8_lossy(text).matches(line).count();
                for line in ["a\n", "b\n", "c\n", "d\n"] {
                    // What the author added is there at least as often as it was added.
                    let added = count(mine.as_bytes(), line).saturating_sub(count(old.as_bytes(), line));
                    prop_assert!(count(result, line) >= added, "{line:?}");
                }
            }
        }
    }
}
