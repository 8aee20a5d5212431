//! What gates are told of each deployment, and whom that asks a look at.
//!
//! The facts are made of a report, before an apply and after it, and of nothing else: a controller that is killed
//! and started anew finds the same. [`crate::plan::gate`] decides; [`super::fleet`] obeys.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::host::{HostError, Notes, Verdict};
use crate::model::desired::Resolution;
use crate::model::fleet::{Deployment, Fleet, Mode, State};
use crate::model::record::{Record, RecordedPack};
use crate::model::rollout::stage_of;
use crate::model::{DeploymentName, PackName};
use crate::plan::gate::{Facts, Fares, Gates, Laid, PackFacts, Reason, Wish};

use super::report::{Failure, Hurried, Outcome, Report};
use super::resolve::Resolutions;
use super::workspace::Workspace;
use super::{Options, Recover};

/// What is known of a deployment after a look at it.
pub(super) fn facts(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    report: &Report,
) -> Facts {
    let state = fares(report);
    let Some(survey) = &report.survey else {
        // Nothing is known but what it should have.
        let desired = match deployment.state {
            State::Present => resolutions.desired(workspace, deployment, None).0,
            State::Absent => Default::default(),
        };
        let pack = |(name, resolution): (PackName, Resolution)| {
            let wants = wish(Some(&resolution));
            let next = if let Wish::Laid(laid) = &wants { Some(laid.clone()) } else { None };
            (name, PackFacts { runs: None, since: None, wants, next, failed: false })
        };
        return Facts {
            packs: desired.packs.into_iter().map(pack).collect(),
            acts: false,
            held: false,
            unnoted: false,
            state,
            pause: None,
            heard: None,
        };
    };
    let observation = &survey.observation;
    let (record, next) = (observation.record.as_ref(), &survey.plan.next);
    let names = [
        record.into_iter().flat_map(|record| record.packs.keys()).collect::<Vec<_>>(),
        next.packs.keys().collect(),
        survey.desired.packs.keys().collect(),
        observation.notes.soak.packs().collect(),
    ];
    let names: BTreeSet<&PackName> = names.into_iter().flatten().collect();
    let pack = |name: &PackName| {
        let given = survey.desired.packs.get(name);
        let digest = match given {
            Some(Resolution::Pinned(pack)) => Some(Some(pack.recorded.desired)),
            Some(Resolution::Held(_)) => None,
            None => Some(None),
        };
        let rejection = record.and_then(|record| record.rejected.get(name));
        PackFacts {
            runs: record.and_then(|record| laid(record, name)),
            since: record.and_then(|record| observation.notes.soak.since(record, name)),
            wants: wish(given),
            next: if survey.plan.commits { laid(next, name) } else { record.and_then(|r| laid(r, name)) },
            // What nobody vouches for any more is no failure either: it lags.
            failed: state != Fares::Unheard
                && digest
                    .zip(rejection)
                    .is_some_and(|(digest, rejection)| rejection.digests.contains(&digest)),
        }
    };
    let packs: BTreeMap<PackName, PackFacts> =
        names.into_iter().map(|name| (name.clone(), pack(name))).collect();
    let moves = packs.values().any(PackFacts::moves);
    let acts = survey.plan.commits && (moves || !survey.plan.actions.is_empty());
    let held = !acts && !survey.plan.holds.is_empty();
    let unnoted = record.is_some_and(|record| !observation.notes.soak.is_of(record));
    let pause = observation.notes.pause.clone();
    let heard = report.told.as_ref().map(|told| told.time);
    Facts { packs, acts, held, unnoted, state, pause, heard }
}

fn laid(record: &Record, pack: &PackName) -> Option<Laid> {
    record.packs.get(pack).map(as_laid)
}

fn as_laid(pack: &RecordedPack) -> Laid {
    Laid {
        tree: pack.pin.tree,
        desired: pack.desired,
        overlays: pack.overlays.iter().cloned().collect(),
        install: pack.install.clone(),
    }
}

fn wish(given: Option<&Resolution>) -> Wish {
    match given {
        Some(Resolution::Pinned(pack)) => Wish::Laid(as_laid(&pack.recorded)),
        Some(Resolution::Held(_)) => Wish::Unknown,
        None => Wish::Absent,
    }
}

fn fares(report: &Report) -> Fares {
    let seen = report.survey.as_ref().map(|survey| &survey.observation);
    let left = seen.is_some_and(|seen| seen.interrupted.is_some() || seen.staged);
    match (&report.failure, report.health.as_ref().map(|health| health.verdict)) {
        (Some(Failure::Host(HostError::Unreachable { .. })), _) => Fares::Offline,
        (Some(Failure::Unheard(_)), _) => Fares::Unheard,
        // It was well once; that says nothing of now.
        _ if report.told.as_ref().is_some_and(|told| told.stale) => Fares::Unheard,
        (Some(Failure::Host(HostError::Locked { .. })), _) => Fares::Busy,
        _ if left => Fares::Busy,
        // Nothing was tried there that could have failed.
        (Some(_), _) if seen.is_none() => Fares::Unseen,
        (_, Some(Verdict::Ill)) => Fares::Ill,
        (_, Some(Verdict::Watching | Verdict::GoingBack)) => Fares::Watched,
        (_, Some(Verdict::Healthy | Verdict::TakenBack) | None) => Fares::Well,
    }
}

/// What is known of a deployment once an apply there ended as its report says.
pub(super) fn ended(before: Facts, report: &Report, now: Timestamp) -> Facts {
    let fails = match (&report.failure, report.outcome) {
        (_, Outcome::TakenBack) => true,
        (Some(Failure::Interrupted), _) => false,
        (_, Outcome::Failed) => true,
        _ => false,
    };
    let mut facts = Facts { state: fares(report), ..before };
    if report.committed.is_some() {
        facts.acts = false;
    }
    for pack in facts.packs.values_mut().filter(|pack| pack.moves()) {
        if report.committed.is_some() {
            (pack.runs, pack.since) = (pack.next.clone(), Some(now));
        } else {
            pack.failed |= fails;
        }
    }
    facts
}

/// The same, before it was tried: if all goes well.
pub(super) fn foreseen(before: &Facts, now: Timestamp) -> Facts {
    let mut facts = Facts { acts: false, ..before.clone() };
    for pack in facts.packs.values_mut().filter(|pack| pack.moves()) {
        (pack.runs, pack.since) = (pack.next.clone(), Some(now));
    }
    facts
}

/// The last stage in which a selected deployment would move, counted from 0.
fn last_moving(
    fleet: &Fleet,
    selected: &BTreeSet<DeploymentName>,
    seen: &BTreeMap<DeploymentName, Report>,
) -> Option<usize> {
    let moves = |name: &&DeploymentName| {
        seen.get(*name).and_then(|report| report.facts.as_ref()).is_some_and(Facts::moves)
    };
    selected.iter().filter(moves).filter_map(|name| stage_of(&fleet.rollout, name)).max()
}

/// Whom else to look at, so that it can be told whether the selected may move: all of their stage and of the
/// stages before it.
pub(super) fn peers(
    fleet: &Fleet,
    selected: &BTreeSet<DeploymentName>,
    seen: &BTreeMap<DeploymentName, Report>,
) -> BTreeSet<DeploymentName> {
    let stages = last_moving(fleet, selected, seen).map_or(0, |last| last + 1);
    let members = fleet.rollout.iter().take(stages).flat_map(|stage| &stage.members);
    members.filter(|name| !seen.contains_key(*name)).cloned().collect()
}

/// Whom later stages are about to follow, and who has not been looked at by this run because its soak was over: what
/// was well when somebody last looked may be ill by now.
pub(super) fn followed(
    fleet: &Fleet,
    selected: &BTreeSet<DeploymentName>,
    seen: &BTreeMap<DeploymentName, Report>,
    options: &Options,
) -> BTreeSet<DeploymentName> {
    let last = last_moving(fleet, selected, seen).unwrap_or(0);
    let earlier = fleet.rollout.iter().take(last).flat_map(|stage| &stage.members);
    let asked = Options { recover: Recover::Asked, ..options.clone() };
    let is_due = |name: &&DeploymentName| {
        let seen =
            seen.get(*name).and_then(|report| report.survey.as_ref()).map(|survey| &survey.observation);
        let (Some(deployment), Some(seen)) = (fleet.deployments.get(*name), seen) else { return false };
        let soaks = |options| soaks(fleet, deployment, seen.record.as_ref(), &seen.notes, options);
        soaks(&asked) && !soaks(options)
    };
    earlier.filter(is_due).cloned().collect()
}

/// Whether a deployment has something that soaks, or that others are about to follow: it is to be looked at on this
/// pass. `record` is what stands.
pub(super) fn soaks(
    fleet: &Fleet,
    deployment: &Deployment,
    record: Option<&Record>,
    notes: &Notes,
    options: &Options,
) -> bool {
    let Some(record) = record.filter(|_| deployment.mode == Mode::Converge) else { return false };
    let stage = stage_of(&fleet.rollout, &deployment.name).filter(|own| own + 1 < fleet.rollout.len());
    let Some(stage) = stage.map(|own| &fleet.rollout[own]).filter(|stage| !stage.soak.is_zero()) else {
        return false;
    };
    let is_over = |pack: &PackName| {
        let since = notes.soak.since(record, pack)?;
        Some(since.checked_add(stage.soak).is_ok_and(|over| over <= options.now))
    };
    let asked = options.recover == Recover::Asked && !record.packs.is_empty();
    // What was lost is noted anew: the clock begins when somebody looks.
    asked || !notes.soak.is_of(record) || record.packs.keys().any(|pack| is_over(pack) != Some(true))
}

/// Everything that is known while a fleet is gone through.
pub(super) struct Watch<'a> {
    fleet: &'a Fleet,
    facts: BTreeMap<DeploymentName, Facts>,
    observed: BTreeSet<DeploymentName>,
    /// Who is being changed by this run, up to the end of the quick checks.
    pub busy: BTreeSet<DeploymentName>,
    /// Those, and who is still watched.
    pub at_work: BTreeSet<DeploymentName>,
    hurry: Option<&'a str>,
    now: Timestamp,
}

impl<'a> Watch<'a> {
    pub fn new<'r>(
        fleet: &'a Fleet,
        reports: impl Iterator<Item = &'r Report>,
        hurry: Option<&'a str>,
        now: Timestamp,
    ) -> Self {
        let facts = reports.filter_map(|report| Some((report.deployment.clone(), report.facts.clone()?)));
        let observed = fleet.deployments.values().filter(|deployment| deployment.mode == Mode::Observe);
        Self {
            fleet,
            facts: facts.collect(),
            observed: observed.map(|deployment| deployment.name.clone()).collect(),
            busy: BTreeSet::new(),
            at_work: BTreeSet::new(),
            hurry,
            now,
        }
    }

    /// What is known of one by now.
    pub fn learn(&mut self, name: &DeploymentName, facts: Facts) {
        self.facts.insert(name.clone(), facts);
    }

    /// Takes it that all goes well with one of a stage that does not soak, so that the same apply goes on.
    pub fn foresee(&mut self, name: &DeploymentName) {
        let soaks = stage_of(&self.fleet.rollout, name).map(|own| !self.fleet.rollout[own].soak.is_zero());
        if soaks == Some(false)
            && let Some(facts) = self.facts.get(name)
        {
            let facts = foreseen(facts, self.now);
            self.facts.insert(name.clone(), facts);
        }
    }

    /// Why a deployment is left as it is for now; and what a hurry went on in spite of.
    pub fn reasons(&self, name: &DeploymentName) -> (Vec<Reason>, Option<Hurried>) {
        let Some(deployment) = self.fleet.deployments.get(name) else { return Default::default() };
        // Most have nothing to do.
        if !self.facts.get(name).is_some_and(|facts| facts.acts || facts.held) {
            return Default::default();
        }
        let busy = self.facts.iter().filter(|(_, facts)| facts.state == Fares::Busy);
        let busy: BTreeSet<_> = busy.map(|(name, _)| name).chain(&self.busy).cloned().collect();
        let gates = Gates {
            stages: &self.fleet.rollout,
            facts: &self.facts,
            observed: &self.observed,
            busy: &busy,
            now: self.now,
        };
        let reasons = gates.reasons(deployment);
        let Some(why) = self.hurry else { return (reasons, None) };
        let (skipped, reasons): (Vec<Reason>, Vec<Reason>) =
            reasons.into_iter().partition(Reason::is_skippable);
        let hurried = (!skipped.is_empty()).then(|| Hurried { why: why.to_owned(), skipped });
        (reasons, hurried)
    }

    /// Whether more of its stage may be changed at this moment by this run.
    pub fn has_slot(&self, name: &DeploymentName) -> bool {
        let stage = stage_of(&self.fleet.rollout, name).map(|own| &self.fleet.rollout[own]);
        let Some((stage, most)) = stage.and_then(|stage| Some((stage, stage.at_once()?))) else {
            return true;
        };
        self.busy.iter().filter(|busy| stage.members.contains(*busy)).count() < most
    }

    /// Whether a reason may be gone once somebody of this run is done.
    pub fn may_clear(&self, reason: &Reason) -> bool {
        match reason {
            Reason::Parallel { .. } => true,
            Reason::Stage { stage, soak, .. } => {
                let members = self.fleet.rollout.get(stage - 1).map(|stage| &stage.members);
                *soak == 0
                    && members.is_some_and(|members| self.at_work.iter().any(|one| members.contains(one)))
            }
            _ => false,
        }
    }
}
