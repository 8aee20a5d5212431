//! The versions of a small pack: a file of every sort, and from there every kind of upstream change.
//!
//! Every version is a commit of one real repository. Its files are given here as they are to lie on a host:
//! the pack is installed under `t`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, Repository, Signature, Time};
use packfleet::model::Kind;

/// A file or link with its bytes.
pub type File = (Kind, Vec<u8>);

/// Files and links by their path on the host.
pub type Files = BTreeMap<String, File>;

/// The directory of the pack in its repository, and the one that it had in some versions.
const DIR: &str = "pack";
const ALIAS: &str = "packs/old";

/// One version of the pack.
pub struct Version {
    pub name: String,
    pub files: Files,
    /// Where the pack lies in the repository.
    pub dir: &'static str,
}

/// A repository with one commit per version.
pub struct Origin {
    directory: tempfile::TempDir,
    pub commits: Vec<String>,
}

impl Origin {
    pub fn new(versions: &[Version]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let repository = Repository::init_bare(directory.path()).expect("a repository");
        let commits = versions.iter().enumerate().map(|(at, version)| {
            let id = commit(&repository, version);
            repository.reference(&format!("refs/heads/v{at}"), id, true, "test").expect("a branch");
            id.to_string()
        });
        let commits = commits.collect();
        Self { directory, commits }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().canonicalize().expect("a path")
    }
}

fn commit(repository: &Repository, version: &Version) -> git2::Oid {
    let empty = repository.treebuilder(None).and_then(|builder| builder.write()).expect("a tree");
    let empty = repository.find_tree(empty).expect("a tree");
    let mut update = TreeUpdateBuilder::new();
    for (path, (kind, bytes)) in &version.files {
        let blob = repository.blob(bytes).expect("a blob");
        let mode = match kind {
            Kind::File => FileMode::Blob,
            Kind::Exec => FileMode::BlobExecutable,
            Kind::Link => FileMode::Link,
        };
        let path = Path::new(version.dir).join(path.strip_prefix("t/").expect("below the target"));
        update.upsert(path, blob, mode);
    }
    let tree = update.create_updated(repository, &empty).expect("a tree");
    let tree = repository.find_tree(tree).expect("a tree");
    let who = Signature::new("somebody", "somebody@example.org", &Time::new(1_700_000_000, 0)).expect("who");
    repository.commit(None, &who, &who, &version.name, &tree, &[]).expect("a commit")
}

/// fleet.toml that gives this commit.
pub fn fleet_text(origin: &Path, root: &Path, commit: &str, options: &str) -> String {
    let (changed, deleted, atomic) = match options {
        "merge" => ("merge", "restore", true),
        "keep" => ("keep", "keep", true),
        "revert" => ("revert", "restore", true),
        "merge, deleted kept" => ("merge", "keep", true),
        "merge, not atomic" => ("merge", "restore", false),
        other => panic!("what does {other} mean?"),
    };
    format!(
        "[fleet]\nname = \"f\"\nedits = {{ changed = \"{changed}\", deleted = \"{deleted}\" }}\nkeep_generations = 50\n\
         [budget]\nmax_delete = \"100%\"\nmax_change = \"100%\"\n\
         [sources.s]\nurl = \"{}\"\n\
         [packs.p]\nsource = \"s\"\ndir = \"{DIR}\"\naliases = [\"{ALIAS}\"]\ntarget = \"t\"\natomic = {atomic}\n\
         case = \"distinct\"\n\
         [deployments.home]\nhost = \"local\"\nroot = \"{}\"\npacks.p = {{ rev = \"{commit}\" }}\n",
        origin.display(),
        root.display(),
    )
}

/// Nine lines that are found nowhere else.
pub fn lines(name: &str) -> Vec<u8> {
    (1..=9).flat_map(|at| format!("{name}, line {at}\n").into_bytes()).collect()
}

fn base() -> Files {
    let script = b"#!/bin/sh\n# one\n# two\nset -e\necho start\necho work\necho done\n";
    let json = "{\n  \"name\": \"bot\",\n  \"port\": 9000,\n  \"log\": \"info\",\n  \"limits\": {\n    \"day\": 10,\n    \"hour\": 2\n  }\n}\n";
    let toml = "# settings\nname = \"bot\"\nport = 9000\n\n[limits]\nday = 10\nhour = 2\n";
    let crlf = String::from_utf8(lines("win")).expect("text").replace('\n', "\r\n");
    let end = lines("end");
    let list: [(&str, Kind, &[u8]); 11] = [
        ("t/app.txt", Kind::File, &lines("app")),
        ("t/run.sh", Kind::Exec, script),
        ("t/conf.json", Kind::File, json.as_bytes()),
        ("t/conf.toml", Kind::File, toml.as_bytes()),
        ("t/lib/a.txt", Kind::File, &lines("a")),
        ("t/lib/b.txt", Kind::File, &lines("b")),
        ("t/win.txt", Kind::File, crlf.as_bytes()),
        ("t/end.txt", Kind::File, &end[..end.len() - 1]),
        ("t/bin.dat", Kind::File, b"\0\x01binary\0\xff"),
        ("t/link", Kind::Link, b"app.txt"),
        ("t/empty", Kind::File, b""),
    ];
    list.into_iter().map(|(path, kind, bytes)| (path.to_owned(), (kind, bytes.to_vec()))).collect()
}

/// Replaces one line of a text file, counted from 1; what has no such line gets another last one.
pub fn change_line(bytes: &[u8], at: usize, new: &str) -> Vec<u8> {
    let mut all: Vec<Vec<u8>> = bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let ending = if bytes.windows(2).any(|pair| pair == b"\r\n") { "\r\n" } else { "\n" };
    let line = format!("{new}{ending}").into_bytes();
    match all.get_mut(at - 1) {
        Some(old) => *old = line,
        None => all.push(line),
    }
    all.concat()
}

fn change_all(files: &mut Files) {
    for (path, (kind, bytes)) in files.iter_mut() {
        *bytes = match (path.as_str(), &kind) {
            (_, Kind::Link) => b"run.sh".to_vec(),
            (path, _) if path.ends_with("conf.json") => replaced(bytes, "9000", "9100"),
            (path, _) if path.ends_with("conf.toml") => replaced(bytes, "9000", "9100"),
            (path, _) if path.ends_with("bin.dat") => b"\0\x02another\0\xfe".to_vec(),
            (path, _) if path.ends_with("empty") => b"no more\n".to_vec(),
            _ => change_line(bytes, 5, "changed upstream"),
        };
    }
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8(bytes.to_vec()).expect("text").replace(from, to).into_bytes()
}

fn rename(files: &mut Files, from: &str, to: &str) {
    if let Some(file) = files.remove(from) {
        files.insert(to.to_owned(), file);
    }
}

fn rename_all(files: &mut Files) {
    let renames = [
        ("t/app.txt", "t/main.txt"),
        ("t/run.sh", "t/bin/run.sh"),
        ("t/conf.json", "t/etc/conf.json"),
        ("t/conf.toml", "t/etc/conf.toml"),
        ("t/lib/a.txt", "t/lib/c.txt"),
        ("t/win.txt", "t/dos.txt"),
        ("t/end.txt", "t/END.txt"),
        ("t/bin.dat", "t/bin/bin.dat"),
        ("t/link", "t/link2"),
        ("t/empty", "t/bin/empty"),
    ];
    renames.into_iter().for_each(|(from, to)| rename(files, from, to));
}

fn file(bytes: &[u8]) -> (Kind, Vec<u8>) {
    (Kind::File, bytes.to_vec())
}

/// Every kind of upstream change, from one base.
pub fn versions() -> Vec<Version> {
    type Change = (&'static str, fn(&mut Files));
    let split: fn(&mut Files) = |files| {
        let (_, app) = files.remove("t/app.txt").expect("a file");
        let all: Vec<&[u8]> = app.split_inclusive(|byte| *byte == b'\n').collect();
        files.insert("t/first.txt".into(), file(&all[..5].concat()));
        files.insert("t/second.txt".into(), file(&all[5..].concat()));
    };
    let changes: [Change; 18] = [
        ("base", |_| {}),
        ("changed", change_all),
        ("deleted", |files| files.retain(|path, _| path == "t/lib/b.txt")),
        ("renamed", rename_all),
        ("renamed and changed", |files| {
            rename_all(files);
            change_all(files);
        }),
        ("split", split),
        ("modes", |files| {
            for (path, kind) in
                [("t/run.sh", Kind::File), ("t/app.txt", Kind::Exec), ("t/bin.dat", Kind::Exec)]
            {
                files.get_mut(path).expect("a file").0 = kind;
            }
        }),
        ("line endings", |files| {
            for (path, from, to) in [("t/app.txt", "\n", "\r\n"), ("t/win.txt", "\r\n", "\n")] {
                let bytes = &mut files.get_mut(path).expect("a file").1;
                *bytes = replaced(bytes, from, to);
            }
        }),
        ("final newlines", |files| {
            files.get_mut("t/end.txt").expect("a file").1.push(b'\n');
            for path in ["t/app.txt", "t/run.sh", "t/conf.json", "t/conf.toml"] {
                files.get_mut(path).expect("a file").1.pop();
            }
        }),
        ("binary", |files| {
            files.insert("t/app.txt".into(), file(b"\0now binary\0"));
            files.insert("t/bin.dat".into(), file(b"now\ntext\n"));
        }),
        ("directories", |files| {
            let app = files.remove("t/app.txt").expect("a file");
            files.insert("t/app.txt/inner.txt".into(), app);
            files.retain(|path, _| !path.starts_with("t/lib/"));
            files.insert("t/lib".into(), file(b"a file now\n"));
        }),
        ("links", |files| {
            files.insert("t/app.txt".into(), (Kind::Link, b"run.sh".to_vec()));
            files.insert("t/link".into(), file(b"no link\n"));
        }),
        ("directory moved", |files| {
            rename(files, "t/lib/a.txt", "t/library/a.txt");
            rename(files, "t/lib/b.txt", "t/library/b.txt");
        }),
        ("grown", |files| {
            for path in ["t/app.txt", "t/run.sh", "t/lib/a.txt", "t/win.txt"] {
                let bytes = &mut files.get_mut(path).expect("a file").1;
                *bytes = [b"prepended upstream\n".as_slice(), bytes, b"appended upstream\n"].concat();
            }
            files.insert("t/extra.txt".into(), file(&lines("extra")));
            files.insert("t/new/deep/x".into(), file(b"x\n"));
        }),
        ("exchanged", |files| {
            let (app, a) = (files["t/app.txt"].clone(), files["t/lib/a.txt"].clone());
            files.insert("t/app.txt".into(), a);
            files.insert("t/lib/a.txt".into(), app);
        }),
        ("emptied", |files| {
            files.insert("t/app.txt".into(), file(b""));
            files.insert("t/conf.json".into(), file(b""));
        }),
        ("keys", |files| {
            let json = &mut files.get_mut("t/conf.json").expect("a file").1;
            *json = replaced(json, "\"day\": 10", "\"day\": 11");
            let toml = &mut files.get_mut("t/conf.toml").expect("a file").1;
            *toml = replaced(toml, "day = 10", "day = 11");
        }),
        ("pack renamed", |files| {
            change_all(files);
            rename(files, "t/lib/a.txt", "t/lib/d.txt");
        }),
    ];
    let versions = changes.iter().map(|(name, change)| {
        let mut files = base();
        change(&mut files);
        let dir = if *name == "pack renamed" { ALIAS } else { DIR };
        Version { name: (*name).to_owned(), files, dir }
    });
    versions.collect()
}

/// Versions of generated trees.
pub fn version(name: String, files: Files) -> Version {
    Version { name, files, dir: DIR }
}
