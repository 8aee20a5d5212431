//! Putting the plan together.
//!
//! A verdict per path, holds spread over what depends on them, the budget audited, actions ordered, and
//! the next record written down. What the next record says of a path is exactly what its verdict says;
//! held paths and stopped packs keep what was recorded of them.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use crate::model::actual::Actual;
use crate::model::desired::Desired;
use crate::model::fleet::{Budget, Deployment, State};
use crate::model::plan::{Conflict, HoldCause, Plan, Purpose};
use crate::model::record::{Decision, Record, Take};
use crate::model::{Content, FleetName, PackName, RecordDigest, TreePath};

use super::assemble::{actions, directories, says_something_new, settle};
use super::audit::audit;
use super::drift::{Drift, PackDrift, judge};
use super::holds::{Held, spread};
use super::rejection;
use super::renames;
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
    pub fn known(&self) -> Cow<'_, Record> {
        match self.record {
            Some(record) => Cow::Borrowed(record),
            None => Cow::Owned(Record::empty(
                self.fleet.clone(),
                self.deployment.name.clone(),
                self.deployment.root.clone(),
            )),
        }
    }

    /// The verdict on every path, before anything is decided.
    pub fn drift(&self) -> Drift {
        judge(self.deployment, &self.known(), self.desired, self.actual)
    }
}

/// The contents to merge (base, actual, desired) before [`plan`] can decide, by path: the old one where an edit
/// follows a rename.
pub fn asks(drift: &Drift, record: Option<&Record>) -> BTreeMap<TreePath, (Content, Content, Content)> {
    let decisions = record.map(|record| &record.decisions);
    let follows = drift.renames.iter().filter_map(|(old, rename)| Some((old, rename.followed()?)));
    drift
        .paths
        .iter()
        .chain(follows)
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
    let mut verdicts: BTreeMap<TreePath, Verdict> = drift
        .paths
        .iter()
        .map(|(path, judged)| {
            (path.clone(), verdict(judged, answers.get(path), record.decisions.get(path), departs))
        })
        .collect();
    renames::judge(drift, &mut verdicts, answers, &record.decisions);
    dropped(drift, &mut verdicts);
    let refused = match departs {
        Departs::Yes => Vec::new(),
        Departs::No => audit(drift, &record, &verdicts, question.budget),
    };
    let mut held = spread(drift, &record, &verdicts, refused.clone());
    let mut steps = actions(drift, &record, &verdicts, &held);
    let again = rejection::again(&record, &steps);
    let repairs: BTreeSet<PackName> = again.iter().filter_map(|hold| hold.pack.clone()).collect();
    if !again.is_empty() {
        held = spread(drift, &record, &verdicts, [refused, again].concat());
        steps = actions(drift, &record, &verdicts, &held);
    }
    let actions = steps;
    let mut next = next(drift, &record, &verdicts, &held, &repairs);
    next.generation = record.generation + 1;
    let commits = !actions.is_empty() || says_something_new(&record, &next);
    let prune = if commits { directories(&mut next, &actions, question.actual) } else { Vec::new() };
    let renames = renames::carried_out(drift, &actions);
    Plan {
        purpose: Purpose::Sync,
        generation: record.generation,
        record: question.digest,
        actions,
        renames,
        holds: held.holds,
        prune,
        next,
        commits,
    }
}

/// Where the whole pack goes, no version of it deleted the file.
fn dropped(drift: &Drift, verdicts: &mut BTreeMap<TreePath, Verdict>) {
    for (path, verdict) in verdicts {
        if let Verdict::Hold(HoldCause::Conflict { conflict, .. }) = verdict
            && **conflict == Conflict::UpstreamDeleted
            && let Some(judged) = drift.paths.get(path)
            && drift.packs.get(&judged.pack).is_some_and(|pack| pack.wanted.is_none())
        {
            **conflict = Conflict::Dropped;
        }
    }
}

/// `repairs` are packs whose repair stays rejected.
fn next(
    drift: &Drift,
    record: &Record,
    verdicts: &BTreeMap<TreePath, Verdict>,
    held: &Held,
    repairs: &BTreeSet<PackName>,
) -> Record {
    let mut next = record.clone();
    settle(&mut next.entries, drift, verdicts, held);
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
    let frozen = |name: &PackName| drift.packs.get(name).is_some_and(|pack| pack.frozen.is_some());
    next.rejected.retain(|name, _| frozen(name) || repairs.contains(name));
    next
}

/// Whether a decision stays on record: it was not carried out, and may yet be.
fn waits(path: &TreePath, decision: &Decision, drift: &Drift, held: &Held) -> bool {
    let frozen = |pack: &PackDrift| pack.frozen.is_some();
    let follows = drift.renames.get(path).and_then(|rename| rename.followed());
    let Some(judged) = follows.or_else(|| drift.paths.get(path)) else {
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
