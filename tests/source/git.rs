//! Git repositories as sources: refs, mirrors, damage, and what an origin may do.

use std::error::Error;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use git2::{ObjectType, Oid, Repository};
use packfleet::model::fleet::Url;
use packfleet::model::pack::{CommitId, Ref};
use packfleet::model::{Content, Kind};
use packfleet::source::{GitSource, PackSource, SourceError};

use crate::repository::Origin;
use crate::{rules, temp};

/// An origin with one branch `main`, and a cache.
struct World {
    _temp: tempfile::TempDir,
    cache: Utf8PathBuf,
    origin: Origin,
    first: CommitId,
}

impl World {
    fn new() -> Self {
        let (_temp, dir) = temp();
        let origin = Origin::new(&dir.join("packs.git"));
        let first = origin.commit(&[("a", Kind::File, b"one"), ("d/b", Kind::Exec, b"two")]);
        origin.set("heads/main", first.as_str());
        Self { _temp, cache: dir.join("cache"), origin, first }
    }

    /// The source, in a new run.
    fn run(&self) -> GitSource {
        GitSource::open(&self.cache, &Url::new(self.origin.dir.as_str()))
    }

    fn mirror(&self) -> Utf8PathBuf {
        let entries = self.cache.join("mirrors").read_dir_utf8().unwrap();
        let found: Vec<_> = entries
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| !path.as_str().ends_with(".lock"))
            .collect();
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    fn second(&self) -> CommitId {
        let tree = self.origin.tree(&[("a", Kind::File, b"three")]);
        self.origin.commit_tree(tree, &[&self.first], "second")
    }
}

fn names(refs: &[Ref]) -> Vec<(&str, Option<&str>)> {
    refs.iter().map(|it| (it.name.as_str(), it.commit.as_ref().map(CommitId::as_str))).collect()
}

fn all_text(error: &dyn Error) -> String {
    let mut text = format!("{error} {error:?}");
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!(" {error} {error:?}");
        next = error.source();
    }
    text
}

#[test]
fn refs_are_peeled_and_sorted() {
    let world = World::new();
    let (origin, first) = (&world.origin, world.first.as_str());
    let second = world.second();
    origin.set("heads/feature/x", second.as_str());
    origin.set("tags/v1.0.0", first);
    origin.annotate("v1.1.0", second.as_str());
    let inner = origin.repository.refname_to_id("refs/tags/v1.1.0").unwrap().to_string();
    origin.annotate("twice", &inner);
    origin.annotate("blob", &origin.blob(b"a release key").to_string());
    origin.set("tags/tree", &origin.tree(&[("a", Kind::File, b"x")]).to_string());
    origin.set("notes/commits", first);
    let refs = world.run().refresh().unwrap();
    let second = Some(second.as_str());
    assert_eq!(names(&refs.branches), [("feature/x", second), ("main", Some(first))]);
    let expected =
        [("blob", None), ("tree", None), ("twice", second), ("v1.0.0", Some(first)), ("v1.1.0", second)];
    assert_eq!(names(&refs.tags), expected);
    assert_eq!(world.run().known().unwrap(), refs);
}

#[test]
fn file_urls_are_fetched_too() {
    let world = World::new();
    let source = GitSource::open(&world.cache, &Url::new(format!("file://{}", world.origin.dir)));
    assert_eq!(source.refresh().unwrap().branches.len(), 1);
}

#[test]
fn the_origin_is_asked_once_a_run() {
    let world = World::new();
    let run = world.run();
    let before = run.refresh().unwrap();
    let second = world.second();
    world.origin.set("heads/main", second.as_str());
    assert_eq!(run.refresh().unwrap(), before);
    assert_eq!(names(&world.run().refresh().unwrap().branches), [("main", Some(second.as_str()))]);
    // An answer that did not come is remembered too: the origin is back, and still not asked.
    fs::rename(&world.origin.dir, world.cache.join("away")).unwrap();
    let run = world.run();
    let gone = run.refresh().unwrap_err();
    assert!(matches!(gone, SourceError::Unreachable { .. }));
    assert!(all_text(&gone).contains("nothing is there"), "{gone:?}");
    fs::rename(world.cache.join("away"), &world.origin.dir).unwrap();
    assert!(matches!(run.refresh(), Err(SourceError::Unreachable { .. })));
    assert!(world.run().refresh().is_ok());
}

#[test]
fn nothing_is_fetched_when_no_ref_moved() {
    let world = World::new();
    world.run().refresh().unwrap();
    // Listing refs looks at what they lead to; a fetch would read trees.
    rewrite(&world.origin.dir, |_, kind| kind != ObjectType::Commit);
    assert_eq!(world.run().refresh().unwrap().branches.len(), 1);
}

/// A process that was killed while it wrote left git's locks behind.
#[test]
fn locks_of_the_dead_are_no_locks() {
    let world = World::new();
    world.run().refresh().unwrap();
    let second = world.second();
    world.origin.set("heads/main", second.as_str());
    let mirrors = world.cache.join("mirrors").read_dir_utf8().unwrap();
    let mirror = mirrors.map(|entry| entry.unwrap().into_path()).find(|path| path.is_dir()).unwrap();
    let past = format!("refs/packfleet/past/{}.lock", world.first);
    fs::create_dir_all(mirror.join("refs/packfleet/past")).unwrap();
    for name in ["refs/packfleet/origin/heads/main.lock", &past, "packed-refs.lock", "HEAD.lock"] {
        fs::write(mirror.join(name), "").unwrap();
    }
    assert_eq!(names(&world.run().refresh().unwrap().branches), [("main", Some(second.as_str()))]);
    world.run().pin(std::slice::from_ref(&world.first)).unwrap();
}

#[test]
fn an_origin_that_is_gone_leaves_the_mirror_as_it_was() {
    let world = World::new();
    let refs = world.run().refresh().unwrap();
    fs::remove_dir_all(&world.origin.dir).unwrap();
    let run = world.run();
    let error = run.refresh().unwrap_err();
    assert!(error.to_string().starts_with("cannot reach "), "{error}");
    assert_eq!(run.known().unwrap(), refs);
    assert_eq!(run.tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);
    assert_eq!(run.bytes(Some(&world.first), Content::of(b"two")).unwrap(), b"two");
    assert_eq!(run.commit(world.first.short()).unwrap(), world.first);
}

#[test]
fn before_the_first_fetch_nothing_is_known() {
    let world = World::new();
    let error = world.run().known().unwrap_err().to_string();
    assert!(error.contains("has not been fetched yet"), "{error}");
    // A commit is worth a fetch.
    assert_eq!(world.run().commit(world.first.short()).unwrap(), world.first);
}

#[test]
fn an_origin_without_refs_is_an_error_and_takes_nothing_away() {
    let world = World::new();
    let refs = world.run().refresh().unwrap();
    world.origin.delete("heads/main");
    let run = world.run();
    let error = run.refresh().unwrap_err().to_string();
    assert!(error.contains("lists no branch and no tag"), "{error}");
    assert_eq!(run.known().unwrap(), refs);
    let (_temp, dir) = temp();
    let empty = Origin::new(&dir.join("empty.git"));
    let source = GitSource::open(&dir.join("cache"), &Url::new(empty.dir.as_str()));
    assert!(matches!(source.refresh(), Err(SourceError::Unknown(_))));
}

#[test]
fn moved_and_deleted_refs_are_followed_and_what_they_led_to_is_kept() {
    let world = World::new();
    let origin = &world.origin;
    let stray = origin.commit(&[("a", Kind::File, b"unrelated")]);
    origin.set("tags/v1.0.0", world.first.as_str());
    origin.set("heads/topic", stray.as_str());
    world.run().refresh().unwrap();
    let second = world.second();
    origin.set("tags/v1.0.0", second.as_str());
    origin.delete("heads/topic");
    // A name that was a branch is now a directory of branches.
    origin.set("heads/topic/new", second.as_str());
    let run = world.run();
    let refs = run.refresh().unwrap();
    assert_eq!(names(&refs.tags), [("v1.0.0", Some(second.as_str()))]);
    let branches: Vec<&str> = refs.branches.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(branches, ["main", "topic/new"]);
    let mirror = Repository::open_bare(world.mirror()).unwrap();
    for kept in [&world.first, &stray] {
        assert!(mirror.find_reference(&format!("refs/packfleet/past/{kept}")).is_ok(), "{kept}");
    }
    // A branch that goes forward leaves nothing to keep.
    origin.set("heads/main", second.as_str());
    world.run().refresh().unwrap();
    let past = mirror.references_glob("refs/packfleet/past/*").unwrap().count();
    assert_eq!(past, 2);
    // And back again: a branch that was rewritten.
    origin.set("heads/main", world.first.as_str());
    assert_eq!(names(&world.run().refresh().unwrap().branches)[0], ("main", Some(world.first.as_str())));
    assert!(mirror.find_reference(&format!("refs/packfleet/past/{second}")).is_ok());
}

#[test]
fn a_commit_on_no_branch_is_found_by_other_refs() {
    let world = World::new();
    let [pull, short] = ["a pull request", "another one"].map(|text| {
        world.origin.commit_tree(world.origin.tree(&[("a", Kind::File, text.as_bytes())]), &[], text)
    });
    world.origin.set("pull/1/head", pull.as_str());
    world.origin.set("pull/2/head", short.as_str());
    let run = world.run();
    assert_eq!(run.commit(pull.as_str()).unwrap(), pull);
    assert_eq!(run.commit(short.short()).unwrap(), short);
    assert_eq!(run.tree(Some(&pull), &[None], &rules()).unwrap().entries.len(), 1);
    let error = run.commit("0123456").unwrap_err().to_string();
    assert!(error.contains("has no commit 0123456"), "{error}");
    // An object that is no commit is not taken for one.
    let tree = world.origin.tree(&[("a", Kind::File, b"three")]).to_string();
    world.origin.set("heads/main", world.second().as_str());
    let error = world.run().commit(&tree[..12]).unwrap_err().to_string();
    assert!(error.contains("is a tree"), "{error}");
}

#[test]
fn what_is_no_id_is_refused_without_asking_anybody() {
    let world = World::new();
    fs::remove_dir_all(&world.origin.dir).unwrap();
    for rev in ["", "abc", "main", "v1.0.0", "HEAD~1", "abcdefg", "-x", &"a".repeat(41), &"\u{e4}".repeat(4)]
    {
        let error = world.run().commit(rev).unwrap_err();
        assert!(matches!(error, SourceError::Unknown(_)), "{rev}: {error}");
    }
}

#[test]
fn an_ambiguous_id_names_its_candidates() {
    let world = World::new();
    let tree = world.origin.tree(&[("a", Kind::File, b"x")]);
    let mut seen = std::collections::BTreeMap::<String, CommitId>::new();
    let mut last = world.first.clone();
    let (one, two) = (0..)
        .find_map(|number| {
            last = world.origin.commit_tree(tree, &[&last], &format!("number {number}\u{1b}[2J"));
            seen.insert(last.as_str()[..4].to_owned(), last.clone()).map(|other| (other, last.clone()))
        })
        .unwrap();
    world.origin.set("heads/main", last.as_str());
    let run = world.run();
    run.refresh().unwrap();
    let error = run.commit(&one.as_str()[..4]).unwrap_err().to_string();
    assert!(error.contains("is ambiguous"), "{error}");
    assert!(error.contains(one.as_str()) && error.contains(two.as_str()), "{error}");
    assert!(error.contains("number") && !error.contains('\u{1b}'), "{error}");
    assert_eq!(run.commit(&one.as_str()[..20]).unwrap(), one);
    assert_eq!(run.commit(&one.as_str().to_ascii_uppercase()).unwrap(), one);
}

#[test]
fn pins_are_refs_and_outlive_a_damaged_mirror_and_a_forgetful_origin() {
    let world = World::new();
    let second = world.second();
    world.origin.set("heads/topic", second.as_str());
    let run = world.run();
    run.refresh().unwrap();
    run.pin(&[world.first.clone(), second.clone()]).unwrap();
    let pinned = |commit: &CommitId| {
        Repository::open_bare(world.mirror())
            .unwrap()
            .find_reference(&format!("refs/packfleet/pins/{commit}"))
            .is_ok()
    };
    assert!(pinned(&world.first) && pinned(&second));
    world.origin.delete("heads/topic");
    fs::write(world.mirror().join("packfleet-damaged"), "x").unwrap();
    let run = world.run();
    run.refresh().unwrap();
    assert!(!world.mirror().join("packfleet-damaged").exists());
    assert!(pinned(&world.first) && pinned(&second));
    assert_eq!(run.tree(Some(&second), &[None], &rules()).unwrap().entries.len(), 1);
}

/// Where an object begins in a mirror's pack, its kind is in three bits, of which two values mean nothing. The
/// refresh that meets one makes the mirror anew, and who meets it later is told.
#[test]
fn an_object_of_no_known_kind_is_damage_and_no_panic() {
    let world = World::new();
    world.run().refresh().unwrap();
    let pack = || {
        let files = object_files(&world.mirror());
        files.into_iter().find(|path| path.extension() == Some("pack")).unwrap()
    };
    let sound = fs::read(pack()).unwrap();
    // One or two bytes of kind and size, then a zlib stream.
    let begins = |at: &usize| sound[at + 1] == 0x78 || sound[*at] >= 0x80 && sound[at + 2] == 0x78;
    let begins: Vec<usize> = (12..sound.len() - 22).filter(begins).collect();
    assert!(begins.len() >= 5, "a commit, two trees and two blobs");
    for (at, kind) in begins.into_iter().flat_map(|at| [(at, 0), (at, 5)]) {
        let mut bytes = fs::read(pack()).unwrap();
        bytes[at] = bytes[at] & 0x8f | kind << 4;
        // Git keeps packs read-only; a new file in its place is not.
        let path = pack();
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bytes).unwrap();
        let _ = fs::remove_dir_all(world.cache.join("trees"));
        let run = world.run();
        let _ = run.commit(world.first.as_str());
        let _ = run.tree(Some(&world.first), &[None], &rules());
        run.refresh().unwrap_or_else(|error| panic!("{at} {kind}: {error}"));
        let tree = run.tree(Some(&world.first), &[None], &rules());
        assert_eq!(tree.unwrap_or_else(|error| panic!("{at} {kind}: {error}")).entries.len(), 2);
    }
}

fn object_files(dir: &Utf8Path) -> Vec<Utf8PathBuf> {
    let mut found = Vec::new();
    let mut ahead = vec![dir.join("objects")];
    while let Some(dir) = ahead.pop() {
        for entry in dir.read_dir_utf8().unwrap() {
            let path = entry.unwrap().into_path();
            if path.is_dir() { ahead.push(path) } else { found.push(path) }
        }
    }
    found
}

/// Puts the mirror's objects into loose files, without those that `leave` names.
fn rewrite(mirror: &Utf8Path, leave: impl Fn(Oid, ObjectType) -> bool) {
    let other = mirror.with_extension("rewritten");
    {
        let (from, to) = (Repository::open_bare(mirror).unwrap(), Repository::init_bare(&other).unwrap());
        let (from, to) = (from.odb().unwrap(), to.odb().unwrap());
        let mut ids = Vec::new();
        from.foreach(|id| {
            ids.push(*id);
            true
        })
        .unwrap();
        for id in ids {
            let object = from.read(id).unwrap();
            if !leave(id, object.kind()) {
                to.write(object.kind(), object.data()).unwrap();
            }
        }
    }
    fs::remove_dir_all(mirror.join("objects")).unwrap();
    fs::rename(other.join("objects"), mirror.join("objects")).unwrap();
    fs::remove_dir_all(other).unwrap();
}

#[test]
fn a_mirror_without_its_objects_is_made_anew_by_the_next_refresh() {
    let world = World::new();
    world.run().refresh().unwrap();
    for path in object_files(&world.mirror()) {
        fs::remove_file(path).unwrap();
    }
    let run = world.run();
    assert!(run.tree(Some(&world.first), &[None], &rules()).is_err());
    assert!(run.known().is_err());
    run.refresh().unwrap();
    assert_eq!(run.tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);
}

#[test]
fn a_missing_blob_is_an_error_and_brought_back_by_the_next_run() {
    let world = World::new();
    world.run().refresh().unwrap();
    let blob = Oid::hash_object(ObjectType::Blob, b"two").unwrap();
    rewrite(&world.mirror(), |id, _| id == blob);
    let run = world.run();
    run.refresh().unwrap();
    let error = run.tree(Some(&world.first), &[None], &rules()).unwrap_err();
    assert!(
        matches!(error, SourceError::Read { .. }) && error.to_string().contains(&blob.to_string()),
        "{error}"
    );
    let run = world.run();
    run.refresh().unwrap();
    assert_eq!(run.tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);

    // What the origin lacks as well is not looked for again and again.
    fs::remove_file(world.origin.dir.join(format!(
        "objects/{}/{}",
        &blob.to_string()[..2],
        &blob.to_string()[2..]
    )))
    .unwrap();
    fs::remove_dir_all(world.cache.join("trees")).unwrap();
    rewrite(&world.mirror(), |id, _| id == blob);
    let run = world.run();
    run.refresh().unwrap();
    assert!(run.tree(Some(&world.first), &[None], &rules()).is_err());
    let refreshed = world.run().refresh();
    assert!(refreshed.is_err() || world.run().tree(Some(&world.first), &[None], &rules()).is_err());
}

#[test]
fn a_warm_run_reads_no_blob() {
    let world = World::new();
    let run = world.run();
    run.refresh().unwrap();
    let cold = run.tree(Some(&world.first), &[None], &rules()).unwrap();
    rewrite(&world.mirror(), |_, kind| kind == ObjectType::Blob);
    assert_eq!(world.run().tree(Some(&world.first), &[None], &rules()).unwrap(), cold);

    // Another commit with the same tree in another place is the same listing.
    let tree = world.origin.tree(&[("a", Kind::File, b"one"), ("d/b", Kind::Exec, b"two")]);
    let moved = world.origin.raw_tree(&[(0o040_000, b"moved", tree)]);
    let moved = world.origin.commit_tree(moved, &[], "moved");
    world.origin.set("heads/moved", moved.as_str());
    let run = world.run();
    run.refresh().unwrap();
    rewrite(&world.mirror(), |_, kind| kind == ObjectType::Blob);
    assert_eq!(run.tree(Some(&moved), &[crate::dir("moved")], &rules()).unwrap().entries, cold.entries);
}

#[test]
fn a_damaged_listing_is_computed_anew_and_bytes_are_found_without_one() {
    let world = World::new();
    world.run().refresh().unwrap();
    let tree = || world.run().tree(Some(&world.first), &[None], &rules()).unwrap();
    let cold = tree();
    let kept = |dir: &Utf8Path| -> Vec<Utf8PathBuf> {
        dir.join("trees").read_dir_utf8().unwrap().map(|entry| entry.unwrap().into_path()).collect()
    };
    let [listing] = kept(&world.cache).try_into().unwrap();
    let sound = fs::read(&listing).unwrap();
    for at in (0..sound.len()).step_by(5) {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&listing, &damaged).unwrap();
        assert_eq!(tree(), cold, "byte {at}");
        assert_eq!(fs::read(&listing).unwrap(), sound, "byte {at}");
    }
    fs::write(&listing, b"").unwrap();
    assert_eq!(tree(), cold);
    for round in ["with the listing", "without it"] {
        assert_eq!(world.run().bytes(Some(&world.first), Content::of(b"two")).unwrap(), b"two", "{round}");
        let unknown = world.run().bytes(Some(&world.first), Content::of(b"else"));
        assert!(matches!(unknown, Err(SourceError::Unknown(_))), "{round}");
        let _ = fs::remove_dir_all(world.cache.join("trees"));
    }
}

#[test]
fn what_a_killed_process_left_is_cleared_away() {
    let world = World::new();
    world.run().refresh().unwrap();
    let mirror = world.mirror();
    let beside = |suffix: &str| Utf8PathBuf::from(format!("{mirror}.{suffix}"));
    // Killed while the first mirror was made.
    fs::remove_dir_all(&mirror).unwrap();
    fs::create_dir(beside("new")).unwrap();
    fs::write(beside("new").join("HEAD"), "half").unwrap();
    world.run().refresh().unwrap();
    assert_eq!(world.run().tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);
    // Killed between the two renames of making it anew.
    let origin = world.cache.join("away");
    fs::rename(&world.origin.dir, &origin).unwrap();
    fs::rename(&mirror, beside("old")).unwrap();
    assert!(world.run().refresh().is_err());
    assert_eq!(world.run().tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);
    // Files of anything where the mirror should be.
    fs::rename(&origin, &world.origin.dir).unwrap();
    fs::remove_dir_all(&mirror).unwrap();
    fs::create_dir(&mirror).unwrap();
    fs::write(mirror.join("HEAD"), "nonsense").unwrap();
    assert!(world.run().known().is_err());
    world.run().refresh().unwrap();
    assert_eq!(world.mirror(), mirror);
}

#[test]
fn many_runs_at_once_make_one_mirror() {
    let world = World::new();
    let refs: Vec<_> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let url = Url::new(world.origin.dir.as_str());
                    let run = GitSource::open(&world.cache, &url);
                    let refs = run.refresh().unwrap();
                    run.pin(std::slice::from_ref(&world.first)).unwrap();
                    assert_eq!(run.tree(Some(&world.first), &[None], &rules()).unwrap().entries.len(), 2);
                    refs
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(refs.iter().all(|found| *found == refs[0]));
    world.mirror();
}

#[test]
fn one_source_serves_many_threads() {
    let world = World::new();
    let run = world.run();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                run.refresh().unwrap();
                run.tree(Some(&world.first), &[None], &rules()).unwrap();
                assert_eq!(run.bytes(Some(&world.first), Content::of(b"one")).unwrap(), b"one");
            });
        }
    });
}

#[test]
fn the_cache_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new();
    let run = world.run();
    run.refresh().unwrap();
    run.tree(Some(&world.first), &[None], &rules()).unwrap();
    for dir in [world.cache.clone(), world.cache.join("mirrors"), world.cache.join("trees")] {
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700, "{dir}");
    }
}

#[test]
fn no_error_shows_a_password() {
    let (_temp, dir) = temp();
    for url in [
        "https://bob:hunter2@127.0.0.1:9/x.git",
        "https://hunter2@127.0.0.1:9/x.git",
        "http://bob:hunter2@[::1]:9/x.git",
        "ssh://bob:hunter2@127.0.0.1:9/x.git",
        "nonsense://bob:hunter2@127.0.0.1:9/x.git",
        "https://bob:hunter2@not a host/x.git",
    ] {
        let source = GitSource::open(&dir, &Url::new(url));
        for error in [
            source.refresh().unwrap_err(),
            source.commit("abcdef0").unwrap_err(),
            source.known().unwrap_err(),
        ] {
            let text = all_text(&error);
            assert!(!text.contains("hunter2"), "{url}: {text}");
        }
    }
    // Nor does a name in the cache.
    for entry in dir.join("mirrors").read_dir_utf8().unwrap() {
        assert!(!entry.unwrap().file_name().contains("hunter2"));
    }
}

/// What is packed from a path is whole: all history of branches, of tags on no branch, of tags of tags and of trees,
/// also when it comes bit by bit, and from an origin that borrows its objects elsewhere.
#[test]
fn what_comes_from_a_path_is_whole() {
    let world = World::new();
    let (origin, first) = (&world.origin, &world.first);
    let fsck = || {
        let output = std::process::Command::new("git")
            .args(["fsck", "--full", "--strict", "--no-dangling"])
            .current_dir(world.mirror())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .expect("git");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    world.run().refresh().unwrap();
    fsck();
    let second = world.second();
    let other = origin.tree(&[("large", Kind::File, &vec![7; 3 << 20]), ("d/new", Kind::File, b"new")]);
    let third = origin.commit_tree(other, &[&second, first], "on no branch");
    origin.annotate("once", third.as_str());
    let once = origin.repository.refname_to_id("refs/tags/once").unwrap();
    origin.annotate("twice", &once.to_string());
    origin.set("tags/of-a-tree", &origin.tree(&[("e/f", Kind::File, b"a tree's own")]).to_string());
    world.run().refresh().unwrap();
    fsck();
    let source = world.run();
    source.refresh().unwrap();
    assert_eq!(source.tree(Some(&third), &[None], &rules()).unwrap().entries.len(), 2);
    assert_eq!(source.merge_base(&third, first).unwrap().as_ref(), Some(first));
    // All of it is there already: a new name alone brings nothing in.
    let packs = || fs::read_dir(world.mirror().join("objects/pack")).unwrap().count();
    let before = packs();
    origin.set("heads/again", third.as_str());
    world.run().refresh().unwrap();
    assert_eq!((packs(), world.run().known().unwrap().branches.len()), (before, 2));
    fsck();

    let borrowing = Origin::new(&world.cache.parent().unwrap().join("borrowing.git"));
    let lender = format!("{}\n", origin.dir.join("objects"));
    fs::write(borrowing.dir.join("objects/info/alternates"), lender).unwrap();
    let again = git2::Repository::open_bare(&borrowing.dir).unwrap();
    again.reference("refs/heads/main", Oid::from_str(third.as_str()).unwrap(), true, "test").unwrap();
    let source = GitSource::open(&world.cache.join("other"), &Url::new(borrowing.dir.as_str()));
    source.refresh().unwrap();
    assert_eq!(source.tree(Some(&third), &[None], &rules()).unwrap().entries.len(), 2);
}

/// A clone of the last commits alone has no parents of the first of them, and says so.
#[test]
fn an_origin_with_a_part_of_its_history_is_fetched() {
    let world = World::new();
    let origin = &world.origin;
    let second = world.second();
    origin.set("heads/main", second.as_str());
    fs::write(origin.dir.join("shallow"), format!("{second}\n")).unwrap();
    let (directory, file) = world.first.as_str().split_at(2);
    fs::remove_file(origin.dir.join("objects").join(directory).join(file)).unwrap();
    let source = world.run();
    source.refresh().unwrap();
    assert_eq!(source.tree(Some(&second), &[None], &rules()).unwrap().entries.len(), 1);
}
