//! Saved plans: what was looked at and agreed to is what is carried out, or nothing is.
//!
//! ```text
//! plan --out FILE ─► per deployment: the plan's id, the drift, the terms     one id over all of them
//! apply FILE      ─► looked at and planned anew: the same goes on, anything else is refused, by name
//! ```
//! A plan's id covers the generation, the record, every step with what lies there before and after, and the
//! holds; the drift covers every path that is not in sync, whether a step is about it or not; the terms cover where
//! it is carried out, after whom, what is run, and what is recorded. So a host whose tree, generation, pins or terms
//! moved refuses alone, and the others proceed. The file holds no content and no time: the same plan makes the
//! same file, here or on another machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::care;
use super::pass;
use super::report::{Failure, Outcome, Report, Survey};
use super::workspace::Workspace;
use crate::model::actual::Seen;
use crate::model::fleet::{Deployment, Mode};
use crate::model::{Content, DeploymentName, DriftDigest, Entry, FleetName, PlanId, TermsDigest, TreePath};
use crate::plan::{Judged, host_keys};

/// The version of the file's layout.
const FORMAT: u32 = 3;
/// What the file says that it is.
const KIND: &str = "saved-plan";

/// The plans of several deployments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedPlan {
    format: u32,
    kind: String,
    /// The fleet that it is of.
    pub fleet: FleetName,
    /// One id over all plans.
    pub id: PlanId,
    /// What is to be carried out, by deployment. Those with nothing to do are not among them.
    pub plans: BTreeMap<DeploymentName, Agreed>,
}

/// What was looked at and agreed to on one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreed {
    /// What would be done.
    pub plan: PlanId,
    /// The local edits and whatever else was not in sync, also where nothing would be done.
    pub drift: DriftDigest,
    /// What fleet.toml says of it beside its files.
    pub terms: TermsDigest,
}

impl Agreed {
    /// What a look at a deployment shows; `None` if it could not be looked at.
    pub fn of(workspace: &Workspace, report: &Report) -> Option<Self> {
        let survey = report.survey.as_ref()?;
        let deployment = workspace.fleet.deployments.get(&report.deployment)?;
        let terms = terms(workspace, deployment, survey);
        Some(Self { plan: survey.plan.id(), drift: drift(survey), terms })
    }
}

/// Digest over where a plan is carried out, after whom, whether at all, what is checked, run and looked at, and what is
/// recorded of each pack: BLAKE3 `derive_key("packfleet plan terms v1")`.
fn terms(workspace: &Workspace, deployment: &Deployment, survey: &Survey) -> TermsDigest {
    let Deployment { host, root, mode, state, depends_on, .. } = deployment;
    let place = format!("{host:?} {root} {mode:?} {state:?}");
    let packs = &survey.plan.next.packs;
    let checks = workspace.fleet.packs.iter().filter(|(name, _)| packs.contains_key(*name));
    let checks: Vec<_> = checks.map(|(name, pack)| (name, &pack.checks)).collect();
    // Where its commands run follows from what is recorded.
    let care = care::aftercare(workspace, deployment, &BTreeMap::new());
    let bytes = postcard::to_stdvec(&(place, depends_on, packs, checks, care));
    let mut hasher = blake3::Hasher::new_derive_key("packfleet plan terms v1");
    hasher.update(&bytes.expect("plain values serialise into memory"));
    TermsDigest::from_bytes(*hasher.finalize().as_bytes())
}

/// Digest over the paths that are not in sync, host-owned ones apart, and what lies there: BLAKE3
/// `derive_key("packfleet drift v1")` of their list by path. A look at some paths and one at all give the same, as
/// whatever was not looked at is in sync; so does a status. Hence what that does not tell is left out: of a
/// file with keys that are the host's, all but its kind.
fn drift(survey: &Survey) -> DriftDigest {
    let keys = pass::keys_of(survey);
    let packs = survey.observation.record.iter().flat_map(|record| record.packs.values());
    let recorded = host_keys::owned(packs);
    let told = |(path, judged): (&TreePath, &Judged)| {
        let seen = match &judged.actual {
            Some(Seen::Entry(entry)) if keys.contains_key(path) || recorded.contains_key(path) => {
                Some(Seen::Entry(Entry { content: Content::from_bytes([0; 32]), ..*entry }))
            }
            seen => seen.clone(),
        };
        (path.clone(), seen)
    };
    let seen: Vec<_> = survey.drift.drifted().map(told).collect();
    let bytes = postcard::to_stdvec(&seen).expect("plain values serialise into memory");
    let mut hasher = blake3::Hasher::new_derive_key("packfleet drift v1");
    hasher.update(&bytes);
    DriftDigest::from_bytes(*hasher.finalize().as_bytes())
}

/// A file that is no saved plan of this fleet.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// Not of this layout.
    #[error("it is no saved plan")]
    Syntax(#[source] serde_json::Error),
    /// Of a later packfleet, or something else.
    #[error("it is a {kind} of format {format}, not a {KIND} of format {FORMAT}")]
    Format {
        /// What it says that it is.
        kind: String,
        /// Its version.
        format: u32,
    },
    /// Of another fleet.
    #[error("it is a plan of fleet {of}, not of {here}")]
    Fleet {
        /// Its fleet.
        of: FleetName,
        /// The one at hand.
        here: FleetName,
    },
    /// Somebody changed it.
    #[error("it was changed: its id is not that of its plans")]
    Changed,
}

impl SavedPlan {
    /// What an apply of these reports would carry out. What a status does not decide is not among it: nobody saw that.
    pub fn of(workspace: &Workspace, reports: &[Report]) -> Self {
        let plans = reports
            .iter()
            .filter(|report| goes(workspace, report) && report.outcome != Outcome::Undecided)
            .filter_map(|report| Some((report.deployment.clone(), Agreed::of(workspace, report)?)))
            .collect();
        let fleet = workspace.fleet.name.clone();
        Self { format: FORMAT, kind: KIND.to_owned(), id: id_of(&fleet, &plans), fleet, plans }
    }

    /// Reads a file's text.
    pub fn parse(text: &str, fleet: &FleetName) -> Result<Self, SavedError> {
        let saved: Self = serde_json::from_str(text).map_err(SavedError::Syntax)?;
        if saved.format != FORMAT || saved.kind != KIND {
            return Err(SavedError::Format { kind: saved.kind, format: saved.format });
        }
        if &saved.fleet != fleet {
            return Err(SavedError::Fleet { of: saved.fleet, here: fleet.clone() });
        }
        if saved.id != id_of(&saved.fleet, &saved.plans) {
            return Err(SavedError::Changed);
        }
        Ok(saved)
    }

    /// The file's text; `parse` of it gives the same plan.
    pub fn text(&self) -> String {
        // Names and digests always serialise.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Refuses whatever would be carried out and is not what was saved. Says how many that are.
    pub fn bind(&self, workspace: &Workspace, reports: &mut [Report]) -> usize {
        let mut refused = 0;
        for report in reports.iter_mut().filter(|report| report.selected) {
            let saved = self.plans.get(&report.deployment).copied();
            let now = Agreed::of(workspace, report);
            // What is observed by now would be left out without a word.
            let observed = saved.is_some() && is_pending(report) && !goes(workspace, report);
            if goes(workspace, report) && saved != now || observed {
                refused += 1;
                report.outcome = Outcome::Refused;
                report.failure =
                    Some(Failure::OtherPlan { saved: saved.map(Box::new), now: now.map(Box::new) });
                if let Some(survey) = &mut report.survey {
                    survey.plan.commits = false;
                }
            }
        }
        refused
    }

    /// Those that are no deployments of the fleet any more.
    pub fn gone(&self, workspace: &Workspace) -> Vec<&DeploymentName> {
        self.plans.keys().filter(|name| !workspace.fleet.deployments.contains_key(*name)).collect()
    }

    /// The deployments that it is about.
    pub fn deployments(&self) -> BTreeSet<DeploymentName> {
        self.plans.keys().cloned().collect()
    }
}

/// Whether something would be committed there. What waits for others of the same plan goes, in its turn.
fn goes(workspace: &Workspace, report: &Report) -> bool {
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    let observed = deployment.is_some_and(|deployment| deployment.mode == Mode::Observe);
    !observed && is_pending(report)
}

/// Whether there is something to commit there that does not wait.
fn is_pending(report: &Report) -> bool {
    report.selected
        && !report.is_waiting()
        && report.survey.as_ref().is_some_and(|survey| survey.plan.commits)
}

fn id_of(fleet: &FleetName, plans: &BTreeMap<DeploymentName, Agreed>) -> PlanId {
    let mut hasher = blake3::Hasher::new_derive_key("packfleet saved plan v3");
    for name in [fleet.as_str()].into_iter().chain(plans.keys().map(DeploymentName::as_str)) {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
    }
    for Agreed { plan, drift, terms } in plans.values() {
        for part in [plan.as_bytes(), drift.as_bytes(), terms.as_bytes()] {
            hasher.update(part);
        }
    }
    PlanId::from_bytes(*hasher.finalize().as_bytes())
}
