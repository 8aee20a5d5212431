//! Which deployments lag which versions.

use crate::desired::choose::choose;
use crate::host::{Look, Trust};
use crate::model::fleet::{Deployment, Source};
use crate::model::pack::{CommitId, Pack, Refs, Requirement};
use crate::model::plan::HoldCause;
use crate::model::{DeploymentName, PackName};

use super::guard::unreadable;
use super::pin;
use super::workspace::Workspace;

/// One pack on one deployment, against what its source offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lag {
    /// Which deployment.
    pub deployment: DeploymentName,
    /// Which pack.
    pub pack: PackName,
    /// What the record says is installed.
    pub installed: Option<String>,
    /// What fleet.toml and fleet.lock lead to.
    pub pinned: Result<String, HoldCause>,
    /// What the requirement would lead to without the lock.
    pub newest_allowed: Result<String, HoldCause>,
    /// The newest version of all, for packs that have versions.
    pub newest: Option<String>,
}

impl Lag {
    /// Whether anything newer than what is installed could be had. What is not known counts: nobody may
    /// read "nothing lags" while a source does not answer.
    pub fn is_behind(&self) -> bool {
        if self.pinned.is_err() || self.newest_allowed.is_err() {
            return true;
        }
        let installed = self.installed.as_deref();
        let differs = |version: &Result<String, HoldCause>| {
            version.as_ref().is_ok_and(|version| Some(version.as_str()) != installed)
        };
        let newer =
            |newest: &str| match (installed.map(semver::Version::parse), semver::Version::parse(newest)) {
                (Some(Ok(installed)), Ok(newest)) => newest > installed,
                _ => false,
            };
        differs(&self.pinned) || differs(&self.newest_allowed) || self.newest.as_deref().is_some_and(newer)
    }
}

/// What every pack from git on a deployment lags behind. A host that cannot be read counts as nothing
/// installed; `status` says why.
pub fn outdated(workspace: &Workspace, deployment: &Deployment) -> Vec<Lag> {
    let look = Look {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        paths: Default::default(),
        list: Vec::new(),
        trust: Trust::StatCache,
        version_file: None,
    };
    let record = workspace.host(deployment).observe(&look).ok().and_then(|observation| observation.record);
    let mut lags = Vec::new();
    for (name, assignment) in &deployment.packs {
        let Some(pack) = workspace.fleet.packs.get(name) else { continue };
        if !matches!(workspace.fleet.sources.get(&pack.source), Some(Source::Git { .. })) {
            continue;
        }
        let Some(source) = workspace.sources.get(&pack.source) else { continue };
        let refs = source.refresh().map_err(unreadable);
        let installed = record.as_ref().and_then(|record| record.packs.get(name));
        let pinned = pin::find(workspace, source.as_ref(), pack, assignment).map(|found| found.version);
        let allowed = refs.as_ref().map_err(Clone::clone).and_then(|refs| {
            let chosen = choose(pack, &assignment.requirement, refs)
                .map_err(|error| HoldCause::Version(error.to_string()))?;
            match chosen.at {
                crate::desired::choose::Wanted::Commit(ref commit) => Ok(chosen.label(commit)),
                crate::desired::choose::Wanted::Rev(rev) => {
                    source.commit(&rev).map(|commit| commit.short().to_owned()).map_err(unreadable)
                }
            }
        });
        lags.push(Lag {
            deployment: deployment.name.clone(),
            pack: name.clone(),
            installed: installed.map(|installed| installed.pin.version.clone()),
            pinned,
            newest_allowed: allowed,
            newest: refs.ok().and_then(|refs| newest(pack, &refs, &assignment.requirement)),
        });
    }
    lags
}

/// The newest release; for a branch, its tip.
fn newest(pack: &Pack, refs: &Refs, requirement: &Requirement) -> Option<String> {
    if let Requirement::Branch(branch) = requirement {
        let tip = refs.branches.iter().find(|found| &found.name == branch)?;
        return tip.commit.as_ref().map(CommitId::short).map(str::to_owned);
    }
    let versions = refs.tags.iter().filter_map(|tag| pack.tag.version(&tag.name));
    versions.filter(|version| version.pre.is_empty()).max().map(|version| version.to_string())
}
