//! What every store of statuses promises: one suite against all forms, git over http and over ssh included.

use std::collections::BTreeSet;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use git2::Repository;
use packfleet::model::fleet::Url;
use packfleet::model::manifest::Manifest;
use packfleet::model::stamp::{Publisher, Stamp};
use packfleet::model::{DeploymentName, HostPath, ManifestDigest};
use packfleet::source::status::{
    DirectoryStatus, GitStatus, MemoryStatus, Of, Post, PostError, Posted, StatusStore, Version, Word, insist,
};

use crate::http::Http;
use crate::sshd::Sshd;
use crate::temp;

const PREFIX: &str = "refs/packfleet/status";

type View = dyn Fn(&str) -> Arc<dyn StatusStore>;

/// One form of store, seen by as many as ask.
struct Subject {
    name: &'static str,
    /// The same store, as somebody with a cache of their own sees it.
    view: Box<View>,
    /// The repository, where it is one.
    repository: Option<Utf8PathBuf>,
    _kept: Vec<Box<dyn std::any::Any>>,
}

fn subjects() -> Vec<Subject> {
    let memory: Arc<dyn StatusStore> = Arc::new(MemoryStatus::default());
    vec![
        Subject {
            name: "memory",
            view: Box::new(move |_| Arc::clone(&memory)),
            repository: None,
            _kept: Vec::new(),
        },
        directory(),
        repository("git", |path| (Url::new(path.as_str()), Vec::new())),
        repository("git over http", |path| {
            let http = Http::serve(path.parent().unwrap().as_std_path());
            let url = Url::new(format!("http://{}/status.git", http.address));
            (url, vec![Box::new(http) as Box<dyn std::any::Any>])
        }),
    ]
}

/// The way to an ssh server is set once per process, so all of it is one test.
#[test]
fn all_of_it_over_ssh() {
    let sshd = match Sshd::new("") {
        Ok(sshd) => sshd,
        Err(why) => return eprintln!("SKIPPED: statuses over ssh: {why}"),
    };
    packfleet::source::ssh::use_config(sshd.at("ssh_config"));
    let subject = || repository("git over ssh", |path| (Url::new(format!("ssh://place{path}")), Vec::new()));
    published_seen_and_replaced(&subject());
    at_once(&subject(), 12);
    about_one(&subject());
}

fn directory() -> Subject {
    let (kept, dir) = temp();
    let dir = dir.join("made/when/needed");
    Subject {
        name: "directory",
        view: Box::new(move |_| Arc::new(DirectoryStatus::open(&dir))),
        repository: None,
        _kept: vec![Box::new(kept)],
    }
}

fn repository(
    name: &'static str,
    reach: impl FnOnce(&Utf8Path) -> (Url, Vec<Box<dyn std::any::Any>>),
) -> Subject {
    let (temp, dir) = temp();
    let path = dir.join("status.git");
    let made = Repository::init_bare(&path).unwrap();
    made.config().unwrap().set_bool("http.receivepack", true).unwrap();
    let (url, mut kept) = reach(&path);
    kept.push(Box::new(temp));
    Subject {
        name,
        view: Box::new(move |who| Arc::new(GitStatus::open(&dir.join("cache").join(who), &url, PREFIX))),
        repository: Some(path),
        _kept: kept,
    }
}

fn name(text: &str) -> DeploymentName {
    text.parse().unwrap()
}

fn manifest(of: &str) -> Arc<str> {
    let made = [packfleet::model::TreePath::new(of).unwrap()].into();
    Manifest { made, ..Manifest::default() }.text().into()
}

fn stamp(deployment: &str, sequence: u64, manifest: &str) -> String {
    Stamp {
        fleet: "f".parse().unwrap(),
        deployment: name(deployment),
        root: HostPath::new("/r").unwrap(),
        sequence,
        time: "2026-11-24T08:00:00Z".parse().unwrap(),
        by: Publisher::Host,
        generation: 1,
        record: None,
        manifest: ManifestDigest::of(manifest.as_bytes()),
        interrupted: None,
        staged: false,
        saved_edits: 0,
        since: Default::default(),
        pause: None,
        health: None,
        version_file: None,
    }
    .text()
}

fn post(deployment: &str, sequence: u64, holds: &str, replaces: Option<&Version>) -> Post {
    let manifest = manifest(holds);
    Post {
        deployment: name(deployment),
        replaces: replaces.cloned(),
        stamp: stamp(deployment, sequence, &manifest),
        manifest,
    }
}

fn taken(answers: Vec<Posted>) -> Vec<Version> {
    let version = |answer| match answer {
        Posted::Taken(version) => version,
        other => panic!("{other:?}"),
    };
    answers.into_iter().map(version).collect()
}

fn words(store: &dyn StatusStore) -> Vec<(String, String)> {
    let published = store.fetch(Of::All).unwrap();
    assert!(published.damaged.is_empty(), "{:?}", published.damaged);
    let word = |(name, word): (DeploymentName, Word)| (name.to_string(), word.stamp);
    published.words.into_iter().map(word).collect()
}

#[test]
fn a_word_is_published_seen_by_others_and_replaced_only_by_who_saw_it() {
    subjects().iter().for_each(published_seen_and_replaced);
}

fn published_seen_and_replaced(subject: &Subject) {
    let (ada, bob) = ((subject.view)("ada"), (subject.view)("bob"));
    assert_eq!(words(&*ada), []);
    let first = post("one", 1, "a", None);
    let versions = taken(ada.publish(&[first.clone(), post("two", 1, "a", None)]).unwrap());
    let published = bob.fetch(Of::All).unwrap();
    let (one, two) = (&published.words[&name("one")], &published.words[&name("two")]);
    assert_eq!((&one.stamp, &one.manifest, &one.version), (&first.stamp, &first.manifest, &versions[0]));
    if subject.name != "memory" {
        assert!(Arc::ptr_eq(&one.manifest, &two.manifest), "what is held alike is read once");
    }
    // Only these are asked for.
    let only = [name("two"), name("three")].into();
    assert_eq!(bob.fetch(Of::Some(&only)).unwrap().words.keys().collect::<Vec<_>>(), [&name("two")]);

    // Whoever has not seen the last word replaces nothing, and does not hinder others.
    let blind = [
        post("one", 9, "b", None),
        post("two", 9, "b", Some(&versions[0])),
        post("three", 1, "b", None),
        post("four", 1, "b", Some(&versions[1])),
    ];
    let answers = bob.publish(&blind).unwrap();
    assert_eq!(answers[..2], [Posted::Overtaken, Posted::Overtaken]);
    assert!(matches!(answers[2], Posted::Taken(_)), "{answers:?}");
    assert_eq!(answers[3], Posted::Overtaken);
    let second = post("one", 2, "b", Some(&versions[0]));
    let version = taken(bob.publish(std::slice::from_ref(&second)).unwrap());
    assert_eq!(ada.publish(&[post("one", 3, "c", Some(&versions[0]))]).unwrap(), [Posted::Overtaken]);
    let seen: Vec<_> = words(&*ada);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen[0], ("one".to_owned(), second.stamp.clone()));
    // Every view agrees on the names of words.
    assert_eq!(ada.fetch(Of::All).unwrap(), bob.fetch(Of::All).unwrap());
    taken(ada.publish(&[post("one", 3, "c", Some(&version[0]))]).unwrap());
}

#[test]
fn in_git_a_word_is_one_commit_without_a_parent_and_equal_manifests_are_one_blob() {
    let subject = repository("git", |path| (Url::new(path.as_str()), Vec::new()));
    let store = (subject.view)("ada");
    let version = taken(store.publish(&[post("one", 1, "a", None), post("two", 1, "a", None)]).unwrap());
    taken(store.publish(&[post("one", 2, "a", Some(&version[0]))]).unwrap());
    let repository = Repository::open(subject.repository.unwrap()).unwrap();
    let read = |name: &str| {
        let reference = repository.find_reference(&format!("{PREFIX}/{name}")).unwrap();
        let commit = reference.peel_to_commit().unwrap();
        assert_eq!(commit.parent_count(), 0);
        let blob = commit.tree().unwrap().get_name("manifest").unwrap().id();
        (commit.message().unwrap().to_owned(), blob)
    };
    let (one, two) = (read("one"), read("two"));
    assert_eq!(one.0, stamp("one", 2, &manifest("a")));
    assert_eq!(one.1, two.1);
}

#[test]
fn what_is_no_word_is_named_and_hinders_nobody() {
    let subject = repository("git", |path| (Url::new(path.as_str()), Vec::new()));
    let store = (subject.view)("ada");
    taken(store.publish(&[post("good", 1, "a", None)]).unwrap());
    let repository = Repository::open(subject.repository.unwrap()).unwrap();
    let who = git2::Signature::now("x", "x@example.org").unwrap();
    let empty = repository.treebuilder(None).unwrap().write().unwrap();
    let empty = repository.find_tree(empty).unwrap();
    let bare = format!("{PREFIX}/bare");
    repository.commit(Some(&bare), &who, &who, "packfleet status 1\n", &empty, &[]).unwrap();
    let blob = repository.blob(b"x").unwrap();
    repository.reference(&format!("{PREFIX}/blob"), blob, true, "").unwrap();
    let large = "x".repeat(100_000);
    repository.commit(Some(&format!("{PREFIX}/large")), &who, &who, &large, &empty, &[]).unwrap();
    let published = store.fetch(Of::All).unwrap();
    assert_eq!(published.words.keys().collect::<Vec<_>>(), [&name("good")]);
    let damaged: Vec<_> = published.damaged.keys().map(DeploymentName::as_str).collect();
    assert_eq!(damaged, ["bare", "blob", "large"]);
    assert_eq!(published.damaged[&name("bare")].why, "it has no manifest");
    said_in_the_place_of(&*store, &["bare", "blob", "large"]);

    let (_kept, dir) = temp();
    let store = DirectoryStatus::open(&dir);
    taken(store.publish(&[post("good", 1, "a", None), post("lost", 1, "b", None)]).unwrap());
    std::fs::write(dir.join("bad.status"), "x").unwrap();
    let lost = ManifestDigest::of(manifest("b").as_bytes());
    std::fs::remove_file(dir.join("manifests").join(lost.to_string())).unwrap();
    let published = store.fetch(Of::All).unwrap();
    assert_eq!(published.words.keys().collect::<Vec<_>>(), [&name("good")]);
    assert_eq!(published.damaged.len(), 2);
    said_in_the_place_of(&store, &["bad", "lost"]);

    // What is no file is told, and hinders nobody.
    std::os::unix::fs::symlink("good.status", dir.join("link.status")).unwrap();
    let mut restate = |post: &Post, _: Option<&Word>| Ok(post.clone());
    let posts = vec![post("link", 1, "a", None), post("next", 1, "a", None)];
    let ended = insist(&store, posts, &mut restate);
    assert!(matches!(&ended[&name("link")], Err(PostError::Refused(_))), "{ended:?}");
    assert!(ended[&name("next")].is_ok(), "{ended:?}");
    assert_eq!(store.fetch(Of::All).unwrap().damaged.len(), 1);
}

/// Whoever speaks for a deployment is not silenced by what lies in the place of its word.
fn said_in_the_place_of(store: &dyn StatusStore, names: &[&str]) {
    let mut restate = |post: &Post, _: Option<&Word>| Ok(post.clone());
    let posts = names.iter().map(|name| post(name, 2, "c", None)).collect();
    let ended = insist(store, posts, &mut restate);
    assert!(ended.values().all(Result::is_ok), "{ended:?}");
    let published = store.fetch(Of::All).unwrap();
    assert_eq!((published.damaged.len(), published.words.len()), (0, names.len() + 1));
}

#[test]
fn in_a_directory_what_is_held_no_more_goes_and_what_is_held_alike_lies_there_once() {
    let (_kept, dir) = temp();
    let store = DirectoryStatus::open(&dir);
    let versions = taken(store.publish(&[post("one", 1, "a", None), post("two", 1, "a", None)]).unwrap());
    let count = || std::fs::read_dir(dir.join("manifests")).unwrap().count();
    assert_eq!(count(), 1);
    taken(store.publish(&[post("one", 2, "b", Some(&versions[0]))]).unwrap());
    assert_eq!(count(), 2);
    taken(store.publish(&[post("two", 2, "b", Some(&versions[1]))]).unwrap());
    assert_eq!(count(), 1);
    assert_eq!(words(&store).len(), 2);
}

/// Hosts publish at once, each twice, all meet, and each also speaks about one deployment that all of them fight over.
#[test]
fn whoever_publishes_at_once_loses_nothing() {
    for subject in &subjects() {
        at_once(subject, if subject.name == "git over http" { 200 } else { 40 });
    }
}

fn at_once(subject: &Subject, hosts: u64) {
    let views: Vec<_> = (0..hosts).map(|host| (subject.view)(&format!("h{host}"))).collect();
    std::thread::scope(|scope| {
        for (host, view) in views.iter().enumerate() {
            scope.spawn(move || {
                let own = format!("edge-{host:03}");
                let mut restate = |post: &Post, word: Option<&Word>| {
                    let sequence = word.map_or(1, |word| sequence(word) + 1);
                    let manifest = Arc::clone(&post.manifest);
                    let stamp = stamp(post.deployment.as_str(), sequence, &manifest);
                    Ok(Post { stamp, manifest, ..post.clone() })
                };
                let mine = post(&own, 1, &own, None);
                let mut ended = insist(&**view, vec![mine], &mut restate);
                let version = ended.remove(&name(&own)).unwrap().unwrap_or_else(|e| panic!("{own}: {e}"));
                let second = post(&own, 2, &own, Some(&version));
                let ended = insist(&**view, vec![second], &mut restate);
                ended[&name(&own)].as_ref().unwrap_or_else(|e| panic!("{own}: {e}"));
            });
        }
    });
    let published = (subject.view)("reader").fetch(Of::All).unwrap();
    assert_eq!(published.words.len() as u64, hosts, "{}", subject.name);
    for (name, word) in &published.words {
        assert_eq!((sequence(word), &word.manifest), (2, &manifest(name.as_str())), "{name}");
    }
}

/// Several who speak about one deployment: each word is said, on top of the one before.
#[test]
fn words_about_one_deployment_come_one_after_the_other() {
    subjects().iter().for_each(about_one);
}

fn about_one(subject: &Subject) {
    let count = 4;
    let views: Vec<_> = (0..count).map(|at| (subject.view)(&format!("v{at}"))).collect();
    std::thread::scope(|scope| {
        for (at, view) in views.iter().enumerate() {
            scope.spawn(move || {
                let mut restate = |post: &Post, word: Option<&Word>| {
                    let sequence = word.map_or(1, |word| sequence(word) + 1);
                    let manifest = Arc::clone(&post.manifest);
                    let stamp = stamp("one", sequence, &manifest);
                    Ok(Post { stamp, manifest, ..post.clone() })
                };
                let ended = insist(&**view, vec![post("one", 1, &format!("v{at}"), None)], &mut restate);
                ended[&name("one")].as_ref().unwrap();
            });
        }
    });
    let published = views[0].fetch(Of::All).unwrap();
    assert_eq!(sequence(&published.words[&name("one")]), count, "{}", subject.name);
}

fn sequence(word: &Word) -> u64 {
    Stamp::parse(&word.stamp).unwrap().stamp.sequence
}

#[test]
fn a_store_that_does_not_answer_says_so_for_each_word() {
    let (_kept, dir) = temp();
    let store = GitStatus::open(&dir.join("cache"), &Url::new(dir.join("none.git").as_str()), PREFIX);
    assert!(store.fetch(Of::All).is_err());
    let mut restate = |post: &Post, _: Option<&Word>| Ok(post.clone());
    let ended = insist(&store, vec![post("one", 1, "a", None)], &mut restate);
    let error = ended[&name("one")].as_ref().unwrap_err().to_string();
    assert!(error.starts_with("cannot reach "), "{error}");
    let names: BTreeSet<DeploymentName> = [name("one")].into();
    assert!(store.fetch(Of::Some(&names)).is_err());
}
