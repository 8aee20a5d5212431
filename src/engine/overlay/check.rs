//! Which overlays survive which versions.
//!
//! An overlay is laid on a version together with those before it, as deployments have them: what it comes to
//! may depend on these. A version that cannot be installed even without overlays says nothing about one.

use std::collections::BTreeSet;

use super::{Failure, Version, failed, is_directory, named, pack, pins, read, version};
use crate::desired::finding::Finding;
use crate::desired::overlay::Overlay;
use crate::desired::render::{RenderError, render};
use crate::engine::bases::Stack;
use crate::engine::workspace::Workspace;
use crate::model::OverlayName;
use crate::model::pack::Pack;
use crate::source::PackSource;

/// An overlay on one version.
#[derive(Debug)]
pub struct Check {
    /// The version.
    pub version: Version,
    /// What it comes to.
    pub verdict: Verdict,
}

/// What an overlay comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It survives, with notes or without.
    Survives(Vec<Finding>),
    /// It does not: the conflicts, and notes among them.
    Conflicts(Vec<Finding>),
    /// It does not, and it is not its paths that are at fault.
    Fails(String),
    /// The version cannot be installed at all.
    NoVersion(String),
}

impl Verdict {
    /// Whether a person must do something about the overlay.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Conflicts(_) | Self::Fails(_))
    }
}

/// Checks an overlay against `to`, or against every newer version and those to which its deployments lead.
pub fn check(workspace: &Workspace, name: &OverlayName, to: Option<&str>) -> Result<Vec<Check>, Failure> {
    let overlay = named(workspace, name)?;
    let (pack, source) = pack(workspace, &overlay.manifest.pack)?;
    let mut checks = Vec::new();
    for version in versions(workspace, pack, source, overlay, to)? {
        match version {
            Ok(version) => {
                let verdict = judge(workspace, pack, source, overlay, &version)?;
                checks.push(Check { version, verdict });
            }
            Err((version, text)) => checks.push(Check { version, verdict: Verdict::NoVersion(text) }),
        }
    }
    Ok(checks)
}

/// A version that was read, or one that cannot be, and why.
type Found = Result<Version, (Version, String)>;

fn versions(
    workspace: &Workspace,
    pack: &Pack,
    source: &dyn PackSource,
    overlay: &Overlay,
    to: Option<&str>,
) -> Result<Vec<Found>, Failure> {
    if to.is_some() || is_directory(workspace, pack) {
        return Ok(vec![Ok(version(workspace, &pack.name, to, Some(&overlay.name))?)]);
    }
    let refs = source.refresh().map_err(|source| failed(pack, source))?;
    let mut tags: Vec<_> = refs
        .tags
        .iter()
        .filter_map(|tag| Some((pack.tag.version(&tag.name)?, tag.commit.clone()?)))
        .filter(|(version, _)| version.pre.is_empty())
        .collect();
    tags.sort();
    let base = overlay.manifest.base.as_ref();
    let since = base.and_then(|base| semver::Version::parse(&base.version).ok());
    match since {
        Some(since) => tags.retain(|(version, _)| *version > since),
        // Written against a commit: which versions are newer is not known, but the newest is of interest.
        None => tags = tags.pop().into_iter().collect(),
    }
    let mut commits: Vec<_> = tags.into_iter().map(|(_, commit)| commit).collect();
    let pinned = pins(workspace, pack, source, Some(&overlay.name)).into_iter().map(|(_, commit)| commit);
    let first: Vec<_> = pinned.filter(|commit| !commits.contains(commit)).collect();
    commits.splice(0..0, first);
    let mut seen = BTreeSet::new();
    commits.retain(|commit| seen.insert(commit.clone()));
    commits
        .into_iter()
        .map(|commit| match read(workspace, pack, source, Some(commit.clone()), None) {
            Ok(version) => Ok(Ok(version)),
            Err(Failure::Version { why, .. }) => Ok(Err((super::unread(pack, &refs, commit), why))),
            Err(failure) => Err(failure),
        })
        .collect()
}

fn judge(
    workspace: &Workspace,
    pack: &Pack,
    source: &dyn PackSource,
    overlay: &Overlay,
    version: &Version,
) -> Result<Verdict, Failure> {
    let state = &version.state;
    if let Err(error) = render(pack, &state.entries, state.commit.as_ref(), &[], &|_| Err(String::new())) {
        return Ok(Verdict::NoVersion(error.to_string()));
    }
    let mut findings: Vec<Finding> = Vec::new();
    for stack in stacks(workspace, overlay) {
        let stack = match Stack::find(workspace, source, pack, stack, state, &version.label) {
            Ok(stack) => stack,
            Err(cause) => return Ok(Verdict::Fails(super::why(&cause))),
        };
        let bytes = |content| stack.bytes(source, state, content);
        let found = match render(pack, &state.entries, state.commit.as_ref(), &stack.layers(), &bytes) {
            Ok(rendered) => rendered.notes,
            Err(RenderError::Conflicts(findings)) => findings,
            Err(error) => return Ok(Verdict::Fails(error.to_string())),
        };
        for finding in found.into_iter().filter(|finding| finding.overlay == overlay.name) {
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
    }
    Ok(match findings.iter().any(Finding::is_conflict) {
        true => Verdict::Conflicts(findings),
        false => Verdict::Survives(findings),
    })
}

/// The overlay with those before it, as each deployment that uses it has them; alone, if none does.
fn stacks(workspace: &Workspace, overlay: &Overlay) -> Vec<Vec<Overlay>> {
    let assigned = workspace.fleet.deployments.values().filter_map(|it| it.packs.get(&overlay.manifest.pack));
    let mut orders: BTreeSet<&[OverlayName]> = BTreeSet::new();
    for assignment in assigned {
        if let Some(at) = assignment.overlays.iter().position(|name| name == &overlay.name) {
            orders.insert(&assignment.overlays[..at]);
        }
    }
    if orders.is_empty() {
        orders.insert(&[]);
    }
    let before = |order: &[OverlayName]| {
        let others = order.iter().filter_map(|name| workspace.overlays.get(name)?.as_ref().ok().cloned());
        others.chain([overlay.clone()]).collect()
    };
    orders.into_iter().map(before).collect()
}
