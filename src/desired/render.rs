//! From a pack's tree and overlays to what one deployment should hold.

use std::collections::BTreeMap;

use super::overlay::Overlay;
use crate::model::desired::DesiredEntry;
use crate::model::pack::{CommitId, Pack, PackEntry};
use crate::model::{Content, TreeDigest, TreePath};

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
    /// Placeholder.
    #[error("cannot render")]
    Nothing,
}

/// Renders a pack's tree, found in `commit` (`None` for a plain directory), with overlays in order.
pub fn render(
    pack: &Pack,
    tree: &[PackEntry],
    commit: Option<&CommitId>,
    overlays: &[Overlay],
) -> Result<Rendered, RenderError> {
    let _ = (pack, tree, commit, overlays);
    todo!()
}
