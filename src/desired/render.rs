//! From a pack's tree and overlays to what one deployment should hold.
//!
//! ```text
//! pack tree ─► overlays in order (remove, then files) ─► install map ─► modes, host_owns ─► Rendered
//! ```
//! The result is checked in the coordinates of the root, where paths of different corners of a pack meet:
//! no two on one path, none beneath a file or link, none that differ in letter case only, and no link that
//! leads out of the pack's targets. Equal input gives equal output, whatever the order of the tree.
//! Deliberately absent: bytes of the pack, which nothing here needs, and any other pack.

use std::collections::BTreeMap;

use super::overlay::Overlay;
use crate::model::desired::DesiredEntry;
use crate::model::host_owned::HostOwned;
use crate::model::pack::{CommitId, InstallMap, Modes, Pack, PackEntry};
use crate::model::shape::{self, Shape, ShapeError};
use crate::model::{Content, Entry, Kind, OverlayName, PackName, Tree, TreeDigest, TreePath};

/// One pack, rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// What should be there, in root coordinates.
    pub entries: BTreeMap<TreePath, DesiredEntry>,
    /// Bytes that overlays gave and that are in `entries`.
    pub overlay_bytes: BTreeMap<Content, Vec<u8>>,
    /// Digest of the pack's tree before overlays, in the pack's coordinates.
    pub tree: TreeDigest,
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

/// An entry on its way.
struct Item<'a> {
    entry: Entry,
    link: Option<&'a str>,
    /// The bytes, if an overlay gave them.
    overlay: Option<(&'a OverlayName, &'a [u8])>,
}

/// Renders a pack's tree, found in `commit` (`None` for a plain directory), with overlays in order.
///
/// Assumes that the tree obeys the rules of its source, each path once.
pub fn render(
    pack: &Pack,
    tree: &[PackEntry],
    commit: Option<&CommitId>,
    overlays: &[Overlay],
) -> Result<Rendered, RenderError> {
    let own = |entry: &PackEntry| Entry { kind: entry.kind, content: entry.content };
    let digest = Tree(tree.iter().map(|entry| (entry.path.clone(), own(entry))).collect()).digest();
    let mut items: BTreeMap<&TreePath, Item<'_>> = tree
        .iter()
        .map(|entry| (&entry.path, Item { entry: own(entry), link: entry.link.as_deref(), overlay: None }))
        .collect();
    let missing_key = |items: &BTreeMap<&TreePath, Item<'_>>| {
        let keys = pack.install.0.iter().filter_map(|line| line.from.as_ref());
        keys.filter(|key| !holds(items, key)).cloned().collect::<Vec<_>>()
    };
    let missing_before = missing_key(&items);
    for overlay in overlays {
        lay(pack, overlay, &mut items)?;
    }
    // A key may be there in the pack alone (an overlay empties it) or by an overlay alone.
    if let Some(key) = missing_key(&items).into_iter().find(|key| missing_before.contains(key)) {
        return Err(RenderError::MissingKey(key));
    }
    let placed = place(pack, items)?;
    let shapes =
        placed.iter().map(|(path, (_, item))| (path, Shape { kind: item.entry.kind, link: item.link }));
    shape::check(shapes, pack.case, |place| installed(&pack.install, place)).map_err(RenderError::Shape)?;

    let owned = HostOwned::new(&pack.install, &pack.host_owns);
    let mut rendered = Rendered { entries: BTreeMap::new(), overlay_bytes: BTreeMap::new(), tree: digest };
    for (path, (_, item)) in placed {
        if let Some((_, bytes)) = item.overlay {
            rendered.overlay_bytes.insert(item.entry.content, bytes.to_vec());
        }
        let commit = if item.overlay.is_some() { None } else { commit.cloned() };
        let desired = DesiredEntry { entry: item.entry, host_owned: owned.owns(&path), commit };
        rendered.entries.insert(path, desired);
    }
    Ok(rendered)
}

/// Whether something lies at or below a path.
fn holds(items: &BTreeMap<&TreePath, Item<'_>>, path: &TreePath) -> bool {
    items.contains_key(path) || items.keys().any(|at| at.is_below(path))
}

/// Applies one overlay.
fn lay<'a>(
    pack: &Pack,
    overlay: &'a Overlay,
    items: &mut BTreeMap<&'a TreePath, Item<'a>>,
) -> Result<(), RenderError> {
    let name = &overlay.name;
    if overlay.manifest.pack != pack.name {
        let pack = overlay.manifest.pack.clone();
        return Err(RenderError::OtherPack { overlay: name.clone(), pack });
    }
    for path in &overlay.manifest.remove {
        let before = items.len();
        items.retain(|at, _| *at != path && !at.is_below(path));
        if items.len() == before {
            return Err(RenderError::NothingToRemove { overlay: name.clone(), path: path.clone() });
        }
    }
    for (path, (kind, bytes)) in &overlay.files {
        if pack.install.rule(path).is_none() {
            return Err(RenderError::MapsNowhere { overlay: name.clone(), path: path.clone() });
        }
        // An overlay with a link whose text is not UTF-8 was refused when it was made.
        let link = (*kind == Kind::Link).then(|| std::str::from_utf8(bytes).unwrap_or_default());
        items.insert(path, Item { entry: Entry::of(*kind, bytes), link, overlay: Some((name, bytes)) });
    }
    Ok(())
}

type Placed<'a> = BTreeMap<TreePath, (&'a TreePath, Item<'a>)>;

/// Puts everything that the install map covers in its place.
fn place<'a>(pack: &Pack, items: BTreeMap<&'a TreePath, Item<'a>>) -> Result<Placed<'a>, RenderError> {
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
