//! From what lies on a host back to an overlay: the inverse of laying.
//!
//! ```text
//! pack tree ─► overlays before ─► (the overlay) ─► overlays behind ─► what the host holds
//! ```
//! Each path that differs becomes the least that says so: keys where only keys of a JSON or TOML file changed, a
//! patch where a text did, `remove` where a file went, else the whole file. A patch is written against the
//! pack's own file, which is the overlay's base; where an overlay before it changes the same file, the host's
//! change is first taken back to the pack's file, and where that is not possible (both change the same
//! lines) the whole file is put.
//!
//! Law: what is composed is laid again before anybody sees it, and gives what the host holds, byte for byte; all
//! other paths stay as they were. Deliberately absent: where the host's bytes come from, and files.

use std::collections::{BTreeMap, BTreeSet};

use super::finding::Finding;
use super::lay::{Bytes, Layer, lay, plain};
use super::manifest::{Base, MANIFEST, Manifest};
use super::overlay::{Change, Overlay, OverlayError};
use super::render::{RenderError, render};
use crate::merge::patch::Patch;
use crate::merge::structured::{Format, keys_between, merge_keys};
use crate::merge::text::{TextMerge, merge_text};
use crate::model::pack::{CommitId, Pack, PackEntry, PackTree};
use crate::model::{Entry, Kind, OverlayName, TreePath};

/// The files of an overlay's directory.
pub type Files = BTreeMap<TreePath, (Kind, Vec<u8>)>;

/// What lies at a path: bytes, or a link's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// File, executable or link.
    pub kind: Kind,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a pack comes to under overlays, at one path in the pack's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Laid {
    /// What it is.
    pub entry: Entry,
    /// Its bytes, if an overlay gave them; else the pack has them.
    pub bytes: Option<Vec<u8>>,
}

impl Laid {
    /// With its bytes.
    pub fn side(&self, path: &TreePath, bytes: &Bytes<'_>) -> Result<Side, RenderError> {
        let read =
            || bytes(self.entry.content).map_err(|why| RenderError::Unreadable { path: path.clone(), why });
        Ok(Side { kind: self.entry.kind, bytes: self.bytes.clone().map_or_else(read, Ok)? })
    }
}

/// What a pack's tree comes to under overlays, in the pack's coordinates.
pub fn laid(
    pack: &Pack,
    tree: &[PackEntry],
    layers: &[Layer<'_>],
    bytes: &Bytes<'_>,
) -> Result<BTreeMap<TreePath, Laid>, RenderError> {
    let mut items = plain(tree);
    let mut notes = Vec::new();
    for layer in layers {
        lay(pack, *layer, tree, bytes, &mut items, &mut notes)?;
    }
    if notes.iter().any(Finding::is_conflict) {
        return Err(RenderError::Conflicts(notes));
    }
    let own = |(path, item): (&TreePath, super::lay::Item<'_>)| {
        let bytes = item.overlay.map(|(_, bytes)| bytes.into_owned());
        (path.clone(), Laid { entry: item.entry, bytes })
    };
    Ok(items.into_iter().map(own).collect())
}

/// How an overlay says what became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// Line by line.
    Patch,
    /// By key.
    Keys,
    /// The whole file or link.
    Whole,
    /// By leaving it out.
    Remove,
    /// Not at all any more: the host holds what the other overlays give.
    Nothing,
}

/// An overlay, composed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// All files of its directory.
    pub files: Files,
    /// What became of each path that was asked for.
    pub pieces: BTreeMap<TreePath, How>,
}

/// Why an overlay cannot be composed.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// The directory that is to be extended is no overlay.
    #[error("overlay {overlay} cannot be extended")]
    Damaged {
        /// Its name.
        overlay: OverlayName,
        /// What is wrong with it.
        #[source]
        source: OverlayError,
    },
    /// It is for another pack.
    #[error("overlay {overlay} is for pack {pack}: it cannot be extended for {wanted}")]
    OtherPack {
        /// Its name.
        overlay: OverlayName,
        /// The pack that it is for.
        pack: String,
        /// The pack that the edits are of.
        wanted: String,
    },
    /// It was written against another version.
    #[error(
        "overlay {overlay} was written against {was}, and the host holds {is}: \
         `packfleet overlay rebase {overlay} --to {is}` first"
    )]
    OtherBase {
        /// Its name.
        overlay: OverlayName,
        /// The version of its base.
        was: String,
        /// The version that the host holds.
        is: String,
    },
    /// A path that no file of an overlay can stand for.
    #[error("{0:?} cannot be said by an overlay: its name is too long, or overlay.toml itself")]
    Unsayable(TreePath),
    /// Another overlay has the last word about a path.
    #[error(
        "what the host holds at {path:?} cannot be said by overlay {overlay}: an overlay behind it changes the \
         same path. Put {overlay} last in `overlays`, or leave the path out by `--path`"
    )]
    Overruled {
        /// Its name.
        overlay: OverlayName,
        /// The path, in the pack's coordinates.
        path: TreePath,
    },
    /// The overlays do not lie on the pack, or what came of them cannot be installed.
    #[error("{0}")]
    Render(#[source] RenderError),
}

impl From<RenderError> for ComposeError {
    fn from(error: RenderError) -> Self {
        Self::Render(error)
    }
}

/// Where an overlay stands: on a version of its pack, between others.
#[derive(Clone, Copy)]
pub struct Standpoint<'a> {
    /// The pack.
    pub pack: &'a Pack,
    /// Its tree at the version at hand.
    pub tree: &'a [PackEntry],
    /// The commit of that; `None` for a plain directory.
    pub commit: Option<&'a CommitId>,
    /// What people call it.
    pub version: &'a str,
    /// Overlays that are laid before.
    pub before: &'a [Layer<'a>],
    /// Overlays that are laid behind.
    pub behind: &'a [Layer<'a>],
    /// Bytes of the pack.
    pub bytes: &'a Bytes<'a>,
}

impl<'a> Standpoint<'a> {
    /// What all overlays give, with `own` among them.
    pub fn with(&self, own: Option<Layer<'_>>) -> Result<BTreeMap<TreePath, Laid>, RenderError> {
        laid(self.pack, self.tree, &self.layers(own), self.bytes)
    }

    fn layers<'b>(&self, own: Option<Layer<'b>>) -> Vec<Layer<'b>>
    where
        'a: 'b,
    {
        self.before.iter().copied().chain(own).chain(self.behind.iter().copied()).collect()
    }

    /// Composes the overlay `name` such that each of `wanted` (absent: `None`) is what comes out at its path.
    /// `existing` are the files of its directory, if there is one: what it says of other paths stays. `about`
    /// goes to the top of a new overlay.toml.
    pub fn compose(
        &self,
        name: &OverlayName,
        existing: Option<&Files>,
        wanted: &BTreeMap<TreePath, Option<Side>>,
        about: &str,
    ) -> Result<Composed, ComposeError> {
        let base = Base { version: self.version.to_owned(), tree: PackTree::digest_of(self.tree) };
        if let Some(files) = existing {
            self.extends(name, files, &base)?;
        }
        let own = laid(self.pack, self.tree, &[], self.bytes)?;
        let before = laid(self.pack, self.tree, self.before, self.bytes)?;
        let goal = self.goal(name, existing, wanted)?;
        let mut whole: BTreeSet<TreePath> = BTreeSet::new();
        loop {
            let mut pieces = BTreeMap::new();
            for (path, target) in wanted {
                let side = |laid: &BTreeMap<TreePath, Laid>| {
                    laid.get(path).map(|laid| laid.side(path, self.bytes)).transpose()
                };
                let (own, before) = (side(&own)?, side(&before)?);
                let piece = match whole.contains(path) {
                    true => Piece::whole(before.as_ref(), target.as_ref()),
                    false => Piece::least(path, own.as_ref(), before.as_ref(), target.as_ref()),
                };
                pieces.insert(path.clone(), piece);
            }
            let files = self.files(name, existing, &base, &pieces, about)?;
            match self.tried(name, &files, &goal)? {
                None => {
                    let pieces = pieces.into_iter().map(|(path, piece)| (path, piece.how())).collect();
                    return Ok(Composed { files, pieces });
                }
                Some(path) if wanted.contains_key(&path) && whole.insert(path.clone()) => {}
                Some(path) => return Err(ComposeError::Overruled { overlay: name.clone(), path }),
            }
        }
    }

    /// Whether a directory is an overlay of this pack at this version.
    fn extends(&self, name: &OverlayName, files: &Files, base: &Base) -> Result<(), ComposeError> {
        let overlay = Overlay::new(name.clone(), files.clone())
            .map_err(|source| ComposeError::Damaged { overlay: name.clone(), source })?;
        if overlay.manifest.pack != self.pack.name {
            return Err(ComposeError::OtherPack {
                overlay: name.clone(),
                pack: overlay.manifest.pack.to_string(),
                wanted: self.pack.name.to_string(),
            });
        }
        match overlay.manifest.base {
            Some(known) if known.tree != base.tree => Err(ComposeError::OtherBase {
                overlay: name.clone(),
                was: known.version,
                is: base.version.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// What is to come out: what comes out now, with what is wanted.
    fn goal(
        &self,
        name: &OverlayName,
        existing: Option<&Files>,
        wanted: &BTreeMap<TreePath, Option<Side>>,
    ) -> Result<BTreeMap<TreePath, Entry>, ComposeError> {
        let overlay = existing
            .map(|files| Overlay::new(name.clone(), files.clone()))
            .transpose()
            .map_err(|source| ComposeError::Damaged { overlay: name.clone(), source })?;
        let now = self.with(overlay.as_ref().map(|overlay| self.layer(overlay)))?;
        let mut goal: BTreeMap<TreePath, Entry> =
            now.into_iter().map(|(path, laid)| (path, laid.entry)).collect();
        for (path, side) in wanted {
            match side {
                Some(side) => drop(goal.insert(path.clone(), Entry::of(side.kind, &side.bytes))),
                None => drop(goal.remove(path)),
            }
        }
        Ok(goal)
    }

    fn layer<'b>(&self, overlay: &'b Overlay) -> Layer<'b>
    where
        'a: 'b,
    {
        Layer { overlay, base: overlay.manifest.base.is_some().then_some(self.tree) }
    }

    /// Lays what was composed; the first path at which something else comes out.
    fn tried(
        &self,
        name: &OverlayName,
        files: &Files,
        goal: &BTreeMap<TreePath, Entry>,
    ) -> Result<Option<TreePath>, ComposeError> {
        let overlay = Overlay::new(name.clone(), files.clone())
            .map_err(|source| ComposeError::Damaged { overlay: name.clone(), source })?;
        let layers = self.layers(Some(self.layer(&overlay)));
        let found = match laid(self.pack, self.tree, &layers, self.bytes) {
            Ok(found) => found,
            Err(RenderError::Conflicts(findings)) => {
                let own = findings.iter().find(|it| it.is_conflict() && &it.overlay == name);
                return match own {
                    Some(finding) => Ok(Some(finding.path.clone())),
                    None => Err(RenderError::Conflicts(findings).into()),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let differs = |path: &&TreePath| found.get(*path).map(|laid| laid.entry) != goal.get(*path).copied();
        if let Some(path) = goal.keys().chain(found.keys()).find(differs) {
            return Ok(Some(path.clone()));
        }
        render(self.pack, self.tree, self.commit, &layers, self.bytes)?;
        Ok(None)
    }

    /// The overlay's directory.
    fn files(
        &self,
        name: &OverlayName,
        existing: Option<&Files>,
        base: &Base,
        pieces: &BTreeMap<TreePath, Piece>,
        about: &str,
    ) -> Result<Files, ComposeError> {
        let mut files = existing.cloned().unwrap_or_default();
        let text = match files.remove(MANIFEST) {
            Some((_, bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            None => format!("# {about}\npack = \"{}\"\n", self.pack.name),
        };
        let damaged = |source| ComposeError::Damaged { overlay: name.clone(), source };
        let mut manifest = Manifest::parse(&text).map_err(damaged)?;
        if manifest.base.is_none() {
            manifest.base = Some(base.clone());
        }
        for (path, piece) in pieces {
            forget(path, &mut files, &mut manifest);
            let file = |change: Change| change.file(path).map_err(|_| ComposeError::Unsayable(path.clone()));
            match piece {
                Piece::Patch(bytes) => {
                    files.insert(file(Change::Patch)?, (Kind::File, bytes.clone()));
                }
                Piece::Keys(format, text) => {
                    files.insert(file(Change::Merge(*format))?, (Kind::File, text.clone().into_bytes()));
                }
                Piece::Whole(_) if path.as_str() == MANIFEST => {
                    return Err(ComposeError::Unsayable(path.clone()));
                }
                Piece::Whole(side) => {
                    if Change::is_in_name(path) {
                        manifest.verbatim.push(path.clone());
                    }
                    files.insert(path.clone(), (side.kind, side.bytes.clone()));
                }
                Piece::Remove => manifest.remove.push(path.clone()),
                Piece::Nothing => {}
            }
        }
        manifest.remove.sort();
        manifest.verbatim.sort();
        let text = manifest.edited(&text).map_err(damaged)?;
        let path = TreePath::new(MANIFEST).map_err(|_| damaged(OverlayError::NoManifest))?;
        files.insert(path, (Kind::File, text.into_bytes()));
        Ok(files)
    }
}

/// Takes out what an overlay says of a path.
fn forget(path: &TreePath, files: &mut Files, manifest: &mut Manifest) {
    if !Change::is_in_name(path) || manifest.verbatim.contains(path) {
        files.remove(path);
    }
    for change in Change::ALL {
        let change = change.file(path).ok().filter(|file| !manifest.verbatim.contains(file));
        change.map(|file| files.remove(&file));
    }
    manifest.remove.retain(|gone| gone != path);
    manifest.verbatim.retain(|verbatim| verbatim != path);
}

/// What an overlay says of one path.
enum Piece {
    Patch(Vec<u8>),
    Keys(Format, String),
    Whole(Side),
    Remove,
    Nothing,
}

impl Piece {
    const fn how(&self) -> How {
        match self {
            Self::Patch(_) => How::Patch,
            Self::Keys(..) => How::Keys,
            Self::Whole(_) => How::Whole,
            Self::Remove => How::Remove,
            Self::Nothing => How::Nothing,
        }
    }

    /// Without regard to what was there.
    fn whole(before: Option<&Side>, target: Option<&Side>) -> Self {
        match (before, target) {
            (before, target) if before == target => Self::Nothing,
            (_, Some(target)) => Self::Whole(target.clone()),
            (_, None) => Self::Remove,
        }
    }

    /// The least that makes `target` of `before`, given what the pack has at this path.
    fn least(path: &TreePath, own: Option<&Side>, before: Option<&Side>, target: Option<&Side>) -> Self {
        let whole = Self::whole(before, target);
        let (Some(own), Some(before), Some(target)) = (own, before, target) else { return whole };
        let links = [own, before, target].iter().any(|side| side.kind == Kind::Link);
        if before == target || links || before.kind != target.kind {
            return whole;
        }
        let keys = keys(path, &before.bytes, &target.bytes);
        let patch = || patch(path, &own.bytes, &before.bytes, &target.bytes).map(Self::Patch);
        keys.or_else(patch).unwrap_or(whole)
    }
}

/// Keys that make `target` of `before`, byte for byte.
fn keys(path: &TreePath, before: &[u8], target: &[u8]) -> Option<Piece> {
    let format = Format::of(path)?;
    let (before, target) = (std::str::from_utf8(before).ok()?, std::str::from_utf8(target).ok()?);
    let keys = keys_between(format, before, target).ok()??;
    (merge_keys(format, before, &keys).ok()? == target).then_some(Piece::Keys(format, keys))
}

/// A patch of the pack's own file that makes `target` of `before`.
fn patch(path: &TreePath, own: &[u8], before: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let patched = match merge_text(before, target, own) {
        TextMerge::Clean(patched) => patched,
        _ => return None,
    };
    Patch::make(path, own, &patched).ok().map(|patch| patch.print())
}

#[cfg(test)]
#[path = "compose_tests.rs"]
mod tests;
