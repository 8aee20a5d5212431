//! The pass over a deployment on which nothing is to be done: it ends before anything is planned.
//!
//! ```text
//! pins and policies that fleet.toml leads to ─► the host: is that what is recorded, and is it all there?
//!       └─ yes ─► in sync                          └─ it does not say so ─► look, judge, plan
//! ```
//! Asked only by those who want to know whether there is something to do: a report that comes of it names
//! packs and versions, and holds no path.

use crate::host::Observation;
use crate::host::{Glance, Health, Unchanged, version_file};
use crate::model::actual::Actual;
use crate::model::desired::{Desired, DesiredPack, Resolution};
use crate::model::fleet::{Deployment, State};
use crate::model::plan::{Plan, Purpose};
use crate::model::record::Record;
use crate::model::settled::Part;
use crate::plan::Drift;
use crate::plan::drift::PackDrift;

use super::gates;
use super::report::{Report, Survey};
use super::resolve::Resolutions;
use super::workspace::Workspace;
use super::{Options, Unmanaged};

/// The report of a deployment that is in sync; `None` if that cannot be told without planning.
pub(super) fn in_sync(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
) -> Option<Report> {
    if deployment.state != State::Present || options.list != Unmanaged::Ignore {
        return None;
    }
    let parts = resolutions.parts(workspace, deployment)?;
    let own = [&workspace.fleet.version_file, &workspace.fleet.sync_log];
    let glance = Glance {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        parts,
        reserved: own.into_iter().flatten().cloned().collect(),
        trust: options.trust,
        version_file: workspace.fleet.version_file.clone(),
    };
    // Whatever goes wrong goes wrong once more on the real look, which reports it.
    let unchanged = workspace.host(deployment).unchanged(&glance).ok()??;
    version_file::parse(unchanged.version_file.as_deref()).ok()?;
    // Whoever would go on with what was left open has to look for real.
    if options.recover.is_whole() && unchanged.health.as_ref().is_some_and(Health::is_open) {
        return None;
    }
    let survey = survey(workspace, deployment, glance, unchanged);
    let (record, notes) = (survey.observation.record.as_ref(), &survey.observation.notes);
    if options.recover.is_whole() && gates::soaks(&workspace.fleet, deployment, record, notes, options) {
        return None;
    }
    Some(Report::looked(survey, None))
}

/// What a pass would have found, without the paths.
fn survey(workspace: &Workspace, deployment: &Deployment, glance: Glance, unchanged: Unchanged) -> Survey {
    let fleet = workspace.fleet.name.clone();
    let mut record = Record::empty(fleet, deployment.name.clone(), deployment.root.clone());
    record.generation = unchanged.generation;
    let mut desired = Desired::default();
    let mut drift = Drift::default();
    for (name, Part { recorded, .. }) in glance.parts {
        let pack = DesiredPack { recorded, entries: Default::default() };
        record.packs.insert(name.clone(), pack.recorded.clone());
        drift.packs.insert(
            name.clone(),
            PackDrift {
                wanted: Some(pack.clone()),
                frozen: None,
                moves_with: Default::default(),
                stopped: Vec::new(),
            },
        );
        desired.packs.insert(name, Resolution::Pinned(Box::new(pack)));
    }
    let plan = Plan {
        purpose: Purpose::Sync,
        generation: unchanged.generation,
        record: Some(unchanged.digest),
        actions: Vec::new(),
        renames: Default::default(),
        holds: Vec::new(),
        prune: Vec::new(),
        next: Record { generation: unchanged.generation + 1, ..record.clone() },
        commits: false,
    };
    Survey {
        deployment: deployment.name.clone(),
        desired,
        observation: Observation {
            record: Some(record),
            digest: Some(unchanged.digest),
            actual: Actual::default(),
            interrupted: None,
            staged: false,
            version_file: unchanged.version_file,
            health: unchanged.health,
            notes: unchanged.notes,
        },
        drift,
        plan,
        merged: Default::default(),
        resolved: Vec::new(),
    }
}
