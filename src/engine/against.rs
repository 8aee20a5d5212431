//! What a change of the fleet repository causes: the plans of two fleets for the same hosts, and what only the
//! newer one has.
//!
//! ```text
//! plans of the merge base ─┐   steps and holds that only the latter have; the rest was pending before
//! plans of what is here ───┴─► what is said otherwise (settings), who waits no more
//! ```
//! The hosts are looked at for both, so that drift of a host is on either side and drops out. Where nothing could be
//! written before (it was observed only, or waited) and now it can, all of the plan is caused by the change; so it is
//! where the files go to another place. What is left is no plan that could be carried out: it has no id, and nobody
//! applies it; [`Whole`] keeps what may be said of the whole.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Outcome, Report, Survey, Wait, outcome_of};
use super::settings::{self, Setting};
use crate::model::fleet::{Fleet, Mode};
use crate::model::{DeploymentName, PackName, TreePath};
use crate::plan::gate::{Facts, PausedBy, Reason, Wish};
use crate::plan::{Judged, Standing};
use crate::source::checkout::FleetCommit;

/// A fleet compared with an earlier one.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// What was asked for: a branch, tag or commit.
    pub rev: String,
    /// The commit that both come from.
    pub base: Option<FleetCommit>,
    /// Why there is nothing to compare with, so that everything is shown.
    pub unread: Option<String>,
    /// Selected deployments that the change does not touch.
    pub untouched: usize,
    /// Steps and holds that were pending before it, on all selected deployments.
    pub earlier: usize,
    /// Deployments that it takes out of the fleet; nothing happens to their files.
    pub gone: Vec<DeploymentName>,
}

/// What the change does to one deployment apart from its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Something is said otherwise.
    Said(Setting),
    /// It does not wait for that any more.
    Freed(Reason),
    /// It does not wait for another one any more.
    FreedOf(Wait),
}

/// What was found on comparing one deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// What changes apart from its files.
    pub changes: Vec<Change>,
    /// The whole plan, where steps of it are not shown.
    pub whole: Option<Whole>,
}

/// What a whole plan is like of which only a part is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// Packs of which it writes or removes files.
    pub writes: BTreeSet<PackName>,
    /// Packs of which something is held.
    pub held: BTreeSet<PackName>,
}

/// Leaves in `now` what `before` does not have. Deployments that are alike in both are no longer selected.
pub fn compare(now: &mut [Report], fleet: &Fleet, before: &[Report], old_fleet: &Fleet) -> Against {
    let known: BTreeMap<&DeploymentName, &Report> =
        before.iter().map(|report| (&report.deployment, report)).collect();
    let gone =
        before.iter().filter(|report| report.selected && !fleet.deployments.contains_key(&report.deployment));
    let mut against =
        Against { gone: gone.map(|report| report.deployment.clone()).collect(), ..Against::default() };
    for report in now.iter_mut().filter(|report| report.selected) {
        let name = &report.deployment;
        let (Some(earlier), Some(is), Some(was)) =
            (known.get(name).copied(), fleet.deployments.get(name), old_fleet.deployments.get(name))
        else {
            continue;
        };
        let told = moving(report, earlier);
        let said = settings::changes((fleet, is), (old_fleet, was), &told);
        let mut changes: Vec<Change> = said.into_iter().map(Change::Said).collect();
        let unwell = |report: &Report| report.failure.as_ref().map(ToString::to_string);
        if unwell(report).is_some() && unwell(report) == unwell(earlier) && report.survey.is_none() {
            changes.extend(unseen(report, earlier));
            if changes.is_empty() {
                report.selected = false;
                against.earlier += 1;
            }
            report.compared = Some(Compared { changes, whole: None });
            continue;
        }
        changes.extend(freed(report, earlier));
        let old = earlier.survey.as_ref();
        let (Some(survey), Some(old)) = (&mut report.survey, old) else {
            report.compared = Some(Compared { changes, whole: None });
            continue;
        };
        // How its host fares is nothing that the change causes.
        report.health = None;
        let stood = was.mode == Mode::Observe || earlier.is_waiting();
        let goes = is.mode == Mode::Converge && report.waits.is_empty() && report.gate.is_empty();
        if stood && goes || (&is.host, &is.root) != (&was.host, &was.root) {
            report.compared = Some(Compared { changes, whole: None });
            continue;
        }
        let whole = Whole {
            writes: survey.plan.actions.iter().map(|action| action.pack.clone()).collect(),
            held: survey.plan.holds.iter().filter_map(|hold| hold.pack.clone()).collect(),
        };
        let all_holds = survey.plan.holds.clone();
        let as_whole = report.outcome;
        let mut left_out = restrict(survey, old);
        if let (Some(told), Some(before)) = (&mut report.told, earlier.told.as_ref()) {
            let wanted = |survey: &Survey, path: &TreePath| {
                survey.drift.paths.get(path).and_then(Judged::desired_entry)
            };
            told.undecided.retain(|path, what| {
                before.undecided.get(path) != Some(what) || wanted(survey, path) != wanted(old, path)
            });
        }
        let moves = survey.plan.next.packs != old.plan.next.packs
            || survey.drift.packs.keys().any(|pack| survey.wanted(pack) != old.wanted(pack));
        let undecided = report.told.as_ref().is_some_and(|told| !told.undecided.is_empty());
        let waits_otherwise = (&report.waits, &report.gate) != (&earlier.waits, &earlier.gate);
        let steps = !survey.plan.actions.is_empty() || !survey.plan.holds.is_empty();
        if !moves && !undecided && !waits_otherwise && !steps && changes.is_empty() {
            report.selected = false;
            against.untouched += 1;
        } else if report.outcome != Outcome::Waiting {
            report.outcome = match outcome_of(&survey.plan) {
                Outcome::Planned | Outcome::InSync if undecided => Outcome::Undecided,
                // It is not in sync because the change has no steps of its own.
                Outcome::InSync => {
                    left_out -= all_holds.len() - survey.plan.holds.len();
                    survey.plan.holds = all_holds;
                    as_whole
                }
                outcome => outcome,
            };
        }
        against.earlier += left_out;
        report.compared = Some(Compared { changes, whole: (left_out > 0).then_some(whole) });
    }
    against
}

/// Packs of which the versions or what is recorded tell that something changed.
fn moving(report: &Report, earlier: &Report) -> BTreeSet<PackName> {
    let (Some(survey), Some(old)) = (&report.survey, &earlier.survey) else { return BTreeSet::new() };
    let names = survey.drift.packs.keys().chain(old.drift.packs.keys());
    names.filter(|pack| survey.wanted(pack) != old.wanted(pack)).cloned().collect()
}

/// What cannot be seen at a host that does not answer: other files are wanted there.
fn unseen(report: &Report, earlier: &Report) -> Vec<Change> {
    let (Some(is), Some(was)) = (&report.facts, &earlier.facts) else { return Vec::new() };
    let names: BTreeSet<&PackName> = is.packs.keys().chain(was.packs.keys()).collect();
    let wants = |facts: &Facts, pack: &PackName| {
        facts.packs.get(pack).map(|pack| match &pack.wants {
            Wish::Laid(laid) => format!("tree {}", laid.tree.short()),
            Wish::Absent => "nothing".to_owned(),
            Wish::Unknown => "unknown".to_owned(),
        })
    };
    let other = names.into_iter().filter(|pack| {
        let wish = |facts: &Facts| facts.packs.get(*pack).map(|it| it.wants.clone());
        wish(is) != wish(was)
    });
    let said = |pack: &PackName| Setting {
        pack: Some(pack.clone()),
        what: "files".to_owned(),
        before: wants(was, pack),
        after: wants(is, pack),
    };
    other.map(|pack| Change::Said(said(pack))).collect()
}

/// For what it does not wait any more. What it still waits for in other words is told by its waits.
fn freed(report: &Report, earlier: &Report) -> Vec<Change> {
    let alike = |a: &Reason, b: &Reason| match (a, b) {
        (Reason::Stage { stage: one, pack: of, .. }, Reason::Stage { stage, pack, .. })
        | (Reason::Stopped { stage: one, pack: of, .. }, Reason::Stopped { stage, pack, .. }) => {
            (one, of) == (stage, pack)
        }
        _ => std::mem::discriminant(a) == std::mem::discriminant(b),
    };
    // That of the fleet file is told as what is said otherwise.
    let told = |was: &Reason| matches!(was, Reason::Pause { by: PausedBy::FleetFile, .. });
    let gates = earlier.gate.iter().filter(|was| !told(was) && !report.gate.iter().any(|is| alike(is, was)));
    let waits = earlier.waits.iter().filter(|was| !report.waits.iter().any(|is| is.on == was.on));
    gates.cloned().map(Change::Freed).chain(waits.cloned().map(Change::FreedOf)).collect()
}

/// Takes out what the other plan has as well; says how much that was.
fn restrict(survey: &mut Survey, old: &Survey) -> usize {
    let steps: BTreeMap<_, _> =
        old.plan.actions.iter().map(|action| (&action.path, (action.before, action.after))).collect();
    let pending = survey.plan.actions.len() + survey.plan.holds.len();
    let moves: BTreeSet<PackName> =
        survey.drift.packs.keys().filter(|pack| survey.wanted(pack) != old.wanted(pack)).cloned().collect();
    survey.plan.actions.retain(|action| steps.get(&action.path) != Some(&(action.before, action.after)));
    // What holds a pack that the change would move stands in the way of the change.
    survey.plan.holds.retain(|hold| {
        !old.plan.holds.contains(hold) || hold.pack.as_ref().is_some_and(|pack| moves.contains(pack))
    });
    survey.plan.commits = survey.plan.commits
        && (!survey.plan.actions.is_empty() || survey.plan.next.packs != old.plan.next.packs);
    let acts: BTreeSet<_> = survey.plan.actions.iter().map(|action| action.path.clone()).collect();
    survey.drift.paths.retain(|path, judged| {
        let before = old.drift.paths.get(path);
        let same = before.is_some_and(|before| {
            (before.standing, before.desired_entry()) == (judged.standing, judged.desired_entry())
        });
        acts.contains(path) || !same || judged.standing == Standing::Conflicted
    });
    let left = survey.plan.actions.len() + survey.plan.holds.len();
    pending - left
}
