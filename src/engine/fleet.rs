//! Many deployments: in dependency order, independent ones side by side.
//!
//! A deployment is planned when it is selected or somebody selected depends on it. It is applied only
//! when it is selected, has something of its own to commit, and everything it depends on has settled;
//! otherwise it waits and says for whom. Nothing that fails or is held delays anyone else.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::host::{Scope, Verdict};
use crate::model::fleet::{Deployment, HostAddress, Mode};
use crate::model::{DeploymentName, TreePath};
use crate::plan::gate::{self, Reason};
use crate::plan::order;

use super::gates::{self, Watch};
use super::glance;
use super::narrow;
use super::pass;
use super::remembered;
use super::report::{Failure, Outcome, Report, Wait};
use super::resolve::{Resolutions, resolve};
use super::status;
use super::workspace::Workspace;
use super::{Event, Events, Offline, Options, Recover};

/// Hosts that are waited for at a time.
const AWAY: usize = 16;
/// What is in the way of those that depend on a host that does not answer.
const OFFLINE: &str = "it cannot be reached";

/// The selected deployments and all that they wait for.
pub fn with_dependencies(
    workspace: &Workspace,
    selected: &BTreeSet<DeploymentName>,
) -> BTreeSet<DeploymentName> {
    let awaited = order::awaited(&workspace.fleet);
    let mut all = BTreeSet::new();
    let mut ahead: Vec<DeploymentName> = selected.iter().cloned().collect();
    while let Some(name) = ahead.pop() {
        if workspace.fleet.deployments.contains_key(&name) && all.insert(name.clone()) {
            ahead.extend(awaited.get(&name).into_iter().flatten().cloned());
        }
    }
    all
}

/// Looks at the selected deployments and at all that they wait for, and plans each. Reports come in the order in
/// which deployments converge; those that would have to wait say so.
pub fn survey(
    workspace: &Arc<Workspace>,
    selected: &BTreeSet<DeploymentName>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
) -> Result<Vec<Report>, std::io::Error> {
    let fleet = &workspace.fleet;
    let mut by_name = BTreeMap::new();
    look_at(workspace, &with_dependencies(workspace, selected), options, events, &mut by_name)?;
    let peers = gates::peers(fleet, selected, &by_name);
    look_at(workspace, &peers, options, events, &mut by_name)?;
    if options.recover == Recover::Whole {
        let followed = gates::followed(fleet, selected, &by_name, options);
        let asked = Options { recover: Recover::Asked, ..options.clone() };
        look_at(workspace, &followed, &asked, events, &mut by_name)?;
    }
    let mut watch = Watch::new(fleet, by_name.values(), options.hurry.as_deref(), options.now);
    let awaited = order::awaited(fleet);
    let mut ordered: Vec<Report> = Vec::new();
    let mut places: BTreeMap<DeploymentName, usize> = BTreeMap::new();
    for name in order::deployments(fleet) {
        let Some(mut report) = by_name.remove(&name) else { continue };
        report.selected = selected.contains(&name);
        // Only what no apply of this selection would clear is a reason to wait.
        report.waits = waits(&awaited, &report, |on| {
            places.get(on).and_then(|at| ordered.get(*at)).and_then(|other| match other.outcome {
                Outcome::Planned if other.selected && !is_observed(workspace, on) => None,
                _ => in_the_way(other),
            })
        });
        (report.gate, report.hurried) = watch.reasons(&name);
        if report.is_waiting() && report.outcome == Outcome::Planned {
            report.outcome = Outcome::Waiting;
        }
        if report.selected && report.outcome == Outcome::Planned {
            watch.foresee(&name);
        }
        places.insert(name, ordered.len());
        ordered.push(report);
    }
    strictly(&mut ordered, options);
    Ok(ordered)
}

/// Looks at these deployments, side by side, and adds their reports.
fn look_at(
    workspace: &Arc<Workspace>,
    names: &BTreeSet<DeploymentName>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
    by_name: &mut BTreeMap<DeploymentName, Report>,
) -> Result<(), std::io::Error> {
    if names.is_empty() {
        return Ok(());
    }
    status::hear_others(workspace, names, options);
    let resolutions = Arc::new(resolve(workspace, names, events.as_ref()));
    let mut asked: Vec<DeploymentName> = names.iter().cloned().collect();
    let (_nobody, no_slots) = unbounded_channel();
    in_parallel(jobs(workspace, names.iter(), options), no_slots, |news: News| {
        if let News::Ended(report) = news {
            by_name.insert(report.deployment.clone(), *report);
        }
        let look = |name: DeploymentName| {
            let (workspace, resolutions) = (Arc::clone(workspace), Arc::clone(&resolutions));
            let (options, events, asked) = (options.clone(), Arc::clone(events), name.clone());
            (name, move || {
                one_survey(&workspace, &resolutions, asked, &options, &Scope::Whole, events.as_ref())
            })
        };
        std::mem::take(&mut asked).into_iter().map(look).collect()
    })
}

/// Looks at one deployment alone and plans it, whatever others have still to do: nothing is written, and an
/// interrupted switch is reported. Where something may differ from what is recorded, the caller knows by [`unlike`] of an
/// earlier look and from a watch that heard all since that one began; what cannot be told from these alone is looked at
/// whole.
pub fn look(
    workspace: &Workspace,
    name: &DeploymentName,
    options: &Options,
    scope: &Scope,
    events: &dyn Events,
) -> Report {
    let resolutions = resolve(workspace, &BTreeSet::from([name.clone()]), events);
    one_survey(workspace, &resolutions, name.clone(), options, scope, events)
}

/// Paths of a report that are not as they are recorded; `None` where that is not known.
pub fn unlike(report: &Report) -> Option<BTreeSet<TreePath>> {
    narrow::unlike(report)
}

fn one_survey(
    workspace: &Workspace,
    resolutions: &Resolutions,
    name: DeploymentName,
    options: &Options,
    scope: &Scope,
    events: &dyn Events,
) -> Report {
    let Some(deployment) = workspace.fleet.deployments.get(&name) else {
        let text = format!("there is no deployment {name}");
        return Report::failed(name, Failure::Request(text));
    };
    events.event(Event::Looking(name.clone()));
    if let Some(statuses) = workspace.statuses_of(&name) {
        let report = status::survey::survey(workspace, &statuses, resolutions, deployment, options);
        events.event(Event::Looked(name));
        return with_facts(workspace, resolutions, deployment, report, options);
    }
    let few = match scope {
        Scope::Whole => None,
        Scope::Only(_) => narrow::survey(workspace, resolutions, deployment, options, scope),
    };
    let report = few
        .or_else(|| glance::in_sync(workspace, resolutions, deployment, options))
        .or_else(|| narrow::survey(workspace, resolutions, deployment, options, &Scope::Whole));
    let report = report.unwrap_or_else(|| {
        let mut report = pass::survey(workspace, resolutions, deployment, options);
        remembered::notice(workspace, deployment, options, &mut report);
        report
    });
    events.event(Event::Looked(name));
    with_facts(workspace, resolutions, deployment, report, options)
}

fn with_facts(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    report: Report,
    options: &Options,
) -> Report {
    let facts = gates::facts(workspace, resolutions, deployment, &report);
    let paused = gate::paused(deployment, facts.pause.as_ref(), options.now);
    Report { facts: Some(facts), paused, ..report }
}

/// Carries out the plans of surveyed reports: those selected, each as soon as all that it waits for is done and its
/// stage, window and pause let it, and independent ones side by side. What is known changes with every one that
/// is done: whoever is next is judged by it.
pub fn apply(
    workspace: &Arc<Workspace>,
    reports: Vec<Report>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
) -> Result<Vec<Report>, std::io::Error> {
    let order: Vec<DeploymentName> = reports.iter().map(|report| report.deployment.clone()).collect();
    let jobs = jobs(workspace, order.iter(), options);
    let mut done: BTreeMap<DeploymentName, Report> = BTreeMap::new();
    let fleet = &workspace.fleet;
    let mut watch = Watch::new(fleet, reports.iter(), options.hurry.as_deref(), options.now);
    let awaited = order::awaited(fleet);
    let mut queue = Queue::new(&awaited, reports);
    let mut at_work = 0;
    let (slots, freed) = unbounded_channel();
    in_parallel(jobs, freed, |news: News| {
        let mut go = Vec::new();
        match news {
            News::Begin => {}
            News::Watched(name) => {
                watch.busy.remove(&name);
            }
            News::Ended(mut report) => {
                at_work -= 1;
                watch.busy.remove(&report.deployment);
                watch.at_work.remove(&report.deployment);
                if let Some(facts) = report.facts.take() {
                    let facts = gates::ended(facts, &report, options.now);
                    watch.learn(&report.deployment, facts.clone());
                    report.facts = Some(facts);
                }
                queue.release(&report.deployment);
                done.insert(report.deployment.clone(), *report);
            }
        }
        queue.look_again();
        loop {
            // No more than can be begun at once: whoever comes later is judged by what came of these.
            let Some(report) = queue.ready.pop_front() else {
                if at_work > 0 || !queue.give_up() {
                    break;
                }
                continue;
            };
            if at_work >= jobs {
                queue.ready.push_front(report);
                break;
            }
            match begin(&watch, &awaited, report, &done, queue.last_word) {
                Begin::Go(report) => {
                    at_work += 1;
                    queue.last_word = LastWord::NotYet;
                    if report.facts.as_ref().is_some_and(|facts| facts.acts) {
                        watch.busy.insert(report.deployment.clone());
                        watch.at_work.insert(report.deployment.clone());
                    }
                    go.push(carry_out(workspace, report, options, events, slots.clone()));
                }
                Begin::Later(report) => queue.later.push(*report),
                Begin::Stay(report) => {
                    queue.release(&report.deployment);
                    done.insert(report.deployment.clone(), *report);
                }
            }
        }
        go
    })?;
    // The validator refuses cycles; without progress nothing may get lost here either.
    done.extend(queue.behind.into_values().map(|(report, _)| (report.deployment.clone(), report)));
    let mut reports: Vec<Report> = order.iter().filter_map(|name| done.remove(name)).collect();
    // Whoever waits is told what they wait for by now, and not at the moment when it was their turn.
    for report in reports.iter_mut().filter(|report| !report.gate.is_empty() && report.committed.is_none()) {
        let (reasons, _) = watch.reasons(&report.deployment);
        if !reasons.is_empty() {
            report.gate = reasons;
        }
    }
    if let Err(error) = remembered::remember(workspace, &reports) {
        tracing::warn!(%error, "deployments that are orphaned, or gone, may go unreported");
    }
    strictly(&mut reports, options);
    Ok(reports)
}

/// Reports in the order of dependencies.
struct Queue {
    /// Those whose turn it is.
    ready: VecDeque<Report>,
    /// Those that may go once somebody who is at work is done.
    later: Vec<Report>,
    /// Whether nobody is at work any more whom they could wait for.
    last_word: LastWord,
    /// The others, with how many they still wait for.
    behind: BTreeMap<DeploymentName, (Report, usize)>,
    /// Who waits for whom.
    dependents: BTreeMap<DeploymentName, Vec<DeploymentName>>,
}

impl Queue {
    fn new(awaited: &Awaited, reports: Vec<Report>) -> Self {
        let among: BTreeSet<DeploymentName> =
            reports.iter().map(|report| report.deployment.clone()).collect();
        let mut queue = Self {
            ready: VecDeque::new(),
            later: Vec::new(),
            last_word: LastWord::NotYet,
            behind: BTreeMap::new(),
            dependents: BTreeMap::new(),
        };
        for report in reports {
            let awaited = awaited.get(&report.deployment).into_iter().flatten();
            let awaited: Vec<_> = awaited.filter(|on| among.contains(*on)).cloned().collect();
            if awaited.is_empty() {
                queue.ready.push_back(report);
                continue;
            }
            let (name, count) = (report.deployment.clone(), awaited.len());
            for on in awaited {
                queue.dependents.entry(on).or_default().push(name.clone());
            }
            queue.behind.insert(name, (report, count));
        }
        queue
    }

    /// Something changed: those that were to go later are looked at again, before all others.
    fn look_again(&mut self) {
        for report in self.later.drain(..).rev() {
            self.ready.push_front(report);
        }
    }

    /// Nobody is at work: what is still to wait waits for something else. Whether there is anything.
    fn give_up(&mut self) -> bool {
        self.last_word = LastWord::Spoken;
        self.look_again();
        !self.ready.is_empty()
    }

    /// One is done: those that waited for nobody else are ready.
    fn release(&mut self, name: &DeploymentName) {
        for dependent in self.dependents.remove(name).into_iter().flatten() {
            if let Some((_, count)) = self.behind.get_mut(&dependent) {
                *count -= 1;
                if *count == 0 {
                    self.ready.extend(self.behind.remove(&dependent).map(|(report, _)| report));
                }
            }
        }
    }
}

/// Whether somebody is still at work whom others could wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWord {
    NotYet,
    Spoken,
}

/// Whom each deployment waits for.
type Awaited = BTreeMap<DeploymentName, BTreeSet<DeploymentName>>;

/// What becomes of a report whose turn it is.
enum Begin {
    Go(Box<Report>),
    Later(Box<Report>),
    Stay(Box<Report>),
}

fn begin(
    watch: &Watch<'_>,
    awaited: &Awaited,
    mut report: Report,
    done: &BTreeMap<DeploymentName, Report>,
    last_word: LastWord,
) -> Begin {
    let acts = report.selected && report.facts.as_ref().is_some_and(|facts| facts.acts);
    // Cheap, and it comes often.
    if acts && last_word == LastWord::NotYet && !watch.has_slot(&report.deployment) {
        return Begin::Later(Box::new(report));
    }
    report.waits = waits(awaited, &report, |on| done.get(on).and_then(in_the_way));
    (report.gate, report.hurried) = watch.reasons(&report.deployment);
    let waits_for_us = |reason: &Reason| watch.may_clear(reason);
    if acts
        && last_word == LastWord::NotYet
        && report.waits.is_empty()
        && !report.gate.is_empty()
        && report.gate.iter().all(waits_for_us)
    {
        return Begin::Later(Box::new(report));
    }
    if report.is_waiting() {
        report.outcome = report.outcome.max(Outcome::Waiting);
        return Begin::Stay(Box::new(report));
    }
    if report.outcome == Outcome::Waiting {
        report.outcome = Outcome::Planned;
    }
    if report.selected { Begin::Go(Box::new(report)) } else { Begin::Stay(Box::new(report)) }
}

/// The job of applying a report that waits for nobody.
fn carry_out(
    workspace: &Arc<Workspace>,
    report: Box<Report>,
    options: &Options,
    events: &Arc<dyn Events + Send + Sync>,
    slots: UnboundedSender<DeploymentName>,
) -> (DeploymentName, impl FnOnce() -> Report + Send + 'static) {
    let (workspace, options, events) = (Arc::clone(workspace), options.clone(), Arc::clone(events));
    let name = report.deployment.clone();
    let job = move || {
        let mut report = *report;
        let commits = report.survey.as_ref().is_some_and(|survey| survey.plan.commits);
        if commits && options.stop.is_wished() {
            report.failure = Some(Failure::Interrupted);
            return report;
        }
        let name = report.deployment.clone();
        match workspace.fleet.deployments.get(&name) {
            Some(deployment) => {
                events.event(Event::Applying(name.clone()));
                let watched = || {
                    // Nobody is left to take the slot.
                    let _no_matter = slots.send(name.clone()).is_err();
                };
                let report = pass::apply(&workspace, deployment, report, &options, &watched);
                events.event(Event::Applied(name));
                report
            }
            None => report,
        }
    };
    (name, job)
}

/// How many are asked at a time: what was asked for, or what the fleet says; else many where hosts are waited for,
/// and where all is done here as many as there are processors.
pub(super) fn jobs<'a>(
    workspace: &Workspace,
    names: impl Iterator<Item = &'a DeploymentName>,
    options: &Options,
) -> usize {
    let away = names.filter_map(|name| workspace.fleet.deployments.get(name));
    let away = away.into_iter().any(|deployment| deployment.host != HostAddress::Local);
    let here = std::thread::available_parallelism().map_or(4, NonZero::get);
    let suits = if away { here.max(AWAY) } else { here };
    options.jobs.or(workspace.fleet.pace.jobs).unwrap_or(suits).max(1)
}

/// Where a host that does not answer is an error, it is one.
fn strictly(reports: &mut [Report], options: &Options) {
    for report in reports.iter_mut().filter(|report| report.outcome == Outcome::Offline) {
        if options.offline == Offline::Fails {
            report.outcome = Outcome::Failed;
        }
    }
}

/// For whom a report waits: only one that has something to commit does.
fn waits(
    awaited: &Awaited,
    report: &Report,
    blocker: impl Fn(&DeploymentName) -> Option<String>,
) -> Vec<Wait> {
    let acts = report.survey.as_ref().is_some_and(|survey| !survey.plan.actions.is_empty());
    let on = awaited.get(&report.deployment).filter(|_| acts).into_iter().flatten();
    on.filter_map(|on| blocker(on).map(|because| Wait { on: on.clone(), because })).collect()
}

/// What keeps others from building on a deployment.
fn in_the_way(report: &Report) -> Option<String> {
    if report.told.as_ref().is_some_and(|told| told.stale) {
        return Some("its status is too old to tell".to_owned());
    }
    if report.is_settled() {
        return None;
    }
    if let Some(Failure::Unheard(unheard)) = &report.failure {
        return Some(unheard.to_string());
    }
    Some(match report.outcome {
        Outcome::Planned | Outcome::Undecided => "it has changes that are not applied".to_owned(),
        Outcome::Waiting => {
            // The chain down to what can be done something about.
            let offline = |wait: &&Wait| wait.because.ends_with(OFFLINE);
            match report.waits.iter().find(offline) {
                None if report.waits.is_empty() => {
                    let mut words: Vec<&str> = report.gate.iter().map(Reason::word).collect();
                    words.dedup();
                    format!("it has changes that wait ({})", words.join(", "))
                }
                Some(wait) => format!("it waits for {}: {}", wait.on, wait.because),
                None => {
                    let names: Vec<&str> = report.waits.iter().map(|wait| wait.on.as_str()).collect();
                    format!("it waits for {}", names.join(", "))
                }
            }
        }
        Outcome::Offline => OFFLINE.to_owned(),
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

/// What happened, and whoever gives out jobs is asked for more.
enum News {
    /// Nothing yet.
    Begin,
    /// A change is there and its quick checks passed; it is watched, and its slot is free.
    Watched(DeploymentName),
    /// A job ended.
    Ended(Box<Report>),
}

/// Runs blocking jobs, at most `jobs` at a time. `next` is asked for jobs at first, and again with the answer of
/// each that ended, and with each name that comes on `watched`. A job that dies takes only its own answer along, and `next` learns of it.
fn in_parallel<J>(
    jobs: usize,
    mut watched: UnboundedReceiver<DeploymentName>,
    mut next: impl FnMut(News) -> Vec<(DeploymentName, J)>,
) -> Result<(), std::io::Error>
where
    J: FnOnce() -> Report + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(jobs.max(1)).build()?;
    runtime.block_on(async {
        let mut set = JoinSet::new();
        let mut names = BTreeMap::new();
        let mut news = News::Begin;
        loop {
            for (name, job) in next(news) {
                names.insert(set.spawn_blocking(job).id(), name);
            }
            news = tokio::select! {
                ended = set.join_next_with_id() => match ended {
                    None => return Ok(()),
                    Some(Ok((id, report))) => {
                        names.remove(&id);
                        News::Ended(Box::new(report))
                    }
                    Some(Err(error)) => {
                        names.remove(&error.id()).map_or(News::Begin, |name| News::Ended(Box::new(lost(name))))
                    }
                },
                Some(name) = watched.recv() => News::Watched(name),
            };
        }
    })
}

fn lost(name: DeploymentName) -> Report {
    Report::failed(name.clone(), Failure::Lost(name))
}
