//! Where people's edits exist besides the host on which they were made.
//!
//! ```text
//! edits that stay ─► the fleet repository's commit that is checked out ─┐ its overlays on the recorded version:
//!                 ─► branches that capture made and nobody merged yet  ─┴► the very bytes? then it is in git
//! ```
//! What lies in the working tree and is not committed is in no git. Asked only where there are edits, and of a
//! commit only if it gives the pack an overlay there. Whatever cannot be read is no proof: such an edit counts as
//! one that exists on its host only.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::fleet::Deployment;
use crate::model::{Entry, PackName, TreePath};
use crate::source::checkout::FleetCommit;

use super::edited::{Looking, Paths, Strangers};
use super::report::{Report, Survey};
use super::workspace::Workspace;

/// How many edits of a deployment stay, and where else they exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// All of them.
    pub edits: usize,
    /// Paths that hold what no commit has.
    pub here_only: BTreeSet<TreePath>,
    /// Commits that have the others.
    pub commits: Vec<FleetCommit>,
}

/// Finds out for every report with edits where these exist.
pub fn find(workspace: &Workspace, reports: &mut [Report]) {
    let mut committed: Option<Vec<Workspace>> = None;
    for report in reports {
        let Some(survey) = &report.survey else { continue };
        let edits: BTreeMap<&TreePath, &PackName> =
            survey.kept_edits().map(|(path, judged)| (path, &judged.pack)).collect();
        if edits.is_empty() {
            continue;
        }
        let mut found = Whereabouts {
            edits: edits.len(),
            here_only: edits.keys().map(|path| (*path).clone()).collect(),
            commits: Vec::new(),
        };
        for workspace in committed.get_or_insert_with(|| workspace.committed()) {
            let Some(deployment) = workspace.fleet.deployments.get(&report.deployment) else { continue };
            let mut has_some = false;
            for pack in edits.values().copied().collect::<BTreeSet<_>>() {
                for path in given(workspace, deployment, survey, pack) {
                    has_some |= found.here_only.remove(&path);
                }
            }
            if has_some {
                found.commits.extend(workspace.commit().cloned());
            }
        }
        report.whereabouts = Some(found);
    }
}

/// Edited paths of a pack on which a committed fleet's overlays give what the host holds.
fn given(
    workspace: &Workspace,
    deployment: &Deployment,
    survey: &Survey,
    pack: &PackName,
) -> BTreeSet<TreePath> {
    let mut paths = BTreeSet::new();
    let overlays = deployment.packs.get(pack).is_some_and(|pin| !pin.overlays.is_empty());
    let (true, Ok(all)) = (overlays, Paths::new(&[])) else { return paths };
    let host = workspace.host(deployment);
    let looking = Looking { workspace, deployment, survey, host: host.as_ref(), paths: &all };
    let edited = match looking.pack(pack, &Strangers::default()) {
        Ok(edited) => edited,
        Err(error) => {
            tracing::debug!(%error, "a commit's overlays cannot be compared with edits");
            return paths;
        }
    };
    for (path, edit) in &edited.edits {
        let held = edit.target.as_ref().map(|side| Entry::of(side.kind, &side.bytes));
        if edited.before.get(path).map(|laid| laid.entry) == held {
            paths.insert(edit.root.clone());
        }
    }
    paths
}
