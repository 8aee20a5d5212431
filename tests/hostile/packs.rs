//! Packs that mean harm, over a host that has a good version already.

use git2::{ObjectType, Oid};
use packfleet::model::Kind;

use crate::repository::Origin;
use crate::world::{World, parts};

const FILE: u32 = 0o100_644;
const TREE: u32 = 0o040_000;
const LINK: u32 = 0o120_000;

/// A commit of a tree, written by hand: git itself would refuse some of them.
pub fn commit(origin: &Origin, tree: Oid) -> String {
    let who = "somebody <somebody@example.org> 1700000000 +0000";
    let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nharm\n");
    origin.repository.odb().unwrap().write(ObjectType::Commit, text.as_bytes()).unwrap().to_string()
}

/// The directory `pack` with one more entry beside a good file.
fn beside(origin: &Origin, mode: u32, name: &[u8], id: Oid) -> Oid {
    let good = origin.blob(b"good\n");
    let inner = origin.raw_tree(&[(FILE, b"good", good), (mode, name, id)]);
    origin.raw_tree(&[(TREE, b"pack", inner)])
}

fn link(origin: &Origin, text: &[u8]) -> Oid {
    beside(origin, LINK, b"link", origin.blob(text))
}

/// Ten trees, each the next one's ten directories.
pub fn bomb(origin: &Origin, inmost: Oid) -> Oid {
    let mut tree = inmost;
    for _ in 0..10 {
        let names: Vec<Vec<u8>> = (0..10).map(|number| format!("d{number}").into_bytes()).collect();
        let entries: Vec<_> = names.iter().map(|name| (TREE, name.as_slice(), tree)).collect();
        tree = origin.raw_tree(&entries);
    }
    origin.raw_tree(&[(TREE, b"pack", tree)])
}

fn nested(origin: &Origin, levels: usize, name: &[u8]) -> Oid {
    let mut tree = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
    for _ in 0..levels {
        tree = origin.raw_tree(&[(TREE, name, tree)]);
    }
    origin.raw_tree(&[(TREE, b"pack", tree)])
}

type Case = (&'static str, &'static str, fn(&Origin) -> Oid);

/// A tree each, and what is said of it.
const CASES: &[Case] = &[
    ("a link to an absolute path", "is absolute", |o| link(o, b"/etc/passwd")),
    ("a link that leaves", "leads out of the tree", |o| link(o, b"../../outside")),
    ("a link into the state directory", "packfleet's own state", |o| link(o, b".packfleet/record")),
    ("a link with an escape sequence", "control character", |o| link(o, b"a\x1b[2J")),
    ("a path through a link", "beneath the symbolic link", |o| {
        let below = o.raw_tree(&[(FILE, b"x", o.blob(b"x"))]);
        let inner = o.raw_tree(&[(LINK, b"a", o.blob(b"b")), (TREE, b"a", below)]);
        o.raw_tree(&[(TREE, b"pack", inner)])
    }),
    ("..", "component \"..\"", |o| beside(o, FILE, b"..", o.blob(b"x"))),
    (".", "component \".\"", |o| beside(o, FILE, b".", o.blob(b"x"))),
    (".git", "means .git", |o| beside(o, FILE, b".git", o.blob(b"x"))),
    ("git~1", "means .git", |o| beside(o, FILE, b"git~1", o.blob(b"x"))),
    ("a hidden .git", "means .git", |o| beside(o, FILE, ".g\u{200c}it".as_bytes(), o.blob(b"x"))),
    ("an absolute name", "holds a slash", |o| beside(o, FILE, b"/etc/passwd", o.blob(b"x"))),
    ("the state directory", "packfleet's own state", |o| beside(o, FILE, b".packfleet", o.blob(b"x"))),
    ("no UTF-8", "not UTF-8", |o| beside(o, FILE, b"latin-\xe4", o.blob(b"x"))),
    ("an escape sequence", "control character", |o| beside(o, FILE, b"a\x1b[2Jb", o.blob(b"x"))),
    ("a long name", "too long", |o| beside(o, FILE, &[b'x'; 256], o.blob(b"x"))),
    ("letter case", "\"GOOD\" and \"good\" differ in letter case", |o| {
        beside(o, FILE, b"GOOD", o.blob(b"x"))
    }),
    ("a submodule", "is a submodule", |o| beside(o, 0o160_000, b"sub", o.blob(b"x"))),
    ("group may write", "has the mode 100664", |o| beside(o, 0o100_664, b"f", o.blob(b"x"))),
    ("set-uid", "has the mode 104755", |o| beside(o, 0o104_755, b"f", o.blob(b"x"))),
    ("a device", "has the mode 020000", |o| beside(o, 0o020_000, b"f", o.blob(b"x"))),
    ("Git LFS", "is a Git LFS pointer", |o| {
        let text = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        beside(o, FILE, b"big.bin", o.blob(text))
    }),
    ("no such directory", "no directory \"pack\"", |o| o.raw_tree(&[(FILE, b"else", o.blob(b"x"))])),
    ("a file in its place", "no directory \"pack\"", |o| o.raw_tree(&[(FILE, b"pack", o.blob(b"x"))])),
    ("a link in its place", "no directory \"pack\"", |o| o.raw_tree(&[(LINK, b"pack", o.blob(b"x"))])),
    ("an empty directory", "is empty", |o| {
        let empty = o.raw_tree(&[]);
        o.raw_tree(&[(TREE, b"pack", empty)])
    }),
    ("ten thousand million files", "limits.entries", |o| bomb(o, o.raw_tree(&[(FILE, b"x", o.blob(b"x"))]))),
    ("ten thousand million directories", "limits.entries", |o| bomb(o, o.raw_tree(&[]))),
    ("too deep", "limits.depth", |o| nested(o, 300, b"d")),
    ("a long path", "is too long", |o| nested(o, 20, &[b'd'; 250])),
    ("a large file", "limits.file", |o| beside(o, FILE, b"large", o.blob(&vec![0; (2 << 20) + 1]))),
    ("large files", "limits.bytes", |o| {
        let blob = o.blob(&vec![0; 1 << 20]);
        let names: Vec<Vec<u8>> = (0..9).map(|number| format!("f{number}").into_bytes()).collect();
        let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_slice(), blob)).collect();
        let inner = o.raw_tree(&entries);
        o.raw_tree(&[(TREE, b"pack", inner)])
    }),
];

/// Each on a branch of its own, with a deployment that follows it: all of them hold, each says why in one line, and no
/// byte of any changes.
#[test]
fn what_is_refused_leaves_the_last_good_tree() {
    let world = World::new();
    let origin = world.origin("packs.git");
    let good = commit(&origin, beside(&origin, FILE, b"other", origin.blob(b"other\n")));
    let mut fleet = "fleet.name = 'f'\nlimits = { entries = 2000, file = '2MiB', bytes = '8MiB' }\n\
                     sources.s.url = 'packs.git'\npacks.p = { source = 's', dir = 'pack', target = 'p' }\n"
        .to_owned();
    for number in 0..CASES.len() {
        origin.set(&format!("heads/b{number}"), &good);
        fleet.push_str(&format!(
            "deployments.d{number} = {{ host = 'local', root = 'live/d{number}', packs.p = {{ branch = 'b{number}' }} }}\n"
        ));
    }
    world.write("fleet.toml", fleet);
    world.ends(0, &["apply", "--yes"]);
    let before = world.tree("live");
    assert_eq!(before["d0/p/good"].1, b"good\n");
    for (number, (_, _, make)) in CASES.iter().enumerate() {
        origin.set(&format!("heads/b{number}"), &commit(&origin, make(&origin)));
    }
    let planned = world.ends(3, &["plan"]);
    let parts = parts(&planned.all);
    for (number, (name, expected, _)) in CASES.iter().enumerate() {
        let part = parts.get(&format!("d{number}")).unwrap_or_else(|| panic!("{name}: {}", planned.all));
        let why = part.lines().filter(|line| line.trim_start().starts_with("X ")).collect::<Vec<_>>();
        assert!(why.len() == 1 && why[0].contains(expected), "{name}: {part}");
    }
    let applied = world.ends(3, &["apply", "--yes"]);
    assert!(!applied.all.contains(" applied "), "{}", applied.all);
    assert_eq!(world.tree("live"), before);
}

/// What a source no longer gives takes nothing away.
#[test]
fn a_source_that_fails_leaves_the_last_good_tree() {
    type Spoil = fn(&World, &str, &Origin);
    let spoils: &[(&str, &str, &str, Spoil)] = &[
        ("gone", "branch = 'main'", "cannot reach", |world, name, _| {
            std::fs::rename(world.path(name), world.path(&format!("{name}.away"))).unwrap();
        }),
        ("no-refs", "branch = 'main'", "lists no branch and no tag", |_, _, origin| {
            origin.delete("heads/main");
            origin.delete("tags/v1.0.0");
        }),
        ("no-branch", "branch = 'main'", "no branch", |_, _, origin| origin.delete("heads/main")),
        ("no-tag", "tag = 'v1.0.0'", "v1.0.0", |_, _, origin| origin.delete("tags/v1.0.0")),
        ("no-range", "version = '1'", "no tag", |_, _, origin| origin.delete("tags/v1.0.0")),
        ("tag-moved", "tag = 'v1.0.0'", "moved", |_, _, origin| {
            let other = origin.commit(&[("pack/good", Kind::File, b"other")]);
            origin.set("tags/v1.0.0", other.as_str());
        }),
        ("tag-of-a-file", "tag = 'v2.0.0'", "v2.0.0", |_, _, origin| {
            origin.set("tags/v2.0.0", &origin.blob(b"x").to_string());
        }),
        ("no-blob", "branch = 'main'", "X ", |_, _, origin| {
            let nobody = Oid::from_str("0123456789012345678901234567890123456789").unwrap();
            origin.set("heads/main", &commit(origin, beside(origin, FILE, b"lost", nobody)));
        }),
        ("no-name", "branch = 'main'", "X ", |_, _, origin| {
            origin.set("heads/main", &commit(origin, beside(origin, FILE, b"", origin.blob(b"x"))));
        }),
        ("no-tree", "branch = 'main'", "X ", |_, _, origin| {
            let odb = origin.repository.odb().unwrap();
            let short = odb.write(ObjectType::Tree, b"100644 a\0short").unwrap();
            let top = origin.raw_tree(&[(TREE, b"pack", short)]);
            origin.set("heads/main", &commit(origin, top));
        }),
        ("a-file-as-tree", "branch = 'main'", "X ", |_, _, origin| {
            let top = origin.raw_tree(&[(TREE, b"pack", origin.blob(b"x"))]);
            origin.set("heads/main", &commit(origin, top));
        }),
    ];
    let world = World::new();
    let mut fleet = "fleet.name = 'f'\n".to_owned();
    let mut origins = Vec::new();
    for (name, pin, ..) in spoils {
        let origin = world.origin(&format!("{name}.git"));
        let good =
            origin.commit(&[("pack/good", Kind::File, b"good\n"), ("pack/d/more", Kind::File, b"more\n")]);
        for reference in ["heads/main", "heads/other", "tags/v1.0.0"] {
            origin.set(reference, good.as_str());
        }
        if *name == "no-refs" {
            origin.delete("heads/other");
        }
        if pin.contains("v2") {
            origin.set("tags/v2.0.0", good.as_str());
        }
        origins.push(origin);
        fleet.push_str(&format!(
            "sources.{name}.url = '{name}.git'\npacks.{name} = {{ source = '{name}', dir = 'pack', target = 'p' }}\n\
             deployments.{name} = {{ host = 'local', root = 'live/{name}', packs.{name} = {{ {pin} }} }}\n"
        ));
    }
    world.write("fleet.toml", fleet);
    world.ends(0, &["apply", "--yes"]);
    let before = world.tree("live");
    for ((name, _, _, spoil), origin) in spoils.iter().zip(&origins) {
        spoil(&world, &format!("{name}.git"), origin);
    }
    let planned = world.ends(3, &["plan"]);
    let parts = parts(&planned.all);
    for (name, _, expected, _) in spoils {
        let part = parts.get(*name).unwrap_or_else(|| panic!("{name}: {}", planned.all));
        assert!(part.contains("held") && part.contains(expected), "{name}: {part}");
    }
    world.ends(3, &["apply", "--yes"]);
    assert_eq!(world.tree("live"), before);
}

/// What only looks odd arrives byte for byte, and a file may become a directory, a link a file, and back.
#[test]
fn odd_packs_arrive_exactly() {
    let versions: [&[(&str, Kind, &[u8])]; 3] = [
        &[
            (" both ends ", Kind::File, b"x"),
            ("-rf", Kind::File, b"x"),
            (".gitattributes", Kind::File, b"* text=auto eol=crlf\n* export-ignore\n*.lfs filter=lfs\n"),
            (".gitignore", Kind::File, b"*\n"),
            ("\"quoted\" 'name' \\ $(x) `y` %s", Kind::File, b"x"),
            ("\u{e4}\u{4e2d}\u{1f980}", Kind::File, b"x"),
            ("crlf", Kind::File, b"a\r\nb\r\n"),
            ("dangling", Kind::Link, b"not/there"),
            ("empty", Kind::File, b""),
            ("run.sh", Kind::Exec, b"#!/bin/sh\n$Id$\n"),
            ("src/link", Kind::Link, b"../run.sh"),
            ("turns", Kind::File, b"a file"),
            ("was-link", Kind::Link, b"empty"),
            ("zero", Kind::File, b"\0\xff binary"),
        ],
        &[
            ("turns/into/a", Kind::File, b"directory"),
            ("was-link", Kind::File, b"a file"),
            ("empty", Kind::File, b""),
            ("src", Kind::Link, b"turns"),
        ],
        &[
            ("turns", Kind::Link, b"was-link"),
            ("was-link", Kind::Exec, b"a file"),
            ("src/f", Kind::File, b"f"),
        ],
    ];
    let world = World::new();
    let origin = world.origin("packs.git");
    world.write(
        "fleet.toml",
        "fleet.name = 'f'\nbudget = { max_delete = '100%', max_change = '100%' }\nsources.s.url = 'packs.git'\npacks.p = { source = 's', dir = 'pack', target = '.' }\n\
         deployments.d = { host = 'local', root = 'live', packs.p = { branch = 'main' } }\n",
    );
    // There and back again.
    for version in [0, 1, 2, 1, 0] {
        let files: Vec<(String, Kind, &[u8])> = versions[version]
            .iter()
            .map(|(path, kind, bytes)| (format!("pack/{path}"), *kind, *bytes))
            .collect();
        let files: Vec<_> = files.iter().map(|(path, kind, bytes)| (path.as_str(), *kind, *bytes)).collect();
        let commit = origin.commit(&files);
        origin.set("heads/main", commit.as_str());
        world.ends(0, &["apply", "--yes"]);
        let mut expected: Vec<(String, Kind, Vec<u8>)> = versions[version]
            .iter()
            .map(|(path, kind, bytes)| ((*path).to_owned(), *kind, bytes.to_vec()))
            .collect();
        expected.sort();
        let found: Vec<(String, Kind, Vec<u8>)> = world
            .tree("live")
            .into_iter()
            .filter(|(path, (mode, _))| !path.starts_with(".packfleet") && mode & 0o170_000 != 0o040_000)
            .map(|(path, (mode, bytes))| match mode & 0o170_000 {
                0o120_000 => (path, Kind::Link, bytes),
                _ => (path, Kind::regular(mode & 0o100 != 0), bytes),
            })
            .collect();
        assert_eq!(found, expected);
    }
}
