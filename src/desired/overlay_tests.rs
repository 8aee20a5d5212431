//! Which directories are overlays, and what their files' names mean.

use super::*;

type File<'a> = (&'a str, Kind, &'a [u8]);

fn overlay(files: &[File<'_>]) -> Result<Overlay, String> {
    let path = |text: &str| TreePath::new(text).unwrap();
    let files = files.iter().map(|(at, kind, bytes)| (path(at), (*kind, bytes.to_vec()))).collect();
    Overlay::new("prod".parse().unwrap(), files).map_err(|error| error.to_string())
}

#[test]
fn an_overlay() {
    let manifest = format!(
        "pack = \"slack\"\nremove = [\"a\", \"b/c\"]\nbase = {{ version = \"1.2.0\", tree = \"{}\" }}\n",
        "0f".repeat(32)
    );
    let made = overlay(&[
        ("overlay.toml", Kind::File, manifest.as_bytes()),
        ("src/run", Kind::Exec, b"x"),
        ("sub/overlay.toml", Kind::File, b"a pack's own file"),
    ])
    .unwrap();
    assert_eq!(made.manifest.pack.as_str(), "slack");
    assert_eq!(made.manifest.remove, [TreePath::new("a").unwrap(), TreePath::new("b/c").unwrap()]);
    assert_eq!(made.manifest.base.unwrap().version, "1.2.0");
    assert_eq!(made.files.keys().map(TreePath::as_str).collect::<Vec<_>>(), ["src/run", "sub/overlay.toml"]);
    let short = overlay(&[("overlay.toml", Kind::File, b"pack = \"slack\"")]).unwrap();
    assert_eq!((short.manifest.remove.len(), short.manifest.base), (0, None));
}

#[test]
fn what_is_refused() {
    let good: File<'_> = ("overlay.toml", Kind::File, b"pack = \"slack\"");
    let manifest =
        |text: &'static str| -> [File<'static>; 1] { [("overlay.toml", Kind::File, text.as_bytes())] };
    let cases: [(&[File<'_>], &str); 22] = [
        (&[], "there is no overlay.toml in it"),
        (&[("overlay.toml", Kind::Link, b"x")], "overlay.toml is no text file"),
        (&[("overlay.toml", Kind::File, b"\xff")], "overlay.toml is no text file"),
        (&manifest("pack = \"slack\"\n\nremoves = []\n"), "overlay.toml, line 3: unknown field `removes`"),
        (&manifest("remove = []\n"), "missing field `pack`"),
        (&manifest("pack = \"slack\"\nremove = [1]\n"), "overlay.toml, line 2: "),
        (&manifest("pack = \n"), "overlay.toml, line 1: "),
        (&manifest("pack = \"-x\"\n"), "overlay.toml: pack "),
        (&manifest("pack = \"slack\"\nremove = [\"../x\"]\n"), "overlay.toml: remove: \"../x\""),
        (&manifest("pack = \"slack\"\nbase = { version = \"1\" }\n"), "missing field `tree`"),
        (
            &manifest("pack = \"slack\"\nbase = { version = \"1\", tree = \"12\" }\n"),
            "base.tree \"12\" is no digest",
        ),
        (
            &[good, ("src/x.ts.patch", Kind::File, b"")],
            "\"src/x.ts.patch\" is a patch, and overlay.toml does not",
        ),
        (&[good, ("x.merge.json", Kind::Link, b"y")], "\"x.merge.json\" is a symbolic link"),
        (&[good, ("x.json.merge.toml", Kind::File, b"")], "merges TOML into a file that is JSON"),
        (
            &[good, ("x.merge.json", Kind::File, b"{\"a\": 1, \"a\": 2}")],
            "the overlay has the key \"/a\" twice",
        ),
        (&[good, ("x.merge.json", Kind::File, b"[]")], "the overlay holds no object"),
        (&[good, ("x.merge.toml", Kind::File, b"\xff")], "\"x.merge.toml\" is not UTF-8"),
        (
            &[good, ("x", Kind::File, b""), ("x.merge.json", Kind::File, b"{}")],
            "\"x\" is spoken of twice: by \"x\" and by \"x.merge.json\"",
        ),
        (
            &[
                ("overlay.toml", Kind::File, b"pack = \"slack\"\nremove = [\"d\"]\n"),
                ("d/x.merge.json", Kind::File, b"{}"),
            ],
            "\"d/x\" is spoken of twice: by remove = [\"d\"] and by \"d/x.merge.json\"",
        ),
        (
            &manifest("pack = \"slack\"\nverbatim = [\"x.patch\"]\n"),
            "verbatim names \"x.patch\", and the overlay",
        ),
        (&manifest("pack = \"slack\"\nverbatim = [\"/x\"]\n"), "overlay.toml: verbatim: \"/x\" is absolute"),
        (&[good, ("link", Kind::Link, b"\xff")], "the symbolic link \"link\" is not UTF-8"),
    ];
    for (files, expected) in cases {
        let error = overlay(files).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_names_mean() {
    let base = format!(
        "pack = \"slack\"\nverbatim = [\"own.patch\", \"x.merge.json\"]\nbase = {{ version = \"1.0.0\", tree = \"{}\" }}\n",
        "0f".repeat(32)
    );
    let patch: &[u8] = b"--- a/src/a.ts\n+++ b/src/a.ts\n@@ -1 +1 @@\n-a\n+b\n";
    let manifest: File<'_> = ("overlay.toml", Kind::File, base.as_bytes());
    let made = overlay(&[
        manifest,
        ("src/a.ts.patch", Kind::Exec, patch),
        ("own.patch", Kind::File, b"anything"),
        ("x.merge.json", Kind::Link, b"y"),
        ("settings.json.merge.json", Kind::File, b"{ \"a\": null } // why"),
        ("c.toml.merge.toml", Kind::File, b"[a]\nb = 1\n"),
        ("b.md.patch.conflict", Kind::File, b"<<<<<<<"),
        ("c.md.conflict", Kind::File, b"a pack's own file"),
        (".patch", Kind::File, b"likewise"),
    ])
    .unwrap();
    let names =
        |paths: Vec<&TreePath>| paths.into_iter().map(|path| path.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(names(made.files.keys().collect()), [".patch", "c.md.conflict", "own.patch", "x.merge.json"]);
    assert_eq!(names(made.patches.keys().collect()), ["src/a.ts"]);
    assert_eq!(names(made.merges.keys().collect()), ["c.toml", "settings.json"]);
    assert_eq!(names(made.unfinished.keys().collect()), ["b.md"]);
    let plain = base.replace("verbatim = [\"own.patch\", \"x.merge.json\"]\n", "");
    let other = [("overlay.toml", Kind::File, plain.as_bytes()), ("x.patch", Kind::File, patch)];
    let error = overlay(&other).unwrap_err();
    assert!(error.contains("\"x.patch\": line 1: the patch is for"), "{error}");
    let path = TreePath::new("d/x.json").unwrap();
    for (change, file) in [
        (Change::Patch, "d/x.json.patch"),
        (Change::Merge(Format::Json), "d/x.json.merge.json"),
        (Change::Merge(Format::Toml), "d/x.json.merge.toml"),
    ] {
        assert_eq!(change.file(&path).unwrap().as_str(), file);
        assert_eq!(Change::of(file), Some((path.clone(), change)));
        assert_eq!(change.conflict(&path).unwrap().as_str(), format!("{file}.conflict"));
    }
}
