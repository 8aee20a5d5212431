//! From the reports of one pass to the next [`View`].
//!
//! ```text
//! View, reports of a pass, times ─► the next View, and what changed between the two
//! ```
//! Pure: times are arguments, and words come from [`Wording`]. A pass may have looked at some deployments only:
//! the others stay as they were seen last. A look that failed keeps what was known, and says that it failed. What is
//! no longer in the fleet goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::view::{
    Change, Commit, Deployed, Fare, MOST_ROWS, Orphaned, PackShown, Pass, Problem, Row, Stage, Standing,
    View, Wording,
};
use crate::engine::orphans::Orphan;
use crate::engine::{Failure, Outcome, Report, Survey, Workspace};
use crate::host::{Health, HostError, Verdict};
use crate::model::fleet::{Deployment, Fleet, Mode, State};
use crate::model::plan::HoldCause;
use crate::model::ranges::compress;
use crate::model::rollout::stage_of;
use crate::model::{DeploymentName, PackName};
use crate::plan::Standing as PathStanding;
use crate::plan::gate::Reason;

/// What one pass found.
pub struct Passed<'a> {
    /// The fleet that it obeyed.
    pub workspace: &'a Workspace,
    /// All of its reports.
    pub reports: &'a [Report],
    /// Deployments without a stanza, if it looked for them.
    pub orphans: Option<&'a [Orphan]>,
    /// How far it went.
    pub depth: Depth,
    /// When it began.
    pub began: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
}

/// How far a pass went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// It only looked: a pass follows where there is something to do, and says what came of it.
    Look,
    /// It did what there was to do, or says for what that waits.
    Pass,
}

/// The newest View, and how to come to the next.
#[derive(Debug, Clone)]
pub struct Board {
    view: Arc<View>,
}

impl Board {
    /// Nothing was seen yet.
    pub fn new(controller: &str, started: Timestamp) -> Self {
        Self { view: Arc::new(View::new(controller, started)) }
    }

    /// The newest View.
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// A fleet is in force: who is new in it was not looked at yet.
    pub fn fleet(&mut self, workspace: &Workspace, now: Timestamp) {
        let before = Arc::clone(&self.view);
        let mut next = View::clone(&before);
        in_force(&mut next, workspace);
        next.deployments = workspace
            .fleet
            .deployments
            .values()
            .map(|deployment| {
                declared(&workspace.fleet, deployment, before.deployment(deployment.name.as_str()), now)
            })
            .collect();
        self.show(next);
    }

    /// Packs of which git was asked in vain.
    pub fn silent(&mut self, packs: impl IntoIterator<Item = String>) {
        for pack in packs {
            *Arc::make_mut(&mut self.view).totals.source_errors.entry(pack).or_default() += 1;
        }
    }

    fn show(&mut self, mut next: View) {
        next.deployments.sort_by(|a, b| a.name.cmp(&b.name));
        next.rollout = rollout(&next.deployments);
        next.count();
        if !next.tells_the_same_as(&self.view) {
            next.revision += 1;
        }
        self.view = Arc::new(next);
    }

    /// What is wrong with the newest fleet.toml, or with getting it; nothing: it is in force.
    pub fn complain(&mut self, problems: Vec<Problem>) {
        if self.view.problems != problems {
            let view = Arc::make_mut(&mut self.view);
            let of_fleet =
                |all: &[Problem]| all.iter().filter(|it| it.is_of_fleet()).cloned().collect::<Vec<_>>();
            let news = of_fleet(&problems);
            view.totals.fleet_errors += u64::from(!news.is_empty() && news != of_fleet(&view.problems));
            view.problems = problems;
            view.revision += 1;
        }
    }

    /// Takes in what a pass found; what changed, by name.
    pub fn passed(&mut self, passed: &Passed<'_>, wording: &dyn Wording) -> Vec<Change> {
        let before = Arc::clone(&self.view);
        let mut next = View::clone(&before);
        let fleet = &passed.workspace.fleet;
        in_force(&mut next, passed.workspace);
        next.pass = Some(Pass { began: passed.began, ended: passed.ended, looked: passed.reports.len() });
        if let Some(orphans) = passed.orphans {
            next.orphans = orphans.iter().map(orphaned).collect();
        }
        let reports: BTreeMap<&str, &Report> =
            passed.reports.iter().map(|report| (report.deployment.as_str(), report)).collect();
        let one = |deployment: &Deployment| {
            let last = before.deployment(deployment.name.as_str());
            match reports.get(deployment.name.as_str()) {
                Some(report) if is_provisional(passed.depth, deployment, report, last) => {
                    let last = declared(fleet, deployment, last, passed.ended);
                    Deployed { seen: Some(passed.ended), ..last }
                }
                Some(report) => seen(passed, deployment, report, last, wording),
                None => declared(fleet, deployment, last, passed.ended),
            }
        };
        next.deployments = fleet.deployments.values().map(one).collect();
        count_totals(&mut next, passed);
        self.show(next);
        changes(&before, &self.view)
    }
}

/// Whether a report would be outdated by the pass that follows it.
fn is_provisional(depth: Depth, deployment: &Deployment, report: &Report, last: Option<&Deployed>) -> bool {
    let known = last.is_some_and(|last| last.sync != Standing::Unknown);
    let follows = report.outcome == Outcome::Planned && deployment.mode == Mode::Converge;
    depth == Depth::Look && follows && known
}

fn in_force(view: &mut View, workspace: &Workspace) {
    view.fleet = Some(workspace.fleet.name.to_string());
    view.commit = workspace.commit().map(|at| Commit {
        id: at.commit.as_str().to_owned(),
        branch: at.branch.clone(),
        dirty: at.dirty,
    });
}

/// Where the rollout stands, in a sentence.
fn rollout(deployments: &[Deployed]) -> Option<String> {
    let stages: Vec<&Stage> = deployments.iter().filter_map(|deployed| deployed.stage.as_ref()).collect();
    let of = stages.iter().map(|stage| stage.of).max()?;
    if let Some(stopped) = stages.iter().find_map(|stage| stage.stopped.as_ref()) {
        return Some(format!("rollout in {of} stages: stopped, {stopped}"));
    }
    let waiting = stages.iter().filter(|stage| stage.waits);
    let Some(first) = waiting.clone().map(|stage| stage.number).min() else {
        return Some(format!("rollout in {of} stages: nothing waits for an earlier one"));
    };
    let until = waiting.filter_map(|stage| stage.clears).max();
    let until = until.map_or(String::new(), |until| {
        format!(", at the earliest until {}", until.strftime("%Y-%m-%d %H:%M:%SZ"))
    });
    Some(format!("rollout in {of} stages: stage {first} waits for an earlier one{until}"))
}

/// Its place in the rollout; of a report also whether that is in its way.
fn stage(
    fleet: &Fleet,
    deployment: &Deployment,
    seen: Option<(&Report, Timestamp)>,
    last: Option<&Stage>,
) -> Option<Stage> {
    let number = stage_of(&fleet.rollout, &deployment.name)? + 1;
    let of = fleet.rollout.len();
    let Some((report, now)) = seen else {
        let last = last.filter(|last| (last.number, last.of) == (number, of)).cloned();
        return Some(last.unwrap_or(Stage {
            number,
            of,
            waits: false,
            soaks_until: None,
            clears: None,
            stopped: None,
        }));
    };
    let gate = &report.gate;
    let stopped = gate.iter().find_map(|reason| match reason {
        Reason::Stopped { stage, pack, failed, .. } => {
            let names = compress(failed.iter().map(DeploymentName::as_str));
            Some(format!("pack {pack} failed in stage {stage} on {names}"))
        }
        _ => None,
    });
    let waiting = |reason: &&Reason| matches!(reason, Reason::Stage { .. } | Reason::Untried { .. });
    let waits = gate.iter().filter(waiting);
    let clears =
        waits.clone().map(Reason::clears).collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
    let soak = SignedDuration::try_from(fleet.rollout[number - 1].soak).unwrap_or_default();
    let well = report.facts.iter().flat_map(|facts| facts.packs.values());
    let well = well.filter(|pack| pack.is_as_wanted());
    let over = well.filter_map(|pack| pack.since?.checked_add(soak).ok()).max();
    let soaks_until = over.filter(|over| *over > now);
    Some(Stage { number, of, waits: waits.count() > 0, soaks_until, clears, stopped })
}

/// What changed about deployments, by name.
pub fn changes(before: &View, after: &View) -> Vec<Change> {
    let state = |view: &View, name: &str| view.deployment(name).map(|it| (it.sync, it.health));
    let names: BTreeSet<&str> =
        before.deployments.iter().chain(&after.deployments).map(|deployed| deployed.name.as_str()).collect();
    let change = |name: &str| Change {
        deployment: name.to_owned(),
        before: state(before, name),
        after: state(after, name),
    };
    names.into_iter().map(change).filter(|change| change.before != change.after).collect()
}

fn orphaned(orphan: &Orphan) -> Orphaned {
    Orphaned {
        name: orphan.deployment.to_string(),
        root: orphan.root.as_str().to_owned(),
        generation: orphan.generation,
        files: orphan.files,
    }
}

fn count_totals(next: &mut View, passed: &Passed<'_>) {
    let took = passed.ended.duration_since(passed.began).as_millis();
    next.totals.passes += 1;
    next.totals.pass_milliseconds += u64::try_from(took).unwrap_or(0);
    let committed = passed.reports.iter().filter(|report| report.committed.is_some()).count();
    next.totals.commits += committed as u64;
    let silent: BTreeSet<String> = passed
        .reports
        .iter()
        .filter_map(|report| report.survey.as_ref())
        .flat_map(|survey| &survey.plan.holds)
        .filter(|hold| matches!(hold.cause, HoldCause::Source(_)))
        .filter_map(|hold| hold.pack.as_ref().map(ToString::to_string))
        .collect();
    for pack in silent {
        *next.totals.source_errors.entry(pack).or_default() += 1;
    }
}

/// A deployment as fleet.toml has it, with what was seen of it last.
fn declared(fleet: &Fleet, deployment: &Deployment, last: Option<&Deployed>, now: Timestamp) -> Deployed {
    let stage = stage(fleet, deployment, None, last.and_then(|last| last.stage.as_ref()));
    let last = last.cloned().unwrap_or_else(|| Deployed {
        name: deployment.name.to_string(),
        host: String::new(),
        root: String::new(),
        location: None,
        labels: Vec::new(),
        observed: false,
        absent: false,
        sync: Standing::Unknown,
        health: Fare::Unknown,
        since: now,
        seen: None,
        settled: None,
        generation: None,
        packs: Vec::new(),
        edits: 0,
        here_only: None,
        edits_in: Vec::new(),
        stage: None,
        depends_on: Vec::new(),
        why: String::new(),
        reasons: Vec::new(),
        drift: Vec::new(),
        drifted: 0,
        host_errors: 0,
        failures: 0,
    });
    Deployed {
        host: deployment.host.to_string(),
        root: deployment.root.as_str().to_owned(),
        location: deployment.location.clone(),
        labels: deployment.labels.iter().cloned().collect(),
        observed: deployment.mode == Mode::Observe,
        absent: deployment.state == State::Absent,
        stage,
        depends_on: deployment.depends_on.iter().map(ToString::to_string).collect(),
        ..last
    }
}

fn seen(
    passed: &Passed<'_>,
    deployment: &Deployment,
    report: &Report,
    last: Option<&Deployed>,
    wording: &dyn Wording,
) -> Deployed {
    let fleet = &passed.workspace.fleet;
    let mut next = declared(fleet, deployment, last, passed.ended);
    next.stage = stage(fleet, deployment, Some((report, passed.ended)), None);
    next.sync = standing(report);
    next.why = wording.why(passed.workspace, report);
    next.reasons = wording.reasons(passed.workspace, passed.reports, report);
    match &report.failure {
        Some(Failure::Host(HostError::Unreachable { .. })) => next.host_errors += 1,
        _ if matches!(report.outcome, Outcome::Failed) => next.failures += 1,
        _ => {}
    }
    if let Some(survey) = &report.survey {
        next.seen = Some(passed.ended);
        next.health = fare(report.health.as_ref());
        let recorded = survey.observation.record.as_ref().map(|record| record.generation);
        next.generation = report.committed.or(recorded);
        let rows = rows(survey, report, wording);
        next.packs = packs(deployment, survey, report, &rows);
        next.edits = survey.kept_edits().count();
        let whereabouts = report.whereabouts.as_ref().filter(|_| next.edits > 0);
        next.here_only = whereabouts.map(|it| it.here_only.len());
        next.edits_in =
            whereabouts.iter().flat_map(|it| &it.commits).map(|at| at.commit.short().to_owned()).collect();
        next.drifted = rows.len();
        next.drift = rows;
        next.drift.truncate(MOST_ROWS);
    }
    if next.sync.is_settled() {
        next.settled = Some(passed.ended);
    }
    if last.is_none_or(|last| (last.sync, last.health) != (next.sync, next.health)) {
        next.since = passed.ended;
    }
    next
}

/// How it stands, as the table of `status` says it.
fn standing(report: &Report) -> Standing {
    let survey = report.survey.as_ref();
    if survey.is_some_and(|survey| survey.observation.interrupted.is_some()) && report.committed.is_none() {
        return Standing::Interrupted;
    }
    let edited = || survey.is_some_and(|survey| survey.kept_edits().next().is_some());
    match report.outcome {
        Outcome::InSync | Outcome::Applied | Outcome::RolledBack if edited() => Standing::Edited,
        Outcome::InSync | Outcome::Applied | Outcome::RolledBack => Standing::InSync,
        Outcome::Planned if survey.is_some_and(|survey| survey.observation.record.is_none()) => Standing::New,
        Outcome::Planned | Outcome::Undecided => Standing::Pending,
        Outcome::TakenBack => Standing::Unhealthy,
        Outcome::Waiting => Standing::Waiting,
        Outcome::Offline if matches!(report.failure, Some(Failure::Unheard(_))) => Standing::Unknown,
        Outcome::Offline => Standing::Offline,
        Outcome::Held if survey.is_some_and(only_rejected) => Standing::Rejected,
        Outcome::Held => Standing::Held,
        Outcome::Refused => Standing::Refused,
        Outcome::Locked => Standing::Locked,
        Outcome::Failed => Standing::Failed,
    }
}

fn only_rejected(survey: &Survey) -> bool {
    survey.plan.holds.iter().all(|hold| matches!(hold.cause, HoldCause::Rejected { .. }))
}

fn fare(health: Option<&Health>) -> Fare {
    match health.map(|health| health.verdict) {
        None => Fare::Unknown,
        Some(Verdict::Healthy | Verdict::TakenBack) => Fare::Healthy,
        Some(Verdict::Watching) => Fare::Watched,
        Some(Verdict::Ill) => Fare::Ill,
        Some(Verdict::GoingBack) => Fare::GoingBack,
    }
}

/// Paths that are not in sync. What a pass committed is so by now.
fn rows(survey: &Survey, report: &Report, wording: &dyn Wording) -> Vec<Row> {
    let mut rows = wording.rows(survey);
    if report.committed.is_some() {
        let done: BTreeSet<&str> = survey.plan.actions.iter().map(|action| action.path.as_str()).collect();
        rows.retain(|row| row.letter != '=' && !done.contains(row.path.as_str()));
    }
    rows
}

fn packs(deployment: &Deployment, survey: &Survey, report: &Report, rows: &[Row]) -> Vec<PackShown> {
    let recorded = survey.observation.record.as_ref();
    let edits: Vec<_> = survey.kept_edits().map(|(_, judged)| &judged.pack).collect();
    let one = |name: &PackName| {
        let drift = survey.drift.packs.get(name);
        let wanted = drift.and_then(|drift| drift.wanted.as_ref()).map(|wanted| &wanted.recorded.pin);
        let held = survey.plan.holds.iter().filter(|hold| hold.pack.as_ref() == Some(name)).count();
        let goes = report.committed.is_some() && held == 0;
        let version = |text: Option<&str>| text.map(str::to_owned);
        let wants = survey.wanted(name);
        let assigned = deployment.packs.get(name);
        let there = match goes {
            true => wanted,
            false => recorded.and_then(|record| record.packs.get(name)).map(|pack| &pack.pin),
        };
        PackShown {
            pack: name.to_string(),
            installed: if goes { version(wants) } else { version(survey.installed(name)) },
            wanted: version(wants),
            declared: survey.desired.packs.contains_key(name),
            commit: wanted.and_then(|pin| pin.commit.as_ref()).map(|commit| commit.as_str().to_owned()),
            tree: there.map(|pin| pin.tree.to_string()),
            overlays: assigned.iter().flat_map(|it| &it.overlays).map(ToString::to_string).collect(),
            features: assigned.map(|it| it.features.clone()).unwrap_or_default(),
            drifted: rows.iter().filter(|row| row.pack == name.as_str()).count(),
            edits: edits.iter().filter(|pack| **pack == name).count(),
            holds: held,
        }
    };
    // What a commit took away is gone; what it could not take away is held and stays.
    let stays = |name: &&PackName| {
        report.committed.is_none() || survey.desired.packs.contains_key(*name) || is_held(survey, name)
    };
    survey.drift.packs.keys().filter(stays).map(one).collect()
}

fn is_held(survey: &Survey, name: &PackName) -> bool {
    survey.plan.holds.iter().any(|hold| hold.pack.as_ref() == Some(name))
}

/// How a path stands, as documents say it.
pub fn standing_word(standing: PathStanding) -> String {
    match serde_json::to_value(standing) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}
