//! Looks that need no source: what is recorded on a host.

use std::collections::BTreeSet;

use crate::host::{HostError, Look, Trust};
use crate::model::fleet::Deployment;
use crate::model::record::Record;

use super::workspace::Workspace;

/// The record of a deployment; `None` if packfleet never committed there. Nothing is written, and no
/// source is asked.
pub fn record(workspace: &Workspace, deployment: &Deployment) -> Result<Option<Record>, HostError> {
    let look = Look {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        paths: BTreeSet::new(),
        list: Vec::new(),
        trust: Trust::StatCache,
        version_file: None,
    };
    Ok(workspace.host(deployment).observe(&look)?.record)
}
