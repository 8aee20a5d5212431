//! The states that a pack had: every tree of its directory on any branch or tag, with the commits that have it.
//!
//! Walked from the newest commit to the oldest, by tree ids alone: no blob is read. A commit counts where its
//! tree of the pack is none of its parents', so that a merge which brings nothing new is left out; commits
//! that tags lead to count in any case, for people know them by name. Bounded, and the answer says so.

use std::collections::{BTreeMap, BTreeSet};

use git2::{ErrorCode, Oid, Repository, Sort};

use super::listing::{self, WalkError};
use super::{History, Past, PastCommit};
use crate::model::TreePath;
use crate::model::pack::{CommitId, Refs};

/// Commits that are looked at before the walk gives up on older ones.
const MOST_COMMITS: usize = 200_000;
/// Characters of a subject that are kept.
const SUBJECT: usize = 120;

/// Walks all branches and tags. `main` is the tip of the branch whose commits are preferred.
pub(super) fn walk(
    repository: &Repository,
    refs: &Refs,
    dirs: &[Option<TreePath>],
    main: Option<&CommitId>,
    most: usize,
) -> Result<History, WalkError> {
    let tips = refs.branches.iter().chain(&refs.tags).filter_map(|found| oid(found.commit.as_ref()?));
    let tips: BTreeSet<Oid> = tips.collect();
    let tagged: BTreeSet<Oid> = refs.tags.iter().filter_map(|tag| oid(tag.commit.as_ref()?)).collect();
    let main = match main.and_then(oid) {
        Some(tip) => ancestors(repository, &[tip].into())?.into_iter().collect(),
        None => BTreeSet::new(),
    };
    let mut trees = Trees { repository, dirs, known: BTreeMap::new() };
    let mut states: Vec<Past> = Vec::new();
    let mut places: BTreeMap<Oid, usize> = BTreeMap::new();
    let (mut commits, mut whole) = (0, true);
    let walked = ancestors(repository, &tips)?;
    whole &= walked.len() < MOST_COMMITS;
    for id in walked {
        let Some(tree) = trees.of(id)? else { continue };
        let commit = repository.find_commit(id).map_err(|error| WalkError::Object(id, error))?;
        let mut news = true;
        for parent in commit.parent_ids() {
            news &= trees.of(parent)? != Some(tree);
        }
        if !news && !tagged.contains(&id) {
            continue;
        }
        let place = match places.get(&tree) {
            Some(place) => *place,
            None if states.len() >= most => {
                whole = false;
                continue;
            }
            None => {
                states.push(Past { commits: Vec::new() });
                places.insert(tree, states.len() - 1);
                states.len() - 1
            }
        };
        commits += usize::from(news);
        let Ok(name) = CommitId::new(&id.to_string()) else { continue };
        let subject = commit.summary().ok().flatten().unwrap_or_default().chars().take(SUBJECT).collect();
        states[place].commits.push(PastCommit {
            id: name,
            time: commit.time().seconds(),
            subject,
            on_main: main.contains(&id),
        });
    }
    Ok(History { states, commits, whole })
}

/// The best common ancestor of two commits, if they have one.
pub(super) fn merge_base(
    repository: &Repository,
    a: &CommitId,
    b: &CommitId,
) -> Result<Option<CommitId>, git2::Error> {
    let found = repository.merge_base(Oid::from_str(a.as_str())?, Oid::from_str(b.as_str())?);
    match found {
        Ok(id) => Ok(CommitId::new(&id.to_string()).ok()),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn oid(commit: &CommitId) -> Option<Oid> {
    Oid::from_str(commit.as_str()).ok()
}

/// Commits that tips lead to, children before their parents, newer ones first.
fn ancestors(repository: &Repository, tips: &BTreeSet<Oid>) -> Result<Vec<Oid>, WalkError> {
    let Some(first) = tips.first() else { return Ok(Vec::new()) };
    let failed = |error| WalkError::Object(*first, error);
    let mut walk = repository.revwalk().map_err(failed)?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME).map_err(failed)?;
    for tip in tips {
        walk.push(*tip).map_err(|error| WalkError::Object(*tip, error))?;
    }
    walk.take(MOST_COMMITS).map(|id| id.map_err(failed)).collect()
}

/// Trees of the pack by commit, each found once.
struct Trees<'a> {
    repository: &'a Repository,
    dirs: &'a [Option<TreePath>],
    known: BTreeMap<Oid, Option<Oid>>,
}

impl Trees<'_> {
    fn of(&mut self, commit: Oid) -> Result<Option<Oid>, WalkError> {
        if let Some(known) = self.known.get(&commit) {
            return Ok(*known);
        }
        let top = self.repository.find_commit(commit).map_err(|error| WalkError::Object(commit, error))?;
        let mut found = None;
        for dir in self.dirs {
            found = listing::directory(self.repository, top.tree_id(), dir.as_ref())?;
            if found.is_some() {
                break;
            }
        }
        self.known.insert(commit, found);
        Ok(found)
    }
}
