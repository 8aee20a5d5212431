//! The care for one deployment, from what `fleet.toml` says of its packs: what its host is given along with a
//! plan, and with the request to go on after a crash.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::care::{Aftercare, Care, Fate, PackCare};
use crate::model::fleet::Deployment;
use crate::model::pack::{InstallMap, Pack};
use crate::model::record::Recorded;
use crate::model::{PackName, TreePath};

use super::workspace::Workspace;

/// What is run and looked at on a deployment. `entries` are the files that are managed there.
pub fn aftercare(
    workspace: &Workspace,
    deployment: &Deployment,
    entries: &BTreeMap<TreePath, Recorded>,
) -> Aftercare {
    let mut packs = Vec::new();
    for pack in in_order(&workspace.fleet.packs) {
        let care = of(deployment, pack);
        if care == Care::default() {
            continue;
        }
        let fate = if deployment.packs.contains_key(&pack.name) { Fate::Stays } else { Fate::Departs };
        let (install, at) = (pack.install.clone(), place(&pack.install, entries));
        packs.push(PackCare { pack: pack.name.clone(), install, at, fate, care });
    }
    Aftercare {
        packs,
        policies: deployment.policies(),
        location: deployment.location.clone(),
        version_file: workspace.fleet.version_file.clone(),
        sync_log: workspace.fleet.sync_log.clone(),
        keep_generations: workspace.fleet.keep_generations.max(1),
    }
}

/// The care for one pack there: with the deployment's own checks, where it has some.
pub fn of(deployment: &Deployment, pack: &Pack) -> Care {
    let health = deployment.health.get(&pack.name).unwrap_or(&pack.care.health).clone();
    Care { health, ..pack.care.clone() }
}

/// What a pack requires comes before it; otherwise by name.
fn in_order(packs: &BTreeMap<PackName, Pack>) -> Vec<&Pack> {
    fn visit<'a>(
        pack: &'a Pack,
        packs: &'a BTreeMap<PackName, Pack>,
        seen: &mut BTreeSet<&'a PackName>,
        ordered: &mut Vec<&'a Pack>,
    ) {
        if !seen.insert(&pack.name) {
            return;
        }
        for required in pack.requires.iter().filter_map(|name| packs.get(name)) {
            visit(required, packs, seen, ordered);
        }
        ordered.push(pack);
    }
    let (mut seen, mut ordered) = (BTreeSet::new(), Vec::new());
    for pack in packs.values() {
        visit(pack, packs, &mut seen, &mut ordered);
    }
    ordered
}

/// Where a pack's commands run: the first target of its install map that is a directory; `None` is the root.
pub fn place(install: &InstallMap, entries: &BTreeMap<TreePath, Recorded>) -> Option<TreePath> {
    install.0.iter().find_map(|line| match &line.to {
        None => Some(None),
        Some(to) if entries.contains_key(to) => None,
        Some(to) => Some(Some(to.clone())),
    })?
}
