//! Who watches: one thread per deployment that waits for its host, and one watch over the fleet repository's files.
//!
//! A watcher only says "touched"; the look that follows finds out. A host that cannot be watched is looked at by the
//! timers alone, and watched again after a while: the longer, the more often it failed. Nothing here writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::event::{Event, Trigger};
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
/// What a watcher's thread may use.
const STACK: usize = 512 << 10;

/// All watchers of a fleet.
pub(super) struct Watchers {
    trigger: Trigger,
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
        Self { trigger, running: BTreeMap::new() }
    }

    /// Watches these deployments, and no others.
    pub(super) fn follow(&mut self, workspace: &Arc<Workspace>, names: &BTreeSet<DeploymentName>) {
        self.running.retain(|name, _| names.contains(name));
        for deployment in names.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
            let place = (deployment.host.to_string(), deployment.root.as_str().to_owned());
            if self.running.get(&deployment.name).is_some_and(|watcher| watcher.place == place) {
                continue;
            }
            let (ends, ended) = mpsc::channel();
            let (trigger, name) = (self.trigger.clone(), deployment.name.clone());
            let host = open(workspace, deployment);
            let started = std::thread::Builder::new()
                .name("watch".into())
                .stack_size(STACK)
                .spawn(move || watch(host.as_ref(), &name, &trigger, &ended));
            match started {
                Ok(_) => {
                    self.running.insert(deployment.name.clone(), Watcher { place, _ends: ends });
                }
                Err(error) => tracing::warn!(%error, deployment = %deployment.name, "not watched"),
            }
        }
    }
}

fn open(workspace: &Workspace, deployment: &Deployment) -> Box<dyn Host> {
    workspace.host(deployment)
}

/// Watches until nobody wants it any more.
fn watch(host: &dyn Host, name: &DeploymentName, trigger: &Trigger, ended: &mpsc::Receiver<()>) {
    let mut failures = 0_u32;
    let mut said = None;
    loop {
        match attend(host, name, trigger, ended, &mut failures) {
            Ok(()) => return,
            Err(error) => {
                let why = in_one_line(&error);
                if said.as_ref() != Some(&why) {
                    tracing::info!(deployment = %name, why, "not watched for now: the timers look at it");
                    said = Some(why);
                }
                if failures == 0 {
                    // A way that broke may be a host that is gone.
                    trigger.tell_blocking(Event::Touched(name.clone()));
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
    failures: &mut u32,
) -> Result<(), HostError> {
    let Some(mut stirs) = host.watch()? else { return Ok(()) };
    loop {
        let stir = stirs.wait(QUESTION)?;
        *failures = 0;
        if ended.try_recv() != Err(mpsc::TryRecvError::Empty) {
            return Ok(());
        }
        match stir {
            Stir::Quiet => {}
            Stir::Touched(_) | Stir::Everything => trigger.tell_blocking(Event::Touched(name.clone())),
        }
    }
}
