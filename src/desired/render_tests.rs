//! Rendering: what comes out, what is refused, and that order does not matter.

use proptest::prelude::*;

use super::*;
use crate::desired::overlay::{Manifest, Overlay};
use crate::model::pack::{Case, Install, TagPattern};
use crate::model::{Entry, Tree};

type File<'a> = (&'a str, Kind, &'a str);

/// Whole files need no bytes of the pack, and no base.
fn render(
    pack: &Pack,
    tree: &[PackEntry],
    commit: Option<&CommitId>,
    overlays: &[Overlay],
) -> Result<Rendered, RenderError> {
    let layers: Vec<Layer<'_>> = overlays.iter().map(|overlay| Layer { overlay, base: None }).collect();
    super::render(pack, tree, commit, &layers, &|_| panic!("bytes were asked for"))
}

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn pack(install: &[(&str, &str)]) -> Pack {
    let side = |text: &str| (text != ".").then(|| path(text));
    Pack {
        name: "slack".parse().unwrap(),
        source: "packs".parse().unwrap(),
        dir: None,
        aliases: Vec::new(),
        tag: TagPattern::default(),
        install: InstallMap(
            install.iter().map(|(from, to)| Install { from: side(from), to: side(to) }).collect(),
        ),
        host_owns: Vec::new(),
        host_keys: Vec::new(),
        modes: Modes::default(),
        case: Case::default(),
        requires: Vec::new(),
        version_key: "slack_version".into(),
        checks: Vec::new(),
        atomic: true,
        care: Default::default(),
    }
}

fn tree(files: &[File<'_>]) -> Vec<PackEntry> {
    let mut tree: Vec<PackEntry> = files
        .iter()
        .map(|(at, kind, bytes)| PackEntry {
            path: path(at),
            kind: *kind,
            content: Content::of(bytes.as_bytes()),
            size: bytes.len() as u64,
            link: (*kind == Kind::Link).then(|| (*bytes).into()),
        })
        .collect();
    tree.sort_by(|left, right| left.path.cmp(&right.path));
    tree
}

fn overlay(name: &str, remove: &[&str], files: &[File<'_>]) -> Overlay {
    let file = |(at, kind, bytes): &File<'_>| (path(at), (*kind, bytes.as_bytes().to_vec()));
    Overlay {
        name: name.parse().unwrap(),
        manifest: Manifest {
            pack: "slack".parse().unwrap(),
            remove: remove.iter().map(|at| path(at)).collect(),
            verbatim: Vec::new(),
            base: None,
        },
        files: files.iter().map(file).collect(),
        patches: BTreeMap::new(),
        merges: BTreeMap::new(),
        unfinished: BTreeMap::new(),
    }
}

/// One line per entry: kind, path, bytes' first digits, `h` for host-owned, `o` for bytes of an overlay.
fn lines(rendered: &Rendered) -> Vec<String> {
    rendered
        .entries
        .iter()
        .map(|(path, desired)| {
            let kind = desired.entry.kind.letter() as char;
            let host = if desired.host_owned { " h" } else { "" };
            let overlay = if rendered.overlay_bytes.contains_key(&desired.entry.content) { " o" } else { "" };
            assert_eq!(desired.commit.is_none(), !overlay.is_empty(), "{path}");
            format!("{kind} {path}{host}{overlay}")
        })
        .collect()
}

const SLACK: &[File<'_>] = &[
    ("SKILL.md", Kind::File, "skill"),
    ("README.md", Kind::File, "read me"),
    ("src/Server.ts", Kind::Exec, "server"),
    ("src/.env", Kind::File, "example"),
    ("src/Workflows/Post.md", Kind::File, "post"),
    ("src/latest", Kind::Link, "Server.ts"),
];
const MAP: &[(&str, &str)] =
    &[("src", "s/Tools"), ("src/Workflows", "s/Workflows"), ("SKILL.md", "s/SKILL.md")];

fn commit() -> CommitId {
    CommitId::new(&"1".repeat(40)).unwrap()
}

#[test]
fn a_pack_goes_where_its_map_says() {
    let mut slack = pack(MAP);
    slack.host_owns = vec![".env".into()];
    let rendered = render(&slack, &tree(SLACK), Some(&commit()), &[]).unwrap();
    assert_eq!(
        lines(&rendered),
        [
            "f s/SKILL.md",
            "f s/Tools/.env h",
            "x s/Tools/Server.ts",
            "l s/Tools/latest",
            "f s/Workflows/Post.md"
        ]
    );
    assert!(rendered.entries.values().all(|desired| desired.commit == Some(commit())));
    let entry = |it: &PackEntry| (it.path.clone(), Entry { kind: it.kind, content: it.content });
    let whole = Tree(tree(SLACK).iter().map(entry).collect());
    assert_eq!(rendered.tree, whole.digest());

    slack.modes = Modes::Ignore;
    let ignored = render(&slack, &tree(SLACK), Some(&commit()), &[]).unwrap();
    assert!(lines(&ignored).contains(&"f s/Tools/Server.ts".to_owned()));
    assert_eq!(ignored.tree, rendered.tree, "identity is the tree's, whatever counts");

    let directory = render(&pack(&[(".", ".")]), &tree(&[("a", Kind::File, "x")]), None, &[]).unwrap();
    assert_eq!(directory.entries[&path("a")].commit, None);
    assert!(directory.overlay_bytes.is_empty());
}

#[test]
fn overlays_replace_add_and_remove_in_order() {
    let first = overlay(
        "first",
        &["src/Workflows", "README.md"],
        &[
            ("src/Server.ts", Kind::File, "mine"),
            ("src/Workflows/New.md", Kind::Exec, "new"),
            ("src/link", Kind::Link, "Server.ts"),
        ],
    );
    let second = overlay("second", &["src/latest"], &[("src/Server.ts", Kind::Exec, "theirs")]);
    let render = |overlays: &[Overlay]| render(&pack(MAP), &tree(SLACK), Some(&commit()), overlays).unwrap();
    let plain = render(&[]);
    let both = render(&[first.clone(), second.clone()]);
    assert_eq!(
        lines(&both),
        [
            "f s/SKILL.md",
            "f s/Tools/.env",
            "x s/Tools/Server.ts o",
            "l s/Tools/link o",
            "x s/Workflows/New.md o"
        ]
    );
    assert_eq!(both.overlay_bytes[&Content::of(b"theirs")], b"theirs");
    assert!(!both.overlay_bytes.contains_key(&Content::of(b"mine")), "what nothing holds is not kept");
    assert_eq!(both.tree, plain.tree, "before overlays");
    assert_ne!(render(&[second, first]).entries, both.entries);
    // A file becomes a directory.
    let turn = overlay("turn", &["SKILL.md"], &[("SKILL.md/part", Kind::File, "p")]);
    assert!(lines(&render(&[turn])).contains(&"f s/SKILL.md/part o".to_owned()));
}

#[test]
fn what_is_refused() {
    let file = |at| (at, Kind::File, "x");
    let link = |at, text| (at, Kind::Link, text);
    let long = "d/".repeat(1998) + "x";
    type Refusal<'a> = (&'a [(&'a str, &'a str)], Vec<File<'a>>, Vec<Overlay>, &'a str);
    let cases: Vec<Refusal<'_>> = vec![
        (&[("src", "a"), ("gone", "b")], vec![file("src/x")], vec![], "the pack has no \"gone\""),
        // An overlay may bring what a key names, or empty it.
        (&[("src", "a"), ("new", "b")], vec![file("src/x")], vec![overlay("o", &[], &[file("new/y")])], ""),
        (&[("src", "a"), ("b", "b")], vec![file("src/x"), file("b")], vec![overlay("o", &["b"], &[])], ""),
        (
            &[("src", "a")],
            vec![file("src/x")],
            vec![overlay("o", &["y"], &[])],
            "overlay o removes \"y\", which is not",
        ),
        (&[("src", "a")], vec![file("src/x")], vec![overlay("o", &["sr"], &[])], "overlay o removes \"sr\""),
        (
            &[("src", "a")],
            vec![file("src/x")],
            vec![overlay("o", &[], &[file("y")])],
            "\"y\" of overlay o maps nowhere",
        ),
        (
            &[("src", "a")],
            vec![file("src/x")],
            vec![overlay("o", &["src"], &[])],
            "nothing would be installed",
        ),
        (
            &[("src", "a"), ("b", "a/x")],
            vec![file("src/x"), file("b")],
            vec![],
            "\"b\" and \"src/x\" both go to \"a/x\"",
        ),
        (
            &[("src", "a"), ("b", "a/x")],
            vec![file("src/x"), file("b/y")],
            vec![],
            "\"a/x\" is both a file and the directory of \"a/x/y\"",
        ),
        (
            &[("l", "a"), ("b", "a/y")],
            vec![link("l", "a/q"), file("b")],
            vec![],
            "\"a/y\" lies beneath the symbolic link \"a\"",
        ),
        (
            &[("src", "a"), ("b", "A")],
            vec![file("src/x"), file("b")],
            vec![],
            "\"A\" and \"a\" differ in letter case only",
        ),
        (
            &[(".", "a")],
            vec![file("README.md")],
            vec![overlay("o", &[], &[file("readme.md")])],
            "differ in letter case only",
        ),
        (&[(".", "long/name")], vec![file(&long)], vec![], "cannot be installed"),
        (&[("b", ".")], vec![file("b")], vec![], "\"b\" cannot be installed"),
        (&[(".", "a")], vec![link("x", "..")], vec![], "leads out of the tree"),
        (&[(".", "a")], vec![link("x", "../ab")], vec![], "leads out of the tree"),
        (&[(".", "a/b")], vec![link("x", "../c")], vec![], "\"a/b/x\" -> \"../c\" leads out of the tree"),
        (
            &[("src", "a"), ("lib", "b")],
            vec![file("lib/y"), link("src/x", "../lib/y")],
            vec![],
            "leads out of the tree",
        ),
        (&[("src", "a"), ("lib", "lib")], vec![file("lib/y"), link("src/x", "../lib/y")], vec![], ""),
        (&[("src", "s/T"), ("S", "s/S")], vec![file("S"), link("src/x", "../S")], vec![], ""),
        (&[(".", "a")], vec![file("f")], vec![overlay("o", &[], &[link("x", "/etc/passwd")])], "is absolute"),
        (
            &[(".", "a")],
            vec![file("f")],
            vec![overlay("o", &[], &[link("x", "../b")])],
            "leads out of the tree",
        ),
        (&[(".", ".")], vec![link("x", ".packfleet/record")], vec![], "packfleet's own state"),
        (&[(".", "a")], vec![link("x", "not/there"), link("y", "x"), link("z", ".")], vec![], ""),
        // Lexically within, and out by way of another link of the pack.
        (
            &[(".", "a")],
            vec![link("d/e/up", "../.."), link("x", "d/e/up/../y")],
            vec![],
            "leads out of the tree",
        ),
    ];
    for (install, files, overlays, expected) in cases {
        let found = render(&pack(install), &tree(&files), Some(&commit()), &overlays);
        match (expected, found) {
            ("", found) => assert!(found.is_ok(), "{files:?}: {found:?}"),
            (expected, Err(error)) => {
                assert!(error.to_string().contains(expected), "{files:?}: {error}\n{expected}")
            }
            (expected, Ok(found)) => panic!("{files:?}: {expected}: {:?}", lines(&found)),
        }
    }
    let mut other = overlay("o", &[], &[file("x")]);
    other.manifest.pack = "core".parse().unwrap();
    let error = render(&pack(&[(".", "a")]), &tree(&[file("x")]), None, &[other]).unwrap_err();
    assert_eq!(error.to_string(), "overlay o is for pack core");
    let mut distinct = pack(&[(".", "a")]);
    distinct.case = Case::Distinct;
    assert!(render(&distinct, &tree(&[file("x"), file("X")]), None, &[]).is_ok());
}

fn files() -> impl Strategy<Value = BTreeMap<String, (Kind, String)>> {
    let name = prop::sample::select(vec!["a", "b", "c"]);
    let path = prop::collection::vec(name, 1..4).prop_map(|names| names.join("/"));
    let kind = prop::sample::select(vec![Kind::File, Kind::Exec]);
    prop::collection::btree_map(path, (kind, "[xyz]{0,2}"), 1..8)
}

proptest! {
    #[test]
    fn rendering_depends_on_nothing_but_its_input(files in files(), overlaid in files(), turn in any::<prop::sample::Index>()) {
        let list = |files: &BTreeMap<String, (Kind, String)>| -> Vec<PackEntry> {
            files
                .iter()
                .map(|(at, (kind, bytes))| PackEntry {
                    path: path(at),
                    kind: *kind,
                    content: Content::of(bytes.as_bytes()),
                    size: bytes.len() as u64,
                    link: None,
                })
                .collect()
        };
        let tree = list(&files);
        let mut turned = tree.clone();
        turned.rotate_left(turn.index(tree.len()));
        let overlay = Overlay {
            name: "o".parse().unwrap(),
            manifest: Manifest {
                pack: "slack".parse().unwrap(),
                remove: Vec::new(),
                verbatim: Vec::new(),
                base: None,
            },
            patches: BTreeMap::new(),
            merges: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            files: overlaid.iter().map(|(at, (kind, bytes))| (path(at), (*kind, bytes.clone().into_bytes()))).collect(),
        };
        let pack = pack(&[(".", "t"), ("a", "u")]);
        let overlays = [overlay];
        for overlays in [&overlays[..], &[]] {
            let one = render(&pack, &tree, Some(&commit()), overlays);
            prop_assert_eq!(&one, &render(&pack, &turned, Some(&commit()), overlays));
            if let Ok(rendered) = one {
                for (path, desired) in &rendered.entries {
                    let known = rendered.overlay_bytes.get(&desired.entry.content);
                    prop_assert!(desired.commit.is_some() || known.is_some());
                    prop_assert!(path.as_str().starts_with("t/") || path.as_str().starts_with("u"));
                    prop_assert!(path.ancestors().all(|above| !rendered.entries.contains_key(&above)));
                }
            }
        }
    }
}
