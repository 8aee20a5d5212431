//! What every source of packs promises: one suite against all three.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use camino::Utf8Path;
use packfleet::model::fleet::{Limits, Url};
use packfleet::model::pack::CommitId;
use packfleet::model::{Content, Kind, TreePath};
use packfleet::source::{DirectorySource, GitSource, MemorySource, PackSource, SourceError, TreeRules};

use crate::repository::Origin;
use crate::{dir, rules, temp};

type Files<'a> = &'a [(&'a str, Kind, &'a [u8])];

/// A source that holds one state of some files.
struct Subject {
    name: &'static str,
    source: Box<dyn PackSource>,
    commit: Option<CommitId>,
    /// The same source in a later run.
    again: Box<dyn PackSource>,
    _temp: tempfile::TempDir,
}

fn subjects(files: Files<'_>) -> Vec<Subject> {
    vec![git(files), directory(files), memory(files)]
}

fn git(files: Files<'_>) -> Subject {
    let (_temp, dir) = temp();
    let origin = Origin::new(&dir.join("origin.git"));
    let commit = origin.commit(files);
    origin.set("heads/main", commit.as_str());
    let url = Url::new(origin.dir.as_str());
    let source = GitSource::open(&dir.join("cache"), &url);
    source.refresh().unwrap();
    let again = Box::new(GitSource::open(&dir.join("cache"), &url));
    Subject { name: "git", source: Box::new(source), commit: Some(commit), again, _temp }
}

fn write(dir: &Utf8Path, files: Files<'_>) {
    fs::create_dir_all(dir).unwrap();
    for (path, kind, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match kind {
            Kind::Link => symlink(std::str::from_utf8(bytes).unwrap(), &path).unwrap(),
            Kind::File | Kind::Exec => {
                fs::write(&path, bytes).unwrap();
                let mode = if *kind == Kind::Exec { 0o755 } else { 0o644 };
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
}

fn directory(files: Files<'_>) -> Subject {
    let (_temp, dir) = temp();
    write(&dir.join("files"), files);
    let open = || Box::new(DirectorySource::open(&dir.join("cache"), &dir.join("files")));
    Subject { name: "directory", source: open(), commit: None, again: open(), _temp }
}

fn memory(files: Files<'_>) -> Subject {
    let (_temp, _) = temp();
    let open = || {
        let source = MemorySource::new();
        let commit = source.commit(files);
        source.branch("main", &commit);
        (Box::new(source), commit)
    };
    let (source, commit) = open();
    Subject { name: "memory", source, commit: Some(commit), again: open().0, _temp }
}

#[test]
fn a_tree_is_listed_in_byte_order_and_its_bytes_are_found_in_this_run_and_a_later_one() {
    let files: Files<'_> = &[
        ("p/z", Kind::File, b"zz"),
        ("p/a/x", Kind::Exec, b"#!/bin/sh\n"),
        ("p/a.b", Kind::File, b""),
        ("p/a/link", Kind::Link, b"../z"),
        ("p/dangling", Kind::Link, b"nowhere/at/all"),
        ("p/-dash \"q\"", Kind::File, b"\r\n\0"),
        ("p/\u{e4}/.gitattributes", Kind::File, b"* text eol=crlf export-ignore\n"),
        ("p/.gitignore", Kind::File, b"*\n"),
        ("q/other", Kind::File, b"other"),
    ];
    for subject in subjects(files) {
        let tree = subject.source.tree(subject.commit.as_ref(), &[dir("p")], &rules()).unwrap();
        assert_eq!(tree.dir, dir("p"), "{}", subject.name);
        let paths: Vec<&str> = tree.entries.iter().map(|entry| entry.path.as_str()).collect();
        let expected =
            ["-dash \"q\"", ".gitignore", "a.b", "a/link", "a/x", "dangling", "z", "\u{e4}/.gitattributes"];
        assert_eq!(paths, expected, "{}", subject.name);
        for entry in &tree.entries {
            let path = format!("p/{}", entry.path);
            let (_, kind, bytes) = files.iter().find(|(at, ..)| *at == path).unwrap();
            assert_eq!(entry.kind, *kind);
            assert_eq!(entry.content, Content::of(bytes), "{} {path}", subject.name);
            assert_eq!(entry.size, bytes.len() as u64);
            let text = (*kind == Kind::Link).then(|| std::str::from_utf8(bytes).unwrap());
            assert_eq!(entry.link.as_deref(), text);
            for source in [&subject.source, &subject.again] {
                assert_eq!(source.bytes(subject.commit.as_ref(), entry.content).unwrap(), *bytes);
            }
        }
        let unknown = subject.source.bytes(subject.commit.as_ref(), Content::of(b"nobody wrote this"));
        assert!(matches!(unknown, Err(SourceError::Unknown(_))), "{}: {unknown:?}", subject.name);
    }
}

#[test]
fn the_first_directory_that_exists_is_taken() {
    let files: Files<'_> =
        &[("old/a", Kind::File, b"a"), ("new/b", Kind::File, b"b"), ("file", Kind::File, b"c")];
    for subject in subjects(files) {
        let tree = |dirs: &[&str]| {
            let dirs: Vec<_> = dirs.iter().map(|path| dir(path)).collect();
            subject.source.tree(subject.commit.as_ref(), &dirs, &rules())
        };
        assert_eq!(tree(&["missing", "old", "new"]).unwrap().dir, dir("old"), "{}", subject.name);
        assert_eq!(tree(&["file", "file/x", "new"]).unwrap().dir, dir("new"), "{}", subject.name);
        assert_eq!(tree(&["."]).unwrap().entries.len(), 3, "{}", subject.name);
        let error = tree(&["missing", "also/missing"]).unwrap_err().to_string();
        assert!(error.contains("\"missing\", \"also/missing\""), "{}: {error}", subject.name);
    }
}

#[test]
fn what_breaks_a_rule_is_refused_by_all() {
    let deep = "d/".repeat(256) + "x";
    let fits = "d/".repeat(255) + "x";
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n";
    let large = [lfs.as_slice(), &[b'x'; 1024]].concat();
    let cases: [(&str, Files<'_>, &str); 17] = [
        ("absolute link", &[("a", Kind::Link, b"/etc/passwd")], "\"a\" -> \"/etc/passwd\" is absolute"),
        ("leaving link", &[("d/a", Kind::Link, b"../../x")], "leads out of the tree"),
        (
            "link to the top and out",
            &[("up", Kind::Link, b"d/.."), ("a", Kind::Link, b"up/../x")],
            "leads out",
        ),
        (
            "link through a link",
            &[("d/e/b", Kind::Link, b"../.."), ("a", Kind::Link, b"d/e/b/../x")],
            "leads out of the tree",
        ),
        ("link into the state", &[("a", Kind::Link, b".packfleet/record")], "packfleet's own state"),
        ("link that stays", &[("d/a", Kind::Link, b"../b/../c")], ""),
        ("state directory", &[(".packfleet/record", Kind::File, b"x")], "packfleet's own state"),
        ("short name of .git", &[("git~1", Kind::File, b"x")], "means .git"),
        ("hidden .git", &[("d/.g\u{200c}it/config", Kind::File, b"x")], "means .git"),
        ("nested .git", &[("d/.git/config", Kind::File, b"x")], "means .git"),
        ("control character", &[("a\nb", Kind::File, b"x")], "control character"),
        (
            "letter case",
            &[("README.md", Kind::File, b"x"), ("readme.md", Kind::File, b"y")],
            "\"README.md\" and \"readme.md\"",
        ),
        (
            "letter case of directories",
            &[("D/a", Kind::File, b"x"), ("d/b", Kind::File, b"y")],
            "\"D\" and \"d\"",
        ),
        ("large file pointer", &[("big.bin", Kind::File, lfs)], "\"big.bin\" is a Git LFS pointer"),
        ("no pointer", &[("big.bin", Kind::File, &large)], ""),
        ("too deep", &[(&deep, Kind::File, b"x")], "limits.depth"),
        ("deep", &[(&fits, Kind::File, b"x")], ""),
    ];
    for (name, files, expected) in cases {
        // Memory is a map of valid paths: what cannot be one cannot be in it.
        let valid = files.iter().all(|(path, ..)| TreePath::new(path).is_ok());
        let mut subjects = vec![git(files), directory(files)];
        if valid && name != "too deep" {
            subjects.push(memory(files));
        }
        for subject in subjects {
            let found = subject.source.tree(subject.commit.as_ref(), &[None], &rules());
            match (expected, found) {
                ("", Ok(tree)) => assert_eq!(tree.entries.len(), files.len()),
                ("", Err(error)) => panic!("{name}, {}: {error}", subject.name),
                (expected, Err(SourceError::Refused(text))) => {
                    assert!(text.contains(expected), "{name}, {}: {text}", subject.name);
                    assert!(!text.contains('\n'), "{name}, {}: escaped", subject.name);
                }
                (_, found) => panic!("{name}, {}: {found:?}", subject.name),
            }
        }
    }
}

#[test]
fn limits_count_entries_and_bytes_in_the_first_run_and_later() {
    let files: Files<'_> =
        &[("a", Kind::File, b"1234"), ("b", Kind::File, b"5678"), ("c/d", Kind::Link, b"../a")];
    for subject in subjects(files) {
        let tree = |entries, bytes| {
            let limits = Limits { entries, bytes, depth: 2, ..Limits::default() };
            let rules = TreeRules { limits, distinct: false };
            subject.source.tree(subject.commit.as_ref(), &[None], &rules).map_err(|error| error.to_string())
        };
        // The second time from the cache.
        for _ in 0..2 {
            assert!(tree(2, 100).unwrap_err().contains("limits.entries"), "{}", subject.name);
            assert!(tree(100, 11).unwrap_err().contains("limits.bytes"), "{}", subject.name);
            assert_eq!(tree(3, 12).unwrap().entries.len(), 3, "{}", subject.name);
        }
    }
}

#[test]
fn names_that_differ_in_case_are_served_where_they_are_distinct() {
    let files: Files<'_> = &[("A/x", Kind::File, b"1"), ("a/x", Kind::File, b"2")];
    for subject in subjects(files) {
        let distinct = TreeRules { distinct: true, ..rules() };
        for _ in 0..2 {
            let tree = subject.source.tree(subject.commit.as_ref(), &[None], &distinct).unwrap();
            assert_eq!(tree.entries.len(), 2, "{}", subject.name);
            let refused = subject.source.tree(subject.commit.as_ref(), &[None], &rules());
            assert!(matches!(refused, Err(SourceError::Refused(_))), "{}", subject.name);
        }
    }
}

#[test]
fn commits_are_found_by_full_and_short_ids_where_there_are_commits() {
    for subject in subjects(&[("a", Kind::File, b"x")]) {
        let Some(commit) = &subject.commit else {
            assert!(subject.source.commit("abcdef0").is_err());
            continue;
        };
        assert_eq!(subject.source.commit(commit.as_str()).unwrap(), *commit, "{}", subject.name);
        assert_eq!(subject.source.commit(commit.short()).unwrap(), *commit, "{}", subject.name);
        let unknown = subject.source.commit("0123456789012345678901234567890123456789");
        assert!(matches!(unknown, Err(SourceError::Unknown(_))), "{}: {unknown:?}", subject.name);
        subject.source.pin(std::slice::from_ref(commit)).unwrap();
        subject.source.pin(std::slice::from_ref(commit)).unwrap();
        let nobody = CommitId::new("0123456789012345678901234567890123456789").unwrap();
        assert!(subject.source.pin(&[nobody]).is_err(), "{}", subject.name);
        let refs = subject.source.refresh().unwrap();
        assert_eq!(refs, subject.source.known().unwrap());
        assert_eq!(refs.branches[0].commit.as_ref(), Some(commit));
    }
}

#[test]
fn a_directory_leaves_out_its_own_repository_and_refuses_special_files() {
    let (_temp, root) = temp();
    write(&root.join("files"), &[("a", Kind::File, b"x"), (".git/config", Kind::File, b"[core]")]);
    let open = || DirectorySource::open(&root.join("cache"), &root.join("files"));
    assert_eq!(open().tree(None, &[None], &rules()).unwrap().entries.len(), 1);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("files/pipe").as_std_path(),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    let error = open().tree(None, &[None], &rules()).unwrap_err().to_string();
    assert!(error.contains("\"pipe\" is neither"), "{error}");
    fs::remove_file(root.join("files/pipe")).unwrap();

    // A directory that is a link is not followed, as in git.
    symlink("/etc", root.join("files/d")).unwrap();
    let error = open().tree(None, &[dir("d")], &rules()).unwrap_err().to_string();
    assert!(error.contains("no directory \"d\""), "{error}");
}

#[test]
fn bytes_of_a_directory_outlive_its_files_and_one_run_sees_one_state() {
    let (_temp, root) = temp();
    write(&root.join("files"), &[("a", Kind::File, b"old")]);
    let open = || DirectorySource::open(&root.join("cache"), &root.join("files"));
    let source = open();
    let before = source.tree(None, &[None], &rules()).unwrap();
    fs::write(root.join("files/a"), "new").unwrap();
    assert_eq!(source.tree(None, &[None], &rules()).unwrap(), before);
    assert_ne!(open().tree(None, &[None], &rules()).unwrap(), before);
    assert_eq!(open().bytes(None, Content::of(b"old")).unwrap(), b"old");
}

#[test]
fn an_empty_directory_is_refused() {
    let (_temp, root) = temp();
    fs::create_dir_all(root.join("files/empty/er")).unwrap();
    let source = DirectorySource::open(&root.join("cache"), &root.join("files"));
    let error = source.tree(None, &[dir("empty")], &rules()).unwrap_err().to_string();
    assert!(error.contains("is empty"), "{error}");
}

#[test]
fn a_pack_has_a_past_where_there_are_commits() {
    let files: Files<'_> = &[("p/a", Kind::File, b"a"), ("q/b", Kind::File, b"b")];
    for subject in subjects(files) {
        let history = subject.source.history(&[dir("none"), dir("p")], subject.commit.as_ref(), 9).unwrap();
        let known: Vec<_> = history.states.iter().flat_map(|past| &past.commits).collect();
        assert!(history.whole, "{}", subject.name);
        match &subject.commit {
            None => assert!(known.is_empty() && history.commits == 0, "{}", subject.name),
            Some(commit) => {
                assert_eq!(history.commits, 1, "{}", subject.name);
                assert_eq!((&known[0].id, known[0].on_main), (commit, true), "{}", subject.name);
                assert_eq!(subject.source.merge_base(commit, commit).unwrap().as_ref(), Some(commit));
            }
        }
        let nothing = subject.source.history(&[dir("none")], None, 9).unwrap();
        assert_eq!((nothing.states.len(), nothing.commits), (0, 0), "{}", subject.name);
    }
}
