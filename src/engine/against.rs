//! What a change of the fleet repository causes: the plans of two fleets for the same hosts, and what only the
//! newer one has.
//!
//! ```text
//! plans of the merge base ─┐
//! plans of what is here ───┴─► steps and holds that only the latter have; the rest was pending before
//! ```
//! The hosts are looked at for both, so that drift of a host is on either side and drops out. What is left is no
//! plan that could be carried out: it has no id, and nobody applies it.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Outcome, Report, Survey, outcome_of};
use crate::model::{DeploymentName, TreePath};
use crate::plan::{Judged, Standing};
use crate::source::checkout::FleetCommit;

/// A fleet compared with an earlier one.
#[derive(Debug, Clone, Default)]
pub struct Against {
    /// What was asked for: a branch, tag or commit.
    pub rev: String,
    /// The commit that both come from.
    pub base: Option<FleetCommit>,
    /// Selected deployments that the change does not touch.
    pub untouched: usize,
    /// Steps and holds that were pending before it, on all selected deployments.
    pub earlier: usize,
    /// Deployments that it takes out of the fleet; nothing happens to their files.
    pub gone: Vec<DeploymentName>,
}

/// Leaves in `now` what `before` does not have. Deployments that are alike in both are no longer selected.
pub fn compare(now: &mut [Report], before: &[Report]) -> Against {
    let known: BTreeMap<&DeploymentName, &Report> =
        before.iter().map(|report| (&report.deployment, report)).collect();
    let here: BTreeSet<&DeploymentName> = now.iter().map(|report| &report.deployment).collect();
    let gone = before.iter().filter(|report| report.selected && !here.contains(&report.deployment));
    let mut against =
        Against { gone: gone.map(|report| report.deployment.clone()).collect(), ..Against::default() };
    for report in now.iter_mut().filter(|report| report.selected) {
        let earlier = known.get(&report.deployment).copied();
        let unwell = |report: &Report| report.failure.as_ref().map(ToString::to_string);
        if let (Some(text), Some(earlier)) = (unwell(report), earlier)
            && unwell(earlier).as_ref() == Some(&text)
        {
            report.selected = false;
            against.earlier += 1;
            continue;
        }
        let old = earlier.and_then(|report| report.survey.as_ref());
        let (Some(survey), Some(old)) = (&mut report.survey, old) else { continue };
        against.earlier += restrict(survey, old);
        if let (Some(told), Some(before)) =
            (&mut report.told, earlier.and_then(|earlier| earlier.told.as_ref()))
        {
            let wanted = |survey: &Survey, path: &TreePath| {
                survey.drift.paths.get(path).and_then(Judged::desired_entry)
            };
            told.undecided.retain(|path, what| {
                before.undecided.get(path) != Some(what) || wanted(survey, path) != wanted(old, path)
            });
        }
        // How its host fares is nothing that the change causes.
        report.health = None;
        let moves = survey.plan.next.packs != old.plan.next.packs
            || survey.drift.packs.keys().any(|pack| survey.wanted(pack) != old.wanted(pack));
        let undecided = report.told.as_ref().is_some_and(|told| !told.undecided.is_empty());
        if !moves && !undecided && survey.plan.actions.is_empty() && survey.plan.holds.is_empty() {
            report.selected = false;
            against.untouched += 1;
        } else if report.outcome != Outcome::Waiting {
            report.outcome = match outcome_of(&survey.plan) {
                Outcome::Planned | Outcome::InSync if undecided => Outcome::Undecided,
                outcome => outcome,
            };
        }
    }
    against
}

/// Takes out what the other plan has as well; says how much that was.
fn restrict(survey: &mut Survey, old: &Survey) -> usize {
    let steps: BTreeMap<_, _> =
        old.plan.actions.iter().map(|action| (&action.path, (action.before, action.after))).collect();
    let pending = survey.plan.actions.len() + survey.plan.holds.len();
    survey.plan.actions.retain(|action| steps.get(&action.path) != Some(&(action.before, action.after)));
    survey.plan.holds.retain(|hold| !old.plan.holds.contains(hold));
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
