//! From requirements to rendered packs, once for the whole fleet.
//!
//! A thousand deployments that ask for the same pack in the same way share one rendering. What cannot be
//! resolved is held, never absent: a source that does not answer leaves what is recorded in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::desired::finding::Finding;
use crate::desired::overlay::Overlay;
use crate::desired::render::{RenderError, render};
use crate::model::desired::{Desired, DesiredEntry, DesiredPack, Resolution, pack_digest};
use crate::model::fleet::{Assignment, Deployment, Source};
use crate::model::pack::{CommitId, Pack, Pin};
use crate::model::plan::{HoldCause, OverlayConflict};
use crate::model::record::{Record, RecordedPack};
use crate::model::{Content, DeploymentName, DesiredDigest, OverlayName, PackName, SourceName, TreePath};

use super::bases::{Stack, State};
use super::guard::{self, unreadable};
use super::pin;
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
    pub entries: BTreeMap<TreePath, DesiredEntry>,
    /// Digest of that.
    pub desired: DesiredDigest,
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

/// All wishes of a fleet, resolved.
#[derive(Debug, Default)]
pub struct Resolutions(BTreeMap<Wish, Result<Arc<Resolved>, HoldCause>>);

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
        let resolved = resolve_one(workspace, &wish.0, assignment).map(Arc::new);
        resolutions.insert(wish, resolved);
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
            let resolution = match self.0.get(&wish(name, assignment)) {
                None => Resolution::Held(HoldCause::Source("it was not resolved".into())),
                Some(Err(cause)) => Resolution::Held(cause.clone()),
                Some(Ok(resolved)) => {
                    shared.push(Arc::clone(resolved));
                    match guard::against_record(workspace, resolved, &assignment.requirement, record) {
                        Some(cause) => Resolution::Held(cause),
                        None => Resolution::Pinned(Box::new(desired_pack(pack, assignment, resolved))),
                    }
                }
            };
            desired.packs.insert(name.clone(), resolution);
        }
        (desired, shared)
    }

    /// Paths that a deployment desires, as far as they are known.
    pub fn paths(&self, deployment: &Deployment) -> BTreeSet<TreePath> {
        let wanted = deployment.packs.iter().filter_map(|(name, assignment)| {
            self.0.get(&wish(name, assignment)).and_then(|resolved| resolved.as_ref().ok())
        });
        wanted.flat_map(|resolved| resolved.entries.keys().cloned()).collect()
    }
}

fn desired_pack(pack: &Pack, assignment: &Assignment, resolved: &Resolved) -> DesiredPack {
    let recorded = RecordedPack {
        pin: resolved.pin.clone(),
        requirement: assignment.requirement.to_string(),
        source: pack.source.clone(),
        overlays: assignment.overlays.clone(),
        desired: resolved.desired,
        requires: pack.requires.clone(),
        install: pack.install.clone(),
        host_owns: pack.host_owns.clone(),
        host_keys: pack.host_keys.clone(),
        modes: pack.modes,
        atomic: pack.atomic,
        edits: assignment.edits,
        version_key: pack.version_key.clone(),
        features: assignment.features.clone(),
    };
    DesiredPack { recorded, entries: resolved.entries.clone() }
}

fn resolve_one(
    workspace: &Workspace,
    name: &PackName,
    assignment: &Assignment,
) -> Result<Resolved, HoldCause> {
    let missing = |what: &str| HoldCause::Version(format!("{what} is not declared"));
    let pack = workspace.fleet.packs.get(name).ok_or_else(|| missing(name.as_str()))?;
    let source = workspace.sources.get(&pack.source).ok_or_else(|| missing(pack.source.as_str()))?;
    let overlays = overlays(workspace, name, assignment)?;
    let directory = matches!(workspace.fleet.sources.get(&pack.source), Some(Source::Directory(_)));
    let found = match directory {
        true => None,
        false => Some(pin::find(workspace, source.as_ref(), pack, assignment)?),
    };
    if let Some(found) = &found {
        let (name, commit) = (found.found_by.name(), &found.commit);
        guard::signed(workspace, source.as_ref(), pack, &assignment.requirement, name, commit)?;
    }
    let commit = found.as_ref().map(|found| found.commit.clone());
    let state = State::read(workspace, source.as_ref(), pack, commit.clone()).map_err(unreadable)?;
    let stack = Stack::find(workspace, source.as_ref(), pack, overlays, &state)?;
    let bytes = |content| stack.bytes(source.as_ref(), &state, content);
    let rendered =
        render(pack, &state.entries, commit.as_ref(), &stack.layers(), &bytes).map_err(|error| {
            let label = found.as_ref().map_or_else(|| state.digest.short(), |found| found.version.clone());
            unrendered(error, label)
        })?;
    let pin = match &found {
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
    Ok(Resolved {
        pack: name.clone(),
        changelog: changelog.map(|entry| entry.content),
        pin,
        source: pack.source.clone(),
        desired: pack_digest(&rendered.entries),
        entries: rendered.entries,
        overlay_bytes: rendered.overlay_bytes,
        notes: rendered.notes,
        bases: stack.commits(&state),
    })
}

/// Why a version is held that does not render.
fn unrendered(error: RenderError, version: String) -> HoldCause {
    match error {
        RenderError::Unreadable { .. } => HoldCause::Source(error.to_string()),
        RenderError::Conflicts(findings) => {
            let conflicts = findings.into_iter().filter(Finding::is_conflict).map(|finding| {
                OverlayConflict { text: finding.text(), overlay: finding.overlay, path: finding.path }
            });
            HoldCause::Overlays { conflicts: conflicts.collect(), to: version }
        }
        error => HoldCause::Version(error.to_string()),
    }
}

fn overlays(
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
