//! Planning a rollback: what later generations did, and the bytes that merging needs.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::host::Host;
use crate::merge::text::{TextMerge, merge_text};
use crate::model::fleet::Deployment;
use crate::model::plan::Conflict;
use crate::model::record::Record;
use crate::model::{Content, PackName, TreePath};
use crate::plan::rollback::{Undo, rollback};
use crate::plan::verdict::MergeAnswer;

use super::contents::Contents;
use super::pass::{self, NOTHING};
use super::report::{Failure, Report, Survey};
use super::resolve::resolve;
use super::workspace::Workspace;
use super::{Events, Options};

/// Plans going back to generation `to` (default: before the newest one that wrote a file), for one pack
/// or all. The plan is in the report's survey; [`super::decide::commit`] carries it out.
pub fn plan(
    workspace: &Workspace,
    deployment: &Deployment,
    to: Option<u64>,
    only: Option<&PackName>,
    options: &Options,
    events: &dyn Events,
) -> Result<Report, Failure> {
    let names = [deployment.name.clone()].into();
    let resolutions = resolve(workspace, &names, events);
    let mut report = pass::survey(workspace, &resolutions, deployment, options);
    let Some(survey) = report.survey.as_mut() else { return Ok(report) };
    let host = workspace.host(deployment);
    let Some(record) = survey.observation.record.clone() else {
        let text = format!("{} has no generation yet: there is nothing to roll back", deployment.name);
        return Err(Failure::Request(text));
    };
    let past = host.generations()?;
    let newest_with_actions = past.iter().find(|generation| !generation.actions.is_empty());
    let to = match (to, newest_with_actions) {
        (Some(to), _) => to,
        (None, Some(generation)) => generation.number - 1,
        (None, None) => {
            return Err(Failure::Request(format!("{} has no generation to undo", deployment.name)));
        }
    };
    let later: Vec<_> = past.iter().filter(|generation| generation.number > to).collect();
    let reaches = later.len() as u64 == record.generation.saturating_sub(to);
    if to >= record.generation || !reaches {
        let known: Vec<String> = past.iter().map(|g| (g.number - 1).to_string()).collect();
        let text = format!(
            "{} is at generation {} and cannot go back to {to}; it can go back to: {}",
            deployment.name,
            record.generation,
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        );
        return Err(Failure::Request(text));
    }
    let empty = Record::empty(record.fleet.clone(), record.deployment.clone(), record.root.clone());
    let target = later.last().and_then(|generation| generation.previous.clone()).unwrap_or(empty);
    widen(workspace, &resolutions, host.as_ref(), deployment, survey, &later, &target, options)?;
    let actions: Vec<_> = later.iter().map(|generation| generation.actions.clone()).collect();
    let (plan, merged) = {
        let undo = Undo {
            deployment,
            record: &record,
            digest: survey.observation.digest,
            later: &actions,
            to,
            target: &target,
            actual: &survey.observation.actual,
            given: &survey.desired,
            only,
        };
        let contents = Contents::new(workspace, host.as_ref(), survey, NOTHING);
        let merged: RefCell<BTreeMap<Content, Vec<u8>>> = RefCell::default();
        let plan = rollback(&undo, &mut |path, base, actual, desired| {
            merge(host.as_ref(), &contents, &merged, path, [base, actual, desired])
        });
        (plan, merged.into_inner())
    };
    survey.merged = merged;
    survey.plan = plan;
    report.outcome = super::report::outcome_of(&survey.plan);
    Ok(report)
}

/// Looks again, at the paths of later generations and of the target as well.
#[expect(clippy::too_many_arguments, reason = "one call, in one place")]
fn widen(
    workspace: &Workspace,
    resolutions: &super::resolve::Resolutions,
    host: &dyn Host,
    deployment: &Deployment,
    survey: &mut Survey,
    later: &[&crate::host::Generation],
    target: &Record,
    options: &Options,
) -> Result<(), Failure> {
    let mut look = pass::look(workspace, resolutions, deployment, options);
    look.paths.extend(later.iter().flat_map(|g| g.actions.iter().map(|action| action.path.clone())));
    look.paths.extend(target.entries.keys().cloned());
    survey.observation = host.observe(&look)?;
    Ok(())
}

/// Merges one path, with bytes that may have come from merging a newer generation.
fn merge(
    host: &dyn Host,
    contents: &Contents<'_>,
    merged: &RefCell<BTreeMap<Content, Vec<u8>>>,
    path: &TreePath,
    sides: [Content; 3],
) -> MergeAnswer {
    let find = |content: Content| {
        let known = merged.borrow().get(&content).cloned();
        known.or_else(|| contents.find(content).ok()).or_else(|| host.read(path, content).ok())
    };
    let [Some(base), Some(actual), Some(desired)] = sides.map(find) else {
        return MergeAnswer::Conflict(Conflict::NoBase);
    };
    match merge_text(&base, &actual, &desired) {
        TextMerge::Clean(bytes) => {
            let content = Content::of(&bytes);
            merged.borrow_mut().insert(content, bytes);
            MergeAnswer::Clean(content)
        }
        TextMerge::Conflict { line, places } => MergeAnswer::Conflict(Conflict::Text { line, places }),
        TextMerge::Binary => MergeAnswer::Conflict(Conflict::Binary),
        TextMerge::TooLarge => MergeAnswer::Conflict(Conflict::TooLarge),
    }
}
