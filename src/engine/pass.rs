//! One pass over one deployment: look, judge, merge, plan; and carrying that plan out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::host::{
    Applied, Commit, Health, Host, HostError, Look, Observation, Recovery, Reread, Resume, Watch,
    version_file,
};
use crate::model::actual::Seen;
use crate::model::desired::{Desired, Resolution};
use crate::model::fleet::{Deployment, Mode, State};
use crate::model::plan::{Conflict, Hold, HoldCause, Plan, Purpose};
use crate::model::record::{Record, RecordedPack};
use crate::model::{Content, TreePath};
use crate::plan::Drift;
use crate::plan::planner::{self, Question};
use crate::plan::renames;
use crate::plan::verdict::MergeAnswer;
use crate::plan::{host_keys as keys_of_hosts, merging};

use super::alike;
use super::care;
use super::checks;
use super::contents::Contents;
use super::forward;
use super::gates;
use super::host_keys;
use super::report::{Failure, Outcome, Report, Survey, outcome_of};
use super::resolve::{Resolutions, Resolved};
use super::workspace::Workspace;
use super::{Options, Recover, Unmanaged};

/// No bytes beside what sources and stores have.
pub(crate) const NOTHING: &BTreeMap<Content, Vec<u8>> = &BTreeMap::new();

/// What to look at on a deployment.
pub fn look(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
) -> Look {
    let list = match options.list {
        Unmanaged::Ignore => Vec::new(),
        Unmanaged::List => {
            let packs = deployment.packs.keys().filter_map(|name| workspace.fleet.packs.get(name));
            let targets = packs.flat_map(|pack| pack.install.0.iter().map(|line| line.to.clone()));
            let mut targets: Vec<_> = targets.collect();
            targets.sort();
            targets.dedup();
            targets
        }
    };
    Look {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        paths: resolutions.paths(workspace, deployment),
        list,
        trust: options.trust,
        version_file: workspace.fleet.version_file.clone(),
    }
}

/// Looks at a deployment and plans. With [`Recover::Now`] an interrupted switch is recovered first;
/// nothing else is ever written.
pub fn survey(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
) -> Report {
    let host = workspace.host(deployment);
    let look = look(workspace, resolutions, deployment, options);
    let mut recovered = None;
    let observed = host.observe(&look).and_then(|observation| {
        let open = observation.health.as_ref().is_some_and(Health::is_open);
        let left = observation.interrupted.is_some() || observation.staged;
        let (record, notes) = (observation.record.as_ref(), &observation.notes);
        let soaks = gates::soaks(&workspace.fleet, deployment, record, notes, options);
        let goes = match options.recover {
            Recover::Report => false,
            Recover::Now => left,
            Recover::Whole | Recover::Asked => left || soaks || open && deployment.mode == Mode::Converge,
        };
        if !goes {
            return Ok(observation);
        }
        let entries = observation.record.as_ref().map(|record| record.entries.clone()).unwrap_or_default();
        let resume = Resume {
            aftercare: care::aftercare(workspace, deployment, &entries),
            now: options.now,
            watch: match options.recover {
                Recover::Whole | Recover::Asked if soaks => Watch::Soaks,
                Recover::Whole | Recover::Asked => Watch::Anew,
                Recover::Report | Recover::Now => Watch::Leave,
            },
        };
        recovered = Some(host.recover(&look, &resume)?).filter(|recovery| *recovery != Recovery::Nothing);
        host.observe(&look)
    });
    match observed {
        Err(error) => Report::failed(deployment.name.clone(), error.into()),
        Ok(observation) => {
            let survey = decide(workspace, resolutions, host.as_ref(), deployment, observation);
            Report::looked(survey, recovered)
        }
    }
}

/// From an observation to a plan.
pub fn decide(
    workspace: &Workspace,
    resolutions: &Resolutions,
    host: &dyn Host,
    deployment: &Deployment,
    observation: Observation,
) -> Survey {
    let (desired, resolved) = match deployment.state {
        State::Present => resolutions.desired(workspace, deployment, observation.record.as_ref()),
        State::Absent => Default::default(),
    };
    plan_for(workspace, host, deployment, observation, desired, resolved)
}

/// From what should be there and what is there to a plan.
pub(crate) fn plan_for(
    workspace: &Workspace,
    host: &dyn Host,
    deployment: &Deployment,
    observation: Observation,
    desired: Desired,
    resolved: Vec<Arc<Resolved>>,
) -> Survey {
    let mut survey = unplanned(workspace, deployment, observation, desired, resolved);
    let mut drift = question(workspace, deployment, &survey).drift();
    let keys = keys_of_hosts::owned(packs_of(&drift, &survey.desired));
    let contents = Contents::new(workspace, host, &survey, NOTHING);
    let mut made = host_keys::adapt(&mut drift, &keys, &contents, host);
    if let Some(record) = &survey.observation.record {
        let mut alike = alike::Alike::new(&contents);
        renames::find(&mut drift, record, &mut |a, b| alike.percent(a, b));
        made.extend(host_keys::adapt_followed(&mut drift, &keys, &contents, host));
    }
    survey.merged = made;
    let asks = planner::asks(&drift, survey.observation.record.as_ref());
    let (answers, merged) = merge_all(&Contents::new(workspace, host, &survey, NOTHING), host, &asks);
    survey.merged.extend(merged);
    let question = question(workspace, deployment, &survey);
    let mut plan = planner::plan(&question, &drift, &answers);
    if let Some(hold) = reserved(workspace, &survey.observation, &plan) {
        plan = halt(plan, hold, &question.known());
    }
    survey.plan = plan;
    survey.drift = drift;
    survey
}

/// A survey before anything is judged; one is needed to find bytes with.
pub(super) fn unplanned(
    workspace: &Workspace,
    deployment: &Deployment,
    observation: Observation,
    desired: Desired,
    resolved: Vec<Arc<Resolved>>,
) -> Survey {
    Survey {
        deployment: deployment.name.clone(),
        desired,
        observation,
        drift: Drift::default(),
        plan: Plan {
            purpose: Purpose::Sync,
            generation: 0,
            record: None,
            actions: Vec::new(),
            renames: Default::default(),
            holds: Vec::new(),
            prune: Vec::new(),
            next: Record::empty(
                workspace.fleet.name.clone(),
                deployment.name.clone(),
                deployment.root.clone(),
            ),
            commits: false,
        },
        merged: BTreeMap::new(),
        resolved,
    }
}

pub(super) fn question<'a>(
    workspace: &'a Workspace,
    deployment: &'a Deployment,
    survey: &'a Survey,
) -> Question<'a> {
    Question {
        fleet: &workspace.fleet.name,
        deployment,
        record: survey.observation.record.as_ref(),
        digest: survey.observation.digest,
        desired: &survey.desired,
        actual: &survey.observation.actual,
        budget: &workspace.fleet.budget,
    }
}

/// Files of which keys are the host's, as a survey found them.
pub(super) fn keys_of(survey: &Survey) -> keys_of_hosts::Keys {
    keys_of_hosts::owned(packs_of(&survey.drift, &survey.desired))
}

/// What is wanted of each pack, and what `fleet.toml` gives: a key that it calls the host's is so at once,
/// also in a pack whose version is held or rejected.
pub(super) fn packs_of<'a>(drift: &'a Drift, desired: &'a Desired) -> impl Iterator<Item = &'a RecordedPack> {
    let wanted = drift.packs.values().filter_map(|pack| pack.wanted.as_ref());
    let given = desired.packs.values().filter_map(|resolution| match resolution {
        Resolution::Pinned(pack) => Some(&pack.recorded),
        Resolution::Held(_) => None,
    });
    wanted.map(|wanted| &wanted.recorded).chain(given)
}

/// Answers every merge that the planner asked for.
pub(crate) fn merge_all(
    contents: &Contents<'_>,
    host: &dyn Host,
    asks: &BTreeMap<TreePath, (Content, Content, Content)>,
) -> (BTreeMap<TreePath, MergeAnswer>, BTreeMap<Content, Vec<u8>>) {
    let mut answers = BTreeMap::new();
    let mut merged = BTreeMap::new();
    for (path, (base, actual, desired)) in asks {
        let answer = match (contents.find(*base), host.read(path, *actual), contents.find(*desired)) {
            (Ok(base), Ok(actual), Ok(desired)) => {
                let (answer, bytes) = merging::merge(path, &base, &actual, &desired);
                merged.extend(bytes.map(|bytes| (Content::of(&bytes), bytes)));
                answer
            }
            _ => MergeAnswer::Conflict(Conflict::NoBase),
        };
        answers.insert(path.clone(), answer);
    }
    (answers, merged)
}

/// VERSION and log are packfleet's own; a pack may not install them, and a VERSION file that is no JSON
/// object belongs to somebody else.
fn reserved(workspace: &Workspace, observation: &Observation, plan: &Plan) -> Option<Hold> {
    let error = version_file::parse(observation.version_file.as_deref()).err();
    reserved_where(workspace, error.map(|error| error.to_string()), plan)
}

/// The same, where it is known already what is wrong with the VERSION file.
pub(super) fn reserved_where(workspace: &Workspace, wrong: Option<String>, plan: &Plan) -> Option<Hold> {
    let own = [&workspace.fleet.version_file, &workspace.fleet.sync_log];
    for path in own.into_iter().flatten() {
        if let Some(recorded) = plan.next.entries.get(path) {
            let text = format!(
                "{path} is the fleet's own file (version_file or sync_log): a pack may not install it"
            );
            let pack = Some(recorded.owner.clone());
            return Some(Hold { pack, path: Some(path.clone()), cause: HoldCause::Version(text) });
        }
    }
    let path = workspace.fleet.version_file.as_ref()?;
    let error = wrong?;
    let text = format!("{path} on the host is not packfleet's to replace: {error}; move it away");
    Some(Hold { pack: None, path: Some(path.clone()), cause: HoldCause::Version(text) })
}

/// Nothing is done, because of `hold`.
pub(super) fn halt(mut plan: Plan, hold: Hold, known: &Record) -> Plan {
    plan.actions.clear();
    plan.renames.clear();
    plan.prune.clear();
    plan.commits = false;
    plan.holds.push(hold);
    plan.holds.sort();
    plan.next = Record { generation: plan.next.generation, ..known.clone() };
    plan
}

/// Carries out the plan of a report, if it has something to commit. The report says afterwards how that
/// ended. `watched` is called once the change is there, its quick checks passed, and it is only watched.
pub fn apply(
    workspace: &Workspace,
    deployment: &Deployment,
    mut report: Report,
    options: &Options,
    watched: &(dyn Fn() + Sync),
) -> Report {
    let Some(survey) = report.survey.as_ref() else { return report };
    if !survey.plan.commits || deployment.mode == Mode::Observe {
        return report;
    }
    if let Err(failure) = forward::demand(workspace, deployment) {
        return failed(report, failure);
    }
    match checks::passed(workspace, deployment, survey) {
        Ok(None) => {}
        Ok(Some(held)) => {
            // What failed is held like a version that cannot be used; what is left of the plan goes on.
            report.outcome = outcome_of(&held.plan);
            report.survey = Some(held);
        }
        Err(failure) => return failed(report, failure),
    }
    let Some(survey) = report.survey.as_ref().filter(|survey| survey.plan.commits) else { return report };
    let hurry = report.hurried.as_ref().map(|hurried| hurried.why.clone());
    let options = Options { hurry, ..options.clone() };
    match carry_out(workspace, deployment, survey, NOTHING, &options, watched) {
        Ok(Done { generation, saved, said }) => {
            // Whatever was looked at passed.
            report.health = report.health.filter(|_| said.is_empty());
            report.committed = Some(generation);
            report.saved = saved;
            report.said = said;
            if report.outcome == Outcome::Planned {
                report.outcome = Outcome::Applied;
            }
        }
        Err(failure) => return failed(report, failure),
    }
    report
}

/// The report of a plan that was not carried out.
fn failed(mut report: Report, failure: Failure) -> Report {
    report.outcome = match &failure {
        Failure::Host(HostError::Locked { .. }) => Outcome::Locked,
        Failure::Host(HostError::Unreachable { .. }) => Outcome::Offline,
        Failure::Host(HostError::Unfit { .. } | HostError::Stale { .. }) | Failure::Moved { .. } => {
            Outcome::Held
        }
        Failure::Rewound { .. } => Outcome::Refused,
        Failure::Ill(taken) if taken.went_back() => Outcome::TakenBack,
        _ => Outcome::Failed,
    };
    report.failure = Some(failure);
    report
}

/// What a plan that was carried out came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// The generation that it made.
    pub generation: u64,
    /// Edits that were saved on the way.
    pub saved: Vec<u64>,
    /// What was run and what passed.
    pub said: Vec<String>,
}

/// Carries out one plan of any purpose.
pub(crate) fn carry_out(
    workspace: &Workspace,
    deployment: &Deployment,
    survey: &Survey,
    extra: &BTreeMap<Content, Vec<u8>>,
    options: &Options,
    watched: &(dyn Fn() + Sync),
) -> Result<Done, Failure> {
    let host = workspace.host(deployment);
    let plan = &survey.plan;
    // Others may have had their turn before, and taken long.
    let now = options.by_now();
    match (pin(workspace, survey), &plan.purpose) {
        (pinned, Purpose::Sync) => pinned?,
        // What anything else puts lies on the host: it is done without sources, too, and the next pass that
        // commits pins what the record names.
        (Err(failure), _) => {
            tracing::warn!(%failure, "going on without the source: what is put lies on the host")
        }
        (Ok(()), _) => {}
    }
    let version_file = match &workspace.fleet.version_file {
        None => None,
        Some(path) => {
            let map = version_file::parse(survey.observation.version_file.as_deref())
                .map_err(|error| Failure::Request(format!("{path}: {error}")))?;
            Some((path.clone(), version_file::render(map, deployment.location.as_deref(), plan, now)))
        }
    };
    let commit = Commit {
        plan,
        now,
        begun: options.begun.map(|_| Instant::now()),
        version_file,
        version_from: survey.observation.version_file.as_deref().map(Content::of),
        sync_log: workspace.fleet.sync_log.clone().map(|path| (path, version_file::log_line(plan, now))),
        keep_generations: workspace.fleet.keep_generations.max(1),
        // Files were read that the stat cache ought to have known: it has grown stale.
        reread: match survey.observation.actual.hashed {
            0 => Reread::Touched,
            _ => Reread::All,
        },
        aftercare: care::aftercare(workspace, deployment, &plan.next.entries),
        hurry: options.hurry.clone(),
        fleet: workspace.accepted(),
    };
    let contents = Contents::new(workspace, host.as_ref(), survey, extra).telling(watched);
    match host.apply(&commit, &contents)? {
        Applied::Done { generation, saved, said } => Ok(Done { generation, saved, said }),
        Applied::Ill(taken) => Err(Failure::Ill(taken)),
        Applied::Moved { path, found } => Err(Failure::Moved { path, found }),
    }
}

/// Every commit that the next record needs, or that an overlay was written against, stays reachable, before
/// anything depends on it.
fn pin(workspace: &Workspace, survey: &Survey) -> Result<(), Failure> {
    let next = &survey.plan.next;
    let mut by_source: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for resolved in &survey.resolved {
        by_source.entry(&resolved.source).or_default().extend(resolved.bases.iter().cloned());
    }
    for pack in next.packs.values() {
        by_source.entry(&pack.source).or_default().extend(pack.pin.commit.clone());
    }
    for entry in next.entries.values() {
        if let (Some(commit), Some(pack)) = (&entry.commit, next.packs.get(&entry.owner)) {
            by_source.entry(&pack.source).or_default().push(commit.clone());
        }
    }
    for (name, mut commits) in by_source {
        commits.sort();
        commits.dedup();
        if let Some(source) = workspace.sources.get(name) {
            source.pin(&commits).map_err(|error| {
                Failure::Request(format!("cannot keep pins of {name} reachable: {error}"))
            })?;
        }
    }
    Ok(())
}

/// Whether anything lies at a path, for messages.
pub(crate) fn seen_word(seen: Option<&Seen>) -> &'static str {
    match seen {
        None => "nothing",
        Some(Seen::Entry(entry)) => match entry.kind {
            crate::model::Kind::Link => "a link",
            _ => "a file",
        },
        Some(Seen::Obstacle(_)) => "something that is neither file nor link",
    }
}
