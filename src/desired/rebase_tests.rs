//! Overlays written anew: what becomes of each file, what a person gets to finish, and the law that a carried
//! overlay gives what the old one gave.

use proptest::prelude::*;

use super::*;
use crate::desired::lay::Layer;
use crate::desired::lay::tests::{Files, OLD, kind, pack, patch, path, text, tree};
use crate::desired::manifest::MANIFEST;
use crate::desired::render::{Rendered, render};
use crate::model::pack::PackTree;
use crate::model::{Content, OverlayName};

/// All bytes of some trees.
fn bytes<'a>(sides: &'a [Files<'a>]) -> impl Fn(Content) -> Result<Vec<u8>, String> + 'a {
    move |content| {
        let texts = sides.iter().flat_map(|side| side.iter()).map(|(_, text)| kind(text).1.as_bytes());
        texts
            .into_iter()
            .find(|text| Content::of(text) == content)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| "gone".into())
    }
}

/// The overlay's directory, as text by path.
type Directory = BTreeMap<TreePath, (Kind, Vec<u8>)>;

fn directory(base: Files<'_>, files: Files<'_>) -> Directory {
    let manifest = format!(
        "pack = \"p\"\nbase = {{ version = \"1.0.0\", tree = \"{}\" }}\n{}",
        PackTree::digest_of(&tree(base)),
        files.iter().find(|(at, _)| *at == MANIFEST).map_or("", |(_, text)| text)
    );
    let mut all: Directory =
        files.iter().map(|(at, text)| (path(at), (kind(text).0, kind(text).1.as_bytes().to_vec()))).collect();
    all.insert(path(MANIFEST), (Kind::File, manifest.into_bytes()));
    all
}

fn made(directory: &Directory) -> Overlay {
    Overlay::new(OverlayName::new("o").unwrap(), directory.clone()).unwrap()
}

fn apply(directory: &mut Directory, changes: &Changes) {
    directory.retain(|at, _| !changes.remove.contains(at));
    directory.extend(changes.put.clone());
}

/// Carries a directory from `base` to `new`.
fn carried(directory: &mut Directory, base: Files<'_>, new: Files<'_>) -> Result<Changes, RebaseError> {
    let (old, now) = (tree(base), tree(new));
    let to = Base { version: "2.0.0".into(), tree: PackTree::digest_of(&now) };
    let sides = [base, new];
    let (changes, manifest) = rebase(&made(directory), Some(&old), &now, to, &bytes(&sides))?;
    apply(directory, &changes);
    let text = String::from_utf8(directory[MANIFEST].1.clone()).unwrap();
    let text = manifest.edited(&text).unwrap();
    assert_eq!(Manifest::parse(&text).unwrap(), manifest);
    directory.insert(path(MANIFEST), (Kind::File, text.into_bytes()));
    Ok(changes)
}

fn laid(directory: &Directory, base: Files<'_>, new: Files<'_>) -> Result<Rendered, RenderError> {
    let (overlay, old) = (made(directory), tree(base));
    let sides = [base, new];
    render(&pack(), &tree(new), None, &[Layer { overlay: &overlay, base: Some(&old) }], &bytes(&sides))
}

/// A step in a line: `=` kept, `~` written, `-` dropped, `!` to finish.
fn line(step: &Step) -> String {
    let about = step.about.join("; ");
    match &step.done {
        Done::Kept => format!("= {} {about}", step.path),
        Done::Written(file) => format!("~ {file} {about}"),
        Done::Dropped => format!("- {} {about}", step.path),
        Done::Conflict(file) => format!("! {file} {about}"),
    }
    .trim_end()
    .to_owned()
}

#[test]
fn what_becomes_of_each_file() {
    let mine = OLD.replace('3', "mine");
    let base: Files<'_> = &[
        ("a", OLD),
        ("b", OLD),
        ("c", OLD),
        ("s.json", "{\"x\": 1}"),
        ("w", "1"),
        ("v", "1"),
        ("d/1", "1"),
        ("e", "7"),
    ];
    let shifted = format!("0\n{OLD}");
    let new: Files<'_> = &[
        ("a", OLD),
        ("b", &shifted),
        ("n/c", OLD),
        ("n/s.json", "{\"x\": 1}"),
        ("n/w", "1"),
        ("v", "mine"),
        ("d2/1", "1"),
        ("e", "8"),
        ("f", "x"),
    ];
    let (a, b, c) = (patch("a", OLD, &mine), patch("b", OLD, &mine), patch("c", OLD, &mine));
    let mut directory = directory(
        base,
        &[
            ("overlay.toml", "remove = [\"d\", \"e\"]\n"),
            ("a.patch", &a),
            ("b.patch", &b),
            ("c.patch", &c),
            ("s.json.merge.json", "{\"x\": 2} // why"),
            ("w", "*mine"),
            ("v", "mine"),
            ("z", "new"),
        ],
    );
    let before = laid(&directory, base, new).unwrap();
    let changes = carried(&mut directory, base, new).unwrap();
    let lines: Vec<String> = changes.steps.iter().map(line).collect();
    assert_eq!(
        lines,
        [
            "= d upstream renamed it to d2; the overlay follows",
            "= e upstream changed or added a file in what the overlay leaves out",
            "- v upstream ships the very same: dropped",
            "~ n/w upstream renamed it to n/w; the overlay follows",
            "= z",
            "= a",
            "~ b.patch upstream changed the file, too: merged",
            "~ n/c.patch upstream renamed it to n/c; the overlay follows",
            "~ n/s.json.merge.json upstream renamed it to n/s.json; the overlay follows",
        ]
    );
    let names: Vec<&str> = directory.keys().map(TreePath::as_str).collect();
    assert_eq!(names, ["a.patch", "b.patch", "n/c.patch", "n/s.json.merge.json", "n/w", "overlay.toml", "z"]);
    assert_eq!(directory["a.patch"].1, a.as_bytes());
    assert_eq!(directory["n/s.json.merge.json"].1, b"{\"x\": 2} // why");
    assert_eq!(directory["n/w"].0, Kind::Exec);
    assert_eq!(made(&directory).manifest.remove, [path("d2"), path("e")]);
    let after = laid(&directory, new, new).unwrap();
    assert_eq!((after.entries, after.notes), (before.entries, Vec::new()));
}

#[test]
fn what_a_person_gets_to_finish() {
    let mine = OLD.replace('3', "mine");
    let theirs = OLD.replace('3', "theirs");
    let of_a = patch("a", OLD, &mine);
    let begun = |new: Files<'_>, file: (&str, &str)| {
        let base: Files<'_> = &[("a", OLD), ("s.json", "{\"x\": 1}"), ("b", "x")];
        let mut directory = directory(base, &[file]);
        let changes = carried(&mut directory, base, new).unwrap();
        assert_eq!(changes.conflicts().count(), 1);
        assert!(laid(&directory, new, new).unwrap_err().to_string().contains("is not finished"));
        let (name, (_, text)) = directory.iter().find(|(at, _)| at.as_str().ends_with(".conflict")).unwrap();
        (name.to_string(), String::from_utf8(text.clone()).unwrap(), directory)
    };
    let finished = |mut directory: Directory, new: Files<'_>, name: &str, text: Option<&str>| {
        match text {
            Some(text) => directory.insert(path(name), (Kind::File, text.as_bytes().to_vec())),
            None => directory.remove(name),
        };
        let sides = [new];
        let changes = finish(&made(&directory), &tree(new), &bytes(&sides)).unwrap();
        apply(&mut directory, &changes);
        directory.remove(MANIFEST);
        let files: Vec<String> = directory
            .into_iter()
            .map(|(at, (_, bytes))| format!("{at}: {}", String::from_utf8(bytes).unwrap().escape_debug()))
            .collect();
        (changes.steps.iter().map(line).collect::<Vec<_>>(), files)
    };

    // The same line.
    let new: Files<'_> = &[("a", &theirs), ("s.json", "{\"x\": 1}"), ("b", "x")];
    let (name, marked, directory) = begun(new, ("a.patch", &of_a));
    assert_eq!(name, "a.patch.conflict");
    assert_eq!(
        marked,
        "1\n2\n<<<<<<< overlay o\nmine\n||||||| base 1.0.0\n3\n=======\ntheirs\n>>>>>>> upstream 2.0.0\n4\n5\n6\n7\n8\n9\n"
    );
    let (steps, _) = finished(directory.clone(), new, &name, Some(&marked));
    assert_eq!(steps, ["! a.patch.conflict line 3 is a marker still"]);
    let both = OLD.replace('3', "both");
    let (steps, files) = finished(directory.clone(), new, &name, Some(&both));
    assert_eq!(steps, ["~ a.patch"]);
    assert_eq!(files, [format!("a.patch: {}", patch("a", &theirs, &both).escape_debug())]);
    let (steps, files) = finished(directory.clone(), new, &name, Some(&theirs));
    assert_eq!((steps, files.len()), (vec!["- a it is what upstream ships".to_owned()], 0));
    assert_eq!(finished(directory, new, &name, None), (Vec::new(), Vec::new()));

    // Gone upstream: kept as a whole file, if a person says so.
    let new: Files<'_> = &[("b", "x"), ("s.json", "{\"x\": 1}")];
    let (name, block, directory) = begun(new, ("a.patch", &of_a));
    assert!(
        block.starts_with("<<<<<<< overlay o: upstream removed the file that it changes\n--- a/a\n"),
        "{block}"
    );
    assert!(
        block.ends_with(&mine) && block.contains("\n>>>>>>> overlay o: make of the text below"),
        "{block}"
    );
    let (steps, files) = finished(directory, new, &name, Some(&mine));
    assert_eq!((steps, files), (vec!["~ a".to_owned()], vec![format!("a: {}", mine.escape_debug())]));

    // Binary now: whole.
    let new: Files<'_> = &[("a", "x\0"), ("b", "x"), ("s.json", "{\"x\": 1}")];
    let (name, _, directory) = begun(new, ("a.patch", &of_a));
    assert_eq!(finished(directory, new, &name, Some(&mine)).0, ["~ a"]);

    // Ambiguous: upstream's text below the patch, and no guess.
    let section = "h\nx = 1\nend\n";
    let third = format!("{}h\nx = 2\nend\n{section}", section.repeat(2));
    let (four, five) = (section.repeat(4), section.repeat(5));
    let base: Files<'_> = &[("a", &four)];
    let new: Files<'_> = &[("a", &five)];
    let mut directory = self::directory(base, &[("a.patch", &patch("a", &four, &third))]);
    carried(&mut directory, base, new).unwrap();
    let text = String::from_utf8(directory["a.patch.conflict"].1.clone()).unwrap();
    assert!(
        text.starts_with("<<<<<<< overlay o: hunk 1: ") && text.ends_with(&format!("change\n{five}")),
        "{text}"
    );

    // The same key.
    let new: Files<'_> = &[("a", OLD), ("b", "x"), ("n/s.json", "{\"x\": 1, \"y\": 3, \"z\": 1}")];
    let base: Files<'_> = &[("a", OLD), ("b", "x"), ("s.json", "{\"x\": 1, \"y\": 2, \"z\": 1}")];
    let mut directory = self::directory(base, &[("s.json.merge.json", "{\"y\": 4}\n")]);
    let changes = carried(&mut directory, base, new).unwrap();
    let lines: Vec<String> = changes.steps.iter().map(line).collect();
    // Too short to be alike by lines: gone, as far as anybody can tell.
    assert_eq!(lines, ["! s.json.merge.json.conflict upstream removed the file that it changes"]);
    let new: Files<'_> = &[("a", OLD), ("b", "x"), ("s.json", "{\"x\": 1, \"y\": 3, \"z\": 1}")];
    let mut directory = self::directory(base, &[("s.json.merge.json", "{\"y\": 4}\n")]);
    carried(&mut directory, base, new).unwrap();
    let text = String::from_utf8(directory["s.json.merge.json.conflict"].1.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "// <<<<<<< overlay o: changed by the overlay and by upstream: \"/y\"");
    assert_eq!(
        lines[1..9],
        [
            "// base 1.0.0 has:",
            "// {",
            "//   \"y\": 2",
            "// }",
            "// upstream 2.0.0 has:",
            "// {",
            "//   \"y\": 3",
            "// }"
        ]
    );
    assert!(lines[9].starts_with("// >>>>>>> overlay o: correct the keys below"), "{text}");
    assert_eq!(lines[10], "{\"y\": 4}");
    let name = "s.json.merge.json.conflict";
    let (steps, _) = finished(directory.clone(), new, name, Some(&text));
    assert_eq!(steps, ["! s.json.merge.json.conflict line 1 is a marker still"]);
    let (steps, files) = finished(directory.clone(), new, name, Some("{\"y\": 5}"));
    assert_eq!(
        (steps, files),
        (vec!["~ s.json.merge.json".to_owned()], vec!["s.json.merge.json: {\\\"y\\\": 5}".to_owned()])
    );
    let sides = [new];
    directory.insert(path(name), (Kind::File, b"{".to_vec()));
    let error = finish(&made(&directory), &tree(new), &bytes(&sides)).unwrap_err().to_string();
    assert!(error.starts_with("\"s.json.merge.json.conflict\": the overlay is no JSON"), "{error}");
}

#[test]
fn names_that_mean_something_and_two_files_on_one_path() {
    let base: Files<'_> = &[("x", "1"), ("y", "x")];
    let new: Files<'_> = &[("x.patch", "1"), ("y", "x")];
    let mut moved = directory(base, &[("x", "mine")]);
    carried(&mut moved, base, new).unwrap();
    assert_eq!(made(&moved).manifest.verbatim, [path("x.patch")]);
    assert_eq!(made(&moved).files.keys().map(TreePath::as_str).collect::<Vec<_>>(), ["x.patch"]);
    let back: Files<'_> = &[("x", "1"), ("y", "x")];
    carried(&mut moved, new, back).unwrap();
    assert_eq!(made(&moved).manifest.verbatim, []);
    let mut two = directory(base, &[("x", "mine"), ("z", "mine, too")]);
    let error = carried(&mut two, base, &[("z", "1"), ("y", "x")]).unwrap_err().to_string();
    assert_eq!(error, "x and z end up on z: take one of them out of the overlay, then do it again");
}

proptest! {
    /// What an overlay gave on a version it gives there carried, without a note; where it conflicted it is to be
    /// finished, and not a line of the author's is lost on the way.
    #[test]
    fn a_carried_overlay_gives_what_the_old_one_gave(
        old in text(),
        mine in text(),
        new in text(),
        to in prop::sample::select(vec!["a", "d/a"]),
    ) {
        prop_assume!(old != mine);
        let written = patch("a", &old, &mine);
        let base: Files<'_> = &[("a", &old), ("k", "k")];
        let new: Files<'_> = &[(to, &new), ("k", "k")];
        let mut directory = directory(base, &[("a.patch", &written)]);
        let before = laid(&directory, base, new);
        let changes = carried(&mut directory, base, new).unwrap();
        match before {
            Ok(before) => {
                prop_assert_eq!(changes.conflicts().count(), 0);
                let after = laid(&directory, new, new).unwrap();
                prop_assert_eq!(after.entries, before.entries);
                prop_assert!(after.notes.is_empty());
            }
            Err(_) => {
                let (_, (_, text)) = directory.iter().find(|(at, _)| at.as_str().ends_with(".conflict")).unwrap();
                let text = String::from_utf8(text.clone()).unwrap();
                let kept = |line: &str| text.lines().any(|it| it.trim_start_matches('+') == line.trim_end());
                for line in mine.split_inclusive('\n').filter(|line| !old.contains(*line)) {
                    prop_assert!(kept(line), "{line:?}: {text}");
                }
            }
        }
    }
}

#[test]
fn markers() {
    for (text, expected) in [
        ("a\n<<<<<<< overlay o\n", Some(2)),
        ("a\n<<<<<<<< overlay o\n", Some(2)),
        ("// >>>>>>> overlay o: x\n", Some(1)),
        ("# <<<<<<< overlay o: x\n", Some(1)),
        ("||||||| base 1\n", Some(1)),
        (">>>>>>> upstream 2\n", Some(1)),
        ("=======\nTitle\n", None),
        ("<<<<<< overlay o\n", None),
        ("<<<<<<< HEAD\n", None),
        ("", None),
    ] {
        assert_eq!(marker(text.as_bytes()), expected, "{text:?}");
    }
}
