//! What this controller remembers of deployments: where each was, and the generation that it had when it was seen last.
//!
//! ```text
//! a record was seen ─► remembered      no record, nothing there, and remembered at that very place ─► its root is gone
//! ```
//! A root that is gone (deleted, not mounted) looks like one that is new, and what lived only there is lost with it: so
//! somebody is told before all is installed anew, and a loop, which nobody reads, holds. The memory lies in the cache, is
//! written only if there is news, and may be lost: then nothing is known, and nothing is held.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::{Mutex, PoisonError};

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};

use crate::model::fleet::{Deployment, State};
use crate::model::plan::{Hold, HoldCause};
use crate::model::{DeploymentName, HostPath};

use super::pass;
use super::report::{Report, outcome_of};
use super::workspace::Workspace;
use super::{Gone, Options};

/// One pass writes at a time.
static WRITING: Mutex<()> = Mutex::new(());

/// Where a deployment was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    pub(super) root: HostPath,
    /// As fleet.toml writes it.
    host: String,
    generation: u64,
}

/// As it is written; earlier versions knew no more than the root.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Whole(Remembered),
    Root(HostPath),
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
    let place = blake3::hash(workspace.place().as_bytes()).to_hex();
    workspace.cache.join("deployments").join(format!("{}-{}.json", workspace.fleet.name, &place[..12]))
}

/// All that is remembered; nothing where that cannot be read.
pub(super) fn all(workspace: &Workspace) -> BTreeMap<DeploymentName, Remembered> {
    read(workspace).unwrap_or_else(|error| {
        tracing::warn!(%error, "where deployments were cannot be read: one that is orphaned, or gone, may go unreported");
        BTreeMap::new()
    })
}

/// Nothing where there is no memory, or a damaged one: that is begun anew. One that is only not readable is kept.
fn read(workspace: &Workspace) -> io::Result<BTreeMap<DeploymentName, Remembered>> {
    let text = match fs::read(file(workspace)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        text => text?,
    };
    let all: BTreeMap<DeploymentName, Written> = serde_json::from_slice(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, "the memory of where deployments were is damaged, and begun anew");
        BTreeMap::new()
    });
    let whole = |written| match written {
        Written::Whole(whole) => whole,
        Written::Root(root) => Remembered { root, host: String::new(), generation: 0 },
    };
    Ok(all.into_iter().map(|(name, written)| (name, whole(written))).collect())
}

/// Remembers where records were seen. Writes only if that is news.
pub fn remember(workspace: &Workspace, reports: &[Report]) -> Result<(), MemoryError> {
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = file(workspace);
    let failed = |source| MemoryError { path: path.clone(), source };
    let before = read(workspace).map_err(failed)?;
    let mut now = before.clone();
    for report in reports.iter().filter(|report| report.told.is_none()) {
        let Some(deployment) = workspace.fleet.deployments.get(&report.deployment) else { continue };
        let Some(survey) = &report.survey else { continue };
        let seen = match report.committed {
            Some(generation) => Some((generation, survey.plan.next.packs.is_empty())),
            None => {
                let record = survey.observation.record.as_ref();
                record.map(|record| (record.generation, record.packs.is_empty()))
            }
        };
        match seen {
            Some((generation, false)) => {
                let (root, host) = (deployment.root.clone(), deployment.host.to_string());
                now.insert(deployment.name.clone(), Remembered { root, host, generation });
            }
            // It was taken away on purpose.
            Some((_, true)) if deployment.state == State::Absent => {
                now.remove(&deployment.name);
            }
            _ => {}
        }
    }
    if now == before {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(&now).expect("names and paths serialise");
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let written = fs::create_dir_all(path.parent().unwrap_or(&path))
        .and_then(|()| fs::write(&temporary, text))
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(failed)
}

/// Says of a report that the deployment's root is gone, if it is, and holds it where nobody would read that.
pub(super) fn notice(workspace: &Workspace, deployment: &Deployment, options: &Options, report: &mut Report) {
    let Some(survey) = &mut report.survey else { return };
    let observation = &survey.observation;
    let nothing = observation.record.is_none() && observation.actual.paths.is_empty();
    if !nothing || !survey.plan.commits || deployment.state != State::Present {
        return;
    }
    let Some(was) = all(workspace).remove(&deployment.name) else { return };
    let same_host = was.host.is_empty() || was.host == deployment.host.to_string();
    if was.root != deployment.root || !same_host {
        return;
    }
    report.gone = Some(was.generation);
    if options.gone == Gone::Hold {
        let hold = Hold { pack: None, path: None, cause: HoldCause::Gone { generation: was.generation } };
        let known = crate::model::record::Record::empty(
            workspace.fleet.name.clone(),
            deployment.name.clone(),
            deployment.root.clone(),
        );
        survey.plan = pass::halt(survey.plan.clone(), hold, &known);
        report.outcome = outcome_of(&survey.plan);
    }
}
