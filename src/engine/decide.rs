//! What people decide: resolve a path, retry what was rejected, put a saved edit back.
//!
//! Each is a plan of its own kind and takes the one way that changes a host: fenced, journaled,
//! committed as a generation. A decision is recorded; the next pass carries it out.

use std::collections::BTreeMap;

use crate::host::{EditId, SavedEdit};
use crate::model::actual::Seen;
use crate::model::fleet::{Changed, Deployment, Mode};
use crate::model::plan::{Action, Cause, Plan, Purpose};
use crate::model::record::{Decision, Record, Take};
use crate::model::{Content, PackName, TreePath};
use crate::plan::Standing;

use super::pass::{self, NOTHING};
use super::report::{Failure, Outcome, Report, Survey};
use super::resolve::resolve;
use super::workspace::Workspace;
use super::{Events, Options};

/// Which side a person takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// What is on the host.
    Local,
    /// What the pack gives.
    Pack,
    /// These bytes.
    File(Vec<u8>),
}

/// Looks at one deployment and plans; nothing is written but, with [`super::Recover::Now`], a recovery.
pub fn survey_one(
    workspace: &Workspace,
    deployment: &Deployment,
    options: &Options,
    events: &dyn Events,
) -> Result<Survey, Failure> {
    let resolutions = resolve(workspace, &[deployment.name.clone()].into(), events);
    let report = pass::survey(workspace, &resolutions, deployment, options);
    match (report.survey, report.failure) {
        (Some(survey), _) => Ok(survey),
        (None, Some(failure)) => Err(failure),
        (None, None) => Err(Failure::Lost(deployment.name.clone())),
    }
}

/// A plan that touches no file: only the record changes.
pub(super) fn record_only(survey: &Survey, purpose: Purpose, next: Record) -> Plan {
    let generation = survey.plan.generation;
    Plan {
        purpose,
        generation,
        record: survey.observation.digest,
        actions: Vec::new(),
        renames: Default::default(),
        holds: Vec::new(),
        prune: Vec::new(),
        next: Record { generation: generation + 1, ..next },
        commits: true,
    }
}

/// Records a decision on a path, bound to what is there and what should be there now. Where an edit follows a
/// rename, either path is that of the file.
pub fn resolve_path(
    workspace: &Workspace,
    deployment: &Deployment,
    path: &TreePath,
    side: Side,
    options: &Options,
    events: &dyn Events,
) -> Result<Report, Failure> {
    let mut survey = survey_one(workspace, deployment, options, events)?;
    let Some((path, judged)) = survey.drift.decidable(path) else {
        return Err(Failure::Request(unknown_path(deployment, path, &survey)));
    };
    let refuse = |text: String| Err(Failure::Request(text));
    if judged.obstacle().is_some() {
        let what = pass::seen_word(judged.actual.as_ref());
        return refuse(format!("{path} holds {what}: move it away by hand, then plan again"));
    }
    let (actual, desired) = (judged.actual_entry(), judged.desired_entry());
    if actual == desired {
        return refuse(format!("{path} holds what the pack gives already: there is nothing to decide"));
    }
    if judged.standing == Standing::Edited && side == Side::Local {
        return refuse(format!("{path} is an edit that stays as it is: there is nothing to decide"));
    }
    if judged.edits.changed == Changed::Revert && side != Side::Pack {
        return refuse(format!(
            "edits.changed = \"revert\" on {}: a local side would be taken back at once. \
             Declare the change as an overlay, or set edits.changed to \"merge\" or \"keep\"",
            deployment.name
        ));
    }
    let mut extra = BTreeMap::new();
    let take = match side {
        Side::Local => Take::Local,
        Side::Pack => Take::Pack,
        Side::File(bytes) => {
            let content = Content::of(&bytes);
            extra.insert(content, bytes);
            Take::File(content)
        }
    };
    let known = survey.observation.record.clone();
    let mut next = known.unwrap_or_else(|| {
        let root = deployment.root.clone();
        Record::empty(workspace.fleet.name.clone(), deployment.name.clone(), root)
    });
    next.decisions.insert(path.clone(), Decision { actual, desired, take });
    survey.plan = record_only(&survey, Purpose::Resolve, next);
    commit(workspace, deployment, survey, &extra, options)
}

/// The paths that a person may have meant: held ones first, else those with the same file name.
fn unknown_path(deployment: &Deployment, path: &TreePath, survey: &Survey) -> String {
    let mut meant: Vec<&str> = survey
        .plan
        .holds
        .iter()
        .filter_map(|hold| hold.path.as_ref().map(TreePath::as_str))
        .filter(|held| held.ends_with(path.file_name()))
        .collect();
    meant.extend(
        survey.drift.paths.keys().filter(|p| p.file_name() == path.file_name()).map(TreePath::as_str),
    );
    meant.dedup();
    let hint = match meant.first() {
        Some(first) => format!(" Did you mean {first}?"),
        None => String::new(),
    };
    format!("{path} is not managed on {}.{hint}", deployment.name)
}

/// Forgets rejections, of one pack or of all.
pub fn retry(
    workspace: &Workspace,
    deployment: &Deployment,
    pack: Option<&PackName>,
    options: &Options,
    events: &dyn Events,
) -> Result<Report, Failure> {
    let mut survey = survey_one(workspace, deployment, options, events)?;
    let mut next = match survey.observation.record.clone() {
        Some(record) => record,
        None => return Err(Failure::Already(format!("nothing was ever rejected on {}", deployment.name))),
    };
    let before = next.rejected.len();
    next.rejected.retain(|name, _| pack.is_some_and(|pack| pack != name));
    if next.rejected.len() == before {
        let what = pack.map_or("nothing".to_owned(), |pack| format!("no state of pack {pack}"));
        return Err(Failure::Already(format!("{what} is rejected on {}", deployment.name)));
    }
    survey.plan = record_only(&survey, Purpose::Retry, next);
    commit(workspace, deployment, survey, NOTHING, options)
}

/// Puts a saved edit back where it lay. What lies there now is saved in turn if it is a person's.
pub fn restore_edit(
    workspace: &Workspace,
    deployment: &Deployment,
    id: EditId,
    options: &Options,
    events: &dyn Events,
) -> Result<Report, Failure> {
    let host = workspace.host(deployment);
    let saved = find_edit(deployment, host.edits()?, id)?;
    let resolutions = resolve(workspace, &[deployment.name.clone()].into(), events);
    let mut survey = survey_one(workspace, deployment, options, events)?;
    let mut look = pass::look(workspace, &resolutions, deployment, options);
    look.paths.insert(saved.path.clone());
    survey.observation = host.observe(&look)?;
    let before = match survey.observation.actual.paths.get(&saved.path) {
        None => None,
        Some(Seen::Entry(entry)) => Some(*entry),
        Some(Seen::Obstacle(_)) => {
            let text = format!("{} is obstructed: move what lies there away by hand", saved.path);
            return Err(Failure::Request(text));
        }
    };
    if before == Some(saved.entry) {
        return Err(Failure::Request(format!("{} holds edit {id} already", saved.path)));
    }
    let Some(record) = survey.observation.record.clone() else {
        return Err(Failure::Request(format!("{} has no record to restore into", deployment.name)));
    };
    let recorded = record.entries.get(&saved.path);
    let owner = recorded.map(|recorded| recorded.owner.clone()).or(saved.pack.clone());
    let Some(pack) = owner else {
        let text = format!("{} belongs to no pack any more: `edits show {id}` prints its bytes", saved.path);
        return Err(Failure::Request(text));
    };
    let ours = recorded.and_then(|recorded| recorded.base);
    let mut next = record.clone();
    if let Some(recorded) = next.entries.get_mut(&saved.path) {
        recorded.written = Some(saved.entry);
    }
    let mut plan = record_only(&survey, Purpose::RestoreEdit, next);
    plan.actions.push(Action {
        path: saved.path.clone(),
        pack,
        before,
        after: Some(saved.entry),
        cause: Cause::Resolve,
        save: before.is_some() && before != ours,
    });
    let made = saved.path.ancestors().filter(|d| !survey.observation.actual.directories.contains(d));
    plan.next.directories.extend(made);
    survey.plan = plan;
    commit(workspace, deployment, survey, NOTHING, options)
}

/// One saved edit by its number.
pub fn find_edit(deployment: &Deployment, edits: Vec<SavedEdit>, id: EditId) -> Result<SavedEdit, Failure> {
    edits
        .into_iter()
        .find(|edit| edit.id == id)
        .ok_or_else(|| Failure::Request(format!("there is no saved edit {id} on {}", deployment.name)))
}

/// Carries out a plan of any purpose and reports.
pub fn commit(
    workspace: &Workspace,
    deployment: &Deployment,
    survey: Survey,
    extra: &BTreeMap<Content, Vec<u8>>,
    options: &Options,
) -> Result<Report, Failure> {
    if deployment.mode == Mode::Observe {
        let text =
            format!("{} is observed only (mode = \"observe\"): nothing is written there", deployment.name);
        return Err(Failure::Request(text));
    }
    let done = pass::carry_out(workspace, deployment, &survey, extra, options, &|| ())?;
    let purpose = survey.plan.purpose.clone();
    let mut report = Report::looked(survey, None);
    report.committed = Some(done.generation);
    report.saved = done.saved;
    report.health = report.health.filter(|_| done.said.is_empty());
    report.said = done.said;
    report.outcome = match purpose {
        Purpose::Rollback { .. } => Outcome::RolledBack,
        _ => Outcome::Applied,
    };
    Ok(report)
}
