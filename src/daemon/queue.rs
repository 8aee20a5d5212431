//! What is looked at next, and when: a pure state machine over events and a clock that is an argument.
//!
//! ```text
//! a fleet is in force ─► every deployment: a pass, now; what failed before is forgotten
//! touched             ─► a look at that one, once things have settled
//! timers              ─► a pass (resync), a pass that believes no cache (re-hash), a question to git (poll)
//! a look found work   ─► a pass                  a pass failed ─► again, later each time
//! ```
//! Deployments that depend on each other, or share a stage, are one *group*: at most one pass runs over a group at a
//! time, so that whoever counts and orders them sees all of them. Passes over different groups run side by side, and
//! looks beside everything except a pass over the same deployment. Waiting costs nobody else anything.
//!
//! Time counts from the start of the loop. Chance comes from a seed, so that the same events at the same times lead to
//! the same looks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::DeploymentName;
use crate::model::run::Rhythm;

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;

/// Since the loop began.
pub type Time = Duration;

/// How long after a touch one looks: what is written in one go is seen in one look.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// How long after a look the next touch is answered at the earliest.
const REST: Duration = Duration::from_millis(250);

/// What kind of look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// At one deployment alone; nothing is written.
    Look,
    /// At deployments and all that they depend on, and what is to be done is done.
    Pass,
    /// The same, believing no stat cache.
    Rehash,
}

/// Deployments of which at most one pass runs at a time.
pub type Group = usize;

/// Something to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Ask git, or read the fleet file.
    Ask,
    /// Look at deployments.
    Job(Job),
}

/// Deployments to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: u64,
    /// How they are looked at.
    pub kind: Kind,
    /// Which.
    pub names: BTreeSet<DeploymentName>,
}

/// How a look or a pass over one deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// There is nothing to do until something happens.
    Settled,
    /// There is something to do.
    Acts,
    /// Something else must happen first.
    Waits,
    /// The same, and after this time something that it waits for clears itself.
    WaitsFor(Duration),
    /// What was done is still watched.
    Watching,
    /// It may go better another time.
    Failed,
    /// All was done but for what a source did not give: that is asked again like after a failure, and what is touched
    /// is put right meanwhile.
    Lacks,
    /// It was not begun, because a newer fleet came.
    Superseded,
}

/// One deployment.
#[derive(Debug, Clone)]
struct One {
    group: Group,
    /// When it is to be looked at because it was touched.
    look: Option<Time>,
    /// When a pass is due because something happened.
    pass: Option<Time>,
    resync: Time,
    rehash: Time,
    failures: u32,
    /// Whether the last of them was one of the deployment itself.
    fails: bool,
    waits: bool,
    busy: bool,
    /// No look before.
    rested: Time,
}

/// What runs.
#[derive(Debug, Clone)]
struct Running {
    kind: Kind,
    group: Option<Group>,
    names: BTreeSet<DeploymentName>,
    fleet: u64,
}

/// The state.
#[derive(Debug)]
pub struct Queue {
    seed: u64,
    rhythm: Rhythm,
    /// Jobs at a time.
    room: usize,
    ones: BTreeMap<DeploymentName, One>,
    running: BTreeMap<u64, Running>,
    jobs: u64,
    /// The number of the fleet in force.
    fleet: u64,
    /// When git is asked next; `None` while it is being asked.
    ask: Option<Time>,
    /// Somebody wants it asked again once the present question is answered.
    ask_again: bool,
    asked: u64,
}

impl Queue {
    /// The first thing to do is to ask.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            rhythm: Rhythm::default(),
            room: 1,
            ones: BTreeMap::new(),
            running: BTreeMap::new(),
            jobs: 0,
            fleet: 0,
            ask: Some(Time::ZERO),
            ask_again: false,
            asked: 0,
        }
    }

    /// A fleet is in force: everything is due, and earlier failures count no more.
    pub fn fleet(
        &mut self,
        members: BTreeMap<DeploymentName, Group>,
        rhythm: Rhythm,
        room: usize,
        now: Time,
    ) {
        self.fleet += 1;
        self.rhythm = rhythm;
        self.room = room.max(1);
        // A shorter period counts from now on.
        let ask = now + self.early(rhythm.poll, &self.asked.to_string());
        self.ask = self.ask.map(|at| at.min(ask));
        self.ones.retain(|name, _| members.contains_key(name));
        for (name, group) in members {
            let resync = now + self.early(rhythm.resync, name.as_str());
            let rehash = now + self.early(rhythm.full_rehash, name.as_str());
            let busy = self.running.values().any(|running| running.names.contains(&name));
            let one = self.ones.entry(name).or_insert(One {
                group,
                look: None,
                pass: None,
                resync,
                rehash,
                failures: 0,
                fails: false,
                waits: false,
                busy,
                rested: Time::ZERO,
            });
            one.group = group;
            one.pass = Some(now);
            one.failures = 0;
            one.fails = false;
            one.waits = false;
            one.resync = one.resync.min(resync);
            one.rehash = one.rehash.min(rehash);
        }
    }

    /// Running passes over an earlier fleet: they are to begin nothing more.
    pub fn superseded(&self) -> impl Iterator<Item = u64> {
        let old = |(_, running): &(&u64, &Running)| running.fleet < self.fleet && running.kind > Kind::Look;
        self.running.iter().filter(old).map(|(id, _)| *id)
    }

    /// Somebody wants git asked, or files read, once things have settled.
    pub fn ask_soon(&mut self, now: Time) {
        self.ask_now(now + DEBOUNCE);
    }

    /// Somebody wants git asked at a time.
    pub fn ask_now(&mut self, now: Time) {
        match &mut self.ask {
            Some(at) => *at = (*at).min(now),
            None => self.ask_again = true,
        }
    }

    /// Git was asked.
    pub fn asked(&mut self, now: Time) {
        self.asked += 1;
        let Rhythm { poll, retry, .. } = self.rhythm;
        // Without any fleet nothing else is to be done.
        let period = if self.fleet == 0 { poll.min(retry.initial) } else { poll };
        let poll = self.early(period, &self.asked.to_string());
        self.ask = Some(if std::mem::take(&mut self.ask_again) { now } else { now + poll });
    }

    /// Something below a deployment's root was touched.
    pub fn touched(&mut self, name: &DeploymentName, now: Time) {
        if let Some(one) = self.ones.get_mut(name) {
            one.look.get_or_insert((now + DEBOUNCE).max(one.rested));
        }
    }

    /// A pass over everything is wanted.
    pub fn everything(&mut self, now: Time) {
        for one in self.ones.values_mut() {
            one.pass = Some(now);
        }
    }

    /// A pass over one is wanted.
    pub fn pass(&mut self, name: &DeploymentName, now: Time) {
        if let Some(one) = self.ones.get_mut(name) {
            one.pass = Some(one.pass.map_or(now, |at| at.min(now)));
        }
    }

    /// A job ended. `moved`: a deployment stands otherwise than before, and others may wait for that.
    pub fn ended(&mut self, id: u64, came: &BTreeMap<DeploymentName, Came>, moved: Moved, now: Time) {
        let Some(Running { kind, names, fleet, .. }) = self.running.remove(&id) else { return };
        for name in &names {
            let (retry, resync, rehash) = (
                self.backoff(name),
                self.early(self.rhythm.resync, &format!("{name} {id}")),
                self.early(self.rhythm.full_rehash, &format!("{name} {id}")),
            );
            let Some(one) = self.ones.get_mut(name) else { continue };
            one.busy = false;
            one.rested = now + REST;
            if kind >= Kind::Pass {
                one.resync = now + resync;
            }
            if kind == Kind::Rehash {
                one.rehash = now + rehash;
            }
            // What an earlier fleet came to is no reason for anything: a pass for this one is due already.
            let came = if fleet < self.fleet {
                Came::Superseded
            } else {
                came.get(name).copied().unwrap_or(Came::Failed)
            };
            one.waits = matches!(came, Came::Waits | Came::WaitsFor(_));
            match came {
                // A look says nothing of sources: what is lacking is asked for when it is time.
                Came::Settled if kind == Kind::Look && one.failures > 0 && !one.fails => {}
                Came::Settled | Came::Waits => (one.failures, one.fails) = (0, false),
                Came::WaitsFor(period) => {
                    (one.failures, one.fails) = (0, false);
                    let at = now.saturating_add(period);
                    one.pass = Some(one.pass.map_or(at, |due| due.min(at)));
                }
                // One that fails is not tried sooner because it was touched.
                Came::Acts if one.fails => {}
                Came::Acts => one.pass = Some(now),
                Came::Watching => {
                    (one.failures, one.fails) = (0, false);
                    let at = now + self.rhythm.retry.initial;
                    one.pass = Some(one.pass.map_or(at, |due| due.min(at)));
                }
                Came::Failed | Came::Lacks => {
                    one.failures = one.failures.saturating_add(1);
                    one.fails = came == Came::Failed;
                    let at = now + retry;
                    one.pass = Some(one.pass.map_or(at, |due| due.min(at)));
                }
                Came::Superseded => {
                    one.pass.get_or_insert(now);
                }
            }
        }
        if moved == Moved::Yes {
            for (_, one) in self.ones.iter_mut().filter(|(name, one)| one.waits && !names.contains(*name)) {
                one.pass = Some(one.pass.map_or(now, |due| due.min(now)));
            }
        }
    }

    /// What is to be begun now; `None`: nothing before [`Queue::due`].
    pub fn next(&mut self, now: Time) -> Option<Next> {
        if self.ask.is_some_and(|at| at <= now) {
            self.ask = None;
            return Some(Next::Ask);
        }
        let running = |looks: bool| {
            self.running.values().filter(|running| (running.kind == Kind::Look) == looks).count()
        };
        if running(true) < self.room
            && let Some(name) = self.touched_one(now)
        {
            return Some(Next::Job(self.begin(Kind::Look, None, BTreeSet::from([name]))));
        }
        if running(false) >= self.room {
            return None;
        }
        let taken: BTreeSet<Group> = self.running.values().filter_map(|running| running.group).collect();
        let mut due = self.ones.iter().filter(|(_, one)| !one.busy && !taken.contains(&one.group));
        let (kind, group) = due.find_map(|(_, one)| Some((one.kind(now)?, one.group)))?;
        let with = |one: &One| !one.busy && one.group == group && one.kind(now) == Some(kind);
        let names = self.ones.iter().filter(|(_, one)| with(one)).map(|(name, _)| name.clone()).collect();
        Some(Next::Job(self.begin(kind, Some(group), names)))
    }

    /// When to ask for what is next, if nothing happens before; `None`: when something happens.
    pub fn due(&self, now: Time) -> Option<Time> {
        // What is due already and not begun waits for something that runs, whose end is an event.
        let ones = self.ones.values().filter(|one| !one.busy);
        let times = ones.flat_map(|one| [one.look, one.pass, Some(one.resync), Some(one.rehash)]);
        times.chain([self.ask]).flatten().filter(|at| *at > now).min()
    }

    /// Whether anything runs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    fn touched_one(&self, now: Time) -> Option<DeploymentName> {
        let due = |(_, one): &(&DeploymentName, &One)| {
            // A pass that is due anyway sees what was touched.
            !one.busy && one.look.is_some_and(|at| at <= now) && one.kind(now).is_none()
        };
        self.ones.iter().find(due).map(|(name, _)| name.clone())
    }

    fn begin(&mut self, kind: Kind, group: Option<Group>, names: BTreeSet<DeploymentName>) -> Job {
        self.jobs += 1;
        for name in &names {
            if let Some(one) = self.ones.get_mut(name) {
                one.busy = true;
                one.look = None;
                if kind > Kind::Look {
                    one.pass = None;
                }
            }
        }
        self.running.insert(self.jobs, Running { kind, group, names: names.clone(), fleet: self.fleet });
        Job { id: self.jobs, kind, names }
    }

    /// How long to wait after one more failure: twice as long each time, and no two at the same moment.
    fn backoff(&self, name: &DeploymentName) -> Duration {
        let failures = self.ones.get(name).map_or(0, |one| one.failures);
        let retry = self.rhythm.retry;
        let whole = retry.initial.saturating_mul(1 << failures.min(20)).min(retry.max);
        whole.mul_f64(0.5 + 0.5 * self.chance(&format!("{name} failed {failures}")))
    }

    /// A period, or a little less: what began together does not stay together.
    fn early(&self, period: Duration, what: &str) -> Duration {
        period.mul_f64(0.9 + 0.1 * self.chance(what))
    }

    /// At least 0, less than 1.
    fn chance(&self, what: &str) -> f64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes()).update(what.as_bytes());
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Whether something stands otherwise than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It does.
    Yes,
    /// All is as it was.
    No,
}

impl One {
    /// The pass that is due.
    fn kind(&self, now: Time) -> Option<Kind> {
        if self.rehash <= now {
            return Some(Kind::Rehash);
        }
        (self.resync <= now || self.pass.is_some_and(|at| at <= now)).then_some(Kind::Pass)
    }
}
