//! Deployments whose stanza is gone from `fleet.toml`: reported, never touched.
//!
//! The fleet file no longer says where they are, so the controller's cache remembers where it last
//! committed. It is a memory and nothing more: losing it loses a report, and an entry counts only while
//! the root's own record says that it belongs to this fleet and deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;

use camino::Utf8PathBuf;

use crate::host::{Host, LocalHost, Look, Trust};
use crate::model::{DeploymentName, HostPath};

use super::report::Report;
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

/// The memory could not be written; no deployment suffers from it.
#[derive(Debug, thiserror::Error)]
#[error("cannot remember where deployments are in {path}")]
pub struct MemoryError {
    /// The file.
    path: Utf8PathBuf,
    /// The system's answer.
    #[source]
    source: io::Error,
}

fn file(workspace: &Workspace) -> Utf8PathBuf {
    // By the fleet file, too: two checkouts of one fleet, or two fleets of one name, are no orphans of
    // each other.
    let place = blake3::hash(workspace.file.as_str().as_bytes()).to_hex();
    workspace.cache.join("deployments").join(format!("{}-{}.json", workspace.fleet.name, &place[..12]))
}

fn remembered(workspace: &Workspace) -> BTreeMap<DeploymentName, HostPath> {
    let text = fs::read(file(workspace)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Remembers where this pass committed. Writes only if that is news.
pub fn remember(workspace: &Workspace, reports: &[Report]) -> Result<(), MemoryError> {
    let before = remembered(workspace);
    let mut now = before.clone();
    for report in reports.iter().filter(|report| report.committed.is_some()) {
        if let Some(deployment) = workspace.fleet.deployments.get(&report.deployment) {
            now.insert(deployment.name.clone(), deployment.root.clone());
        }
    }
    if now == before {
        return Ok(());
    }
    let path = file(workspace);
    let text = serde_json::to_vec_pretty(&now).expect("names and paths serialise");
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::create_dir_all(path.parent().unwrap_or(&path))
        .and_then(|()| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|source| MemoryError { path, source })
}

/// Remembered deployments without a stanza whose root still holds this fleet's record.
pub fn orphans(workspace: &Workspace) -> Vec<Orphan> {
    let mut found = Vec::new();
    for (name, root) in remembered(workspace) {
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
