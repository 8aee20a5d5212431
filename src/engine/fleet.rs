//! Many deployments: in dependency order, independent ones side by side.
//!
//! A deployment is planned when it is selected or somebody selected depends on it. It is applied only
//! when it is selected, has something of its own to commit, and everything it depends on has settled;
//! otherwise it waits and says for whom. Nothing that fails or is held delays anyone else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::host::Verdict;
use crate::model::DeploymentName;
use crate::model::fleet::Mode;
use crate::plan::order;

use super::glance;
use super::orphans;
use super::pass;
use super::report::{Failure, Outcome, Report, Wait};
use super::resolve::{Resolutions, resolve};
use super::workspace::Workspace;
use super::{Event, Events, Options};

/// The selected deployments and all that they depend on.
pub fn with_dependencies(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
) -> BTreeSet<DeploymentName> {
    let mut all = BTreeSet::new();
    let mut ahead: Vec<DeploymentName> = selected.iter().cloned().collect();
    while let Some(name) = ahead.pop() {
        if let Some(deployment) = workspace.fleet.deployments.get(&name)
            && all.insert(name)
        {
            ahead.extend(deployment.depends_on.iter().cloned());
        }
    }
    all
}

/// Looks at the selected deployments and their dependencies, and plans each. Reports come in dependency
/// order; deployments that would have to wait say so.
pub fn survey(
    workspace: &Arc<Workspace>,
    selected: &BTreeSet<DeploymentName>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
) -> Result<Vec<Report>, std::io::Error> {
    let all = with_dependencies(workspace, selected);
    let resolutions = Arc::new(resolve(workspace, &all, events.as_ref()));
    let reports = in_parallel(options.jobs, all.iter().cloned(), |name| {
        let (workspace, resolutions) = (Arc::clone(workspace), Arc::clone(&resolutions));
        let (options, events) = (options.clone(), Arc::clone(events));
        move || one_survey(&workspace, &resolutions, name, &options, events.as_ref())
    })?;
    let mut by_name: BTreeMap<DeploymentName, Report> =
        reports.into_iter().map(|report| (report.deployment.clone(), report)).collect();
    let mut ordered: Vec<Report> = Vec::new();
    for name in order::deployments(&workspace.fleet) {
        let Some(mut report) = by_name.remove(&name) else { continue };
        report.selected = selected.contains(&name);
        let done: BTreeMap<&DeploymentName, &Report> = ordered.iter().map(|r| (&r.deployment, r)).collect();
        // Only what no apply of this selection would clear is a reason to wait.
        report.waits = waits(workspace, &report, |on| {
            done.get(on).and_then(|other| match other.outcome {
                Outcome::Planned if other.selected && !is_observed(workspace, on) => None,
                _ => in_the_way(other),
            })
        });
        if !report.waits.is_empty() && report.outcome == Outcome::Planned {
            report.outcome = Outcome::Waiting;
        }
        ordered.push(report);
    }
    Ok(ordered)
}

fn one_survey(
    workspace: &Workspace,
    resolutions: &Resolutions,
    name: DeploymentName,
    options: &Options,
    events: &dyn Events,
) -> Report {
    let Some(deployment) = workspace.fleet.deployments.get(&name) else {
        let text = format!("there is no deployment {name}");
        return Report::failed(name, Failure::Request(text));
    };
    events.event(Event::Looking(name.clone()));
    let report = glance::in_sync(workspace, resolutions, deployment, options)
        .unwrap_or_else(|| pass::survey(workspace, resolutions, deployment, options));
    events.event(Event::Looked(name));
    report
}

/// Carries out the plans of surveyed reports: those selected, in dependency order, in parallel.
pub fn apply(
    workspace: &Arc<Workspace>,
    reports: Vec<Report>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
) -> Result<Vec<Report>, std::io::Error> {
    let order: Vec<DeploymentName> = reports.iter().map(|report| report.deployment.clone()).collect();
    let mut done: BTreeMap<DeploymentName, Report> = BTreeMap::new();
    let mut left: Vec<Report> = reports;
    while !left.is_empty() {
        let names: BTreeSet<DeploymentName> = left.iter().map(|report| report.deployment.clone()).collect();
        let (ready, later): (Vec<Report>, Vec<Report>) = left.into_iter().partition(|report| {
            let dependencies = workspace.fleet.deployments.get(&report.deployment).map(|d| &d.depends_on);
            dependencies.is_none_or(|dependencies| dependencies.is_disjoint(&names))
        });
        let mut go = Vec::new();
        for mut report in ready {
            report.waits = waits(workspace, &report, |on| done.get(on).and_then(in_the_way));
            if !report.waits.is_empty() {
                report.outcome = report.outcome.max(Outcome::Waiting);
                if report.outcome == Outcome::Waiting || !report.selected {
                    done.insert(report.deployment.clone(), report);
                    continue;
                }
            } else if report.outcome == Outcome::Waiting {
                report.outcome = Outcome::Planned;
            }
            go.push(report);
        }
        for report in step(workspace, go, options, events)? {
            done.insert(report.deployment.clone(), report);
        }
        if later.len() == names.len() {
            // The validator refuses cycles; without progress nothing must spin here either.
            for report in later {
                done.insert(report.deployment.clone(), report);
            }
            break;
        }
        left = later;
    }
    let reports: Vec<Report> = order.iter().filter_map(|name| done.remove(name)).collect();
    if let Err(error) = orphans::remember(workspace, &reports) {
        tracing::warn!(%error, "orphaned deployments may go unreported");
    }
    Ok(reports)
}

/// Applies reports that wait for nobody.
fn step(
    workspace: &Arc<Workspace>,
    go: Vec<Report>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
) -> Result<Vec<Report>, std::io::Error> {
    in_parallel(options.jobs, go.into_iter(), |report| {
        let (workspace, options) = (Arc::clone(workspace), options.clone());
        let events = Arc::clone(events);
        move || {
            let name = report.deployment.clone();
            match workspace.fleet.deployments.get(&name) {
                Some(deployment) if report.selected && report.waits.is_empty() => {
                    events.event(Event::Applying(name.clone()));
                    let report = pass::apply(&workspace, deployment, report, &options);
                    events.event(Event::Applied(name));
                    report
                }
                _ => report,
            }
        }
    })
}

/// For whom a report waits: only one that has something to commit does.
fn waits(
    workspace: &Workspace,
    report: &Report,
    blocker: impl Fn(&DeploymentName) -> Option<String>,
) -> Vec<Wait> {
    let acts = report.survey.as_ref().is_some_and(|survey| !survey.plan.actions.is_empty());
    let Some(deployment) = workspace.fleet.deployments.get(&report.deployment).filter(|_| acts) else {
        return Vec::new();
    };
    deployment
        .depends_on
        .iter()
        .filter_map(|on| blocker(on).map(|because| Wait { on: on.clone(), because }))
        .collect()
}

/// What keeps others from building on a deployment.
fn in_the_way(report: &Report) -> Option<String> {
    if report.is_settled() {
        return None;
    }
    Some(match report.outcome {
        Outcome::Planned => "it has changes that are not applied".to_owned(),
        Outcome::Waiting => {
            let names: Vec<&str> = report.waits.iter().map(|wait| wait.on.as_str()).collect();
            format!("it waits for {}", names.join(", "))
        }
        Outcome::Held => "it is held".to_owned(),
        Outcome::Refused => "its change is refused".to_owned(),
        Outcome::Locked => "another run holds its lock".to_owned(),
        Outcome::TakenBack => "its change was found unhealthy and taken back".to_owned(),
        Outcome::InSync | Outcome::Applied | Outcome::RolledBack => {
            let verdict = report.health.as_ref().map(|health| health.verdict);
            match (verdict, report.health.iter().flat_map(|health| &health.evidence).next()) {
                (Some(Verdict::Watching), _) => "its change is still watched".to_owned(),
                (_, Some(evidence)) => format!("it is not healthy: {evidence}"),
                (_, None) => "it is not healthy".to_owned(),
            }
        }
        _ => "it failed".to_owned(),
    })
}

fn is_observed(workspace: &Workspace, name: &DeploymentName) -> bool {
    workspace.fleet.deployments.get(name).is_some_and(|deployment| deployment.mode == Mode::Observe)
}

/// Runs blocking jobs, at most `jobs` at a time. A job that dies takes only its own answer along, and
/// the caller learns of it.
fn in_parallel<I, J>(
    jobs: usize,
    items: impl Iterator<Item = I>,
    job: impl Fn(I) -> J,
) -> Result<Vec<Report>, std::io::Error>
where
    I: Named,
    J: FnOnce() -> Report + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let slots = Arc::new(Semaphore::new(jobs.max(1)));
        let mut set = JoinSet::new();
        let mut names = BTreeMap::new();
        for item in items {
            let name = item.name();
            let work = job(item);
            let slots = Arc::clone(&slots);
            let handle = set.spawn(async move {
                // The semaphore is never closed, so a slot always comes.
                let _slot = slots.acquire_owned().await;
                tokio::task::spawn_blocking(work).await
            });
            names.insert(handle.id(), name);
        }
        let mut reports = Vec::new();
        while let Some(ended) = set.join_next_with_id().await {
            let report = match ended {
                Ok((id, Ok(report))) => {
                    names.remove(&id);
                    Some(report)
                }
                Ok((id, Err(_))) => names.remove(&id).map(lost),
                Err(error) => names.remove(&error.id()).map(lost),
            };
            reports.extend(report);
        }
        reports.sort_by(|a, b| a.deployment.cmp(&b.deployment));
        Ok(reports)
    })
}

fn lost(name: DeploymentName) -> Report {
    Report::failed(name.clone(), Failure::Lost(name))
}

/// What a job is about.
trait Named {
    fn name(&self) -> DeploymentName;
}

impl Named for DeploymentName {
    fn name(&self) -> DeploymentName {
        self.clone()
    }
}

impl Named for Report {
    fn name(&self) -> DeploymentName {
        self.deployment.clone()
    }
}
