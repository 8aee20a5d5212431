//! The pass over a host that is known by its status alone.
//!
//! ```text
//! manifest ─► record, actual ─► judge ─► rename, adapt, merge with bytes of sources ─► plan
//!                                          └─ where only the host has the bytes: as if it went well, and a doubt
//! ```
//! The planner is the same. A path in doubt is taken out of the plan and named with what is in doubt about it; what
//! is left is exactly what a look at the host would plan, provided that what is in doubt goes well. If it does not,
//! the pack is held, as it would be then. A pack that is held for other reasons is held all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::read::{Known, Statuses};
use super::told::{ToldHost, nothings};
use crate::engine::alike::Alike;
use crate::engine::contents::Contents;
use crate::engine::pass::{self, NOTHING};
use crate::engine::report::{Failure, Outcome, Report, Survey};
use crate::engine::resolve::{Resolutions, Resolved};
use crate::engine::workspace::Workspace;
use crate::engine::{Options, glance};
use crate::host::{Host, HostError, Observation, Seen};
use crate::model::desired::{Desired, DesiredEntry, Resolution};
use crate::model::fleet::{Deployment, State};
use crate::model::manifest::{Manifest, Spot, Told};
use crate::model::plan::HoldCause;
use crate::model::stamp::Publisher;
use crate::model::{Content, PackName, TreePath};
use crate::plan::drift::Judged;
use crate::plan::planner;
use crate::plan::verdict::MergeAnswer;
use crate::plan::{Drift, Standing, host_keys, merging, renames};

/// What a report that was made from a status says beside its plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromStatus {
    /// When the host was looked at.
    pub time: Timestamp,
    /// By whom.
    pub by: Publisher,
    /// How long ago that was.
    pub age: Duration,
    /// Whether that is too long ago to count on.
    pub stale: bool,
    /// Paths that only the host's bytes would decide.
    pub undecided: BTreeMap<TreePath, Undecided>,
}

/// A path that a status does not decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undecided {
    /// The pack that owns it, or will.
    pub pack: PackName,
    /// What is in doubt.
    pub doubt: Doubt,
}

/// What is in doubt about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doubt {
    /// How an edit merges with what the pack changed.
    Merge,
    /// What is written, because some of its keys are the host's.
    Keys,
    /// Whether a file that is nobody's is what the pack gives.
    Stranger,
    /// Whether anything lies there, below what is nobody's.
    Hidden,
    /// Whether something lies there that is the host's.
    Owned,
    /// Where the file of an edit went.
    Renamed,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "edited there and changed by the pack: merged if that is clean, else held",
            Self::Keys => "some of its keys are the host's: written around them",
            Self::Stranger => "a file that is nobody's lies there: adopted if it is the same, else held",
            Self::Hidden => "it lies below something that is nobody's: put if that is a directory, else held",
            Self::Owned => "whether the host has one of its own is not told: put if it has none",
            Self::Renamed => "edited there and gone from the pack: goes along if it was renamed, else held",
        })
    }
}

/// Looks at a deployment's status and plans.
pub(in crate::engine) fn survey(
    workspace: &Workspace,
    statuses: &Statuses,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
) -> Report {
    let known = match statuses.of(&deployment.name) {
        Ok(known) => known,
        Err(unheard) => return Report::failed(deployment.name.clone(), Failure::Unheard(unheard)),
    };
    let mut undecided = BTreeMap::new();
    let mut report = match glance::in_sync(workspace, resolutions, deployment, options) {
        Some(report) => report,
        None => match look_and_plan(workspace, known, resolutions, deployment, options) {
            Ok((survey, doubts)) => {
                undecided = doubts;
                Report::looked(survey, None)
            }
            Err(error) => Report::failed(deployment.name.clone(), error.into()),
        },
    };
    if !undecided.is_empty() && matches!(report.outcome, Outcome::Planned | Outcome::InSync) {
        report.outcome = Outcome::Undecided;
    }
    let (time, by) = (known.stamp.time, known.stamp.by);
    report.told = Some(FromStatus { time, by, age: known.age, stale: known.stale, undecided });
    report
}

fn look_and_plan(
    workspace: &Workspace,
    known: &Known,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
) -> Result<(Survey, BTreeMap<TreePath, Undecided>), HostError> {
    let host = ToldHost::new(deployment.root.clone(), Ok(known.clone()));
    let observation = host.observe(&pass::look(workspace, resolutions, deployment, options))?;
    let (desired, resolved) = match deployment.state {
        State::Present => resolutions.desired(workspace, deployment, observation.record.as_ref()),
        State::Absent => Default::default(),
    };
    Ok(Planning {
        workspace,
        deployment,
        host: &host,
        known,
        doubts: BTreeMap::new(),
        guarded: BTreeSet::new(),
    }
    .plan(observation, desired, resolved))
}

struct Planning<'a> {
    workspace: &'a Workspace,
    deployment: &'a Deployment,
    host: &'a ToldHost,
    known: &'a Known,
    doubts: BTreeMap<TreePath, Doubt>,
    /// Paths of whose bytes something is not told: in doubt if anything is done there.
    guarded: BTreeSet<TreePath>,
}

impl Planning<'_> {
    fn plan(
        mut self,
        mut observation: Observation,
        desired: Desired,
        resolved: Vec<Arc<Resolved>>,
    ) -> (Survey, BTreeMap<TreePath, Undecided>) {
        self.pretend(&mut observation, &desired);
        let mut survey = pass::unplanned(self.workspace, self.deployment, observation, desired, resolved);
        let mut drift = pass::question(self.workspace, self.deployment, &survey).drift();
        let keys = host_keys::owned(pass::packs_of(&drift, &survey.desired));
        let mut made = BTreeMap::new();
        let contents = Contents::new(self.workspace, self.host, &survey, NOTHING);
        for (path, (format, pointers)) in &keys {
            let Some(judged) = drift.paths.get(path) else { continue };
            let read = |content: Content, _| contents.find(content).ok();
            let adapted = match self.guarded.contains(path) {
                true => None,
                false => host_keys::one(judged, *format, pointers, &read),
            };
            match adapted {
                Some((adapted, sides)) => {
                    made.extend(sides.into_iter().map(|side| (side.content, side.bytes)));
                    drift.adapt(path, adapted);
                }
                None if is_pending(judged) => drop(self.guarded.insert(path.clone())),
                None => {}
            }
        }
        if let Some(record) = &survey.observation.record {
            self.follow(&mut drift, record, &contents, &keys);
        }
        survey.merged = made;
        let asks = planner::asks(&drift, survey.observation.record.as_ref());
        let contents = Contents::new(self.workspace, self.host, &survey, NOTHING);
        let mut merged = BTreeMap::new();
        let mut answers = BTreeMap::new();
        for (path, (base, actual, desired)) in asks {
            let bytes = [base, actual, desired].map(|content| contents.find(content));
            let answer = match bytes {
                [Ok(base), Ok(actual), Ok(desired)] if !self.guarded.contains(&path) => {
                    let (answer, bytes) = merging::merge(&path, &base, &actual, &desired);
                    merged.extend(bytes.map(|bytes| (Content::of(&bytes), bytes)));
                    answer
                }
                _ => {
                    self.doubts.insert(path.clone(), Doubt::Merge);
                    let to =
                        drift.renames.get(&path).and_then(|rename| rename.followed().map(|_| &rename.to));
                    self.doubts.extend(to.map(|to| (to.clone(), Doubt::Merge)));
                    MergeAnswer::Clean(nothings(&path))
                }
            };
            answers.insert(path, answer);
        }
        survey.merged.extend(merged);
        let question = pass::question(self.workspace, self.deployment, &survey);
        let mut plan = planner::plan(&question, &drift, &answers);
        let wrong = self.known.stamp.version_file.clone();
        if let Some(hold) = pass::reserved_where(self.workspace, wrong, &plan) {
            plan = pass::halt(plan, hold, &question.known());
        }
        for path in &self.guarded {
            let acts = plan.actions.iter().any(|action| &action.path == path);
            let held = plan.holds.iter().any(|hold| {
                hold.path.as_ref() == Some(path) && matches!(hold.cause, HoldCause::Conflict { .. })
            });
            if acts || held {
                self.doubts.entry(path.clone()).or_insert(Doubt::Keys);
            }
        }
        plan.actions.retain(|action| !self.doubts.contains_key(&action.path));
        plan.renames.retain(|to, from| !self.doubts.contains_key(to) && !self.doubts.contains_key(from));
        let undecided = |(path, doubt): (&TreePath, &Doubt)| {
            let pack = drift.paths.get(path)?.pack.clone();
            Some((path.clone(), Undecided { pack, doubt: *doubt }))
        };
        let undecided = self.doubts.iter().filter_map(undecided).collect();
        survey.plan = plan;
        survey.drift = drift;
        (survey, undecided)
    }

    /// Fills in what is not told of paths that are wanted, as if nothing were in the way.
    fn pretend(&mut self, observation: &mut Observation, desired: &Desired) {
        let Manifest { lines, .. } = self.known.manifest();
        for (path, line) in lines {
            match line.actual {
                Told::ButForKeys(_) | Told::Withheld(_) => drop(self.guarded.insert(path.clone())),
                _ => {}
            }
        }
        let pinned = desired.packs.values().filter_map(|resolution| match resolution {
            Resolution::Pinned(pack) => Some(pack.entries.iter()),
            Resolution::Held(_) => None,
        });
        for (path, wanted) in pinned.flatten() {
            let doubt = match lines.get(path) {
                Some(line) if line.actual == Told::Something && !wanted.host_owned => Some(Doubt::Stranger),
                Some(_) => None,
                None => match self.known.shared.spot(path) {
                    Spot::Taken => Some(Doubt::Stranger),
                    Spot::Hidden => Some(Doubt::Hidden),
                    Spot::Untold => Some(Doubt::Owned),
                    // The host's by what is wanted now.
                    Spot::Free if wanted.host_owned && self.known.manifest().hides(path) => {
                        Some(Doubt::Owned)
                    }
                    Spot::Free | Spot::Directory | Spot::Below(_) => None,
                },
            };
            let Some(doubt) = doubt else { continue };
            if doubt == Doubt::Stranger {
                observation.actual.paths.insert(path.clone(), Seen::Entry(wanted.entry));
            }
            // That something lies there is all that matters of what is the host's.
            if !(wanted.host_owned && doubt == Doubt::Stranger) {
                self.doubts.insert(path.clone(), doubt);
            }
        }
    }

    /// Finds where edited files went, as far as sources have the bytes to tell.
    fn follow(
        &mut self,
        drift: &mut Drift,
        record: &crate::model::record::Record,
        contents: &Contents<'_>,
        keys: &host_keys::Keys,
    ) {
        let mut alike = Alike::new(contents);
        renames::find(drift, record, &mut |a, b| alike.percent(a, b));
        for (old, rename) in &drift.renames {
            if rename.followed().is_some() && (keys.contains_key(old) || keys.contains_key(&rename.to)) {
                self.guarded.extend([old.clone(), rename.to.clone()]);
            }
        }
        if alike.missed() {
            let gone = |judged: &Judged| {
                judged.desired.is_none()
                    && judged.base().is_some()
                    && matches!(judged.standing, Standing::Conflicted)
            };
            let lost = drift.paths.iter().filter(|(_, judged)| gone(judged));
            self.doubts.extend(lost.map(|(path, _)| (path.clone(), Doubt::Renamed)));
        }
    }
}

/// Whether what is there, what was there and what is wanted are not all one.
fn is_pending(judged: &Judged) -> bool {
    let Some(actual) = judged.actual_entry() else { return false };
    let wanted: Option<&DesiredEntry> = judged.desired.as_ref();
    let same = |content: Content| content == actual.content;
    !(wanted.is_none_or(|wanted| same(wanted.entry.content))
        && judged.base().is_none_or(|base| same(base.content)))
}

impl Statuses {
    /// A deployment as its status tells of it.
    pub(in crate::engine) fn host(&self, deployment: &Deployment) -> Box<dyn Host> {
        Box::new(ToldHost::new(deployment.root.clone(), self.of(&deployment.name).cloned()))
    }
}
