//! Forward only: a host that took a fleet commit is not led back behind it.
//!
//! Each generation says in the host's history which commit of the fleet repository it came from. Before a change is
//! carried out for a fleet that is read from a repository, the newest of those must be an ancestor of the commit that
//! is in force, so that a controller that is new, or lost its own memory, refuses, too. A fleet that is read from
//! files says nothing of commits, and is asked nothing.

use crate::model::fleet::Deployment;

use super::report::Failure;
use super::workspace::Workspace;

/// Refuses a change that leads behind what the host took before.
pub(super) fn demand(workspace: &Workspace, deployment: &Deployment) -> Result<(), Failure> {
    let (Some(upstream), Some(commit)) = (workspace.forward(), workspace.accepted()) else { return Ok(()) };
    let history = workspace.host(deployment).history()?;
    let Some(taken) = history.into_iter().rev().find_map(|line| line.fleet) else { return Ok(()) };
    match upstream.at(&commit).follows(&taken) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::Rewound { taken, now: commit }),
        Err(error) => Err(Failure::Request(format!("cannot tell whether the fleet moved forward: {error}"))),
    }
}
