//! Overlays as people work on them: made, looked at, carried to another version.
//!
//! Here versions are found, bytes are read and the working tree of the fleet repository is written; what an
//! overlay comes to on a version is decided in `desired`. No deployment is looked at and none is touched.
//! Deliberately absent: commits; a person reads what was written and commits it.

mod check;
mod files;
mod new;
mod rebase;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::Utf8PathBuf;

pub use check::{Check, Verdict, check};
pub use new::Begun;
pub use rebase::{Rebased, finish, rebase};

use crate::desired::overlay::{Overlay, OverlayError};
use crate::desired::rebase::RebaseError;
use crate::model::fleet::{Assignment, Source};
use crate::model::pack::{CommitId, Pack, PackTree, Refs};
use crate::model::plan::HoldCause;
use crate::model::{DeploymentName, OverlayName, PackName, TreeDigest};
use crate::source::{PackSource, SourceError};

use super::bases::{State, commit_of};
use super::pin;
use super::workspace::Workspace;

/// Why something cannot be done with an overlay.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No such directory.
    #[error("there is no overlay {name}{}", near.as_ref().map_or(String::new(), |near| format!("; did you mean {near}?")))]
    Unknown {
        /// As it was asked for.
        name: OverlayName,
        /// One that is there.
        near: Option<OverlayName>,
    },
    /// It is there, and no overlay.
    #[error("overlay {name}: {why}")]
    Damaged {
        /// Which.
        name: OverlayName,
        /// What is wrong.
        why: String,
    },
    /// One by that name is there already.
    #[error("{0} is there already, and is not overwritten")]
    Exists(Utf8PathBuf),
    /// The directory of overlays is something else.
    #[error("{0} is no directory")]
    NoDirectory(Utf8PathBuf),
    /// No such pack.
    #[error("there is no pack {0}")]
    NoPack(PackName),
    /// A pack without a version to go by.
    #[error("which version of pack {0} is not clear: no deployment has it at one version, and no tag fits")]
    NoVersion(PackName),
    /// A plain directory has one version only.
    #[error("pack {0} comes from a plain directory, which has no versions")]
    NoVersions(PackName),
    /// No file of the pack, or several.
    #[error("{0}")]
    Path(String),
    /// A version cannot be used.
    #[error("pack {pack}: {why}")]
    Version {
        /// The pack.
        pack: PackName,
        /// Why.
        why: String,
    },
    /// The source's answer.
    #[error("pack {pack}: the source does not give it")]
    Source {
        /// The pack.
        pack: PackName,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// What it comes to cannot be written.
    #[error("{}", of_rebase(.name, .error))]
    Rebase {
        /// Which.
        name: OverlayName,
        /// Why.
        error: Box<RebaseError>,
    },
    /// What would be written is no overlay; nothing was written.
    #[error("overlay {name} would be none: {error}")]
    Result {
        /// Which.
        name: OverlayName,
        /// What would be wrong with it.
        error: Box<OverlayError>,
    },
    /// A file of the working tree.
    #[error("cannot {operation} {path}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: Utf8PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

fn why(cause: &HoldCause) -> String {
    match cause {
        HoldCause::Version(text) | HoldCause::Source(text) | HoldCause::Signature(text) => text.clone(),
        HoldCause::Overlays { faults, .. } => {
            faults.iter().map(|fault| fault.text.as_str()).collect::<Vec<_>>().join("; ")
        }
        _ => "its version is held".to_owned(),
    }
}

/// What does not render names the overlay itself.
fn of_rebase(name: &OverlayName, error: &RebaseError) -> String {
    match error {
        RebaseError::Render(error) => error.to_string(),
        error => format!("overlay {name}: {error}"),
    }
}

/// A version of a pack, read.
#[derive(Debug, Clone)]
pub struct Version {
    /// What people call it, and what `base.version` says: the semantic version, a tag, or a commit.
    pub label: String,
    pub(super) state: State,
}

impl Version {
    /// The label, short enough for a line.
    pub fn short(&self) -> &str {
        short(&self.label)
    }

    /// The digest of the pack's tree there.
    pub fn tree(&self) -> TreeDigest {
        self.state.digest
    }

    /// Its commit; `None` of a plain directory.
    pub fn commit(&self) -> Option<&CommitId> {
        self.state.commit.as_ref()
    }
}

/// A version label as people read it: a commit is abbreviated.
pub fn short(label: &str) -> &str {
    match CommitId::new(label) {
        Ok(_) => &label[..7],
        Err(_) => label,
    }
}

/// All overlays; one that is damaged says why.
pub fn all(workspace: &Workspace) -> &BTreeMap<OverlayName, Result<Overlay, String>> {
    &workspace.overlays
}

/// An overlay by its name.
pub fn named<'w>(workspace: &'w Workspace, name: &OverlayName) -> Result<&'w Overlay, Failure> {
    match workspace.overlays.get(name) {
        Some(Ok(overlay)) => Ok(overlay),
        Some(Err(why)) => Err(Failure::Damaged { name: name.clone(), why: why.clone() }),
        None => {
            let alike = |other: &&OverlayName| strsim::jaro_winkler(other.as_str(), name.as_str());
            let near = workspace.overlays.keys().filter(|other| alike(other) > 0.8);
            let near = near.max_by(|a, b| alike(a).total_cmp(&alike(b)).then_with(|| b.cmp(a))).cloned();
            Err(Failure::Unknown { name: name.clone(), near })
        }
    }
}

/// The deployments that use an overlay.
pub fn used_by<'w>(workspace: &'w Workspace, name: &OverlayName) -> BTreeSet<&'w DeploymentName> {
    let uses = |assignment: &Assignment| assignment.overlays.contains(name);
    let deployments = workspace.fleet.deployments.values();
    deployments.filter(|it| it.packs.values().any(uses)).map(|it| &it.name).collect()
}

/// A pack and its source.
fn pack<'w>(workspace: &'w Workspace, name: &PackName) -> Result<(&'w Pack, &'w dyn PackSource), Failure> {
    let unknown = || Failure::NoPack(name.clone());
    let pack = workspace.fleet.packs.get(name).ok_or_else(unknown)?;
    let source = workspace.sources.get(&pack.source).ok_or_else(unknown)?;
    Ok((pack, source.as_ref()))
}

/// The version that a text names; without one the version that deployments have, of those that use the overlay if
/// there are any; else the newest.
fn version(
    workspace: &Workspace,
    pack_name: &PackName,
    text: Option<&str>,
    overlay: Option<&OverlayName>,
) -> Result<Version, Failure> {
    let (pack, source) = pack(workspace, pack_name)?;
    if is_directory(workspace, pack) {
        return match text {
            Some(_) => Err(Failure::NoVersions(pack_name.clone())),
            None => read(workspace, pack, source, None, None),
        };
    }
    let commit = match text {
        Some(text) => commit_of(source, pack, text).map_err(|error| match error {
            SourceError::Unknown(text) => Failure::Path(text),
            error => failed(pack, error),
        })?,
        None => pinned(workspace, pack, source, overlay)?,
    };
    let label = text.filter(|text| !pack_commit(text)).map(str::to_owned);
    read(workspace, pack, source, Some(commit), label)
}

fn is_directory(workspace: &Workspace, pack: &Pack) -> bool {
    matches!(workspace.fleet.sources.get(&pack.source), Some(Source::Directory(_)))
}

fn failed(pack: &Pack, source: SourceError) -> Failure {
    match source {
        SourceError::Unknown(text) | SourceError::Refused(text) => {
            Failure::Version { pack: pack.name.clone(), why: text }
        }
        source => Failure::Source { pack: pack.name.clone(), source },
    }
}

fn pack_commit(text: &str) -> bool {
    text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Reads a version. Its label is the semantic version of a tag on the commit; else `named`, if that is a tag;
/// else the commit, whole: a branch moves on, and a base must not.
fn read(
    workspace: &Workspace,
    pack: &Pack,
    source: &dyn PackSource,
    commit: Option<CommitId>,
    named: Option<String>,
) -> Result<Version, Failure> {
    let refs = source.known().unwrap_or_default();
    let tags = refs.tags.iter().filter(|tag| tag.commit.is_some() && tag.commit == commit);
    let versions = tags.clone().filter_map(|tag| pack.tag.version(&tag.name)).max();
    let tag = tags.map(|tag| tag.name.clone()).find(|name| Some(name) == named.as_ref());
    let state = State::read(workspace, source, pack, commit).map_err(|source| failed(pack, source))?;
    let label = versions
        .map(|version| version.to_string())
        .or(tag)
        .unwrap_or_else(|| state.commit.as_ref().map_or_else(|| state.digest.short(), ToString::to_string));
    Ok(Version { label, state })
}

/// A version of which only its name is known.
fn unread(pack: &Pack, refs: &Refs, commit: CommitId) -> Version {
    let tags = refs.tags.iter().filter(|tag| tag.commit.as_ref() == Some(&commit));
    let version = tags.filter_map(|tag| pack.tag.version(&tag.name)).max();
    let label = version.map_or_else(|| commit.to_string(), |version| version.to_string());
    Version {
        label,
        state: State { commit: Some(commit), entries: Vec::new(), digest: PackTree::digest_of(&[]) },
    }
}

/// The commits to which deployments lead: of those that use the overlay, else of all that have the pack.
fn pins(
    workspace: &Workspace,
    pack: &Pack,
    source: &dyn PackSource,
    overlay: Option<&OverlayName>,
) -> Vec<(String, CommitId)> {
    let assigned = workspace.fleet.deployments.values().filter_map(|it| it.packs.get(&pack.name));
    let uses = |it: &&Assignment| overlay.is_some_and(|overlay| it.overlays.contains(overlay));
    let users: Vec<&Assignment> = match assigned.clone().any(|it| uses(&it)) {
        true => assigned.filter(uses).collect(),
        false => assigned.collect(),
    };
    let mut asked = BTreeSet::new();
    let mut found: Vec<(String, CommitId)> = Vec::new();
    for assignment in users {
        if asked.insert((assignment.requirement.to_string(), assignment.follow))
            && let Ok(pin) = pin::find(workspace, source, pack, assignment)
            && !found.iter().any(|(_, commit)| commit == &pin.commit)
        {
            found.push((pin.version, pin.commit));
        }
    }
    found
}

/// The one commit to go by: the newest version that deployments lead to, or that there is.
fn pinned(
    workspace: &Workspace,
    pack: &Pack,
    source: &dyn PackSource,
    overlay: Option<&OverlayName>,
) -> Result<CommitId, Failure> {
    let found = pins(workspace, pack, source, overlay);
    if let [(_, only)] = found.as_slice() {
        return Ok(only.clone());
    }
    let version = |label: &String| semver::Version::parse(label).ok();
    let newest = found.iter().filter_map(|(label, commit)| Some((version(label)?, commit))).max();
    if let Some((_, commit)) = newest {
        return Ok(commit.clone());
    }
    let refs = source.refresh().map_err(|source| failed(pack, source))?;
    let tags = refs.tags.iter().filter_map(|tag| Some((pack.tag.version(&tag.name)?, tag.commit.clone()?)));
    let newest = tags.filter(|(version, _)| version.pre.is_empty()).max();
    newest.map(|(_, commit)| commit).ok_or_else(|| Failure::NoVersion(pack.name.clone()))
}
