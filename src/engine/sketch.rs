//! What a rendering comes to, without its entries: enough to see that nothing is to be done.
//!
//! Kept in the cache by the digest of all that a rendering is made from, so that a pass over a fleet in sync
//! reads no tree and no blob, and renders nothing.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::desired::overlay::Overlay;
use crate::model::fleet::Limits;
use crate::model::pack::{CommitId, Pack};
use crate::model::{Content, DesiredDigest, PartDigest, TreeDigest};
use crate::source::PackSource;

/// Counted up whenever a rendering comes to something else than before.
const RENDERING: u32 = 2;

/// The digests of a rendering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sketch {
    /// Of the pack's tree, before overlays.
    pub tree: TreeDigest,
    /// Of what is desired.
    pub desired: DesiredDigest,
    /// Of that with all that a record says of it.
    pub part: PartDigest,
    /// The pack's own CHANGELOG.
    pub changelog: Option<Content>,
    /// Files and links of the pack's tree.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The digest of all that a rendering is made from; `None` if the source cannot name the tree without
/// reading it, or an overlay looks at another version as well.
pub(super) fn question(
    source: &dyn PackSource,
    commit: &CommitId,
    pack: &Pack,
    limits: &Limits,
    overlays: &[Overlay],
) -> Option<[u8; 32]> {
    let mut dirs = vec![pack.dir.clone()];
    dirs.extend(pack.aliases.iter().cloned().map(Some));
    if overlays.iter().any(|overlay| overlay.manifest.base.is_some()) {
        return None;
    }
    let tree = source.tree_id(commit, &dirs).ok()??;
    let mut text = format!("{RENDERING} {} {tree} {commit} {limits:?} {pack:?}", env!("CARGO_PKG_VERSION"));
    for Overlay { name, manifest, files, patches, merges, unfinished } in overlays {
        if !patches.is_empty() || !unfinished.is_empty() {
            return None;
        }
        // A string takes whatever is written to it.
        let _infallible = write!(text, "\n{name} {manifest:?}");
        for (path, (kind, bytes)) in files {
            let _infallible = write!(text, "\n{path:?} {kind:?} {}", Content::of(bytes));
        }
        for (path, (format, merge)) in merges {
            let _infallible = write!(text, "\n{path:?} {format:?} {}", Content::of(merge.as_bytes()));
        }
    }
    Some(*blake3::hash(text.as_bytes()).as_bytes())
}
