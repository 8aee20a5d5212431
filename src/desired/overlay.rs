//! Overlays: customizations of one pack, declared in the fleet repository.

use std::collections::BTreeMap;

use crate::model::{Kind, OverlayName, PackName, TreeDigest, TreePath};

/// What `overlay.toml` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The pack that it customizes.
    pub pack: PackName,
    /// Files and directories of the pack to leave out.
    pub remove: Vec<TreePath>,
    /// What it was written against.
    pub base: Option<Base>,
}

/// What an overlay was written against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// A version label or commit.
    pub version: String,
    /// The digest of the pack's tree.
    pub tree: TreeDigest,
}

/// A customization of one pack, in the pack's coordinates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Its directory's name.
    pub name: OverlayName,
    /// What `overlay.toml` says.
    pub manifest: Manifest,
    /// Files and links that replace or add.
    pub files: BTreeMap<TreePath, (Kind, Vec<u8>)>,
}

/// A directory that is no overlay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OverlayError {
    /// Placeholder.
    #[error("no overlay")]
    Nothing,
}

impl Overlay {
    /// Makes an overlay of all files of its directory, `overlay.toml` included.
    pub fn new(name: OverlayName, files: BTreeMap<TreePath, (Kind, Vec<u8>)>) -> Result<Self, OverlayError> {
        let _ = (name, files);
        todo!()
    }
}
