//! Pauses that people begin and end: each is a note on its host. Many hosts are asked side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread;

use jiff::Timestamp;

use crate::host::{HostError, Pausing, Told};
use crate::model::DeploymentName;
use crate::model::rollout::Pause;

use super::workspace::Workspace;

/// Hosts at a time.
const AT_ONCE: usize = 16;

/// What became of each deployment: the pause that it had before, or why it could not be told.
pub type Noted = BTreeMap<DeploymentName, Result<Option<Pause>, HostError>>;

/// Begins a pause on these deployments, or ends the one that they have.
pub fn set(
    workspace: &Arc<Workspace>,
    names: &BTreeSet<DeploymentName>,
    pause: Option<&Pause>,
    now: Timestamp,
) -> Noted {
    let all: Vec<&DeploymentName> = names.iter().collect();
    let mut noted = Noted::new();
    let one = |name: &DeploymentName| {
        let deployment = workspace.fleet.deployments.get(name)?;
        let pausing = Pausing {
            fleet: workspace.fleet.name.clone(),
            deployment: name.clone(),
            pause: pause.cloned(),
            now,
        };
        Some((name.clone(), workspace.host(deployment).pause(&pausing)))
    };
    for some in all.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|name| (*name, scope.spawn(|| one(name)))).collect();
            noted.extend(asked.into_iter().filter_map(|(name, asked)| {
                let lost = || "it was asked and no answer came; this is a defect of packfleet".to_owned();
                let lost = |_| Some((name.clone(), Err(HostError::Told(Told::new([lost()])))));
                asked.join().unwrap_or_else(lost)
            }));
        });
    }
    noted
}
