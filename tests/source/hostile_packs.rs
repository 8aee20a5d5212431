//! Packs that mean harm, as git can carry them: tree objects that git itself would never write.
//!
//! Each is refused with one line that names the thing, escaped; and packs that only look odd are served
//! byte for byte.

use git2::Oid;
use packfleet::model::fleet::{Limits, Url};
use packfleet::model::pack::CommitId;
use packfleet::model::{Content, Kind};
use packfleet::source::{GitSource, PackSource, PackTree, SourceError, TreeRules};

use crate::repository::Origin;
use crate::{dir, rules, temp};

const FILE: u32 = 0o100_644;
const TREE: u32 = 0o040_000;

/// Fetches what `make` commits and asks for its tree.
fn found(rules: &TreeRules, make: impl FnOnce(&Origin) -> Oid) -> Result<PackTree, SourceError> {
    let (_temp, path) = temp();
    let origin = Origin::new(&path.join("origin.git"));
    // Libgit2 refuses to commit some of these trees: write the commit object by hand.
    let tree = make(&origin);
    let who = "somebody <somebody@example.org> 1700000000 +0000";
    let text = format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nharm\n");
    let odb = origin.repository.odb().unwrap();
    let commit = odb.write(git2::ObjectType::Commit, text.as_bytes()).unwrap();
    origin.set("heads/main", &commit.to_string());
    let source = GitSource::open(&path.join("cache"), &Url::new(origin.dir.as_str()));
    source.refresh()?;
    let found = source.tree(Some(&CommitId::new(&commit.to_string()).unwrap()), &[None], rules);
    // Of this whole process, its other tests included.
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 << 10, "{peak} kB of memory");
    found
}

fn refused(name: &str, expected: &str, make: impl FnOnce(&Origin) -> Oid) {
    match found(&rules(), make) {
        Err(SourceError::Refused(text)) => {
            assert!(text.contains(expected), "{name}: {text}");
            assert!(!text.chars().any(char::is_control), "{name}: {text:?}");
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn names_that_escape_or_hide() {
    for (name, expected) in [
        (&b".."[..], "component \"..\""),
        (b".", "component \".\""),
        (b".git", "means .git"),
        (b".GIT", "means .git"),
        (b"git~1", "means .git"),
        (b".git ", "means .git"),
        (b".git::$INDEX_ALLOCATION", "means .git"),
        (".g\u{200c}it".as_bytes(), "means .git"),
        (b"../../etc/passwd", "holds a slash"),
        (b"a/b", "holds a slash"),
        (b"/etc/passwd", "holds a slash"),
        (b".packfleet", "packfleet's own state"),
        (b".PackFleet", "packfleet's own state"),
        (b"a\x1b[2Jb", "control character"),
        (b"line\nbreak", "control character"),
        ("next\u{85}line".as_bytes(), "control character"),
        (b"latin-\xe4", "latin-\\xe4"),
        (b"\xff\xfe", "not UTF-8"),
        (&[b'x'; 256], "too long"),
    ] {
        let shown = String::from_utf8_lossy(name).into_owned();
        refused(&shown, expected, |origin| origin.raw_tree(&[(FILE, name, origin.blob(b"x"))]));
        // As a directory, one level down.
        refused(&shown, expected, |origin| {
            let inner = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
            let outer = origin.raw_tree(&[(TREE, name, inner)]);
            origin.raw_tree(&[(TREE, b"d", outer)])
        });
    }
}

#[test]
fn an_empty_name_is_never_read() {
    let outcome = found(&rules(), |origin| origin.raw_tree(&[(FILE, b"", origin.blob(b"x"))]));
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn a_tree_that_is_no_tree_is_an_error() {
    let outcome = found(&rules(), |origin| {
        origin.repository.odb().unwrap().write(git2::ObjectType::Tree, b"100644 a\0short").unwrap()
    });
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn one_name_twice() {
    refused("twice", "\"a\" is there twice", |origin| {
        origin.raw_tree(&[(FILE, b"a", origin.blob(b"1")), (FILE, b"a", origin.blob(b"2"))])
    });
    refused("file and directory", "\"a\" is both a file and the directory of \"a/x\"", |origin| {
        let inner = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
        origin.raw_tree(&[(FILE, b"a", origin.blob(b"1")), (TREE, b"a", inner)])
    });
    refused("link and directory", "\"a/x\" lies beneath the symbolic link \"a\"", |origin| {
        let inner = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
        origin.raw_tree(&[(0o120_000, b"a", origin.blob(b"b")), (TREE, b"a", inner)])
    });
}

#[test]
fn letter_case_names_both() {
    let make = |origin: &Origin| {
        origin.tree(&[("Docs/a", Kind::File, b"1"), ("docs/b", Kind::File, b"2"), ("x", Kind::File, b"3")])
    };
    refused("directories", "\"Docs\" and \"docs\" differ in letter case only", make);
    let distinct = TreeRules { distinct: true, ..rules() };
    assert_eq!(found(&distinct, make).unwrap().entries.len(), 3);
    refused("normalisation", "differ in letter case only", |origin| {
        origin.tree(&[("\u{e9}", Kind::File, b"1"), ("e\u{301}", Kind::File, b"2")])
    });
}

#[test]
fn links_that_leave() {
    let long = "x/".repeat(2001);
    for (text, expected) in [
        (&b"/etc/passwd"[..], "is absolute"),
        (b"..", "leads out of the tree"),
        (b"../outside", "leads out of the tree"),
        (b"d/../../outside", "leads out of the tree"),
        (b"up/../../outside", "leads out of the tree"),
        (b"d/e/up/../outside", "leads out of the tree"),
        (b".packfleet/record", "packfleet's own state"),
        (b"", "is empty"),
        (b"a\x1b[2J", "control character"),
        (b"\xff", "not UTF-8"),
        (long.as_bytes(), "longer than 4000 bytes"),
    ] {
        let shown = String::from_utf8_lossy(text).chars().take(40).collect::<String>();
        refused(&shown, expected, |origin| {
            origin.tree(&[
                ("a", Kind::Link, text),
                ("d/e/up", Kind::Link, b"../.."),
                ("d/e/f", Kind::File, b"f"),
                ("up", Kind::Link, b"d/.."),
            ])
        });
    }
}

#[test]
fn modes() {
    for (mode, expected) in [
        (0o160_000, "\"a\" is a submodule"),
        (0o100_664, "\"a\" has the mode 100664"),
        (0o100_600, "\"a\" has the mode 100600"),
        (0o104_755, "\"a\" has the mode 104755"),
        (0o020_000, "\"a\" has the mode 020000"),
        (0o010_644, "\"a\" has the mode 010644"),
        (0, "\"a\" has the mode 000000"),
    ] {
        refused("mode", expected, |origin| origin.raw_tree(&[(mode, b"a", origin.blob(b"x"))]));
    }
    // A file mode on a tree, and the other way round: no bytes come of it.
    let outcome = found(&rules(), |origin| {
        let tree = origin.tree(&[("x", Kind::File, b"x")]);
        origin.raw_tree(&[(FILE, b"a", tree)])
    });
    assert!(outcome.is_err(), "{outcome:?}");
    let outcome = found(&rules(), |origin| origin.raw_tree(&[(TREE, b"a", origin.blob(b"x"))]));
    assert!(outcome.is_err(), "{outcome:?}");
}

#[test]
fn content_that_is_elsewhere() {
    refused("lfs", "\"big.bin\" is a Git LFS pointer", |origin| {
        let text = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
        origin.tree(&[("big.bin", Kind::File, text)])
    });
}

#[test]
fn nothing_to_install() {
    refused("empty", "is empty", |origin| origin.raw_tree(&[]));
    refused("directories only", "is empty", |origin| {
        let empty = origin.raw_tree(&[]);
        origin.raw_tree(&[(TREE, b"a", empty)])
    });
    let (_temp, path) = temp();
    let origin = Origin::new(&path.join("origin.git"));
    let commit = origin.commit(&[("file", Kind::File, b"x"), ("link", Kind::Link, b"file")]);
    origin.set("heads/main", commit.as_str());
    let source = GitSource::open(&path.join("cache"), &Url::new(origin.dir.as_str()));
    source.refresh().unwrap();
    for missing in ["missing", "file", "link", "file/below"] {
        let outcome = source.tree(Some(&commit), &[dir(missing)], &rules());
        let Err(SourceError::Refused(text)) = outcome else { panic!("{missing}: {outcome:?}") };
        assert!(text.contains(&format!("no directory {missing:?}")), "{text}");
    }
}

fn bomb(name: &str, expected: &str, make: impl FnOnce(&Origin) -> Oid) {
    let limits = Limits { entries: 2_000, ..Limits::default() };
    let outcome = found(&TreeRules { limits, distinct: false }, make);
    assert!(outcome.as_ref().is_err_and(|error| error.to_string().contains(expected)), "{name}: {outcome:?}");
}

#[test]
fn bombs_are_cut_short() {
    // Ten trees, each the next one's ten directories: 10^10 paths in eleven objects.
    bomb("files", "limits.entries", |origin| {
        let mut tree = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
        for _ in 0..10 {
            let names: Vec<Vec<u8>> = (0..10).map(|number| format!("d{number}").into_bytes()).collect();
            let entries: Vec<_> = names.iter().map(|name| (TREE, name.as_slice(), tree)).collect();
            tree = origin.raw_tree(&entries);
        }
        tree
    });
    bomb("directories", "limits.entries", |origin| {
        let mut tree = origin.raw_tree(&[]);
        for _ in 0..10 {
            let names: Vec<Vec<u8>> = (0..10).map(|number| format!("d{number}").into_bytes()).collect();
            let entries: Vec<_> = names.iter().map(|name| (TREE, name.as_slice(), tree)).collect();
            tree = origin.raw_tree(&entries);
        }
        tree
    });
    refused("depth", "limits.depth", |origin| {
        let mut tree = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
        for _ in 0..300 {
            tree = origin.raw_tree(&[(TREE, b"d", tree)]);
        }
        tree
    });
    refused("path", "is too long", |origin| {
        let mut tree = origin.raw_tree(&[(FILE, b"x", origin.blob(b"x"))]);
        for _ in 0..20 {
            tree = origin.raw_tree(&[(TREE, &[b'd'; 250], tree)]);
        }
        tree
    });
    // One large blob, named over and over: refused by what the paths would hold.
    let limits = Limits { bytes: 10 << 20, ..Limits::default() };
    let outcome = found(&TreeRules { limits, distinct: false }, |origin| {
        let blob = origin.blob(&vec![0; 1 << 20]);
        let names: Vec<Vec<u8>> = (0..11).map(|number| format!("f{number:02}").into_bytes()).collect();
        let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_slice(), blob)).collect();
        origin.raw_tree(&entries)
    });
    assert!(outcome.unwrap_err().to_string().contains("limits.bytes"));
}

/// What git packs into a few kilobytes and unpacks into memory.
#[test]
fn one_file_is_large_alone() {
    let limits = Limits { file: 1 << 20, ..Limits::default() };
    let rules = TreeRules { limits, distinct: false };
    for (size, expected) in [((1 << 20) + 1, Some("\"a\" has 1048577 bytes")), (1 << 20, None)] {
        let outcome = found(&rules, |origin| origin.tree(&[("a", Kind::File, &vec![0; size])]));
        match expected {
            Some(expected) => {
                let told = outcome.unwrap_err().to_string();
                assert!(told.contains(expected) && told.contains("limits.file"), "{told}");
            }
            None => assert_eq!(outcome.unwrap().entries.len(), 1),
        }
    }
}

/// All that the limits allow, with names as long as they may be: what is kept of them is refused before it is much.
#[test]
fn many_long_names() {
    let outcome = found(&rules(), |origin| {
        let file = origin.blob(b"x");
        let names: Vec<Vec<u8>> = (0..150_000).map(|number| format!("{number:0>250}").into_bytes()).collect();
        let entries: Vec<_> = names.iter().map(|name| (FILE, name.as_slice(), file)).collect();
        let mut tree = origin.raw_tree(&entries);
        for _ in 0..14 {
            tree = origin.raw_tree(&[(TREE, &[b'd'; 250], tree)]);
        }
        tree
    });
    assert!(
        outcome.as_ref().is_err_and(|error| error.to_string().contains("limits.paths")),
        "{:?}",
        outcome.err()
    );
}

#[test]
fn a_missing_object_is_an_error_and_nothing_is_left_out() {
    let outcome = found(&rules(), |origin| {
        let nobody = Oid::from_str("0123456789012345678901234567890123456789").unwrap();
        origin.raw_tree(&[(FILE, b"a", origin.blob(b"x")), (FILE, b"b", nobody)])
    });
    assert!(
        matches!(outcome, Err(SourceError::Read { .. } | SourceError::Unreachable { .. })),
        "{outcome:?}"
    );
}

#[test]
fn odd_but_honest_packs_are_served_exactly() {
    let files: [(&str, Kind, &[u8]); 13] = [
        (" leading and trailing ", Kind::File, b"x"),
        ("-rf", Kind::File, b"x"),
        (".gitattributes", Kind::File, b"* text=auto eol=crlf\n*.sh export-ignore\n"),
        (".gitignore", Kind::File, b"*\n"),
        (".gitmodules", Kind::File, b"[submodule \"x\"]\n"),
        ("\"quoted\" 'name' \\ $(x) `y` %s", Kind::File, b"x"),
        ("\u{e4}\u{4e2d}\u{1f980}", Kind::File, b"x"),
        ("crlf", Kind::File, b"a\r\nb\r\n"),
        ("dangling", Kind::Link, b"not/there"),
        ("empty", Kind::File, b""),
        ("run.sh", Kind::Exec, b"#!/bin/sh\n$Id$\n"),
        ("src/link", Kind::Link, b"../run.sh"),
        ("z\u{301}", Kind::File, b"\0\xff binary"),
    ];
    let tree = found(&rules(), |origin| origin.tree(&files)).unwrap();
    let mut expected: Vec<_> =
        files.iter().map(|(path, kind, bytes)| (*path, *kind, Content::of(bytes))).collect();
    expected.sort();
    let served: Vec<_> =
        tree.entries.iter().map(|entry| (entry.path.as_str(), entry.kind, entry.content)).collect();
    assert_eq!(served, expected);
}
