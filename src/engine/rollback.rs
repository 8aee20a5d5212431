//! Planning a rollback: what later generations did, and the bytes that merging needs.

use std::collections::BTreeMap;

use crate::host::{Generation, Host};
use crate::model::desired::Resolution;
use crate::model::fleet::Deployment;
use crate::model::plan::{Conflict, Purpose};
use crate::model::record::Record;
use crate::model::{Content, DesiredDigest, PackName, TreePath};
use crate::plan::drift::{Adapted, Judged};
use crate::plan::host_keys::{self, Keys};
use crate::plan::merging;
use crate::plan::rollback::{Conflicts, Reader, Undo, rollback};
use crate::plan::verdict::MergeAnswer;

use super::contents::Contents;
use super::pass::{self, NOTHING};
use super::report::{Failure, Report, Survey};
use super::resolve::resolve;
use super::workspace::Workspace;
use super::{Events, Options};

/// Plans going back to generation `to` (default: before the newest one that wrote a file or moved a pack), for one pack
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
    let to = match to {
        Some(to) => to,
        None => one_back(deployment, host.as_ref(), &past, &record)?,
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
    if let Some(pack) = only.filter(|pack| ![&record, &target].iter().any(|r| r.packs.contains_key(*pack))) {
        let text = format!("{} has no pack {pack}, and had none at generation {to}", deployment.name);
        return Err(Failure::Request(text));
    }
    widen(workspace, &resolutions, host.as_ref(), deployment, survey, &later, &target, options)?;
    let actions: Vec<_> = later.iter().map(|generation| generation.actions.clone()).collect();
    let (plan, made) = {
        let undo = Undo {
            policies: &deployment.policies(),
            conflicts: Conflicts::Hold,
            record: &record,
            digest: survey.observation.digest,
            later: &actions,
            to,
            target: &target,
            actual: &survey.observation.actual,
            given: &survey.desired,
            only,
        };
        let given = survey.desired.packs.values().filter_map(|resolution| match resolution {
            Resolution::Pinned(pack) => Some(&pack.recorded),
            Resolution::Held(_) => None,
        });
        let packs = target.packs.values().chain(record.packs.values()).chain(given);
        let past = later.iter().filter_map(|generation| generation.previous.as_ref());
        let mut bytes = Bytes {
            host: host.as_ref(),
            contents: Contents::new(workspace, host.as_ref(), survey, NOTHING).and_of(past),
            keys: host_keys::owned(packs),
            made: BTreeMap::new(),
        };
        let plan = rollback(&undo, &mut bytes);
        (plan, bytes.made)
    };
    survey.merged = made;
    survey.plan = plan;
    if !survey.plan.commits && survey.plan.holds.is_empty() {
        let what = only.map_or_else(|| "is".to_owned(), |pack| format!("has pack {pack}"));
        let text =
            format!("{} {what} as it was at generation {to}: there is nothing to undo", deployment.name);
        return Err(Failure::Request(text));
    }
    report.outcome = super::report::outcome_of(&survey.plan);
    Ok(report)
}

/// Where one step back leads. After a rollback that is for a person to say: forward again, or further back.
fn one_back(
    deployment: &Deployment,
    host: &dyn Host,
    past: &[Generation],
    record: &Record,
) -> Result<u64, Failure> {
    let name = &deployment.name;
    let Some(newest) = newest_change(past, record) else {
        return Err(Failure::Request(format!("{name} has no generation to undo")));
    };
    let history = host.history()?;
    let purpose = history.iter().find(|line| line.generation == newest.number).map(|line| &line.purpose);
    let Some(Purpose::Rollback { to }) = purpose else { return Ok(newest.number - 1) };
    let before: Vec<Generation> = past.iter().filter(|past| past.number <= *to).cloned().collect();
    let stood = past.iter().find(|past| past.number == to + 1).and_then(|past| past.previous.as_ref());
    let further = match stood.and_then(|record| newest_change(&before, record)) {
        Some(further) => format!(", or --to {} to go further back", further.number - 1),
        None => String::new(),
    };
    let again = newest.number - 1;
    Err(Failure::Request(format!(
        "{name} was rolled back already: generation {} went back to {to}. \
         Say where to: --to {again} to undo that{further}",
        newest.number
    )))
}

/// The newest generation that wrote a file or moved a pack. Decisions and retries move nothing: nobody means
/// them when going back one step.
fn newest_change<'a>(past: &'a [Generation], record: &'a Record) -> Option<&'a Generation> {
    let packs = |record: &Record| -> BTreeMap<PackName, DesiredDigest> {
        record.packs.iter().map(|(name, pack)| (name.clone(), pack.desired)).collect()
    };
    let mut after = packs(record);
    past.iter().find(|generation| {
        let before = generation.previous.as_ref().map(packs).unwrap_or_default();
        let moved = before != after;
        after = before;
        moved || !generation.actions.is_empty()
    })
}

/// Looks again, at the paths of later generations and of the target as well.
#[expect(clippy::too_many_arguments, reason = "one call, in one place")]
fn widen(
    workspace: &Workspace,
    resolutions: &super::resolve::Resolutions,
    host: &dyn Host,
    deployment: &Deployment,
    survey: &mut Survey,
    later: &[&Generation],
    target: &Record,
    options: &Options,
) -> Result<(), Failure> {
    let mut look = pass::look(workspace, resolutions, deployment, options);
    look.paths.extend(later.iter().flat_map(|g| g.actions.iter().map(|action| action.path.clone())));
    look.paths.extend(target.entries.keys().cloned());
    survey.observation = host.observe(&look)?;
    Ok(())
}

/// Bytes that merging needs, and those that came of it.
struct Bytes<'a> {
    host: &'a dyn Host,
    contents: Contents<'a>,
    keys: Keys,
    made: BTreeMap<Content, Vec<u8>>,
}

impl Bytes<'_> {
    /// They may have come from undoing a newer generation.
    fn find(&self, path: &TreePath, content: Content) -> Option<Vec<u8>> {
        let made = self.made.get(&content).cloned();
        made.or_else(|| self.contents.find(content).ok()).or_else(|| self.host.read(path, content).ok())
    }
}

impl Reader for Bytes<'_> {
    fn merge(&mut self, path: &TreePath, base: Content, actual: Content, desired: Content) -> MergeAnswer {
        let sides = [base, actual, desired].map(|content| self.find(path, content));
        let [Some(base), Some(actual), Some(desired)] = sides else {
            return MergeAnswer::Conflict(Conflict::NoBase);
        };
        let (answer, bytes) = merging::merge(path, &base, &actual, &desired);
        self.made.extend(bytes.map(|bytes| (Content::of(&bytes), bytes)));
        answer
    }

    fn adapt(&mut self, path: &TreePath, judged: &Judged) -> Option<Adapted> {
        let (format, pointers) = self.keys.get(path)?;
        let (adapted, sides) =
            host_keys::one(judged, *format, pointers, &|content, _| self.find(path, content))?;
        self.made.extend(sides.into_iter().map(|side| (side.content, side.bytes)));
        Some(adapted)
    }
}
