//! What a pass found and what came of it: plain values for the people above.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::host::{EditId, Health, HostError, Observation, Recovery, TakenBack, Verdict};
use crate::model::desired::Desired;
use crate::model::pack::CommitId;
use crate::model::plan::{Action, Cause, Conflict, HoldCause, Plan};
use crate::model::{Content, DeploymentName, PackName, TreePath};
use crate::plan::gate::{Facts, Reason};
use crate::plan::{Drift, Judged, Standing};

use super::against::{Change, Compared};
use super::resolve::Resolved;
use super::saved::Agreed;
use super::status::{FromStatus, Unheard};
use super::whereabouts::Whereabouts;

/// One deployment, looked at and planned; nothing was written.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Which.
    pub deployment: DeploymentName,
    /// What should be there.
    pub desired: Desired,
    /// What is there, and what is recorded.
    pub observation: Observation,
    /// Every path's standing.
    pub drift: Drift,
    /// What would be done.
    pub plan: Plan,
    /// Clean merges by their content: bytes that exist nowhere yet.
    pub merged: BTreeMap<Content, Vec<u8>>,
    /// The rendered packs, for their bytes.
    pub resolved: Vec<Arc<Resolved>>,
}

impl Survey {
    /// Edits that stay after this pass: kept ones, merged ones, and those that follow a rename.
    pub fn kept_edits(&self) -> impl Iterator<Item = (&TreePath, &Judged)> {
        // What follows a rename is saved where it was, and stays where it goes.
        let saved = |action: &Action| action.save && action.cause != Cause::Rename;
        let reverted =
            move |path| self.plan.actions.iter().any(|action| &action.path == path && saved(action));
        self.drift.edits().filter(move |(path, judged)| {
            judged.recorded.is_some()
                && matches!(judged.standing, Standing::Edited | Standing::Conflicted)
                && !reverted(*path)
        })
    }

    /// The version label that is recorded for a pack, if it is installed.
    pub fn installed(&self, pack: &PackName) -> Option<&str> {
        let record = self.observation.record.as_ref()?;
        record.packs.get(pack).map(|recorded| recorded.pin.version.as_str())
    }

    /// The version label that fleet.toml leads to; `None` if it could not be resolved or is absent.
    pub fn wanted(&self, pack: &PackName) -> Option<&str> {
        match self.desired.packs.get(pack)? {
            crate::model::desired::Resolution::Pinned(pack) => Some(&pack.recorded.pin.version),
            crate::model::desired::Resolution::Held(
                HoldCause::Major { to, .. } | HoldCause::Overlays { to, .. },
            ) => Some(to),
            crate::model::desired::Resolution::Held(_) => None,
        }
    }
}

/// How a deployment stands after a pass, in words of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Nothing to do.
    InSync,
    /// There are changes that a plan holds and nobody applied.
    Planned,
    /// Changes were applied.
    Applied,
    /// A rollback was applied.
    RolledBack,
    /// A change was found ill and taken back: see the failure.
    TakenBack,
    /// Some paths only the host's bytes decide, and the plan was made from its status: see there.
    Undecided,
    /// Something else must happen first: see the waits.
    Waiting,
    /// Its host does not answer: see the failure.
    Offline,
    /// A person must decide: see the plan's holds.
    Held,
    /// Refused by policy: see the plan's holds.
    Refused,
    /// Another run holds the lock.
    Locked,
    /// An error: see the failure.
    Failed,
}

/// For whom a deployment waits, and what that one lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The deployment that must come first.
    pub on: DeploymentName,
    /// What is in its way.
    pub because: String,
}

/// What somebody in a hurry did not wait for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Hurried {
    /// What they said.
    pub why: String,
    /// What they went on in spite of.
    pub skipped: Vec<Reason>,
}

/// Why a pass over a deployment failed or stopped short.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The host's answer.
    #[error("{0}")]
    Host(#[source] HostError),
    /// The tree moved between plan and switch; nothing was changed.
    #[error("{path} changed while the plan was carried out ({found}): nothing was changed")]
    Moved {
        /// Where.
        path: TreePath,
        /// What came out.
        found: String,
    },
    /// The change was found ill.
    #[error("{0}")]
    Ill(Box<TakenBack>),
    /// What would be carried out is not what was saved and agreed to; nothing was changed.
    #[error("{}", other_plan(.saved.as_deref(), .now.as_deref()))]
    OtherPlan {
        /// What was saved; `None` if there was nothing to do then.
        saved: Option<Box<Agreed>>,
        /// What it is now.
        now: Option<Box<Agreed>>,
    },
    /// Nothing is known of it, and its host was not to be asked.
    #[error("{0}")]
    Unheard(#[source] Unheard),
    /// A worker died; a defect of packfleet.
    #[error("the pass over {0} ended without an answer; this is a defect of packfleet")]
    Lost(DeploymentName),
    /// A request that makes no sense here.
    #[error("{0}")]
    Request(String),
    /// What was asked for is so already.
    #[error("{0}")]
    Already(String),
    /// The fleet commit in force does not come after the one that the host took last; nothing was changed.
    #[error(
        "fleet commit {} is not ahead of {}, which this host took before: nothing was changed",
        .now.short(), .taken.short()
    )]
    Rewound {
        /// What the host took.
        taken: CommitId,
        /// What is in force.
        now: CommitId,
    },
    /// Somebody ended the run before this was begun.
    #[error("not begun: the run was interrupted")]
    Interrupted,
}

fn other_plan(saved: Option<&Agreed>, now: Option<&Agreed>) -> String {
    let id = |agreed: &Agreed| format!("plan {}", agreed.plan.short());
    let plan_now = now.map_or("none".to_owned(), id);
    match saved {
        Some(saved) if now.is_some_and(|now| now.terms != saved.terms) => format!(
            "since {} was saved, fleet.toml came to say something else of it: where it is, what it waits for, what is run or what is recorded; nothing was changed",
            id(saved)
        ),
        Some(saved) if now.is_some_and(|now| now.plan == saved.plan) => format!(
            "its tree moved since {} was saved, in files that the plan leaves alone; nothing was changed",
            id(saved)
        ),
        Some(saved) => format!(
            "{} was saved, and {plan_now} is what would be done now: the host, its record or a pin moved; nothing was changed",
            id(saved)
        ),
        None => format!(
            "nothing was to be done here when the plan was saved, and {plan_now} is what would be done now: nothing was changed"
        ),
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        Self::Host(error)
    }
}

/// One deployment after a pass.
#[derive(Debug)]
pub struct Report {
    /// Which.
    pub deployment: DeploymentName,
    /// Whether it was asked for, or only looked at because others depend on it.
    pub selected: bool,
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen and planned; `None` if the look itself failed.
    pub survey: Option<Survey>,
    /// For whom it waits.
    pub waits: Vec<Wait>,
    /// What else it waits for (its stage, a pause, its window), in the order in which that bites.
    pub gate: Vec<Reason>,
    /// Its pause, whether or not there is anything to do.
    pub paused: Option<Reason>,
    /// What somebody in a hurry did not wait for.
    pub hurried: Option<Hurried>,
    /// What gates are told of it; `None` if it is not in the fleet.
    pub facts: Option<Facts>,
    /// The generation that this pass committed, if it did.
    pub committed: Option<u64>,
    /// Edits that were saved on the way.
    pub saved: Vec<EditId>,
    /// What was run after the switch and what passed.
    pub said: Vec<String>,
    /// The last word on its health, unless this pass made it outdated.
    pub health: Option<Health>,
    /// An interrupted switch that was recovered first.
    pub recovered: Option<Recovery>,
    /// Its root is gone: the generation that it had when it was seen last.
    pub gone: Option<u64>,
    /// What went wrong.
    pub failure: Option<Failure>,
    /// What it was made from, if that was a status.
    pub told: Option<FromStatus>,
    /// Where its edits exist, once [`super::whereabouts::find`] looked.
    pub whereabouts: Option<Whereabouts>,
    /// What came of comparing it with an earlier fleet, where that was done.
    pub compared: Option<Compared>,
}

impl Report {
    /// The report of a look.
    pub fn looked(survey: Survey, recovered: Option<Recovery>) -> Self {
        let outcome = outcome_of(&survey.plan);
        let health = survey.observation.health.clone();
        Self {
            deployment: survey.deployment.clone(),
            selected: true,
            outcome,
            survey: Some(survey),
            waits: Vec::new(),
            gate: Vec::new(),
            paused: None,
            hurried: None,
            facts: None,
            committed: None,
            saved: Vec::new(),
            said: Vec::new(),
            health,
            recovered,
            gone: None,
            failure: None,
            told: None,
            whereabouts: None,
            compared: None,
        }
    }

    /// The report of a look that failed.
    pub fn failed(deployment: DeploymentName, failure: Failure) -> Self {
        let outcome = match &failure {
            Failure::Host(HostError::Locked { .. }) => Outcome::Locked,
            Failure::Host(HostError::Unreachable { .. })
            | Failure::Unheard(Unheard::Silent | Unheard::Unread(_)) => Outcome::Offline,
            Failure::Unheard(Unheard::Refused(_)) => Outcome::Refused,
            _ => Outcome::Failed,
        };
        Self {
            deployment,
            selected: true,
            outcome,
            survey: None,
            waits: Vec::new(),
            gate: Vec::new(),
            paused: None,
            hurried: None,
            facts: None,
            committed: None,
            saved: Vec::new(),
            said: Vec::new(),
            health: None,
            recovered: None,
            gone: None,
            failure: Some(failure),
            told: None,
            whereabouts: None,
            compared: None,
        }
    }

    /// Whether others may build on it: everything this fleet wants is there, and well.
    pub fn is_settled(&self) -> bool {
        matches!(self.outcome, Outcome::InSync | Outcome::Applied | Outcome::RolledBack)
            && !self.health.as_ref().is_some_and(Health::is_open)
    }

    /// What a change of the fleet repository does to it apart from its files, where that was asked.
    pub fn changes(&self) -> &[Change] {
        self.compared.as_ref().map_or(&[], |compared| &compared.changes)
    }

    /// Whether it waits for anything.
    pub fn is_waiting(&self) -> bool {
        !self.waits.is_empty() || !self.gate.is_empty()
    }

    /// Whether the pass touched it, although nobody asked for it: others follow it, and something was left there.
    pub fn was_touched_unasked(&self) -> bool {
        !self.selected && self.recovered.is_some()
    }

    /// Whether a report of the pass speaks of it: it was asked for, or touched all the same.
    pub fn is_told(&self) -> bool {
        self.selected || self.was_touched_unasked()
    }

    /// Whether what is there was found ill when it was last looked at, and stands.
    pub fn is_ill(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.verdict == Verdict::Ill)
    }

    /// A change that was found ill: by this pass, or by the one that it went on with.
    pub fn taken_back(&self) -> Option<&TakenBack> {
        match (&self.failure, &self.recovered) {
            (Some(Failure::Ill(taken)), _) | (_, Some(Recovery::Ill(taken))) => Some(taken),
            _ => None,
        }
    }
}

/// How a plan leaves a deployment if nobody applies it.
pub fn outcome_of(plan: &Plan) -> Outcome {
    if plan.holds.iter().any(|hold| hold.cause.is_refusal()) {
        Outcome::Refused
    } else if !plan.holds.is_empty() {
        Outcome::Held
    } else if plan.commits {
        Outcome::Planned
    } else {
        Outcome::InSync
    }
}

/// What stands against a merge in one word, for JSON.
pub fn conflict_word(conflict: &Conflict) -> &'static str {
    match conflict {
        Conflict::Text { .. } => "text",
        Conflict::Binary => "binary",
        Conflict::Kind => "link",
        Conflict::NotOurs => "not-ours",
        Conflict::UpstreamDeleted => "deleted-by-pack",
        Conflict::Dropped => "pack-removed",
        Conflict::HostDeleted => "deleted-on-host",
        Conflict::TooLarge => "too-large",
        Conflict::NoBase => "no-base",
        Conflict::Occupied => "new-path-taken",
        Conflict::HostsPath => "new-path-host-owned",
        Conflict::OtherPack(_) => "other-pack",
        Conflict::NotThen { .. } => "not-then",
    }
}

/// The cause of a hold in one word, for tables and JSON.
pub fn cause_word(cause: &HoldCause) -> &'static str {
    match cause {
        HoldCause::Conflict { .. } => "conflict",
        HoldCause::Obstructed(_) => "obstructed",
        HoldCause::Nested { .. } => "nested",
        HoldCause::Requires { .. } => "requires",
        HoldCause::Tied { .. } => "tied",
        HoldCause::Version(_) => "version",
        HoldCause::Major { .. } => "major",
        HoldCause::Overlays { .. } => "overlays",
        HoldCause::Check { .. } => "check",
        HoldCause::Signature(_) => "signature",
        HoldCause::Source(_) => "source",
        HoldCause::Gone { .. } => "gone",
        HoldCause::Rejected { .. } => "rejected",
        HoldCause::Budget { .. } => "budget",
    }
}
