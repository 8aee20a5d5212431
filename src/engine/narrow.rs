//! The pass over a deployment on which little is to be done: only the paths that are at stake are planned for.
//!
//! ```text
//! what is recorded of each pack ─► that, and the commit that fleet.toml leads to: which files differ?
//!     ─► the host: is the record settled in that? which files are not as recorded? ─► these and those alone
//!     ─► judge, merge, plan, as ever; the record keeps the rest in its bytes
//! ```
//! What the planner decides of a path rests on that path, on what lies above and below it, and on its pack. So it
//! decides the same of a few paths as of all, if nothing else is recorded above or below them and all others are
//! in sync. Wherever that is not plain to see there is no answer, and the whole is looked at: packs that come or
//! go, overlays, install maps of more than one line, anything but plain files, a record that is not settled,
//! checks. It costs time and nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::host::{Glance, Health, Narrow, Narrowed, Observation, Scope};
use crate::model::actual::Seen;
use crate::model::care::Care;
use crate::model::desired::{Desired, DesiredEntry, DesiredPack, Resolution};
use crate::model::fleet::{Assignment, Deployment, State};
use crate::model::host_owned::HostOwned;
use crate::model::pack::{Case, CommitId, Modes};
use crate::model::packed::{Line, Packed};
use crate::model::record::RecordedPack;
use crate::model::rest::Rest;
use crate::model::settled::{EntryHasher, Part, PartHasher};
use crate::model::{Content, DesiredDigest, Entry, PackName, TreeDigest, TreePath};
use crate::source::{Change, TreeRules};

use super::care;
use super::gates;
use super::guard;
use super::pass;
use super::report::Report;
use super::resolve::{Located, Resolutions, Resolved, recorded};
use super::sketch::{self, Sketch};
use super::workspace::Workspace;
use super::{Options, Unmanaged};

/// The report of a deployment on which little is to be done; `None` if the whole is to be looked at.
pub(super) fn survey(
    workspace: &Workspace,
    resolutions: &Resolutions,
    deployment: &Deployment,
    options: &Options,
    scope: &Scope,
) -> Option<Report> {
    if deployment.state != State::Present || options.list != Unmanaged::Ignore {
        return None;
    }
    let host = workspace.host(deployment);
    // Whatever goes wrong goes wrong once more on the real look, which reports it.
    let about = host.about(&workspace.fleet.name, &deployment.name).ok()??;
    if !about.packs.keys().eq(deployment.packs.keys()) {
        return None;
    }
    let mut moves = BTreeMap::new();
    for (name, assignment) in &deployment.packs {
        let was = about.packs.get(name)?;
        let step = Move::find(workspace, resolutions, name, assignment, was)?;
        let pack = &step.located.pack;
        // Where commands run shows in all that is managed, unless the whole pack goes to one place.
        let one_place = matches!(pack.install.0.as_slice(), [line] if line.from.is_none());
        if !one_place && care::of(deployment, pack) != Care::default() {
            return None;
        }
        moves.insert(name, step);
    }
    let own = [&workspace.fleet.version_file, &workspace.fleet.sync_log];
    let part = |(name, step): (&&PackName, &Move<'_>)| ((*name).clone(), step.was.clone());
    let glance = Glance {
        fleet: workspace.fleet.name.clone(),
        deployment: deployment.name.clone(),
        parts: moves.iter().map(part).collect(),
        reserved: own.into_iter().flatten().cloned().collect(),
        trust: options.trust,
        version_file: workspace.fleet.version_file.clone(),
    };
    let paths = moves.values().flat_map(|step| step.changes.keys().cloned()).collect();
    let narrowed = host.narrow(&Narrow { glance, paths, scope: scope.clone() }).ok()??;
    // A watch that is to be taken up again is the whole look's business.
    if narrowed.health.as_ref().is_some_and(Health::is_open) {
        return None;
    }
    if options.recover.is_whole()
        && gates::soaks(&workspace.fleet, deployment, Some(&about), &narrowed.notes, options)
    {
        return None;
    }
    // Where the file of an edit went is a question to the whole pack.
    let is_edited = |path: &TreePath| {
        let line = narrowed.record.find(path.as_str());
        line.is_some_and(|line| line.base.map(Seen::Entry).as_ref() != narrowed.actual.paths.get(path))
    };
    let mut changes = moves.values().flat_map(|step| &step.changes);
    if changes.any(|(path, change)| change.is_none() && is_edited(path)) {
        return None;
    }
    let mut desired = Desired::default();
    let mut shared = Vec::new();
    for (name, step) in &moves {
        let resolved = step.resolved(workspace, name, &narrowed)?;
        let requirement = &step.assignment.requirement;
        if guard::against_record(workspace, &resolved, requirement, Some(&about)).is_some() {
            return None;
        }
        let recorded = recorded(&step.located.pack, step.assignment, &resolved.pin, resolved.desired);
        let pack = DesiredPack { recorded, entries: Arc::clone(&resolved.entries) };
        desired.packs.insert((*name).clone(), Resolution::Pinned(Box::new(pack)));
        shared.push(Arc::new(resolved));
    }
    let Narrowed { record, digest, looked, actual, version_file, health, notes } = narrowed;
    let observation = Observation {
        record: Some(Rest::new(Arc::new(record), looked).record()),
        digest: Some(digest),
        actual,
        interrupted: None,
        staged: false,
        version_file,
        health,
        notes,
    };
    let survey = pass::plan_for(workspace, host.as_ref(), deployment, observation, desired, shared);
    Some(Report::looked(survey, None))
}

/// What is not as it is recorded, by a look after which nothing was done; `None` where that is not known.
pub(super) fn unlike(report: &Report) -> Option<BTreeSet<TreePath>> {
    if report.committed.is_some() || report.recovered.is_some() || report.told.is_some() {
        return None;
    }
    let seen = &report.survey.as_ref()?.observation;
    if seen.interrupted.is_some() || seen.staged {
        return None;
    }
    // A look at few paths has the entries of those few; all others are as recorded.
    let entries = seen.record.as_ref()?.entries.iter().filter(|(_, entry)| entry.base.is_some());
    let unlike =
        entries.filter(|(path, entry)| seen.actual.paths.get(*path) != entry.base.map(Seen::Entry).as_ref());
    Some(unlike.map(|(path, _)| path.clone()).collect())
}

/// One pack, from what is recorded to where fleet.toml leads.
struct Move<'a> {
    assignment: &'a Assignment,
    located: &'a Located,
    /// What must be recorded.
    was: Part,
    /// What the rendering of that came to.
    before: Sketch,
    /// What the rendering comes to; `None` if that is not known yet.
    after: Option<Sketch>,
    /// What becomes of each file that differs, in root coordinates.
    changes: BTreeMap<TreePath, Option<DesiredEntry>>,
    /// How much more there is.
    growth: Growth,
}

/// Sums over changes.
#[derive(Default)]
struct Growth {
    files: i64,
    bytes: i64,
    /// The CHANGELOG, if it is among the changes.
    changelog: Option<Option<Content>>,
}

impl<'a> Move<'a> {
    fn find(
        workspace: &Workspace,
        resolutions: &'a Resolutions,
        name: &PackName,
        assignment: &'a Assignment,
        was: &RecordedPack,
    ) -> Option<Self> {
        let located = resolutions.located(name, assignment)?;
        let Located { pack, found, overlays, sketch, .. } = located;
        let (found, from) = (found.as_ref()?, was.pin.commit.as_ref()?);
        let source = workspace.sources.get(&pack.source)?;
        if pack.source != was.source || pack.install != was.install || !pack.checks.is_empty() {
            return None;
        }
        let same = (found.commit == *from).then_some(*sketch).flatten();
        let before = same.or_else(|| {
            let limits = &workspace.fleet.limits;
            let question = sketch::question(source.as_ref(), from, pack, limits, overlays)?;
            workspace.sketches.recall::<Sketch>(&question)
        })?;
        if before.desired != was.desired || before.tree != was.pin.tree {
            return None;
        }
        let was = Part { recorded: was.clone(), digest: before.part };
        let after = sketch.or(same);
        let mut step = Self {
            assignment,
            located,
            was,
            before,
            after,
            changes: BTreeMap::new(),
            growth: Growth::default(),
        };
        if found.commit == step.was.recorded.pin.commit.clone()? {
            return Some(step);
        }
        let [line] = pack.install.0.as_slice() else { return None };
        if line.from.is_some() || !overlays.is_empty() || pack.modes != Modes::ExecBit {
            return None;
        }
        let rules = TreeRules { limits: workspace.fleet.limits, distinct: pack.case == Case::Distinct };
        let mut dirs = vec![pack.dir.clone()];
        dirs.extend(pack.aliases.iter().cloned().map(Some));
        let from = step.was.recorded.pin.commit.clone()?;
        let changes = source.changes(&from, &found.commit, &dirs, &rules).ok()??;
        let owned = HostOwned::new(&pack.install, &pack.host_owns);
        for Change { path, existed, size_before, entry } in changes {
            let place = pack.install.place(&path)?;
            if owned.owns(&place) {
                return None;
            }
            let size = entry.as_ref().map_or(0, |entry| entry.size);
            step.growth.bytes += i64::try_from(size).ok()? - i64::try_from(size_before).ok()?;
            step.growth.files += i64::from(entry.is_some()) - i64::from(existed);
            let content = entry.as_ref().map(|entry| entry.content);
            if path.parent().is_none() && path.as_str().eq_ignore_ascii_case("CHANGELOG.md") {
                step.growth.changelog = Some(content);
            }
            let desired = entry.map(|entry| DesiredEntry {
                entry: Entry { kind: entry.kind, content: entry.content },
                host_owned: false,
                commit: Some(found.commit.clone()),
            });
            step.changes.insert(place, desired);
        }
        Some(step)
    }

    /// The pack as it is wanted, with the entries that are at stake.
    fn resolved(&self, workspace: &Workspace, name: &PackName, narrowed: &Narrowed) -> Option<Resolved> {
        let Located { pack, found, question, .. } = self.located;
        let found = found.as_ref()?;
        let sketch = match self.after {
            Some(sketch) => sketch,
            None => {
                let sketch = self.sketch(workspace, name, &narrowed.record, &found.commit)?;
                if let Some(question) = question {
                    workspace.sketches.keep(question, &sketch);
                }
                sketch
            }
        };
        let mut entries = BTreeMap::new();
        for path in &narrowed.looked {
            let desired = match self.changes.get(path) {
                Some(changed) => changed.clone(),
                None => {
                    narrowed.record.find(path.as_str()).filter(|line| line.owner == name).and_then(|line| {
                        let commit = line.commit.map(|_| found.commit.clone());
                        Some(DesiredEntry { entry: line.base?, host_owned: false, commit })
                    })
                }
            };
            if let Some(desired) = desired {
                entries.insert(path.clone(), desired);
            }
        }
        Some(Resolved {
            pack: name.clone(),
            pin: found.pin(sketch.tree).ok()?,
            source: pack.source.clone(),
            entries: entries.into(),
            desired: sketch.desired,
            part: sketch.part,
            changelog: sketch.changelog,
            overlay_bytes: BTreeMap::new(),
            notes: Vec::new(),
            bases: Default::default(),
        })
    }

    /// What the rendering of the new commit comes to, from what is recorded and the changes.
    fn sketch(
        &self,
        workspace: &Workspace,
        name: &PackName,
        record: &Packed<'_>,
        commit: &CommitId,
    ) -> Option<Sketch> {
        let limits = &workspace.fleet.limits;
        let files = self.before.files.checked_add_signed(self.growth.files)?;
        let bytes = self.before.bytes.checked_add_signed(self.growth.bytes)?;
        if files == 0 || files > limits.entries || bytes > limits.bytes {
            return None;
        }
        let target = self.located.pack.install.0.first()?.to.as_ref();
        let (mut tree, mut desired, mut part) =
            (EntryHasher::tree(), EntryHasher::tree(), PartHasher::default());
        let mut seen = 0;
        let mut add = |line: Line<'_>| {
            let entry = line.base?;
            seen += 1;
            let (directory, file) = (line.directory, line.name);
            if let Some(target) = target {
                let inside = directory.strip_prefix(target.as_str())?;
                let inside = inside.strip_prefix('/').or_else(|| inside.is_empty().then_some(""))?;
                tree.add(inside, file, entry);
            }
            desired.add(directory, file, entry);
            part.add(directory, file, entry, false, line.commit);
            Some(())
        };
        let mut changes = self.changes.iter().peekable();
        for line in record.lines().filter(|line| line.owner == name) {
            while let Some((path, change)) = changes.next_if(|(path, _)| line.cmp_path(path.as_str()).is_gt())
            {
                put(path, change.as_ref(), name, &mut add)?;
            }
            match changes.next_if(|(path, _)| line.cmp_path(path.as_str()).is_eq()) {
                Some((path, change)) => put(path, change.as_ref(), name, &mut add)?,
                None => add(Line { commit: Some(commit), ..line })?,
            }
        }
        for (path, change) in changes {
            put(path, change.as_ref(), name, &mut add)?;
        }
        let desired = desired.finish();
        let tree = if target.is_some() { tree.finish() } else { desired };
        (seen == files).then(|| Sketch {
            tree: TreeDigest::from_bytes(tree),
            desired: DesiredDigest::from_bytes(desired),
            part: part.finish(),
            changelog: self.growth.changelog.unwrap_or(self.before.changelog),
            files,
            bytes,
        })
    }
}

fn put(
    path: &TreePath,
    change: Option<&DesiredEntry>,
    owner: &PackName,
    add: &mut impl FnMut(Line<'_>) -> Option<()>,
) -> Option<()> {
    let Some(DesiredEntry { entry, commit, .. }) = change else { return Some(()) };
    let (directory, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
    let entry = Some(*entry);
    add(Line { directory, name, owner, base: entry, written: entry, commit: commit.as_ref() })
}

#[cfg(test)]
#[path = "narrow_tests.rs"]
mod tests;
