//! One look or one pass, on a thread of its own, and how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::queue::{Came, Job, Kind};
use crate::engine::status::Check;
use crate::engine::{
    Failure, Options, Outcome, Recover, Report, Workspace, fleet, publish_status, remembered, whereabouts,
};
use crate::host::{Health, Scope, Trust};
use crate::model::DeploymentName;
use crate::model::fleet::{Mode, State};
use crate::model::plan::HoldCause;
use crate::plan::gate::Reason;

/// A job that ended.
#[derive(Debug)]
pub struct Done {
    /// It.
    pub(super) job: Job,
    /// The fleet that it was for.
    pub(super) workspace: Arc<Workspace>,
    /// What was found; those that depend on others came after them.
    pub(super) reports: Result<Vec<Report>, std::io::Error>,
    /// When it began.
    pub(super) began: Timestamp,
    /// How long it took.
    pub(super) took: Duration,
}

/// Does a job. Blocks until it is done.
pub(super) fn carry_out(
    job: Job,
    scopes: &BTreeMap<DeploymentName, Scope>,
    workspace: Arc<Workspace>,
    mut options: Options,
) -> Done {
    let (began, clock) = (Timestamp::now(), Instant::now());
    (options.now, options.begun) = (began, Some(clock));
    options.trust = if job.kind == Kind::Rehash { Trust::Nothing } else { Trust::StatCache };
    options.recover = if job.kind == Kind::Look { Recover::Report } else { Recover::Whole };
    let mut reports = match job.kind {
        Kind::Look => {
            let scope = |name| scopes.get(name).unwrap_or(&Scope::Whole);
            let looks =
                job.names.iter().map(|name| fleet::look(&workspace, name, &options, scope(name), &()));
            Ok(looks.collect())
        }
        Kind::Pass | Kind::Rehash => pass(&workspace, &job, &options),
    };
    if let Ok(reports) = &mut reports {
        whereabouts::find(&workspace, reports);
        for unpublished in publish_status(&workspace, reports, &options, Check::Memory) {
            tracing::warn!("{unpublished}");
        }
    }
    Done { job, workspace, reports, began, took: clock.elapsed() }
}

fn pass(workspace: &Arc<Workspace>, job: &Job, options: &Options) -> Result<Vec<Report>, std::io::Error> {
    let nobody: Arc<dyn crate::engine::Events + Send + Sync> = Arc::new(());
    let reports = fleet::survey(workspace, &job.names, options, &nobody)?;
    if reports.iter().any(|report| report.selected && acts(workspace, report)) {
        fleet::apply(workspace, reports, options, &nobody)
    } else {
        if let Err(error) = remembered::remember(workspace, &reports) {
            tracing::warn!(%error, "deployments that are orphaned, or gone, may go unreported");
        }
        Ok(reports)
    }
}

/// Whether an apply would do something here.
fn acts(workspace: &Workspace, report: &Report) -> bool {
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    let converges = deployment.is_some_and(|deployment| deployment.mode == Mode::Converge);
    converges && report.survey.as_ref().is_some_and(|survey| survey.plan.commits)
}

/// What the reports of a job mean for what is looked at next.
pub(super) fn came(done: &Done) -> BTreeMap<DeploymentName, Came> {
    let Ok(reports) = &done.reports else {
        return done.job.names.iter().map(|name| (name.clone(), Came::Failed)).collect();
    };
    let selected = reports.iter().filter(|report| report.selected);
    selected.map(|report| (report.deployment.clone(), one(&done.workspace, done.job.kind, report))).collect()
}

fn one(workspace: &Workspace, kind: Kind, report: &Report) -> Came {
    if matches!(report.failure, Some(Failure::Interrupted)) {
        return Came::Superseded;
    }
    let deployment = workspace.fleet.deployments.get(&report.deployment);
    let converges = deployment.is_some_and(|d| d.mode == Mode::Converge && d.state == State::Present);
    let watched = converges && report.health.as_ref().is_some_and(Health::is_open);
    match (kind, report.outcome) {
        (_, Outcome::Failed | Outcome::Offline | Outcome::Locked) => Came::Failed,
        (Kind::Pass | Kind::Rehash, _) if lacks(report) && !watched => Came::Lacks,
        (Kind::Look, _) => {
            let left = report
                .survey
                .as_ref()
                .is_some_and(|survey| survey.observation.interrupted.is_some() || survey.observation.staged);
            if acts(workspace, report) || left || watched { Came::Acts } else { Came::Settled }
        }
        (_, Outcome::Waiting) => waiting(report).unwrap_or(Came::Waits),
        _ if watched => Came::Watching,
        // One of its packs may be held, and another one wait.
        _ => waiting(report).unwrap_or(Came::Settled),
    }
}

/// What it waits for, be there other things in its way or not; the first that clears itself is looked at then.
fn waiting(report: &Report) -> Option<Came> {
    let clears = report.gate.iter().filter_map(Reason::clears).min();
    let waits = report.is_waiting().then_some(Came::Waits);
    clears.map(|at| Came::WaitsFor(until(at))).or(waits)
}

/// Whether a source did not give what was asked of it: it did not answer, or the cache could not be written.
pub(super) fn lacks(report: &Report) -> bool {
    let holds = report.survey.iter().flat_map(|survey| &survey.plan.holds);
    holds.into_iter().any(|hold| matches!(hold.cause, HoldCause::Source(_)))
}

/// How long it is until a time, and a moment more: a clock that is read twice may have gone on by less than it shows.
fn until(at: Timestamp) -> Duration {
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    left + Duration::from_millis(50)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::gate::PausedBy;

    #[test]
    fn what_clears_itself_is_looked_at_then_whatever_else_is_in_the_way() {
        let mut report = Report::failed("d".parse().unwrap(), Failure::Interrupted);
        report.outcome = Outcome::Held;
        assert_eq!(waiting(&report), None);
        let pause = |minutes: Option<i64>| {
            let clears = minutes.map(|minutes| Timestamp::now() + jiff::SignedDuration::from_mins(minutes));
            Reason::Pause { reason: "x".into(), clears, by: PausedBy::Command }
        };
        report.gate = vec![pause(None)];
        assert_eq!(waiting(&report), Some(Came::Waits));
        report.gate = vec![pause(None), pause(Some(90)), pause(Some(30))];
        let Some(Came::WaitsFor(period)) = waiting(&report) else { panic!("it does not wait") };
        assert!(period <= Duration::from_secs(30 * 60 + 1) && period > Duration::from_secs(20 * 60));
    }
}
