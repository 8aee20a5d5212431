//! Deployments whose stanza is gone from `fleet.toml`: reported, never touched.
//!
//! The fleet file no longer says where they are, so they are looked for where the controller remembers them. It is
//! a memory and nothing more: losing it loses a report, and an entry counts only while the root's own record says
//! that it belongs to this fleet and deployment.

use std::collections::BTreeSet;

use crate::host::{Host, LocalHost, Look, Trust};
use crate::model::{DeploymentName, HostPath};

use super::remembered::{self, Remembered};
use super::workspace::Workspace;

/// A deployment that packfleet still has files on and that the fleet no longer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name, when it had a stanza.
    pub deployment: DeploymentName,
    /// Its root.
    pub root: HostPath,
    /// The last generation.
    pub generation: u64,
    /// Files on record.
    pub files: usize,
}

/// Remembered deployments without a stanza whose root still holds this fleet's record.
pub fn orphans(workspace: &Workspace) -> Vec<Orphan> {
    let mut found = Vec::new();
    for (name, Remembered { root, .. }) in remembered::all(workspace) {
        let declared = workspace.fleet.deployments.values();
        if workspace.fleet.deployments.contains_key(&name) || declared.into_iter().any(|d| d.root == root) {
            continue;
        }
        let look = Look {
            fleet: workspace.fleet.name.clone(),
            deployment: name.clone(),
            paths: BTreeSet::new(),
            list: Vec::new(),
            trust: Trust::StatCache,
            version_file: None,
        };
        // A root that is gone, or another fleet's by now, is nobody's orphan.
        let Ok(observation) = LocalHost::open(root.clone()).observe(&look) else { continue };
        if let Some(record) = observation.record.filter(|record| !record.packs.is_empty()) {
            let (generation, files) = (record.generation, record.entries.len());
            found.push(Orphan { deployment: name, root, generation, files });
        }
    }
    found
}
