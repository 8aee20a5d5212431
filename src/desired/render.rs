//! From a pack's tree and overlays to what one deployment should hold.
//!
//! ```text
//! pack tree ─► overlays in order (lay.rs) ─► install map ─► modes, host_owns ─► Rendered
//! ```
//! The result is checked in the coordinates of the root, where paths of different corners of a pack meet:
//! no two on one path, none beneath a file or link, none that differ in letter case only, and no link that
//! leads out of the pack's targets. Equal input gives equal output, whatever the order of the tree.
//! Bytes of the pack are asked for only where an overlay changes a file in part. Deliberately absent: any other
//! pack, and where a base's tree comes from.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::lay::{Bytes, Item, Items, Layer, lay, plain};
use crate::model::desired::DesiredEntry;
use crate::model::host_owned::HostOwned;
use crate::model::pack::{CommitId, InstallMap, Modes, Pack, PackEntry, PackTree};
use crate::model::shape::{self, Shape, ShapeError};
use crate::model::{Content, Kind, OverlayName, PackName, TreeDigest, TreePath};

/// One pack, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What should be there, in root coordinates.
    pub entries: BTreeMap<TreePath, DesiredEntry>,
    /// Bytes that overlays gave and that are in `entries`.
    pub overlay_bytes: BTreeMap<Content, Vec<u8>>,
    /// Digest of the pack's tree before overlays, in the pack's coordinates.
    pub tree: TreeDigest,
    /// What is worth knowing of the overlays; no conflict is among it.
    pub notes: Vec<Finding>,
}

/// Why a pack cannot be rendered: a version hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A key of the install map that the pack does not have.
    #[error("the pack has no {0:?}, which its install map names")]
    MissingKey(TreePath),
    /// An overlay of another pack.
    #[error("overlay {overlay} is for pack {pack}")]
    OtherPack {
        /// The overlay.
        overlay: OverlayName,
        /// The pack that it is for.
        pack: PackName,
    },
    /// An overlay that a person must finish first.
    #[error(
        "overlay {overlay}: {path:?} is not finished: edit its .conflict file, then \
         `packfleet overlay rebase {overlay} --finish`"
    )]
    Unfinished {
        /// The overlay.
        overlay: OverlayName,
        /// The path, in the pack's coordinates.
        path: TreePath,
    },
    /// The tree of an overlay's base is not at hand.
    #[error("overlay {overlay}: its base {version} is not to be found")]
    NoBase {
        /// The overlay.
        overlay: OverlayName,
        /// As it names it.
        version: String,
    },
    /// The tree at an overlay's base is not the one that it was written against.
    #[error(
        "overlay {overlay}: its base {version} is tree {} now, and it was written against {}: a tag moved, or the \
         source is another one",
        found.short(),
        named.short()
    )]
    OtherBase {
        /// The overlay.
        overlay: OverlayName,
        /// As it names it.
        version: String,
        /// The digest that it names.
        named: TreeDigest,
        /// The digest of what is there.
        found: TreeDigest,
    },
    /// Bytes of the pack that are not to be had: the source's trouble.
    #[error("{path:?} cannot be read: {why}")]
    Unreadable {
        /// The path, in the pack's coordinates.
        path: TreePath,
        /// What the source said.
        why: String,
    },
    /// Overlays do not carry over to this version: all that was found, notes included.
    #[error("{}", conflicts(.0))]
    Conflicts(Vec<Finding>),
    /// An overlay removes what is not there.
    #[error("overlay {overlay} removes {path:?}, which is not in the pack")]
    NothingToRemove {
        /// The overlay.
        overlay: OverlayName,
        /// The path, in the pack's coordinates.
        path: TreePath,
    },
    /// A file of an overlay that the install map does not cover.
    #[error("{path:?} of overlay {overlay} maps nowhere: no key of the install map covers it")]
    MapsNowhere {
        /// The overlay.
        overlay: OverlayName,
        /// The path, in the pack's coordinates.
        path: TreePath,
    },
    /// A path that would be too long, or a file in the place of the root itself.
    #[error("{0:?} cannot be installed: its path would be too long, or the deployment's root itself")]
    Unplaceable(TreePath),
    /// Two paths of the pack have one target.
    #[error("{first:?} and {second:?} both go to {target:?}")]
    OneTarget {
        /// One path, in the pack's coordinates.
        first: TreePath,
        /// The other one.
        second: TreePath,
        /// Where they go, in root coordinates.
        target: TreePath,
    },
    /// Installed paths that cannot lie beside each other.
    #[error("as installed, {0}")]
    Shape(ShapeError),
    /// Nothing is left to install.
    #[error(
        "nothing would be installed; removing a pack is done in the deployment's packs, not by emptying it"
    )]
    Nothing,
}

impl RenderError {
    /// The overlay at fault, where it is one and not several.
    pub fn overlay(&self) -> Option<&OverlayName> {
        match self {
            Self::OtherPack { overlay, .. }
            | Self::Unfinished { overlay, .. }
            | Self::NoBase { overlay, .. }
            | Self::OtherBase { overlay, .. }
            | Self::NothingToRemove { overlay, .. }
            | Self::MapsNowhere { overlay, .. } => Some(overlay),
            Self::MissingKey(_)
            | Self::Unreadable { .. }
            | Self::Conflicts(_)
            | Self::Unplaceable(_)
            | Self::OneTarget { .. }
            | Self::Shape(_)
            | Self::Nothing => None,
        }
    }
}

/// All conflicts in one line.
fn conflicts(findings: &[Finding]) -> String {
    let conflicts = findings.iter().filter(|finding| finding.is_conflict());
    conflicts.map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Renders a pack's tree, found in `commit` (`None` for a plain directory), with overlays in order. `bytes`
/// gives what lies in the trees of the pack and of the bases.
///
/// Assumes that the trees obey the rules of their source, each path once.
pub fn render(
    pack: &Pack,
    tree: &[PackEntry],
    commit: Option<&CommitId>,
    overlays: &[Layer<'_>],
    bytes: &Bytes<'_>,
) -> Result<Rendered, RenderError> {
    let digest = PackTree::digest_of(tree);
    let mut items = plain(tree);
    let missing_key = |items: &Items<'_>| {
        let keys = pack.install.0.iter().filter_map(|line| line.from.as_ref());
        keys.filter(|key| !holds(items, key)).cloned().collect::<Vec<_>>()
    };
    let missing_before = missing_key(&items);
    let mut notes = Vec::new();
    for overlay in overlays {
        lay(pack, *overlay, tree, bytes, &mut items, &mut notes)?;
    }
    if notes.iter().any(Finding::is_conflict) {
        return Err(RenderError::Conflicts(notes));
    }
    // A key may be there in the pack alone (an overlay empties it) or by an overlay alone.
    if let Some(key) = missing_key(&items).into_iter().find(|key| missing_before.contains(key)) {
        return Err(RenderError::MissingKey(key));
    }
    let placed = place(pack, items)?;
    let shapes = placed
        .iter()
        .map(|(path, (_, item))| (path, Shape { kind: item.entry.kind, link: item.link.as_deref() }));
    shape::check(shapes, pack.case, |place| installed(&pack.install, place)).map_err(RenderError::Shape)?;

    let owned = HostOwned::new(&pack.install, &pack.host_owns);
    let mut rendered =
        Rendered { entries: BTreeMap::new(), overlay_bytes: BTreeMap::new(), tree: digest, notes };
    for (path, (_, item)) in placed {
        let commit = if item.overlay.is_some() { None } else { commit.cloned() };
        if let Some((_, bytes)) = item.overlay {
            rendered.overlay_bytes.insert(item.entry.content, bytes.into_owned());
        }
        let desired = DesiredEntry { entry: item.entry, host_owned: owned.owns(&path), commit };
        rendered.entries.insert(path, desired);
    }
    Ok(rendered)
}

/// Whether something lies at or below a path.
fn holds(items: &Items<'_>, path: &TreePath) -> bool {
    items.contains_key(path) || items.keys().any(|at| at.is_below(path))
}

type Placed<'a> = BTreeMap<TreePath, (&'a TreePath, Item<'a>)>;

/// Puts everything that the install map covers in its place.
fn place<'a>(pack: &Pack, items: Items<'a>) -> Result<Placed<'a>, RenderError> {
    let mut placed = Placed::new();
    for (path, mut item) in items {
        if pack.install.rule(path).is_none() {
            continue;
        }
        let target = pack.install.place(path).ok_or_else(|| RenderError::Unplaceable(path.clone()))?;
        if pack.modes == Modes::Ignore && item.entry.kind == Kind::Exec {
            item.entry.kind = Kind::File;
        }
        if let Some((first, _)) = placed.get(&target) {
            let (first, second) = ((*first).clone(), path.clone());
            return Err(RenderError::OneTarget { first, second, target });
        }
        placed.insert(target, (path, item));
    }
    if placed.is_empty() { Err(RenderError::Nothing) } else { Ok(placed) }
}

/// Whether a place in root coordinates (`""` is the root) lies at or below a target of the pack.
fn installed(install: &InstallMap, place: &str) -> bool {
    install.0.iter().any(|line| match &line.to {
        None => true,
        Some(to) => {
            place.strip_prefix(to.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
    })
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
