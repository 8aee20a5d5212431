//! What an overlay was written against, found again.
//!
//! A base is named by a version and identified by the digest of its tree. The version at hand is looked at
//! first: where nothing changed nothing is asked. A git source has every version in its mirror; of a plain
//! directory only the present state exists. The commits of bases are kept reachable like pins.

use std::collections::BTreeSet;

use crate::desired::lay::Layer;
use crate::desired::overlay::{Base, Overlay};
use crate::model::pack::{Case, CommitId, Pack, PackEntry, PackTree, Refs};
use crate::model::plan::{HoldCause, OverlayFault, OverlayStep};
use crate::model::{Content, OverlayName, TreeDigest, TreePath};
use crate::source::{PackSource, SourceError, TreeRules};

use super::guard::unreadable;
use super::workspace::Workspace;
use crate::model::cause::in_one_line;

/// A pack at one state: the version at hand, or a base.
#[derive(Debug, Clone)]
pub(super) struct State {
    /// `None` for a plain directory.
    pub(super) commit: Option<CommitId>,
    /// Its entries.
    pub(super) entries: Vec<PackEntry>,
    /// Their digest.
    pub(super) digest: TreeDigest,
}

impl State {
    /// Reads a pack at a commit.
    pub(super) fn read(
        workspace: &Workspace,
        source: &dyn PackSource,
        pack: &Pack,
        commit: Option<CommitId>,
    ) -> Result<Self, SourceError> {
        let mut dirs: Vec<Option<TreePath>> = vec![pack.dir.clone()];
        dirs.extend(pack.aliases.iter().cloned().map(Some));
        let rules = TreeRules { limits: workspace.fleet.limits, distinct: pack.case == Case::Distinct };
        let entries = source.tree(commit.as_ref(), &dirs, &rules)?.entries;
        Ok(Self { commit, digest: PackTree::digest_of(&entries), entries })
    }
}

/// The overlays of one wish, each with its base where it names one.
pub(super) struct Stack {
    layers: Vec<(Overlay, Option<State>)>,
}

impl Stack {
    /// Finds every base. A base that is not to be found is a hold that says why.
    pub(super) fn find(
        workspace: &Workspace,
        source: &dyn PackSource,
        pack: &Pack,
        overlays: Vec<Overlay>,
        now: &State,
        label: &str,
    ) -> Result<Self, HoldCause> {
        let mut layers = Vec::new();
        for overlay in overlays {
            let base = match &overlay.manifest.base {
                None => None,
                Some(base) => {
                    let found = find(workspace, source, pack, base, now);
                    Some(found.map_err(|lost| held(&overlay.name, lost, label))?)
                }
            };
            layers.push((overlay, base));
        }
        Ok(Self { layers })
    }

    /// For rendering.
    pub(super) fn layers(&self) -> Vec<Layer<'_>> {
        let mut layers = Vec::new();
        for (overlay, base) in &self.layers {
            layers.push(Layer { overlay, base: base.as_ref().map(|state| state.entries.as_slice()) });
        }
        layers
    }

    /// The commits of bases, the version's own left out.
    pub(super) fn commits(&self, now: &State) -> BTreeSet<CommitId> {
        let commits = self.layers.iter().filter_map(|(_, base)| base.as_ref()?.commit.clone());
        commits.filter(|commit| Some(commit) != now.commit.as_ref()).collect()
    }

    /// Bytes of the version or of a base.
    pub(super) fn bytes(
        &self,
        source: &dyn PackSource,
        now: &State,
        content: Content,
    ) -> Result<Vec<u8>, String> {
        let states = std::iter::once(now).chain(self.layers.iter().filter_map(|(_, base)| base.as_ref()));
        let mut why = String::from("no version at hand has it");
        // Where it lies is known from the trees, so that a source need not search.
        for state in states.filter(|state| state.entries.iter().any(|entry| entry.content == content)) {
            match source.bytes(state.commit.as_ref(), content) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => why = in_one_line(&error),
            }
        }
        Err(why)
    }
}

/// A base that is not to be found.
enum Lost {
    /// A plain directory has moved on.
    Past(String),
    /// The source's answer.
    Source(SourceError),
}

fn held(overlay: &OverlayName, lost: Lost, label: &str) -> HoldCause {
    let text = match lost {
        Lost::Source(error @ (SourceError::Unknown(_) | SourceError::Refused(_))) => {
            format!("overlay {overlay}: its base: {error}")
        }
        Lost::Source(error) => return unreadable(error),
        Lost::Past(text) => format!("overlay {overlay} {text}"),
    };
    let fault = OverlayFault { overlay: overlay.clone(), path: None, text, next: OverlayStep::Correct };
    HoldCause::Overlays { faults: vec![fault], to: label.to_owned() }
}

fn find(
    workspace: &Workspace,
    source: &dyn PackSource,
    pack: &Pack,
    base: &Base,
    now: &State,
) -> Result<State, Lost> {
    if base.tree == now.digest {
        return Ok(now.clone());
    }
    if now.commit.is_none() {
        return Err(Lost::Past(format!(
            "was written against another state of the pack (tree {}, and it is {} now), and a plain directory keeps \
             no earlier ones: see that it still fits, then write tree = \"{}\" into its overlay.toml",
            base.tree.short(),
            now.digest.short(),
            now.digest
        )));
    }
    let commit = commit_of(source, pack, &base.version).map_err(Lost::Source)?;
    State::read(workspace, source, pack, Some(commit)).map_err(Lost::Source)
}

/// The commit that a version label, the name of a tag or branch, or a commit id means.
pub(super) fn commit_of(
    source: &dyn PackSource,
    pack: &Pack,
    version: &str,
) -> Result<CommitId, SourceError> {
    // A commit that is there needs no answer from afar, nor does a tag that is known.
    let known = source.known().ok().and_then(|refs| named(&refs, pack, version));
    if let Some(commit) = known {
        return Ok(commit);
    }
    if CommitId::new(version).is_ok()
        && let Ok(commit) = source.commit(version)
    {
        return Ok(commit);
    }
    match named(&source.refresh()?, pack, version) {
        Some(commit) => Ok(commit),
        None => source.commit(version).map_err(|error| match error {
            SourceError::Unknown(_) => {
                let tag = semver::Version::parse(version)
                    .map(|version| format!(" (tag {})", pack.tag.tag(&version)));
                let tag = tag.unwrap_or_default();
                SourceError::Unknown(format!(
                    "{version} is no version{tag}, tag, branch or commit of pack {}",
                    pack.name
                ))
            }
            error => error,
        }),
    }
}

fn named(refs: &Refs, pack: &Pack, version: &str) -> Option<CommitId> {
    let label = semver::Version::parse(version).ok().map(|version| pack.tag.tag(&version));
    let tag = |name: &str| refs.tags.iter().find(|tag| tag.name == name);
    let found = label.as_deref().and_then(tag).or_else(|| tag(version));
    let found = found.or_else(|| refs.branches.iter().find(|branch| branch.name == version));
    found.and_then(|found| found.commit.clone())
}
