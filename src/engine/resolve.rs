//! From requirements to rendered packs, once for the whole fleet.
//!
//! A thousand deployments that ask for the same pack in the same way share one rendering. It is made when
//! somebody asks for it: what it comes to is kept from one run to the next, and where nothing is to be done
//! that is all that is needed. What cannot be resolved is held, never absent: a source that does not answer
//! leaves what is recorded in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::desired::finding::Finding;
use crate::desired::overlay::Overlay;
use crate::desired::render::{RenderError, render};
use crate::model::desired::{Desired, DesiredEntry, DesiredPack, Resolution, pack_digest};
use crate::model::fleet::{Assignment, Deployment, Source};
use crate::model::pack::{CommitId, Pack, Pin};
use crate::model::plan::{HoldCause, OverlayFault, OverlayStep};
use crate::model::record::{Record, RecordedPack};
use crate::model::settled::{Part, part_digest};
use crate::model::{
    Content, DeploymentName, DesiredDigest, OverlayName, PackName, PartDigest, SourceName, TreePath,
};

use super::bases::{Stack, State};
use super::guard::{self, unreadable};
use super::pin::{self, Found};
use super::sketch::{self, Sketch};
use super::workspace::Workspace;
use super::{Event, Events};

/// One pack as some deployments want it: pinned and rendered.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The pack.
    pub pack: PackName,
    /// Where it was found.
    pub pin: Pin,
    /// The source that has its bytes.
    pub source: SourceName,
    /// What should be there, in root coordinates.
    pub entries: Arc<BTreeMap<TreePath, DesiredEntry>>,
    /// Digest of that.
    pub desired: DesiredDigest,
    /// Digest of that with all that a record says of it.
    pub part: PartDigest,
    /// The pack's own CHANGELOG, if it has one.
    pub changelog: Option<Content>,
    /// Bytes that overlays gave.
    pub overlay_bytes: BTreeMap<Content, Vec<u8>>,
    /// What is worth knowing of its overlays.
    pub notes: Vec<Finding>,
    /// Commits of what its overlays were written against.
    pub bases: BTreeSet<CommitId>,
}

/// What distinguishes one wish for a pack from another.
type Wish = (PackName, String, Vec<OverlayName>);

/// A wish: where it leads, and what comes of it once somebody asks.
#[derive(Debug)]
struct Answer {
    located: Result<Located, HoldCause>,
    rendered: OnceLock<Result<Arc<Resolved>, HoldCause>>,
}

/// Where a wish leads, and what is laid over it.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) pack: Pack,
    /// `None` for a plain directory.
    pub(super) found: Option<Found>,
    pub(super) overlays: Vec<Overlay>,
    /// The digest of all that its rendering is made from, where that can be told.
    pub(super) question: Option<[u8; 32]>,
    /// What its rendering comes to, if that is known.
    pub(super) sketch: Option<Sketch>,
}

/// All wishes of a fleet, resolved.
#[derive(Debug, Default)]
pub struct Resolutions(BTreeMap<Wish, Answer>);

fn wish(pack: &PackName, assignment: &Assignment) -> Wish {
    let follow = if assignment.follow { ", follow" } else { "" };
    (pack.clone(), format!("{}{follow}", assignment.requirement), assignment.overlays.clone())
}

/// Resolves what the given deployments want, each wish once.
pub fn resolve(
    workspace: &Workspace,
    deployments: &BTreeSet<DeploymentName>,
    events: &dyn Events,
) -> Resolutions {
    let mut wishes: BTreeMap<Wish, &Assignment> = BTreeMap::new();
    for deployment in deployments.iter().filter_map(|name| workspace.fleet.deployments.get(name)) {
        for (pack, assignment) in &deployment.packs {
            wishes.insert(wish(pack, assignment), assignment);
        }
    }
    let of = wishes.len();
    let mut resolutions = BTreeMap::new();
    for (done, (wish, assignment)) in wishes.into_iter().enumerate() {
        events.event(Event::Resolving { done, of });
        let located = locate(workspace, &wish.0, assignment);
        resolutions.insert(wish, Answer { located, rendered: OnceLock::new() });
    }
    events.event(Event::Resolving { done: of, of });
    Resolutions(resolutions)
}

impl Resolutions {
    /// What one deployment should hold, and the renderings that it shares. `record` is asked only
    /// whether a tag still means what it meant when it was installed.
    pub fn desired(
        &self,
        workspace: &Workspace,
        deployment: &Deployment,
        record: Option<&Record>,
    ) -> (Desired, Vec<Arc<Resolved>>) {
        let mut desired = Desired::default();
        let mut shared = Vec::new();
        for (name, assignment) in &deployment.packs {
            let Some(pack) = workspace.fleet.packs.get(name) else { continue };
            let resolution = match self.rendered(workspace, name, assignment) {
                None => Resolution::Held(HoldCause::Source("it was not resolved".into())),
                Some(Err(cause)) => Resolution::Held(cause.clone()),
                Some(Ok(resolved)) => {
                    shared.push(Arc::clone(resolved));
                    match guard::against_record(workspace, resolved, &assignment.requirement, record) {
                        Some(cause) => Resolution::Held(cause),
                        None => Resolution::Pinned(Box::new(DesiredPack {
                            recorded: recorded(pack, assignment, &resolved.pin, resolved.desired),
                            entries: Arc::clone(&resolved.entries),
                        })),
                    }
                }
            };
            desired.packs.insert(name.clone(), resolution);
        }
        (desired, shared)
    }

    /// Paths that a deployment desires, as far as they are known.
    pub fn paths(&self, workspace: &Workspace, deployment: &Deployment) -> BTreeSet<TreePath> {
        let rendered = deployment
            .packs
            .iter()
            .filter_map(|(name, wanted)| self.rendered(workspace, name, wanted)?.as_ref().ok());
        rendered.flat_map(|resolved| resolved.entries.keys().cloned()).collect()
    }

    /// What a record would say of each pack if all were done; `None` if a pack is held.
    pub fn parts(&self, workspace: &Workspace, deployment: &Deployment) -> Option<BTreeMap<PackName, Part>> {
        let part = |(name, assignment): (&PackName, &Assignment)| {
            let pack = workspace.fleet.packs.get(name)?;
            let answer = self.0.get(&wish(name, assignment))?;
            let located = answer.located.as_ref().ok()?;
            let (pin, desired, digest) = match (&located.found, &located.sketch) {
                (Some(found), Some(sketch)) => (found.pin(sketch.tree).ok()?, sketch.desired, sketch.part),
                // A commit that was never rendered is not what is recorded, unless the cache was lost.
                _ if located.question.is_some() && answer.rendered.get().is_none() => return None,
                _ => {
                    let resolved = self.rendered(workspace, name, assignment)?.as_ref().ok()?;
                    // What is worth knowing of overlays is told on every pass.
                    if !resolved.notes.is_empty() {
                        return None;
                    }
                    (resolved.pin.clone(), resolved.desired, resolved.part)
                }
            };
            Some((name.clone(), Part { recorded: recorded(pack, assignment, &pin, desired), digest }))
        };
        deployment.packs.iter().map(part).collect()
    }

    /// Where a wish leads, if it leads anywhere.
    pub(super) fn located(&self, name: &PackName, assignment: &Assignment) -> Option<&Located> {
        self.0.get(&wish(name, assignment))?.located.as_ref().ok()
    }

    fn rendered(
        &self,
        workspace: &Workspace,
        name: &PackName,
        assignment: &Assignment,
    ) -> Option<&Result<Arc<Resolved>, HoldCause>> {
        let answer = self.0.get(&wish(name, assignment))?;
        Some(answer.rendered.get_or_init(|| match &answer.located {
            Ok(located) => render_one(workspace, located).map(Arc::new),
            Err(cause) => Err(cause.clone()),
        }))
    }
}

/// What a record says of a pack that is assigned so, at a pin.
pub(super) fn recorded(
    pack: &Pack,
    assignment: &Assignment,
    pin: &Pin,
    desired: DesiredDigest,
) -> RecordedPack {
    RecordedPack {
        pin: pin.clone(),
        requirement: assignment.requirement.to_string(),
        source: pack.source.clone(),
        overlays: assignment.overlays.clone(),
        desired,
        requires: pack.requires.clone(),
        install: pack.install.clone(),
        host_owns: pack.host_owns.clone(),
        host_keys: pack.host_keys.clone(),
        modes: pack.modes,
        atomic: pack.atomic,
        edits: assignment.edits,
        version_key: pack.version_key.clone(),
        features: assignment.features.clone(),
    }
}

fn missing(what: &str) -> HoldCause {
    HoldCause::Version(format!("{what} is not declared"))
}

fn locate(workspace: &Workspace, name: &PackName, assignment: &Assignment) -> Result<Located, HoldCause> {
    let pack = workspace.fleet.packs.get(name).ok_or_else(|| missing(name.as_str()))?;
    let source = workspace.sources.get(&pack.source).ok_or_else(|| missing(pack.source.as_str()))?;
    let overlays = overlays(workspace, name, assignment)?;
    let directory = matches!(workspace.fleet.sources.get(&pack.source), Some(Source::Directory(_)));
    let found = match directory {
        true => None,
        false => Some(pin::find(workspace, source.as_ref(), pack, assignment)?),
    };
    let mut question = None;
    if let Some(found) = &found {
        let (name, commit) = (found.found_by.name(), &found.commit);
        guard::signed(workspace, source.as_ref(), pack, &assignment.requirement, name, commit)?;
        question = sketch::question(source.as_ref(), commit, pack, &workspace.fleet.limits, &overlays);
    }
    let sketch = question.as_ref().and_then(|question| workspace.sketches.recall(question));
    Ok(Located { pack: pack.clone(), found, overlays, question, sketch })
}

fn render_one(workspace: &Workspace, located: &Located) -> Result<Resolved, HoldCause> {
    let Located { pack, found, overlays, question, .. } = located;
    let source = workspace.sources.get(&pack.source).ok_or_else(|| missing(pack.source.as_str()))?;
    let commit = found.as_ref().map(|found| found.commit.clone());
    let state = State::read(workspace, source.as_ref(), pack, commit.clone()).map_err(unreadable)?;
    let label = found.as_ref().map_or_else(|| state.digest.short(), |found| found.version.clone());
    let stack = Stack::find(workspace, source.as_ref(), pack, overlays.clone(), &state, &label)?;
    let bytes = |content| stack.bytes(source.as_ref(), &state, content);
    let rendered = render(pack, &state.entries, commit.as_ref(), &stack.layers(), &bytes)
        .map_err(|error| unrendered(error, label))?;
    let pin = match found {
        Some(found) => found.pin(rendered.tree)?,
        None => Pin {
            version: rendered.tree.short(),
            found_by: "directory".into(),
            commit: None,
            tree: rendered.tree,
        },
    };
    for bytes in rendered.overlay_bytes.values() {
        workspace.objects.put(bytes).map_err(unreadable)?;
    }
    let changelog = state.entries.iter().find(|entry| {
        entry.path.parent().is_none() && entry.path.as_str().eq_ignore_ascii_case("CHANGELOG.md")
    });
    let resolved = Resolved {
        pack: pack.name.clone(),
        changelog: changelog.map(|entry| entry.content),
        pin,
        source: pack.source.clone(),
        desired: pack_digest(&rendered.entries),
        part: part_digest(&rendered.entries),
        entries: rendered.entries.into(),
        overlay_bytes: rendered.overlay_bytes,
        notes: rendered.notes,
        bases: stack.commits(&state),
    };
    if let Some(question) = question.as_ref().filter(|_| resolved.notes.is_empty()) {
        let Resolved { desired, part, changelog, .. } = resolved;
        let files = state.entries.len() as u64;
        let bytes = state.entries.iter().map(|entry| entry.size).sum();
        let tree = resolved.pin.tree;
        workspace.sketches.keep(question, &Sketch { tree, desired, part, changelog, files, bytes });
    }
    Ok(resolved)
}

/// Why a version is held that does not render.
fn unrendered(error: RenderError, to: String) -> HoldCause {
    let text = error.to_string();
    let next = match &error {
        RenderError::Unfinished { .. } => OverlayStep::Finish,
        _ => OverlayStep::Correct,
    };
    match (error.overlay().cloned(), error) {
        (_, RenderError::Unreadable { .. }) => HoldCause::Source(text),
        (_, RenderError::Conflicts(findings)) => {
            let fault = |finding: Finding| OverlayFault {
                text: finding.text(),
                overlay: finding.overlay,
                path: Some(finding.path),
                next: OverlayStep::Rebase,
            };
            let faults = findings.into_iter().filter(Finding::is_conflict).map(fault);
            HoldCause::Overlays { faults: faults.collect(), to }
        }
        (Some(overlay), _) => {
            HoldCause::Overlays { faults: vec![OverlayFault { overlay, path: None, text, next }], to }
        }
        (None, _) => HoldCause::Version(text),
    }
}

/// The overlays of an assignment, in order.
pub(super) fn overlays(
    workspace: &Workspace,
    pack: &PackName,
    assignment: &Assignment,
) -> Result<Vec<Overlay>, HoldCause> {
    let mut overlays = Vec::new();
    for name in &assignment.overlays {
        match workspace.overlays.get(name) {
            Some(Ok(overlay)) if &overlay.manifest.pack == pack => overlays.push(overlay.clone()),
            Some(Ok(overlay)) => {
                let other = &overlay.manifest.pack;
                let text = format!("overlay {name} is for pack {other}, not for {pack}");
                return Err(HoldCause::Version(text));
            }
            Some(Err(why)) => return Err(HoldCause::Version(format!("overlay {name}: {why}"))),
            None => return Err(HoldCause::Version(format!("there is no directory overlays/{name}"))),
        }
    }
    Ok(overlays)
}
