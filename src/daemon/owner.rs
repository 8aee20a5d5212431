//! The task that owns the loop: one `select!` over events, ended jobs and the queue's clock.
//!
//! It never blocks: what does (git, hosts, files) runs on threads of its own, and what they come to is an event. A
//! job that dies takes only its own answer along.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::task::{Id, JoinSet};

use super::event::{Event, Signal, Trigger};
use super::files::Files;
use super::job::{self, Done};
use super::news::{Audience, News, Pass};
use super::origin::{Anew, Force, Looked, Origin, Reader, Trouble};
use super::queue::{Group, Job, Kind, Moved, Next, Queue};
use super::signals;
use super::supervisor::{Supervisor, summary};
use super::trail::Trail;
use super::watchers::Watchers;
use crate::desired::selector::select;
use crate::engine::status::Voice;
use crate::engine::{Options, Outcome, Stop, Workspace, fleet};
use crate::host::{Scope, end_commands};
use crate::model::DeploymentName;
use crate::model::cause::in_one_line;
use crate::model::fleet::Fleet;

/// Hosts at a time, where the fleet does not say.
const ROOM: usize = 16;

/// What the loop needs to know.
pub struct Settings {
    /// How the fleet is read.
    pub reader: Reader,
    /// How passes are done; the loop sets what depends on the pass.
    pub options: Options,
    /// Who publishes what passes see of a fleet; the text says why nobody can.
    pub voice: Box<Voices>,
    /// Who is told.
    pub audiences: Vec<Box<dyn Audience>>,
    /// Where chance comes from.
    pub seed: u64,
}

/// Who speaks for a fleet.
pub type Voices = dyn Fn(&Workspace) -> Result<Option<Arc<Voice>>, String>;

/// Why the loop did not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No worker threads.
    #[error("cannot start work")]
    Runtime(#[source] std::io::Error),
    /// Signals cannot be heard.
    #[error("cannot listen to signals")]
    Signals(#[source] std::io::Error),
}

/// How the loop ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Who wished it.
    pub by: Signal,
}

/// Runs until a signal ends it. What is under way then is finished first, unless a second signal comes.
pub fn run(settings: Settings) -> Result<Ended, RunError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    let ended = runtime.block_on(async {
        let (trigger, events) = Trigger::channel();
        signals::listen(&trigger).map_err(RunError::Signals)?;
        Ok(Owner::new(settings, trigger).run(events).await)
    });
    // What still runs after a second signal is left to recovery.
    runtime.shutdown_background();
    ended
}

struct Owner {
    settings: Settings,
    trigger: Trigger,
    watchers: Watchers,
    /// What they told since the last look.
    trail: Trail,
    supervisor: Supervisor,
    /// Of a checkout.
    files: Option<Files>,
    clock: Instant,
    queue: Queue,
    force: Option<Force>,
    /// What is wrong with the fleet that should be in force: all of it, and in a line.
    trouble: Option<(String, String)>,
    jobs: JoinSet<Event>,
    /// What each task does; `None`: it asks git.
    tasks: BTreeMap<Id, Option<(Job, Stop)>>,
    /// How each deployment stood when it was seen last.
    seen: BTreeMap<DeploymentName, (Outcome, Option<u64>, bool)>,
    /// Whether a source is to be read anew that nobody can ask whether it moved.
    anew: Anew,
    /// Whether a source did not give what was asked of it.
    lacking: bool,
    stopping: Option<Signal>,
}

impl Owner {
    fn new(settings: Settings, trigger: Trigger) -> Self {
        let queue = Queue::new(settings.seed);
        let files = match settings.reader.origin {
            Origin::Checkout => Some(Files::of(&settings.reader.file, &trigger)),
            Origin::Remote(_) => None,
        };
        Self {
            settings,
            watchers: Watchers::new(trigger.clone()),
            trail: Trail::default(),
            supervisor: Supervisor::new(),
            trigger,
            files,
            clock: Instant::now(),
            queue,
            force: None,
            trouble: None,
            jobs: JoinSet::new(),
            tasks: BTreeMap::new(),
            seen: BTreeMap::new(),
            anew: Anew::No,
            lacking: false,
            stopping: None,
        }
    }

    fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    async fn run(mut self, mut events: Receiver<Event>) -> Ended {
        let trigger = self.trigger.clone();
        self.tell(&News::Begun { trigger: &trigger });
        loop {
            if let Some(by) = self.stopping {
                if self.queue.is_idle() {
                    return Ended { by };
                }
            } else {
                while let Some(next) = self.queue.next(self.now()) {
                    self.begin(next);
                }
            }
            let due = self.queue.due(self.now()).filter(|_| self.stopping.is_none());
            let due = due.into_iter().chain(self.supervisor.round(self.now())).min();
            let wait = due.map_or(Duration::from_secs(3600), |due| due.saturating_sub(self.now()));
            let event = tokio::select! {
                Some(event) = events.recv() => event,
                Some(ended) = self.jobs.join_next_with_id() => match ended {
                    Ok((id, event)) => {
                        self.tasks.remove(&id);
                        event
                    }
                    Err(error) => match self.lost(error.id()) {
                        Some(event) => event,
                        None => continue,
                    },
                },
                () = tokio::time::sleep(wait) => continue,
            };
            if let Some(ended) = self.happened(event) {
                return ended;
            }
        }
    }

    /// Begins something, on a thread of its own.
    fn begin(&mut self, next: Next) {
        match next {
            Next::Ask => {
                let (reader, force) = (self.settings.reader.clone(), self.force.clone());
                let anew = std::mem::replace(&mut self.anew, Anew::No);
                let task = self
                    .jobs
                    .spawn_blocking(move || Event::Asked(Box::new(reader.look(force.as_ref(), anew))));
                self.tasks.insert(task.id(), None);
            }
            Next::Job(job) => {
                tracing::debug!(kind = ?job.kind, names = ?job.names, "begins");
                let Some(force) = &mut self.force else { return };
                if job.kind > Kind::Look && std::mem::take(&mut self.lacking) {
                    // A source is good for one answer, and that was none.
                    force.workspace = Arc::new(force.workspace.reopen());
                }
                let (workspace, mut options) = (Arc::clone(&force.workspace), self.settings.options.clone());
                options.stop = Stop::default();
                options.voice = (self.settings.voice)(&workspace).unwrap_or_else(|why| {
                    tracing::warn!("no status is published: {why}");
                    None
                });
                let (kept, stop) = (job.clone(), options.stop.clone());
                let scopes = job.names.iter().map(|name| (name.clone(), self.trail.begins(name)));
                let scopes: BTreeMap<DeploymentName, Scope> = scopes.collect();
                let carry_out = move || Event::Done(job::carry_out(job, &scopes, workspace, options));
                let task = self.jobs.spawn_blocking(carry_out);
                self.tasks.insert(task.id(), Some((kept, stop)));
            }
        }
    }

    /// What becomes of a task that died.
    fn lost(&mut self, id: Id) -> Option<Event> {
        match self.tasks.remove(&id)? {
            None => Some(Event::Asked(Box::new(Looked {
                at: Timestamp::now(),
                new: None,
                trouble: Some(Trouble::Lost),
                errors: Vec::new(),
            }))),
            Some((job, _)) => {
                let workspace = Arc::clone(&self.force.as_ref()?.workspace);
                let reports = Err(std::io::Error::other("the pass ended without an answer"));
                Some(Event::Done(Done {
                    job,
                    workspace,
                    reports,
                    began: Timestamp::now(),
                    took: Duration::ZERO,
                }))
            }
        }
    }

    fn happened(&mut self, event: Event) -> Option<Ended> {
        let now = self.now();
        match event {
            Event::Pushed => self.queue.ask_soon(now),
            Event::SourceTouched => {
                self.anew = Anew::Yes;
                self.queue.ask_soon(now);
            }
            Event::LookNow => {
                self.queue.ask_now(now);
                self.queue.everything(now);
            }
            Event::Touched(name, touch) => {
                self.trail.heard(&name, touch);
                self.queue.touched(&name, now);
            }
            Event::LostTrack(name) => self.queue.pass(&name, now),
            Event::Asked(looked) => self.asked(*looked),
            Event::Done(done) => self.done(&done),
            Event::Stop(by) => {
                if self.stopping.is_some() {
                    // What a check or a restart started would go on without anybody.
                    end_commands();
                    return Some(Ended { by });
                }
                self.stopping = Some(by);
                for (_, stop) in self.tasks.values().flatten() {
                    stop.wish();
                }
                self.supervisor.stopping();
                self.tell(&News::Stopping);
            }
        }
        None
    }

    fn asked(&mut self, looked: Looked) {
        let micros = Timestamp::now().duration_since(looked.at).as_micros();
        tracing::debug!(new = looked.new.is_some(), micros, "asked");
        self.queue.asked(self.now());
        self.tell(&News::Asked { at: looked.at, errors: &looked.errors });
        match looked.trouble {
            Some(trouble) => {
                let whole = trouble.whole();
                if self.trouble.as_ref().is_none_or(|(before, _)| *before != whole) {
                    self.trouble = Some((whole, in_one_line(&trouble)));
                    let in_force = self.force.is_some() || looked.new.is_some();
                    self.tell(&News::Trouble { trouble: &trouble, in_force });
                }
            }
            None if self.trouble.take().is_some() => self.tell(&News::TroubleOver),
            None => {}
        }
        if let Some(force) = looked.new {
            self.put_in_force(force);
        }
        self.supervisor.ready();
        self.status();
    }

    fn status(&mut self) {
        let outcomes = self.seen.values().map(|(outcome, ..)| *outcome);
        self.supervisor.status(summary(outcomes, self.trouble.as_ref().map(|(_, short)| short.as_str())));
    }

    fn put_in_force(&mut self, force: Force) {
        let fleet = &force.workspace.fleet;
        // It was asked for before it came here, and means somebody.
        let selected = select(fleet, &self.settings.reader.select).unwrap_or_default();
        let anew = self.watchers.follow(&force.workspace, &selected);
        self.trail.fleet(&anew);
        if let Some(files) = &mut self.files {
            files.follow(&force.workspace);
        }
        let groups = groups(fleet);
        let members = selected.into_iter().map(|name| {
            let group = groups.get(&name).copied().unwrap_or_default();
            (name, group)
        });
        let room = fleet.pace.jobs.unwrap_or(ROOM);
        self.queue.fleet(members.collect(), fleet.rhythm, room, self.now());
        self.seen.retain(|name, _| fleet.deployments.contains_key(name));
        let old: Vec<u64> = self.queue.superseded().collect();
        for (job, stop) in self.tasks.values().flatten().filter(|(job, _)| old.contains(&job.id)) {
            tracing::debug!(job = job.id, "a newer fleet is in force: it begins nothing more");
            stop.wish();
        }
        self.tell(&News::Fleet { workspace: &force.workspace, commit: force.commit.as_ref() });
        self.force = Some(force);
    }

    fn done(&mut self, done: &Done) {
        let mut moved = Moved::No;
        match &done.reports {
            Ok(reports) => {
                self.lacking |= done.job.kind > Kind::Look && reports.iter().any(job::lacks);
                for report in reports.iter().filter(|report| done.job.names.contains(&report.deployment)) {
                    self.trail.ended(&report.deployment, fleet::unlike(report));
                }
                for report in reports.iter().filter(|report| report.selected) {
                    let stands = (report.outcome, report.committed, report.is_settled());
                    let before = self.seen.insert(report.deployment.clone(), stands);
                    if report.committed.is_some() || before.is_some_and(|before| before.2 != stands.2) {
                        moved = Moved::Yes;
                    }
                }
                let pass = Pass { kind: done.job.kind, began: done.began, took: done.took };
                self.tell(&News::Looked { workspace: &done.workspace, reports, pass: &pass });
            }
            Err(error) => tracing::error!(%error, names = ?done.job.names, "no pass"),
        }
        self.queue.ended(done.job.id, &job::came(done), moved, self.now());
        self.status();
    }

    fn tell(&mut self, news: &News<'_>) {
        for audience in &mut self.settings.audiences {
            audience.hear(news);
        }
    }
}

/// Deployments that depend on each other, or are counted together in a stage, under one number.
fn groups(fleet: &Fleet) -> BTreeMap<DeploymentName, Group> {
    let mut group: BTreeMap<DeploymentName, Group> =
        fleet.deployments.keys().enumerate().map(|(number, name)| (name.clone(), number)).collect();
    let mut join = |one: &DeploymentName, other: &DeploymentName| {
        if let (Some(&a), Some(&b)) = (group.get(one), group.get(other))
            && a != b
        {
            group.values_mut().filter(|number| **number == b).for_each(|number| *number = a);
        }
    };
    for stage in &fleet.rollout {
        for (one, other) in stage.members.iter().zip(stage.members.iter().skip(1)) {
            join(one, other);
        }
    }
    for (name, deployment) in &fleet.deployments {
        deployment.depends_on.iter().for_each(|on| join(name, on));
    }
    group
}
