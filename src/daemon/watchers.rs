//! Who watches: one thread per deployment that waits for its host, and one watch over the fleet repository's files.
//!
//! A watcher says what was touched, as far as it knows; the look that follows finds out. A host that cannot be watched is looked at by the
//! timers alone, and watched again after a while: the longer, the more often it failed. Nothing here writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::event::{Event, Trigger};
use super::trail::Touch;
use crate::engine::Workspace;
use crate::host::{Host, HostError, Stir};
use crate::model::DeploymentName;
use crate::model::cause::in_one_line;
use crate::model::fleet::Deployment;

/// A host is asked again after this, if nothing happens: so often a watcher can be ended.
const QUESTION: Duration = Duration::from_secs(30);
/// After a watch failed for the first time; later more.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// Watches that begin at a time: each may be a new connection.
const BEGINNING: usize = 16;
/// What a watcher's thread may use.
const STACK: usize = 512 << 10;

/// All watchers of a fleet.
pub(super) struct Watchers {
    trigger: Trigger,
    gate: Arc<Gate>,
    running: BTreeMap<DeploymentName, Watcher>,
}

/// One that runs; it ends some time after this is dropped.
struct Watcher {
    place: (String, String),
    _ends: mpsc::Sender<()>,
}

impl Watchers {
    /// Nobody watches yet.
    pub(super) fn new(trigger: Trigger) -> Self {
        Self { trigger, gate: Arc::default(), running: BTreeMap::new() }
    }

    /// Watches these deployments, and no others; those of which the watch begins anew.
    pub(super) fn follow(
        &mut self,
        workspace: &Arc<Workspace>,
        names: &BTreeSet<DeploymentName>,
    ) -> BTreeSet<DeploymentName> {
        let mut anew = BTreeSet::new();
        self.running.retain(|name, _| names.contains(name));
        for deployment in names.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
            let place = (deployment.host.to_string(), deployment.root.as_str().to_owned());
            if self.running.get(&deployment.name).is_some_and(|watcher| watcher.place == place) {
                continue;
            }
            anew.insert(deployment.name.clone());
            let (ends, ended) = mpsc::channel();
            let (trigger, name) = (self.trigger.clone(), deployment.name.clone());
            let gate = Arc::clone(&self.gate);
            let host = open(workspace, deployment);
            let started = std::thread::Builder::new()
                .name("watch".into())
                .stack_size(STACK)
                .spawn(move || watch(host.as_ref(), &name, &trigger, &ended, &gate));
            match started {
                Ok(_) => {
                    self.running.insert(deployment.name.clone(), Watcher { place, _ends: ends });
                }
                Err(error) => tracing::warn!(%error, deployment = %deployment.name, "not watched"),
            }
        }
        anew
    }
}

/// Lets a few through at a time.
#[derive(Default)]
struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

impl Gate {
    fn through<T>(&self, work: impl FnOnce() -> T) -> T {
        let inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |inside: &mut usize| *inside >= BEGINNING;
        *self.left.wait_while(inside, full).unwrap_or_else(PoisonError::into_inner) += 1;
        // Also if the work dies.
        let _leaves = Leaves(self);
        work()
    }
}

struct Leaves<'a>(&'a Gate);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        *self.0.inside.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.left.notify_one();
    }
}

fn open(workspace: &Workspace, deployment: &Deployment) -> Box<dyn Host> {
    workspace.host(deployment)
}

/// Watches until nobody wants it any more.
fn watch(host: &dyn Host, name: &DeploymentName, trigger: &Trigger, ended: &mpsc::Receiver<()>, gate: &Gate) {
    let mut failures = 0_u32;
    let mut said = None;
    loop {
        match attend(host, name, trigger, ended, gate, &mut failures) {
            Ok(()) => return,
            Err(error) => {
                let why = in_one_line(&error);
                if said.as_ref() != Some(&why) {
                    tracing::info!(deployment = %name, why, "not watched for now: the timers look at it");
                    said = Some(why);
                }
                if failures == 0 {
                    // A way that broke may be a host that is gone.
                    trigger.tell_blocking(Event::Touched(name.clone(), Touch::Unwatched));
                }
            }
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << failures.min(10)).min(LONGEST_PAUSE);
        failures = failures.saturating_add(1);
        if ended.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// One watch, as long as it lasts.
fn attend(
    host: &dyn Host,
    name: &DeploymentName,
    trigger: &Trigger,
    ended: &mpsc::Receiver<()>,
    gate: &Gate,
    failures: &mut u32,
) -> Result<(), HostError> {
    // The first answer comes at once, once there is a connection.
    let begin = || match host.watch()? {
        Some(mut stirs) => stirs.wait(QUESTION).map(|stir| Some((stirs, stir))),
        None => Ok(None),
    };
    let Some((mut stirs, first)) = gate.through(begin)? else { return Ok(()) };
    let mut first = Some(first);
    let tell = |touch| trigger.tell_blocking(Event::Touched(name.clone(), touch));
    loop {
        let stir = match first.take() {
            Some(stir) => stir,
            None => stirs.wait(QUESTION)?,
        };
        *failures = 0;
        if ended.try_recv() != Err(mpsc::TryRecvError::Empty) {
            return Ok(());
        }
        match stir {
            Stir::Quiet => {}
            Stir::Touched(paths) => tell(Touch::Paths(paths)),
            Stir::Everything => tell(Touch::Everything),
        }
    }
}
