//! The past of a pack: which states it had, at which commits, on which branches.

use packfleet::model::Kind;
use packfleet::model::fleet::Url;
use packfleet::model::pack::CommitId;
use packfleet::source::{GitSource, History, PackSource};

use crate::repository::Origin;
use crate::{dir, temp};

/// States as numbers of the commits in `all`, and whether each is on main.
fn told(history: &History, all: &[&CommitId]) -> Vec<Vec<(usize, bool)>> {
    let number = |id: &CommitId| all.iter().position(|known| *known == id).unwrap();
    let state = |commits: &[packfleet::source::PastCommit]| {
        commits.iter().map(|commit| (number(&commit.id), commit.on_main)).collect()
    };
    history.states.iter().map(|past| state(&past.commits)).collect()
}

#[test]
fn every_state_of_a_directory_with_the_commits_that_made_it() {
    let (_temp, place) = temp();
    let origin = Origin::new(&place.join("packs.git"));
    let tree = |at: &str, text: &str, other: &str| {
        origin.tree(&[(at, Kind::File, text.as_bytes()), ("other", Kind::File, other.as_bytes())])
    };
    // 0: old/a "1" · 1: nothing new · 2: moved to p/a · 3: "2" on a side branch · 4: "2" on main · 5: a merge that
    // brings nothing new · 6: "1" again · 7: without the pack.
    let c0 = origin.commit_tree(tree("old/a", "1", ""), &[], "zero");
    let c1 = origin.commit_tree(tree("old/a", "1", "x"), &[&c0], "one");
    let c2 = origin.commit_tree(tree("p/a", "1", "x"), &[&c1], "two");
    let c3 = origin.commit_tree(tree("p/a", "2", "side"), &[&c2], "three");
    let c4 = origin.commit_tree(tree("p/a", "2", "main"), &[&c2], "four\n\nmore");
    let c5 = origin.commit_tree(tree("p/a", "2", "both"), &[&c4, &c3], "five");
    let c6 = origin.commit_tree(tree("p/a", "3", "both"), &[&c5], "six");
    let c7 = origin.commit_tree(origin.tree(&[("other", Kind::File, b"")]), &[&c6], "seven");
    let all = [&c0, &c1, &c2, &c3, &c4, &c5, &c6, &c7];
    origin.set("heads/main", c7.as_str());
    origin.set("heads/side", c3.as_str());
    origin.set("tags/v1", c1.as_str());
    let source = GitSource::open(&place.join("cache"), &Url::new(origin.dir.as_str()));
    source.refresh().unwrap();
    let dirs = [dir("p"), dir("old")];

    let history = source.history(&dirs, Some(&c7), 100).unwrap();
    assert!(history.whole);
    assert_eq!(history.commits, 4, "those that changed the pack");
    // A tagged commit counts although it brings nothing; equal trees are one state, wherever they lay.
    let told_now = told(&history, &all);
    assert_eq!(told_now[0], [(6, true)]);
    let mut twice = told_now[1].clone();
    twice.sort();
    assert_eq!(twice, [(3, true), (4, true)]);
    assert_eq!(told_now[2..], [vec![(1, true), (0, true)]]);
    assert_eq!(history.states[1].commits.len(), 2);
    assert!(history.states.iter().flat_map(|past| &past.commits).any(|commit| commit.subject == "four"));

    let side = source.history(&dirs, Some(&c3), 1).unwrap();
    assert_eq!((told(&side, &all), side.whole), (vec![vec![(6, false)]], false));
    assert_eq!(source.history(&[dir("none")], None, 9).unwrap().states, []);

    assert_eq!(source.merge_base(&c3, &c6).unwrap(), Some(c3.clone()));
    assert_eq!(source.merge_base(&c3, &c4).unwrap(), Some(c2.clone()));
    let stranger = origin.commit_tree(tree("p/a", "9", ""), &[], "stranger");
    origin.set("heads/stranger", stranger.as_str());
    let source = GitSource::open(&place.join("cache"), &Url::new(origin.dir.as_str()));
    source.refresh().unwrap();
    assert_eq!(source.merge_base(&c3, &stranger).unwrap(), None);
}
