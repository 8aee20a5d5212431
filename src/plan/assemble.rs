//! What verdicts come to: steps in their order, and what is on record afterwards.
//!
//! Used by every plan, whatever made its verdicts. What the record says of a path is exactly what the
//! verdict says; held paths and stopped packs keep what was recorded of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::{Actual, Seen};
use crate::model::plan::{Action, Obstacle};
use crate::model::record::{Record, Recorded};
use crate::model::{PackName, TreePath};

use super::drift::Drift;
use super::holds::Held;
use super::order;
use super::verdict::Verdict;

/// Removals first (dependents before what they require, deepest first), then puts in pack order.
pub(super) fn actions(
    drift: &Drift,
    record: &Record,
    verdicts: &BTreeMap<TreePath, Verdict>,
    held: &Held,
) -> Vec<Action> {
    let rank: BTreeMap<PackName, usize> =
        order::packs(drift, record).into_iter().enumerate().map(|(rank, name)| (name, rank)).collect();
    let mut removals = Vec::new();
    let mut puts = Vec::new();
    for (path, verdict) in verdicts {
        let Some(judged) = drift.paths.get(path) else { continue };
        let Verdict::Write { before, after, cause, save, .. } = verdict else { continue };
        if held.holds(&judged.pack, path) {
            continue;
        }
        let action = Action {
            path: path.clone(),
            pack: judged.pack.clone(),
            before: *before,
            after: *after,
            cause: *cause,
            save: *save,
        };
        let rank = rank.get(&judged.pack).copied().unwrap_or(usize::MAX);
        if after.is_none() { removals.push((rank, action)) } else { puts.push((rank, action)) }
    }
    removals.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| y.path.cmp(&x.path)));
    puts.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.path.cmp(&y.path)));
    removals.into_iter().chain(puts).map(|(_, action)| action).collect()
}

/// What is recorded of each path, brought up to what its verdict says.
pub(super) fn settle(
    entries: &mut BTreeMap<TreePath, Recorded>,
    drift: &Drift,
    verdicts: &BTreeMap<TreePath, Verdict>,
    held: &Held,
) {
    for (path, verdict) in verdicts {
        let Some(judged) = drift.paths.get(path) else { continue };
        if held.holds(&judged.pack, path) {
            continue;
        }
        match verdict {
            Verdict::Leave | Verdict::Hold(_) => {}
            Verdict::Settle(recorded) | Verdict::Write { settle: Some(recorded), .. } => {
                entries.insert(path.clone(), recorded.clone());
            }
            Verdict::Forget | Verdict::Write { settle: None, .. } => {
                entries.remove(path);
            }
        }
    }
}

/// Brings the record's directories up to date, and gives those that are to be removed once empty,
/// deepest first.
pub(super) fn directories(next: &mut Record, actions: &[Action], actual: &Actual) -> Vec<TreePath> {
    next.directories.extend(made(actions, actual));
    let needed: BTreeSet<TreePath> = next.entries.keys().flat_map(TreePath::ancestors).collect();
    let mut gone = replaced(actions, actual);
    // One that is no directory any more is somebody's by now.
    let empty =
        |directory: &&TreePath| !needed.contains(*directory) && actual.directories.contains(*directory);
    gone.extend(next.directories.iter().filter(empty).cloned());
    next.directories.retain(|directory| needed.contains(directory));
    gone.into_iter().rev().collect()
}

/// Directories in whose place files are put: all that was in them is removed before.
fn replaced(actions: &[Action], actual: &Actual) -> BTreeSet<TreePath> {
    let is_directory =
        |path: &TreePath| matches!(actual.paths.get(path), Some(Seen::Obstacle(Obstacle::Directory { .. })));
    let files: Vec<&TreePath> = actions
        .iter()
        .filter(|action| action.after.is_some() && is_directory(&action.path))
        .map(|action| &action.path)
        .collect();
    let inside = |directory: &&TreePath| files.iter().any(|file| directory.is_below(file));
    let below = actual.directories.iter().filter(inside);
    files.iter().copied().chain(below).cloned().collect()
}

/// Directories that creating files makes.
fn made(actions: &[Action], actual: &Actual) -> BTreeSet<TreePath> {
    let created = actions.iter().filter(|action| action.before.is_none());
    created
        .flat_map(|action| action.path.ancestors().collect::<Vec<_>>())
        .filter(|directory| !actual.directories.contains(directory))
        .collect()
}

/// A new edit on the host, or a decision that lapsed, is no reason to write; anything else is.
pub(super) fn says_something_new(before: &Record, after: &Record) -> bool {
    before.packs != after.packs
        || before.rejected != after.rejected
        || before.entries.len() != after.entries.len()
        || before.entries.iter().zip(&after.entries).any(|((path, was), (same, is))| {
            path != same || was.owner != is.owner || was.base != is.base || was.commit != is.commit
        })
}
