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
    let cases: [(&[File<'_>], &str); 12] = [
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
        (&[good, ("link", Kind::Link, b"\xff")], "the symbolic link \"link\" is not UTF-8"),
    ];
    for (files, expected) in cases {
        let error = overlay(files).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}
