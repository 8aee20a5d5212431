//! Putting the plan together.
//!
//! A verdict per path, holds spread over what depends on them, the budget audited, actions ordered, and
//! the next record written down. What the next record says of a path is exactly what its verdict says;
//! held paths and stopped packs keep what was recorded of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::{Actual, Seen};
use crate::model::desired::Desired;
use crate::model::fleet::{Budget, Deployment, State};
use crate::model::plan::{Action, Obstacle, Plan, Purpose};
use crate::model::record::{Decision, Record, Take};
use crate::model::{Content, FleetName, PackName, RecordDigest, TreePath};

use super::audit::audit;
use super::drift::{Drift, PackDrift, judge};
use super::holds::{Held, spread};
use super::order;
use super::verdict::{Departs, MergeAnswer, Verdict, decided, merge_ask, verdict};

/// All that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The fleet's name.
    pub fleet: &'a FleetName,
    /// The deployment.
    pub deployment: &'a Deployment,
    /// What is recorded; `None` before first contact.
    pub record: Option<&'a Record>,
    /// Digest of the record's bytes.
    pub digest: Option<RecordDigest>,
    /// What should be there.
    pub desired: &'a Desired,
    /// What is there.
    pub actual: &'a Actual,
    /// How large a change may be.
    pub budget: &'a Budget,
}

impl Question<'_> {
    /// The record, or the empty one.
    pub fn known(&self) -> Record {
        self.record.cloned().unwrap_or_else(|| {
            Record::empty(self.fleet.clone(), self.deployment.name.clone(), self.deployment.root.clone())
        })
    }

    /// The verdict on every path, before anything is decided.
    pub fn drift(&self) -> Drift {
        judge(self.deployment, &self.known(), self.desired, self.actual)
    }
}

/// The contents to merge (base, actual, desired) before [`plan`] can decide, by path.
pub fn asks(drift: &Drift, record: Option<&Record>) -> BTreeMap<TreePath, (Content, Content, Content)> {
    let decisions = record.map(|record| &record.decisions);
    drift
        .paths
        .iter()
        .filter(|(path, judged)| {
            decided(judged, decisions.and_then(|decisions| decisions.get(*path))).is_none()
        })
        .filter_map(|(path, judged)| Some((path.clone(), merge_ask(judged)?)))
        .collect()
}

/// Decides. `answers` holds one answer for each of [`asks`]; a missing one is a hold.
pub fn plan(question: &Question<'_>, drift: &Drift, answers: &BTreeMap<TreePath, MergeAnswer>) -> Plan {
    let record = question.known();
    let departs = match question.deployment.state {
        State::Absent => Departs::Yes,
        State::Present => Departs::No,
    };
    let verdicts: BTreeMap<TreePath, Verdict> = drift
        .paths
        .iter()
        .map(|(path, judged)| {
            (path.clone(), verdict(judged, answers.get(path), record.decisions.get(path), departs))
        })
        .collect();
    let refused = match departs {
        Departs::Yes => Vec::new(),
        Departs::No => audit(drift, &record, &verdicts, question.budget),
    };
    let held = spread(drift, &record, &verdicts, refused);
    let actions = actions(drift, &record, &verdicts, &held);
    let mut next = next(drift, &record, &verdicts, &held);
    next.generation = record.generation + 1;
    let commits = !actions.is_empty() || says_something_new(&record, &next);
    let mut prune = Vec::new();
    if commits {
        let made = made(&actions, question.actual);
        next.directories.extend(made);
        let needed: BTreeSet<TreePath> = next.entries.keys().flat_map(TreePath::ancestors).collect();
        let mut gone = replaced(&actions, question.actual);
        // One that is no directory any more is somebody's by now.
        let empty = |directory: &&TreePath| {
            !needed.contains(*directory) && question.actual.directories.contains(*directory)
        };
        gone.extend(next.directories.iter().filter(empty).cloned());
        next.directories.retain(|directory| needed.contains(directory));
        prune.extend(gone.into_iter().rev());
    }
    Plan {
        purpose: Purpose::Sync,
        generation: record.generation,
        record: question.digest,
        actions,
        holds: held.holds,
        prune,
        next,
        commits,
    }
}

/// Removals first (dependents before what they require, deepest first), then puts in pack order.
fn actions(
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

fn next(drift: &Drift, record: &Record, verdicts: &BTreeMap<TreePath, Verdict>, held: &Held) -> Record {
    let mut next = record.clone();
    for (path, verdict) in verdicts {
        let Some(judged) = drift.paths.get(path) else { continue };
        if held.holds(&judged.pack, path) {
            continue;
        }
        match verdict {
            Verdict::Leave | Verdict::Hold(_) => {}
            Verdict::Settle(recorded) | Verdict::Write { settle: Some(recorded), .. } => {
                next.entries.insert(path.clone(), recorded.clone());
            }
            Verdict::Forget | Verdict::Write { settle: None, .. } => {
                next.entries.remove(path);
            }
        }
    }
    for (name, pack) in &drift.packs {
        if held.stopped.contains(name) || pack.frozen.is_some() {
            continue;
        }
        match &pack.wanted {
            Some(wanted) => {
                next.packs.insert(name.clone(), wanted.recorded.clone());
            }
            None if !next.entries.values().any(|recorded| &recorded.owner == name) => {
                next.packs.remove(name);
            }
            None => {}
        }
    }
    next.decisions.retain(|path, decision| waits(path, decision, drift, held));
    next.rejected.retain(|name, _| drift.packs.get(name).is_some_and(|pack| pack.frozen.is_some()));
    next
}

/// Whether a decision stays on record: it was not carried out, and may yet be.
fn waits(path: &TreePath, decision: &Decision, drift: &Drift, held: &Held) -> bool {
    let frozen = |pack: &PackDrift| pack.frozen.is_some();
    let Some(judged) = drift.paths.get(path) else {
        // Perhaps a path that a version has which cannot be used just now.
        return drift.packs.values().any(frozen);
    };
    if decided(judged, Some(decision)).is_some() {
        // That a file stays away is in no base; the decision is what says so.
        let away = decision.actual.is_none() && decision.take == Take::Local;
        return away || held.holds(&judged.pack, path);
    }
    // While a version is held its Desired is not what the decision speaks of.
    drift.packs.get(&judged.pack).is_some_and(frozen)
        && judged.obstacle().is_none()
        && decision.actual == judged.actual_entry()
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
fn says_something_new(before: &Record, after: &Record) -> bool {
    before.packs != after.packs
        || before.rejected != after.rejected
        || before.entries.len() != after.entries.len()
        || before.entries.iter().zip(&after.entries).any(|((path, was), (same, is))| {
            path != same || was.owner != is.owner || was.base != is.base || was.commit != is.commit
        })
}
